"""Files and folders are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from syndet_ray.errors import MachineError
from syndet_ray.files import (
    check_writable,
    file_hash,
    last_lines,
    make_folder,
    reading,
    temporary_folder,
    whole_folder,
    whole_replacement,
    write_whole,
    writing,
)


def test_a_file_is_replaced_whole_and_leaves_nothing_next_to_it(tmp_path):
    path = tmp_path / "facts.json"
    write_whole(path, b"old")
    assert write_whole(path, b"new") == path
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["facts.json"]


def test_a_file_that_is_too_large_for_its_disk_is_named(tmp_path):
    too_large = OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    message = r"a: cannot be written \(File too large\)\. Its disk or `ulimit -f` allows no such"
    with pytest.raises(MachineError, match=message), writing(tmp_path / "a"):
        raise too_large
    with pytest.raises(MachineError, match=message), whole_folder(tmp_path / "a"):
        raise too_large


def test_a_folder_is_there_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "made" / "too" / "set"
    with whole_folder(path) as unfinished:
        assert unfinished.parent == path.parent and unfinished.name.startswith(".set-")
        assert not path.exists() and not any(unfinished.iterdir())
        (unfinished / "part").write_text("content")
    assert (path / "part").read_text() == "content"
    assert os.listdir(path.parent) == ["set"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_block_may_set_other_permissions(tmp_path):
    with whole_folder(tmp_path / "set") as unfinished:
        unfinished.chmod(0o700)
    assert (tmp_path / "set").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_of_a_block_that_fails_nothing_is_left(tmp_path, error):
    def write_half():
        with whole_folder(tmp_path / "set") as unfinished:
            (unfinished / "part").write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert not any(tmp_path.iterdir())


def test_an_empty_folder_is_replaced_and_a_full_one_is_kept(tmp_path):
    path = tmp_path / "set"
    path.mkdir()
    with whole_folder(path) as unfinished:
        (unfinished / "first").touch()
    with pytest.raises(OSError, match="not empty"), whole_folder(path) as unfinished:
        (unfinished / "second").touch()
    assert os.listdir(path) == ["first"] and os.listdir(tmp_path) == ["set"]


def test_what_the_block_removes_makes_way(tmp_path):
    path = tmp_path / "set"
    path.mkdir()
    (path / "old").touch()
    with whole_folder(path) as unfinished:
        (unfinished / "new").touch()
        (path / "old").unlink()
    assert os.listdir(path) == ["new"]


def test_a_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "empty").touch()
    assert file_hash(tmp_path / "empty").startswith("e3b0c44298fc1c14")


def in_a_folder(path):
    with whole_folder(path):
        pass


WRITERS = [lambda path: write_whole(path, b"new"), in_a_folder, make_folder, check_writable]


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_that_cannot_be_written_is_named(read_only, write):
    path = read_only / "set"
    message = rf"^{path}: cannot be written \(Permission denied\)\. Write to another folder"
    with pytest.raises(MachineError, match=message) as refusal:
        write(path)
    assert isinstance(refusal.value.__cause__, PermissionError)


@pytest.mark.parametrize("write", WRITERS)
def test_a_path_through_a_file_and_a_name_that_is_too_long_are_named(tmp_path, write):
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"Not a directory.* is a file: give another path\.$"):
        write(tmp_path / "file" / "set" / "b")
    with pytest.raises(MachineError, match=r"File name too long\)\. Give a shorter name\.$"):
        write(tmp_path / ("x" * 300))
    assert os.listdir(tmp_path) == ["file"]


def test_a_check_leaves_no_file_and_allows_what_can_be_replaced(read_only, tmp_path):
    check_writable(tmp_path / "new" / "deep" / "page.html")
    assert os.listdir(tmp_path) == ["read-only"]
    page = tmp_path / "page.html"
    page.touch(mode=0o444)
    check_writable(page)
    write_whole(page, b"new")
    with pytest.raises(MachineError, match="cannot be written"):
        check_writable(read_only)


def test_a_disk_that_fills_up_keeps_the_old_file_and_is_the_cause(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = write_whole(tmp_path / "facts.json", b"old")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MachineError, match=r"No space left on device\)\. Make room") as refusal:
        write_whole(path, b"new")
    assert refusal.value.__cause__.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["facts.json"]
    with pytest.raises(MachineError, match=rf"^{tmp_path}/set: cannot be written"):
        fill(tmp_path / "set", lambda folder: full(folder, b""))


def fill(path, write):
    with whole_folder(path) as unfinished:
        write(unfinished)


def test_a_file_that_cannot_be_read_is_not_mistaken_for_one_that_cannot_be_written(
    tmp_path, bound_by_permissions
):
    secret = tmp_path / "secret"
    secret.touch(mode=0)
    with pytest.raises(PermissionError):
        fill(tmp_path / "set", lambda folder: secret.read_bytes())
    message = rf"^{secret}: cannot be read \(Permission denied\)\. Ask its owner"
    with pytest.raises(MachineError, match=message), reading(tmp_path):
        secret.read_bytes()


def test_a_temporary_folder_is_gone_afterwards_and_its_lack_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary_folder() as folder:
        (folder / "file").touch()
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(MachineError, match=r"^\$TMPDIR: names no folder that can be written"),
        temporary_folder(),
    ):
        pass


def test_the_end_of_a_log_is_one_line_that_does_nothing_to_a_terminal(tmp_path):
    log = tmp_path / "log.txt"
    bar = b"".join(b"epoch 1: %d%%\r" % percent for percent in range(100))
    log.write_bytes(bar + b"\n\x1b[31mred\x1b[0m\t\xff\x1b]0;title\x07\n\nlast")
    assert last_lines(log) == "epoch 1: 99% | red \N{REPLACEMENT CHARACTER}]0;title | last"
    log.write_bytes(b"x" * 100_000)
    assert last_lines(log) == "x" * 1000
    log.write_bytes(b"")
    assert last_lines(log) == ""


def test_a_folder_is_replaced_whole_or_stays(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "old").touch()
    rename, renamed = os.rename, []

    def refuse_second(*names):
        renamed.append(names)
        if len(renamed) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(*names)

    with pytest.raises(ValueError, match="broke off"), whole_replacement(folder):
        raise ValueError("broke off")
    monkeypatch.setattr(os, "rename", refuse_second)
    with pytest.raises(MachineError, match="No space left"), whole_replacement(folder):
        pass
    assert (os.listdir(tmp_path), os.listdir(folder)) == (["run"], ["old"])
    with whole_replacement(folder) as unfinished:
        (unfinished / "new").touch()
    assert (os.listdir(tmp_path), os.listdir(folder)) == (["run"], ["new"])
