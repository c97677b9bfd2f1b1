"""Pose match: the poses of objects and the tilt of the camera that give boxes the shapes of photos.

From above, a standing piece of chess has a square box; from the side a tall one; one that lies has
a box of any shape. So each pose and tilt is tried: outlines of the meshes are turned, seen by the
camera, and their boxes compared with those of the photos, class by class.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.inspection.class_sizes import LEAST_BOXES
from syndet_ray.inspection.whole_boxes import WholeBoxes
from syndet_ray.scenes.heap import draw_side
from syndet_ray.scenes.library import Asset, Library, Mesh, outline
from syndet_ray.seeds import generator

POSES = ("rest", "upright", "face_up", "any")
_TILTS_DEG = tuple(range(5, 86, 5))
_SPREAD_DEG = 10.0  # either way, of cameras in one set of photos
_OBJECTS = 60  # tried of each asset
# In natural logarithms: a pose that fits this much better than "rest" is another.
_LEAST_GAIN = 0.05
_SQUARE = 0.01  # spread of logarithms below which people made all boxes square


@dataclass(frozen=True, kw_only=True)
class PoseMatch:
    """The poses and tilts that fit best.

    poses     a value of `scene.poses`
    tilt_deg  minimum and maximum angle between camera and vertical
    distance  mean distance between the shapes of boxes, natural logarithms of height / width
    at_rest   the same for poses as objects fall, seen from above
    length    mean longer side of a box, in longest sides of its mesh
    boxes     number of boxes of photos that were compared
    """

    poses: str
    tilt_deg: tuple[float, float]
    distance: float
    at_rest: float
    length: float
    boxes: int


def match_poses(
    boxes: WholeBoxes, library: Library, seed: int, names: Sequence[str] | None = None
) -> PoseMatch | None:
    """The poses of the objects in these boxes; None where boxes cannot tell: where they are all
    square, or no class has meshes and boxes enough.

    names  those that photos have for the library's classes; None if they are the same
    """
    names = library.classes if names is None else names
    shapes = boxes.shapes_by_class()
    meshes = _meshes_with_shapes(library, shapes, names)
    if not meshes or np.concatenate(list(shapes.values())).std() < _SQUARE:
        return None
    rng = generator(seed, "pose match")
    fits = {}
    for poses in POSES:
        for tilt_deg in _TILTS_DEG:
            fits[poses, tilt_deg] = _fit(meshes, poses, tilt_deg, rng)
    distances = {key: distance for key, (distance, _) in fits.items()}
    at_rest = min(distances["rest", tilt_deg] for tilt_deg in _TILTS_DEG)
    poses, tilt_deg = min(distances, key=lambda key: distances[key])
    if distances[poses, tilt_deg] > at_rest - _LEAST_GAIN:
        poses, tilt_deg = min(
            (key for key in distances if key[0] == "rest"), key=lambda key: distances[key]
        )
    distance, length = fits[poses, tilt_deg]
    used = {names[asset.label] for asset, _ in meshes}
    return PoseMatch(
        poses=poses,
        tilt_deg=(max(0.0, tilt_deg - _SPREAD_DEG), min(85.0, tilt_deg + _SPREAD_DEG)),
        distance=distance,
        at_rest=at_rest,
        length=length,
        boxes=sum(len(shapes[name]) for name in used),
    )


def match_again(
    boxes: WholeBoxes, library: Library, match: PoseMatch, seed: int, names: Sequence[str]
) -> tuple[float, float]:
    """The distance and the length of a match, with the meshes of another library.

    names  those that photos have for the library's classes
    """
    meshes = _meshes_with_shapes(library, boxes.shapes_by_class(), names)
    tilt_deg = sum(match.tilt_deg) / 2
    return _fit(meshes, match.poses, tilt_deg, generator(seed, "pose match"))


def _meshes_with_shapes(
    library: Library, shapes: Mapping[str, np.ndarray], names: Sequence[str]
) -> list[tuple[Asset, np.ndarray]]:
    """Every mesh whose class has boxes enough, with their shapes."""
    meshes = []
    for name, asset in meshes_of_objects(library, names):
        if len(shapes.get(name, ())) >= LEAST_BOXES:
            meshes.append((asset, shapes[name]))
    return meshes


def meshes_of_objects(library: Library, names: Sequence[str]) -> Iterator[tuple[str, Asset]]:
    """The meshes of objects as they were read, each with the name of its class.

    Variants are left out: they stand for shapes that photos may show, not for those that they do
    show.

    names  of the library's classes, its own or those that photos have for them
    """
    for asset in library.assets.values():
        if asset.is_mesh_of_object and not asset.is_variant:
            yield names[asset.label], asset


def _fit(
    meshes: Sequence[tuple[Asset, np.ndarray]],
    poses: str,
    tilt_deg: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """The mean distance of shapes over all assets, and the mean longer side of their boxes in
    longest sides of their meshes.
    """
    from scipy.stats import wasserstein_distance  # type: ignore[import-untyped]

    distances, lengths = [], []
    for asset, shapes in meshes:
        sides = box_sides(asset.mesh, poses, tilt_deg, rng)
        ratios = np.log(sides[:, 1] / sides[:, 0])
        distances.append(wasserstein_distance(shapes, ratios))
        lengths.append(sides.max(axis=1).mean() / asset.mesh.length)
    return float(np.mean(distances)), float(np.mean(lengths))


def box_sides(mesh: Mesh, poses: str, tilt_deg: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) widths and heights of boxes around a mesh, in its units, seen from far away."""
    points = outline(mesh)
    sides = np.empty((_OBJECTS, 2))
    for i in range(_OBJECTS):
        yaw = rng.uniform(0, 2 * np.pi)
        tilt = np.radians(tilt_deg + rng.uniform(-0.5, 0.5) * _SPREAD_DEG)
        cos, sin = np.cos(yaw), np.sin(yaw)
        about_vertical = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        x, y, z = (points @ (about_vertical @ draw_side(mesh, poses, rng)).T).T
        sides[i] = np.ptp(x), np.ptp(y * np.cos(tilt) + z * np.sin(tilt))
    return sides
