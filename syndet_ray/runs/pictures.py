"""Pictures: the example images in a report: training images, and test images on which the best
model does best and worst.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from syndet_ray.boxes import Boxes, inside_shares
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.mix import Synthetic
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import COMMAND, SceneParameters
from syndet_ray.errors import MachineError, message
from syndet_ray.progress import Note
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.marks import MATCH_IOU, matches
from syndet_ray.runs.results import Picture, Trial
from syndet_ray.scenes.cache import load_pool
from syndet_ray.scenes.generate import render_part, scene_hash

if TYPE_CHECKING:
    from syndet_ray.detection.score import Predictions

_TRAINING = 8  # training images: two rows of the report
_GALLERY = 6  # best, and as many worst, test images
# Pictures show predictions from this confidence on; scores count all predictions.
_SHOWN_SCORE = 0.5


def show_training(
    folder: RunFolder,
    best: Trial,
    train: Pool,
    cache: Path,
    note: Note,
    *,
    others: Mapping[str, Pool] = {},
) -> None:
    """Writes pictures of the training images of the best recipe, real and synthetic, with boxes.

    others  pools of other datasets, by folder: those that are synthetic are shown beside scenes

    The test set has been opened, so a picture that fails is noted, and the run continues without
    it.
    """
    with _failure_noted("the real images that it trained on", note):
        folder.write_pictures("real", [labelled_picture(train, i) for i in _evenly(len(train))])
    # The best recipe may have no scenes: then those of the sweep's recipe are shown.
    datasets = _synthetic_pools(best.recipe, others)
    sets = best.recipe.scenes()
    if not (sets or datasets):
        sets, datasets = folder.sweep.recipe.scenes(), _synthetic_pools(folder.sweep.recipe, others)
    most = max(1, _TRAINING // max(1, len(sets) + len(datasets)))
    scenes: list[Picture] = []
    for pool in datasets:
        with _failure_noted("the synthetic images that it trained on", note):
            scenes += [labelled_picture(pool, i) for i in _evenly(len(pool), most)]
    for name, (parameters, count) in sets.items():
        with _failure_noted(f"the scenes of {name}", note):
            indices = _evenly(count, most)
            scenes += _scenes(parameters, count, folder.sweep.seed, cache, indices)
    with _failure_noted("the scenes that it trained on", note):
        folder.write_pictures("synthetic", scenes)


def _synthetic_pools(recipe: Recipe, others: Mapping[str, Pool]) -> list[Pool]:
    """The synthetic datasets, made elsewhere, that a recipe trains on."""
    pools = []
    for name, source in recipe.mix.sources.items():
        if isinstance(source, Synthetic) and recipe.mix.shares[name] > 0:
            pools.append(others[source.folder])
    return pools


def _scenes(
    parameters: SceneParameters, count: int, seed: int, cache: Path, indices: Sequence[int]
) -> list[Picture]:
    """Returns scenes of a set: from the cache if it holds the set; else only these are rendered.

    Raises MachineError if a program of the user made the set on another machine: such a program
    renders only whole sets.
    """
    pool = load_pool(cache / scene_hash(parameters, count, seed))
    if pool is not None:
        return [labelled_picture(pool, i) for i in indices]
    if parameters.generator.startswith(COMMAND):
        raise MachineError(cache, f"does not hold what {parameters.generator} made")
    few = render_part(parameters, count, seed, indices)
    return [labelled_picture(few, k) for k in range(len(few))]


@contextmanager
def _failure_noted(subject: str, note: Note) -> Iterator[None]:
    """Notes any failure of the block, and suppresses it."""
    try:
        yield
    except Exception as error:
        note(f"the report does not show {subject}: {message(error)}")


def show_predictions(
    folder: RunFolder, test: Pool, predictions: Sequence["Predictions"], note: Note
) -> None:
    """Writes two galleries of one model: the test images on which it does best, and worst.

    The scores are not written yet, so a picture that fails is only noted.
    """
    with _failure_noted("where the best model does best and worst", note):
        pictures = [predicted_picture(test, i, of_image) for i, of_image in enumerate(predictions)]
        best, worst = best_and_worst(pictures)
        folder.write_pictures("best", best)
        folder.write_pictures("worst", worst)


def best_and_worst(
    pictures: Sequence[Picture], count: int = _GALLERY
) -> tuple[list[Picture], list[Picture]]:
    """Returns up to `count` pictures each, the best and the worst first, none in both; by F1, and
    at equal F1 by the number of objects.

    Pictures with neither an object nor a prediction are left out.
    """
    with_boxes = [picture for picture in pictures if len(picture.xyxy) or len(picture.truth_names)]
    best = sorted(with_boxes, key=lambda picture: (-_f1(picture), -len(picture.truth_names)))
    half = min(count, (len(best) + 1) // 2)
    worst = sorted(best[half:], key=lambda picture: (_f1(picture), -len(picture.truth_names)))
    return best[:half], worst[:count]


def labelled_picture(pool: Pool, i: int) -> Picture:
    """Returns an image of a pool with its labels; crowds, which are neither learned nor to be
    found, are left out.
    """
    boxes = pool.boxes(i)
    boxes = boxes.select(~boxes.crowd)
    return Picture(
        image=pool.image(i),
        xyxy=boxes.xyxy,
        names=tuple(pool.classes[label] for label in boxes.labels),
    )


def predicted_picture(pool: Pool, i: int, predictions: "Predictions") -> Picture:
    """Returns an image of a pool with the confident predictions of a model, and the truth.

    A prediction in a crowd of its class that hits no object is left out, as scores do.
    """
    confident = predictions.select(predictions.scores >= _SHOWN_SCORE)
    picture = _with_truth(pool, i, confident)
    is_hit, _ = matches(picture)
    is_shown = is_hit | ~_in_crowd(confident, pool.boxes(i))
    return _with_truth(pool, i, confident.select(is_shown))


def _with_truth(pool: Pool, i: int, predictions: "Predictions") -> Picture:
    truth = labelled_picture(pool, i)
    return Picture(
        image=truth.image,
        xyxy=predictions.xyxy,
        names=tuple(pool.classes[label] for label in predictions.labels),
        scores=tuple(float(score) for score in predictions.scores),
        truth=truth.xyxy,
        truth_names=truth.names,
    )


def _in_crowd(predictions: "Predictions", boxes: Boxes) -> np.ndarray:
    """Returns (n,) bool: which of n predictions lie in a crowd of their class."""
    crowds = boxes.select(boxes.crowd)
    is_same = predictions.labels[:, None] == crowds.labels
    is_inside = inside_shares(predictions.xyxy, crowds.xyxy) >= MATCH_IOU
    is_in_crowd: np.ndarray = (is_same & is_inside).any(axis=1)
    return is_in_crowd


def _f1(picture: Picture) -> float:
    """Returns 2 hits / (predictions + objects): the harmonic mean of precision and recall."""
    is_hit, is_found = matches(picture)
    return 2 * float(np.count_nonzero(is_hit)) / (len(is_hit) + len(is_found))


def _evenly(count: int, most: int = _TRAINING) -> list[int]:
    """Returns indices of at most `most` of `count` images, evenly spread over all."""
    chosen = min(most, count)
    return [i * count // chosen for i in range(chosen)]
