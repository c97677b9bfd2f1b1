"""Pool: a source, decoded, as flat arrays that processes share without a copy, or streamed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.streamed import Streamed
from syndet_ray.errors import DataError, MachineError
from syndet_ray.files import whole_folder

_BOX_COLUMNS = ("xyxy", "labels", "visibility", "crowd")
_SAVED = ("pixels", "sizes_wh", *_BOX_COLUMNS, "box_counts", "image_ids")


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """n decoded images with their boxes, in a few flat arrays.

    Arrays, not lists, because Ray's object store and memory-mapped files give arrays to every
    process of a node without copying them. They may be read-only: copy before you change an image.

    Everything is in pixels of the working scale, at which the detector sees images. `to_photo`
    converts boxes back to the pixels of their photo.

    pixels        flat uint8, RGB, each image row-major (h, w, 3); or images of which most are
                  decoded each time they are needed, where there is too little memory for all. May
                  also hold images of another pool, see `select`
    pixel_starts  (n,) int64, the index in `pixels` at which each image begins; of a streamed pool,
                  the position of the image in `pixels`
    sizes_wh      (n, 2) int64
    scales        (n, 2) float64, working pixels per pixel of the photo, of width and height: both
                  are rounded; 1 for scenes
    xyxy, labels, visibility, crowd   the boxes of all images one after another, as in `Boxes`
    box_counts    (n,) int64
    image_ids     (n,) unicode
    digests       (n, 32) uint8, SHA-256 of each image's file and of its labels in the photo's own
                  pixels; None if the images were never files
    contents      (n,) uint64, of the SHA-256 of each image's file, whatever its labels; None if the
                  images were never files
    """

    name: str
    classes: tuple[str, ...]
    synthetic: bool
    stand_in: bool
    pixels: np.ndarray | Streamed
    pixel_starts: np.ndarray
    sizes_wh: np.ndarray
    scales: np.ndarray
    xyxy: np.ndarray
    labels: np.ndarray
    visibility: np.ndarray
    crowd: np.ndarray
    box_counts: np.ndarray
    image_ids: np.ndarray
    digests: np.ndarray | None = None
    contents: np.ndarray | None = None

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
        """A pool from decoded images, each (h, w, 3) uint8 RGB, and their boxes, not rescaled."""
        assert len(images) == len(boxes) == len(image_ids)
        sizes = [image.shape[1::-1] for image in images]
        sizes_wh = np.array(sizes, np.int64).reshape(-1, 2)
        return Pool(
            name=name,
            classes=classes,
            synthetic=synthetic,
            stand_in=stand_in,
            pixels=_flat_pixels(images),
            pixel_starts=starts_of(bytes_of(sizes_wh)),
            sizes_wh=sizes_wh,
            scales=np.ones((len(images), 2)),
            image_ids=np.array(image_ids, dtype=str),
            **box_columns(boxes),
        )

    def __len__(self) -> int:
        return len(self.sizes_wh)

    @cached_property
    def _box_starts(self) -> np.ndarray:
        return starts_of(self.box_counts)

    @property
    def _image_of_box(self) -> np.ndarray:
        """(boxes,) int64, the image that each box lies on."""
        return np.repeat(np.arange(len(self)), self.box_counts)

    @property
    def images_with_objects(self) -> int:
        """The number of images that hold an object, crowds not counted."""
        return len(np.unique(self._image_of_box[~self.crowd]))

    @property
    def photo_sizes_wh(self) -> np.ndarray:
        """(n, 2) int64, sizes of the photos before they were brought to the working scale."""
        return np.rint(self.sizes_wh / self.scales).astype(np.int64)

    @property
    def is_streamed(self) -> bool:
        """True if images are decoded each time they are needed, at least some of them."""
        return isinstance(self.pixels, Streamed)

    @property
    def image_bytes(self) -> int:
        """Bytes of memory that the pixels of all images of the pool take when decoded."""
        return int(bytes_of(self.sizes_wh).sum())

    def image(self, i: int) -> np.ndarray:
        """(h, w, 3) uint8 RGB, a view, or decoded again where the pool is streamed.

        A streamed pool raises SyndetError where the image's file is gone or has changed.
        """
        width, height = self.sizes_wh[i].tolist()
        start = int(self.pixel_starts[i])
        if isinstance(self.pixels, Streamed):
            return self.pixels.image(start, (width, height))
        end = start + width * height * 3
        return self.pixels[start:end].reshape(height, width, 3)

    def boxes(self, i: int) -> Boxes:
        """The boxes of image i, views."""
        start = self._box_starts[i]
        part = slice(start, start + self.box_counts[i])
        return Boxes(
            xyxy=self.xyxy[part],
            labels=self.labels[part],
            visibility=self.visibility[part],
            crowd=self.crowd[part],
        )

    def to_photo(self, i: int | np.ndarray, xyxy: np.ndarray) -> np.ndarray:
        """Boxes (k, 4) on image i, in pixels of its photo, unrounded.

        i: one image, or (k,) the image of each box.
        """
        return xyxy / np.tile(self.scales[i], 2)

    def labels_in_photos(self) -> "Pool":
        """The pool without its images: boxes and image sizes, in the photos' own pixels."""
        return replace(
            self,
            pixels=np.zeros(0, np.uint8),
            pixel_starts=np.zeros(len(self), np.int64),
            sizes_wh=self.photo_sizes_wh,
            scales=np.ones((len(self), 2)),
            xyxy=self.to_photo(self._image_of_box, self.xyxy),
        )

    def select(self, indices: Sequence[int], name: str | None = None) -> "Pool":
        """The images at `indices`, in that order.

        Their pixels are those of this pool, and are not copied.
        """
        images = np.array(indices, np.int64)
        first = self._box_starts[images]
        end = first + self.box_counts[images]
        rows = np.concatenate([np.zeros(0, np.int64), *map(np.arange, first, end)])
        columns = {}
        for column in _BOX_COLUMNS:
            columns[column] = getattr(self, column)[rows]
        return replace(
            self,
            name=name or self.name,
            pixel_starts=self.pixel_starts[images],
            sizes_wh=self.sizes_wh[images],
            scales=self.scales[images],
            box_counts=self.box_counts[images],
            image_ids=self.image_ids[images],
            digests=None if self.digests is None else self.digests[images],
            contents=None if self.contents is None else self.contents[images],
            **columns,
        )

    def compact(self) -> "Pool":
        """The pool with only the pixels of its own images, in their order.

        It is the pool itself if there are no other pixels. Pixels are copied only if its images do
        not already lie one after another.
        """
        if isinstance(self.pixels, Streamed):
            return self._compact_stream(self.pixels)
        starts = starts_of(bytes_of(self.sizes_wh))
        first = int(self.pixel_starts[0]) if len(self) else 0
        if np.array_equal(self.pixel_starts - first, starts):
            if self.pixels.size == self.image_bytes:
                return self
            pixels = self.pixels[first : first + self.image_bytes]
        else:
            pixels = _flat_pixels([self.image(i) for i in range(len(self))])
        return replace(self, pixels=pixels, pixel_starts=starts)

    def _compact_stream(self, pixels: Streamed) -> "Pool":
        positions = np.arange(len(self))
        if len(pixels) == len(self) and np.array_equal(self.pixel_starts, positions):
            return self
        selection = pixels.select(self.pixel_starts.tolist())
        return replace(self, pixels=selection, pixel_starts=positions)

    def __getstate__(self) -> dict[str, Any]:
        """The fields that are sent to another process, without images that a selection left out."""
        return vars(self.compact())

    @cached_property
    def hash(self) -> str:
        """SHA-256 over class names and over images with their labels, in order.

        Equal hashes mean equal data. For images that were files, the hash is over their bytes and
        over boxes in the photos' own pixels: it is the same at every working scale and for every
        decoder. For other images it is over pixels and boxes.
        """
        digest = hashlib.sha256("\n".join(self.classes).encode())
        if self.digests is not None:
            digest.update(np.ascontiguousarray(self.digests).data)
            return digest.hexdigest()
        for i in range(len(self)):
            digest.update(np.ascontiguousarray(self.image(i)).data)
        for array in (
            self.sizes_wh,
            self.box_counts,
            self.xyxy,
            self.labels,
            self.visibility,
            self.crowd,
        ):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes the pool, decoded, whole or not at all; an existing folder is kept as it is."""
        try:
            with whole_folder(folder) as unfinished:
                self._write(unfinished)
        except (OSError, MachineError):
            if not (folder / "pool.json").exists():  # another process finished the same pool first
                raise

    def _write(self, folder: Path) -> None:
        compact = self.compact()
        columns = {name: getattr(compact, name) for name in _SAVED}
        if self.is_streamed:
            del columns["pixels"]
            self._write_pixels(folder / "pixels.npy")
        if (self.scales != 1).any():
            columns["scales"] = self.scales
        if self.digests is not None:
            columns["digests"] = self.digests
        if self.contents is not None:
            columns["contents"] = self.contents
        for name, column in columns.items():
            np.save(folder / f"{name}.npy", column, allow_pickle=False)
        about = {
            "name": self.name,
            "classes": self.classes,
            "synthetic": self.synthetic,
            "stand_in": self.stand_in,
        }
        (folder / "pool.json").write_text(json.dumps(about, indent=1), encoding="utf-8")

    def _write_pixels(self, file: Path) -> None:
        """Decodes the images into a file, one by one: together they may not fit into memory."""
        pixels = np.lib.format.open_memmap(file, "w+", np.uint8, (self.image_bytes,))
        starts = starts_of(bytes_of(self.sizes_wh)).tolist()
        for i, start in enumerate(starts):
            image = self.image(i).reshape(-1)
            pixels[start : start + image.size] = image
        pixels.flush()

    @staticmethod
    def load(folder: Path) -> "Pool":
        """The pool saved in `folder`, memory-mapped: processes of one node share its pages.

        Raises DataError where the folder holds no readable pool.
        """
        try:
            about = json.loads((folder / "pool.json").read_text(encoding="utf-8"))
            arrays = {}
            for name in _SAVED:
                arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
            scales = _optional_array(folder / "scales.npy")
            digests = _optional_array(folder / "digests.npy")
            contents = _optional_array(folder / "contents.npy")
        except (OSError, EOFError, ValueError) as error:
            do = "Delete the folder; it is made again."
            raise DataError(folder, f"is not a readable pool ({error})", do=do) from None
        starts = starts_of(bytes_of(arrays["sizes_wh"]))
        if scales is None:
            scales = np.ones((len(starts), 2))
        about["classes"] = tuple(about["classes"])
        return Pool(
            **about,
            pixel_starts=starts,
            scales=scales,
            digests=digests,
            contents=contents,
            **arrays,
        )


def _optional_array(file: Path) -> np.ndarray | None:
    """An array that not every pool has; None without its file."""
    return np.load(file) if file.exists() else None


def align_labels(pool: Pool, classes: tuple[str, ...]) -> Pool:
    """The pool with labels that index `classes`, which must be the same names in any order.

    See check_classes.
    """
    if pool.classes == classes:
        return pool
    assert sorted(pool.classes) == sorted(classes), (pool.classes, classes)
    new_labels = [classes.index(name) for name in pool.classes]
    labels = np.array(new_labels, np.int64)[pool.labels]
    return replace(pool, classes=classes, labels=labels)


def box_columns(boxes: Sequence[Boxes]) -> dict[str, np.ndarray]:
    """The boxes of many images as the columns of a pool."""
    parts = [Boxes.none(), *boxes]  # without any image the columns still need their types
    columns = {}
    for name in _BOX_COLUMNS:
        columns[name] = np.concatenate([getattr(part, name) for part in parts])
    columns["box_counts"] = np.array(list(map(len, boxes)), np.int64)
    return columns


def _flat_pixels(images: Sequence[np.ndarray]) -> np.ndarray:
    """Flat uint8, the pixels of images one after another."""
    flat = [image.reshape(-1) for image in images]
    return np.concatenate([np.zeros(0, np.uint8), *flat])


def bytes_of(sizes_wh: np.ndarray) -> np.ndarray:
    """(n,) int64, bytes of images in `pixels`."""
    return sizes_wh.prod(axis=1) * 3


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """(n,) int64, the index at which each of n consecutive parts begins."""
    return (np.cumsum(lengths) - lengths).astype(np.int64)
