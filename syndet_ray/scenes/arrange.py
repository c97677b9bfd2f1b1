"""Arrange: drops dice into a tray; they rest on its floor or on one another and never overlap."""

import cv2
import numpy as np

from syndet_ray.scenes.framing import Region

# Places tried for a die at once; it takes the lowest at which it is stable, as rolling dice do.
_TRIES = 32
# A die that finds no floor leans this often if it could lie flat on others one die high, and always
# if they are higher: dice that are poured build no towers.
_LEANING = 0.5
# Dice side by side stay this share of an edge apart: closer they would need contact forces, which
# are not computed.
_GAP = 0.01
# A leaning die starts tipped by about this much, in radians, at the best of so many places, and
# settles by the best of turns of about these sizes.
_TIP = 0.4
_STARTS = 24  # of the _TRIES places those from which a leaning die tips
# the first is 0: the die may stay as it is
_SETTLING = np.array([0, *np.geomspace(0.3, 0.03, 31)])[:, None]
# OpenCV's geometry works in single precision with absolute tolerances meant for pixels: it gets
# millimetres, not metres.
_MILLI = 1000.0
_CORNERS = np.array(np.meshgrid([-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0])).reshape(3, 8)


class Pile:
    """The dice dropped so far, in the order in which they fell.

    edges (n,) metres and roundings (n,) in edges are those of all n dice. The other arrays hold the
    m dice that lie there already: centres (m, 3) metres; rotations (m, 3, 3), local to world;
    squares (m, 4) x, y, yaw and side of an upright square that holds the die's footprint; tops (m,)
    metres; flat (m,) True where the top can carry others.
    """

    def __init__(self, edges: np.ndarray, roundings: np.ndarray) -> None:
        n = len(edges)
        self.edges, self.roundings = edges, roundings
        self._count = 0
        self._centres, self._rotations = np.zeros((n, 3)), np.zeros((n, 3, 3))
        self._squares, self._tops, self._flat = np.zeros((n, 4)), np.zeros(n), np.zeros(n, bool)

    def __len__(self) -> int:
        return self._count

    @property
    def centres(self) -> np.ndarray:
        return self._centres[: self._count]

    @property
    def rotations(self) -> np.ndarray:
        return self._rotations[: self._count]

    @property
    def squares(self) -> np.ndarray:
        return self._squares[: self._count]

    @property
    def tops(self) -> np.ndarray:
        return self._tops[: self._count]

    @property
    def flat(self) -> np.ndarray:
        return self._flat[: self._count]

    def add_flat(self, xy: np.ndarray, yaw: float, floor: float) -> None:
        """Puts the next die flat on a floor of this height."""
        i, edge = self._count, self.edges[self._count]
        cos, sin = np.cos(yaw), np.sin(yaw)
        self._centres[i] = *xy, floor + edge / 2
        self._rotations[i] = (cos, -sin, 0), (sin, cos, 0), (0, 0, 1)
        self._squares[i] = *xy, yaw, edge
        self._tops[i], self._flat[i] = floor + edge, True
        self._count += 1

    def add_leaning(self, centre: np.ndarray, rotation: np.ndarray) -> None:
        """Puts the next die at any pose (3,), (3, 3)."""
        i, edge = self._count, float(self.edges[self._count])
        self._centres[i], self._rotations[i] = centre, rotation
        self._squares[i] = _square_around(centre, rotation, edge)
        self._tops[i] = centre[2] + _extent(rotation[None], edge, float(self.roundings[i]))[0, 2]
        self._count += 1


def drop(
    edges: np.ndarray,
    roundings: np.ndarray,
    half_size: tuple[float, float],
    region: Region,
    rng: np.random.Generator,
) -> Pile:
    """Drops n dice, one after another, onto a region of a tray that reaches `half_size` metres from
    the origin along x and y.

    edges (n,) metres; roundings (n,) radii of their rounded edges, as shares of the edge. A die
    lies flat on the floor or on others if its centre is over what carries it; else it leans as low
    as it gets. Raises ValueError if the tray is smaller than a die.
    """
    if float(np.max(edges)) * np.sqrt(2) > 2 * min(half_size):
        tray = f"{2 * half_size[0]} x {2 * half_size[1]}"
        raise ValueError(f"a die of edge {np.max(edges)} does not fit into a tray of {tray}")
    pile = Pile(edges, roundings)
    for edge in edges:
        xy, yaw = _places(float(edge), half_size, region, rng)
        place = _flat_place(pile, xy, yaw, float(edge))
        if place is None or _leans(place[1], edge, rng):
            pile.add_leaning(*_settle(pile, xy[:_STARTS], yaw[:_STARTS], half_size, rng))
        else:
            k, floor = place
            pile.add_flat(xy[k], yaw[k], floor)
    return pile


def _leans(floor: float, edge: float, rng: np.random.Generator) -> bool:
    """True if a die leans that could lie flat on a floor of this height."""
    if floor <= 0:
        return False
    is_one_die_high = floor < 1.5 * edge
    return rng.random() < (_LEANING if is_one_die_high else 1)


def _places(
    edge: float, half_size: tuple[float, float], region: Region, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random xy (k, 2) in a region and yaw (k,) at which a flat die lies inside the tray."""
    yaw = rng.uniform(0, 2 * np.pi, _TRIES)
    reach = edge / 2 * (np.abs(np.cos(yaw)) + np.abs(np.sin(yaw)))
    room = np.array(half_size) - reach[:, None]
    return np.clip(region.draw(_TRIES, rng), -room, room), yaw


def _flat_place(
    pile: Pile, xy: np.ndarray, yaw: np.ndarray, edge: float
) -> tuple[int, float] | None:
    """The lowest of k places at which a die lies flat and stable, as its index and the height of
    the floor there; None if there is none.
    """
    under = _overlapping(pile.squares, xy, yaw, edge)
    floors = np.where(under, pile.tops, 0.0).max(axis=1, initial=0.0)
    for k in np.argsort(floors, kind="stable"):
        floor = float(floors[k])
        if floor == 0:
            return int(k), floor
        carriers = np.flatnonzero(under[k] & (pile.tops > floor - 1e-9))
        are_flat = pile.flat[carriers].all()
        if are_flat and _is_stable(xy[k], yaw[k], edge, pile.squares[carriers]):
            return int(k), floor
    return None


def _overlapping(squares: np.ndarray, xy: np.ndarray, yaw: np.ndarray, edge: float) -> np.ndarray:
    """(k, n) True where the footprint of a die at each of k places meets each of n squares.

    Separating axes: two squares are apart exactly if they are apart along one of their four sides'
    directions.
    """
    x, y = squares[:, 0] - xy[:, :1], squares[:, 1] - xy[:, 1:]
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    other_cos, other_sin = np.cos(squares[:, 2]), np.sin(squares[:, 2])
    along, across = cos * other_cos + sin * other_sin, sin * other_cos - cos * other_sin
    spread = np.abs(along) + np.abs(across)
    side, others = edge * (1 + 2 * _GAP), squares[:, 3]
    # The greater of the distances along a square's two sides decides for both.
    away = np.maximum(np.abs(x * cos + y * sin), np.abs(y * cos - x * sin))
    other_along, other_across = x * other_cos + y * other_sin, y * other_cos - x * other_sin
    other_away = np.maximum(np.abs(other_along), np.abs(other_across))
    meets = away <= (side + others * spread) / 2
    other_meets = other_away <= (others + side * spread) / 2
    return meets & other_meets


def _is_stable(xy: np.ndarray, yaw: float, edge: float, carriers: np.ndarray) -> bool:
    """True if the centre is over the convex hull of the area in which the die touches the tops
    (m, 4) that carry it.
    """
    footprint = _rectangle(np.array([*xy, yaw, edge]))
    touching = []
    for carrier in carriers:
        kind, points = cv2.rotatedRectangleIntersection(footprint, _rectangle(carrier))
        if kind != cv2.INTERSECT_NONE and points is not None:
            touching.append(points)
    if not touching:
        return False
    hull = cv2.convexHull(np.concatenate(touching).astype(np.float32))
    centre = float(xy[0] * _MILLI), float(xy[1] * _MILLI)
    inside = cv2.pointPolygonTest(hull, centre, measureDist=True)
    return inside > 0.05 * edge * _MILLI  # a little inside, so that nothing balances on an edge


def _rectangle(square: np.ndarray) -> tuple[tuple[float, float], tuple[float, float], float]:
    x, y, yaw, side = (float(value) for value in square)
    return (x * _MILLI, y * _MILLI), (side * _MILLI, side * _MILLI), float(np.degrees(yaw))


def _square_around(centre: np.ndarray, rotation: np.ndarray, edge: float) -> np.ndarray:
    """(4,) x, y, yaw and side of a square that holds the footprint of a die."""
    corners = centre[:2, None] + rotation[:2] @ _CORNERS * (edge / 2)
    (x, y), sides, angle = cv2.minAreaRect((corners.T * _MILLI).astype(np.float32))
    return np.array([x / _MILLI, y / _MILLI, np.radians(angle), max(sides) / _MILLI])


def _settle(
    pile: Pile,
    starts: np.ndarray,
    yaw: np.ndarray,
    half_size: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and rotation of the pile's next die after it has tipped and slid from the best of k
    flat starts (k, 2).

    Of many turns and shifts, great and small, it keeps the one whose centre comes to rest lowest:
    a die is at rest if no small change brings it lower.
    """
    edge = float(pile.edges[len(pile)])
    tips = _turn_matrices(rng.normal(0, _TIP, (len(yaw), 3)))
    centre, rotation = _lowest(pile, starts, tips @ _yaws(yaw), half_size)
    count = len(_SETTLING)
    turns = _turn_matrices(rng.normal(0, 1, (count, 3)) * _SETTLING)
    shifts = rng.normal(0, 0.8 * edge, (count, 2)) * _SETTLING
    return _lowest(pile, centre[:2] + shifts, turns @ rotation, half_size)


def _lowest(
    pile: Pile, places: np.ndarray, rotations: np.ndarray, half_size: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) and rotation (3, 3) of the pile's next die at the one of k poses that comes to
    rest lowest inside the tray.
    """
    edge, rounding = float(pile.edges[len(pile)]), float(pile.roundings[len(pile)])
    heights = _resting_heights(pile, places, rotations, edge, rounding)
    reach = np.abs(places) + _extent(rotations, edge, rounding)[:, :2]
    is_outside = (reach > np.array(half_size)).any(axis=1)
    k = int(np.argmin(np.where(is_outside, np.inf, heights)))
    return np.array([*places[k], heights[k]]), rotations[k]


def _resting_heights(
    pile: Pile, xy: np.ndarray, rotations: np.ndarray, edge: float, rounding: float
) -> np.ndarray:
    """(k,) height of the centre of a die that has fallen straight down, at each of k places, on the
    floor or the pile.

    Two boxes meet while they overlap along each of 15 axes (Gottschalk et al., OBBTree, 1996).
    Along each, a falling box overlaps over one interval of heights, so that it first meets the
    other at the top of what all intervals share. A rounded die is a smaller cube grown by a radius:
    the test then errs, by less than that radius, to the side of a gap.
    """
    heights = _extent(rotations, edge, rounding)[:, 2]
    edges, roundings = pile.edges[: len(pile)], pile.roundings[: len(pile)]
    at_floor = np.column_stack([xy, np.zeros(len(xy))])
    between = at_floor[:, None] - pile.centres  # (k, n, 3)
    away = between[..., 0] ** 2 + between[..., 1] ** 2
    touching = _farthest(edges, roundings) + _farthest(edge, rounding)
    falling, other = np.nonzero(away < touching**2)
    if not len(other):
        return heights
    axes = rotations[falling].transpose(0, 2, 1)
    tops = _meeting(
        turn=axes @ pile.rotations[other],
        between=(axes @ between[falling, other][:, :, None])[:, :, 0],
        up=axes[:, :, 2],
        half=edge * (0.5 - rounding),
        other_half=(edges * (0.5 - roundings))[other],
        radius=(edges * roundings)[other] + edge * rounding,
    )
    np.maximum.at(heights, falling, tops)
    return heights


def _farthest(edge: np.ndarray | float, rounding: np.ndarray | float) -> np.ndarray | float:
    """The distance from a die's centre to its farthest point: half the diagonal of its smaller
    cube, plus the radius.
    """
    return edge * (np.sqrt(3) * (0.5 - rounding) + rounding)


def _meeting(
    *,
    turn: np.ndarray,
    between: np.ndarray,
    up: np.ndarray,
    half: float,
    other_half: np.ndarray,
    radius: np.ndarray,
) -> np.ndarray:
    """(p,) height at which the first, falling cube of each pair meets the second; -inf if it never
    does.

    turn (p, 3, 3) the second's axes in the first's frame; between (p, 3) from the second to the
    first at height 0, and up (p, 3) the vertical, in that frame too; half and other_half (p,) their
    half edges; radius (p,) by which both are grown.
    """
    both = np.stack([between, up], axis=1)
    # Crossed axes in the order (first's, second's), as (p, 2, 3, 3); the next and the one after
    # next of each by cyclic shifts.
    next_, after = turn[:, [1, 2, 0]], turn[:, [2, 0, 1]]
    minuend = both[:, :, [2, 0, 1], None] * next_[:, None]
    crossed = minuend - both[:, :, [1, 2, 0], None] * after[:, None]
    along = np.concatenate([both, both @ turn, crossed.reshape(-1, 2, 9)], axis=2)
    offset, slope = along[:, 0], along[:, 1]  # (p, 15)
    reach = _reaches(turn, half, other_half, radius)
    # Along a level axis height changes nothing: it separates the two at every height or at none.
    level = np.abs(slope) < 1e-9
    slope = np.where(level, 1.0, slope)
    middle, span = -offset / slope, reach / np.abs(slope)
    # Edges that are parallel span no axis: there offset and reach vanish together, and nothing is
    # separated.
    never = level & (np.abs(offset) > reach + 1e-12)
    top = np.where(level, np.inf, middle + span).min(axis=1)
    bottom = np.where(level, -np.inf, middle - span).max(axis=1)
    return np.where((top > bottom) & ~never.any(axis=1), top, -np.inf)


def _reaches(
    turn: np.ndarray, half: float, other_half: np.ndarray, radius: np.ndarray
) -> np.ndarray:
    """(p, 15) half lengths, added up, of both grown cubes of each pair along the axes of
    `_meeting`; arguments as there.
    """
    apart = np.abs(turn)
    by_first, by_second = apart.sum(axis=1), apart.sum(axis=2)
    other, radius = other_half[:, None], radius[:, None]
    first = half + other * by_second + radius
    second = other + half * by_first + radius
    crossed = half * (by_first[:, None] - apart)
    crossed = crossed + other[..., None] * (by_second[:, :, None] - apart)
    crossed += radius[..., None] * np.sqrt(np.maximum(1 - turn**2, 0))
    return np.concatenate([first, second, crossed.reshape(-1, 9)], axis=1)


def _extent(rotations: np.ndarray, edge: float, rounding: float) -> np.ndarray:
    """(k, 3) the distance that a die reaches from its centre along the world's axes."""
    return edge * (np.abs(rotations).sum(axis=2) * (0.5 - rounding) + rounding)


def _yaws(angles: np.ndarray) -> np.ndarray:
    """(k, 3, 3) turns about the vertical."""
    cos, sin, zero = np.cos(angles), np.sin(angles), np.zeros_like(angles)
    rows = [cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1]
    return np.stack(rows, axis=1).reshape(-1, 3, 3)


def _turn_matrices(vectors: np.ndarray) -> np.ndarray:
    """(k, 3, 3) turns about vectors (k, 3), by their length in radians (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=1)
    x, y, z = (vectors / np.maximum(angle, 1e-12)[:, None]).T
    zero = np.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    cross = np.stack(rows, axis=1).reshape(-1, 3, 3)
    sin, rest = np.sin(angle)[:, None, None], (1 - np.cos(angle))[:, None, None]
    return np.eye(3) + sin * cross + rest * (cross @ cross)
