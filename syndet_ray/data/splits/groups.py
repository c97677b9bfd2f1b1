"""Groups: images that belong together, by their names, their bytes, or what the user says."""

import hashlib
import re
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from syndet_ray.data.record import Source
from syndet_ray.progress import Progress, quiet

# Roboflow names all images that it makes from one photo, by turning, cropping or brightening it,
# NAME_jpg.rf.HASH.jpg.
_AUGMENTED = re.compile(r"(.*/)?(?P<photo>[^/]+)\.rf\.[0-9A-Za-z_-]+\.\w+")

Link = tuple[int, int]  # positions of two images that must be on one side


def groups(count: int, links: Sequence[Link]) -> list[int]:
    """(count,) the group of each image: images linked directly or through others are one group."""
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    first, second = np.array(links, np.int64).reshape(-1, 2).T
    weights = np.ones(len(links))
    graph = coo_array((weights, (first, second)), shape=(count, count))
    _, group_of = connected_components(graph, directed=False)
    numbers: list[int] = group_of.tolist()
    return numbers


def largest_group(group_of: Sequence[Hashable]) -> list[int]:
    """The positions of the images of the largest group, the first one of several; none of none."""
    positions: dict[Hashable, list[int]] = {}
    for i, group in enumerate(group_of):
        positions.setdefault(group, []).append(i)
    return max(positions.values(), key=len, default=[])


def key_links(keys: Sequence[Hashable]) -> Iterator[Link]:
    """Each position of a repeated key, with the key's first position; None is no key."""
    firsts: dict[Hashable, int] = {}
    for i, key in enumerate(keys):
        first = firsts.setdefault(key, i)
        if key is not None and first != i:
            yield first, i


def photo_links(source: Source, hashes: Sequence[str]) -> list[Link]:
    """Images that are one photo by the names of their files, or by their bytes.

    hashes  those of the source's images, see `image_hashes`
    """
    photos = [photo_of(record.image_id) for record in source.records]
    return [*key_links(photos), *key_links(hashes)]


def photo_of(image_id: str) -> str | None:
    """The photo from which Roboflow made an image, by the image's name; None for other names."""
    match = _AUGMENTED.fullmatch(image_id)
    return None if match is None else match["photo"]


def image_hashes(source: Source, progress: Progress = quiet) -> list[str]:
    """SHA-256 of each image's file."""
    hashes = []
    for record in source.records:
        hashes.append(hashlib.sha256(record.image_bytes()).hexdigest())
        progress(len(hashes), len(source))
    return hashes
