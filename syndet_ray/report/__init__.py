"""Report: numbers, then pictures of them, then one page."""
