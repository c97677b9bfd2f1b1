"""Density: more objects on the same tray hide more of each other."""

from syndet_ray import Choice, SearchSpace

SPACE = SearchSpace({"scene.objects": Choice(values=(10, 40, 70, 100))})
