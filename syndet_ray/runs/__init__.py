"""What a run keeps on disk, and a run that was read."""
