"""Of every trial that runs the newest checkpoints stay; older ones are deleted behind the back of
the search, in their order.
"""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import keys
from made_runs import SWEEP

from syndet_ray.runs.results import Trial
from syndet_ray.search.task import KEPT_CHECKPOINTS
from syndet_ray.tuning import checkpoints
from syndet_ray.tuning.checkpoints import Checkpoints


class Slow:
    """A store that deletes nothing until it is let, and notes what it deleted."""

    def __init__(self):
        self.store, self.gate, self.deleted = None, threading.Event(), []

    def get_file_info(self, selector):
        return self.store.get_file_info(selector)

    def delete_dir(self, path):
        assert self.gate.wait(30)
        self.store.delete_dir(path)
        self.deleted.append(path)


@pytest.fixture
def slow(monkeypatch):
    """The store of any address, slowed down."""
    real, slow = checkpoints.filesystem, Slow()

    def filesystem(address):
        slow.store, path = real(address)
        return slow, path

    monkeypatch.setattr(checkpoints, "filesystem", filesystem)
    return slow


def running(number, checkpoint):
    return Trial(
        number=number,
        role="search",
        params={},
        recipe=SWEEP.recipe,
        state="RUNNING",
        checkpoint=checkpoint,
    )


def place(home, number, k):
    return f"{home}/checkpoints/trial-{number:03d}-a/checkpoint_{k:06d}"


def test_reports_do_not_wait_until_old_checkpoints_are_deleted_from_s3(s3, slow):
    home = "s3://photos/run"
    for number in range(2):
        for k in range(4):
            s3.put_object(Bucket="photos", Key=f"{place('run', number, k)}/model.json", Body=b"{}")
    follower = Checkpoints(home, SWEEP, print)
    for k in range(4):
        for number in range(2):
            follower.update(running(number, place(home, number, k)))
            follower.update(running(number, place(home, number, k)))  # as after a retry
    assert slow.deleted == [], "the search goes on while the store has yet to answer"
    slow.gate.set()
    follower.flush(30)
    order = [place("photos/run", number, k) for k in range(2) for number in range(2)]
    assert slow.deleted == order
    left = [key for key in keys(s3) if key.endswith(".json")]
    newest = range(4 - KEPT_CHECKPOINTS, 4)
    assert left == [f"{place('run', number, k)}/model.json" for number in range(2) for k in newest]


def test_a_checkpoint_that_is_gone_keeps_no_other_from_deletion(tmp_path):
    paths = [tmp_path / f"images-{k:09d}" for k in range(4)]
    for path in paths[1:]:
        path.mkdir()
    follower = Checkpoints(str(tmp_path), SWEEP, print)
    for path in paths:
        follower.update(running(0, str(path)))
    follower.flush(30)
    assert [path.exists() for path in paths] == [False, False, True, True]


def test_a_checkpoint_that_a_trial_writes_once_more_stays(tmp_path, slow):
    """It lost its newest ones, and started again, in the same folders."""
    first, second, third = (str(tmp_path / f"images-{k:09d}") for k in range(3))
    other = place(tmp_path, 1, 0)
    for path in (first, second, third, other):
        Path(path).mkdir(parents=True)
    follower = Checkpoints(str(tmp_path), SWEEP, print)
    # its deletion is the first, and waits at the gate
    follower.update(replace(running(1, other), state="FAILED"))
    for checkpoint in (first, second, third, None, first):
        follower.update(running(0, checkpoint))
    slow.gate.set()
    follower.flush(30)
    assert [Path(path).exists() for path in (first, second, third, other)] == [
        True,
        False,
        True,
        False,
    ]


def test_a_store_that_hangs_is_waited_for_within_a_limit_and_resume_deletes_what_is_left(
    tmp_path, slow
):
    folder, notes = tmp_path / "checkpoints" / "trial-000-a" / "checkpoint_000000", []
    folder.mkdir(parents=True)
    follower = Checkpoints(str(tmp_path), SWEEP, notes.append)
    ended = replace(running(0, str(folder)), state="FAILED")
    follower.update(ended)
    follower.flush(0.01)
    place = tmp_path / "checkpoints"
    assert notes == [
        f"old checkpoints stay at {place}, which did not answer within 0.01 s: resume deletes them"
    ]
    assert folder.exists()
    resumed = Checkpoints(str(tmp_path), SWEEP, notes.append)
    resumed.update(ended)
    slow.gate.set()
    resumed.flush(30)
    assert not folder.exists()
    assert len(notes) == 1
