"""A sweep from start to end."""
