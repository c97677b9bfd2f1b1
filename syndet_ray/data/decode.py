"""Decode: the images of a source, decoded into a pool."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.images import picture
from syndet_ray.data.pool import Pool, box_columns, bytes_of, starts_of
from syndet_ray.data.record import Record, Source
from syndet_ray.data.scale import working_sizes
from syndet_ray.data.streamed import Checked, Streamed
from syndet_ray.progress import Progress

# called with a record, its image, (h, w, 3) uint8, and the image's digest, as in the pool
Look = Callable[[Record, np.ndarray, bytes], None]


def decode(
    source: Source,
    working_px: int | None = None,
    progress: Progress | None = None,
    *,
    streamed: bool = False,
    kept_bytes: int = 0,
    often: bool = True,
    look: Look | None = None,
) -> Pool:
    """Decodes every image of a source into a pool.

    Each goes straight into its place, so that no image is in memory twice for long.

    working_px  longer side that every image is brought to, together with its boxes; None leaves all
                images as they are
    progress    is called with (images done, images in all) after each image
    streamed    True to decode images again when they are needed. All are decoded once, to find
                those that are damaged
    kept_bytes  of a streamed pool, the bytes of memory for images that are kept decoded: the first
                ones, as many as fit. Any order of training draws them as often as the others
    often       of a streamed pool, True if its images will be decoded so often that it is worth to
                find a faster way
    look        is called with each image while it is decoded

    Raises DataError naming the record whose image cannot be read.
    """
    is_resized = working_px is not None
    sizes = [record.size_wh for record in source.records]
    photo_sizes_wh = np.array(sizes, np.int64).reshape(-1, 2)
    sizes_wh = photo_sizes_wh if working_px is None else working_sizes(photo_sizes_wh, working_px)
    lengths = bytes_of(sizes_wh)
    starts = starts_of(lengths)
    ends = starts + lengths
    kept = int(np.searchsorted(ends, kept_bytes, "right")) if streamed else len(source)
    pixels = np.empty(int(lengths[:kept].sum()), np.uint8)
    digests = np.zeros((len(source), 32), np.uint8)
    contents = np.zeros(len(source), np.uint64)
    checked = []
    for i, image in enumerate(_images(source, sizes_wh, resized=is_resized)):
        if i < kept:
            pixels[starts[i] : ends[i]] = image.rgb.reshape(-1)
        digests[i] = np.frombuffer(image.digest, np.uint8)
        contents[i] = image.content_number
        if streamed:
            rgb = image.rgb if often and i >= kept else None
            checked.append(Checked.of(image.record.image, image.content, rgb, resized=is_resized))
        if look is not None:
            look(image.record, image.rgb, image.digest)
        if progress is not None:
            progress(i + 1, len(source))
    boxes = list(map(_scale_boxes, source.records, sizes_wh))
    return Pool(
        name=source.name,
        classes=source.classes,
        synthetic=source.synthetic,
        stand_in=source.stand_in,
        pixels=_stream(checked, pixels, ends, resized=is_resized) if streamed else pixels,
        pixel_starts=np.arange(len(source)) if streamed else starts,
        sizes_wh=sizes_wh,
        scales=sizes_wh / photo_sizes_wh,
        image_ids=np.array(source.image_ids(), dtype=str),
        digests=digests,
        contents=contents,
        **box_columns(boxes),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Image:
    """The image of a record, decoded.

    rgb             (h, w, 3) uint8
    content         the bytes of its file
    content_number  the first 64 bits of the SHA-256 of these
    digest          SHA-256 of its file and labels, 32 bytes, see `_digest`
    """

    record: Record
    rgb: np.ndarray
    content: bytes
    content_number: int
    digest: bytes


def _images(source: Source, sizes_wh: np.ndarray, *, resized: bool) -> Iterator[_Image]:
    """Decodes the images of a source, one after another.

    sizes_wh  (n, 2) those of the decoded images
    """
    for record, size_wh in zip(source.records, sizes_wh, strict=True):
        rgb = _decode_record(record, size_wh, resized=resized)
        content = record.image_bytes()
        content_hash = hashlib.sha256(content).digest()
        yield _Image(
            record=record,
            rgb=rgb,
            content=content,
            content_number=int.from_bytes(content_hash[:8], "little"),
            digest=_digest(content_hash, record, source.classes),
        )


def _decode_record(record: Record, size_wh: np.ndarray, *, resized: bool) -> np.ndarray:
    """(h, w, 3) uint8, the image of a record; it already has size_wh where it is not resized."""
    width, height = size_wh.tolist()
    target_wh = (width, height) if resized else None
    image = picture.pixels(record.image, record.place, target_wh)
    assert image.shape == (height, width, 3), (record.place, image.shape, record.size_wh)
    return image


def _stream(
    images: Sequence[Checked], decoded: np.ndarray, ends: np.ndarray, *, resized: bool
) -> Streamed:
    """Streamed images, of which the first ones are decoded.

    decoded  their pixels, flat
    ends     (n,) the end that each image would have if all were decoded
    """
    lengths = np.diff(ends, prepend=0)
    spans = np.stack([ends - lengths, lengths], axis=1)
    spans[ends > decoded.size] = 0
    return Streamed.of(images, resized=resized, decoded=decoded, spans=spans)


def _digest(content_hash: bytes, record: Record, classes: Sequence[str]) -> bytes:
    """SHA-256 of an image's file and of its labels as they were read, 32 bytes.

    content_hash  the SHA-256 of the file

    Boxes are those of the record: scaled and scaled back, they would differ in their last bits.
    Classes enter by name, so that a pool whose classes are reordered keeps its digests, see
    `align_labels`.
    """
    boxes = record.boxes
    names = [classes[label] for label in boxes.labels]
    digest = hashlib.sha256(content_hash)
    for array in (boxes.xyxy, boxes.visibility, boxes.crowd):
        digest.update(np.ascontiguousarray(array).data)
    digest.update("\n".join(names).encode())
    return digest.digest()


def _scale_boxes(record: Record, size_wh: np.ndarray) -> Boxes:
    """The boxes of a record, on its image resized to size_wh."""
    photo_edges = np.tile(record.size_wh, 2)
    edges = np.tile(size_wh, 2)
    boxes = record.boxes
    is_outside = (boxes.xyxy < 0) | (boxes.xyxy > photo_edges)
    assert not is_outside.any(), record.place
    if np.array_equal(photo_edges, edges):
        return boxes
    # The product comes first, so that a box that reaches the photo's edge ends exactly at the edge
    # of the image.
    return replace(boxes, xyxy=boxes.xyxy * edges / photo_edges)
