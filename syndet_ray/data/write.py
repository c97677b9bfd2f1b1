"""Write: a pool as a dataset for other tools: images, COCO, Parquet and a contact sheet."""

import colorsys
import json
import math
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from PIL import Image, ImageDraw
from pyarrow import parquet

from syndet_ray.data.pool import Pool
from syndet_ray.errors import DataError
from syndet_ray.files import check_writable, whole_folder, writing
from syndet_ray.progress import Progress

Format = Literal["png", "jpeg"]
# arguments of Pillow's writers
_ENCODING: dict[Format, dict[str, Any]] = {
    "png": {},
    "jpeg": {"quality": 95, "subsampling": 0},
}
# of the contact sheet: its images, the side of a cell, the space between cells
_SHEET_IMAGES, _CELL_PX, _GAP_PX = 24, 256, 4
_GOLDEN_RATIO = 0.618034  # of the circle of hues, from one label to the next
# One row a box; image_id and label are those of the COCO file next to it, x2 and y2 exclusive as in
# `Boxes`.
_COLUMNS = pa.schema(
    [
        ("image_id", pa.int64()),
        ("file_name", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        *((edge, pa.float64()) for edge in ("x1", "y1", "x2", "y2")),
        ("label", pa.int64()),
        ("class", pa.string()),
        ("visibility", pa.float32()),
        ("iscrowd", pa.bool_()),
    ]
)
_ELSEWHERE = "Give another folder."


def write_dataset(
    pool: Pool,
    out: Path,
    progress: Progress | None = None,
    *,
    image_format: Format = "png",
) -> None:
    """Writes `out`/images/, annotations.json, annotations.parquet and contact_sheet.png.

    The folder is written whole or not at all. PNG keeps every pixel, JPEG (quality 95) is smaller.
    Images without boxes are only in the JSON. `progress` is called with (images written, images in
    all). Raises DataError where `out` exists and is no empty folder.
    """
    check_empty(out)
    with whole_folder(out) as unfinished:  # replaces an empty folder
        names = [f"{i:06d}.{image_format}" for i in range(len(pool))]
        _write_images(pool, unfinished / "images", names, progress)
        rows = _rows(pool, names)
        (unfinished / "annotations.json").write_text(
            json.dumps(_coco(pool, names, rows)), encoding="utf-8"
        )
        table = pa.Table.from_pylist(rows, _COLUMNS)
        parquet.write_table(table, unfinished / "annotations.parquet")
        contact_sheet(pool, unfinished / "contact_sheet.png")


def as_table(pool: Pool) -> pa.Table:
    """The boxes of a pool, one row each; file_name is the image's id in the pool."""
    names = [str(image_id) for image_id in pool.image_ids]
    return pa.Table.from_pylist(_rows(pool, names), _COLUMNS)


def check_empty(out: Path) -> None:
    """Raises DataError unless `out` is new or an empty folder.

    Raises MachineError unless it can be written.
    """
    with writing(out, _ELSEWHERE):
        is_file = out.exists() and not out.is_dir()
        names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if is_file:
        raise DataError(out, "is a file, a dataset needs a folder", do="Give a new folder.")
    if names:
        rule = "must be a new or an empty folder"
        raise DataError(out, rule, got=names[:4], do="Give another, or empty it.")
    check_writable(out, _ELSEWHERE)


def contact_sheet(pool: Pool, path: Path, columns: int = 6, *, boxes: bool = True) -> None:
    """Writes the pool's first 24 images into one PNG, each scaled into a cell of 256 px.

    Rows are as high as their highest image.

    With `boxes`, these are outlined in the colour of their class.
    """
    cells = [_cell(pool, i, outlined=boxes) for i in range(min(_SHEET_IMAGES, len(pool)))]
    rows = [cells[first : first + columns] for first in range(0, len(cells), columns)] or [[]]
    step = _CELL_PX + _GAP_PX
    tops = [0]
    for row in rows:
        heights = [cell.height for cell in row]
        tops.append(tops[-1] + max(heights, default=_CELL_PX) + _GAP_PX)
    sheet = Image.new("RGB", (columns * step - _GAP_PX, tops[-1] - _GAP_PX), "white")
    for top, row in zip(tops, rows, strict=False):
        for column, cell in enumerate(row):
            sheet.paste(cell, (column * step, top))
    sheet.save(path)


def _cell(pool: Pool, i: int, *, outlined: bool) -> Image.Image:
    width, height = pool.sizes_wh[i].tolist()
    scale = _CELL_PX / max(width, height)
    cell_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(pool.image(i))
    cell = image.resize(cell_wh)
    if outlined:
        boxes = pool.boxes(i)
        pen = ImageDraw.Draw(cell)
        for xyxy, label in zip(boxes.xyxy * scale, boxes.labels.tolist(), strict=True):
            pen.rectangle(xyxy.tolist(), outline=_color(label))
    return cell


def _color(label: int) -> tuple[int, int, int]:
    """Hues a golden ratio apart: neighbouring labels look different, for any number of labels."""
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN_RATIO % 1, 0.9, 1)
    return round(red * 255), round(green * 255), round(blue * 255)


def _write_images(pool: Pool, folder: Path, names: list[str], progress: Progress | None) -> None:
    folder.mkdir()
    for i, name in enumerate(names):
        image = Image.fromarray(pool.image(i))
        suffix: Any = name.rsplit(".", 1)[1]
        image.save(folder / name, **_ENCODING[suffix])
        if progress is not None:
            progress(i + 1, len(names))


def _coco(pool: Pool, names: list[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    images = []
    for i, name in enumerate(names):
        width, height = pool.sizes_wh[i].tolist()
        image = {
            "id": i,
            "file_name": name,
            "width": width,
            "height": height,
            "source_id": str(pool.image_ids[i]),
        }
        images.append(image)
    annotations = [_annotation(i, row) for i, row in enumerate(rows)]
    categories = [{"id": label, "name": name} for label, name in enumerate(pool.classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotation(number: int, row: dict[str, Any]) -> dict[str, Any]:
    width = row["x2"] - row["x1"]
    height = row["y2"] - row["y1"]
    annotation = {
        "id": number,
        "image_id": row["image_id"],
        "category_id": row["label"],
        "bbox": [row["x1"], row["y1"], width, height],
        "area": width * height,
        "iscrowd": int(row["iscrowd"]),
    }
    if row["visibility"] is not None:
        annotation["visibility"] = row["visibility"]
    return annotation


def _rows(pool: Pool, names: list[str]) -> list[dict[str, Any]]:
    """One row a box, in the order of the images; an unknown visibility is None."""
    rows = []
    for i, name in enumerate(names):
        width, height = pool.sizes_wh[i].tolist()
        boxes = pool.boxes(i)
        columns = (boxes.xyxy, boxes.labels, boxes.visibility, boxes.crowd)
        lists = [column.tolist() for column in columns]
        for (x1, y1, x2, y2), label, visibility, crowd in zip(*lists, strict=True):
            row = {
                "image_id": i,
                "file_name": name,
                "width": width,
                "height": height,
                "x1": x1,
                "y1": y1,
                "x2": x2,
                "y2": y2,
                "label": label,
                "class": pool.classes[label],
                "visibility": None if math.isnan(visibility) else visibility,
                "iscrowd": crowd,
            }
            rows.append(row)
    return rows
