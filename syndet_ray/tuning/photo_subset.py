"""Photo subset: the training photos on which scenes are measured, no others than trials may see."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from syndet_ray.data.real import RealData
from syndet_ray.data.record import Source
from syndet_ray.data.splits.subset import nested_subset
from syndet_ray.definitions.around import searched_values
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Mix, Scenes
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.wording import counted

_REAL_IMAGES = "mix.real_images"


@dataclass(frozen=True, eq=False, kw_only=True)
class PhotoSubset:
    """Training photos that scenes are measured on.

    hash   changes with their files and labels
    words  their number, and the reason for it if these are not all
    """

    source: Source
    hash: str
    words: str


def photos_to_measure(sweep: LoadedSweep, data: RealData) -> PhotoSubset:
    """The training photos that every recipe with measured scenes may see.

    Scenes show what the photos look like that they were measured on, so that a trial of few photos
    would learn about others. Smaller subsets are part of larger ones: where recipes differ in their
    number, the smallest is part of all. A recipe of no photos leaves no choice: if there are only
    such, all are measured.
    """
    train, pool = data.train, data.pools["train"]
    assert train is not None, "photos that were checked come with their files"
    numbers = {mix.real_count(len(pool)) for mix in _mixes(sweep)}
    count = min(numbers - {0}, default=len(pool))
    words = _words(count, len(pool), numbers)
    if count == len(pool):
        return PhotoSubset(source=train, hash=pool.hash, words=words)
    subset = nested_subset(pool, count, sweep.seed)
    index_of = {image_id: i for i, image_id in enumerate(train.image_ids())}
    indices = [index_of[image_id] for image_id in subset.image_ids.tolist()]
    source = train.select(indices, f"{train.name}, {counted(count, 'photo')} of {_REAL_IMAGES}")
    return PhotoSubset(source=source, hash=subset.hash, words=words)


def _words(count: int, available: int, numbers: Collection[int]) -> str:
    """The number of photos, and why it is not that of all, or not that of a recipe.

    numbers  of photos of each recipe with measured scenes
    """
    photos = counted(available, "training photo")
    if count == available:
        return f"{photos}, as {_REAL_IMAGES} 0 leaves none" if numbers == {0} else photos
    if len(numbers) == 1:
        return f"{count} of {photos}, those of {_REAL_IMAGES}"
    reason = f"the fewest of {_REAL_IMAGES} that recipes with such scenes train on"
    return f"{count} of {photos}, {reason}"


def _mixes(sweep: LoadedSweep) -> Iterator[Mix]:
    """The mixes of all recipes whose scenes are measured, with every number of photos."""
    for recipe in sweep.fixed.values():
        shares = recipe.mix.shares
        if any(shares[name] > 0 for name in _measured_sources(recipe)):
            yield recipe.mix
    # a search may give them a share; without trials it may follow by `resume`
    is_searched = sweep.trials or sweep.parameters.settings()
    if is_searched and _measured_sources(sweep.recipe):
        yield sweep.recipe.mix
        for value in searched_values(_REAL_IMAGES, sweep):
            yield sweep.recipe.mix.model_copy(update={"real_images": value})


def _measured_sources(recipe: Recipe) -> list[str]:
    """The names of the sources whose scenes are measured on photos."""
    names = []
    for name, source in recipe.mix.sources.items():
        scene = recipe.scene_of(source) if isinstance(source, Scenes) else None
        if scene is not None and scene.match == "photos" and not scene.pastes:
            names.append(name)
    return names
