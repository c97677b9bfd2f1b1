"""Cut: takes a test split, or val, out of the training photos, for people who have only one heap.

Every class has about its share of boxes in every split, and photos that look alike stay together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from syndet_ray import seeds
from syndet_ray.data.decode import decode
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record, Source
from syndet_ray.data.scale import working_scale
from syndet_ray.data.splits.belonging import BYS, belonging_keys, group_words
from syndet_ray.data.splits.copies import copies, copies_within
from syndet_ray.data.splits.groups import (
    Link,
    groups,
    image_hashes,
    key_links,
    largest_group,
    photo_links,
)
from syndet_ray.data.splits.looks import KEPT_BYTES, Looks
from syndet_ray.data.splits.split_index import in_order, test_hash, whole, with_splits
from syndet_ray.data.splits.stratify import choose_groups
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.progress import NamedProgress
from syndet_ray.wording import command_line, counted

# `hold_out` chooses the same photos as `data split` without a seed, whatever the seed of the sweep:
# else two runs on the same photos could not be compared.
HOLD_OUT_SEED = 0
_CUT_SPLITS = ("test", "val")  # in this order: val does not change what is in test
# Photos are compared as sweeps see them, and at half that size: there noise no longer hides that
# two photos show one scene in which nothing has moved, and a sweep may choose a smaller scale.
_REDUCTIONS = (1, 2)
_LONGEST_PX = 1024  # of photos for which there is no working scale, such as photos without objects
_DO_WITH_TEST = (
    "Leave out `hold_out`. A run that began with it needs the photos as they were then, without a "
    "split index."
)
_DO_ALIKE = (
    "Add photos of other things. If these are different photos, `allow_near_copies` lets them be "
    "separated."
)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A dataset whose missing splits were cut from train.

    images       the number of images that were shared out
    groups       the number of groups of these images, single images included
    largest      the ids of the images of the largest group
    near_copies  the number of images that are near copies of others and stay with them
    """

    dataset: Dataset
    images: int
    groups: int
    largest: tuple[str, ...]
    near_copies: int


def cut_splits(
    dataset: Dataset,
    shares: Mapping[str, float],
    seed: int,
    progress: NamedProgress,
    *,
    by: str | None = None,
    allow_near_copies: bool = False,
    kept_bytes: int = KEPT_BYTES,
) -> Cut:
    """Cuts missing splits from train; the other splits stay as they are.

    It depends on the images, their labels, the shares and the seed, not on the order of images.

    shares  "test", "val" or both, each with its share of the images of train
    by      keeps together images of one folder ("scene"), of one video ("stem", the name without
            the number at its end), or taken at one time ("time")
    allow_near_copies  lets photos be separated that look alike, but never exact copies
    kept_bytes  of memory for what is kept of photos to compare them; with less, some are decoded
                again, but the splits are the same

    Raises DefinitionError for shares that cannot be, and DataError where a split is there already,
    or where there are fewer groups than splits.
    """
    _check_shares(shares)
    source = _training_source(dataset, shares)
    needed = len(shares) + 1
    given = _links_by_words(source, by, dataset.path, needed)
    looks = Looks(kept_bytes)
    pools = _pools(source, looks, progress)
    alike = _links_by_looks(pools, looks, allow_near_copies, progress)
    photos = photo_links(source, image_hashes(source, partial(progress, "hashing files")))
    while True:
        group_of = groups(len(source), [*given, *photos, *alike])
        _check_groups(group_of, needed, dataset.path)
        split_of = _share_out(source, group_of, shares, seed)
        separated = _separated_copies(pools, split_of, allow_near_copies, looks, progress)
        if not separated:
            break
        alike += separated
    return Cut(
        dataset=_divide(dataset, source, split_of),
        images=len(source),
        groups=len(set(group_of)),
        largest=tuple(source.records[i].image_id for i in largest_group(group_of)),
        near_copies=_count_linked(len(source), [*photos, *alike]),
    )


def hold_out(
    dataset: Dataset,
    share: float,
    progress: NamedProgress,
    *,
    as_stored: Dataset | None = None,
    allow_near_copies: bool = False,
    kept_bytes: int = KEPT_BYTES,
) -> Dataset:
    """A dataset whose missing test split is cut from train, for a run.

    It is the test split that `data split` cuts with the same share. Raises SyndetError as
    `cut_splits` does.

    as_stored  the same images with the classes of their files, where `dataset` has others: runs
               with other classes must not have other test images
    kept_bytes  as for `cut_splits`
    """
    if not 0 < share < 1:
        raise DefinitionError("`hold_out`", "must be more than 0 and less than 1", got=share)
    if _has_images(dataset, "test"):
        rule = "has a test split already, of " + counted(len(dataset.splits["test"]), "image")
        raise DataError(dataset.path, rule, do=_DO_WITH_TEST)
    cut = cut_splits(
        as_stored or dataset,
        {"test": share},
        HOLD_OUT_SEED,
        progress,
        allow_near_copies=allow_near_copies,
        kept_bytes=kept_bytes,
    )
    divided = with_splits(dataset, _split_of_ids(cut.dataset))
    test = divided.splits["test"]
    images = len(test) + len(divided.splits["train"])
    alike = " that allows near copies" if allow_near_copies else ""
    digits = test_hash(record.image_id for record in test.records)[:12]
    note = (
        f"test: {len(test)} of {images} images held out of train, the same in every run with this "
        f"share{alike}, hash of the split {digits}"
    )
    return replace(divided, notes=(*divided.notes, note))


def in_one_heap(dataset: Dataset) -> Dataset:
    """The dataset with all its images in train."""
    source = whole(dataset)
    return with_splits(dataset, {record.image_id: "train" for record in source.records})


def _check_shares(shares: Mapping[str, float]) -> None:
    assert shares.keys() <= set(_CUT_SPLITS), shares
    if not shares:
        do = "Give `test` 0.2, `val` 0.1 or both."
        raise DefinitionError("`test`", "no split is asked for", do=do)
    for split, share in shares.items():
        if not 0 < share < 1:
            raise DefinitionError(f"`{split}`", "must be more than 0 and less than 1", got=share)
    total = sum(shares.values())
    if total >= 1:
        rule = f"and `val` are together {total:g}, which leaves nothing to train on"
        raise DefinitionError("`test`", rule, do="Give smaller shares, such as 0.2 and 0.1.")


def _has_images(dataset: Dataset, split: str) -> bool:
    return split in dataset.splits and len(dataset.splits[split]) > 0


def _training_source(dataset: Dataset, shares: Mapping[str, float]) -> Source:
    """The images to share out, in order of their ids. Raises DataError if there are none."""
    for split in shares:
        if _has_images(dataset, split):
            images = counted(len(dataset.splits[split]), "image")
            do = f"Leave out `{split}`, or share out the images of all splits with `resplit`."
            raise DataError(dataset.path, f"has a {split} split already, of {images}", do=do)
    if not _has_images(dataset, "train"):
        splits = ", ".join(dataset.splits) or "none"
        given = [word for split, share in shares.items() for word in (f"--{split}", f"{share:g}")]
        given += ["--resplit", *dataset.options.command_words]
        command = command_line("data", "split", dataset.path, *given)
        do = f"To share out the images of all splits, once for all commands: {command}."
        raise DataError(dataset.path, "has no images in train to cut from", got=splits, do=do)
    return in_order(dataset.splits["train"])


def _links_by_words(source: Source, by: str | None, place: object, needed: int) -> list[Link]:
    """Links between images that belong together as the user says. Raises DataError where all do."""
    if by is None:
        return []
    keys = belonging_keys(source, by, place)
    count = len(set(keys))
    if count < needed:
        largest = [source.records[i].image_id for i in largest_group(keys)]
        size = f"{group_words(largest, by)}, {len(largest)} of {counted(len(source), 'image')}"
        rule = f"{counted(count, 'group')} of images by {by} (the largest: {size})"
        others = " or ".join(word for word in BYS if word != by)
        do = f"Choose `by` {others}, or leave it out."
        raise DataError(place, f"{rule}, and {needed} splits need {needed}", do=do)
    return list(key_links(keys))


def _pools(source: Source, looks: Looks, progress: NamedProgress) -> list[Pool]:
    """The images as they are compared, at two sizes; each is decoded once for its looks.

    A large set at once would not fit into memory, and most comparisons need no more than looks.
    """
    longest_px = _longest_px(source.records)
    pools = []
    for reduction in _REDUCTIONS:
        working_px = longest_px // reduction
        step = partial(progress, f"decoding at {working_px} px")
        pool = decode(source, working_px, step, streamed=True, often=False, look=looks.look)
        pools.append(pool)
    return pools


def _longest_px(records: Sequence[Record]) -> int:
    """The longer side of photos as sweeps see them."""
    try:
        return working_scale(records, "auto", "auto", "train").longest_px
    except DataError:  # for training it matters, and `check` will say so; here any size will do
        longest_px = max(max(record.size_wh) for record in records)
        return min(longest_px, _LONGEST_PX)


def _links_by_looks(
    pools: Sequence[Pool], looks: Looks, allow_near_copies: bool, progress: NamedProgress
) -> list[Link]:
    links = []
    for pool in pools:
        step = partial(progress, f"looking for near copies at {pool.sizes_wh.max()} px")
        links += copies_within(pool, allowed=allow_near_copies, progress=step, looks=looks)
    return links


def _check_groups(group_of: Sequence[int], needed: int, place: object) -> None:
    """Raises DataError if there are fewer groups of images than splits."""
    images, count = len(group_of), len(set(group_of))
    if images < needed:
        rule = f"{needed} splits need {needed} images"
        raise DataError(place, rule, got=images, do="Label more photos.")
    if count < needed:
        alike = "one photo" if count == 1 else f"{count} photos"
        rule = f"its {images} images look like {alike}, and {needed} splits need {needed}"
        raise DataError(place, rule, do=_DO_ALIKE)


def _share_out(
    source: Source, group_of: Sequence[int], shares: Mapping[str, float], seed: int
) -> list[str]:
    """(n,) the split of each image of a source."""
    counts, images = _group_counts(source, np.array(group_of))
    split_of = np.full(len(images), "train", dtype=object)
    rest = np.arange(len(images))  # groups that are still in train
    waiting = [split for split in _CUT_SPLITS if split in shares]
    for position, split in enumerate(waiting):
        share_of_rest = shares[split] * images.sum() / images[rest].sum()
        is_chosen = choose_groups(
            counts[rest],
            images[rest],
            min(share_of_rest, 0.99),  # large groups in test may leave less than val should get
            seeds.generator(seed, f"split {split}"),
            least_left=len(waiting) - position,
        )
        split_of[rest[is_chosen]] = split
        rest = rest[~is_chosen]
    return split_of[list(group_of)].tolist()


def _group_counts(source: Source, group_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(g, k + 1) boxes of each class, and images without any, and (g,) images of each group.

    Crowds are no boxes.
    """
    classes = len(source.classes)
    counts = np.zeros((group_of.max() + 1, classes + 1))
    for group, record in zip(group_of, source.records, strict=True):
        labels = record.boxes.labels[~record.boxes.crowd]
        counts[group, :classes] += np.bincount(labels, minlength=classes)
        counts[group, classes] += len(labels) == 0
    return counts, np.bincount(group_of)


def _separated_copies(
    pools: Sequence[Pool],
    split_of: Sequence[str],
    allow_near_copies: bool,
    looks: Looks,
    progress: NamedProgress,
) -> list[Link]:
    """Images that are copies of images in other splits, by the check that sweeps make."""
    positions: dict[str, list[int]] = {}
    for i, split in enumerate(split_of):
        positions.setdefault(split, []).append(i)
    first, *others = [positions[split] for split in ("train", "val", "test") if split in positions]
    links = []
    for pool in pools:
        step = partial(progress, f"comparing splits at {pool.sizes_wh.max()} px")
        earlier = [first]
        for part in others:
            parts = [pool.select(other) for other in earlier]
            for copy in copies(pool.select(part), parts, step, looks):
                if copy.exact or not allow_near_copies:
                    links.append((part[copy.image], earlier[copy.part][copy.original]))
            earlier.append(part)
    return links


def _count_linked(count: int, links: Sequence[Link]) -> int:
    """The number of images that are in a group with others."""
    sizes = np.bincount(groups(count, links))
    return int(sizes[sizes > 1].sum())


def _divide(dataset: Dataset, source: Source, split_of: Sequence[str]) -> Dataset:
    """The dataset with the images of train in their new splits."""
    split_of_id = _split_of_ids(dataset)
    split_of_id |= zip(source.image_ids(), split_of, strict=True)
    return with_splits(dataset, split_of_id)


def _split_of_ids(dataset: Dataset) -> dict[str, str]:
    """The split of each image, by its id."""
    split_of_id: dict[str, str] = {}
    for split, part in dataset.splits.items():
        split_of_id |= dict.fromkeys(part.image_ids(), split)
    return split_of_id
