"""Disk: what a sweep will take of it, and whether there is room."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.data.memory import memory_words
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.reach import rendered_sets
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import MachineError
from syndet_ray.scenes.cache import bound
from syndet_ray.search.task import KEPT_CHECKPOINTS

_BYTES_A_PIXEL = 3


@dataclass(frozen=True)
class Disk:
    """What a sweep takes at most, bytes. checkpoints: of all trials that keep any at one time;
    scenes: of all rendered sets.
    """

    checkpoints: int = 0
    scenes: int = 0


@dataclass(frozen=True)
class Room:
    """Where that goes, bytes. free: of the disk that has the runs; cache: the most that scenes may
    take there.
    """

    free: int
    cache: int


def room(runs: Path, cache: Path) -> Room:
    """The disk of the runs as it is now. Raises MachineError where $SYNDET_CACHE_GB is no number."""
    return Room(shutil.disk_usage(runs).free, bound(cache if cache.is_dir() else runs))


def projected(sweep: LoadedSweep, checkpoint_bytes: int, confirmations: int, parallel: int) -> Disk:
    """The disk that a sweep takes where one checkpoint takes so much; the recipe's own stands for
    all.

    Kept are the newest checkpoints of trials that run, and one of every training that may meet the
    test set (see tuning.checkpoints).
    """
    kept = len(sweep.fixed) + min(sweep.confirm.top, sweep.proposals) + confirmations
    running = parallel * (KEPT_CHECKPOINTS + 1)  # the next is written before the oldest goes
    scenes = sum(_set_bytes(parameters, count) for parameters, count in rendered_sets(sweep))
    return Disk(checkpoints=(kept + running) * checkpoint_bytes, scenes=scenes)


def check_fits(disk: Disk, room: Room, place: Path, storage: str | None) -> None:
    """Raises MachineError where a sweep may take more than is free under `place`. storage: where
    checkpoints go instead.
    """
    needed = taken(disk, room, storage)
    if needed > room.free:
        lacking = memory_words(needed - room.free)
        rule = (
            f"lacks {lacking} for {words(disk, room, storage)} ({memory_words(room.free)} are free)"
        )
        elsewhere = "" if storage else "let checkpoints go to S3 with `storage`, "
        do = f"Make room, give another `runs`, {elsewhere}or begin all the same with `force`."
        raise MachineError(place, rule, do=do)


def taken(disk: Disk, room: Room, storage: str | None) -> int:
    """Bytes that a sweep takes of this machine's disk at most."""
    checkpoints = 0 if storage else disk.checkpoints
    return checkpoints + min(disk.scenes, room.cache)


def words(disk: Disk, room: Room, storage: str | None) -> str:
    """ "2.0 GB of checkpoints and 500 MB of scenes": what a sweep keeps here at most."""
    scenes = f"{memory_words(min(disk.scenes, room.cache))} of scenes"
    if disk.scenes > room.cache:
        scenes += f" (of {memory_words(disk.scenes)}: those used longest ago are dropped)"
    return scenes if storage else f"{memory_words(disk.checkpoints)} of checkpoints and {scenes}"


def _set_bytes(parameters: SceneParameters, count: int) -> int:
    """Bytes of the pixels of a rendered set; its boxes take next to nothing."""
    return count * parameters.side_px**2 * _BYTES_A_PIXEL
