"""Scenes rendered ahead of the trials that ask for them."""

import sys
from pathlib import Path

import pytest
import ray

from syndet_ray import SceneParameters
from syndet_ray.data.pool import Pool
from syndet_ray.errors import DataError, MachineError
from syndet_ray.scenes.generate import generate, scene_hash
from syndet_ray.search.task import RETRIES
from syndet_ray.workers import ahead, raylet
from syndet_ray.workers.cluster import connection

PARAMETERS = SceneParameters(objects=3, image_px=64, size_px=(16, 20))
EXAMPLE = Path(__file__).parents[1] / "benchmarks" / "command_generator.py"
# A generator that fails so many times before it renders, as one whose licence server does not
# answer. It counts in a folder.
FAILING = """
import os, sys
failures, counted, example, *request = sys.argv[1:]
calls = len(os.listdir(counted))
open(os.path.join(counted, str(calls)), "w").close()
if calls < int(failures):
    sys.exit("no licence")
os.execv(sys.executable, [sys.executable, example, *request])
"""


@pytest.fixture(scope="module", autouse=True)
def connected():
    """A Ray cluster on this machine, which asks for no token: Ray settles that once in a process
    (see test_render).
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with connection(None):
            yield


def until_ready(sets, *wanted):
    while not sets.ready(*wanted):
        ray.wait(list(sets._sets.values()), timeout=10)


def test_a_set_is_rendered_once_and_sent_to_every_node_that_asks(tmp_path, monkeypatch):
    sets = ahead.Ahead(tmp_path / "a")
    assert sets.rendered_scenes(PARAMETERS, 3, 7) == 0
    assert not sets.ready(PARAMETERS, 3, 7)
    until_ready(sets, PARAMETERS, 3, 7)
    assert (tmp_path / "a" / scene_hash(PARAMETERS, 3, 7) / "pool.json").exists()
    alone = generate(PARAMETERS, 3, 7, tmp_path / "b")
    assert (
        ahead.fetched_set(PARAMETERS, 3, 7, tmp_path / "a", node=ahead.this_node()).hash
        == alone.hash
    )
    monkeypatch.setattr(ahead, "load_pool", lambda folder: None)  # as on a node that has no copy
    assert (
        ahead.fetched_set(PARAMETERS, 3, 7, tmp_path / "a", node=ahead.this_node()).hash
        == alone.hash
    )


def test_a_set_that_was_dropped_before_it_was_asked_for_is_rendered_again(tmp_path):
    key = scene_hash(PARAMETERS, 3, 7)
    until_ready(ahead.Ahead(tmp_path), PARAMETERS, 3, 7)
    (tmp_path / key).rename(tmp_path / "dropped")
    pool = ahead.fetched_set(PARAMETERS, 3, 7, tmp_path, node=ahead.this_node())
    assert pool.hash == Pool.load(tmp_path / "dropped").hash
    assert (tmp_path / key / "pool.json").exists()


def test_trials_that_hold_every_core_are_not_waited_for_to_fetch(tmp_path):
    generate(PARAMETERS, 2, 7, tmp_path)

    @ray.remote(num_cpus=int(ray.cluster_resources()["CPU"]))
    class Trial:
        def fetch(self, node):
            ahead.load_pool = lambda folder: None
            return len(ahead.fetched_set(PARAMETERS, 2, 7, tmp_path, node=node))

    trial = Trial.remote()
    assert ray.get(trial.fetch.remote(ahead.this_node()), timeout=120) == 2
    ray.kill(trial)


def test_what_went_wrong_is_said_when_asked(tmp_path):
    sets = ahead.Ahead(tmp_path)
    parameters = PARAMETERS.model_copy(update={"generator": f"command:{sys.executable} -c pass"})
    with pytest.raises(DataError, match="wrote nothing"):
        until_ready(sets, parameters, 2, 7)
    with pytest.raises(DataError, match="wrote nothing"):
        sets.ready(parameters, 2, 7)


@pytest.fixture
def failing(tmp_path):
    """Makes scene parameters whose generator fails so many times, and the folder that has a file
    for each call.
    """

    def make(failures):
        script, calls = tmp_path / "failing.py", tmp_path / "calls"
        script.write_text(FAILING)
        calls.mkdir()
        command = f"command:{sys.executable} {script} {failures} {calls} {EXAMPLE}"
        return PARAMETERS.model_copy(update={"generator": command}), calls

    return make


def test_a_generator_that_failed_is_asked_again(tmp_path, failing):
    parameters, calls = failing(RETRIES)
    notes = []
    until_ready(ahead.Ahead(tmp_path / "cache", notes.append), parameters, 2, 7)
    assert len(Pool.load(tmp_path / "cache" / scene_hash(parameters, 2, 7))) == 2
    assert len(list(calls.iterdir())) == RETRIES + 1
    assert len(notes) == RETRIES
    assert notes[0].startswith("scenes that trials wait for are rendered once more: generator ")


def test_a_generator_that_fails_time_and_again_is_not_asked_for_each_trial(tmp_path, failing):
    sets = ahead.Ahead(tmp_path / "cache")
    parameters, calls = failing(99)
    for _ in range(2):
        with pytest.raises(
            MachineError, match=r"must end with exit code 0, got 1\. It printed: no licence"
        ):
            until_ready(sets, parameters, 2, 7)
    assert len(list(calls.iterdir())) == RETRIES + 1


def test_the_process_that_is_watched_is_the_raylet_of_this_machine():
    """Holds for this version of Ray, which does not document where it keeps its processes."""
    process = raylet.started_raylet()
    assert Path(process.args[0]).name == "raylet"
    assert process.poll() is None
