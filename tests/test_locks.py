"""Files are locked for one process at a time, and where that is impossible work goes on."""

import errno
import fcntl

import pytest

from syndet_ray.locks import can_lock, hold_lock, open_to_lock


def test_one_process_at_a_time_has_the_lock(tmp_path):
    path = tmp_path / "lock"
    with hold_lock(path) as is_locked:
        assert is_locked
        with pytest.raises(BlockingIOError), hold_lock(path, wait=False):
            pass
    with hold_lock(path, wait=False) as is_locked:
        assert is_locked
    assert can_lock(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_without_locks_the_file_is_not_locked(tmp_path, monkeypatch, code):
    def refuse(file, operation):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with hold_lock(tmp_path / "lock", wait=False) as is_locked:
        assert not is_locked
    assert not can_lock(tmp_path)


def test_another_error_is_no_lack_of_locks(tmp_path, monkeypatch):
    def fail(file, operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"), hold_lock(tmp_path / "lock"):
        pass


def test_the_file_of_another_user_is_locked_if_it_can_be_read(tmp_path, bound_by_permissions):
    for mode, is_expected in ((0o444, True), (0o000, False)):
        path = tmp_path / f"lock-{mode}"
        path.touch(mode=mode)
        with hold_lock(path) as is_locked:
            assert is_locked == is_expected


def test_a_lock_that_cannot_be_made_is_an_error(read_only):
    with pytest.raises(PermissionError):
        open_to_lock(read_only / "lock")
