"""Finder: a saved model that is ready to look at images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.deploy import champions
from syndet_ray.detection.models import load_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import Predictions


@dataclass(frozen=True, eq=False)
class Finder:
    """A model that is ready, and the names of its classes."""

    model: nn.Module
    classes: tuple[str, ...]
    device: torch.device

    @staticmethod
    def of(model: str, runs: Path, tracking: str | None) -> "Finder":
        """The model saved under an address that `champions.found` knows, on the GPU where there is one."""
        with champions.found(model, runs, tracking) as folder:
            network, classes = load_model(folder)
        return Finder(network, classes, torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def __call__(self, image: np.ndarray) -> Predictions:
        """What is found in one image, (h, w, 3) uint8 RGB; best first."""
        pool = Pool.of("image", self.classes, [image], [Boxes.none()], [""])
        return predict(self.model, pool, device=self.device)[0]
