"""Split: train, val and test, explicit and without common photos."""

import hashlib
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from syndet_ray import seeds
from syndet_ray.data.copies import copies
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError
from syndet_ray.progress import Progress

_ADVICE = {
    "train": "Put images to train on into it.",
    "val": "Put images into it, or delete it: val is then cut from train.",
    "test": "Set some photos aside for it, about a fifth: they are opened once, when the search is over.",
}
_VAL_SHARE = 0.2
# Roboflow calls every image that it makes of one photo, turned, cropped or brightened,
# NAME_jpg.rf.HASH.jpg.
_AUGMENTED = re.compile(r"(.*/)?(?P<photo>[^/]+)\.rf\.[0-9A-Za-z_-]+\.\w+")
_ALLOW = "--allow-near-copies"
_MOST_NAMED = 3  # pairs in a message; a person looks at a few of them, and then at the folder

Link = tuple[int, int]  # positions of two images that must lie on one side


def with_validation(dataset: Dataset, seed: int, share: float = _VAL_SHARE) -> Dataset:
    """The dataset with all three splits: what is there stays as it is, a missing val is cut from
    train.

    val gets `share` of the images of train, rounded, at least 1; which ones depends on their ids
    and the seed alone. What is one photo by the bytes or the names of its files lies on one side;
    `cut_by_looks` also knows what images show. Raises DataError where train or test is missing,
    where a split is empty, or where an image is in two splits.
    """
    assert 0 < share < 1, share
    for split in ("train", "test", *dataset.splits):
        if split not in dataset.splits:
            present = ", ".join(dataset.splits)
            raise DataError(
                dataset.path, f"must have a {split} split, has only {present}", do=_ADVICE[split]
            )
        if not len(dataset.splits[split]):
            raise DataError(dataset.path, f"the {split} split holds no images", do=_ADVICE[split])
    contents = {
        split: [_content(record) for record in source.records]
        for split, source in dataset.splits.items()
    }
    _check_apart(dataset, contents)
    if "val" in dataset.splits:
        return dataset
    return _cut(
        dataset,
        seed,
        share,
        [*_links(_photos(dataset.splits["train"])), *_links(contents["train"])],
    )


def cut_by_looks(
    dataset: Dataset,
    train: Pool,
    seed: int,
    share: float = _VAL_SHARE,
    *,
    allowed: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """A dataset without val, with a val cut from train as `with_validation` does, of which train
    holds no near copy.

    Where the cut would part near copies they are tied together, and it is made again. Without any
    it is the same cut. Raises DataError where all training images look like one photo.

    train     the images of the train split, in its order
    allowed   whether near copies may be parted: only exact ones are tied then
    progress  is told (images looked at, images of val), once for each cut
    """
    source = dataset.splits["train"]
    assert [record.image_id for record in source.records] == train.image_ids.tolist()
    links = list(_links(_photos(source)))
    while True:
        whole = _cut(dataset, seed, share, links)
        val, rest = (_positions(source, whole.splits[split]) for split in ("val", "train"))
        near = copies(train.select(val), [train.select(rest)], progress)
        near = [copy for copy in near if copy.exact or not allowed]
        if not near:
            return whole
        links += [(val[copy.image], rest[copy.original]) for copy in near]


def selection(pool: Pool, whole: Source, part: Source) -> Pool:
    """The images of a part of a source, from the pool of the whole; their pixels are not copied."""
    return pool.select(_positions(whole, part))


@dataclass(frozen=True, kw_only=True)
class Twin:
    """An image that shows the photo of an image of a split. how: by what that is known, in words."""

    image: str
    split: str
    original: str
    how: str
    is_exact: bool = False

    def __str__(self) -> str:
        return f"image {self.image!r} is also {self.original!r} of {self.split}, {self.how}"


def refuse_copies(
    pool: Pool,
    others: Mapping[str, Pool],
    place: object,
    *,
    allowed: bool = False,
    of_one_dataset: bool = True,
    progress: Progress | None = None,
) -> list[Twin]:
    """Raises DataError where an image shows a photo that is also in one of the others; returns
    those that are allowed.

    Images are compared by what they show: the same photo may have another name, and be saved again
    or at another size (see copies). And, within one dataset, by names that say of which photo
    Roboflow made them, for what is turned or cropped is not known by its looks; two datasets may
    both have an IMG_0001.

    others    by the name of their split
    place     of the pool
    allowed   whether near copies may be there; exact ones never may
    progress  is told (images looked at, images in all)
    """
    by_names = _by_names(pool, others) if of_one_dataset else ()
    twins = [*_by_looks(pool, others, progress), *by_names]
    refused = [twin for twin in twins if twin.is_exact or not allowed]
    if not refused:
        return twins
    do = "Keep each photo on one side: a model that trains on one has seen the other, which it is scored on."
    if any(not twin.is_exact for twin in refused):
        do += f" If these are different photos, {_ALLOW} lets them pass."
    raise DataError(place, twin_words(refused), do=do)


def twin_words(twins: Sequence[Twin]) -> str:
    """ "image 'a' is also 'b' of val, saved again; ...; and so are 2 more": each image once."""
    by_image: dict[str, str] = {}
    for twin in twins:
        by_image.setdefault(twin.image, str(twin))
    pairs = list(by_image.values())
    more = len(pairs) - _MOST_NAMED
    return "; ".join(pairs[:_MOST_NAMED]) + (f"; and so are {more} more" if more > 0 else "")


def _by_looks(pool: Pool, others: Mapping[str, Pool], progress: Progress | None) -> Iterator[Twin]:
    splits = list(others)
    for copy in copies(pool, list(others.values()), progress):
        split = splits[copy.part]
        yield Twin(
            image=str(pool.image_ids[copy.image]),
            split=split,
            original=str(others[split].image_ids[copy.original]),
            how="by its pixels" if copy.exact else "saved again or at another size",
            is_exact=copy.exact,
        )


def _by_names(pool: Pool, others: Mapping[str, Pool]) -> Iterator[Twin]:
    places = {
        _photo(name): (split, name)
        for split, other in others.items()
        for name in other.image_ids.tolist()
    }
    for image in pool.image_ids.tolist():
        photo = _photo(image)
        if photo is not None and photo in places:
            split, original = places[photo]
            yield Twin(
                image=image,
                split=split,
                original=original,
                how="made of the same photo by its name",
            )


def _check_apart(dataset: Dataset, contents: Mapping[str, Sequence[str]]) -> None:
    """Raises DataError where one image, by its id or its bytes, is in two splits: a score on it
    would be too high.
    """
    origins: dict[tuple[str, str], tuple[str, str]] = {}  # split and place of each id and content
    for split, source in dataset.splits.items():
        for record, content in zip(source.records, contents[split], strict=True):
            for key in (("id", record.image_id), ("content", content)):
                other, place = origins.setdefault(key, (split, record.place))
                if other != split:
                    rule = f"image {record.image_id!r} of {split} is also in {other}, by its {key[0]} ({place})"
                    do = "Keep it in one split; give different images different names."
                    raise DataError(record.place, rule, do=do)


def _cut(dataset: Dataset, seed: int, share: float, links: Sequence[Link]) -> Dataset:
    """A val of whole groups of linked images, in random order, as near to its share of the images
    as these come.
    """
    train = dataset.splits["train"]
    photo_of = _groups(len(train), links)
    photos = len(set(photo_of))
    if photos < 2:
        rule = "needs at least 2 training images to cut val from train"
        if len(train) < 2:
            raise DataError(dataset.path, rule, got=len(train), do=_ADVICE["train"])
        do = f"If its {len(train)} images are different photos, {_ALLOW} lets them be parted, or make a val split of your own."
        raise DataError(dataset.path, f"{rule} that do not look like one photo", got=photos, do=do)
    by_id = sorted(range(len(train)), key=lambda i: train.records[i].image_id)
    shuffled = [by_id[i] for i in seeds.generator(seed, "val").permutation(len(train))]
    in_val = _of_whole_groups(shuffled, photo_of, max(1, round(len(train) * share)))
    val = train.select([i for i in by_id if i in in_val])
    rest = train.select([i for i in by_id if i not in in_val])
    note = f"val: {len(val)} of {len(train)} images cut from train with seed {seed}, ids {val.ids_hash[:12]}"
    if photos < len(train):
        note += "; images of one photo are kept together"
    splits = {"train": rest, "val": val, "test": dataset.splits["test"]}
    return replace(dataset, splits=splits, notes=(*dataset.notes, note))


def _of_whole_groups(order: Sequence[int], group_of: Sequence[int], count: int) -> set[int]:
    """The first groups in an order, as many as come nearest to `count` images; never all of them,
    and at least one.

    Larger groups than that are passed over. Small ones that come later do not fill up what is
    missing: groups of which not all links are known are small, and `cut_by_looks` would find them
    out one by one.
    """
    members: dict[int, list[int]] = {}
    for i in order:
        members.setdefault(group_of[i], []).append(i)
    groups: list[list[int]] = list(members.values())
    chosen: list[int] = []
    for group in groups:
        images = len(chosen) + len(group)
        if len(group) > count or images == len(order):
            continue
        if abs(images - count) >= abs(len(chosen) - count):
            break
        chosen += group
    if not chosen:
        chosen = min(groups, key=len)
    return set(chosen)


def _groups(count: int, links: Sequence[Link]) -> list[int]:
    """(count,) the group of each image: those that are linked, through others too, are of one."""
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    first, second = np.array(links, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), (first, second)), shape=(count, count))
    groups: list[int] = connected_components(graph, directed=False)[1].tolist()
    return groups


def _links(keys: Sequence[Hashable]) -> Iterator[Link]:
    """Each position of a key that is there more than once, with its first; None is no key."""
    firsts: dict[Hashable, int] = {}
    for i, key in enumerate(keys):
        first = firsts.setdefault(key, i)
        if key is not None and first != i:
            yield first, i


def _positions(whole: Source, part: Source) -> list[int]:
    position_of = {record.image_id: i for i, record in enumerate(whole.records)}
    return [position_of[record.image_id] for record in part.records]


def _photos(source: Source) -> list[str | None]:
    return [_photo(record.image_id) for record in source.records]


def _photo(image_id: str) -> str | None:
    """The photo that Roboflow made an image of, by the image's name; None where the name does not
    tell.
    """
    match = _AUGMENTED.fullmatch(image_id)
    return None if match is None else match["photo"]


def _content(record: Record) -> str:
    return hashlib.sha256(record.encoded()).hexdigest()
