"""Shards: a rendered set in pieces of a fixed size, each rendered once, by whoever, and joined in
order.
"""

from collections.abc import Iterable
from pathlib import Path

from syndet_ray.data.pool import Pool

# The same whoever renders: what is done stays of use when the number of workers changes.
SHARD_SCENES = 50


def shards_of(count: int) -> list[range]:
    """The scenes of each shard of a set of `count`."""
    return [
        range(start, min(start + SHARD_SCENES, count)) for start in range(0, count, SHARD_SCENES)
    ]


def shards_folder(folder: Path) -> Path:
    """Where the shards of the set in `folder` lie until it is whole."""
    return folder.with_name(f"{folder.name}-shards")


def shard_path(folder: Path, part: range) -> Path:
    return folder / f"{part.start:07d}-{part.stop:07d}"  # sorted by name, they stand in order


def joined(shards: Iterable[Path]) -> Pool:
    """One pool of all scenes of the shards, at least one, in whichever order they are given."""
    pools = [Pool.load(shard) for shard in sorted(shards)]
    every = [(pool, i) for pool in pools for i in range(len(pool))]
    return Pool.of(
        pools[0].name,
        pools[0].classes,
        [pool.image(i) for pool, i in every],
        [pool.boxes(i) for pool, i in every],
        [str(pool.image_ids[i]) for pool, i in every],
        synthetic=pools[0].synthetic,
    )
