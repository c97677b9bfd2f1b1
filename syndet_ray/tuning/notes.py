"""Notes: what a reader of the results must know of the photos and of the rendered scenes."""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path

from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Source
from syndet_ray.data.scale import (
    WorkingScale,
    badly_fitted,
    elongated_share,
    longest_shape,
    range_words,
    scale_of,
    training_boxes_wh,
)
from syndet_ray.data.splits.split import VAL_SHARE, SharedPhoto, shared_photo_words
from syndet_ray.definitions import reach
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.scene_parameters import COMMAND
from syndet_ray.inspection.look_match import plain_classes
from syndet_ray.report.fonts import missing_notes
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.needs import scene_inputs
from syndet_ray.scenes.units import apparent_share
from syndet_ray.spread import LEAST_IMAGES
from syndet_ray.wording import counted

SCORED = ("val", "test")  # splits whose photos must not be trained on
_MANY_ELONGATED = 0.1  # share of the objects; fewer change little in a score
# Median sizes of rendered and photographed objects that differ by less than this factor are alike:
# the detector's scale jitter and the spread of sizes make up for the rest.
_LIKE_SIZES = 1.5
_OF_FEW = {  # photos in a scored split
    "val": "with so few, chance decides as much as quality which recipe scores best",
    "test": "so few cannot tell recipes apart, and the answer will recommend none",
}
_DO_CUT_MORE = {
    "val": f"label more photos for train ({round(LEAST_IMAGES / VAL_SHARE)} give a val of "
    f"{LEAST_IMAGES}), or choose a larger val with `data split`",
    "test": "label more photos, or take a larger share with `hold_out`",
}


def data_notes(
    dataset: Dataset,
    *,
    others: Mapping[str, Dataset],
    shared: Mapping[str, Sequence[SharedPhoto]],
    scale: WorkingScale,
    sweep: LoadedSweep,
    place: str,
    cut: Collection[str],
) -> tuple[str, ...]:
    """All notes on the data of a sweep, as sentences without their full stop.

    cut     the splits that were cut from train for this run: "val", "test"
    others  datasets of other photos, by folder
    shared  photos that are in two places, by "val", "test" or a folder of other photos
    place   the dataset, in words
    """
    return (
        *dataset.format_words,
        *dataset.notes,
        *_notes_on_shared(shared, place),
        *_notes_of_others(others),
        *_notes_on_assets(sweep),
        *_notes_on_scenes(scale, sweep),
        *_notes_on_frames(scale, sweep),
        *_notes_on_few(dataset.splits, cut),
        *_notes_on_scored(scale, dataset.splits),
        *_notes_on_shapes(dataset.splits["train"], sweep),
        *missing_notes([*dataset.classes, *sweep.variants]),
    )


def _notes_on_shared(shared: Mapping[str, Sequence[SharedPhoto]], place: str) -> list[str]:
    """A note for each part of the data that has photos of another part, which was allowed."""
    notes = []
    for part, photos in shared.items():
        if photos:
            part_place = f"{place}, {part}" if part in SCORED else part
            notes.append(f"{part_place}: near copies are allowed: {shared_photo_words(photos)}")
    return notes


def _notes_of_others(others: Mapping[str, Dataset]) -> list[str]:
    notes = []
    for folder, other in others.items():
        notes += [f"{folder}: {note}" for note in other.notes]
    return notes


def _notes_on_assets(sweep: LoadedSweep) -> list[str]:
    """Notes on the assets that the built-in generators render, each once."""
    notes: dict[str, None] = {}
    for materials in sorted(scene_inputs(sweep)):
        if not materials.generator.startswith(COMMAND):
            notes |= dict.fromkeys(materials.library().notes)
    return list(notes)


def notes_on_colors(library: Library, assets: Path) -> list[str]:
    """A note on meshes that are rendered light grey, as their files have no colours."""
    plain = plain_classes(library, library.classes)
    if not plain:
        return []
    color = f'{{"color": {{"{plain[0]}": "#a03028"}}}} in {assets / "assets.json"}'
    return [f"no file gives a colour for {', '.join(plain)}: rendered light grey; {color} sets one"]


def _notes_on_scenes(scale: WorkingScale, sweep: LoadedSweep) -> list[str]:
    """A note if rendered objects differ in size from photographed ones at the working scale."""
    if any(scene.is_measured("size_px") for scene in reach.scenes(sweep)):
        return []  # they will be those of the photos
    asked = reach.rendered_sizes(sweep)
    if not asked or not scale.objects:
        return []
    ranges = [(low * share, high * share) for low, high in asked for share in _shares(sweep)]
    least, median, most = scale.object_px

    def factor(size_px: tuple[float, float]) -> float:
        middle = math.sqrt(size_px[0] * size_px[1])
        return max(middle / median, median / middle)

    nearest = min(sorted(ranges), key=factor, default=(median, median))
    if factor(nearest) <= _LIKE_SIZES:
        return []
    rendered, photographed = range_words(*nearest), range_words(least, most)
    return [
        f"objects are {rendered} large on rendered scenes "
        f"and {photographed} on photos at their working scale: "
        "set scene.size_px so that they agree, or detector.working_px"
    ]


def _shares(sweep: LoadedSweep) -> set[float]:
    """The sizes of objects in images, divided by `scene.size_px`, of all assets that we render."""
    shares = set()
    for materials in scene_inputs(sweep):
        if not materials.generator.startswith(COMMAND):
            shares.add(apparent_share(materials.library()))
    return shares


def _notes_on_frames(scale: WorkingScale, sweep: LoadedSweep) -> list[str]:
    """A note if rendered scenes are smaller than the crops of training: grey fills the rest."""
    sides = [scene.image_px for scene in reach.scenes(sweep) if scene.image_px != "auto"]
    if not sides or min(sides) >= scale.crop_px:
        return []
    return [
        f"rendered scenes of {min(sides)} px are smaller than the {scale.crop_px} px "
        'training crop: grey, which photos lack, fills the rest; set scene.image_px to "auto"'
    ]


def _notes_on_few(splits: Mapping[str, Source], cut: Collection[str]) -> list[str]:
    """A note for each scored split that has too few photos with an object."""
    notes = []
    for split, consequence in _OF_FEW.items():
        records = splits[split].records
        count = sum(bool((~record.boxes.crowd).any()) for record in records)
        if count < LEAST_IMAGES:
            suffix = " with an object" if count < len(records) else ""
            photos = counted(count, "photo") + suffix
            origin = ", cut from train" if split in cut else ""
            do = _DO_CUT_MORE[split] if split in cut else f"label at least {LEAST_IMAGES}"
            notes.append(f"{split}: only {photos}{origin}: {consequence}; {do}")
    return notes


def _notes_on_scored(scale: WorkingScale, splits: Mapping[str, Source]) -> list[str]:
    """A note for each scored split in which more than a fifth of the objects have a size that
    cannot be learned.
    """
    notes = []
    for split in SCORED:
        scored = scale_of(splits[split].records, scale)
        if not scored.is_learnable:
            sizes = "the training photos have objects of other sizes"
            notes.append(f"{split}: {scored.unlearnable_words}; {sizes}")
    return notes


def _notes_on_shapes(train: Source, sweep: LoadedSweep) -> list[str]:
    """A note if a tenth of the objects or more are much longer than the longest anchor of a
    recipe.
    """
    shapes = set()
    for recipe in sweep.fixed.values():
        shapes.add((recipe.detector.architecture, recipe.detector.aspect_ratios))
    if sweep.trials:
        architectures = reach.proposed_values(sweep, "detector.architecture")
        shapes.update(
            product(architectures, reach.proposed_values(sweep, "detector.aspect_ratios"))
        )
    longest = [longest_shape(ratios) for architecture, ratios in shapes if architecture != "fcos"]
    if not longest:
        return []
    share = elongated_share(training_boxes_wh(train.records), min(longest))
    if share < _MANY_ELONGATED:
        return []
    least = badly_fitted(min(longest))
    return [
        f"{share:.0%} of the objects are more than {least:.3g} times as long as wide: "
        "anchors fit them badly"
    ]
