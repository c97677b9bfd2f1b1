"""Subset: some of the real images, so that a smaller subset is always part of a larger one."""

from syndet_ray import seeds
from syndet_ray.data.pool import Pool
from syndet_ray.errors import DataError


def nested_subset(pool: Pool, count: int, seed: int) -> Pool:
    """`count` images of a pool, in the pool's order.

    They are the first of one random order, which depends only on the seed. So a sweep that asks how
    many images are needed compares 20 images with the same 20 and more, and its result does not
    depend on the luck of the draw. Raises DataError where there are fewer than `count`.
    """
    assert count >= 0, count
    check_enough(len(pool), count)
    if count == len(pool):
        return pool
    order = seeds.generator(seed, "real images").permutation(len(pool))
    return pool.select(sorted(order[:count].tolist()))


def check_enough(available: int, count: int) -> None:
    """Raises DataError where a recipe needs more real training images than there are."""
    if count > available:
        rule = f"must be at most the number of real training images, {available}"
        raise DataError("mix.real_images", rule, got=count, do='Set a smaller number, or "all".')
