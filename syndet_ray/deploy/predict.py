"""Apply: a saved model on images that nobody labelled, and what it finds written for people and for
other programs.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data import picture
from syndet_ray.data.unlabelled import ImageFile
from syndet_ray.deploy.finder import Finder
from syndet_ray.deploy.output import new_folder
from syndet_ray.detection.export import at_least, detections, kitti
from syndet_ray.detection.score import Predictions
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.files import write_whole
from syndet_ray.report.annotated import annotated

KEPT_SCORE = 0.05  # what is less sure is noise to nearly everybody, and most of the file
_JPEG: dict[str, Any] = {"quality": 92, "subsampling": 0}  # whole colours: thin lines would smear


@dataclass(kw_only=True)
class Applied:
    """What has come of it so far.

    images   one entry for each image that could be read, as predictions.json holds them
    skipped  why the others could not
    counts   detections by class, of those that are drawn
    least    confidence from which they are
    highest  confidence of all that was detected, drawn or not; 0 where nothing was
    """

    out: Path
    least: float
    images: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    highest: float = 0.0
    seconds: float = 0.0


def apply(
    finder: Finder,
    files: Sequence[ImageFile],
    out: Path,
    *,
    least: float,
    progress: Callable[[int, int], None],
) -> Applied:
    """Predicts images into a new folder: annotated/, kitti/ and predictions.json.

    least  confidence from which a detection is drawn and written for KITTI; JSON has all from 0.05

    An image that cannot be read is skipped. Interrupted, what is there of predictions.json is
    written. Raises DefinitionError for `least` outside 0 to 1.
    """
    if not 0 <= least <= 1:
        raise DefinitionError("`least`", "must be from 0 to 1", got=least)
    found, began = Applied(out=_new_folders(out), least=least), time.monotonic()
    try:
        for done, file in enumerate(files, start=1):
            _one(finder, file, least, found)
            progress(done, len(files))
    finally:
        found.seconds = time.monotonic() - began
        # an image a line: to be read and searched
        lines = ",\n".join(json.dumps(image) for image in found.images)
        write_whole(found.out / "predictions.json", f"[\n{lines}\n]\n".encode())
    return found


def _new_folders(out: Path) -> Path:
    folder = new_folder(out)
    for name in ("annotated", "kitti"):
        (folder / name).mkdir()
    return folder


def _one(finder: Finder, file: ImageFile, least: float, found: Applied) -> None:
    """One image: read, predicted, written. What is written is in its own pixels, whatever size the
    model saw.
    """
    try:
        image = picture.pixels(file.path, str(file.path))
        every = finder(file.path, str(file.path))
    except DataError as error:
        found.skipped.append(f"{error.place}: {error.rule}")
        return
    shown = at_least(every, least)
    _write_picture(found.out / "annotated", file, image, shown, finder.classes)
    (found.out / "kitti" / f"{file.name}.txt").write_text(kitti(shown, finder.classes))
    found.highest = max(found.highest, float(every.scores.max(initial=0.0)))
    found.counts.update(finder.classes[label] for label in shown.labels)
    height, width = image.shape[:2]
    kept = detections(at_least(every, min(KEPT_SCORE, least)), finder.classes)
    entry = {
        "file": str(file.path),
        "name": file.name,
        "width": width,
        "height": height,
        "detections": kept,
    }
    found.images.append(entry)


def _write_picture(
    folder: Path, file: ImageFile, image: np.ndarray, found: Predictions, classes: tuple[str, ...]
) -> None:
    """A photo stays JPEG; as PNG it would be ten times as large. All else keeps every pixel."""
    drawn = annotated(image, found, classes)
    if file.path.suffix.lower() in (".jpg", ".jpeg"):
        drawn.save(folder / f"{file.name}.jpg", **_JPEG)
    else:
        drawn.save(folder / f"{file.name}.png")
