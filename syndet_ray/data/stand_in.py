"""Stand-in: path-traced pictures that take the place of photos where a user has none; always named so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.read import read

# Made by benchmarks/stand_in.py.
FOLDER = Path(__file__).with_name("stand_in_photos")


def stand_in(progress: Callable[[int, int], None] | None = None) -> dict[str, Pool]:
    """Pools "train", "val" and "test" of dice with looks, floors and lights that our own scenes do not contain.

    Every figure made with them says "stand-in". `progress` is told (images decoded, images in all).
    """
    splits = read(FOLDER).splits
    total, pools = sum(map(len, splits.values())), dict[str, Pool]()
    for split, source in splits.items():
        before = sum(map(len, pools.values()))
        told = None if progress is None else lambda done, _, before=before: progress(before + done, total)
        pools[split] = decode(replace(source, name="real", stand_in=True), told)
    return pools
