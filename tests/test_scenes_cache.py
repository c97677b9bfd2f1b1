"""Rendered sets take no more disk than they may: those used longest ago go, and none that is
made or in use.
"""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool, align_labels
from syndet_ray.errors import MachineError
from syndet_ray.scenes import cache as caching
from syndet_ray.scenes.cache import bound, load_or_make, load_pool, trim, work_folder

KEYS = [character * 20 for character in "abcdef"]
MB = 1_000_000  # bytes, the size of a set here


def made():
    """A set of 1 MB, a little more with its boxes."""
    image = np.zeros((500, 667, 3), np.uint8)
    return Pool.of("synthetic", ("a", "b"), [image], [Boxes.none()], ["0"], synthetic=True)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of at most 2.5 MB; returns a function that asks for the set of a key and gives its
    pool.
    """
    monkeypatch.setenv("SYNDET_CACHE_GB", "0.0025")
    clock = iter(range(10_000, 20_000))

    def ask(key):
        pool = load_or_make(tmp_path / key, made)
        os.utime(tmp_path / f".{key}.used", times=(moment := next(clock), moment))
        return pool

    return ask


def present(folder):
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_the_set_that_was_used_longest_ago_goes_first(cache, tmp_path):
    for key in (KEYS[0], KEYS[1], KEYS[0], KEYS[2], KEYS[3]):
        cache(key)
    assert present(tmp_path) == {KEYS[2], KEYS[3]}
    cache(KEYS[2])
    cache(KEYS[0])
    assert present(tmp_path) == {KEYS[2], KEYS[0]}, "it was asked for after the other had been made"


def test_a_set_that_is_used_stays_whatever_it_takes(cache, tmp_path):
    pools = [cache(key) for key in KEYS]
    assert present(tmp_path) == set(KEYS)
    part = align_labels(
        pools[0].select([0]), ("b", "a")
    )  # shares the pixels, and outlives the pool
    del pools
    trim(tmp_path)
    assert present(tmp_path) == {KEYS[0], KEYS[5]}, (
        "the set in use counts, and there is room for the newest of the others"
    )
    del part
    cache(KEYS[1])
    assert present(tmp_path) == {KEYS[1], KEYS[5]}


HOLD = """
import sys; from pathlib import Path; from syndet_ray.scenes.cache import load_pool
pool = load_pool(Path(sys.argv[1])); print("held", flush=True); sys.stdin.read()
"""


def test_a_set_that_another_process_uses_stays_until_that_ends(cache, tmp_path):
    cache(KEYS[0])
    command = [sys.executable, "-c", HOLD, str(tmp_path / KEYS[0])]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "held\n"
        for key in KEYS[1:4]:
            cache(key)
        assert present(tmp_path) == {KEYS[0], KEYS[3]}
        process.kill()
    os.utime(tmp_path / f".{KEYS[0]}.used", times=(1, 1))
    cache(KEYS[4])
    assert present(tmp_path) == {KEYS[3], KEYS[4]}


def test_a_set_that_is_being_made_stays_and_what_a_kill_left_goes(cache, tmp_path):
    for key in KEYS[:2]:
        for name in (f"{key}-shards", f".{key}-torn"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "pixels.npy").write_bytes(bytes(MB))
    with (tmp_path / f".{KEYS[0]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        trim(tmp_path)
    assert present(tmp_path) == {f"{KEYS[0]}-shards", f".{KEYS[0]}-torn"}


def test_what_is_no_set_is_left_alone(cache, tmp_path):
    for name in ("mine", "0123", f"{KEYS[0]}0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "large").write_bytes(bytes(3 * MB))
    cache(KEYS[1])
    assert present(tmp_path) == {"mine", "0123", f"{KEYS[0]}0", KEYS[1]}


def test_what_cannot_be_deleted_stays_and_the_others_go(cache, tmp_path, monkeypatch):
    rename = caching.Path.rename

    def refusing(path, target):
        if path.name == KEYS[0]:
            raise PermissionError("of another user")
        return rename(path, target)

    monkeypatch.setattr(caching.Path, "rename", refusing)
    for key in KEYS[:4]:
        cache(key)
    assert present(tmp_path) >= {KEYS[0], KEYS[3]}
    assert not {KEYS[1], KEYS[2]} & present(tmp_path)


def test_a_set_that_was_dropped_is_made_again(cache, tmp_path):
    for key in KEYS[:4]:
        cache(key)
    assert load_pool(tmp_path / KEYS[0]) is None
    assert len(cache(KEYS[0])) == 1
    assert load_pool(tmp_path / "no" / "cache") is None


def test_a_set_in_the_cache_of_another_user_can_be_read(cache, tmp_path, monkeypatch):
    cache(KEYS[0])
    (tmp_path / f".{KEYS[0]}.used").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("syndet_ray.files.os.access", lambda path, mode, **_: False)
        assert (
            len(load_pool(tmp_path / KEYS[0])) == len(load_or_make(tmp_path / KEYS[0], made)) == 1
        )
    assert not (tmp_path / f".{KEYS[0]}.used").exists()
    cache(KEYS[0])
    opened = os.open

    def of_another(path, flags, mode=0o777):
        if flags & os.O_RDWR and path.name.startswith("."):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, mode)

    monkeypatch.setattr(caching.os, "open", of_another)
    assert len(load_pool(tmp_path / KEYS[0])) == 1


Usage = namedtuple("Usage", "total used free")


def test_without_a_number_the_cache_may_take_half_of_what_is_free_or_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("SYNDET_CACHE_GB", raising=False)
    free = 5 * MB
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free))
    assert bound(tmp_path) == 2.5 * MB
    (tmp_path / KEYS[0]).mkdir()
    (tmp_path / KEYS[0] / "pixels.npy").write_bytes(bytes(MB))
    assert bound(tmp_path) == 3 * MB
    assert bound(tmp_path, taken=3 * MB) == 4 * MB
    monkeypatch.setenv("SYNDET_CACHE_GB", "1.5")
    assert bound(tmp_path) == 1_500 * MB


@pytest.mark.parametrize("asked", ["50 GB", "-1", "nan", "inf"])
def test_what_is_no_number_of_gigabytes_is_named(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNDET_CACHE_GB", asked)
    with pytest.raises(
        MachineError, match=r"\$SYNDET_CACHE_GB: must be a number of gigabytes, such as 50, got"
    ):
        bound(tmp_path)


def test_without_locks_sets_are_made_and_none_is_deleted(cache, tmp_path, no_locks):
    pools = [cache(key) for key in KEYS[:4]]
    assert present(tmp_path) == set(KEYS[:4])
    assert {len(pool) for pool in pools} == {1}


def test_a_set_that_another_user_has_begun_is_made_beside(cache, tmp_path, bound_by_permissions):
    (tmp_path / f".{KEYS[0]}.lock").touch(mode=0)
    theirs = tmp_path / f"{KEYS[0]}-shards"
    theirs.mkdir(mode=0o555)
    assert len(cache(KEYS[0])) == 1
    ours = work_folder(tmp_path / KEYS[0], "shards")
    assert ours == tmp_path / f"{KEYS[0]}-shards-{os.geteuid()}"
    assert work_folder(tmp_path / KEYS[1], "shards") == tmp_path / f"{KEYS[1]}-shards"
