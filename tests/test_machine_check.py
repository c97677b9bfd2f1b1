"""A machine or folder on which a run would fail is named before anything is computed."""

import pytest

from syndet_ray.errors import MachineError
from syndet_ray.tuning.machine_check import cache_notes, check_artifacts, check_machine, lock_notes


def test_a_folder_for_runs_that_cannot_be_made_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(MachineError, match=rf"^{file}: is a file, and runs need a folder"):
        check_machine(file, None)
    rule = rf"^{file}/runs: cannot be written \(.*\)\. Run from a folder that you may write to"
    with pytest.raises(MachineError, match=rule):
        check_machine(file / "runs", None)


@pytest.mark.parametrize("name", ["artifacts", "artifacts/models"])
def test_a_colleagues_folder_of_mlflow_is_found(tmp_path, bound_by_permissions, name):
    check_artifacts(tmp_path)
    folder = tmp_path / name
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    with pytest.raises(MachineError, match=rf"^{folder}: cannot be written .* one with `runs`"):
        check_artifacts(tmp_path)


def test_a_machine_without_a_temporary_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(MachineError, match=r"^\$TMPDIR: names no folder that can be written"):
        check_machine(tmp_path, None)


def test_file_systems_without_locks_are_noted_or_refused_if_sqlite_needs_them(
    tmp_path, no_locks, monkeypatch
):
    noted = f"{tmp_path} is on a file system without locks: do not carry out one run"
    (sentence,) = lock_notes(tmp_path, tracking=None)
    assert sentence.startswith(noted)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("syndet_ray.tuning.machine_check.works_in", lambda folder: False)
    with pytest.raises(MachineError, match=r"without locks, which MLflow's database needs\. Name"):
        lock_notes(tmp_path, tracking=None)
    assert lock_notes(tmp_path, tracking="http://127.0.0.1:5000") == [sentence]


def test_with_locks_there_is_nothing_to_note(tmp_path):
    assert lock_notes(tmp_path, tracking=None) == []


def test_a_cache_of_rendered_scenes_that_can_only_be_read_is_noted(tmp_path, bound_by_permissions):
    cache = tmp_path / "cache"
    assert cache_notes(cache) == []
    cache.mkdir()
    assert cache_notes(cache) == []
    cache.chmod(0o555)
    check_machine(tmp_path, None)
    assert cache_notes(cache) == [
        f"{cache} can only be read: trials whose scenes it lacks will fail"
    ]
