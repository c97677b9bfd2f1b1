"""Library: the contents of scenes: classes, meshes of objects and surroundings, backgrounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from scipy.spatial import QhullError  # type: ignore[import-untyped]

from syndet_ray.errors import DataError
from syndet_ray.scenes.dice import BOX_PER_EDGE, CLASSES, EDGE_M
from syndet_ray.scenes.rows import distinct_rows
from syndet_ray.scenes.scene import NO_CLASS

# If a triangle's and its vertex's mean normal differ by more than this, the mesh has an edge.
_SMOOTH = np.cos(np.radians(40))


@dataclass(frozen=True, eq=False, kw_only=True)
class Mesh:
    """A triangle mesh with its bounding box centred on the origin.

    vertices (v, 3) float32; faces (f, 3) int32, counter-clockwise seen from outside; colors (v, 3)
    float32 linear RGB, by which the texture, if there is one, is multiplied; uv (v, 2) float32,
    u to the right and v *up*, and texture (h, w, 3) uint8 sRGB. normals (f, 3, 3) float32 are those
    at the corners of its faces, where they do not follow from its shape.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None
    normals: np.ndarray | None = None

    @cached_property
    def length(self) -> float:
        """Its longest side, in the units of its vertices."""
        return float(np.ptp(self.vertices, axis=0).max())

    @cached_property
    def radius(self) -> float:
        """The radius of a ball around its origin that holds it, in the units of its vertices."""
        return float(np.linalg.norm(np.abs(self.vertices).max(axis=0)))


class Stretch(NamedTuple):
    """Factors on a mesh: across its z axis, at equal steps of height from its lowest to its highest
    point, or one for all heights; and along that axis.
    """

    across: tuple[float, ...]
    along: float


_AS_READ = Stretch(across=(1.0,), along=1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Asset:
    """A mesh with its class, an index into the library's classes or NO_CLASS, and metres per unit
    of its vertices.

    picture  it is a cut-out of a photo, which shows one side of the thing, +z, under a light of its
             own
    pose     "rest", "upright", "face_up" or "any": in which pose it lies where nothing else is
             asked for, see `heap`; its upper side is +z
    most_px  the length in pixels that its longest side has in images at most, or None where that is
             not known: see `detail`
    original  the mesh that was stretched into this one by `stretch`; None for a mesh as it was read
    is_variant  it stands beside another asset, of which it is a copy in another shape
    """

    label: int
    mesh: Mesh
    scale: float
    picture: bool = False
    pose: str = "rest"
    most_px: float | None = None
    original: Mesh | None = None
    stretch: Stretch = _AS_READ
    is_variant: bool = False

    @property
    def is_mesh_of_object(self) -> bool:
        """True for solid objects: neither cut-outs nor surroundings."""
        return self.label != NO_CLASS and not self.picture

    @property
    def length_m(self) -> float:
        """Its longest side, metres."""
        return self.scale * self.mesh.length

    @cached_property
    def plain(self) -> bool:
        """True for surroundings without colours of their own, which a scene gives to them."""
        return (
            self.label == NO_CLASS
            and self.mesh.texture is None
            and bool((self.mesh.colors == 1).all())
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Library:
    """Classes, assets by name, images for floors and backgrounds, and a hash of all files.

    boards  width and depth in metres of the boards that some backgrounds show from straight above
    hashes  of the files of each part: "assets", "surroundings" and "backgrounds", as the settings
            of scenes are named
    notes   messages for the user about the assets
    size_error  for objects whose sizes no tray shows side by side, or not on a board; None if it
                shows them

    The built-in dice have no mesh here: bodies of the asset "die" carry all that makes them
    (`scene.Die`).
    """

    classes: tuple[str, ...]
    assets: Mapping[str, Asset] = field(default_factory=dict)
    backgrounds: tuple[str, ...] = ()
    boards: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    hash: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    size_error: DataError | None = None

    @property
    def dice(self) -> bool:
        """True if the objects are the built-in dice."""
        return self.classes == CLASSES and len(self._objects) == 0

    @property
    def _objects(self) -> list[Asset]:
        return [asset for asset in self.assets.values() if asset.label != NO_CLASS]

    @cached_property
    def unit_m(self) -> float:
        """An object's size, metres: a die's edge, or the median longest side of the objects."""
        sizes = [asset.length_m for asset in self._objects if not asset.is_variant]
        return float(np.median(sizes)) if sizes else EDGE_M

    @cached_property
    def has_solid_objects(self) -> bool:
        """True if any object is solid: the others are cut-outs."""
        return self.dice or any(not asset.picture for asset in self._objects)

    @cached_property
    def has_solid_surroundings(self) -> bool:
        """True if any asset is solid that only surrounds objects."""
        surroundings = [asset for asset in self.assets.values() if asset.label == NO_CLASS]
        return any(not asset.picture for asset in surroundings)

    @property
    def seen_per_unit(self) -> float:
        """The mean width of the box around an object, in units."""
        return BOX_PER_EDGE if self.dice else 1.0

    def names_of(self, label: int) -> list[str]:
        """The names of the assets of a class, in order; with NO_CLASS those of surroundings."""
        return [name for name, asset in self.assets.items() if asset.label == label]


DICE = Library(classes=CLASSES)


@lru_cache(maxsize=1024)
def corner_normals(mesh: Mesh) -> np.ndarray:
    """(f, 3, 3) float32 unit normals at each triangle's corners."""
    return round_normals(mesh) if mesh.normals is None else mesh.normals


def round_normals(mesh: Mesh) -> np.ndarray:
    """(f, 3, 3) float32 unit normals that follow from the shape: round where the mesh is, sharp at
    its edges.
    """
    corners = mesh.vertices[mesh.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # Weighted by area, and shared by vertices that lie at one place but have different paint.
    _, place = distinct_rows(mesh.vertices.round(6))
    places = place[mesh.faces]  # (f, 3)
    flat_at_corners = np.repeat(flat, 3, axis=0).T.astype(float)
    total = np.stack([np.bincount(places.ravel(), axis) for axis in flat_at_corners], axis=1)
    flat, mean = unit_vectors(flat)[:, None], unit_vectors(total)[places]
    is_round = (mean * flat).sum(axis=2, keepdims=True) > _SMOOTH
    return np.where(is_round, mean, flat).astype(np.float32)


@lru_cache(maxsize=1024)
def embree_of(mesh: Mesh) -> tuple[EmbreeScene, TriangleMesh]:
    """The mesh in a scene of its own, as `embree_scene` has it, one for all who ask."""
    return embree_scene(mesh)


def embree_scene(mesh: Mesh) -> tuple[EmbreeScene, TriangleMesh]:
    """The mesh in a scene of its own. Embree reads the triangles as long as the second value
    lives.
    """
    scene = EmbreeScene()
    return scene, TriangleMesh(scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))


@lru_cache(maxsize=1024)
def outline(mesh: Mesh) -> np.ndarray:
    """(v, 3) corners of a mesh's convex hull; all its vertices if it is flat."""
    try:
        # trimesh divides by the hull's volume, and what is flat has none
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(trimesh.convex.convex_hull(mesh.vertices.astype(float)).vertices)
    except QhullError:
        return mesh.vertices


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) vectors of length 1 in the same directions; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-20)
