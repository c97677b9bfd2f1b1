"""Cut-outs: a photographed thing, cut free from its picture, as a thin mesh that wears the picture."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import mapbox_earcut
import numpy as np
from PIL import Image, ImageOps

from syndet_ray.data import picture
from syndet_ray.errors import DataError
from syndet_ray.scenes.library import Mesh

THICKNESS = 0.01  # of the longest side: a card, a label, cardboard
TEXTURE_PX = 1024  # longest side of a texture; more is never seen in a training image

# longest side of the mask that an outline is traced on, so that small pictures get smooth ones
_OUTLINE_PX = 512
_SPECK = 0.005  # pieces and holes below this share of the largest piece are dirt
_DO = 'Save it as PNG with transparency, or put NAME_mask.png or NAME.json with {"polygon": [[x, y], ...]} beside it.'


def beside(image: Path) -> Path | None:
    """The file that says which part of a picture is the thing: NAME_mask.png or NAME.json, or None."""
    found = (image.with_name(f"{image.stem}_mask.png"), image.with_suffix(".json"))
    return next((file for file in found if file.is_file()), None)


def read(image: Path) -> Mesh:
    """The mesh of a PNG with transparency, or of a picture with a mask or polygon beside it;
    longest side 1.

    Raises DataError for files that cannot be read, a picture that does not say what is the thing,
    and one without any.
    """
    rgb = picture.pixels(image, str(image))
    shape = beside(image)
    if shape is None:
        alpha = _transparency(image)
    elif shape.suffix == ".json":
        alpha = _polygon(shape, rgb.shape[:2])
    else:
        alpha = _mask(shape, rgb.shape[:2])
    if not (alpha >= 128).any():
        raise DataError(
            shape or image, "the cut-out shows nothing: every pixel is transparent", do="Remove it."
        )
    return mesh(rgb, alpha)


def mesh(rgb: np.ndarray, alpha: np.ndarray) -> Mesh:
    """A thin closed mesh of what is opaque in rgb (h, w, 3) uint8 under alpha (h, w) uint8; its
    longest side is 1.

    It lies in the x-y plane, the picture upright to +z; from behind the picture is seen mirrored.
    """
    rows, columns = (np.flatnonzero((alpha >= 128).any(axis=axis)) for axis in (1, 0))
    crop = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    rgb, alpha = _bled(rgb[crop], alpha[crop]), alpha[crop]
    height, width = alpha.shape
    parts = [prism(rings, THICKNESS * max(width, height)) for rings in outlines(alpha)]
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in parts[:-1]])
    vertices = np.concatenate([vertices for vertices, _ in parts])
    faces = np.concatenate(
        [faces + offset for (_, faces), offset in zip(parts, offsets, strict=True)]
    )
    texture = shrunk(rgb, TEXTURE_PX)
    uv = inset(vertices[:, :2] / (width, -height) + (0, 1), texture)
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    return Mesh(
        vertices=((vertices - middle) * (1, -1, 1) / np.ptp(vertices, axis=0).max()).astype(
            np.float32
        ),
        faces=faces[:, ::-1].astype(np.int32),  # turning y up has mirrored them
        colors=np.ones((len(vertices), 3), np.float32),
        uv=uv.astype(np.float32),
        texture=texture,
    )


def outlines(alpha: np.ndarray) -> list[list[np.ndarray]]:
    """Per piece of alpha (h, w) uint8 its rings, each (k, 2) in pixels: first the outer one, then
    its holes.
    """
    scale = _OUTLINE_PX / max(alpha.shape)
    size = [max(1, round(side * scale)) for side in alpha.shape[::-1]]
    work = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    # Contours run through the middles of pixels: grown by one to the left and above, they run along
    # the edges instead.
    solid = cv2.dilate(
        np.pad((work >= 128).astype(np.uint8), 1), np.ones((2, 2), np.uint8), anchor=(0, 0)
    )
    rings, tree = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    areas = np.array([cv2.contourArea(ring) for ring in rings])
    keep = areas >= max(_SPECK * areas.max(), 1)
    back = np.array(alpha.shape[::-1]) / size
    simple = [cv2.approxPolyDP(ring, max(1.0, scale), True)[:, 0] * back for ring in rings]
    keep &= np.array([len(ring) >= 3 for ring in simple])
    parents = np.asarray(tree).reshape(-1, 4)[:, 3]
    return [
        [simple[i], *(simple[k] for k in np.flatnonzero(keep & (parents == i)))]
        for i in np.flatnonzero(keep & (parents < 0))
    ]


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
    # Walls stand on the edges that the triangles leave open, not on the rings: triangulation may
    # skip a ring's points.
    count = len(flat)
    rim = edges[~np.isin(edges @ (count, 1), edges @ (1, count))]
    low = rim + count
    walls = [np.column_stack([low, rim[:, 1]]), np.column_stack([rim[:, ::-1], low[:, 0]])]
    vertices = np.concatenate(
        [np.column_stack([flat, np.full(count, z)]) for z in (thickness / 2, -thickness / 2)]
    )
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


def _bled(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """rgb with each transparent pixel in the colour of the nearest opaque one: outlines must not
    show what is behind.
    """
    opaque = alpha >= (250 if (alpha >= 250).any() else 128)
    _, nearest = cv2.distanceTransformWithLabels(
        (~opaque).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((nearest.max() + 1, 3), np.uint8)
    colors[nearest[opaque]] = rgb[opaque]
    return colors[nearest]


def _transparency(image: Path) -> np.ndarray:
    with Image.open(image) as opened:
        if not opened.has_transparency_data:
            raise DataError(
                image, "a cut-out must tell what is the thing: it has no transparency", do=_DO
            )
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGBA"))[..., 3]


def _mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    mask = picture.pixels(path, str(path)).max(axis=2)
    if mask.shape != size:
        rule = f"a mask must be as large as its picture, {size[1]} x {size[0]} pixels"
        raise DataError(path, rule, got=mask.shape[::-1], do="Export it anew.")
    return mask


def _polygon(path: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        points = np.array(json.loads(path.read_bytes())["polygon"], float)
        if (
            points.ndim != 2
            or points.shape[1] != 2
            or len(points) < 3
            or not np.isfinite(points).all()
        ):
            raise ValueError(f"an array of shape {points.shape}")
    except (ValueError, TypeError, KeyError) as error:
        rule = f'must hold {{"polygon": [[x, y], ...]}} with three points or more ({error})'
        raise DataError(
            path, rule, do="Mend it, or remove it to use the picture's transparency."
        ) from None
    alpha = np.zeros(size, np.uint8)
    # Edges of pixels are whole numbers in files of polygons; OpenCV counts from their middles.
    cv2.fillPoly(alpha, [np.round((points - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return alpha
