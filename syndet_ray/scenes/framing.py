"""Framing: the part of the floor that a camera sees, onto which the objects of a scene fall."""

from dataclasses import dataclass

import cv2
import numpy as np

from syndet_ray.scenes.scene import Camera

_RAYS_A_SIDE = (
    9  # through the border of the image; between them the outline on the floor is straight
)
# Objects lie at most this many times as far away as what the camera is focused on: farther ones
# would be less than half as wide as was asked.
_FARTHEST = 2.0
_DRAWS = 64  # places drawn at once; of a region's box at least a sixth lies in the region


@dataclass(frozen=True, eq=False, kw_only=True)
class Region:
    """A convex part of the floor: its corners (k, 2), x and y in metres, in order."""

    corners: np.ndarray

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(n,) True for points (n, 2) within it."""
        starts, ends = self.corners, np.roll(self.corners, -1, axis=0)
        sides = ends - starts
        from_starts = points[:, None] - starts
        turns = sides[:, 0] * from_starts[..., 1] - sides[:, 1] * from_starts[..., 0]
        return (turns >= 0).all(axis=1) | (turns <= 0).all(axis=1)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, 2) points in it, each as likely as any other."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        points = np.zeros((0, 2))
        while len(points) < count:
            more = rng.uniform(low, high, (_DRAWS, 2))
            points = np.concatenate([points, more[self.contains(more)]])
        return points[:count]

    def within(self, half_size: tuple[float, float]) -> "Region":
        """The part of it that lies in a rectangle around the origin; the rectangle if none does."""
        rectangle = _rectangle(half_size)
        scale = 1000.0  # OpenCV computes with the accuracy of pixels: it gets millimetres
        first, second = (np.float32(corners * scale) for corners in (self.corners, rectangle))
        _, common = cv2.intersectConvexConvex(first, second)
        if common is None or cv2.contourArea(common) <= 0:
            return Region(corners=rectangle)
        return Region(corners=common.reshape(-1, 2).astype(float) / scale)


def whole(half_size: tuple[float, float]) -> Region:
    """A rectangle around the origin."""
    return Region(corners=_rectangle(half_size))


def seen_floor(camera: Camera, height_m: float) -> Region:
    """The region at a height above the floor that a camera sees, up to twice as far as its focus.

    Above the horizon, and beyond that distance, the region ends there.
    """
    steps = np.linspace(0, 1, _RAYS_A_SIDE)
    zero, one = np.zeros_like(steps), np.ones_like(steps)
    border = np.concatenate(
        [
            np.column_stack([steps, zero]),
            np.column_stack([one, steps]),
            np.column_stack([steps[::-1], one]),
            np.column_stack([zero, steps[::-1]]),
        ]
    )
    size_wh = np.array(camera.size_wh)
    offsets = (border - 0.5) * size_wh / camera.focal_px
    rays = np.column_stack([offsets, np.ones(len(offsets))]) @ np.array(camera.rotation)
    eye = np.array(camera.position)
    # Lengths are along the forward axis, of which each ray has one unit.
    down = np.maximum(-rays[:, 2], 1e-9)
    length = np.minimum((eye[2] - height_m) / down, _FARTHEST * camera.focus_m)
    points = eye[:2] + rays[:, :2] * length[:, None]
    hull = cv2.convexHull(np.float32(points * 1000)).reshape(-1, 2)
    return Region(corners=hull.astype(float) / 1000)


def _rectangle(half_size: tuple[float, float]) -> np.ndarray:
    x, y = half_size
    return np.array([[-x, -y], [x, -y], [x, y], [-x, y]])
