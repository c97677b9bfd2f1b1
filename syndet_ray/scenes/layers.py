"""Layers: clutter that covers the background, objects before it, occluders before them.

As in Hinterstoisser et al. 2019. Poses come from a subdivided icosahedron with in-plane steps. An
object's distance is inverse to its projected size, so that sizes are spread evenly. The camera
looks straight down.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count

import cv2
import numpy as np
from trimesh.creation import icosphere

# Directions out of the plane: an icosahedron divided once; steps within it: 10 degrees (SynthDet,
# AppParams).
_SUBDIVISIONS, _IN_PLANE = 1, 36
# Sizes between near and far that a curriculum shows, one after another.
_SCALE_LEVELS = 6
_TRIES = 100  # places tried for an object before it is left out (SynthDet, AppParams)
_OCCLUDED = (0.2, 0.3)  # an occluder's area, in areas of its target
# Bounds on the bodies of a background: enough to cover it, and few enough to render in seconds.
_CLUTTER_LEAST, _CLUTTER_MOST = 300, 2500
# the inner part of a piece's outline, as a share of its width, that surely hides what is behind it
_SOLID = 0.6
_COVER_CELLS = (
    64  # cells along the longer side in which it is checked that the background covers it
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Placed:
    """A body: its asset's index, its turn (3, 3), its middle (2,) in the image in pixels, how many
    pixels one unit of its outline spans, and its distance from the camera in objects' sizes."""

    asset: int
    turn: np.ndarray
    middle_px: np.ndarray
    unit_px: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The contents of a scene of layers.

    Sizes are in pixels; overlap and crop are shares, as in `SceneParameters`. distance is that of
    an object of mean size from the camera, in objects' sizes.
    """

    objects: int
    distractors: int
    occluders: float
    image_wh: tuple[int, int]
    size_px: tuple[float, float]
    background_scale: tuple[float, float]
    overlap: float
    crop: float
    distance: float

    def distance_of(self, width_px: float) -> float:
        """The distance, in objects' sizes, of an object that looks so wide."""
        return self.distance * float(np.mean(self.size_px)) / width_px


Pose = tuple[int, np.ndarray, float]  # asset, turn (3, 3), width in the image in pixels


def arrange(
    plan: Plan,
    outlines: Sequence[np.ndarray],
    surroundings: Sequence[int],
    poses: Iterator[Pose],
    pictures: Collection[int],
    rng: np.random.Generator,
) -> list[Placed]:
    """Bodies of a scene: background, distractors, objects, occluders.

    outlines: of each asset the vertices (v, 3) of its convex hull; surroundings and pictures, which
    have one side only, index them. poses yields the objects to place, as `random_poses` or
    `curriculum` do. An object that finds no place in a bounded number of tries is left out.
    """
    others = random_poses([surroundings], plan.size_px, rng, pictures)
    background = _background(plan, outlines, others, rng)
    standing: list[Placed] = []
    boxes = np.zeros((0, 4))
    for k in range(plan.objects + plan.distractors):
        asset, turn, width = next(poses if k < plan.objects else others)
        flat, unit = _flatten(outlines[asset], turn, width)
        distance = plan.distance_of(width)
        distances = np.array([body.distance for body in standing])
        # Bodies at the same distance, within one object's size, must not overlap.
        overlap = np.where(np.abs(distance - distances) < 1, 0.0, plan.overlap)
        middle = free_place(
            _box(flat), boxes, overlap, crop=plan.crop, frame=(0, 0, *plan.image_wh), rng=rng
        )
        if middle is None:
            continue
        boxes = np.concatenate([boxes, (_box(flat) + np.tile(middle, 2))[None]])
        standing.append(
            Placed(asset=asset, turn=turn, middle_px=middle, unit_px=unit, distance=distance)
        )
    targets = [body for body in standing if body.asset not in surroundings]
    return background + standing + _occluders(plan, outlines, targets, others, rng)


def random_poses(
    classes: Sequence[Sequence[int]],
    size_px: tuple[float, float],
    rng: np.random.Generator,
    pictures: Collection[int],
) -> Iterator[Pose]:
    """Assets, turns and widths without end: classes are equally likely, and so are the assets of a
    class. Pictures turn their front to the camera.
    """
    while True:
        assets = classes[int(rng.integers(len(classes)))]
        asset = int(rng.choice(assets))
        possible = turns(front=asset in pictures)
        turn = possible[rng.integers(len(possible))]
        yield asset, turn, float(rng.uniform(*size_px))


def curriculum(
    objects: Sequence[int],
    size_px: tuple[float, float],
    first: int,
    total: int,
    pictures: Collection[int],
) -> Iterator[Pose]:
    """The paper's schedule, from place `first` of `total` on: near to far, at each distance all
    turns, in each all objects.

    A total less than the schedule's length passes through it in even strides, a greater one repeats
    places.
    """
    per_level = len(turns()) * len(objects)
    length = _SCALE_LEVELS * per_level
    widths = np.linspace(size_px[1], size_px[0], _SCALE_LEVELS)
    for place in count(first):
        step = place % total * length // total
        level, rest = divmod(step, per_level)
        turn, index = divmod(rest, len(objects))
        asset = objects[index]
        possible = turns(front=asset in pictures)
        yield asset, possible[turn % len(possible)], float(widths[level])


@cache
def turns(*, front: bool = False) -> np.ndarray:
    """(t, 3, 3) every direction of the subdivided icosahedron turned to the camera (+z), by every
    in-plane step.

    front: only those that turn the side +z at least half to the camera.
    """
    directions = icosphere(subdivisions=_SUBDIVISIONS).vertices
    if front:
        directions = directions[directions[:, 2] >= 0.5]
    angles = 2 * np.pi * np.arange(_IN_PLANE) / _IN_PLANE
    cos, sin = np.cos(angles), np.sin(angles)
    in_plane = np.array([[[c, -s, 0], [s, c, 0], [0, 0, 1]] for c, s in zip(cos, sin, strict=True)])
    return np.concatenate([in_plane @ turn_to_camera(direction) for direction in directions])


def turn_to_camera(direction: np.ndarray) -> np.ndarray:
    """(3, 3) a turn that brings a unit direction to +z."""
    other = np.eye(3)[np.argmin(np.abs(direction))]
    right = np.cross(other, direction)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(direction, right), direction])


def _background(
    plan: Plan, outlines: Sequence[np.ndarray], others: Iterator[Pose], rng: np.random.Generator
) -> list[Placed]:
    """Clutter behind all objects. Each piece stands over a cell of the image that no other covers
    yet, until all are covered.
    """
    placed: list[Placed] = []
    cell = max(plan.image_wh) / _COVER_CELLS
    columns, rows = (int(np.ceil(side / cell)) for side in plan.image_wh)
    covered = np.zeros((rows, columns), np.uint8)
    low, high = plan.background_scale
    behind = plan.distance_of(plan.size_px[0]) + 2 + high
    # Several times as many as lie side by side, and never so many that a scene takes minutes.
    piece_px = np.mean(plan.size_px) * (low + high) / 2
    pieces = 5 * np.prod(plan.image_wh) / piece_px**2
    most = int(np.clip(pieces, _CLUTTER_LEAST, _CLUTTER_MOST))
    while not covered.all() and len(placed) < most:
        bare = np.argwhere(covered == 0)
        row, column = bare[int(rng.integers(len(bare)))]
        asset, turn, _ = next(others)
        width = float(np.mean(plan.size_px) * rng.uniform(low, high))
        flat, unit = _flatten(outlines[asset], turn, width)
        middle = (np.array([column, row]) + rng.random(2)) * cell
        # Only a hull's inner part counts as covering: shapes may be hollow, and what lies deeper is
        # seen at a slant.
        inner = ((flat * _SOLID + middle) / cell - 0.5).astype(np.float32)
        hull = np.round(cv2.convexHull(inner) * 16).astype(np.int32)
        cv2.fillConvexPoly(covered, hull, 1, shift=4)  # in 16ths of a cell
        covered[row, column] = 1
        placed.append(
            Placed(asset=asset, turn=turn, middle_px=middle, unit_px=unit, distance=behind)
        )
    return placed


def free_place(
    box: np.ndarray,
    boxes: np.ndarray,
    overlap: np.ndarray,
    *,
    crop: float,
    frame: tuple[float, ...],
    rng: np.random.Generator,
) -> np.ndarray | None:
    """(2,) to move a box (4,) by, so that neither the border of the frame nor any of boxes (k, 4)
    hides more than it may; None if no place is found.

    overlap (k,) is the share of the smaller of two boxes that may be common to both, crop the share
    of the box that may lie outside of the frame, x1 y1 x2 y2.
    """
    area = _areas(box)
    allowed = overlap * np.minimum(area, _areas(boxes))
    low, high = np.tile(frame[:2], 2), np.tile(frame[2:], 2)
    for middle in rng.uniform(frame[:2], frame[2:], (_TRIES, 2)):
        moved = box + np.tile(middle, 2)
        inside = _areas(np.clip(moved, low, high))
        if inside < (1 - crop) * area:
            continue
        common = np.minimum(moved[2:], boxes[:, 2:]) - np.maximum(moved[:2], boxes[:, :2])
        if (np.prod(np.maximum(common, 0), axis=1) <= allowed).all():
            return middle
    return None


def _areas(boxes: np.ndarray) -> np.ndarray:
    """(...,) areas of boxes (..., 4)."""
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _occluders(
    plan: Plan,
    outlines: Sequence[np.ndarray],
    targets: Sequence[Placed],
    others: Iterator[Pose],
    rng: np.random.Generator,
) -> list[Placed]:
    """Bodies before a share of the objects. Each is 20 to 30 % of its target's box and stands over
    one of its corners or its middle.
    """
    placed = []
    for target in targets:
        # The numbers are drawn for every target, so that they are the same at any share.
        hides, area, (asset, turn, _) = rng.random(), rng.uniform(*_OCCLUDED), next(others)
        flat, _ = _flatten(outlines[target.asset], target.turn)
        size = np.ptp(flat, axis=0) * target.unit_px
        middle = target.middle_px + rng.uniform(-0.4, 0.4, 2) * size
        if hides >= plan.occluders:
            continue
        flat, _ = _flatten(outlines[asset], turn)
        sides = np.ptp(flat, axis=0)
        by_area = float(np.sqrt(area * np.prod(size) / np.prod(sides)))
        # No longer than its target, however thin it is from here.
        by_length = float(size.max() / sides.max())
        placed.append(
            Placed(
                asset=asset,
                turn=turn,
                middle_px=middle,
                unit_px=min(by_area, by_length),
                distance=max(target.distance - 1.5, target.distance / 2),
            )
        )
    return placed


def _flatten(
    outline: np.ndarray, turn: np.ndarray, width_px: float | None = None
) -> tuple[np.ndarray, float]:
    """An outline (v, 3) as the camera sees it, (v, 2) x right and y down, and its unit, so that it
    is `width_px` wide along its longer side; in its own units if no width is given.

    A long body seen from its end stays narrower: as wide as asked, it would reach through all
    layers.
    """
    flat = (outline @ turn.T)[:, :2] * [1, -1]
    if width_px is None:
        return flat, 1.0
    width, length = float(np.ptp(flat, axis=0).max()), float(np.ptp(outline, axis=0).max())
    unit = width_px / max(width, 0.5 * length)
    return flat * unit, unit


def _box(points: np.ndarray) -> np.ndarray:
    """(4,) xyxy around points (v, 2)."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
