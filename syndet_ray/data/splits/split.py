"""Split: train, val and test, explicit and without photos in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from syndet_ray import seeds
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Source
from syndet_ray.data.splits import split_index
from syndet_ray.data.splits.copies import copies
from syndet_ray.data.splits.groups import (
    Link,
    groups,
    image_hashes,
    key_links,
    photo_links,
    photo_of,
)
from syndet_ray.data.splits.looks import Looks
from syndet_ray.errors import DataError
from syndet_ray.progress import Progress
from syndet_ray.wording import command_line

_ADVICE = {
    "train": "Put images to train on into it.",
    "val": "Put images into it, or delete it: val is then cut from train.",
    "test": (
        "It is opened once, after the search. To hold a fifth of the photos out for it, give "
        "`hold_out` 0.2, or write a split for all runs with {command}."
    ),
}
VAL_SHARE = 0.2  # of the training images, where val is missing
_TEST_SHARE = 0.2  # of the training images, in a command that is proposed
_ALLOW = "`allow_near_copies`"
# by what two images of different splits have in common
_DO_ABOUT_COPIES = {
    "content": "Both are copies of one image: delete one of them, with its labels.",
    "id": (
        "If both are copies of one image, delete one of them, with its labels; "
        "if not, give them different names."
    ),
}
_MOST_NAMED = 3  # pairs in a message; a person looks at a few of them, and then at the folder


def with_validation(dataset: Dataset, seed: int, share: float = VAL_SHARE) -> Dataset:
    """The dataset with all three splits: a missing val is cut from train, the rest stays as it is.

    val gets `share` of the images of train, rounded, at least 1; the choice depends only on their
    ids and the seed. Images that are one photo by the bytes or the names of their files are on one
    side; `cut_by_looks` also compares what images show. Raises DataError where train or test is
    missing, where a split is empty, or where an image is in two splits.
    """
    assert 0 < share < 1, share
    _check_splits(dataset)
    hashes = {split: image_hashes(source) for split, source in dataset.splits.items()}
    check_apart(dataset, hashes)
    if "val" in dataset.splits:
        return dataset
    links = photo_links(dataset.splits["train"], hashes["train"])
    return _cut_val(dataset, seed, share, links)


def _check_splits(dataset: Dataset) -> None:
    """Raises DataError where train or test is missing, or a split is empty."""
    for split in ("train", "test", *dataset.splits):
        if split not in dataset.splits:
            rule = f"must have a {split} split, has only {', '.join(dataset.splits)}"
            raise DataError(dataset.path, rule, do=_advice(dataset, split))
        if not len(dataset.splits[split]):
            rule = f"the {split} split holds no images"
            raise DataError(dataset.path, rule, do=_advice(dataset, split))


def _advice(dataset: Dataset, split: str) -> str:
    """Advice about a split that is missing or empty."""
    return _ADVICE[split].replace("{command}", _split_command(dataset))


def _split_command(dataset: Dataset) -> str:
    """The command line that gives a dataset without a test split one of a fifth of its photos."""
    if dataset.index_file is not None:  # a second index would be refused: the first is replaced
        index = split_index.load(dataset.index_file)
        with_test = replace(index, shares={"test": _TEST_SHARE, **index.shares})
        return with_test.command(dataset.path, dataset.index_file, dataset.options)
    given = ["--test", f"{_TEST_SHARE:g}", *dataset.options.command_words]
    return command_line("data", "split", dataset.path, *given)


def cut_by_looks(
    dataset: Dataset,
    train: Pool,
    seed: int,
    share: float = VAL_SHARE,
    *,
    allowed: bool = False,
    progress: Progress | None = None,
    looks: Looks | None = None,
) -> Dataset:
    """A dataset without val, with a val cut from train, of which train holds no near copy.

    The cut is made as by `with_validation`. If it would separate near copies, they are linked, and
    the cut is made again. Raises DataError where all training images look like one photo.

    train     the images of the train split, in its order
    allowed   True if near copies may be separated: then only exact copies are linked
    progress  is called with (images compared, images of val), in each round of cutting
    looks     as for `copies`
    """
    looks = Looks() if looks is None else looks
    source = dataset.splits["train"]
    assert source.image_ids() == train.image_ids.tolist()
    links = list(key_links([photo_of(image_id) for image_id in source.image_ids()]))
    while True:
        cut = _cut_val(dataset, seed, share, links)
        val = _positions(source, cut.splits["val"])
        rest = _positions(source, cut.splits["train"])
        separated = copies(train.select(val), [train.select(rest)], progress, looks)
        if allowed:
            separated = [copy for copy in separated if copy.exact]
        if not separated:
            return cut
        links += [(val[copy.image], rest[copy.original]) for copy in separated]


def selection(pool: Pool, whole: Source, part: Source) -> Pool:
    """The images of a part of a source, from the pool of the whole; their pixels are not copied."""
    return pool.select(_positions(whole, part))


@dataclass(frozen=True, kw_only=True)
class SharedPhoto:
    """An image that shows the same photo as an image of a split.

    how  the evidence for it, in words
    """

    image: str
    split: str
    original: str
    how: str
    is_exact: bool = False

    def __str__(self) -> str:
        original = f"{self.original!r} of {self.split}"
        return f"image {self.image!r} is also {original}, {self.how}"


def refuse_copies(
    pool: Pool,
    others: Mapping[str, Pool],
    place: object,
    *,
    allowed: bool = False,
    of_one_dataset: bool = True,
    progress: Progress | None = None,
    looks: Looks | None = None,
) -> list[SharedPhoto]:
    """Raises DataError if an image shows a photo that is also in one of the other splits.

    Returns the copies that are allowed. Images are compared by what they show: the same photo may
    have another name, or be saved again or at another size (see copies). Within one dataset they
    are also compared by the names that Roboflow gives to images of one photo, because turned or
    cropped images are not recognised by what they show. Two datasets may both have an IMG_0001.

    others    pools by the name of their split
    place     names the pool in messages
    allowed   True if near copies may be there; exact copies never may
    progress  is called with (images compared, images in all)
    looks     as for `copies`
    """
    photos = list(_by_looks(pool, others, progress, looks))
    if of_one_dataset:
        photos += _by_names(pool, others)
    refused = [photo for photo in photos if photo.is_exact or not allowed]
    if not refused:
        return photos
    do = "Keep each photo on one side: else a model is scored on photos that it was trained on."
    if not all(photo.is_exact for photo in refused):
        do += f" If these are different photos, {_ALLOW} lets them pass."
    raise DataError(place, shared_photo_words(refused), do=do)


def shared_photo_words(photos: Sequence[SharedPhoto]) -> str:
    """ "image 'a' is also 'b' of val, saved again; ...; and so are 2 more": each image once."""
    by_image: dict[str, str] = {}
    for photo in photos:
        by_image.setdefault(photo.image, str(photo))
    words = list(by_image.values())
    if len(words) > _MOST_NAMED:
        words[_MOST_NAMED:] = [f"and so are {len(words) - _MOST_NAMED} more"]
    return "; ".join(words)


def _by_looks(
    pool: Pool, others: Mapping[str, Pool], progress: Progress | None, looks: Looks | None
) -> Iterator[SharedPhoto]:
    splits = list(others)
    for copy in copies(pool, list(others.values()), progress, looks):
        split = splits[copy.part]
        original = others[split].image_ids[copy.original]
        how = "by its pixels" if copy.exact else "saved again or at another size"
        yield SharedPhoto(
            image=str(pool.image_ids[copy.image]),
            split=split,
            original=str(original),
            how=how,
            is_exact=copy.exact,
        )


def _by_names(pool: Pool, others: Mapping[str, Pool]) -> Iterator[SharedPhoto]:
    original_of: dict[str | None, tuple[str, str]] = {}  # split and image, by the photo
    for split, other in others.items():
        for image in other.image_ids.tolist():
            original_of[photo_of(image)] = (split, image)
    for image in pool.image_ids.tolist():
        photo = photo_of(image)
        if photo is not None and photo in original_of:
            split, original = original_of[photo]
            how = "made of the same photo by its name"
            yield SharedPhoto(image=image, split=split, original=original, how=how)


def check_apart(dataset: Dataset, hashes: Mapping[str, Sequence[str]]) -> None:
    """Raises DataError where an image, by its id or its bytes, is in two splits.

    A score on it would be too high.
    """
    origins: dict[tuple[str, str], tuple[str, str]] = {}  # split and place of each id and hash
    for split, source in dataset.splits.items():
        for record, file_hash in zip(source.records, hashes[split], strict=True):
            for key in (("content", file_hash), ("id", record.image_id)):
                other, place = origins.setdefault(key, (split, record.place))
                if other != split:
                    image = f"image {record.image_id!r} of {split}"
                    rule = f"{image} is also in {other}, by its {key[0]} ({place})"
                    raise DataError(record.place, rule, do=_DO_ABOUT_COPIES[key[0]])


def _cut_val(dataset: Dataset, seed: int, share: float, links: Sequence[Link]) -> Dataset:
    """The dataset with a val of whole groups of linked images, in random order.

    val is as near to its share of the images as whole groups allow.
    """
    train = dataset.splits["train"]
    group_of = groups(len(train), links)
    photos = len(set(group_of))
    _check_can_be_cut(dataset, photos)
    by_id = sorted(range(len(train)), key=lambda i: train.records[i].image_id)
    order = seeds.generator(seed, "val").permutation(len(train))
    shuffled = [by_id[i] for i in order]
    count = max(1, round(len(train) * share))
    in_val = _of_whole_groups(shuffled, group_of, count)
    val = train.select([i for i in by_id if i in in_val])
    rest = train.select([i for i in by_id if i not in in_val])
    note = f"val: {len(val)} of {len(train)} images cut from train with seed {seed}"
    note += f", hash of their ids {val.ids_hash[:12]}"
    if photos < len(train):
        note += "; images of one photo are kept together"
    splits = {"train": rest, "val": val, "test": dataset.splits["test"]}
    return replace(dataset, splits=splits, notes=(*dataset.notes, note))


def _check_can_be_cut(dataset: Dataset, photos: int) -> None:
    """Raises DataError unless the training images are at least two different photos."""
    if photos >= 2:
        return
    images = len(dataset.splits["train"])
    rule = "needs at least 2 training images to cut val from train"
    if images < 2:
        raise DataError(dataset.path, rule, got=images, do=_ADVICE["train"])
    do = (
        f"If its {images} images are different photos, {_ALLOW} lets them be separated, "
        "or make a val split of your own."
    )
    raise DataError(dataset.path, f"{rule} that do not look like one photo", got=photos, do=do)


def _of_whole_groups(order: Sequence[int], group_of: Sequence[int], count: int) -> set[int]:
    """Images of the first groups in an order, as many as come nearest to `count` images.

    They are at least one group and never all groups. Groups of more than `count` images are
    skipped. Small groups that come later do not fill up missing images: groups of which not all
    links are known are small, and `cut_by_looks` would discover their links one by one.
    """
    members: dict[int, list[int]] = {}
    for i in order:
        members.setdefault(group_of[i], []).append(i)
    by_group = list(members.values())
    chosen: list[int] = []
    for group in by_group:
        images = len(chosen) + len(group)
        if len(group) > count or images == len(order):
            continue
        if abs(images - count) >= abs(len(chosen) - count):
            break
        chosen += group
    if not chosen:
        chosen = min(by_group, key=len)
    return set(chosen)


def _positions(whole: Source, part: Source) -> list[int]:
    position_of = {image_id: i for i, image_id in enumerate(whole.image_ids())}
    return [position_of[image_id] for image_id in part.image_ids()]
