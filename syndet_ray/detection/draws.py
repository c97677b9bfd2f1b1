"""Draws: the images of each batch of a training, by the mix of its recipe and its seed."""

from collections.abc import Iterator, Mapping
from typing import Any

from syndet_ray import seeds
from syndet_ray.data.mix import BatchMixer
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.mix import REAL, Mix
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.schedule import images_until, shares_between
from syndet_ray.errors import SyndetError


def drawn_from(mix: Mix, pools: Mapping[str, Pool]) -> dict[str, Pool]:
    """The pools of the sources that have a share.

    Raises SyndetError for one that is missing or empty.
    """
    needed = [source for source, share in mix.shares.items() if share > 0]
    for source in needed:
        if not len(pools.get(source, ())):
            rule = f"{source} has a share but no images"
            raise SyndetError("mix", rule, got=mix.shares[source], do="Set it to 0.")
    return {source: pools[source] for source in needed}


def mixer_of(recipe: Recipe, pools: Mapping[str, Pool], seed: int) -> BatchMixer:
    """The mixer of a recipe's batches at their beginning.

    seed  of the training
    """
    sizes = {source: len(pool) for source, pool in pools.items()}
    scenes = recipe.scenes().items()
    # the images of a curriculum are shown in their order, from near to far
    ordered = [source for source, (scene, _) in scenes if scene.poses == "curriculum"]
    mix_seed = seeds.integer(seed, "mix")
    return BatchMixer(sizes, recipe.training.batch_size, mix_seed, in_order=ordered)


def draw_batches(
    mixer: BatchMixer, recipe: Recipe, first: int, until: int
) -> Iterator[tuple[int, list[tuple[str, int]]]]:
    """Yields for each batch the number of images before it, and its images by source and index.

    The batches end at exactly `until` images; the last one may be shorter.

    first  images that the mixer has drawn before
    """
    total, drawn = recipe.training.images, first
    while drawn < until:
        count = min(mixer.batch_size, until - drawn)
        shares = shares_between(recipe.mix, drawn / total, (drawn + count) / total)
        yield drawn, mixer.draw(shares, count)
        drawn += count


def planned_images(recipe: Recipe, pools: Mapping[str, Pool], images: int) -> dict[str, float]:
    """The planned number of images of each source after so many, rounded for the reader."""
    if images == 0:
        return dict.fromkeys(pools, 0.0)
    planned = images_until(recipe.mix, images, recipe.training.images)
    return {source: round(planned[source], 6) for source in pools}


def realised_shares(mix: Mix, drawn: Mapping[str, int], images: int) -> dict[str, float]:
    """The shares of all images so far, as metrics.

    realised/synthetic is the share that was not real. If there are several synthetic sources there
    is also realised/<source> for each; one that is itself called "synthetic" has none: that name is
    the share of all of them.

    drawn  by source, images so far
    """
    counts = dict(drawn)
    counts.pop(REAL, None)
    overall = {"realised/synthetic": sum(counts.values()) / images}
    if len(mix.sources) == 1:
        return overall
    by_source = {}
    for source, count in counts.items():
        by_source[f"realised/{source}"] = count / images
    return by_source | overall


def pool_facts(pool: Pool) -> dict[str, Any]:
    """The number of distinct images of a pool, and a hash of them."""
    return {"images": len(pool), "hash": pool.hash[:16]}
