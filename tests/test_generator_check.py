"""A generator from outside makes two images before a sweep trains: its mistakes are named then."""

import shlex
import sys

import numpy as np
import pytest
from made_detections import pool_of
from test_search import Silent

from syndet_ray import Choice, Recipe, SearchSpace
from syndet_ray.data.real import RealData
from syndet_ray.data.scale import WorkingScale
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DataError, MachineError
from syndet_ray.search.task import Resources
from syndet_ray.tuning.generator_check import try_generators
from syndet_ray.workers.local import Local

POOLS = {"train": pool_of([([0, 0, 9, 9], 0)])}
SCALE = WorkingScale(
    longest_px=64,
    photo_px=64,
    crop_px=64,
    auto_crop_px=64,
    object_px=(9.0, 9.0, 9.0),
    objects=1,
    too_small=0,
    too_large=0,
)
DATA = RealData(
    pools=POOLS, path=None, scale=SCALE, anchor_px=(16.0,), boxes_wh=np.array([[9.0, 9.0]])
)
CLASSES = POOLS["train"].classes
# A generator of grey images, of these classes and this longer side; it counts its calls.
GREY = """
import json, pathlib, sys
from PIL import Image
classes, side = sys.argv[1].split(","), int(sys.argv[2])
calls = pathlib.Path(__file__).with_name("calls")
request = json.loads(pathlib.Path(sys.argv[-1]).read_text())
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
if "fail" in classes:
    print("no licence")
    raise SystemExit(3)
out = pathlib.Path(request["out"])
images = [{"id": i, "file_name": f"{i}.png"} for i in range(request["count"])]
for image in images:
    Image.new("RGB", (side, side // 2), (image["id"], 90, 90)).save(out / image["file_name"])
categories = [{"id": i, "name": name} for i, name in enumerate(classes)]
box = {"id": 1, "image_id": 0, "category_id": 0, "bbox": [1, 2, 9, 9]}
boxes = [] if "--bare" in sys.argv else [box]
content = {"images": images, "annotations": boxes, "categories": categories}
(out / "instances.json").write_text(json.dumps(content))
"""


def sweep_of(generator, **fields):
    scene = {"scene.generator": generator, "scene.image_px": 64, "scene.size_px": (9, 12)}
    recipe = Recipe().replace(scene)
    return LoadedSweep(
        question="?", recipe=recipe, **{"trials": 0, "variants": {"plain": {}}} | fields
    )


@pytest.fixture
def tries(tmp_path):
    """Tries the generators of a sweep; returns the notes."""

    def run(sweep):
        display = Silent()
        runner = Local(Resources(cpus=1, gpus=0, parallel=1), display)
        try_generators(sweep, DATA, runner, tmp_path / "cache", display)
        return display.notes

    return run


@pytest.fixture
def tries_grey(tries, tmp_path):
    """Tries a generator that writes images of these classes and of this longer side; returns the
    notes.
    """
    script = tmp_path / "grey.py"
    script.write_text(GREY)

    def run(classes, side=64, *options):
        words = [sys.executable, str(script), ",".join(classes), str(side), *options]
        return tries(sweep_of(f"command:{shlex.join(words)}"))

    return run


def test_a_generator_that_does_as_asked_is_started_once_for_all_checks(tries_grey, tmp_path):
    assert tries_grey(CLASSES) == []
    assert tries_grey(CLASSES) == []
    assert (tmp_path / "calls").read_text() == "x"


def test_our_own_renderers_are_not_tried(tries, tmp_path):
    assert tries(sweep_of("raycast")) == []
    assert not (tmp_path / "cache").exists()


def test_a_generator_that_fails_is_named_and_not_started_again(tries_grey, tmp_path):
    with pytest.raises(MachineError, match=r"exit code 0, got 3\. It printed: no licence \(all of"):
        tries_grey(["fail"])
    assert (tmp_path / "calls").read_text() == "x"


def test_a_class_that_the_photos_lack_is_named(tries_grey):
    with pytest.raises(
        DataError,
        match=r"scene.generator: .*found wheel only in the images of the generator\. .*`classes`",
    ):
        tries_grey([*CLASSES, "wheel"])


def test_classes_that_two_images_lack_are_noted(tries_grey):
    (note,) = tries_grey(["a"])
    assert note == (
        "the first 2 images of the generator have no b: trials fail if all its images together "
        "lack a class of the photos"
    )


def test_images_that_show_no_object_are_noted(tries_grey):
    (note,) = tries_grey(CLASSES, 64, "--bare")
    assert note.startswith("the first 2 images of the generator have no object: ")


def test_images_of_another_size_are_named(tries_grey):
    with pytest.raises(
        DataError,
        match=r"grey.py .* longer side is scene.image_px, 64 px, got '40 x 20 \(0.png\)'\. "
        r"Correct the generator, or ask for its size: scene.image_px=40\.",
    ):
        tries_grey(CLASSES, side=40)


def test_a_generator_that_is_searched_is_tried(tries):
    space = SearchSpace({"scene.generator": Choice(values=("raycast", "command:true"))})
    sweep = sweep_of("raycast", trials=2, space=(space,), variants={})
    with pytest.raises(DataError, match="generator true: must write a dataset"):
        tries(sweep)
