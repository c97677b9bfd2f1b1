"""How crowded a scene is: more objects on the same tray hide more of one another."""

from syndet_ray import Choice, SearchSpace

SPACE = SearchSpace({"scene.objects": Choice(values=(10, 40, 70, 100))})
