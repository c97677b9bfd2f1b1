"""Photo check: reads the photos of a sweep and finds all that would fail, before training costs
time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from syndet_ray.data.classes import without_classes
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.parts_of_photos import photos_used
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset, read, read_with_own_classes
from syndet_ray.data.real import RealData
from syndet_ray.data.record import Source
from syndet_ray.data.scale import (
    WorkingScale,
    anchors,
    check_alike,
    check_crop,
    training_boxes_wh,
    working_scale,
)
from syndet_ray.data.splits import cut
from syndet_ray.data.splits.groups import image_hashes
from syndet_ray.data.splits.looks import Looks
from syndet_ray.data.splits.split import SharedPhoto, with_validation
from syndet_ray.data.splits.subset import check_enough
from syndet_ray.data.stand_in import stand_in
from syndet_ray.definitions import reach, space_check
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.scene_parameters import BUILT_IN
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes.made_from import facts
from syndet_ray.scenes.needs import paste_inputs, scene_inputs
from syndet_ray.tuning.class_check import (
    asset_classes,
    check_learnable,
    settle_classes,
    without_unlearnable,
    without_unused,
)
from syndet_ray.tuning.notes import data_notes
from syndet_ray.tuning.photo_pools import (
    decode_photos,
    decode_splits,
    near_copy_counts,
    refuse_shared_photos,
    settle_streaming,
)
from syndet_ray.wording import counted

_CUT_AGAIN = (
    "Write a test split for all commands with `data split`, then make cut-outs and backgrounds "
    "again: they are made of train."
)
_DO_LABEL = (
    "Label objects on its photos, or add photos with labelled objects. "
    "Boxes of crowds do not count."
)


def real_data(
    path: Path | None,
    sweep: LoadedSweep,
    progress: NamedProgress,
    *,
    labels: LabelOptions | None = None,
    allow_near_copies: bool = False,
    hold_out: float | None = None,
    stream: bool = False,
) -> RealData:
    """The user's photos, or the stand-in set if there are none, and the other photos that recipes
    of the sweep name.

    All labels are read before any photo is decoded. `hold_out` is the share of train that becomes
    the missing test split, see `cut.hold_out`. Where photos do not all fit into memory, most are
    streamed: decoded each time they are needed; with `stream`, all are. Raises DataError for what
    cannot be used, also for near copies in two splits unless they are allowed; and DefinitionError
    for a sweep that varies the working scale, or a setting that has no effect with its assets.
    """
    _check_one_scale(sweep)
    photos = _checked_photos(
        path,
        sweep,
        progress,
        labels=labels or LabelOptions(),
        allow_near_copies=allow_near_copies,
        hold_out=hold_out,
    )
    scale = _scale(sweep, photos.splits, photos.others, photos.place)
    decoded = _decode_pools(
        photos, sweep, scale, progress, allow_near_copies=allow_near_copies, stream=stream
    )
    train = decoded.dataset.splits["train"]
    notes = data_notes(
        decoded.dataset,
        others=photos.others,
        shared=decoded.shared,
        scale=scale,
        sweep=sweep,
        place=photos.place,
        cut=_cut_splits(photos.given, hold_out),
    )
    of_parts = _notes_on_parts(sweep, decoded.dataset.splits["val"])
    return RealData(
        pools=decoded.pools,
        path=None if path is None else photos.place,
        scale=scale,
        anchor_px=anchors(*_object_range_px(scale, sweep)),
        boxes_wh=training_boxes_wh(train.records),
        notes=(*decoded.streaming, *notes, *of_parts),
        streaming=decoded.streaming,
        others=decoded.others,
        train=train,
        near_copies=near_copy_counts(decoded.shared),
    )


@dataclass(frozen=True, kw_only=True)
class _CheckedPhotos:
    """The photos of a sweep whose labels were checked, before they are decoded into pools.

    place   the name of the user's photos in errors
    given   the user's photos before val is cut, and after test was, with the classes of the run
    splits  all three splits of them, with val cut without a look at the photos
    others  other photos, by folder
    """

    place: str
    given: Dataset
    splits: Mapping[str, Source]
    others: Mapping[str, Dataset]


@dataclass(frozen=True, eq=False, kw_only=True)
class _DecodedPhotos:
    """The photos of a sweep, decoded.

    dataset    the user's photos with all three splits, near copies moved or allowed
    pools      these splits
    others     training images of other photos, by folder
    shared     photos that are in two places, by "val", "test" or the folder of other photos
    streaming  notes that photos are streamed, and why; none if they are not
    """

    dataset: Dataset
    pools: Mapping[str, Pool]
    others: Mapping[str, Pool]
    shared: Mapping[str, Sequence[SharedPhoto]]
    streaming: tuple[str, ...]


def _decode_pools(
    photos: _CheckedPhotos,
    sweep: LoadedSweep,
    scale: WorkingScale,
    progress: NamedProgress,
    *,
    allow_near_copies: bool,
    stream: bool,
) -> _DecodedPhotos:
    """Decodes all photos, and looks for copies of one split in another. See `real_data`."""
    splits = photos.splits
    others_train = {folder: other.splits["train"] for folder, other in photos.others.items()}
    streaming = settle_streaming([*splits.values(), *others_train.values()], scale, asked=stream)
    looks = Looks()
    decoding = partial(
        decode_photos, scale=scale, progress=progress, streaming=streaming, looks=looks
    )
    dataset, pools = decode_splits(
        photos.given,
        splits,
        decoding,
        sweep.seed,
        progress,
        allow_near_copies=allow_near_copies,
        looks=looks,
    )
    # again: near copies may have moved the border between train and val
    _check_splits(sweep, dataset.splits, photos.place)
    others = {folder: decoding(train, Path(folder).name) for folder, train in others_train.items()}
    # A val that was cut from train was compared with it, until there was nothing left to refuse.
    is_compared = dataset is not photos.given and not allow_near_copies
    shared = refuse_shared_photos(
        pools,
        others,
        photos.place,
        progress,
        allowed=allow_near_copies,
        is_val_compared=is_compared,
        looks=looks,
    )
    return _DecodedPhotos(
        dataset=dataset,
        pools=pools,
        others=others,
        shared=shared,
        streaming=() if streaming is None else (streaming.note,),
    )


def _checked_photos(
    path: Path | None,
    sweep: LoadedSweep,
    progress: NamedProgress,
    *,
    labels: LabelOptions,
    allow_near_copies: bool,
    hold_out: float | None,
) -> _CheckedPhotos:
    """Reads all labels, cuts test if it is to be held out, and checks all against the sweep.

    See `real_data` for what raises. To hold out decodes photos once, for their looks.
    """
    others = _other_datasets(sweep, labels, progress)
    is_cut = hold_out is not None
    place, given, as_stored = _labelled_photos(path, labels, progress, is_cut=is_cut)
    assets = None
    if hold_out is not None:
        assets = asset_classes(sweep)
        settle_classes(given, assets, others, place, sweep)  # before it takes time
        given = cut.hold_out(
            given,
            hold_out,
            progress,
            as_stored=as_stored,
            allow_near_copies=allow_near_copies,
        )
    given, splits = _checked_splits(given, sweep, others, place, assets)
    _check_parts(sweep, splits["test"])
    others = {folder: without_unused(other, given.classes) for folder, other in others.items()}
    return _CheckedPhotos(place=place, given=given, splits=splits, others=others)


def _cut_splits(given: Dataset, hold_out: float | None) -> set[str]:
    """The splits that this run cuts from train.

    given  the photos before val is cut, and after test was
    """
    splits = {"val"} - set(given.splits)
    return splits if hold_out is None else {*splits, "test"}


def _checked_splits(
    given: Dataset,
    sweep: LoadedSweep,
    others: Mapping[str, Dataset],
    place: str,
    assets: Mapping[str, Sequence[str]] | None,
) -> tuple[Dataset, dict[str, Source]]:
    """The photos with the classes of the run, and all three splits, checked against the sweep.

    assets  the classes of its assets, if they were read already: meshes take seconds
    """
    splits = with_validation(given, sweep.seed).splits
    _check_splits(sweep, splits, place)
    if assets is None:
        assets = asset_classes(sweep)
    settled = settle_classes(given, assets, others, place, sweep)
    settled = without_unlearnable(sweep, settled, splits["train"])
    left_out = set(given.classes) - set(settled.classes)
    splits = {split: without_classes(source, left_out) for split, source in splits.items()}
    check_learnable(sweep, settled, splits["train"], place)
    check_effects(sweep)
    return settled, splits


def _labelled_photos(
    path: Path | None, labels: LabelOptions, progress: NamedProgress, *, is_cut: bool
) -> tuple[str, Dataset, Dataset | None]:
    """The name of the photos in errors, and the photos: the user's, or the stand-in set.

    If a test split will be cut, also the same photos with the classes of their files, where the run
    has others; else None.
    """
    if path is None:
        return "the stand-in set (see `real`)", stand_in(), None
    reading = partial(progress, "reading labels")
    if is_cut and labels.classes:
        return str(path), *read_with_own_classes(path, labels, reading)
    return str(path), read(path, labels, reading), None


def _check_one_scale(sweep: LoadedSweep) -> None:
    """Raises DefinitionError if recipes of the sweep would see photos at different scales."""
    path, do = "detector.working_px", "Set it in the recipe, and run a sweep for each scale."
    if path in sweep.parameters.settings():
        raise DefinitionError(path, "cannot be searched: photos are decoded once", do=do)
    changes = [*sweep.variants.values(), *sweep.points]
    if any(path in changed for changed in changes):
        raise DefinitionError(path, "cannot differ between recipes: photos are decoded once", do=do)


def _check_splits(sweep: LoadedSweep, splits: Mapping[str, Source], place: str) -> None:
    """Raises DataError if the splits are too small for the sweep, or have no labelled object."""
    _check_real_images(sweep, len(splits["train"]))
    _check_labelled(sweep, splits, place)


def _check_labelled(sweep: LoadedSweep, splits: Mapping[str, Source], place: str) -> None:
    """Raises DataError for a split without a labelled object if a recipe trains or is scored on
    it.
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
            photos = counted(len(records), "photo")
            rule = f"holds no labelled object on {photos}, so that {consequence}"
            raise DataError(f"{place}, {split}", rule, do=_DO_LABEL)


def _scale(
    sweep: LoadedSweep, splits: Mapping[str, Source], others: Mapping[str, Dataset], place: str
) -> WorkingScale:
    """The working scale of all photos, from the training photos."""
    records = list(chain.from_iterable(source.records for source in splits.values()))
    check_alike(records, place)
    for folder, other in others.items():
        check_alike(other.splits["train"].records, folder)
    train, train_place = splits["train"].records, f"{place}, train"
    recipe_px = sweep.recipe.training.crop_px
    scale = working_scale(train, sweep.recipe.detector.working_px, recipe_px, train_place)
    for crop_px in reach.values(sweep, "training.crop_px") - {recipe_px}:
        check_crop(train, scale, crop_px, train_place)
    return scale


def _object_range_px(scale: WorkingScale, sweep: LoadedSweep) -> tuple[float, float]:
    """Minimum and maximum size, px, of photographed objects, or of rendered ones if no object is
    labelled.
    """
    if scale.objects:
        return scale.object_px[0], scale.object_px[2]
    return sweep.recipe.scene.size_px


def _other_datasets(
    sweep: LoadedSweep, labels: LabelOptions, progress: NamedProgress
) -> dict[str, Dataset]:
    """Reads other photos and synthetic datasets that recipes of the sweep name, by folder; they are
    of any format.
    """
    others = {}
    for folder in reach.datasets(sweep):
        reading = partial(progress, f"reading labels of {Path(folder).name}")
        others[folder] = read(Path(folder), labels.of_other_data(), reading)
        _check_trainable(folder, others[folder])
    return others


def _check_trainable(folder: str, dataset: Dataset) -> None:
    """Raises DataError unless something can be learned from the training images of a dataset."""
    if not dataset.splits.get("train"):
        present = ", ".join(dataset.splits)
        do = "Put the images to train on into it: those of other splits are not used."
        raise DataError(folder, f"must have a train split with images in it, has {present}", do=do)
    if not len(training_boxes_wh(dataset.splits["train"].records)):
        raise DataError(
            f"{folder}, train",
            "holds no labelled object: nothing can be learned from it",
            do=_DO_LABEL,
        )


def _check_real_images(sweep: LoadedSweep, available: int) -> None:
    """Raises DataError if a recipe of the sweep trains on more real images than there are."""
    for count in reach.values(sweep, "mix.real_images"):
        if isinstance(count, int):
            check_enough(available, count)


def _check_parts(sweep: LoadedSweep, test: Source) -> None:
    """Raises DataError for assets and backgrounds that were cut out of photos of the test split: a
    detector would learn what it is tested on.
    """
    for folder, rule in _parts_of(test, sweep):
        raise DataError(folder, f"{rule} of the test split", do=_CUT_AGAIN)


def _notes_on_parts(sweep: LoadedSweep, val: Source) -> Iterator[str]:
    """A sentence on each folder of parts of photos on which recipes are compared."""
    for folder, rule in _parts_of(val, sweep):
        reason = "on which recipes with these scenes then seem better than they are"
        do = "`data split` with `val` and `test` keeps these photos out of later parts"
        yield f"{folder} {rule} of the validation split, {reason}; {do}"


def _parts_of(photos: Source, sweep: LoadedSweep) -> Iterator[tuple[str, str]]:
    """Folders of scenes with parts of these photos, and how many these are, in words."""
    folders = set[str]()
    for materials in scene_inputs(sweep):
        folders |= {materials.assets, materials.surroundings, materials.backgrounds}
    folders |= {pasted.cutouts for pasted in paste_inputs(sweep)}
    used = {folder: photos_used(Path(folder)) for folder in sorted(folders - set(BUILT_IN))}
    ids = photos.image_ids()
    hashes = image_hashes(photos) if any(used.values()) else []
    for folder, parts in used.items():
        shown = [image_id for image_id, photo in zip(ids, hashes, strict=False) if photo in parts]
        if shown:
            example = parts[hashes[ids.index(shown[0])]].name
            yield folder, f"has parts of {counted(len(shown), 'photo')} ({example} of {shown[0]})"


def check_effects(sweep: LoadedSweep) -> None:
    """Raises DefinitionError if recipes vary a setting that has no effect with their assets.

    Settings that do not depend on assets were checked when the sweep was loaded. Call it after
    `asset_classes`.
    """
    if sweep.trials:
        space_check.check_effects(sweep.parameters, sweep.recipe, facts)
    sweep.check_variants(facts)
