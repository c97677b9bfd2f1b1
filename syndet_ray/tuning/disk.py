"""Disk: estimates how much disk a sweep takes, and checks that it is free."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.data.memory import memory_words
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.reach import rendered_sets
from syndet_ray.errors import MachineError
from syndet_ray.scenes.cache import bound, set_bytes
from syndet_ray.search.task import KEPT_CHECKPOINTS


@dataclass(frozen=True)
class Disk:
    """The disk that a sweep takes at most, bytes.

    checkpoints  of all trials that keep one at the same time
    scenes       of all rendered sets
    """

    checkpoints: int = 0
    scenes: int = 0


@dataclass(frozen=True)
class Room:
    """The disk that is there, bytes.

    free   on the disk with the runs
    cache  the maximum that rendered scenes may take there
    """

    free: int
    cache: int


def room(runs: Path, cache: Path) -> Room:
    """The present disk of the runs. Raises MachineError if $SYNDET_CACHE_GB is no number."""
    return Room(shutil.disk_usage(runs).free, bound(cache if cache.is_dir() else runs))


def most_used(sweep: LoadedSweep, checkpoint_bytes: int, confirmations: int, parallel: int) -> Disk:
    """The disk that a sweep takes at most.

    checkpoint_bytes  of one checkpoint of the recipe: it stands for those of all trials
    confirmations     trainings after the search
    parallel          trials at once

    A run keeps the newest checkpoints of running trials, and one of every training that may be
    scored on the test set (see tuning.checkpoints).
    """
    kept = len(sweep.fixed) + min(sweep.confirm.top, sweep.proposals) + confirmations
    running = parallel * (KEPT_CHECKPOINTS + 1)  # the next is written before the oldest goes
    scenes = sum(set_bytes(parameters, count) for parameters, count in rendered_sets(sweep))
    return Disk(checkpoints=(kept + running) * checkpoint_bytes, scenes=scenes)


def check_fits(disk: Disk, room: Room, place: Path, storage: str | None) -> None:
    """Raises MachineError if a sweep may take more than is free at `place`.

    storage  address of the checkpoints; None keeps them at `place`
    """
    needed = disk_bytes(disk, room, storage)
    if needed > room.free:
        lacking, free = memory_words(needed - room.free), memory_words(room.free)
        rule = f"lacks {lacking} for {usage_words(disk, room, storage)} ({free} are free)"
        elsewhere = "" if storage else "let checkpoints go to S3 with `storage`, "
        do = f"Make room, give another `runs`, {elsewhere}or start it anyway with `force`."
        raise MachineError(place, rule, do=do)


def disk_bytes(disk: Disk, room: Room, storage: str | None) -> int:
    """The bytes that a sweep takes of this machine's disk at most."""
    checkpoints = 0 if storage else disk.checkpoints
    return checkpoints + min(disk.scenes, room.cache)


def usage_words(disk: Disk, room: Room, storage: str | None) -> str:
    """The maximum that a sweep keeps here: "2.0 GB of checkpoints and 500 MB of scenes"."""
    scenes = f"{memory_words(min(disk.scenes, room.cache))} of scenes"
    if disk.scenes > room.cache:
        scenes += f" (of {memory_words(disk.scenes)}: the least recently used are deleted)"
    return scenes if storage else f"{memory_words(disk.checkpoints)} of checkpoints and {scenes}"
