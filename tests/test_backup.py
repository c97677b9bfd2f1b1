"""A run's own files are copied to its storage while it is carried out, and can be had back from there."""

import time

import pytest
from made_runs import made_run

from syndet_ray.errors import DataError, MachineError
from syndet_ray.tuning import backup


def test_a_run_is_kept_without_its_checkpoints_and_can_be_had_back(tmp_path):
    folder, store = made_run(tmp_path / "runs" / "dice-1"), str(tmp_path / "store")
    folder.checkpoints.mkdir()
    (folder.checkpoints / "0").write_text("large")
    with backup.backed_up(folder, store):
        folder.append("retry", 0)
    back = backup.fetch(f"{store}/dice-1/", tmp_path / "elsewhere")
    assert back.path == tmp_path / "elsewhere" / "dice-1"
    assert (back.sweep, back.trials()) == (folder.sweep, folder.trials())
    assert not back.checkpoints.exists()
    with pytest.raises(DataError, match=r"dice-1: is here already: .* may be older. Resume"):
        backup.fetch(f"{store}/dice-1", tmp_path / "elsewhere")


def test_a_run_of_which_only_a_part_came_is_not_there(tmp_path, monkeypatch):
    folder, store = made_run(tmp_path / "runs" / "dice-1"), str(tmp_path / "store")
    with backup.backed_up(folder, store):
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


def test_the_copy_is_renewed_while_the_run_goes_on_even_after_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "_EVERY_S", 0.01)
    folder, store = made_run(tmp_path / "runs" / "dice-1"), tmp_path / "store"
    outcomes = [False, True]
    upload = backup.upload

    def uncertain(*given, **also):
        if outcomes and not outcomes.pop(0):
            raise MachineError(store, "cannot be written")
        upload(*given, **also)

    monkeypatch.setattr(backup, "upload", uncertain)
    kept = store / "dice-1" / "run" / "ledger.jsonl"
    with backup.backed_up(folder, str(store)):
        _wait_until(kept.exists)
        before = kept.read_text()
        folder.append("retry", 0)
        _wait_until(lambda: kept.read_text() != before)
        assert (kept.read_text(), outcomes) == ((folder.path / "ledger.jsonl").read_text(), [])


def _wait_until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_last_copy_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def failing(*_, **__):
        raise MachineError("store", "cannot be written")

    monkeypatch.setattr(backup, "upload", failing)
    with pytest.raises(MachineError, match="cannot be written"), backup.backed_up(made_run(tmp_path / "run"), "store"):
        pass


def test_without_storage_nothing_is_copied(tmp_path):
    folder = made_run(tmp_path / "runs" / "dice-1")
    with backup.backed_up(folder, None):
        assert backup.home(folder, None) == str(folder.path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert backup.home(folder, "s3://b/c/?scheme=http") == "s3://b/c/dice-1?scheme=http"
