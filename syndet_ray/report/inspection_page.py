"""Glance: what `data inspect` found, as one HTML file that needs nothing else, with its numbers in
a folder beside it.
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

from syndet_ray.data import picture
from syndet_ray.data.record import Record
from syndet_ray.errors import DataError
from syndet_ray.files import write_whole
from syndet_ray.inspection import differences
from syndet_ray.inspection.comparison import Inspection, Place, Subject, Twins
from syndet_ray.inspection.statistics import BY_NAME, SHARES
from syndet_ray.progress import NamedProgress
from syndet_ray.report import document
from syndet_ray.report.figures import distributions
from syndet_ray.report.figures.plot import save
from syndet_ray.report.palette import ORANGE
from syndet_ray.seeds import generator

_SAMPLES, _SAMPLE_PX = 8, 240
_MOST_TWINS = 24
_JPEG = {"quality": 82, "optimize": True}


def write(found: Inspection, out: Path, progress: NamedProgress) -> Path:
    """Writes the page, and beside it <name>_numbers/ with every figure and table as CSV and
    Parquet; its path.

    Files of an earlier page of that name are replaced. `progress` is told (what is done, done, of
    how many). Raises DataError where `out` is a folder.
    """
    if out.is_dir():
        raise DataError(
            out, "is a folder, the page is a file", do="Give a file such as --out inspect.html."
        )
    numbers = numbers_folder(out)
    numbers.mkdir(parents=True, exist_ok=True)
    for old in (path for path in numbers.iterdir() if path.suffix in (".png", ".csv", ".parquet")):
        old.unlink()  # a figure of other sources beside those of these would mislead
    drawings = distributions.all_figures(found)
    drawn = {}
    for done, (name, drawing) in enumerate(drawings.items(), start=1):
        drawn[name] = save(drawing, numbers / name)
        progress("drawing", done, len(drawings))
    for name, columns in tables(found).items():
        _write_table(columns, numbers / name)
    return write_whole(
        out, document.html("inspect.html.j2", drawn, **content(found, numbers.name)).encode()
    )


def numbers_folder(out: Path) -> Path:
    return out.with_name(f"{out.stem}_numbers")


def content(found: Inspection, numbers: str) -> dict[str, Any]:
    """Everything that the page says, but for its figures."""
    names = [subject.name for subject in found.subjects]
    return {
        "title": " and ".join(names)
        if len(names) < 3
        else f"{names[0]} and {len(names) - 1} others",
        "names": names,
        "constant": differences.CONSTANT,
        "headline": differences.headline(found),
        "has_stand_in": found.stand_in,
        # of the whole page, which the figure macro would mark: here the source's name says it
        "stand_in": False,
        "notes": found.notes,
        "summary": differences.summary(found),
        "shares": SHARES,
        "compared": [(k, name, differences.rows(found, name)) for k, name in enumerate(names) if k],
        "placed": [
            (k, subject.name)
            for k, subject in enumerate(found.subjects)
            if subject.measured.objects
        ],
        "statistics": distributions.by_distance(found),
        "unvaried": differences.unvaried(found),
        "samples": [(subject.name, _samples(subject)) for subject in found.subjects],
        "twins": [_shown(twins, found) for twins in found.twins[:_MOST_TWINS]],
        "more_twins": max(0, len(found.twins) - _MOST_TWINS),
        "numbers": numbers,
    }


def tables(found: Inspection) -> dict[str, dict[str, Sequence[Any]]]:
    """The numbers behind the page by name of a table, each as columns."""
    return {
        "images": _stacked([_image_columns(subject) for subject in found.subjects]),
        "objects": _stacked([_object_columns(subject) for subject in found.subjects]),
        "distances": _columns([_distance_row(distance) for distance in found.distances]),
        "duplicates": _columns([_twin_row(twins) for twins in found.twins]),
    }


def _image_columns(subject: Subject) -> dict[str, np.ndarray]:
    measured = subject.measured
    ids = np.array([record.image_id for record in subject.source.records], dtype=object)
    head = {
        "source": np.full(measured.images, subject.name, dtype=object),
        "split": np.array(subject.splits, dtype=object),
    }
    return (
        head
        | {"image_id": ids}
        | {n: measured.values[n] for n, s in BY_NAME.items() if s.of == "image"}
    )


def _object_columns(subject: Subject) -> dict[str, np.ndarray]:
    measured = subject.measured
    images = _image_columns(subject)
    names = np.array(measured.classes, dtype=object)[measured.labels]
    unknown = np.full(measured.objects, np.nan)
    numeric = [*(name for name, statistic in BY_NAME.items() if statistic.of == "object"), *SHARES]
    head = {name: images[name][measured.image_of] for name in ("source", "split", "image_id")}
    return head | {"class": names} | {name: measured.values.get(name, unknown) for name in numeric}


def _stacked(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Sequence[Any]]:
    return {name: np.concatenate([part[name] for part in parts]).tolist() for name in parts[0]}


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _distance_row(distance: Any) -> dict[str, Any]:
    row = asdict(distance)
    reference, mean = row.pop("means") or (None, None)
    return row | {"mean_of_reference": reference, "mean": mean}


def _twin_row(twins: Twins) -> dict[str, Any]:
    ends = {"first": twins.first, "second": twins.second}
    named = {
        f"{end}_{key}": getattr(at, key)
        for end, at in ends.items()
        for key in ("source", "split", "image_id")
    }
    return named | {
        "exact": twins.exact,
        "copy": twins.copy,
        "bits": twins.bits,
        "apart": twins.apart,
    }


def _write_table(columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """<path>.parquet and <path>.csv; nothing where there is nothing to tell."""
    if not columns:
        return
    table = pa.table({name: list(values) for name, values in columns.items()})
    parquet.write_table(table, path.with_suffix(".parquet"))
    csv.write_csv(table, path.with_suffix(".csv"))


def _samples(subject: Subject) -> list[tuple[str, str]]:
    """A few images of a source, drawn at random, with their boxes: their ids, and each as a data
    URI.
    """
    rng = generator(0, f"samples of {subject.name}")
    chosen = sorted(rng.permutation(len(subject.source))[:_SAMPLES].tolist())
    records = [subject.record(i) for i in chosen]
    return [(record.image_id, thumbnail(record, boxes=True)) for record in records]


def _shown(twins: Twins, found: Inspection) -> dict[str, Any]:
    def small(place: Place) -> str:
        return thumbnail(found.subjects[place.subject].record(place.image), boxes=False)

    names = differences.twin_name(twins, found)
    pictures = (small(twins.first), small(twins.second))
    how = differences.twin_words(twins)
    return {
        "names": names,
        "pictures": pictures,
        "how": how,
        "bits": twins.bits,
        "apart": twins.apart,
    }


def thumbnail(record: Record, *, boxes: bool) -> str:
    """A record's image with 240 px on its longest side, as the data URI of a JPEG."""
    rgb = picture.pixels(record.image, record.place)
    scale = _SAMPLE_PX / max(rgb.shape[:2])
    image = Image.fromarray(rgb).resize([max(1, round(side * scale)) for side in rgb.shape[1::-1]])
    if boxes:
        draw = ImageDraw.Draw(image)
        for box in (record.boxes.xyxy * scale).tolist():
            draw.rectangle(box, outline=ORANGE)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", **_JPEG)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
