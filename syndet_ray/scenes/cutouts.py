"""Cut-outs: an object cut out of a photo, as a thin mesh whose texture is the photo."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import mapbox_earcut
import numpy as np

from syndet_ray.data.cutouts import OPAQUE
from syndet_ray.data.images import picture
from syndet_ray.errors import DataError
from syndet_ray.scenes.library import Mesh

THICKNESS = 0.01  # share of the longest side: a card, a label, cardboard
TEXTURE_PX = 1024  # longest side of a texture; more is never visible in a training image

# Longest side of the mask on which an outline is traced, so that small images get smooth ones.
_OUTLINE_PX = 512
_SPECK = 0.005  # pieces and holes below this share of the largest piece are dirt
_DO = (
    "Save it as PNG with transparency, or put NAME_mask.png or NAME.json "
    'with {"polygon": [[x, y], ...]} into its folder.'
)


def shape_file(image: Path) -> Path | None:
    """The file that says which part of an image is the object: NAME_mask.png or NAME.json, or
    None.
    """
    candidates = (image.with_name(f"{image.stem}_mask.png"), image.with_suffix(".json"))
    return next((file for file in candidates if file.is_file()), None)


def read(image: Path) -> Mesh:
    """The mesh of a PNG with transparency, or of an image with a mask or polygon next to it;
    longest side 1. Raises DataError as `read_pixels`.
    """
    return mesh(*read_pixels(image))


def read_pixels(image: Path) -> tuple[np.ndarray, np.ndarray]:
    """The colours (h, w, 3) uint8 of an image and the alpha (h, w) uint8 of the object on it, from
    its transparency, or from a mask or polygon next to it.

    Raises DataError for files that cannot be read, for an image that does not say what the object
    is, and for one without an object.
    """
    colors = picture.rgba(image, str(image))
    rgb = colors[..., :3]
    shape = shape_file(image)
    if shape is None:
        alpha = colors[..., 3]
        _check_transparency(image, alpha)
    elif shape.suffix == ".json":
        alpha = _polygon(shape, rgb.shape[:2])
    else:
        alpha = _mask(shape, rgb.shape[:2])
    if not (alpha >= OPAQUE).any():
        rule = "the cut-out shows nothing: every pixel is transparent"
        raise DataError(shape or image, rule, do="Remove it.")
    return rgb, alpha


def trim(rgb: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Colours and alpha of the rectangle around the opaque part, and its corner, x and y; colours
    go on beyond the opaque part.
    """
    rows, columns = (np.flatnonzero((alpha >= OPAQUE).any(axis=axis)) for axis in (1, 0))
    crop = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return bleed(rgb[crop], alpha[crop]), alpha[crop], (int(columns[0]), int(rows[0]))


def mesh(rgb: np.ndarray, alpha: np.ndarray) -> Mesh:
    """A thin closed mesh of the opaque part of rgb (h, w, 3) uint8 under alpha (h, w) uint8; its
    longest side is 1.

    It lies in the x-y plane, the image upright to +z; from behind the image is mirrored.
    """
    rgb, alpha, _ = trim(rgb, alpha)
    height, width = alpha.shape
    parts = [prism(rings, THICKNESS * max(width, height)) for rings in outlines(alpha)]
    points, faces, count = [], [], 0
    for part_vertices, part_faces in parts:
        points.append(part_vertices)
        faces.append(part_faces + count)
        count += len(part_vertices)
    vertices = np.concatenate(points)
    texture = shrunk(rgb, TEXTURE_PX)
    uv = inset(vertices[:, :2] / (width, -height) + (0, 1), texture)
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    longest = np.ptp(vertices, axis=0).max()
    turned_up = (vertices - middle) * (1, -1, 1)  # rows of an image go down
    return Mesh(
        vertices=(turned_up / longest).astype(np.float32),
        faces=np.concatenate(faces)[:, ::-1].astype(np.int32),  # turning y up has mirrored them
        colors=np.ones((len(vertices), 3), np.float32),
        uv=uv.astype(np.float32),
        texture=texture,
    )


def outlines(alpha: np.ndarray) -> list[list[np.ndarray]]:
    """The rings of each piece of alpha (h, w) uint8, (k, 2) in pixels: first the outer one, then
    its holes.
    """
    scale = _OUTLINE_PX / max(alpha.shape)
    size = [max(1, round(side * scale)) for side in alpha.shape[::-1]]
    work = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    # Contours run through the middles of pixels: grown by one to the left and above, they run along
    # the edges instead.
    opaque = np.pad((work >= OPAQUE).astype(np.uint8), 1)
    solid = cv2.dilate(opaque, np.ones((2, 2), np.uint8), anchor=(0, 0))
    rings, tree = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    areas = np.array([cv2.contourArea(ring) for ring in rings])
    keep = areas >= max(_SPECK * areas.max(), 1)
    to_pixels = np.array(alpha.shape[::-1]) / size
    tolerance = max(1.0, scale)
    simple = [cv2.approxPolyDP(ring, tolerance, True)[:, 0] * to_pixels for ring in rings]
    keep &= np.array([len(ring) >= 3 for ring in simple])
    parents = np.asarray(tree).reshape(-1, 4)[:, 3]
    pieces = []
    for i in np.flatnonzero(keep & (parents < 0)):
        holes = np.flatnonzero(keep & (parents == i))
        pieces.append([simple[i], *(simple[k] for k in holes)])
    return pieces


def prism(rings: Sequence[np.ndarray], thickness: float) -> tuple[np.ndarray, np.ndarray]:
    """A flat shape made solid: vertices (2 k, 3), the upper half first, and outward faces (f, 3) of
    a closed mesh.

    rings are one outer ring and its holes, (., 2) each; the shape lies in the x-y plane, the middle
    of its thickness in z = 0.
    """
    flat = np.concatenate(rings).astype(float)
    ends = np.cumsum([len(ring) for ring in rings]).astype(np.uint32)
    top = mapbox_earcut.triangulate_float64(flat, ends).reshape(-1, 3).astype(np.int64)
    a, b, c = flat[top].transpose(1, 0, 2)
    if np.sum(_cross(b - a, c - a)) < 0:
        top = top[:, ::-1]
    edges = np.concatenate([top[:, [0, 1]], top[:, [1, 2]], top[:, [2, 0]]])
    # Walls stand on the edges that belong to one triangle only, not on the rings: triangulation may
    # skip a ring's points.
    count = len(flat)
    rim = edges[~np.isin(edges @ (count, 1), edges @ (1, count))]
    low = rim + count
    walls = [np.column_stack([low, rim[:, 1]]), np.column_stack([rim[:, ::-1], low[:, 0]])]
    upper = np.column_stack([flat, np.full(count, thickness / 2)])
    vertices = np.concatenate([upper, upper * (1, 1, -1)])
    return vertices, np.concatenate([top, top[:, ::-1] + count, *walls])


def shrunk(image: np.ndarray, longest_px: int) -> np.ndarray:
    """The image (h, w, 3) uint8, made smaller where its longest side is over longest_px."""
    scale = longest_px / max(image.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(image)
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def inset(uv: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """Coordinates (n, 2) kept half a pixel within the texture: at 1 a repeated texture shows its
    other side.
    """
    half = 0.5 / np.array(texture.shape[1::-1])
    return np.clip(uv, half, 1 - half)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def bleed(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """rgb with each transparent pixel in the colour of the nearest opaque one: outlines must not
    show the background.
    """
    opaque = alpha >= (250 if (alpha >= 250).any() else 128)
    transparent = (~opaque).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        transparent, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((nearest.max() + 1, 3), np.uint8)
    colors[nearest[opaque]] = rgb[opaque]
    return colors[nearest]


def _check_transparency(image: Path, alpha: np.ndarray) -> None:
    if picture.TRANSPARENT not in picture.header(image, str(image)).unusual:
        rule = "a cut-out must say which part is the object, and it has no transparency"
        raise DataError(image, rule, do=_DO)
    if (alpha >= OPAQUE).all():
        rule = "a cut-out must say which part is the object, and nothing in it is transparent"
        raise DataError(image, rule, do=_DO)


def _mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    mask = picture.pixels(path, str(path)).max(axis=2)
    if (mask >= OPAQUE).all():
        rule = "a mask must say which part is the object, and it is bright everywhere"
        do = "Correct it; for an object that fills its image put NAME.json with a polygon instead."
        raise DataError(path, rule, do=do)
    if mask.shape != size:
        rule = f"a mask must be as large as its image, {size[1]} x {size[0]} pixels"
        raise DataError(path, rule, got=mask.shape[::-1], do="Export it again.")
    return mask


def _polygon(path: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        points = np.array(json.loads(path.read_bytes())["polygon"], float)
        is_polygon = points.ndim == 2 and points.shape[1] == 2 and len(points) >= 3
        if not is_polygon or not np.isfinite(points).all():
            raise ValueError(f"an array of shape {points.shape}")
    except (ValueError, TypeError, KeyError) as error:
        rule = f'must hold {{"polygon": [[x, y], ...]}} with three points or more ({error})'
        do = "Correct it, or remove it to use the image's transparency."
        raise DataError(path, rule, do=do) from None
    alpha = np.zeros(size, np.uint8)
    # Edges of pixels are whole numbers in files of polygons; OpenCV counts from their middles.
    sixteenths = np.round((points - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(alpha, [sixteenths], 255, cv2.LINE_AA, shift=4)
    return alpha
