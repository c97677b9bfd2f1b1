"""ProgramReport: checks what a training program of the user reports, and reads its predictions.

All of it comes from code that we do not know: an error names line or entry, rule and value.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.definitions.program import PROGRAM_SETTINGS
from syndet_ray.definitions.recipe import field_paths
from syndet_ray.detection.corners import are_corners
from syndet_ray.detection.score import NOTHING_FOUND, Predictions, in_order
from syndet_ray.errors import DataError, NonFiniteLoss, nearest
from syndet_ray.metrics import DRAWN

_KEYS = ("images", "predictions", "checkpoint", "metrics", "effective")
_ENTRY = ("image_id", "category_id", "bbox", "score")  # of COCO's results
_MOST_PREDICTION_BYTES = 256 << 20  # three million detections
_MOST_OF_AN_IMAGE = 300  # detections, as of our own models
_MOST_FILES, _MOST_CHECKPOINT_BYTES = 10_000, 16 << 30
_LARGEST = 1e300  # number; JSON has integers that no float can hold
_LONGEST_VALUE = 200  # characters of a value that an error shows


@dataclass(frozen=True, kw_only=True)
class RungReport:
    """A checked report of a program at a rung.

    images       seen so far
    predictions  of the validation images, in their order
    checkpoint   the folder from which it could continue
    metrics      its numbers, by name
    effective    settings of detector and training by dotted path
    drawn        images of each source so far
    """

    images: int
    predictions: Sequence[Predictions]
    checkpoint: Path
    metrics: Mapping[str, float]
    effective: Mapping[str, Any]
    drawn: Mapping[str, int]


def read_rung(
    report: Mapping[str, Any],
    place: str,
    folder: Path,
    *,
    rung: int,
    val: Pool,
    sources: Collection[str],
) -> RungReport:
    """Checks a program's report of a rung.

    place    of the report, for errors
    folder   of the program, in which all lies that it reports
    rung     images that are due
    sources  names of those that it trains on

    Raises DataError for what breaks a rule, and NonFiniteLoss if one of its metrics is not finite.
    """
    for key in report:
        if key not in _KEYS:
            do = nearest(key, _KEYS)
            raise DataError(place, f"{_short(key)} is no part of a report", do=do)
    images = report.get("images")
    if images != rung or isinstance(images, bool):
        rule = f'"images" must be {rung}, the next of the rungs in task.json'
        raise DataError(place, rule, got=_short(images), do="Report the rungs in their order.")
    effective = _effective(report, place)
    return RungReport(
        images=rung,
        predictions=read_predictions(report, place, folder, val),
        checkpoint=_checkpoint(report, place, folder),
        metrics=_metrics(report, place, rung),
        drawn=_draw_counts(effective.pop(DRAWN, None), place, rung, sources),
        effective=effective,
    )


def read_predictions(
    report: Mapping[str, Any], place: str, folder: Path, pool: Pool
) -> list[Predictions]:
    """The predictions in the file that a report names, one for each image of the pool, in pixels of
    the pool.

    The file has COCO's results; image_id is the number of the image in the Parquet files, and
    category_id that of the class in task.json, both from 1. Boxes are clipped to their images, and
    the most confident of each image are kept, as many as our own models make. Raises DataError.
    """
    file = _path_inside(report, "predictions", place, folder)
    by_image: list[list[list[float]]] = [[] for _ in range(len(pool))]
    for number, entry in enumerate(_entries(file, place)):
        image, row = _row(entry, f"{place}: {file.name}, entry {number}", pool)
        by_image[image].append(row)
    _check_corners(by_image, f"{place}: {file.name}", pool)
    return [_predictions(rows, pool, i) for i, rows in enumerate(by_image)]


def _entries(file: Path, place: str) -> list[Any]:
    """The list that a file of predictions holds."""
    if not file.is_file():
        rule = '"predictions" must be a file with COCO\'s results'
        raise DataError(place, rule, got=str(file), do="Write the file before the report.")
    size = file.stat().st_size
    if size > _MOST_PREDICTION_BYTES:
        rule = f'"predictions" must be a file of at most {_MOST_PREDICTION_BYTES:,} bytes'
        raise DataError(place, rule, got=size, do="Leave out the least confident detections.")
    try:
        entries = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        rule = f"{file.name} must be JSON ({str(error) or 'nested too deep'})"
        raise DataError(place, rule) from None
    if not isinstance(entries, list):
        rule = f"{file.name} must hold a list of COCO's results"
        raise DataError(place, rule, got=type(entries).__name__)
    return entries


def _row(entry: Any, place: str, pool: Pool) -> tuple[int, list[float]]:
    """The index of an image, and left, top, width, height, label and score of one detection."""
    if not isinstance(entry, dict):
        raise DataError(place, f"must be an object with {', '.join(_ENTRY)}", got=_short(entry))
    missing = [key for key in _ENTRY if key not in entry]
    if missing:
        do = f"COCO's results have {', '.join(_ENTRY)}."
        raise DataError(place, f"has no {missing[0]}", do=do)
    image = _index(entry, "image_id", place, len(pool), "images")
    label = _index(entry, "category_id", place, len(pool.classes), "classes")
    score = entry["score"]
    if not _is_finite(score) or not 0 <= score <= 1:
        raise DataError(place, "score must be from 0 to 1", got=_short(score))
    return image, [*_box(entry["bbox"], place), label, score]


def _index(entry: Mapping[str, Any], key: str, place: str, count: int, of: str) -> int:
    """The index, from 0, that a number of an entry stands for."""
    number = entry[key]
    if not _is_whole(number) or not 1 <= number <= count:
        rule = f"{key} must be from 1 to {count}, in the order of the {of}"
        raise DataError(place, rule, got=_short(number))
    return int(number) - 1


def _box(box: Any, place: str) -> list[float]:
    """Left, top, width and height of a box."""
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        rule = "bbox must be four finite numbers: left, top, width, height in pixels"
        raise DataError(place, rule, got=_short(box))
    if box[2] < 0 or box[3] < 0:
        rule = "bbox must have a width and a height of 0 or more"
        raise DataError(place, rule, got=box, do="Write left, top, width, height.")
    return box


def _check_corners(by_image: Sequence[list[list[float]]], place: str, pool: Pool) -> None:
    """Raises DataError if the boxes are certainly corners."""
    boxes = [row[:4] for rows in by_image for row in rows]
    counts = [len(rows) for rows in by_image]
    sizes_wh = np.repeat(pool.sizes_wh, counts, axis=0)
    if are_corners(np.array(boxes, np.float64).reshape(-1, 4), sizes_wh):
        rule = "bbox must be left, top, width, height in pixels, and these look like corners"
        do = "Write right - left as the width, and bottom - top as the height."
        raise DataError(place, f"{rule}: left, top, right, bottom", do=do)


def _predictions(rows: list[list[float]], pool: Pool, i: int) -> Predictions:
    """The detections of image i, best first."""
    if not rows:
        return NOTHING_FOUND
    columns = np.array(rows, np.float64)
    top_left, size, label, score = np.split(columns, [2, 4, 5], axis=1)
    edges = np.concatenate([top_left, top_left + size], axis=1)
    predictions = Predictions(
        xyxy=np.clip(edges, 0, np.tile(pool.sizes_wh[i], 2)),
        labels=label[:, 0].astype(np.int64),
        scores=score[:, 0],
    )
    return in_order(predictions).select(np.arange(min(len(rows), _MOST_OF_AN_IMAGE)))


def _checkpoint(report: Mapping[str, Any], place: str, folder: Path) -> Path:
    """The folder of a checkpoint. Raises DataError for links in it, which may lead elsewhere."""
    checkpoint = _path_inside(report, "checkpoint", place, folder)
    if not checkpoint.is_dir() or checkpoint == folder.resolve():
        rule = '"checkpoint" must be a folder of its own'
        raise DataError(place, rule, got=str(checkpoint))
    files = size = 0
    for path in checkpoint.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DataError(place, "a checkpoint must hold files only, no links", got=str(path))
        files += 1
        size += path.stat().st_size
        if files > _MOST_FILES or size > _MOST_CHECKPOINT_BYTES:
            rule = f"a checkpoint must have at most {_MOST_FILES:,} files"
            rule += f" and {_MOST_CHECKPOINT_BYTES >> 30} GiB"
            raise DataError(place, rule, do="Leave out what the program does not need.")
    if not files:
        do = "Write all that is needed to continue and to predict into it."
        raise DataError(place, "the folder of the checkpoint must not be empty", do=do)
    return checkpoint


def _path_inside(report: Mapping[str, Any], key: str, place: str, folder: Path) -> Path:
    """The path that a report names, with links resolved. Raises DataError if it is elsewhere."""
    value = report.get(key)
    root, rule = folder.resolve(), f'"{key}" must be a path in the folder'
    if not isinstance(value, str) or not value:
        raise DataError(place, rule, got=_short(value))
    try:
        path = (root / value).resolve()
        path.exists()  # raises an error for a name that no file can have, such as too long a one
    except (OSError, RuntimeError, ValueError):  # links that lead to one another; a null character
        raise DataError(place, rule, got=_short(value)) from None
    if not path.is_relative_to(root):
        rule = f'"{key}" must lie in the folder that the program was started with'
        raise DataError(place, rule, got=_short(value))
    return path


def _metrics(report: Mapping[str, Any], place: str, images: int) -> dict[str, float]:
    metrics = report.get("metrics", {})
    if not isinstance(metrics, dict) or not all(map(_is_number, metrics.values())):
        rule = '"metrics" must be an object of numbers'
        raise DataError(place, rule, got=_short(metrics))
    for name, value in metrics.items():
        if not _is_finite(value):
            rule = f"the metric {name} must be finite"
            do = "Lower training.learning_rate."
            raise NonFiniteLoss(f"training after {images} images", rule, got=value, do=do)
    return {name: float(value) for name, value in metrics.items()}


def _effective(report: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The settings that a program says it used, with the images by source."""
    effective = report.get("effective")
    if not isinstance(effective, dict):
        rule = '"effective" must be an object: the settings that were used, and "drawn"'
        raise DataError(place, rule, got=_short(effective))
    settings = [path for path in field_paths() if path.startswith(PROGRAM_SETTINGS)]
    for path in effective:
        if path != DRAWN and path not in settings:
            rule = f'"effective": {_short(path)} is no setting of detector or training'
            raise DataError(place, rule, do=nearest(path, settings))
    return dict(effective)


def _draw_counts(drawn: Any, place: str, images: int, sources: Collection[str]) -> dict[str, int]:
    """The images by source. Raises DataError unless they are of these sources, and all images."""
    rule = '"effective" must have "drawn", the images of each source since the training began'
    do = f"Count the first {images} rows of order.parquet by source."
    if not isinstance(drawn, dict):
        raise DataError(place, rule, got=_short(drawn), do=do)
    for source, count in drawn.items():
        if source not in sources:
            hint = nearest(source, sources)
            raise DataError(place, f'"drawn": {_short(source)} is no source', do=hint)
        if not _is_whole(count) or count < 0:
            raise DataError(place, f"{rule}, as numbers", got=_short(drawn), do=do)
    if sum(drawn.values()) != images:
        raise DataError(place, f'"drawn" must have {images} images in all', got=drawn, do=do)
    return dict(drawn)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and abs(value) <= _LARGEST


def _short(value: Any) -> Any:
    """A value from a program, cut to what a person reads."""
    text = repr(value)
    return value if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
