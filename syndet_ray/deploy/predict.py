"""Predict: a saved model's detections in unlabelled images, as pictures and as files."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data.images import picture
from syndet_ray.data.images.unlabelled import ImageFile
from syndet_ray.deploy.finder import Finder
from syndet_ray.deploy.output import new_folder
from syndet_ray.detection.export import at_least, detections, kitti
from syndet_ray.detection.score import Predictions
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.files import make_folder, write_whole, writing
from syndet_ray.progress import Progress
from syndet_ray.report.annotated import annotate_picture

KEPT_SCORE = 0.05  # less confident detections are mostly noise, and most of the file
_JPEG: dict[str, Any] = {"quality": 92, "subsampling": 0}  # whole colours: thin lines would smear


@dataclass(kw_only=True)
class PredictionSummary:
    """The result of predicting images, so far.

    images   one entry for each image that could be read, as predictions.json holds them
    skipped  why the others could not
    headers  of the images that could be read
    counts   detections by class that are in the pictures
    least    the least confidence of these detections
    highest  the highest confidence of all detections, in the pictures or not; 0 without any
    """

    out: Path
    least: float
    images: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    headers: list[picture.Header] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    highest: float = 0.0
    seconds: float = 0.0


def predict_images(
    finder: Finder,
    files: Sequence[ImageFile],
    out: Path,
    *,
    least: float,
    progress: Progress,
) -> PredictionSummary:
    """Predicts images into a new folder: annotated/, kitti/ and predictions.json.

    least  least confidence of the detections in pictures and KITTI files; JSON has all from 0.05

    An image that cannot be read is skipped. When it is interrupted, predictions.json has the images
    so far. Raises DefinitionError for `least` outside 0 to 1, and MachineError if `out` cannot be
    written.
    """
    if not 0 <= least <= 1:
        raise DefinitionError("`least`", "must be from 0 to 1", got=least)
    summary = PredictionSummary(out=_new_folders(out), least=least)
    began = time.monotonic()
    try:
        for done, file in enumerate(files, start=1):
            _predict_file(finder, file, least, summary)
            progress(done, len(files))
    finally:
        summary.seconds = time.monotonic() - began
        # an image a line: to be read and searched
        lines = ",\n".join(json.dumps(image) for image in summary.images)
        write_whole(summary.out / "predictions.json", f"[\n{lines}\n]\n".encode())
    return summary


def _new_folders(out: Path) -> Path:
    folder = new_folder(out)
    for name in ("annotated", "kitti"):
        make_folder(folder / name)
    return folder


def _predict_file(
    finder: Finder, file: ImageFile, least: float, summary: PredictionSummary
) -> None:
    """Reads one image, predicts it and writes the detections, in the image's own pixels."""
    try:
        header = picture.header(file.path, str(file.path))
        image = picture.pixels(file.path, str(file.path))
        predictions = finder(file.path, str(file.path))
    except DataError as error:
        summary.skipped.append(f"{error.place}: {error.rule}")
        return
    summary.headers.append(header)
    shown = at_least(predictions, least)
    with writing(summary.out):
        _write_picture(summary.out / "annotated", file, image, shown, finder.classes)
        (summary.out / "kitti" / f"{file.name}.txt").write_text(
            kitti(shown, finder.classes), encoding="utf-8"
        )
    summary.highest = max(summary.highest, float(predictions.scores.max(initial=0.0)))
    summary.counts.update(finder.classes[label] for label in shown.labels)
    height, width = image.shape[:2]
    kept = detections(at_least(predictions, min(KEPT_SCORE, least)), finder.classes)
    entry = {
        "file": str(file.path),
        "name": file.name,
        "width": width,
        "height": height,
        "detections": kept,
    }
    summary.images.append(entry)


def _write_picture(
    folder: Path,
    file: ImageFile,
    image: np.ndarray,
    predictions: Predictions,
    classes: tuple[str, ...],
) -> None:
    """Writes a JPEG for a JPEG, since a PNG of a photo is ten times as large; PNG otherwise."""
    annotated = annotate_picture(image, predictions, classes)
    if file.path.suffix.lower() in (".jpg", ".jpeg"):
        annotated.save(folder / f"{file.name}.jpg", **_JPEG)
    else:
        annotated.save(folder / f"{file.name}.png")
