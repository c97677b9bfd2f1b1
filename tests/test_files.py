"""Files and folders are written whole or not at all."""

import os

import pytest

from syndet_ray.files import file_hash, whole_folder, write_whole


def test_a_file_is_replaced_whole_and_leaves_nothing_next_to_it(tmp_path):
    path = tmp_path / "facts.json"
    write_whole(path, b"old")
    assert write_whole(path, b"new") == path
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["facts.json"]


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
