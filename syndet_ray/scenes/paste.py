"""Paste: cut-outs on training photos, drawn as a value and then composed (Ghiasi et al. 2021).

Photo and cut-outs are flipped at random and each has a scale of its own, as in the paper, whose
authors found that edges need no blending. Unlike there a cut-out may lie anywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.data.cutouts import OPAQUE
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import looks
from syndet_ray.scenes.annotate import apply_style, modal_boxes
from syndet_ray.scenes.layers import free_place
from syndet_ray.scenes.scene import LabelStyle
from syndet_ray.scenes.stock import Cutout, Stock, resize

_GREY = 114  # of all channels, beside a photo that is smaller than the image: as in training crops
_Window = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A picture in an image: its size there and its upper left corner, pixels; it may be cut off by
    the image's border.
    """

    size_wh: tuple[int, int]
    corner: tuple[int, int]
    flipped: bool

    @property
    def box(self) -> np.ndarray:
        """(4,) xyxy in the image, not cut off."""
        return np.array([*self.corner, *np.add(self.corner, self.size_wh)], float)


@dataclass(frozen=True, kw_only=True)
class Pasted:
    """An image to compose.

    photo   the index of a photo, and its place
    pieces  names of cut-outs and their places, the nearest last
    """

    photo: tuple[int, Layer]
    pieces: tuple[tuple[str, Layer], ...]
    size_wh: tuple[int, int]
    label_style: LabelStyle


def draw_pasted(parameters: SceneParameters, stock: Stock, seed: int, index: int) -> Pasted:
    """Draws image `index`, a function of its arguments alone.

    An object for which no place is found is left out.
    """

    def rng(purpose: str) -> np.random.Generator:
        return seeds.generator(seed, f"scene/{purpose}", index)

    frame_wh = parameters.size_wh
    photo = _draw_photo(len(stock.photos), seed, index)
    photo_wh = stock.photos.sizes_wh[photo]
    layer = _draw_photo_layer(photo_wh, frame_wh, parameters.scale_range, rng("photo"))
    boxes = stock.photos.boxes(photo)
    standing = _place_boxes(boxes.xyxy[~boxes.crowd], photo_wh, layer)
    return Pasted(
        photo=(photo, layer),
        pieces=_draw_pieces(parameters, stock, standing, rng),
        size_wh=frame_wh,
        label_style=looks.draw_label_style(parameters, seeds.integer(seed, "scene/labels", index)),
    )


def compose_pasted(pasted: Pasted, stock: Stock) -> tuple[np.ndarray, Boxes]:
    """The image, (h, w, 3) uint8, and its boxes, those of the photo first.

    An object of which nothing is visible has no box. That of another one bounds what is visible.
    Objects of the photo, of which only boxes are known, count as the ellipses in their boxes.
    """
    width, height = pasted.size_wh
    image = np.full((height, width, 3), _GREY, np.uint8)
    index, layer = pasted.photo
    _lay(image, _orient(stock.photos.image(index), layer), layer)
    ids = np.full((height, width), -1, np.int32)
    traces = []
    for k, (name, piece) in enumerate(pasted.pieces):
        traces.append(_paste(image, ids, stock.cutouts[name], piece, k))
    of_photo = _photo_boxes(stock.photos.boxes(index), stock.photos.sizes_wh[index], layer, ids)
    of_pieces = _piece_boxes(ids, traces, pasted.label_style)
    boxes = _join(of_photo, of_pieces)
    is_hidden = boxes.visibility < pasted.label_style.least_visibility  # not where it is unknown
    return image, boxes.select(boxes.crowd | ~is_hidden)


def _draw_photo(count: int, seed: int, index: int) -> int:
    """A photo: each is taken once before any is taken again."""
    turn, place = divmod(index, count)
    return int(seeds.generator(seed, "scene/photos", turn).permutation(count)[place])


def _draw_photo_layer(
    photo_wh: np.ndarray,
    frame_wh: tuple[int, int],
    scale_range: tuple[float, float],
    rng: np.random.Generator,
) -> Layer:
    """A photo in an image: a part of a larger one, or anywhere in the image if it is smaller."""
    is_flipped = bool(rng.random() < 0.5)
    factor = rng.uniform(*scale_range)
    size_wh = _scale_size(photo_wh.tolist(), factor)
    room = np.subtract(frame_wh, size_wh)
    x, y = rng.uniform(np.minimum(room, 0), np.maximum(room, 0)).round().astype(int).tolist()
    return Layer(size_wh=size_wh, corner=(x, y), flipped=is_flipped)


def _draw_pieces(
    parameters: SceneParameters,
    stock: Stock,
    standing: np.ndarray,
    rng: Callable[[str], np.random.Generator],
) -> tuple[tuple[str, Layer], ...]:
    """Cut-outs in their places, every class as likely as any other.

    standing  (n, 4) boxes of the photo's own objects in the image
    """
    frame = (0, 0, *parameters.size_wh)
    boxes = np.clip(standing, 0, np.tile(parameters.size_wh, 2))
    shape_rng, pose_rng = rng("shape"), rng("pose")
    pieces = []
    for _ in range(looks.draw_count(parameters, rng("count"))):
        names = stock.names_by_class[int(shape_rng.integers(len(stock.names_by_class)))]
        name = names[int(shape_rng.integers(len(names)))]
        is_flipped = bool(shape_rng.random() < 0.5)
        factor = shape_rng.uniform(*parameters.scale_range)
        size_wh = _scale_size(stock.cutouts[name].size_wh, factor)
        half = np.array(size_wh) / 2
        overlap = np.full(len(boxes), parameters.overlap)
        box = np.concatenate([-half, half])
        middle = free_place(box, boxes, overlap, crop=parameters.crop, frame=frame, rng=pose_rng)
        if middle is None:
            continue
        x, y = (middle - half).round().astype(int).tolist()
        layer = Layer(size_wh=size_wh, corner=(x, y), flipped=is_flipped)
        boxes = np.concatenate([boxes, layer.box[None]])
        pieces.append((name, layer))
    return tuple(pieces)


def _scale_size(size_wh: tuple[int, int], factor: float) -> tuple[int, int]:
    width, height = size_wh
    return max(1, round(width * factor)), max(1, round(height * factor))


def _place_boxes(xyxy: np.ndarray, picture_wh: np.ndarray, layer: Layer) -> np.ndarray:
    """Boxes (n, 4) on a picture as they lie in the image, not cut off."""
    x1, y1, x2, y2 = xyxy.T
    if layer.flipped:
        x1, x2 = picture_wh[0] - x2, picture_wh[0] - x1
    factors = np.tile(np.array(layer.size_wh) / picture_wh, 2)
    return np.stack([x1, y1, x2, y2], axis=1) * factors + np.tile(layer.corner, 2)


def _orient(picture: np.ndarray, layer: Layer) -> np.ndarray:
    """A picture (h, w) or (h, w, 3) in the size of its layer, flipped if it is."""
    scaled = resize(picture, layer.size_wh)
    return cv2.flip(scaled, 1) if layer.flipped else scaled


def _windows(layer: Layer, frame_wh: tuple[int, int]) -> tuple[_Window, _Window]:
    """The rows and columns of an image that a layer covers, and those of the layer there."""
    (x, y), (width, height) = layer.corner, layer.size_wh
    columns, layer_columns = _inside(x, width, frame_wh[0])
    rows, layer_rows = _inside(y, height, frame_wh[1])
    return (rows, columns), (layer_rows, layer_columns)


def _inside(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """The part of a line that lies between 0 and a limit, and the same part from its own start."""
    low, high = max(start, 0), max(min(start + length, limit), 0)
    return slice(low, high), slice(low - start, max(high - start, 0))


def _lay(image: np.ndarray, picture: np.ndarray, layer: Layer) -> None:
    """Puts an opaque picture into an image."""
    in_image, in_layer = _windows(layer, image.shape[1::-1])
    image[in_image] = picture[in_layer]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Trace:
    """An object in an image before others hide it.

    pixels  that it would show if the border did not cut it off
    inside  (4,) the box around what the border leaves of it, of no use if that is nothing
    box     (4,) the label that people gave it, as it lies in the image; None if it is not known
    """

    label: int
    pixels: int
    inside: np.ndarray
    box: np.ndarray | None


def _paste(image: np.ndarray, ids: np.ndarray, cutout: Cutout, layer: Layer, k: int) -> _Trace:
    """Pastes a cut-out into an image, and its number into ids."""
    in_image, in_layer = _windows(layer, image.shape[1::-1])
    alpha, rgb = _orient(cutout.alpha, layer), _orient(cutout.rgb, layer)
    opacity = alpha[in_layer][..., None] / np.float32(255)
    mixed = opacity * rgb[in_layer] + (1 - opacity) * image[in_image]
    image[in_image] = (mixed + 0.5).astype(np.uint8)
    is_opaque = alpha >= OPAQUE
    mask = is_opaque[in_layer]
    ids[in_image][mask] = k
    box = None
    if cutout.box is not None:
        [box] = _place_boxes(cutout.box[None], np.array(cutout.size_wh), layer)
    return _Trace(
        label=cutout.label,
        pixels=int(np.count_nonzero(is_opaque)),
        inside=_extent(mask, in_image) if mask.any() else np.zeros(4),
        box=box,
    )


def _piece_boxes(ids: np.ndarray, traces: Sequence[_Trace], style: LabelStyle) -> Boxes:
    """Boxes around what is visible of cut-outs: as people placed them, or in the style of labels
    where these are not known.
    """
    pixels, visible = modal_boxes(ids, len(traces))
    numbers = np.flatnonzero(pixels).tolist()
    boxes = apply_style(visible[numbers], style, ids.shape).astype(float)
    for row, k in enumerate(numbers):
        label = traces[k].box
        if label is not None:
            boxes[row] = _shrink_label(label, visible[k], traces[k].inside, ids.shape)
    labels = [traces[k].label for k in numbers]
    wholes = [traces[k].pixels for k in numbers]
    return Boxes.of(boxes, labels, pixels[numbers] / np.array(wholes, float))


def _shrink_label(
    label: np.ndarray, visible: np.ndarray, inside: np.ndarray, size_hw: tuple[int, ...]
) -> np.ndarray:
    """(4,) a label around what is visible: each side moves as far as that of the object.

    visible, inside  (4,) boxes of what is visible of it, and of what is within the border
    """
    frame = np.tile(size_hw[::-1], 2)
    moved = np.clip(label, 0, frame) + visible - inside
    low = np.minimum(moved[:2], visible[:2])
    high = np.maximum(moved[2:], visible[2:])
    return np.clip(np.concatenate([low, high]), 0, frame)


def _photo_boxes(boxes: Boxes, photo_wh: np.ndarray, layer: Layer, ids: np.ndarray) -> Boxes:
    """The photo's boxes in the image: of its objects what is visible, of regions all within it."""
    frame = np.tile(ids.shape[1::-1], 2)
    xyxy = _place_boxes(boxes.xyxy, photo_wh, layer)
    visibility = boxes.visibility.astype(float)
    is_seen = np.zeros(len(boxes), bool)
    for i, is_region in enumerate(boxes.crowd):
        if is_region:
            xyxy[i] = np.clip(xyxy[i], 0, frame)
            is_seen[i] = bool((xyxy[i, 2:] > xyxy[i, :2]).all())
            continue
        share, xyxy[i] = visible_part(xyxy[i], ids >= 0)
        is_seen[i] = share > 0
        if share < 1:  # an unknown visibility stays unknown for what nothing has hidden here
            visibility[i] = share if np.isnan(visibility[i]) else share * visibility[i]
    placed = Boxes.of(xyxy, boxes.labels, visibility, boxes.crowd)
    return placed.select(is_seen)


def visible_part(box: np.ndarray, covered: np.ndarray) -> tuple[float, np.ndarray]:
    """The visible share of the ellipse in a box (4,), and the box of what is visible of it.

    covered (h, w) bool; beyond its border all is hidden. A side of the box moves as far as that of
    the ellipse: what people leave around an object stays.
    """
    x1, y1 = np.floor(box[:2]).astype(int).tolist()
    x2, y2 = np.ceil(box[2:]).astype(int).tolist()
    x = (np.arange(x1, x2) + 0.5 - (box[0] + box[2]) / 2) / (box[2] - box[0])
    y = (np.arange(y1, y2) + 0.5 - (box[1] + box[3]) / 2) / (box[3] - box[1])
    ellipse = x[None] ** 2 + y[:, None] ** 2 <= 0.5**2
    layer = Layer(size_wh=(x2 - x1, y2 - y1), corner=(x1, y1), flipped=False)
    in_image, in_layer = _windows(layer, covered.shape[::-1])
    inside = ellipse[in_layer]
    visible = inside & ~covered[in_image]
    if not visible.any():
        return 0.0, box
    extents = _extent(visible, in_image), _extent(inside, in_image)
    share = float(visible.sum() / ellipse.sum())
    return share, _shrink_label(box, *extents, covered.shape)


def _extent(mask: np.ndarray, window: _Window) -> np.ndarray:
    """(4,) xyxy in the image of the pixels of a mask (h, w), at least one, in a window of it."""
    x = np.flatnonzero(mask.any(axis=0)) + window[1].start
    y = np.flatnonzero(mask.any(axis=1)) + window[0].start
    return np.array([x[0], y[0], x[-1] + 1, y[-1] + 1], float)


def _join(first: Boxes, second: Boxes) -> Boxes:
    columns = ("xyxy", "labels", "visibility", "crowd")
    return Boxes(
        **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in columns}
    )
