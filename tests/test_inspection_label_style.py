"""Label style: measured on photos, it is the style that their boxes were drawn in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from syndet_ray.data.record import Record, Source
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DataError
from syndet_ray.inspection.label_style import measure
from syndet_ray.scenes.generate import generate


def photos_of(tmp_path: Path, count: int, **style) -> Source:
    """Rendered dice as encoded photos, with boxes drawn in a known style."""
    import cv2

    pool = generate(
        SceneParameters(objects=2, image_px=256, blur=0.2, noise=0.1, size_px=(30, 50), **style),
        count,
        0,
        tmp_path,
    )
    records = [
        Record(
            image_id=f"{i}",
            image=cv2.imencode(".png", pool.image(i)[..., ::-1])[1].tobytes(),
            size_wh=tuple(pool.sizes_wh[i].tolist()),
            boxes=pool.boxes(i),
            place=f"image {i}",
        )
        for i in range(count)
    ]
    return Source(name="real", classes=pool.classes, records=tuple(records))


@pytest.mark.parametrize("style", [(0.25, 0.06, 0.02, True), (0.1, 0.02, 0.04, False)])
def test_the_style_that_boxes_were_drawn_in_is_found_again(tmp_path, style):
    padding, spread, jitter, square = style
    given = {
        "box_padding": padding,
        "box_padding_spread": spread,
        "box_jitter": jitter,
        "box_square": square,
    }
    told = []
    found = measure(
        photos_of(tmp_path, 26, **given), most=45, progress=lambda *done: told.append(done)
    )
    assert told[-1][0] == told[-1][1]
    assert found.objects >= 20
    assert found.square is square
    assert found.padding == pytest.approx(padding, abs=0.05)
    assert found.padding_spread == pytest.approx(spread, abs=0.04)
    assert found.jitter == pytest.approx(jitter, abs=0.02)
    assert found.settings()["scene.box_square"] is square


def test_too_few_objects_say_nothing(tmp_path):
    with pytest.raises(DataError, match="needs 20 objects that stand alone"):
        measure(photos_of(tmp_path, 1), most=3)


def test_regions_to_ignore_have_no_style(tmp_path):
    photos = photos_of(tmp_path, 26)
    records = []
    for record in photos.records:
        crowds = replace(record.boxes, crowd=np.ones(len(record.boxes), bool))
        records.append(replace(record, boxes=crowds))
    with pytest.raises(DataError, match=r"needs 20 objects that stand alone .*, got 0"):
        measure(replace(photos, records=tuple(records)), most=45)
