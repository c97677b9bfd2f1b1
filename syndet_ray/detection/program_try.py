"""ProgramTry: lets a training program train a few images, to see that it works and how fast."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syndet_ray.cache_folders import folder_bytes
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.detection.program_training import Workplace, predict_by_program, program_training
from syndet_ray.files import temporary_folder

LIMIT_S = 300.0  # for the training and again for the predictions: libraries take long to start
_BATCHES = (1, 2, 4)  # after so many it reports: the first has the start in it
_IMAGES = 4  # of validation


@dataclass(frozen=True, kw_only=True)
class ProgramTry:
    """A short training by a program, on real images only: all images cost the same.

    effective         as of `ProgramTraining`
    image_s           seconds to train on an image, or to predict one
    checkpoint_bytes  of a checkpoint
    """

    effective: Mapping[str, Any]
    image_s: float
    checkpoint_bytes: int


def try_program(
    recipe: Recipe, train: Pool, val: Pool, *, device: str, threads: int, seed: int
) -> ProgramTry:
    """Trains a few batches by the recipe's program, and lets it predict.

    Nothing stays on the disk. Raises SyndetError for a program that does not follow the protocol.
    """
    batch = recipe.training.batch_size
    rungs = [batches * batch for batches in _BATCHES]
    length = {"training.images": rungs[-1]}
    short = recipe.replace({"mix.schedule": "real_only", "mix.real_images": "all"} | length)
    photos = val.select(range(min(_IMAGES, len(val))))
    pools = {REAL: train.select(range(min(rungs[-1], len(train))))}
    seconds = []
    with temporary_folder() as work:
        workplace = Workplace(cache=work / "cache", device=device, threads=threads, limit_s=LIMIT_S)
        with program_training(short, pools, photos, workplace, seed=seed, rungs=rungs) as training:
            for images in rungs:
                began = time.perf_counter()
                rung = training.train_until(images)
                seconds.append(time.perf_counter() - began)
            model = work / "saved"
            model.mkdir()
            training.save(rung, model)
        predict_by_program(model, photos, recipe.detector.program, workplace)
        return ProgramTry(
            effective=training.effective(rung),
            image_s=_image_s(seconds, batch, len(photos)),
            checkpoint_bytes=folder_bytes(model),
        )


def _image_s(seconds: list[float], batch: int, photos: int) -> float:
    """Seconds for an image, trained on or predicted: so few do not tell the two apart.

    seconds  of each rung; the first has the start of the program in it
    photos   images that are predicted at each rung
    """
    batches = _BATCHES[-1] - _BATCHES[0]
    images = batches * batch + photos * (len(_BATCHES) - 1)
    return sum(seconds[1:]) / images
