"""Crowding: as many objects in scenes as cover one another's boxes as on photos."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from syndet_ray.boxes import Boxes
from syndet_ray.data.record import Record, Source
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.inspection import crowding
from syndet_ray.inspection.crowding import match_crowding
from syndet_ray.scenes.generate import generate, library_of

SCENES = SceneParameters(objects=6, image_px=160, size_px=(24.0, 36.0), camera_tilt_deg=10.0)


def quiet(name, done, total):
    pass


def photos_of(boxes_of_images):
    records = []
    for i, xyxy in enumerate(boxes_of_images):
        boxes = Boxes.of(xyxy, np.zeros(len(xyxy), int))
        record = Record(image_id=str(i), image=Path(), size_wh=(160, 160), boxes=boxes, place="")
        records.append(record)
    return Source(name="train", classes=library_of(SCENES).classes, records=records)


def scenes_as_photos(tmp_path, **settings):
    pool = generate(SCENES.model_copy(update=settings), 30, 5, tmp_path)
    return photos_of([pool.boxes(i).xyxy for i in range(len(pool))])


@pytest.mark.parametrize("objects", [9, 18])
def test_crowded_scenes_tell_how_many_objects_they_were_made_of(tmp_path, objects):
    photos = scenes_as_photos(tmp_path, objects=objects)
    match = match_crowding(photos, SCENES, library_of(SCENES), 0, quiet)
    assert match.objects == pytest.approx(objects, rel=0.2)
    assert match.in_photos > 2 * match.in_scenes


def test_padded_boxes_of_people_are_compared_with_padded_boxes(tmp_path):
    photos = scenes_as_photos(tmp_path, objects=12, box_padding=0.3)
    padded = SCENES.model_copy(update={"box_padding": 0.3})
    match = match_crowding(photos, padded, library_of(padded), 0, quiet)
    assert match.objects == pytest.approx(12, abs=2)
    assert match_crowding(photos, SCENES, library_of(SCENES), 0, quiet).objects > 14


@pytest.mark.parametrize("xyxy", [[[10, 10, 40, 40]], [[10, 10, 40, 40], [50, 10, 80, 40]]])
def test_objects_that_stand_apart_are_no_reason_to_show_fewer(xyxy):
    assert match_crowding(photos_of([xyxy]), SCENES, library_of(SCENES), 0, quiet) is None


def test_labels_given_twice_are_no_crowd(monkeypatch):
    monkeypatch.setattr(crowding, "_SCENES", 2)
    twice = photos_of([[[10, 10, 40, 40], [10, 10, 40, 40]]])
    many = SCENES.model_copy(update={"objects": 60})
    assert match_crowding(twice, many, library_of(many), 0, quiet) is None


def test_parts_of_objects_are_no_crowd(monkeypatch):
    monkeypatch.setattr(crowding, "_SCENES", 4)

    def photos_with(person, helmet):
        apart = [[80, 20, 100, 60], [110, 20, 130, 60], [80, 80, 100, 120], [110, 80, 130, 120]]
        xyxy = [[20, 20, 60, 120], *apart, [30, 20, 50, 40]]
        boxes = Boxes.of(xyxy, np.array([person] * 5 + [helmet]))
        record = photos_of([[]]).records[0]
        records = [replace(record, boxes=boxes)] * 4
        return Source(name="train", classes=library_of(SCENES).classes, records=records)

    two = SCENES.model_copy(update={"objects": 2})
    assert match_crowding(photos_with(0, 1), two, library_of(two), 0, quiet) is None
    behind_others = match_crowding(photos_with(1, 1), two, library_of(two), 0, quiet)
    assert behind_others.objects > 4, "few of a class lie inside boxes of others"
