"""Class check: the classes of a run, the same in its photos, its assets and other photos."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from syndet_ray.data.classes import (
    alike_names,
    check_classes,
    class_words,
    new_classes,
    spelling_words,
    stray_classes,
)
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Source
from syndet_ray.definitions import reach
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Synthetic
from syndet_ray.definitions.scene_parameters import BUILT_IN, COMMAND
from syndet_ray.errors import DataError
from syndet_ray.scenes.asset_sizes import check_sizes
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.backgrounds import check_backgrounds
from syndet_ray.scenes.generate import check_generator
from syndet_ray.scenes.needs import scene_inputs

_BUILT_IN_DICE = "the built-in dice"


def asset_classes(sweep: LoadedSweep) -> dict[str, tuple[str, ...]]:
    """The classes of every library that a recipe of the sweep may use, under their new names, by
    words for the library.

    Raises DataError for a library that cannot be used, MachineError if a generator cannot be
    started. The classes of an external generator are known only after it has run: see
    `generator_check`.
    """
    load.cache_clear()  # a folder may have changed since this process last read it
    rendered = scene_inputs(sweep)
    for generator in sorted({materials.generator for materials in rendered}):
        check_generator(generator)
    arrangements = {scene.arrangement for scene in reach.scenes(sweep)}
    if sweep.trials:
        arrangements |= reach.proposed_values(sweep, "scene.arrangement")
    classes = {}
    for materials in sorted(rendered):
        library = materials.library()
        if not materials.generator.startswith(COMMAND):
            check_backgrounds(library)
            for arrangement in arrangements:
                check_sizes(library, arrangement)
            classes[assets_name(materials.assets)] = new_classes(library.classes, sweep.classes)
    return classes


def assets_name(assets: object) -> str:
    """A library, as messages call it.

    assets  its folder, or the name of a built-in one
    """
    return _BUILT_IN_DICE if str(assets) in BUILT_IN else f"the assets in {assets}"


def check_assets(
    assets: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    place: object,
    boxes: Mapping[str, str] | None = None,
) -> None:
    """Raises DataError unless all assets have the classes of the photos.

    assets  the classes of each library, see `asset_classes`
    boxes   for classes of the photos, how many boxes they have, in words
    """
    for name, of_assets in assets.items():
        check_classes(
            classes,
            of_assets,
            place,
            other_name=name,
            boxes=boxes,
            do=_do_about_assets(classes, of_assets, is_built_in=name == _BUILT_IN_DICE),
        )


def _do_about_assets(real: Sequence[str], of_assets: Sequence[str], *, is_built_in: bool) -> str:
    """Advice on photos of other classes than the assets have."""
    without_assets = sorted(set(real) - set(of_assets))
    without_photos = sorted(set(of_assets) - set(real))
    if without_photos and not without_assets:
        drop = f"or drop it with `classes`, a file of lines such as `{without_photos[0]}: null`"
        return f"Label photos of each class that is missing there, {drop}."
    old = without_assets[0] if without_assets else "cat"
    new = without_photos[0] if without_photos else "null"
    line = f"`{old}: {new}`"
    names = f"To rename, merge or drop classes, give `classes`, a file of lines such as {line}."
    if not is_built_in:
        add = "Add a folder of meshes or cut-outs for each class that is missing there"
        return f"{add}; `init` without `assets` cuts objects out of the photos. {names}"
    return (
        "For scenes of these classes, give `assets`, a folder of meshes or cut-outs by class; "
        "`init` writes a sweep of scenes like the photos, and cuts objects out of them if it gets "
        f"no `assets`. {names} To train on photos alone: `sweep photos_alone`."
    )


def match_classes(real: Dataset, assets: Mapping[str, Sequence[str]], place: object) -> Dataset:
    """The photos without the classes of few boxes that no assets have, with a note that names them.

    Raises DataError where the classes differ otherwise; see `settle_classes`.
    """
    stray = _stray_classes(real.box_counts, assets)
    settled = real.without_classes(stray)
    check_assets(assets, settled.classes, place, real.words_of_classes)
    if not stray:
        return real
    return replace(settled, notes=(*settled.notes, _stray_note(real, stray)))


def settle_classes(
    real: Dataset,
    assets: Mapping[str, Sequence[str]],
    others: Mapping[str, Dataset],
    place: object,
    sweep: LoadedSweep,
) -> Dataset:
    """The photos with the classes of the run.

    A class of few boxes that no other source has is probably a slip in labelling: it is left out,
    and so is a class without any box; a note names them. Raises DataError where the classes of
    sources differ otherwise.

    assets  the classes of each library of assets
    others  other photos and synthetic datasets, by folder
    """
    sources = {**assets, **{folder: other.classes for folder, other in others.items()}}
    makes_unknown = any(
        materials.generator.startswith(COMMAND) for materials in scene_inputs(sweep)
    )
    stray = [] if makes_unknown else _stray_classes(real.box_counts, sources)
    settled = real.without_classes(stray)
    words = real.words_of_classes
    if stray:
        note = _stray_note(real, stray) if sources else _unused_note(stray)
        settled = replace(settled, notes=(*settled.notes, note))
    if not (sources or makes_unknown):
        notes = (*_notes_on_spellings(settled), *_notes_on_few(settled))
        settled = replace(settled, notes=(*settled.notes, *notes))
    check_assets(assets, settled.classes, place, words)
    datasets = reach.datasets(sweep)
    for folder, other in others.items():
        both = {**words, **other.few_boxes}
        names = without_unused(other, settled.classes).classes
        is_synthetic = isinstance(datasets[folder], Synthetic)
        other_name = "this synthetic dataset" if is_synthetic else "these photos"
        check_classes(settled.classes, names, folder, other_name=other_name, boxes=both)
    return settled


def _notes_on_spellings(photos: Dataset) -> Iterator[str]:
    """A sentence on classes whose names differ only in case, spaces and signs."""
    if groups := alike_names(photos.classes):
        yield spelling_words(groups, photos.box_counts)


def _notes_on_few(photos: Dataset) -> Iterator[str]:
    """A sentence on classes of so few boxes that they are probably slips in labelling."""
    slips = stray_classes(photos.box_counts, ())
    if slips:
        words = class_words(slips, photos.words_of_classes)
        yield f"perhaps slips in labelling, drop or rename them with `classes`: {words}"


def _stray_note(real: Dataset, stray: Collection[str]) -> str:
    """A sentence on classes that are left out, and on those that are another spelling of one."""
    words = class_words(stray, real.words_of_classes)
    groups = [names for names in alike_names(real.classes) if set(names) & set(stray)]
    note = f"left out, since no other source has them: {words}"
    return f"{note}; {spelling_words(groups, real.box_counts)}" if groups else note


def _unused_note(classes: Collection[str]) -> str:
    return f"classes without a box, left out: {', '.join(classes)}"


def without_unused(other: Dataset, classes: Collection[str]) -> Dataset:
    """Other photos without the classes that have no box there and are none of `classes`."""
    counts = other.box_counts
    unused = [name for name, count in counts.items() if not count and name not in classes]
    return other.without_classes(unused)


def _stray_classes(counts: Mapping[str, int], sources: Mapping[str, Sequence[str]]) -> list[str]:
    """Classes of the photos that are left out; without other sources those without any box."""
    if not sources:
        return [name for name, count in counts.items() if not count]
    return stray_classes(counts, set(chain.from_iterable(sources.values())))


def without_unlearnable(sweep: LoadedSweep, real: Dataset, train: Source) -> Dataset:
    """The photos without probable slips in labelling of which train has no box, with a note.

    The photos stay as they are if a recipe may learn them from other sources.
    """
    if _has_other_sources(sweep):
        return real
    missing = _classes_without_box(train)
    slips = [name for name in stray_classes(real.box_counts, ()) if name in missing]
    if not slips:
        return real
    note = f"left out, since train has no box of them: {', '.join(slips)}"
    return replace(real.without_classes(slips), notes=(*real.notes, note))


def check_learnable(sweep: LoadedSweep, real: Dataset, train: Source, place: object) -> None:
    """Raises DataError for a class that no training image shows if all recipes train on photos
    alone.
    """
    missing = [] if _has_other_sources(sweep) else _classes_without_box(train)
    if missing:
        rule = f"train holds no box of {class_words(missing, real.words_of_classes)}"
        do = "Label some, put photos of them into train, or drop these classes with `classes`."
        raise DataError(place, rule, do=do)


def _has_other_sources(sweep: LoadedSweep) -> bool:
    """True if a recipe of the sweep may train on more than the photos of `real`."""
    return bool(scene_inputs(sweep) or reach.datasets(sweep))


def _classes_without_box(source: Source) -> list[str]:
    counts = zip(source.classes, source.class_counts().tolist(), strict=True)
    return [name for name, count in counts if not count]
