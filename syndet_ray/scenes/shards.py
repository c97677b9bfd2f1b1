"""Shards: a rendered set in pieces of a fixed size, each rendered once and joined in order."""

from collections.abc import Iterable
from pathlib import Path

from syndet_ray.data.pool import Pool
from syndet_ray.scenes.cache import work_folder

# The same for any number of workers: finished shards stay useful when that number changes.
SHARD_SCENES = 50


def shards_of(count: int) -> list[range]:
    """The scenes of each shard of a set of `count`."""
    starts = range(0, count, SHARD_SCENES)
    return [range(start, min(start + SHARD_SCENES, count)) for start in starts]


def shards_folder(folder: Path) -> Path:
    """The folder of the shards of the set in `folder`, used until the set is whole."""
    return work_folder(folder, "shards")


def shard_path(folder: Path, part: range) -> Path:
    return folder / f"{part.start:07d}-{part.stop:07d}"  # sorted by name, they stand in order


def join_shards(shards: Iterable[Path]) -> Pool:
    """One pool of all scenes of the shards, at least one; the order in which they are given does
    not matter.
    """
    pools = [Pool.load(shard) for shard in sorted(shards)]
    first = pools[0]
    images, boxes, ids = [], [], []
    for pool in pools:
        indices = range(len(pool))
        images += [pool.image(i) for i in indices]
        boxes += [pool.boxes(i) for i in indices]
        ids += [str(pool.image_ids[i]) for i in indices]
    return Pool.of(first.name, first.classes, images, boxes, ids, synthetic=first.synthetic)
