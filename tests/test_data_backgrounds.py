"""Backgrounds are squares of training photos without objects, as large as there is room."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_data_cutouts import DISC, PLATE, dataset

from syndet_ray.boxes import Boxes
from syndet_ray.data.backgrounds import LEAST_PX, cut_backgrounds, empty_squares
from syndet_ray.data.parts_of_photos import photos_used
from syndet_ray.data.read import read
from syndet_ray.data.splits.groups import image_hashes
from syndet_ray.errors import DataError

BOX = st.tuples(*[st.integers(0, 300)] * 2, *[st.integers(1, 120)] * 2)


def boxes_of(xyxy):
    array = np.array(xyxy, float).reshape(-1, 4)
    return Boxes.of(array, np.zeros(len(array), int), np.ones(len(array)))


@given(st.lists(BOX, max_size=6))
@settings(max_examples=40, deadline=None)
def test_squares_meet_no_box_and_not_one_another(corners):
    boxes = boxes_of([(x, y, x + w, y + h) for x, y, w, h in corners])
    taken = np.zeros((260, 320), int)
    for x1, y1, x2, y2 in boxes.xyxy.astype(int).tolist():
        taken[y1:y2, x1:x2] = 1
    for x, y, side in empty_squares(boxes, (320, 260)):
        assert side >= LEAST_PX and x >= 0 and y >= 0 and x + side <= 320 and y + side <= 260
        assert taken[y : y + side, x : x + side].sum() == 0
        taken[y : y + side, x : x + side] = 1


def test_the_largest_square_is_taken():
    ((x, y, side), *_) = empty_squares(boxes_of([]), (300, 200))
    assert side >= 197
    ((x, y, side), *_) = empty_squares(boxes_of([(0, 0, 150, 200)]), (300, 200))
    assert x >= 152 and side >= 140
    assert empty_squares(boxes_of([(0, 0, 300, 200)]), (300, 200)) == []


def test_squares_are_files_that_name_their_photo(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]] * 3)
    told = []
    count = cut_backgrounds(data, tmp_path / "out", 2, 0, progress=lambda *now: told.append(now))
    files = sorted((tmp_path / "out").iterdir())
    assert count == len(files) == 2 and told == [(1, 2), (2, 2)]
    for file in files:
        with Image.open(file) as image:
            assert image.mode == "RGB" and image.width == image.height >= LEAST_PX
    assert set(photos_used(tmp_path / "out")) <= set(image_hashes(read(data).splits["train"]))
    with pytest.raises(DataError, match="out"):
        cut_backgrounds(data, tmp_path / "out", 2, 0)


def test_photos_full_of_objects_have_none(tmp_path):
    whole = ("rectangle", (0, 0, 199, 199), (20, 60, 160))
    data = dataset(tmp_path / "data", [[(0, whole)]])
    with pytest.raises(DataError, match="no photo with a square of 64 px without objects"):
        cut_backgrounds(data, tmp_path / "out", 5, 0)
    assert not (tmp_path / "out").exists()
