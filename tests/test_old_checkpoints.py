"""Of every trial the newest checkpoints stay; older ones are removed behind the back of the search, in their order."""

import threading
from types import SimpleNamespace

import pytest
from conftest import keys
from pyarrow import fs
from ray import tune

from syndet_ray.data.storage import filesystem
from syndet_ray.tuning.task import KEPT_CHECKPOINTS
from syndet_ray.tuning.tune import _Events


class Slow:
    """A store that removes nothing until it is let, and notes what it removed."""

    def __init__(self, store):
        self._store, self.gate, self.removed = store, threading.Event(), []
        self.type_name = store.type_name

    def delete_dir(self, path):
        self.gate.wait(30)
        self._store.delete_dir(path)
        self.removed.append(path)


class Ledger:
    """As much of a search as checkpoints are told to."""

    def __init__(self):
        self.checkpoints = []
        self.trials = dict.fromkeys(range(2), SimpleNamespace(images=0))

    def checkpoint(self, number, address):
        self.checkpoints.append((number, address))


def save(events, store, number, k):
    """Tells of the k-th checkpoint of a trial, as Tune does."""
    path = f"photos/run/trial-{number}/checkpoint_{k:06d}"
    checkpoint = SimpleNamespace(filesystem=store, path=path)
    trial = SimpleNamespace(config={"task": SimpleNamespace(number=number)}, checkpoint=checkpoint)
    events.on_trial_save(0, [], trial)


def test_reports_do_not_wait_until_old_checkpoints_are_removed_from_s3(s3):
    store = Slow(filesystem("s3://photos")[0])
    for number in range(2):
        for k in range(4):
            s3.put_object(Bucket="photos", Key=f"run/trial-{number}/checkpoint_{k:06d}/model.json", Body=b"{}")
    ledger = Ledger()
    with _Events(ledger, "s3://photos/run") as events:
        for k in range(4):
            for number in range(2):
                save(events, store, number, k)
        assert len(ledger.checkpoints) == 8, "the search knows of all of them while the store has yet to answer"
        assert store.removed == []
        store.gate.set()
    order = [f"photos/run/trial-{number}/checkpoint_{k:06d}" for k in range(2) for number in range(2)]
    assert store.removed == order
    left = [key for key in keys(s3) if key.endswith(".json")]
    newest = range(4 - KEPT_CHECKPOINTS, 4)
    assert left == [f"run/trial-{number}/checkpoint_{k:06d}/model.json" for number in range(2) for k in newest]


def test_a_checkpoint_that_cannot_be_removed_keeps_no_other_from_it(tmp_path):
    store = fs.LocalFileSystem()
    paths = [tmp_path / f"checkpoint_{k:06d}" for k in range(4)]
    for path in paths[1:]:
        path.mkdir()
    with _Events(Ledger(), str(tmp_path)) as events:
        for path in paths:
            checkpoint = tune.Checkpoint(str(path), store)
            trial = SimpleNamespace(config={"task": SimpleNamespace(number=0)}, checkpoint=checkpoint)
            events.on_trial_save(0, [], trial)
    assert [path.exists() for path in paths] == [False, False, True, True]


def test_whoever_interrupts_a_run_does_not_wait_for_checkpoints_to_be_removed(tmp_path):
    store = Slow(fs.LocalFileSystem())

    def interrupted():
        with _Events(Ledger(), str(tmp_path)) as events:
            for k in range(6):
                save(events, store, 0, k)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.removed == []
    store.gate.set()
