"""What trials need on every node: all that is missing is said at once, whatever it is."""

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest
from made_detections import TINY
from PIL import Image

from syndet_ray import Choice, Detector, Mix, Recipe, SceneParameters, Scenes, SearchSpace
from syndet_ray.data import outage
from syndet_ray.data.storage import store_error
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.needs import SceneInputs
from syndet_ray.workers.nodes import check
from syndet_ray.workers.nodes.needs import Needs, needs_of, problems_here, spread_out


@pytest.fixture
def files(tmp_path):
    """A file of weights, a program, and a folder of images for floors."""
    (tmp_path / "floors").mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "floors" / "a.png")
    for name in ("own.safetensors", "generate.py"):
        (tmp_path / name).write_text(name)
    return tmp_path


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def sweep_of(files):
    """A sweep that asks for all of them somewhere, and for weights that come from a server."""
    return LoadedSweep(
        question="What do nodes need?",
        recipe=Recipe(
            mix=Mix(
                sources={
                    "plain": Scenes(),
                    "floors": Scenes(changes={"scene.backgrounds": str(files / "floors")}),
                }
            ),
            scene=SceneParameters(image_px=64, size_px=(8, 16)),
            detector=TINY,
        ),
        variants={"own": {"detector.weights": str(files / "own.safetensors")}},
        space=(
            SearchSpace(
                {
                    "scene.generator": Choice(
                        values=("raycast", f"command:true {files / 'generate.py'}")
                    )
                }
            ),
        ),
        trials=1,
    )


def comparing(detector):
    """A sweep that asks for nothing but its detector."""
    return LoadedSweep(
        question="?",
        recipe=Recipe(detector=detector),
        variants={"a": {"mix.synthetic": 0.2}},
        trials=0,
    )


def needs(**given):
    return Needs(**{"libraries": {}, "files": {}, "detectors": (), "classes": ("a",)} | given)


def test_files_of_all_recipes_are_needed_and_what_is_in_the_package_is_not(files):
    found = needs_of(sweep_of(files), ("a",), Path("runs"), None)
    floors, command = str(files / "floors"), f"command:true {files / 'generate.py'}"
    assert found.libraries == {
        ("raycast", "dice", "shapes", floors): load("dice", "shapes", floors).hash,
        (command, "dice", "shapes", floors): load("dice", "shapes", floors).hash,
        (command, "dice", "shapes", ""): load("dice", "shapes", "").hash,
    }
    assert found.files == {
        str(files / name): sha256(name) for name in ("own.safetensors", "generate.py")
    }
    assert (found.detectors, found.runs, found.storage) == ((), Path("runs"), None)
    assert problems_here(found, None, trains=False) == []
    assert not needs_of(comparing(TINY), ("a",), Path("runs"), None).has_files


def test_weights_from_a_server_are_needed_and_those_of_a_package_are_not():
    settled = TINY.model_dump() | {"weights": "imagenet", "frozen_stages": 0}
    for backbone, expected in (("tf_efficientnet_lite0", 0), ("resnet18", 1)):
        sweep = comparing(Detector(**settled | {"backbone": backbone}))
        assert len(needs_of(sweep, ("a",), Path("runs"), None).detectors) == expected


def test_every_problem_is_said_at_once(files):
    gone, floors, runs = files / "gone.safetensors", str(files / "floors"), files / "runs"
    asked = needs(
        libraries={
            SceneInputs("raycast", "dice", "shapes", floors): "of other images",
            SceneInputs("raycast", "dice", "shapes", str(files / "lost")): "",
            SceneInputs("command:no-such-program", "dice", "shapes", ""): "",
        },
        files={str(gone): "", str(files / "own.safetensors"): sha256("another")},
        detectors=(Detector(**TINY.model_dump() | {"weights": str(gone)}),),
    )
    rendering = [
        f"dice, shapes, {floors}: has other files than on the driver.",
        f"{files / 'lost'}: does not exist. Give a folder, or a built-in name.",
        "scene.generator: names a program that is not installed, got 'no-such-program'.",
        f"{gone}: does not exist.",
        f"{files / 'own.safetensors'}: is another file than on the driver.",
    ]
    assert problems_here(asked, runs / "mark", trains=False) == rendering
    *same, weights, store = problems_here(asked, runs / "mark", trains=True)
    assert same == rendering
    assert str(gone) in weights
    assert store.startswith(
        f"{runs}: is not seen from here, but checkpoints would go there. Give `storage` s3://"
    )


def test_photos_that_a_node_cannot_read_are_said_where_it_trains(files):
    there, gone = str(files / "generate.py"), str(files / "gone.jpg")
    for photos, problem in (
        ([(there, 11)], ""),
        ([(there, 11), (gone, 5)], f"{gone}: cannot be read here (No such file or directory)"),
        ([(there, 12)], f"{there}: is another file than on the driver, got '11 bytes'"),
    ):
        asked = needs(photos=photos)
        assert asked.has_files
        assert problems_here(asked, None, trains=False) == []
        problems = problems_here(asked, None, trains=True)
        assert len(problems) == bool(problem)
        assert "".join(problems).startswith(problem)
    many = [(str(i), i) for i in range(3500)]
    assert len(spread_out(many)) == 875
    assert spread_out(many)[0] == many[0]
    assert spread_out(many[:1000]) == many[:1000]


def test_a_store_that_is_away_for_a_moment_makes_no_node_unfit(monkeypatch):
    answers = ["SlowDown", "ReadTimeoutError", None, "AccessDenied"]

    def check_bucket(address):
        if code := answers.pop(0):
            raise store_error(address, code, "advice")

    monkeypatch.setattr("syndet_ray.workers.nodes.needs.check_bucket", check_bucket)
    monkeypatch.setattr(outage.time, "sleep", lambda seconds: None)
    assert problems_here(needs(storage="s3://b"), None, trains=True) == []
    (problem,) = problems_here(needs(storage="s3://b"), None, trains=True)
    assert problem.startswith("s3://b: cannot be written (AccessDenied). Let this machine's role")


def test_a_store_that_a_node_does_not_reach_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("syndet_ray.workers.nodes.needs._STORE_S", 0.0)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    storage = f"s3://runs/a?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    asked = needs_of(comparing(TINY), ("a",), tmp_path, storage)
    assert (asked.runs, asked.storage, asked.has_files) == (None, storage, False)
    assert problems_here(asked, None, trains=False) == []
    (problem,) = problems_here(asked, None, trains=True)
    assert problem.startswith(
        f"{storage}: cannot be written (EndpointConnectionError). Check the network"
    )


def test_a_mark_that_is_seen_is_no_problem_and_leaves_no_trace(tmp_path):
    with check._mark(tmp_path) as mark:
        assert problems_here(needs(), mark, trains=True) == []
    assert list(tmp_path.iterdir()) == []
    assert problems_here(needs(), mark, trains=True) != []
    assert Path(mark).parent == tmp_path
