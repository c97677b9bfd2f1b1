"""Preflight: everything that can be known to go wrong before the first GPU second is spent."""

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from syndet_ray.data.memory import check_photos_fit
from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.read import Dataset, check_classes, read
from syndet_ray.data.real import RealData
from syndet_ray.data.record import Source
from syndet_ray.data.scale import (
    WorkingScale,
    anchors,
    badly_fitted,
    check_alike,
    check_crop,
    elongated_share,
    longest_shape,
    range_words,
    scale_of,
    training_boxes_wh,
    working_scale,
)
from syndet_ray.data.split import (
    Twin,
    cut_by_looks,
    refuse_copies,
    selection,
    twin_words,
    with_validation,
)
from syndet_ray.data.stand_in import stand_in
from syndet_ray.data.storage import check_bucket
from syndet_ray.data.subset import check_enough
from syndet_ray.definitions import reach, space_check
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes import command
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.generate import check_generator
from syndet_ray.scenes.made_from import facts
from syndet_ray.scenes.needs import scene_inputs
from syndet_ray.spread import LEAST_IMAGES
from syndet_ray.wording import counted

_OTHER_ASSETS = (
    "Name a folder of the same classes in scene.assets, or rename or drop classes on one side."
)
_DO_LABEL = "Label objects on its photos, or add photos with labelled objects. Boxes of crowds do not count."
_LEAST_FREE_BYTES = 2 * 1024**3
_MANY_ELONGATED = 0.1  # share of the objects; fewer change little in a score
# Median sizes of rendered and photographed objects this near are alike: the detector's scale jitter
# and the spread of sizes within each make up for the rest.
_LIKE_SIZES = 1.5

_SCORED = ("val", "test")  # splits whose photos nothing may be trained on


def real_data(
    path: Path | None,
    sweep: LoadedSweep,
    progress: NamedProgress,
    *,
    allow_near_copies: bool = False,
) -> RealData:
    """The user's photos, or the stand-in set where there are none, and others' photos that the
    sweep's recipes name.

    All is read before any is decoded. Raises DataError for whatever cannot be used, near copies in
    two splits among it unless they are allowed, DefinitionError for a sweep that varies the working
    scale, or what has no effect with its assets, and MachineError where the decoded photos would
    not fit into memory.
    """
    _check_one_scale(sweep)
    if path is None:
        place, dataset = "the stand-in set (no `real` given)", stand_in()
    else:
        place, dataset = str(path), read(path)
    classes, splits = dataset.classes, with_validation(dataset, sweep.seed).splits
    _check_splits(sweep, splits, place)
    check_assets(sweep, classes, place, dataset.few_boxes)
    check_effects(sweep)
    others = {folder: _others_photos(folder, dataset) for folder in reach.photo_folders(sweep)}
    scale = _scale(sweep, splits, others, place)
    others_sources = [other.splits["train"] for other in others.values()]
    check_photos_fit([*splits.values(), *others_sources], scale.longest_px)
    given = dataset
    dataset, pools = _decoded_splits(
        dataset, splits, scale, sweep.seed, progress, allow_near_copies=allow_near_copies
    )
    splits = dataset.splits
    # again: near copies may have moved the border between train and val
    _check_splits(sweep, splits, place)
    others_pools = _decoded_others(others, scale, progress)
    # A val that was cut has been compared with train already, until there was nothing left to
    # refuse.
    is_compared = dataset is not given and not allow_near_copies
    twins = _twins(
        pools, others_pools, place, progress, allowed=allow_near_copies, is_val_compared=is_compared
    )
    least_px, most_px = _object_range_px(scale, sweep)
    notes = (
        *dataset.notes,
        *_notes_on_twins(twins, place),
        *_notes_of_others(others),
        *_notes_on_assets(sweep),
        *_notes_on_scenes(scale, sweep),
        *_notes_on_frames(scale, sweep),
        *_notes_on_few(splits),
        *_notes_on_scored(scale, splits),
        *_notes_on_shapes(splits["train"], sweep),
    )
    return RealData(
        pools=pools,
        path=None if path is None else place,
        scale=scale,
        anchor_px=anchors(least_px, most_px),
        boxes_wh=training_boxes_wh(splits["train"].records),
        notes=notes,
        others=others_pools,
        near_copies=_near_copies(twins),
    )


def _check_one_scale(sweep: LoadedSweep) -> None:
    """Raises DefinitionError where recipes of the sweep would see photos at different scales."""
    path, do = "detector.working_px", "Set it in the recipe, and run a sweep for each scale."
    if path in sweep.parameters.settings():
        raise DefinitionError(path, "cannot be searched: photos are decoded once", do=do)
    changes = [*sweep.variants.values(), *sweep.points]
    if any(path in changed for changed in changes):
        raise DefinitionError(path, "cannot differ between recipes: photos are decoded once", do=do)


def _check_splits(sweep: LoadedSweep, splits: Mapping[str, Source], place: str) -> None:
    """Raises DataError where the splits are too small for the sweep, or hold no labelled object."""
    _check_real_images(sweep, len(splits["train"]))
    _check_labelled(sweep, splits, place)


def _check_labelled(sweep: LoadedSweep, splits: Mapping[str, Source], place: str) -> None:
    """Raises DataError for a split without any labelled object where a recipe is trained or scored
    on it.
    """
    rules = {
        "val": "recipes cannot be compared on it",
        "test": "no score can be computed",
    }
    if reach.shows_real(sweep):
        rules["train"] = "a detector would learn that there are none"
    for split, consequence in rules.items():
        records = splits[split].records
        if not len(training_boxes_wh(records)):
            rule = f"holds no labelled object on {counted(len(records), 'photo')}, so that {consequence}"
            raise DataError(f"{place}, {split}", rule, do=_DO_LABEL)


def _scale(
    sweep: LoadedSweep, splits: Mapping[str, Source], others: Mapping[str, Dataset], place: str
) -> WorkingScale:
    """The working scale of all photos, from those that train."""
    check_alike([record for source in splits.values() for record in source.records], place)
    for folder, other in others.items():
        check_alike(other.splits["train"].records, folder)
    records, train = splits["train"].records, f"{place}, train"
    training = sweep.recipe.training
    scale = working_scale(records, sweep.recipe.detector.working_px, training.crop_px, train)
    for asked in reach.values(sweep, "training.crop_px") - {training.crop_px}:
        check_crop(records, scale, asked, train)
    return scale


def _decoded(source: Source, scale: WorkingScale, name: str, progress: NamedProgress) -> Pool:
    return decode(source, scale.longest_px, partial(progress, f"decoding {name}"))


def _decoded_splits(
    dataset: Dataset,
    cut: Mapping[str, Source],
    scale: WorkingScale,
    seed: int,
    progress: NamedProgress,
    *,
    allow_near_copies: bool,
) -> tuple[Dataset, dict[str, Pool]]:
    """A dataset with all three splits, and their photos. A val that is cut from train shares no
    photo with it.

    cut  the three splits, where val is cut without a look at the photos
    """
    if "val" in dataset.splits:
        return dataset, {
            split: _decoded(dataset.splits[split], scale, split, progress) for split in cut
        }
    given = dataset.splits["train"]
    # What is likely to stay together is decoded together: then neither train nor val is copied when
    # it is sent elsewhere.
    whole = replace(given, records=cut["train"].records + cut["val"].records)
    decoded = _decoded(whole, scale, "train", progress)
    looking = partial(progress, "looking for copies of val")
    train = selection(decoded, whole, given)
    dataset = cut_by_looks(dataset, train, seed, allowed=allow_near_copies, progress=looking)
    pools = {split: selection(decoded, whole, dataset.splits[split]) for split in ("train", "val")}
    return dataset, pools | {"test": _decoded(dataset.splits["test"], scale, "test", progress)}


def _decoded_others(
    others: Mapping[str, Dataset], scale: WorkingScale, progress: NamedProgress
) -> dict[str, Pool]:
    """The training images of others' photos, by folder."""
    return {
        folder: _decoded(other.splits["train"], scale, Path(folder).name, progress)
        for folder, other in others.items()
    }


def _twins(
    pools: Mapping[str, Pool],
    others: Mapping[str, Pool],
    place: str,
    progress: NamedProgress,
    *,
    allowed: bool,
    is_val_compared: bool,
) -> dict[str, list[Twin]]:
    """Photos that are on two sides, by "val", "test" or the folder of others' photos. Raises
    DataError where they are refused.

    is_val_compared  whether it is known that val shares no photo with train
    """
    against = {"test": {"train": pools["train"], "val": pools["val"]}}
    if not is_val_compared:
        against = {"val": {"train": pools["train"]}, **against}
    scored = {split: pools[split] for split in _SCORED}
    twins = {}
    for split, originals in against.items():
        looking = partial(progress, f"looking for copies of {split}")
        where = f"{place}, {split}"
        twins[split] = refuse_copies(
            scored[split], originals, where, allowed=allowed, progress=looking
        )
    for folder, pool in others.items():
        looking = partial(progress, f"looking for copies in {Path(folder).name}")
        twins[folder] = refuse_copies(
            pool, scored, folder, allowed=allowed, of_one_dataset=False, progress=looking
        )
    return twins


def _notes_on_twins(twins: Mapping[str, Sequence[Twin]], place: str) -> list[str]:
    """A note for each part of the data that holds photos of another, which was allowed."""
    notes = []
    for part, twins_of_part in twins.items():
        if twins_of_part:
            where = f"{place}, {part}" if part in _SCORED else part
            notes.append(f"{where}: near copies are allowed: {twin_words(twins_of_part)}")
    return notes


def _near_copies(twins: Mapping[str, Sequence[Twin]]) -> dict[str, int]:
    """How many photos that are scored are also elsewhere, by their split."""
    images: dict[str, set[str]] = {split: set() for split in _SCORED}
    for part, twins_of_part in twins.items():
        for twin in twins_of_part:
            split, image = (part, twin.image) if part in _SCORED else (twin.split, twin.original)
            images[split].add(image)
    return {
        split: len(images_of_split) for split, images_of_split in images.items() if images_of_split
    }


def _object_range_px(scale: WorkingScale, sweep: LoadedSweep) -> tuple[float, float]:
    """Least and greatest size, px, of photographed objects, or of rendered ones where none is
    labelled.
    """
    if scale.objects:
        return scale.object_px[0], scale.object_px[2]
    return sweep.recipe.scene.size_px


def _notes_of_others(others: Mapping[str, Dataset]) -> list[str]:
    return [f"{folder}: {note}" for folder, other in others.items() for note in other.notes]


def _notes_on_assets(sweep: LoadedSweep) -> list[str]:
    """What is to be known of the assets that our own generators draw."""
    ours = [m for m in sorted(scene_inputs(sweep)) if not m.generator.startswith(command.PREFIX)]
    notes = dict.fromkeys(note for materials in ours for note in materials.library().notes)
    return list(notes)


def _notes_on_scenes(scale: WorkingScale, sweep: LoadedSweep) -> list[str]:
    """A note where rendered objects are of another size than photographed ones at the working
    scale.
    """
    ranges = reach.rendered_sizes(sweep)
    if not ranges or not scale.objects:
        return []
    least, median, most = scale.object_px

    def factor(size_px: tuple[float, float]) -> float:
        middle = math.sqrt(size_px[0] * size_px[1])
        return max(middle / median, median / middle)

    nearest = min(sorted(ranges), key=factor)
    if factor(nearest) <= _LIKE_SIZES:
        return []
    rendered, photographed = range_words(*nearest), range_words(least, most)
    return [
        f"objects are {rendered} large on rendered scenes and {photographed} on photos at their working scale: "
        "set scene.size_px so that they agree, or detector.working_px"
    ]


def _notes_on_frames(scale: WorkingScale, sweep: LoadedSweep) -> list[str]:
    """A note where rendered scenes are smaller than the crops of training, which are then filled up
    with grey.
    """
    sides = [scene.image_px for scene in reach.scenes(sweep) if scene.image_px != "auto"]
    if not sides or min(sides) >= scale.crop_px:
        return []
    return [
        f"rendered scenes of {min(sides)} px are smaller than the {scale.crop_px} px training crop and are filled up with "
        'grey, which photos are not: set scene.image_px to "auto"'
    ]


def _notes_on_few(splits: Mapping[str, Source]) -> list[str]:
    """A note for each split that is scored and holds too few photos with an object for what it is
    used for.
    """
    consequences = {
        "val": "which recipe scores best on so few is chance as much as merit",
        "test": "so few cannot tell recipes apart, and the answer will recommend none",
    }
    notes = []
    for split, consequence in consequences.items():
        count = sum(bool((~record.boxes.crowd).any()) for record in splits[split].records)
        if count < LEAST_IMAGES:
            photos = counted(count, "photo") + (
                " with an object" if count < len(splits[split]) else ""
            )
            notes.append(f"{split}: only {photos}: {consequence}; label at least {LEAST_IMAGES}")
    return notes


def _notes_on_scored(scale: WorkingScale, splits: Mapping[str, Source]) -> list[str]:
    """A note for each split that is scored where more than a fifth of the objects are of a size
    that cannot be learned.
    """
    notes = []
    for split in ("val", "test"):
        scored = scale_of(splits[split].records, scale)
        if not scored.is_learnable:
            notes.append(
                f"{split}: {scored.unlearnable_words}; what trains has objects of other sizes"
            )
    return notes


def _notes_on_shapes(train: Source, sweep: LoadedSweep) -> list[str]:
    """A note where a tenth of the objects or more are much longer than the longest anchor of some
    recipe.
    """
    shapes = {
        (recipe.detector.architecture, recipe.detector.aspect_ratios)
        for recipe in sweep.fixed.values()
    }
    if sweep.trials:
        searched = product(
            reach.proposed(sweep, "detector.architecture"),
            reach.proposed(sweep, "detector.aspect_ratios"),
        )
        shapes.update(searched)
    longest = [longest_shape(ratios) for architecture, ratios in shapes if architecture != "fcos"]
    if not longest:
        return []
    share = elongated_share(training_boxes_wh(train.records), min(longest))
    if share < _MANY_ELONGATED:
        return []
    least = badly_fitted(min(longest))
    return [
        f"{share:.0%} of the objects are more than {least:.3g} times as long as wide: anchors fit them badly"
    ]


def _others_photos(folder: str, real: Dataset) -> Dataset:
    """A dataset with training images of the classes of the user's photos."""
    dataset = read(Path(folder))
    if not dataset.splits.get("train"):
        present = ", ".join(dataset.splits)
        do = "Put the photos to train on into it: those of other splits are not used."
        raise DataError(folder, f"must have a train split with images in it, has {present}", do=do)
    if not len(training_boxes_wh(dataset.splits["train"].records)):
        raise DataError(
            f"{folder}, train",
            "holds no labelled object: nothing can be learned from it",
            do=_DO_LABEL,
        )
    few_boxes = {**real.few_boxes, **dataset.few_boxes}
    check_classes(
        real.classes, dataset.classes, folder, other_name="these photos", few_boxes=few_boxes
    )
    return dataset


def _check_real_images(sweep: LoadedSweep, available: int) -> None:
    """Raises DataError where a recipe of the sweep trains on more real images than there are."""
    for count in reach.values(sweep, "mix.real_images"):
        if isinstance(count, int):
            check_enough(available, count)


def check_assets(
    sweep: LoadedSweep,
    classes: Sequence[str],
    place: object,
    few_boxes: Mapping[str, str] | None = None,
) -> None:
    """Reads every library that a recipe of the sweep may ask for; raises DataError unless its
    classes are the photos'.

    few_boxes  of each of `classes` that few boxes have, how many and where the first is, in words
    What a command will write is known only once it has run: its classes are checked by the trial.
    Raises MachineError where a generator cannot be started.
    """
    load.cache_clear()  # a folder may have changed since this process last read it
    rendered = scene_inputs(sweep)
    for generator in sorted({materials.generator for materials in rendered}):
        check_generator(generator)
    for materials in sorted(rendered):
        library = materials.library()
        if not materials.generator.startswith(command.PREFIX):
            check_classes(classes, library.classes, place, few_boxes=few_boxes, do=_OTHER_ASSETS)


def check_effects(sweep: LoadedSweep) -> None:
    """Raises DefinitionError where recipes would vary what has no effect with the assets that they
    name.

    What does not depend on assets was checked when the sweep was loaded. Call it after
    `check_assets`.
    """
    if sweep.trials:
        space_check.check_effects(sweep.parameters, sweep.recipe, facts)
    sweep.check_variants(facts)


def check_machine(runs: Path, storage: str | None) -> None:
    """Raises MachineError where there is too little disk, or the store of the run cannot be
    written.
    """
    do = "Run from a folder that you may write to, or name one with `runs`."
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(runs, f"cannot be made ({error.strerror})", do=do) from None
    if not os.access(runs, os.W_OK):
        raise MachineError(runs, "cannot be written", do=do)
    free = shutil.disk_usage(runs).free
    if free < _LEAST_FREE_BYTES:
        rule = f"needs at least {_LEAST_FREE_BYTES / 1e9:.0f} GB of free disk"
        raise MachineError(runs, rule, got=f"{free / 1e9:.1f} GB")
    if storage is not None:
        check_bucket(storage)
