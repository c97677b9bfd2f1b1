"""A run's own files are copied to its storage while it is carried out, and can be had back from
there.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace

import pytest
from conftest import keys
from made_runs import ABOUT, SWEEP, made_run, train

from syndet_ray.data.lease import Claim, Lease
from syndet_ray.data.storage import upload
from syndet_ray.errors import DataError, MachineError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.tracking import backup
from syndet_ray.tuning.checkpoints import Checkpoints

DENY_ALL = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"],
}
DENIED = {"Version": "2012-10-17", "Statement": [DENY_ALL]}


def silent(text):
    raise AssertionError(f"nobody was to be told: {text}")


def copying(folder, store, note=silent, lease=None):
    return backup.Backup(folder, store, note, lease).copying()


def exclusive_lease(folder, store):
    return backup.exclusive_lease(folder, store, lambda: pytest.fail("nobody has taken it"))


@pytest.mark.parametrize("address", ["s3://", "file:///runs/1", "gs://photos/runs/1"])
def test_a_run_is_fetched_from_an_address_of_s3_alone(address, tmp_path):
    with pytest.raises(MachineError, match=f"^{address}: must be s3://bucket or"):
        backup.fetch(address, tmp_path)


def test_a_run_is_kept_without_its_checkpoints_and_can_be_had_back(tmp_path):
    folder, store = made_run().write(tmp_path / "runs" / "dice-1"), str(tmp_path / "store")
    folder.checkpoints.mkdir()
    (folder.checkpoints / "0").write_text("large")
    with copying(folder, store):
        folder.ledger.append("retry", 0)
    back = backup.fetch(f"{store}/dice-1/", tmp_path / "elsewhere")
    assert back.path == tmp_path / "elsewhere" / "dice-1"
    assert (back.sweep, back.trials()) == (folder.sweep, folder.trials())
    assert not back.checkpoints.exists()
    with pytest.raises(
        DataError, match=r"dice-1: is here already: .* may be older, or the same\. Resume"
    ):
        backup.fetch(f"{store}/dice-1", tmp_path / "elsewhere")


def test_a_run_brought_from_a_cluster_is_replaced_by_a_copy_that_went_on(tmp_path):
    folder, store = made_run().write(tmp_path / "head" / "dice-1"), str(tmp_path / "store")
    here = tmp_path / "runs" / "dice-1"
    shutil.copytree(folder.path, here)
    brought = RunFolder(here)
    with copying(folder, store):
        folder.ledger.append("retry", 0)
    with pytest.raises(DataError, match="is here already"):
        backup.fetch(f"{store}/dice-1", here.parent)
    brought.describe(brought.about | {"cluster": "/c.yaml"})
    assert backup.fetch(f"{store}/dice-1", here.parent).path == here
    assert (here / "ledger.jsonl").read_bytes() == (folder.path / "ledger.jsonl").read_bytes()
    assert brought.about.get("cluster") is None
    assert [path.name for path in here.parent.iterdir()] == ["dice-1"]


@pytest.mark.parametrize("change", ["another run", "went on", "carried out", "has as much"])
def test_a_run_that_a_copy_may_not_replace_stays(change, tmp_path):
    folder, store = made_run().write(tmp_path / "head" / "dice-1"), str(tmp_path / "store")
    with copying(folder, store):
        folder.ledger.append("retry", 0)
    here = tmp_path / "runs" / "dice-1"
    brought = made_run(about=folder.about | {"cluster": "/c.yaml"}).write(here)
    if change == "another run":
        brought.describe(brought.about | {"started": 1.0})
    elif change == "went on":
        brought.ledger.append("retry", 1)
    elif change == "has as much":
        shutil.copy(folder.path / "ledger.jsonl", here)
    before = (here / "run.json").read_bytes(), (here / "ledger.jsonl").read_bytes()
    lock = brought.lock() if change == "carried out" else nullcontext()
    with lock, pytest.raises(DataError, match="is here already"):
        backup.fetch(f"{store}/dice-1", here.parent)
    assert before == ((here / "run.json").read_bytes(), (here / "ledger.jsonl").read_bytes())
    assert [path.name for path in here.parent.iterdir()] == ["dice-1"]


def test_only_a_run_on_s3_has_an_address_for_other_machines(tmp_path):
    folder = made_run().write(tmp_path / "runs" / "dice-1")
    assert backup.backup_address(folder, STORE) == HOME
    assert backup.backup_address(folder, str(tmp_path)) is None
    assert backup.backup_address(folder, None) is None


def test_a_run_of_which_only_a_part_came_is_not_there(tmp_path, monkeypatch):
    folder, store = made_run().write(tmp_path / "runs" / "dice-1"), str(tmp_path / "store")
    with copying(folder, store):
        pass

    def cut_short(address, into):
        (into / "sweep.json").write_text("{}")
        raise MachineError(address, "cannot be read")

    with monkeypatch.context() as patched:
        patched.setattr(backup, "download", cut_short)
        with pytest.raises(MachineError, match="cannot be read"):
            backup.fetch(f"{store}/dice-1", tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert backup.fetch(f"{store}/dice-1", tmp_path / "elsewhere").trials() == folder.trials()


def test_a_copy_that_fails_is_reported_at_once_and_again_when_it_succeeds(tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "_EVERY_S", 0.01)
    folder, store = made_run().write(tmp_path / "runs" / "dice-1"), tmp_path / "store"
    blocked = store / "dice-1"
    store.mkdir()
    blocked.write_text("no folder")
    notes = []
    with copying(folder, str(store), notes.append):
        _wait_until(lambda: notes)
        folder.ledger.append("retry", 0)
        blocked.unlink()
        _wait_until(lambda: len(notes) == 2)
        kept = blocked / "run" / "ledger.jsonl"
        assert kept.read_text() == (folder.path / "ledger.jsonl").read_text()
    failure, success = notes
    assert failure.startswith(
        f"the copy of this run falls behind, and is tried again: {blocked}/run: "
    )
    assert success == f"the copy of this run is up to date again: {blocked}/run"


def _wait_until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_last_copy_that_cannot_be_written_is_reported_with_what_to_do(tmp_path):
    folder = made_run().write(tmp_path / "run")
    (tmp_path / "store").write_text("no folder")
    message = r"store/run/run: cannot be written .* The run itself is complete, in .*/run: resume it to have it copied"
    with pytest.raises(MachineError, match=message), copying(folder, str(tmp_path / "store")):
        pass


@pytest.fixture
def gate(monkeypatch):
    """A store that does not answer until the event is set."""
    opened = threading.Event()

    def wait_and_upload(*arguments, **named):
        assert opened.wait(30)
        upload(*arguments, **named)

    monkeypatch.setattr(backup, "upload", wait_and_upload)
    yield opened
    opened.set()


def test_a_store_that_hangs_is_waited_for_within_a_limit_once_and_what_it_lacks_is_reported(
    tmp_path, gate
):
    folder, store = made_run().write(tmp_path / "dice-1"), tmp_path / "store"
    copy = backup.Backup(folder, str(store), silent)
    message = (
        rf"{store}/dice-1/run: lacks the end of the run \(it did not answer within 0\.01 s\)\. "
        rf"The run itself is complete, in {folder.path}: resume it to have it copied"
    )
    with pytest.raises(MachineError, match=message), copy.copying():
        copy.copy(60.0, limit_s=0.01)
    gate.set()
    _wait_until(lambda: not copy._outbox._has_thread)
    assert not store.exists(), "another may go on with the run by now"


def test_a_copy_that_came_while_something_else_was_waited_for_is_there(tmp_path, gate):
    folder, store = made_run().write(tmp_path / "dice-1"), tmp_path / "store"
    copy = backup.Backup(folder, str(store), silent)
    with copy.copying():
        copy.copy(60.0, limit_s=0.01)
        gate.set()  # MLflow is written meanwhile
        _wait_until(lambda: not copy._outbox._deliveries)
    assert (store / "dice-1" / "run" / "ledger.jsonl").read_bytes() == (
        folder.path / "ledger.jsonl"
    ).read_bytes()


def test_only_what_has_changed_is_copied_again(s3, tmp_path):
    folder = made_run().write(tmp_path / "dice-1")
    copy = backup.Backup(folder, "s3://photos", silent)
    copy.copy(0.0)
    for found in keys(s3):
        s3.delete_object(Bucket="photos", Key=found)
    copy.copy(0.0)
    assert keys(s3) == [], "nothing has changed"
    folder.ledger.append("retry", 0)
    folder.describe(folder.about)  # the same content in a file that was written again
    copy.copy(0.0)
    assert keys(s3) == ["dice-1/run/ledger.jsonl", "dice-1/run/run.json"]
    kept = s3.get_object(Bucket="photos", Key="dice-1/run/ledger.jsonl")["Body"].read()
    assert kept == (folder.path / "ledger.jsonl").read_bytes()


def test_what_failed_to_be_copied_counts_as_changed(s3, tmp_path):
    folder = made_run().write(tmp_path / "dice-1")
    notes = []
    copy = backup.Backup(folder, "s3://not-yet", notes.append)
    copy.copy(0.0)
    copy.copy(0.0)
    assert len(notes) == 1, "it is told once"
    s3.create_bucket(Bucket="not-yet")
    copy.copy(0.0)
    assert len(notes) == 2
    names = [found["Key"] for found in s3.list_objects_v2(Bucket="not-yet")["Contents"]]
    assert names == [f"dice-1/run/{name}" for name in ("ledger.jsonl", "run.json", "sweep.json")]
    for name in names:
        s3.delete_object(Bucket="not-yet", Key=name)
    s3.delete_bucket(Bucket="not-yet")


def test_an_unfinished_trial_whose_checkpoint_is_gone_starts_again(s3, tmp_path):
    """As it is where a head node is lost: its last copy names checkpoints that newer ones have
    replaced since.
    """
    folder = RunFolder.create(tmp_path / "dice-1", SWEEP, ABOUT)
    for number in range(3):
        recipe = SWEEP.recipe.flat()
        folder.ledger.append("asked", number, kind="real_only", params={}, recipe=recipe)
        train(folder, number, (0.1,), "COMPLETE" if number == 2 else "RUNNING")
        folder.ledger.append(
            "checkpoint",
            number,
            path=f"s3://photos/dice-1/checkpoints/trial-{number}/checkpoint_000001",
        )
    s3.put_object(
        Bucket="photos", Key="dice-1/checkpoints/trial-0/checkpoint_000001/model.json", Body=b"{}"
    )
    s3.put_object(
        Bucket="photos", Key="dice-1/checkpoints/trial-1/checkpoint_000002/model.json", Body=b"{}"
    )
    assert backup.forget_lost_checkpoints(folder) == [1], "of a trial that has ended nobody goes on"
    first, second, third = folder.trials()
    assert first.checkpoint == "s3://photos/dice-1/checkpoints/trial-0/checkpoint_000001"
    assert (second.checkpoint, second.state, len(second.rungs)) == (None, "RUNNING", 1)
    assert third.checkpoint is not None
    assert backup.forget_lost_checkpoints(folder) == []


def test_a_run_whose_models_are_gone_is_refused_with_commands_to_copy(tmp_path):
    folder = made_run().write(tmp_path / "dice 1")
    trials = [replace(trial, checkpoint=str(tmp_path / "gone")) for trial in folder.trials()]
    with pytest.raises(DataError, match=r"gone is gone\. Put the checkpoints back, or") as refusal:
        backup.check_models(folder, trials)
    assert str(refusal.value).endswith(f"them: python -m syndet_ray report '{folder.path}'")


def test_where_the_store_does_not_tell_no_checkpoint_is_given_up(s3, tmp_path):
    folder = RunFolder.create(tmp_path / "dice-1", SWEEP, ABOUT)
    folder.ledger.append("asked", 0, kind="real_only", params={}, recipe=SWEEP.recipe.flat())
    folder.ledger.append(
        "checkpoint", 0, path="s3://photos/dice-1/checkpoints/trial-0/checkpoint_000001"
    )
    s3.put_bucket_policy(Bucket="photos", Policy=json.dumps(DENIED))
    with pytest.raises(MachineError, match=r"checkpoint_000001: cannot be read"):
        backup.forget_lost_checkpoints(folder)
    assert folder.trials()[0].checkpoint is not None


def test_without_storage_nothing_is_copied(tmp_path):
    folder = made_run().write(tmp_path / "runs" / "dice-1")
    with copying(folder, None):
        assert backup.run_address(folder, None) == str(folder.path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert backup.run_address(folder, "s3://b/c/?scheme=http") == "s3://b/c/dice-1?scheme=http"


# One driver at a time


STORE, HOME = "s3://photos/sweeps", "s3://photos/sweeps/dice-1"


def stored(s3, name="ledger.jsonl"):
    return s3.get_object(Bucket="photos", Key=f"sweeps/dice-1/run/{name}")["Body"].read()


def test_the_name_of_a_run_may_have_any_character_in_its_address(s3, tmp_path):
    name = "lr#2 50% a?b-1"
    folder = made_run().write(tmp_path / "a" / name)
    address = backup.run_address(folder, STORE)
    assert address == f"{STORE}/lr_x23_2_x20_50_x25__x20_a_x3f_b-1"
    with (
        folder.lock(),
        exclusive_lease(folder, STORE) as lease,
        copying(folder, STORE, lease=lease),
    ):
        pass
    fetched = backup.fetch(address, tmp_path / "b")
    assert (fetched.path.name, fetched.trials()) == (name, folder.trials())


def test_a_run_that_another_driver_carries_out_is_neither_gone_on_with_nor_fetched(s3, tmp_path):
    folder = made_run().write(tmp_path / "a" / "dice-1")
    with (
        folder.lock(),
        exclusive_lease(folder, STORE) as lease,
        copying(folder, STORE, lease=lease),
    ):
        other = made_run().write(tmp_path / "b" / "dice-1")
        with (
            other.lock(),
            pytest.raises(MachineError, match=r"carried out by another process"),
            exclusive_lease(other, STORE),
        ):
            pass
        with pytest.raises(MachineError, match=r"carried out by another process"):
            backup.fetch(HOME, tmp_path / "c")
        assert not (tmp_path / "c").exists()
    fetched = backup.fetch(HOME, tmp_path / "c")
    assert fetched.trials() == folder.trials()
    with fetched.lock(), exclusive_lease(fetched, STORE) as lease:
        assert lease.is_held, "it was given back"


def test_the_folder_of_a_driver_that_was_killed_need_not_wait(s3, tmp_path):
    folder = made_run().write(tmp_path / "dice-1")
    with folder.lock():
        Lease(HOME, Claim(who="killed", place=backup._place(folder.path))).take()
    with folder.lock(), exclusive_lease(folder, STORE) as lease:
        assert lease.is_held


def test_a_folder_whose_copy_went_on_elsewhere_is_refused(s3, tmp_path):
    folder = made_run().write(tmp_path / "a" / "dice-1")
    with (
        folder.lock(),
        exclusive_lease(folder, STORE) as lease,
        copying(folder, STORE, lease=lease),
    ):
        pass
    fetched = backup.fetch(HOME, tmp_path / "b")
    with (
        fetched.lock(),
        exclusive_lease(fetched, STORE) as lease,
        copying(fetched, STORE, lease=lease),
    ):
        fetched.ledger.append("retry", 0)
    words = rf"lacks a part of its copy at {HOME}: another machine .*Move the folder away, and resume {HOME}"
    with folder.lock(), pytest.raises(DataError, match=words), exclusive_lease(folder, STORE):
        pass
    assert stored(s3) == (fetched.path / "ledger.jsonl").read_bytes()
    half = stored(s3) + b'{"event": "ret'
    s3.put_object(Bucket="photos", Key="sweeps/dice-1/run/ledger.jsonl", Body=half)
    fetched.ledger.append("retry", 0)
    with fetched.lock(), exclusive_lease(fetched, STORE) as lease:
        assert lease.is_held, "the copy is of a moment when a line was being written"


def test_the_ledger_can_be_secured_by_who_has_the_run_alone(s3, tmp_path):
    folder = made_run().write(tmp_path / "dice-1")
    with folder.lock(), exclusive_lease(folder, STORE) as lease:
        copy = backup.Backup(folder, STORE, silent, lease)
        for _ in range(2):
            folder.ledger.append("retry", 0)
            assert copy.copy_ledger()
            assert stored(s3) == (folder.path / "ledger.jsonl").read_bytes()
    folder.ledger.append("retry", 0)
    assert not copy.copy_ledger(), "it was given back"
    assert stored(s3) != (folder.path / "ledger.jsonl").read_bytes()
    assert backup.Backup(folder, None, silent).copy_ledger()


def test_without_an_address_on_s3_no_store_is_asked(tmp_path):
    folder = made_run().write(tmp_path / "dice-1")
    for storage in (None, str(tmp_path / "store")):
        with folder.lock(), exclusive_lease(folder, storage) as lease:
            assert lease is None


@pytest.fixture
def robbed(s3, tmp_path):
    """A run whose driver has lost it to another, and has not heard of that yet; with the lease that
    was the first's.
    """
    folder = made_run().write(tmp_path / "dice-1")
    mine = Lease(HOME, Claim(who="1 on a", place="a", lasts_s=0.0))
    mine.take()
    Lease(HOME, Claim(who="2 on b", place="b")).take()
    return folder, mine


def test_a_driver_that_may_have_lost_its_run_deletes_no_checkpoint_of_it(s3, robbed):
    """It deletes those of trials that run and of trials that ended; the other goes on from them."""
    folder, mine = robbed
    copy = backup.Backup(folder, STORE, silent, mine)
    names = [f"trial-{number:03d}-a/checkpoint_{k:06d}" for number in (0, 1) for k in range(4)]
    for name in names:
        s3.put_object(
            Bucket="photos", Key=f"sweeps/dice-1/checkpoints/{name}/model.json", Body=b"{}"
        )

    def follow_all(is_ours, secure):
        follower = Checkpoints(HOME, SWEEP, silent, secure, is_ours)
        for name in names[:4]:
            follower.update(running(0, f"{HOME}/checkpoints/{name}"))
        follower.update(replace(running(1, f"{HOME}/checkpoints/{names[7]}"), state="FAILED"))
        follower.flush(30)
        return [
            key.split("/", 3)[3].rpartition("/")[0]
            for key in keys(s3)
            if key.endswith("model.json")
        ]

    assert mine.taken_by is None, "it does not know"
    assert follow_all(lambda: copy.is_ours, copy.copy_ledger) == names
    assert follow_all(lambda: copy.is_ours, lambda: True) == names, (
        "lost after the ledger was copied"
    )
    assert follow_all(lambda: True, lambda: True) == names[2:4], "as whoever has the run would do"


def running(number, checkpoint):
    return Trial(
        number=number,
        role="search",
        params={},
        recipe=SWEEP.recipe,
        state="RUNNING",
        checkpoint=checkpoint,
    )


def test_a_driver_that_may_have_lost_its_run_writes_nothing_there(s3, robbed):
    folder, mine = robbed
    copy = backup.Backup(folder, STORE, silent, mine)
    copy.copy(0.0)
    assert not copy.copy_ledger()
    with (
        pytest.raises(MachineError, match=r"was taken over by another process \(2 on b\)"),
        copy.copying(),
    ):
        pass
    assert keys(s3) == ["sweeps/dice-1/lease.json"]


def test_a_copy_ends_where_the_run_is_lost_in_the_middle_of_it(s3, tmp_path):
    folder, asked = made_run().write(tmp_path / "dice-1"), []

    def may_write():
        asked.append(len(keys(s3)))
        return len(asked) < 3

    upload(folder.path, HOME, may_write=may_write)
    assert (asked, len(keys(s3))) == ([0, 1, 2], 2)


def test_a_lease_that_expired_while_the_store_was_away_is_renewed_for_the_last_copy(s3, tmp_path):
    folder = made_run().write(tmp_path / "dice-1")
    mine = Lease(HOME, Claim(who="1 on a", place="a"))
    mine.take()
    mine._renewed -= mine.claim.lasts_s
    assert not mine.is_held
    with copying(folder, STORE, lease=mine):
        pass
    assert stored(s3) == (folder.path / "ledger.jsonl").read_bytes()


DRIVER = """
import sys, time
from pathlib import Path
from syndet_ray.data import lease as leasing
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tracking import backup
from syndet_ray.workers.stop import Stop

folder, store = RunFolder.open(Path(sys.argv[1])), sys.argv[2]
stop = Stop(lambda words: None)
Claim = backup.Claim
backup.Claim = lambda **facts: Claim(**facts, lasts_s=0.2)
try:
    with stop, folder.lock(), backup.exclusive_lease(folder, store, stop.ask) as lease:
        with backup.Backup(folder, store, print, lease).copying():
            try:
                print("held", flush=True)
                time.sleep(60)
            except KeyboardInterrupt:  # as a run does: it is over, and may be resumed
                folder.ledger.append("retry", 0)
                print("interrupted", flush=True)
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""


def test_a_driver_that_loses_its_run_to_another_stops_and_writes_nothing_there(s3, tmp_path):
    folder = made_run().write(tmp_path / "dice-1")
    command = [sys.executable, "-c", DRIVER, str(folder.path), STORE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout.readline() == "held\n"
        other = Lease(HOME, Claim(who="4711 on b", place=backup._place(folder.path)))
        other.take()
        assert driver.stdout.readline() == "interrupted\n"
        said, _ = driver.communicate(timeout=60)
    assert said.startswith(f"MachineError {HOME}: was taken over by another process (4711 on b)")
    assert "Contents" not in s3.list_objects_v2(Bucket="photos", Prefix="sweeps/dice-1/run/")
    other.renew()
    assert other.is_held
