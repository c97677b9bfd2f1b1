"""Finder: a saved model that is ready to look at images."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.images import picture
from syndet_ray.data.memory import fits_memory
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Record, Source
from syndet_ray.detection.models import load_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import Predictions
from syndet_ray.detection.trained_photos import read_trained_photos
from syndet_ray.progress import Progress


@dataclass(frozen=True, eq=False, kw_only=True)
class Finder:
    """A loaded model.

    working_px  longer side, in pixels, of the photos that it was trained on
    trained     (n,) uint64, these photos, as in `Pool.contents`; None if they are not known
    """

    model: nn.Module
    classes: tuple[str, ...]
    working_px: int
    device: torch.device
    trained: np.ndarray | None = None

    @staticmethod
    def load(folder: Path, known_as: str = "") -> "Finder":
        """Loads the model in a folder that `champions.model_folder` gives, on the GPU if there is
        one.

        known_as  as for `load_model`
        """
        saved = load_model(folder, known_as)
        working_px = saved.detector.working_px
        assert working_px != "auto", "a detector is settled before it is built"
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return Finder(
            model=saved.model,
            classes=saved.classes,
            working_px=working_px,
            device=device,
            trained=read_trained_photos(folder),
        )

    def decode(self, source: Source, progress: Progress | None = None) -> Pool:
        """The images of a source at the scale of the model's training photos.

        They are streamed if they do not fit into memory. Raises DataError as `decode` does.
        """
        streamed = not fits_memory([source], self.working_px)
        return decode(source, self.working_px, progress, streamed=streamed, often=False)

    def __call__(self, image: bytes | Path, place: str) -> Predictions:
        """The predictions for one image, in its own pixels, the most confident first.

        Raises DataError when the image cannot be read.
        """
        size_wh = picture.header(image, place).shown_wh
        record = Record(
            image_id=place, image=image, size_wh=size_wh, boxes=Boxes.none(), place=place
        )
        pool = self.decode(Source(name="image", classes=self.classes, records=(record,)))
        (predictions,) = predict(self.model, pool, device=self.device)
        return in_photo(pool, 0, predictions)


def in_photo(pool: Pool, i: int, predictions: Predictions) -> Predictions:
    """The predictions for image i of a pool, in pixels of its photo."""
    return replace(predictions, xyxy=pool.to_photo(i, predictions.xyxy))
