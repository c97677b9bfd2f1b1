"""Pool: a source, decoded, as flat arrays that processes share without a copy."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data import picture
from syndet_ray.data.record import Source
from syndet_ray.errors import DataError

_ARRAYS = ("pixels", "sizes_wh", "xyxy", "labels", "visibility", "crowd", "box_counts", "image_ids")


@dataclass(frozen=True, eq=False)
class Pool:
    """n decoded images with their boxes, in a handful of flat arrays.

    Arrays rather than lists, because Ray's object store and memory-mapped files hand arrays to every process of a
    node without copying them. They may be read-only: copy before you change an image.

    pixels      (sum of h*w*3,) uint8, RGB, the images one after another, each row-major (h, w, 3)
    sizes_wh    (n, 2) int64
    xyxy, labels, visibility, crowd   the boxes of all images one after another, as in `Boxes`
    box_counts  (n,) int64
    image_ids   (n,) unicode
    """

    name: str
    classes: tuple[str, ...]
    synthetic: bool
    stand_in: bool
    pixels: np.ndarray
    sizes_wh: np.ndarray
    xyxy: np.ndarray
    labels: np.ndarray
    visibility: np.ndarray
    crowd: np.ndarray
    box_counts: np.ndarray
    image_ids: np.ndarray

    @staticmethod
    def of(
        name: str,
        classes: tuple[str, ...],
        images: Sequence[np.ndarray],
        boxes: Sequence[Boxes],
        image_ids: Sequence[str],
        *,
        synthetic: bool = False,
        stand_in: bool = False,
    ) -> "Pool":
        """A pool from decoded images, each (h, w, 3) uint8 RGB, and their boxes."""
        assert len(images) == len(boxes) == len(image_ids)
        every = [Boxes.none(), *boxes]
        return Pool(
            name,
            classes,
            synthetic,
            stand_in,
            np.concatenate([np.zeros(0, np.uint8), *(image.reshape(-1) for image in images)]),
            np.array([image.shape[1::-1] for image in images], np.int64).reshape(-1, 2),
            np.concatenate([b.xyxy for b in every]),
            np.concatenate([b.labels for b in every]),
            np.concatenate([b.visibility for b in every]),
            np.concatenate([b.crowd for b in every]),
            np.array([len(b) for b in boxes], np.int64),
            np.array(image_ids, dtype=str),
        )

    def __len__(self) -> int:
        return len(self.sizes_wh)

    @cached_property
    def _pixel_starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.sizes_wh.prod(axis=1) * 3)]).astype(np.int64)

    @cached_property
    def _box_starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.box_counts)]).astype(np.int64)

    def image(self, i: int) -> np.ndarray:
        """(h, w, 3) uint8 RGB, a view."""
        width, height = self.sizes_wh[i]
        return self.pixels[self._pixel_starts[i] : self._pixel_starts[i + 1]].reshape(height, width, 3)

    def boxes(self, i: int) -> Boxes:
        part = slice(self._box_starts[i], self._box_starts[i + 1])
        return Boxes(self.xyxy[part], self.labels[part], self.visibility[part], self.crowd[part])

    def select(self, indices: Sequence[int], name: str | None = None) -> "Pool":
        """A pool of copies of the images at `indices`, in that order."""
        return Pool.of(
            name or self.name,
            self.classes,
            [self.image(i) for i in indices],
            [self.boxes(i) for i in indices],
            [str(self.image_ids[i]) for i in indices],
            synthetic=self.synthetic,
            stand_in=self.stand_in,
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 over class names, pixels and boxes with all that is known of them: equal pools are equal data."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for array in (self.pixels, self.sizes_wh, self.box_counts, self.xyxy, self.labels, self.visibility, self.crowd):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes the pool whole, then renames it into place; an existing folder is kept as it is."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name in _ARRAYS:
                np.save(unfinished / f"{name}.npy", getattr(self, name), allow_pickle=False)
            about = {"name": self.name, "classes": self.classes, "synthetic": self.synthetic, "stand_in": self.stand_in}
            (unfinished / "pool.json").write_text(json.dumps(about, indent=1))
            os.chmod(unfinished, 0o755)
            os.rename(unfinished, folder)
        except OSError:
            if not (folder / "pool.json").exists():  # somebody else's copy, finished first, is as good as ours
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    @staticmethod
    def load(folder: Path) -> "Pool":
        """The pool saved in `folder`, memory-mapped: processes of one node share its pages."""
        try:
            about = json.loads((folder / "pool.json").read_text())
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        except (OSError, EOFError, ValueError) as error:
            raise DataError(
                folder, f"is not a readable pool ({error})", do="Delete the folder; it is made anew."
            ) from None
        return Pool(about["name"], tuple(about["classes"]), about["synthetic"], about["stand_in"], **arrays)


def aligned(pool: Pool, classes: tuple[str, ...]) -> Pool:
    """The pool with its labels counted in the order of `classes`, which must be the same names (see check_classes)."""
    if pool.classes == classes:
        return pool
    assert sorted(pool.classes) == sorted(classes), (pool.classes, classes)
    order = np.array([classes.index(name) for name in pool.classes], np.int64)
    return replace(pool, classes=classes, labels=order[pool.labels])


def decode(source: Source, progress: Callable[[int, int], None] | None = None) -> Pool:
    """Decodes every image of a source; `progress` is told (images done, images in all) after each.

    Raises DataError naming the record whose image cannot be read.
    """
    images = []
    for done, record in enumerate(source.records, start=1):
        image = picture.pixels(record.image, record.place)
        width_height = np.array(image.shape[1::-1])
        assert not ((record.boxes.xyxy < 0) | (record.boxes.xyxy > np.tile(width_height, 2))).any(), record.place
        images.append(image)
        if progress is not None:
            progress(done, len(source))
    boxes = [record.boxes for record in source.records]
    ids = [record.image_id for record in source.records]
    return Pool.of(
        source.name, source.classes, images, boxes, ids, synthetic=source.synthetic, stand_in=source.stand_in
    )
