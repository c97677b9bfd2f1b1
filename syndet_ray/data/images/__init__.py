"""Image files: what they are, how they are turned, and their pixels."""
