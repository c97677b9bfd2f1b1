"""Saved models in use: evaluated on labelled images, applied to others."""
