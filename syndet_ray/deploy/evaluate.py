"""Judge: a saved model on a labelled split: its scores, how sure they are, and where it is right
and wrong.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from syndet_ray.data.pool import Pool, aligned
from syndet_ray.data.read import Dataset, class_words
from syndet_ray.data.record import Source
from syndet_ray.data.visibility import Visibility, bins_of
from syndet_ray.deploy.finder import Finder, in_photo
from syndet_ray.deploy.output import new_folder
from syndet_ray.detection.evaluation import Evaluation, evaluate
from syndet_ray.detection.export import coco_truth
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import Predictions, coco_results
from syndet_ray.errors import DataError
from syndet_ray.files import write_whole
from syndet_ray.runs.pictures import best_and_worst, predicted
from syndet_ray.spread import LEAST_IMAGES, PAIRED_SEED, RESAMPLES, score_interval
from syndet_ray.wording import counted

_SHOWN = 6  # pictures of either kind


@dataclass(frozen=True, eq=False, kw_only=True)
class Judged:
    """A model on a labelled split.

    pool         the split at the model's working scale, its labels counted in the order of the
                 model's classes
    predictions  one for each image of it, in pixels of the pool
    intervals    by metric, 95 % over images: of whatever has draws
    notes        what a reader of the scores must know, in words
    """

    model: str
    data: Path
    split: str
    pool: Pool
    predictions: Sequence[Predictions]
    evaluation: Evaluation
    visibility: Visibility
    intervals: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]


def judge(
    finder: Finder,
    dataset: Dataset,
    split: str,
    *,
    model: str,
    progress: Callable[[str, int, int], None],
) -> Judged:
    """Scores a saved model on a split of a dataset.

    model     what it is called in the scores
    progress  is told (what is being done, how many are done, of how many)

    Raises DataError for data that cannot be used, before anything is predicted.
    """
    place = f"{dataset.path}, {split}"
    source, missing = with_classes_of(
        dataset.splits[split], finder.classes, place, dataset.few_boxes
    )
    pool = aligned(finder.decoded(source, partial(progress, "decoding")), finder.classes)
    predictions = predict(
        finder.model, pool, device=finder.device, progress=partial(progress, "predicting")
    )
    scores = partial(progress, "other images, by bootstrap")
    found = evaluate(pool, predictions, seed=PAIRED_SEED, resamples=RESAMPLES, progress=scores)
    intervals, few = {}, ""
    if pool.images_with_objects >= LEAST_IMAGES:
        intervals = {name: score_interval(name, draws) for name, draws in found.draws.items()}
    else:
        telling = counted(pool.images_with_objects, "image")
        few = f"no intervals: {telling} with an object cannot tell how sure a score is: that takes {LEAST_IMAGES} or more"
    notes = (*dataset.notes, *(note for note in (missing, few) if note))
    return Judged(
        model=model,
        data=dataset.path,
        split=split,
        pool=pool,
        predictions=predictions,
        evaluation=found,
        visibility=bins_of(pool),
        intervals=intervals,
        notes=notes,
    )


def with_classes_of(
    source: Source, classes: Sequence[str], place: str, few_boxes: Mapping[str, str]
) -> tuple[Source, str]:
    """The source, its list of classes filled up with those that only the model knows, and a note on
    these or "".

    few_boxes  of each class of the source that few boxes have, how many and where the first is, in
               words
    Raises DataError for a class that the model does not know, for no images, and where nothing is
    labelled.
    """
    unknown = set(source.classes) - set(classes)
    if unknown:
        rule = f"holds classes that the model does not know: {class_words(unknown, few_boxes)}"
        raise DataError(
            place, rule, do=f"Rename or drop them; the model knows {', '.join(classes)}."
        )
    if not len(source):
        raise DataError(place, "holds no images", do="Choose another with `split`.")
    if not any((~record.boxes.crowd).any() for record in source.records):
        raise DataError(
            place, "holds no object, so there is nothing to find", do="Label some, or use predict."
        )
    missing = [name for name in classes if name not in source.classes]
    note = (
        f"the data have no class {', '.join(missing)}: what is found of it counts nowhere"
        if missing
        else ""
    )
    return replace(source, classes=(*source.classes, *missing)), note


def write(judged: Judged, out: Path) -> Path:
    """Writes scores.json, predictions.json and truth.json (COCO) and a sheet of pictures into a new
    folder.

    The JSON is in the photos' own pixels, the sheet shows photos as the model sees them.
    """
    from syndet_ray.report.figures.sheets import write_over_truth

    folder = new_folder(out)
    write_whole(folder / "scores.json", json.dumps(scores(judged), indent=1).encode())
    predictions = [in_photo(judged.pool, i, found) for i, found in enumerate(judged.predictions)]
    write_whole(folder / "predictions.json", json.dumps(coco_results(predictions)).encode())
    write_whole(
        folder / "truth.json", json.dumps(coco_truth(judged.pool.labels_in_photos())).encode()
    )
    best, worst = best_and_worst(
        [predicted(judged.pool, i, found) for i, found in enumerate(judged.predictions)], _SHOWN
    )
    shown = {name: pictures for name, pictures in (("worst", worst), ("best", best)) if pictures}
    write_over_truth(shown, folder / "worst_and_best")
    return folder


def scores(judged: Judged) -> dict[str, Any]:
    """Everything that was measured, as JSON holds it; null is what could not be."""
    metrics = {
        name: {
            "value": _known(value),
            "interval": [_known(bound) for bound in judged.intervals.get(name, ())] or None,
        }
        for name, value in judged.evaluation.metrics.items()
    }
    bins = [
        {"low": b.low, "high": b.high, "objects": b.objects, "mean": b.mean}
        for b in judged.visibility.bins
    ]
    return {
        "model": judged.model,
        "data": str(judged.data),
        "split": judged.split,
        "hash": judged.pool.hash,
        "images": len(judged.pool),
        "objects": int((~judged.pool.crowd).sum()),
        "resamples": RESAMPLES,
        "metrics": metrics,
        "visibility": {
            "kind": judged.visibility.kind,
            "minimum": judged.visibility.minimum,
            "bins": bins,
        },
        "classes": judged.pool.classes,
        "absent": judged.evaluation.absent,
        "confusion": judged.evaluation.confusion.tolist(),
        "notes": judged.notes,
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
