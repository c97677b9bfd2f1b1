"""Evaluate: scores a saved model on a labelled split, with intervals and pictures."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from syndet_ray.data.classes import class_words, stray_classes
from syndet_ray.data.pool import Pool, align_labels
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Source
from syndet_ray.data.visibility import Visibility, bins_of
from syndet_ray.deploy.finder import Finder, in_photo
from syndet_ray.deploy.output import new_folder
from syndet_ray.detection.evaluation import Evaluation, evaluate
from syndet_ray.detection.export import coco_truth
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import Predictions, coco_results
from syndet_ray.detection.trained_photos import count_trained
from syndet_ray.errors import DataError
from syndet_ray.files import write_whole
from syndet_ray.progress import NamedProgress
from syndet_ray.report.words import STAND_IN
from syndet_ray.runs.pictures import best_and_worst, predicted_picture
from syndet_ray.spread import LEAST_IMAGES, PAIRED_SEED, RESAMPLES, score_interval

# Photos in one heap are all in train, and a run that held some out has learned from the others.
_SHOWN = 6  # best and worst pictures each: more would be too small on one sheet


@dataclass(frozen=True, eq=False, kw_only=True)
class SplitEvaluation:
    """A saved model, evaluated on a labelled split of a dataset.

    data         the folder of the dataset, or its address
    pool         the split at the model's working scale, its labels as indices into the model's
                 classes
    predictions  one for each image, in pixels of the pool
    intervals    by metric, 95 % over images; only of metrics that have resamples
    trained_on   the number of images that the model was trained on; None if it is not known
    notes        what a reader of the scores must know, in words
    """

    model: str
    data: Path | str
    split: str
    pool: Pool
    predictions: Sequence[Predictions]
    evaluation: Evaluation
    visibility: Visibility
    intervals: Mapping[str, tuple[float, float]]
    trained_on: int | None
    notes: tuple[str, ...]


def evaluate_model(
    finder: Finder,
    dataset: Dataset,
    split: str,
    *,
    model: str,
    progress: NamedProgress,
) -> SplitEvaluation:
    """Scores a saved model on a split of a dataset.

    model     the name of the model in the scores
    progress  is called with (name of the step, number done, number in all)

    Raises DataError for data that cannot be used, before anything is predicted.
    """
    place = f"{dataset.path}, {split}"
    dataset, stray = _without_strays(dataset, finder.classes)
    source, missing = with_classes_of(
        dataset.splits[split], finder.classes, place, dataset.boxes_in.get(split, {})
    )
    pool = align_labels(finder.decode(source, partial(progress, "decoding")), finder.classes)
    predictions = predict(
        finder.model, pool, device=finder.device, progress=partial(progress, "predicting")
    )
    scores = partial(progress, "resampling test images")
    evaluation = evaluate(pool, predictions, seed=PAIRED_SEED, resamples=RESAMPLES, progress=scores)
    intervals = {}
    if pool.images_with_objects >= LEAST_IMAGES:
        intervals = {name: score_interval(name, draws) for name, draws in evaluation.draws.items()}
    stand_in = STAND_IN if source.stand_in else ""
    of_data = [*dataset.format_words, *dataset.notes, stray, missing]
    trained_on = count_trained(pool, finder.trained)
    of_training = _of_training(split, len(pool), trained_on)
    notes = [of_training, *of_data, _too_few(pool), stand_in]
    return SplitEvaluation(
        model=model,
        data=dataset.path,
        split=split,
        pool=pool,
        predictions=predictions,
        evaluation=evaluation,
        visibility=bins_of(pool),
        intervals=intervals,
        trained_on=trained_on,
        notes=tuple(note for note in notes if note),
    )


def _too_few(pool: Pool) -> str:
    """A note that a pool has too few images for intervals; "" if it has enough."""
    images = pool.images_with_objects
    if images >= LEAST_IMAGES:
        return ""
    need = f"they need {LEAST_IMAGES} or more images with an object"
    return f"no intervals: {need}, and there are {images}"


def _of_training(split: str, images: int, trained_on: int | None) -> str:
    """A note on photos that the model was trained on, or are called train; "" for others."""
    if trained_on:
        those = "all" if trained_on == images else f"{trained_on} of the {images}"
        return (
            f"the model was trained on {those} photos, as the content of their files shows: the "
            "scores are better than on new photos"
        )
    if split != "train":
        return ""
    return (
        "scored on train: a model that has learned from some of these photos scores too well on "
        "them; photos that a run held out are not apart here, `data split` sets some apart for all "
        "commands"
    )


def _without_strays(dataset: Dataset, classes: Sequence[str]) -> tuple[Dataset, str]:
    """The dataset without classes of few boxes that the model does not know, as sweeps leave
    them out, and a note on them, or "".
    """
    strays = stray_classes(dataset.box_counts, classes)
    if not strays or len(strays) == len(dataset.classes):
        return dataset, ""
    words = class_words(strays, dataset.words_of_classes)
    note = f"left out, since the model does not know them: {words}"
    return dataset.without_classes(strays), note


def with_classes_of(
    source: Source, classes: Sequence[str], place: str, boxes: Mapping[str, str]
) -> tuple[Source, str]:
    """The source with all classes of the model, and a note on the classes that it lacked, or "".

    boxes  for each class of the source: how many it has there, and where the first is, in words
    Raises DataError for a class that the model does not know, for no images, and when nothing is
    labelled.
    """
    unknown = set(source.classes) - set(classes)
    if unknown:
        rule = f"holds classes that the model does not know: {class_words(unknown, boxes)}"
        raise DataError(
            place,
            rule,
            do=f"Rename or drop them with `classes`; the model knows {', '.join(classes)}.",
        )
    if not len(source):
        raise DataError(place, "holds no images", do="Choose another with `split`.")
    if not any((~record.boxes.crowd).any() for record in source.records):
        do = "Label some, or use predict."
        raise DataError(place, "holds no object, so there is nothing to find", do=do)
    missing = [name for name in classes if name not in source.classes]
    lack = f"the data have no class {', '.join(missing)}: detections of it are not scored"
    note = lack if missing else ""
    return replace(source, classes=(*source.classes, *missing)), note


def write(result: SplitEvaluation, out: Path) -> Path:
    """Writes scores.json, and predictions.json and truth.json (COCO), into a new folder.

    The JSON is in the photos' own pixels. A sheet of pictures shows photos as the model sees them.
    """
    from syndet_ray.report.figures.sheets import write_over_truth

    folder = new_folder(out)
    write_whole(folder / "scores.json", json.dumps(scores(result), indent=1).encode())
    pool = result.pool
    predictions = [in_photo(pool, i, of_image) for i, of_image in enumerate(result.predictions)]
    write_whole(folder / "predictions.json", json.dumps(coco_results(predictions)).encode())
    truth = coco_truth(pool.labels_in_photos())
    write_whole(folder / "truth.json", json.dumps(truth).encode())
    pictures = [
        predicted_picture(pool, i, of_image) for i, of_image in enumerate(result.predictions)
    ]
    best, worst = best_and_worst(pictures, _SHOWN)
    shown = {name: pictures for name, pictures in (("worst", worst), ("best", best)) if pictures}
    write_over_truth(shown, folder / "worst_and_best")
    return folder


def scores(result: SplitEvaluation) -> dict[str, Any]:
    """All scores as JSON has them; null for one that could not be measured."""
    metrics = {}
    for name, value in result.evaluation.metrics.items():
        interval = [_finite(bound) for bound in result.intervals.get(name, ())]
        metrics[name] = {"value": _finite(value), "interval": interval or None}
    bins = [
        {"low": b.low, "high": b.high, "objects": b.objects, "mean": b.mean}
        for b in result.visibility.bins
    ]
    return {
        "model": result.model,
        "data": str(result.data),
        "split": result.split,
        "hash": result.pool.hash,
        "images": len(result.pool),
        "objects": int((~result.pool.crowd).sum()),
        "trained_on": result.trained_on,
        "resamples": RESAMPLES,
        "metrics": metrics,
        "visibility": {
            "kind": result.visibility.kind,
            "minimum": result.visibility.minimum,
            "bins": bins,
        },
        "classes": result.pool.classes,
        "absent": result.evaluation.absent,
        "confusion": result.evaluation.confusion.tolist(),
        "notes": result.notes,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
