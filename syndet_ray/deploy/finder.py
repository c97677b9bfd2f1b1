"""Finder: a saved model that is ready to look at images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from syndet_ray.boxes import Boxes
from syndet_ray.data import picture
from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.record import Record, Source
from syndet_ray.detection.models import load_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import Predictions


@dataclass(frozen=True, eq=False, kw_only=True)
class Finder:
    """A model that is ready, the names of its classes, and the longer side at which it was shown
    photos.
    """

    model: nn.Module
    classes: tuple[str, ...]
    working_px: int
    device: torch.device

    @staticmethod
    def load(folder: Path) -> "Finder":
        """The model saved in a folder that `champions.found` gives, on the GPU where there is one."""
        saved = load_model(folder)
        working_px = saved.detector.working_px
        assert working_px != "auto", "a detector is settled before it is built"
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return Finder(
            model=saved.model, classes=saved.classes, working_px=working_px, device=device
        )

    def decoded(self, source: Source, progress: Callable[[int, int], None] | None = None) -> Pool:
        """The images of a source at the scale that the model learned at.

        Raises DataError as `decode` does.
        """
        return decode(source, self.working_px, progress)

    def __call__(self, image: bytes | Path, place: str) -> Predictions:
        """What is found in one image, in its own pixels; best first. Raises DataError where it
        cannot be read.
        """
        size_wh = picture.header(image, place).shown_wh
        record = Record(
            image_id=place, image=image, size_wh=size_wh, boxes=Boxes.none(), place=place
        )
        pool = self.decoded(Source(name="image", classes=self.classes, records=(record,)))
        (predictions,) = predict(self.model, pool, device=self.device)
        return in_photo(pool, 0, predictions)


def in_photo(pool: Pool, i: int, predictions: Predictions) -> Predictions:
    """The predictions for image i of a pool, in pixels of its photo."""
    return replace(predictions, xyxy=pool.to_photo(i, predictions.xyxy))
