"""Whether decoded photos fit into memory is known from their heads."""

import resource
from types import SimpleNamespace

import psutil
import pytest

from syndet_ray.boxes import Boxes
from syndet_ray.data import memory
from syndet_ray.data.record import Record, Source


def photos(count, wh):
    records = (
        Record(image_id=str(i), image=b"", size_wh=wh, boxes=Boxes.none(), place=str(i))
        for i in range(count)
    )
    return Source(name="real", classes=("cat",), records=tuple(records))


def test_bytes_are_counted_at_the_working_scale():
    assert memory.decoded_bytes([photos(2, (4000, 3000)), photos(1, (500, 1000))], 1000) == 3 * (
        2 * 750_000 + 500_000
    )
    assert memory.decoded_bytes([], 1000) == 0


def test_photos_that_leave_too_little_memory_do_not_fit_and_words_say_why(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 4_000_000_000)
    most = photos(1066, (4000, 3000))
    assert memory.fits_memory([most], 1000)
    more = [most, photos(2, (4000, 3000))]
    assert not memory.fits_memory(more, 1000)
    words = "they would take 2.4 GB, more than 60% of the 4.0 GB available"
    assert memory.lack_words(more, 1000) == words


def test_what_is_available_is_what_the_system_says_or_the_containers_limit(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUP_LIMIT", limit)
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(total=8 * 10**9, available=3 * 10**9)
    )
    assert memory.available_bytes() == 3 * 10**9, "no container"
    limit.write_text("max\n")
    assert memory.available_bytes() == 3 * 10**9
    limit.write_text("1000000000\n")
    assert memory.available_bytes() == 10**9
    limit.write_text("9000000000\n")
    assert memory.available_bytes() == 3 * 10**9, "a limit that the machine does not reach"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "1 kB"), (3_200, "3 kB"), (45_400_000, "45 MB"), (1_530_000_000, "1.5 GB")],
)
def test_memory_is_reported_in_words(count, words):
    assert memory.memory_words(count) == words


def test_the_limit_of_the_process_counts_too(monkeypatch):
    used = psutil.Process().memory_info().data
    monkeypatch.setattr(resource, "getrlimit", lambda which: (used + 10**8, -1))
    assert memory.available_bytes() <= 10**8
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1, -1))
    assert memory.available_bytes() == 0
