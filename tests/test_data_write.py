"""Datasets that we write: read again they are what was written, and nothing is overwritten."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import read
from syndet_ray.data.write import contact_sheet, write_dataset
from syndet_ray.errors import DataError


@pytest.fixture
def pool():
    """Images of two sizes: two boxes with fractions, a negative, and a crowd of unknown
    visibility.
    """
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, size, np.uint8) for size in ((20, 40, 3), (20, 40, 3), (31, 17, 3))
    ]
    boxes = [
        Boxes.of([[1 / 3, 2.1, 39.7, 19.9], [0, 0, 40, 20]], [1, 0], [0.3, 1.0]),
        Boxes.none(),
        Boxes.of([[3, 4, 17, 31]], [1], None, [True]),
    ]
    return Pool.of("synthetic", ("cat", "dog"), images, boxes, ["a/1", "a/2", "b"], synthetic=True)


def test_what_is_written_reads_back_as_it_was(pool, tmp_path):
    told = []
    write_dataset(pool, tmp_path / "out", lambda *progress: told.append(progress))
    assert told == [(1, 3), (2, 3), (3, 3)]
    dataset = read(tmp_path / "out")
    assert (dataset.classes, dataset.notes) == (pool.classes, ())
    found = decode(dataset.splits["train"])
    assert np.array_equal(found.pixels, pool.pixels)
    assert np.abs(found.xyxy - pool.xyxy).max() < 1e-6
    assert np.array_equal(found.visibility, pool.visibility, equal_nan=True)
    for name in ("sizes_wh", "labels", "crowd", "box_counts"):
        assert np.array_equal(getattr(found, name), getattr(pool, name)), name


def test_the_json_is_plain_coco(pool, tmp_path):
    write_dataset(pool, tmp_path / "out")
    content = json.loads(
        (tmp_path / "out/annotations.json").read_text(), parse_constant=pytest.fail
    )
    assert [category["name"] for category in content["categories"]] == ["cat", "dog"]
    assert content["images"][2] == {
        "id": 2,
        "file_name": "000002.png",
        "width": 17,
        "height": 31,
        "source_id": "b",
    }
    assert [annotation["id"] for annotation in content["annotations"]] == [0, 1, 2]
    whole, crowd = content["annotations"][1:]
    assert (whole["bbox"], whole["area"], whole["iscrowd"], whole["visibility"]) == (
        [0, 0, 40, 20],
        800,
        0,
        1.0,
    )
    assert crowd["iscrowd"] == 1
    assert "visibility" not in crowd


def test_parquet_has_a_row_for_each_box(pool, tmp_path):
    write_dataset(pool, tmp_path / "out")
    rows = parquet.read_table(tmp_path / "out/annotations.parquet").to_pylist()
    assert len(rows) == 3
    assert rows[1] == {
        "image_id": 0,
        "file_name": "000000.png",
        "width": 40,
        "height": 20,
        "x1": 0,
        "y1": 0,
        "x2": 40,
        "y2": 20,
        "label": 0,
        "class": "cat",
        "visibility": 1.0,
        "iscrowd": False,
    }
    assert rows[2]["visibility"] is None


def test_jpeg_keeps_the_boxes_and_nearly_the_pixels(pool, tmp_path):
    flat = replace(pool, pixels=np.full_like(pool.pixels, 128))
    write_dataset(flat, tmp_path / "out", image_format="jpeg")
    found = decode(read(tmp_path / "out").splits["train"])
    assert np.abs(found.pixels.astype(int) - 128).max() <= 2
    assert np.abs(found.xyxy - pool.xyxy).max() < 1e-6


def test_nothing_is_overwritten(pool, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"must be a new or an empty folder, got \['mine.txt'\]"):
        write_dataset(pool, tmp_path)
    with pytest.raises(DataError, match="is a file, a dataset needs a folder"):
        write_dataset(pool, tmp_path / "mine.txt")
    (tmp_path / "empty").mkdir()
    write_dataset(pool, tmp_path / "empty")
    assert len(read(tmp_path / "empty").splits["train"]) == 3


def test_a_set_that_cannot_be_finished_leaves_nothing(pool, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(pool, tmp_path / "out", interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("count", "height"), [(0, 256), (1, 256), (6, 256), (7, 516), (30, 1036)])
def test_the_contact_sheet_shows_up_to_24_images(count, height, squares, tmp_path):
    contact_sheet(squares(count), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (6 * 260 - 4, height)


def test_the_contact_sheet_draws_boxes_where_asked(squares, tmp_path):
    pool = squares(1, side=256)
    contact_sheet(pool, tmp_path / "with.png")
    contact_sheet(pool, tmp_path / "without.png", boxes=False)
    with Image.open(tmp_path / "with.png") as sheet, Image.open(tmp_path / "without.png") as plain:
        drawn, bare = np.asarray(sheet)[:, :256], np.asarray(plain)[:, :256]
    assert np.array_equal(bare, pool.image(0))
    rows, columns = np.nonzero((drawn != bare).any(axis=2))
    x1, y1, x2, y2 = pool.xyxy[0]
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (x1, y1, x2, y2)
