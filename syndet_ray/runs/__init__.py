"""Files of a run on disk, and a run that was read."""
