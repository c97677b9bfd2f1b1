"""Arrange: drop dice into a tray so that they rest on its floor or on one another, and never in one another."""

import cv2
import numpy as np

# Places tried for a die at once; it takes the lowest at which it is stable, as dice that roll find low ground.
_TRIES = 24
_ROUNDS = 40
# Dice do not touch: less than this share of an edge apart they would need contact forces that nobody computes.
_GAP = 0.01


def drop(edges: np.ndarray, half_width: float, half_depth: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 4) x, y, z of the centre and yaw of n dice of the given edges, dropped one after another, lying flat.

    A die rests on the floor or on the highest dice under it, and only where its centre is over what carries it. Raises
    ValueError where a die finds no place (the tray is smaller than the die).
    """
    placed = np.zeros((0, 4))
    for i, edge in enumerate(edges):
        placed = np.concatenate([placed, _place(placed, edges[:i], float(edge), half_width, half_depth, rng)[None]])
    return placed


def _place(
    placed: np.ndarray, edges: np.ndarray, edge: float, half_width: float, half_depth: float, rng: np.random.Generator
) -> np.ndarray:
    for _ in range(_ROUNDS):
        yaw = rng.uniform(0, 2 * np.pi, _TRIES)
        reach = edge / 2 * (np.abs(np.cos(yaw)) + np.abs(np.sin(yaw)))
        room = np.stack([half_width - reach, half_depth - reach], axis=1)
        if (room.max(axis=0) < 0).any():
            raise ValueError(f"a die of edge {edge} does not fit into a tray of {2 * half_width} x {2 * half_depth}")
        xy = rng.uniform(-1, 1, (_TRIES, 2)) * np.maximum(room, 0)
        under = _overlapping(xy, yaw, edge, placed, edges)
        tops = placed[:, 2] + edges / 2
        rest = np.where(under, tops, 0.0).max(axis=1, initial=0.0)
        for k in np.argsort(rest, kind="stable"):
            carriers = np.flatnonzero(under[k] & (tops > rest[k] - 1e-9))
            if rest[k] == 0 or _is_stable(xy[k], yaw[k], edge, placed[carriers], edges[carriers]):
                return np.array([*xy[k], rest[k] + edge / 2, yaw[k]])
    raise ValueError("no stable place was found for a die")


def _overlapping(xy: np.ndarray, yaw: np.ndarray, edge: float, placed: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(k, n) whether the footprint of a die at each of k places meets that of each of n dice already there.

    Separating axes: two squares are apart exactly where one of their four sides' directions tells them apart.
    """
    apart = np.zeros((len(xy), len(placed)), bool)
    between = placed[None, :, :2] - xy[:, None]
    turn = placed[None, :, 3] - yaw[:, None]
    reach = (edge * (1 + _GAP) + edges * (np.abs(np.cos(turn)) + np.abs(np.sin(turn)))) / 2
    reach_other = (edges + edge * (1 + _GAP) * (np.abs(np.cos(turn)) + np.abs(np.sin(turn)))) / 2
    for angle, limit in ((yaw[:, None], reach), (placed[None, :, 3], reach_other)):
        along = between[..., 0] * np.cos(angle) + between[..., 1] * np.sin(angle)
        across = between[..., 1] * np.cos(angle) - between[..., 0] * np.sin(angle)
        apart |= (np.abs(along) > limit) | (np.abs(across) > limit)
    return ~apart


def _is_stable(xy: np.ndarray, yaw: float, edge: float, carriers: np.ndarray, edges: np.ndarray) -> bool:
    """Whether the centre is over the convex hull of where the die touches the dice that carry it."""
    own = _footprint(xy, yaw, edge)
    touching = [
        points
        for carrier, size in zip(carriers, edges, strict=True)
        for kind, points in [cv2.rotatedRectangleIntersection(own, _footprint(carrier[:2], carrier[3], float(size)))]
        if kind != cv2.INTERSECT_NONE and points is not None
    ]
    if not touching:
        return False
    hull = cv2.convexHull(np.concatenate(touching).astype(np.float32))
    # A little inside, so that nothing balances on an edge.
    return (
        cv2.pointPolygonTest(hull, (float(xy[0] * _MILLI), float(xy[1] * _MILLI)), measureDist=True)
        > 0.05 * edge * _MILLI
    )


# OpenCV's geometry works in single precision with absolute tolerances meant for pixels: give it millimetres, not metres.
_MILLI = 1000.0


def _footprint(xy: np.ndarray, yaw: float, edge: float) -> tuple[tuple[float, float], tuple[float, float], float]:
    centre = float(xy[0] * _MILLI), float(xy[1] * _MILLI)
    return centre, (edge * _MILLI, edge * _MILLI), float(np.degrees(yaw))
