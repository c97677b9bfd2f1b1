"""syndet_ray: find the training recipe that makes an object detector work on real photographs.

The names a sweep or search-space file needs. Everything here is light: no torch, no Ray.
"""

import os

# Read when ray and mlflow are first imported, which is always later than this: nothing is sent
# anywhere.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from syndet_ray.definitions.mix import Mix, Photos, Scenes, Synthetic
from syndet_ray.definitions.parameter import Around, Choice, Float, Int, Simplex
from syndet_ray.definitions.recipe import Detector, Recipe, Training
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.definitions.sweep import Confirmation, Pruning, Sweep
from syndet_ray.errors import SyndetError

__version__ = "0.1.0"

__all__ = [
    "Around",
    "Choice",
    "Confirmation",
    "Detector",
    "Float",
    "Int",
    "Mix",
    "Photos",
    "Pruning",
    "Recipe",
    "SceneParameters",
    "Scenes",
    "SearchSpace",
    "Simplex",
    "Sweep",
    "SyndetError",
    "Synthetic",
    "Training",
]
