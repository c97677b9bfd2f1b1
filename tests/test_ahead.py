"""Scenes rendered ahead of the trials that ask for them."""

import sys

import pytest
import ray

from syndet_ray import SceneParameters
from syndet_ray.data.pool import Pool
from syndet_ray.errors import DataError
from syndet_ray.scenes.generate import generate, scene_hash
from syndet_ray.tuning import ahead
from syndet_ray.tuning.cluster import connection

PARAMETERS = SceneParameters(objects=3, image_px=64, size_px=(16, 20))


@pytest.fixture(scope="module", autouse=True)
def connected():
    """A Ray cluster on this machine, which asks for no token: Ray settles that once in a process (see test_render)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with connection(None):
            yield


def until_ready(sets, *wanted):
    while not sets.ready(*wanted):
        ray.wait(list(sets._sets.values()), timeout=10)


def test_a_set_is_rendered_once_and_brought_to_whoever_asks(tmp_path, monkeypatch):
    sets = ahead.Ahead(tmp_path / "a")
    assert sets.rendered(PARAMETERS, 3, 7) == 0
    assert not sets.ready(PARAMETERS, 3, 7)
    until_ready(sets, PARAMETERS, 3, 7)
    assert (tmp_path / "a" / scene_hash(PARAMETERS, 3, 7) / "pool.json").exists()
    alone = generate(PARAMETERS, 3, 7, tmp_path / "b")
    assert ahead.fetched_set(PARAMETERS, 3, 7, tmp_path / "a", node=ahead.this_node()).hash == alone.hash
    monkeypatch.setattr(ahead, "loaded", lambda folder: None)  # as on a node that has no copy
    assert ahead.fetched_set(PARAMETERS, 3, 7, tmp_path / "a", node=ahead.this_node()).hash == alone.hash


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
            ahead.loaded = lambda folder: None
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
