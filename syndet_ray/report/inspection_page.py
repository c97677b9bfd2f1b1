"""Inspection page: the result of `data inspect` as one self-contained HTML file.

Its numbers are in a folder next to it.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw
from pyarrow import csv, parquet

from syndet_ray.data.images import picture
from syndet_ray.data.record import Record
from syndet_ray.errors import DataError
from syndet_ray.files import check_writable, make_folder, write_whole, writing
from syndet_ray.inspection import differences
from syndet_ray.inspection.class_sizes import SizeTest
from syndet_ray.inspection.distance import Distance
from syndet_ray.inspection.inspect import DuplicatePair, ImagePlace, Inspection, Subject
from syndet_ray.inspection.statistics import BY_NAME, SHARES
from syndet_ray.progress import NamedProgress
from syndet_ray.report import document
from syndet_ray.report.figures import distributions
from syndet_ray.report.figures.plot import save
from syndet_ray.report.palette import ORANGE
from syndet_ray.seeds import generator

_SAMPLES, _SAMPLE_PX = 8, 240  # images of each source, a row of the page; their longest side
_MOST_PAIRS = 24  # pairs on the page: each is two embedded images; the table has all
_JPEG = {"quality": 82, "optimize": True}


def check_out(out: Path) -> None:
    """Raises DataError when `out` is a folder, DefinitionError when its name is none of a page, and
    MachineError when the page cannot be written.
    """
    with writing(out):
        is_folder = out.is_dir()
    if is_folder:
        do = "Give a file for `out`, such as inspect.html."
        raise DataError(out, "is a folder, the page is a file", do=do)
    document.check_name(out)
    for path in (out, numbers_folder(out)):
        check_writable(path, "Give another file with `out`.")


def write(inspection: Inspection, out: Path, progress: NamedProgress) -> Path:
    """Writes the page and returns its path.

    The folder <name>_numbers/ next to it gets every figure and table as CSV and Parquet. Files of
    an older page of that name are replaced. `progress` is called with (name of the step, number
    done, number in all). Raises as `check_out` does.
    """
    check_out(out)
    numbers = make_folder(numbers_folder(out))
    _delete_numbers(numbers)
    drawings = distributions.all_figures(inspection)
    drawn = {}
    for done, (name, drawing) in enumerate(drawings.items(), start=1):
        drawn[name] = save(drawing, numbers / name)
        progress("plotting", done, len(drawings))
    for name, columns in tables(inspection).items():
        _write_table(columns, numbers / name)
    html = document.html("inspect.html.j2", drawn, **content(inspection, numbers.name))
    return write_whole(out, html.encode())


def _delete_numbers(folder: Path) -> None:
    """Deletes an older page's files: figures of other sources among these would mislead."""
    for path in list(folder.iterdir()):
        if path.suffix in (".png", ".csv", ".parquet"):
            path.unlink()


def numbers_folder(out: Path) -> Path:
    return out.with_name(f"{out.stem}_numbers")


def content(inspection: Inspection, numbers: str) -> dict[str, Any]:
    """Everything on the page except its figures."""
    subjects = inspection.subjects
    names = [subject.name for subject in subjects]
    pairs = inspection.duplicates
    with_objects = [
        (k, subject.name) for k, subject in enumerate(subjects) if subject.measurements.objects
    ]
    compared = [
        (k, name, differences.rows(inspection, name)) for k, name in enumerate(names[1:], start=1)
    ]
    many = f"{names[0]} and {len(names) - 1} others"
    return {
        "title": " and ".join(names) if len(names) < 3 else many,
        "names": names,
        "constant": differences.CONSTANT,
        "headline": differences.headline(inspection),
        "has_stand_in": inspection.stand_in,
        # of the whole page, which the figure macro would mark: here the source's name says it
        "stand_in": False,
        "notes": inspection.notes,
        "summary": differences.summary(inspection),
        "shares": SHARES,
        "size_words": differences.SIZE_WORDS,
        "compared": compared,
        "with_objects": with_objects,
        "statistics": distributions.by_distance(inspection),
        "unvaried": differences.constant_statistics(inspection),
        "samples": [(subject.name, _samples(subject)) for subject in subjects],
        "pairs": [_pair(pair, inspection) for pair in pairs[:_MOST_PAIRS]],
        "more_pairs": max(0, len(pairs) - _MOST_PAIRS),
        "numbers": numbers,
    }


def tables(inspection: Inspection) -> dict[str, dict[str, Sequence[Any]]]:
    """The numbers behind the page by name of a table, each as columns."""
    subjects = inspection.subjects
    return {
        "images": _stack([_image_columns(subject) for subject in subjects]),
        "objects": _stack([_object_columns(subject) for subject in subjects]),
        "distances": _columns([_distance_row(distance) for distance in inspection.distances]),
        "class_sizes": _columns([_size_row(test) for test in inspection.size_tests]),
        "duplicates": _columns([_pair_row(pair) for pair in inspection.duplicates]),
    }


def _image_columns(subject: Subject) -> dict[str, np.ndarray]:
    measurements = subject.measurements
    ids = subject.source.image_ids()
    columns = {
        "source": np.full(measurements.images, subject.name, dtype=object),
        "split": np.array(subject.splits, dtype=object),
        "image_id": np.array(ids, dtype=object),
    }
    for name, statistic in BY_NAME.items():
        if statistic.per == "image":
            columns[name] = measurements.values[name]
    return columns


def _object_columns(subject: Subject) -> dict[str, np.ndarray]:
    measurements = subject.measurements
    images = _image_columns(subject)
    columns = {
        name: images[name][measurements.image_of] for name in ("source", "split", "image_id")
    }
    columns["class"] = np.array(measurements.classes, dtype=object)[measurements.labels]
    unknown = np.full(measurements.objects, np.nan)
    names = [name for name, statistic in BY_NAME.items() if statistic.per == "object"]
    for name in (*names, *SHARES):
        columns[name] = measurements.values.get(name, unknown)
    return columns


def _stack(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Sequence[Any]]:
    columns: dict[str, Sequence[Any]] = {}
    for name in parts[0]:
        of_parts = [part[name] for part in parts]
        columns[name] = np.concatenate(of_parts).tolist()
    return columns


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    names = rows[0] if rows else ()
    columns: dict[str, Sequence[Any]] = {}
    for name in names:
        columns[name] = [row[name] for row in rows]
    return columns


def _distance_row(distance: Distance) -> dict[str, Any]:
    row = asdict(distance)
    reference, mean = row.pop("means") or (None, None)
    return row | {"mean_of_reference": reference, "mean": mean}


def _size_row(test: SizeTest) -> dict[str, Any]:
    difference = test.difference
    return {
        "source": test.source,
        "classes": len(test.classes),
        "value": test.value,
        "low": test.low,
        "high": test.high,
        "floor": test.floor,
        "tells": test.tells,
        "difference": None if difference is None else difference.value,
        "difference_low": None if difference is None else difference.low,
        "difference_high": None if difference is None else difference.high,
    }


def _pair_row(pair: DuplicatePair) -> dict[str, Any]:
    return {
        "first_source": pair.first.source,
        "first_split": pair.first.split,
        "first_image_id": pair.first.image_id,
        "second_source": pair.second.source,
        "second_split": pair.second.split,
        "second_image_id": pair.second.image_id,
        "exact": pair.exact,
        "copy": pair.copy,
        "bits": pair.bits,
        "apart": pair.apart,
    }


def _write_table(columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Writes <path>.parquet and <path>.csv; nothing for a table without rows."""
    if not columns:
        return
    table = pa.table({name: list(values) for name, values in columns.items()})
    parquet.write_table(table, path.with_suffix(".parquet"))
    csv.write_csv(table, path.with_suffix(".csv"))


def _samples(subject: Subject) -> list[tuple[str, str]]:
    """A few random images of a source with their boxes: their ids, and each as a data URI."""
    rng = generator(0, f"samples of {subject.name}")
    chosen = sorted(rng.permutation(len(subject.source))[:_SAMPLES].tolist())
    records = [subject.record(i) for i in chosen]
    return [(record.image_id, thumbnail(record, boxes=True)) for record in records]


def _pair(pair: DuplicatePair, inspection: Inspection) -> dict[str, Any]:
    def small(place: ImagePlace) -> str:
        record = inspection.subjects[place.subject].record(place.image)
        return thumbnail(record, boxes=False)

    return {
        "names": differences.duplicate_names(pair, inspection),
        "pictures": (small(pair.first), small(pair.second)),
        "how": differences.likeness(pair),
        "bits": pair.bits,
        "apart": pair.apart,
    }


def thumbnail(record: Record, *, boxes: bool) -> str:
    """A record's image with 240 px on its longest side, as the data URI of a JPEG."""
    rgb = picture.pixels(record.image, record.place)
    height, width = rgb.shape[:2]
    scale = _SAMPLE_PX / max(height, width)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(rgb).resize(size_wh)
    if boxes:
        draw = ImageDraw.Draw(image)
        for box in (record.boxes.xyxy * scale).tolist():
            draw.rectangle(box, outline=ORANGE)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", **_JPEG)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
