"""Pictures: what of a run people will look at. Training images, and where the best model does best
and worst.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import MachineError, message
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.marks import matches
from syndet_ray.runs.results import Picture, Trial
from syndet_ray.scenes import command
from syndet_ray.scenes.cache import loaded
from syndet_ray.scenes.generate import rendered, scene_hash

if TYPE_CHECKING:
    from syndet_ray.detection.score import Predictions

_TRAINING, _GALLERY = 8, 6
# Predictions below this confidence are left out of the pictures; scores always see all of them.
_SHOWN_SCORE = 0.5


def show_training(
    folder: RunFolder, best: Trial, train: Pool, cache: Path, note: Callable[[str], None]
) -> None:
    """Pictures of what the best recipe was trained on, real and synthetic, with their boxes.

    The test set has been opened: whatever cannot be shown is noted, and the run goes on to its end
    without it.
    """
    with _noted("the real images that it trained on", note):
        folder.write_pictures("real", [labelled(train, i) for i in _evenly(len(train))])
    # What won may have seen no scene at all: then those are shown that it was compared with.
    sets = best.recipe.scenes() or folder.sweep.recipe.scenes()
    shown: list[Picture] = []
    for name, (parameters, count) in sets.items():
        with _noted(f"the scenes of {name}", note):
            indices = _evenly(count, max(1, _TRAINING // len(sets)))
            shown += _scenes(parameters, count, folder.sweep.seed, cache, indices)
    with _noted("the scenes that it trained on", note):
        folder.write_pictures("synthetic", shown)


def _scenes(
    parameters: SceneParameters, count: int, seed: int, cache: Path, indices: Sequence[int]
) -> list[Picture]:
    """Some scenes of a set: from the cache where that has it, else only they are rendered.

    Raises MachineError where a program from outside made the set on another machine: it can only be
    asked for all of it.
    """
    pool = loaded(cache / scene_hash(parameters, count, seed))
    if pool is not None:
        return [labelled(pool, i) for i in indices]
    if parameters.generator.startswith(command.PREFIX):
        raise MachineError(cache, f"does not hold what {parameters.generator} made")
    few = rendered(parameters, count, seed, indices)
    return [labelled(few, k) for k in range(len(few))]


@contextmanager
def _noted(what: str, note: Callable[[str], None]) -> Iterator[None]:
    """Notes whatever goes wrong."""
    try:
        yield
    except Exception as error:
        note(f"the report does not show {what}: {message(error)}")


def show_predictions(
    folder: RunFolder, test: Pool, predictions: Sequence["Predictions"], note: Callable[[str], None]
) -> None:
    """Two galleries of one model: the test images where it does best, and those where it does
    worst.

    The scores are not kept yet: whatever cannot be shown is noted.
    """
    with _noted("where the best model does best and worst", note):
        best, worst = best_and_worst(
            [predicted(test, i, found) for i, found in enumerate(predictions)]
        )
        folder.write_pictures("best", best)
        folder.write_pictures("worst", worst)


def best_and_worst(
    pictures: Sequence[Picture], count: int = _GALLERY
) -> tuple[list[Picture], list[Picture]]:
    """Up to `count` pictures each, best and worst first, none in both; by F1, and where that is
    alike by how much there is.

    Pictures with neither an object nor a prediction show nothing and are left out.
    """
    telling = [picture for picture in pictures if len(picture.xyxy) or len(picture.truth_names)]
    best = sorted(telling, key=lambda picture: (-_f1(picture), -len(picture.truth_names)))
    half = min(count, (len(best) + 1) // 2)
    worst = sorted(best[half:], key=lambda picture: (_f1(picture), -len(picture.truth_names)))
    return best[:half], worst[:count]


def labelled(pool: Pool, i: int) -> Picture:
    """An image of a pool with its own boxes."""
    boxes = pool.boxes(i)
    return Picture(
        image=pool.image(i),
        xyxy=boxes.xyxy,
        names=tuple(pool.classes[label] for label in boxes.labels),
    )


def predicted(pool: Pool, i: int, found: "Predictions") -> Picture:
    """An image of a pool with what a model is confident to see in it, and the truth."""
    shown = found.scores >= _SHOWN_SCORE
    names = tuple(pool.classes[label] for label in found.labels[shown])
    truth = labelled(pool, i)
    scores = tuple(float(score) for score in found.scores[shown])
    return Picture(
        image=pool.image(i),
        xyxy=found.xyxy[shown],
        names=names,
        scores=scores,
        truth=truth.xyxy,
        truth_names=truth.names,
    )


def _f1(picture: Picture) -> float:
    """2 hits / (predictions + objects): the harmonic mean of precision and recall."""
    hit, found = matches(picture)
    return 2 * float(np.count_nonzero(hit)) / (len(hit) + len(found))


def _evenly(count: int, most: int = _TRAINING) -> list[int]:
    """Indices of a few images, evenly spread over all."""
    shown = min(most, count)
    return [i * count // shown for i in range(shown)]
