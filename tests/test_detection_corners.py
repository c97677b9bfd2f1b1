"""Boxes that are corners are recognized, and no boxes of a detector that is only bad."""

import json

import numpy as np
import pytest

from syndet_ray.detection.corners import are_corners
from syndet_ray.detection.program_report import read_predictions
from syndet_ray.errors import DataError

SIZE = np.array([640, 480])


def corners_anywhere(rng, count, largest=0.4, most_outside=0.0):
    """Left, top, right, bottom of boxes that lie anywhere, as shares of their image."""
    centres = rng.uniform(0, 1, (count, 2))
    sizes = rng.uniform(0.02, largest, (count, 2))
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    return np.clip(corners, -most_outside, 1 + most_outside)


def xywh_anywhere(rng, count, **limits):
    corners = corners_anywhere(rng, count, **limits)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def giants_cut_left(rng, count):
    """Left, top, width, height that reach far out; only what lies left or above was cut off."""
    centres, sizes = rng.uniform(0, 1, (count, 2)), rng.uniform(0.7, 1, (count, 2))
    return np.concatenate([np.maximum(0, centres - sizes / 2), sizes], axis=1)


def few_modes(rng, count):
    """Nearly the same four boxes always, which could be corners and which reach out."""
    modes = np.array(
        [[0, 0, 0.2, 0.3], [0.5, 0.5, 0.8, 0.7], [0.7, 0.1, 0.9, 0.3], [0.1, 0.6, 1, 1]]
    )
    return modes[rng.integers(0, 4, count)] + rng.uniform(0, 0.01, (count, 4))


def is_taken_for_corners(shares):
    sizes_wh = np.tile(SIZE, (len(shares), 1))
    return are_corners(shares * np.tile(SIZE, 2), sizes_wh)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limits", [{}, {"most_outside": 0.05}, {"largest": 0.2}])
def test_corners_of_objects_anywhere_are_recognized(seed, limits):
    rng = np.random.default_rng(seed)
    assert is_taken_for_corners(corners_anywhere(rng, 200, **limits))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "boxes_of",
    [
        xywh_anywhere,
        lambda rng, count: xywh_anywhere(rng, count, most_outside=1.0),
        lambda rng, count: rng.uniform(0, 1, (count, 4)),
        lambda rng, count: np.tile([0.4, 0.4, 0.8, 0.8], (count, 1)),
        giants_cut_left,
        few_modes,
    ],
    ids=["good", "unclipped", "random", "one box always", "giants", "few modes"],
)
@pytest.mark.parametrize("count", [0, 1, 20, 3000])
def test_a_detector_that_is_only_bad_is_not_taken_for_one_that_writes_corners(
    boxes_of, count, seed
):
    assert not is_taken_for_corners(boxes_of(np.random.default_rng(seed), count))


def test_corners_in_a_report_are_refused_by_name(squares, tmp_path):
    pool = squares(2)
    entries = []
    for number, shares in enumerate(corners_anywhere(np.random.default_rng(0), 200)):
        bbox = (shares * 96).tolist()
        entry = {"image_id": number % 2 + 1, "category_id": 1, "bbox": bbox, "score": 0.5}
        entries.append(entry)
    (tmp_path / "found.json").write_text(json.dumps(entries))
    report = {"predictions": "found.json"}
    message = (
        r"^line 1: found.json: bbox must be left, top, width, height in pixels, and these look like "
        r"corners: left, top, right, bottom. Write right - left as the width"
    )
    with pytest.raises(DataError, match=message):
        read_predictions(report, "line 1", tmp_path, pool)
    for entry in entries:
        left, top, right, bottom = entry["bbox"]
        entry["bbox"] = [left, top, right - left, bottom - top]
    (tmp_path / "found.json").write_text(json.dumps(entries))
    first, second = read_predictions(report, "line 1", tmp_path, pool)
    assert len(first.scores) == len(second.scores) == 100
