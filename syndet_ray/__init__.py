"""syndet_ray: find the training recipe that makes an object detector work on real photographs.

The names a sweep or search-space file needs. Everything here is light: no torch, no Ray.
"""

from syndet_ray.errors import SyndetError
from syndet_ray.recipe import Detector, Mix, Recipe, SceneParameters, Training
from syndet_ray.space import Choice, Float, Int, SearchSpace
from syndet_ray.sweep import Pruning, Sweep

__version__ = "0.1.0"

__all__ = [
    "Choice",
    "Detector",
    "Float",
    "Int",
    "Mix",
    "Pruning",
    "Recipe",
    "SceneParameters",
    "SearchSpace",
    "Sweep",
    "SyndetError",
    "Training",
]
