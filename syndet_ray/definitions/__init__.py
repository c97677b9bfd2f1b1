"""Definitions of a run: recipes, search spaces and sweeps as values."""
