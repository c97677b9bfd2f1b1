"""Meshes: reads a file of triangles of another program as one mesh with one texture."""

import io
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh

from syndet_ray.data.images import picture
from syndet_ray.errors import DataError, SyndetError
from syndet_ray.scenes import gltf, transparency
from syndet_ray.scenes.cutouts import TEXTURE_PX, bleed, inset, shrunk
from syndet_ray.scenes.library import Mesh
from syndet_ray.scenes.neighbours import Neighbours
from syndet_ray.scenes.rows import distinct_rows
from syndet_ray.scenes.sensor import DISPLAY_POWER

SUFFIXES = (*gltf.SUFFIXES, ".obj", ".ply", ".stl")
MAX_FACES = 200_000  # more cost memory and time in every scene, and are not visible

_TEXTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tga", ".tif", ".tiff", ".webp")
_ATLAS_PX = 2048  # side of a square as large as all textures of a mesh together
# Share of the longest side. Vertices that are closer are one, split at a seam of the texture.
_WELD = 1e-5
_PLAIN = 0.8  # linear grey of a mesh without colour: light, so that a scene can tint it
# The key, in an atlas, of the white texture of parts without one.
_WHITE = b""
_LIBRARIES = re.compile(rb"^[ \t]*mtllib[ \t]+(.*\S)[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_OPAQUE = 0.5  # least alpha of what is rendered, where a material does not say otherwise
# What readers of damaged files raise.
_DAMAGED = (OSError, ValueError, TypeError, KeyError, AttributeError, struct.error, RecursionError)


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A mesh as it was read, and what is worth a note about it.

    open_edges  edges with a face on one side only: its inside is rendered like its outside
    is_blended  it has parts that light shines through: what is half transparent or more is cut
                away, the rest is rendered opaque
    """

    mesh: Mesh
    open_edges: int
    is_blended: bool


def read(path: Path, root: Path) -> Model:
    """The mesh in a file, all its parts as one, in the units of the file and centred on its
    bounding box.

    root  the folder in which, and below which, its materials and textures lie

    Textures and vertex colours are kept; what a glTF file says to be transparent is cut away.
    Nothing is fetched from other machines. Raises DataError for a mesh that cannot be read or
    rendered.
    """
    neighbours = Neighbours(path, root)
    for file in references(path, root):
        if not file.is_file():
            rule = f"the mesh needs a file that does not exist: {file.name}"
            do = f"Put it to {file}, or export the mesh with its textures packed (GLB)."
            raise DataError(path, rule, do=do)
        if file.suffix.lower() in _TEXTURES:
            # trimesh silently leaves out what it cannot open
            picture.header(file, str(file))
    geometries = _geometries(path, neighbours)
    parts = [_part(geometry, path) for geometry in geometries]
    mesh = _centre(_join(parts), path)
    mesh, open_edges = _outward(mesh)
    _check_area(mesh, path)
    is_blended = any(_alpha_mode(geometry.visual) == "BLEND" for geometry in geometries)
    return Model(mesh=mesh, open_edges=open_edges, is_blended=is_blended)


def references(path: Path, root: Path) -> list[Path]:
    """The files below a folder that a mesh file needs: materials and textures. Raises DataError if
    it cannot be read.
    """
    if path.stat().st_size == 0:
        raise DataError(path, "the file is empty", do="Export it again.")
    try:
        return list(_REFERENCES[path.suffix.lower()](path, Neighbours(path, root)))
    except _DAMAGED as error:
        raise _unreadable(path, error) from None


def _obj_references(path: Path, neighbours: Neighbours) -> Iterator[Path]:
    for line in _named_values(path, rb"mtllib"):
        for library in neighbours.find_libraries(line):
            yield library
            if library.is_file():
                yield from map(neighbours.find_texture, _named_values(library, rb"map_kd"))
                # Bump maps and the like are not rendered: they need not exist, and are no cut-outs
                # if they do.
                others = _named_values(library, rb"(?:map_(?!kd)\w+|bump|norm|disp|decal)")
                yield from filter(Path.is_file, map(neighbours.find_texture, others))


def _ply_references(path: Path, neighbours: Neighbours) -> Iterator[Path]:
    return map(neighbours.find, _named_values(path, rb"comment\s+texturefile"))


def _named_values(path: Path, keyword: bytes) -> Iterator[str]:
    """The values in lines "keyword VALUE" of a text file."""
    with path.open("rb") as file:
        for line in file:
            if match := re.match(rb"\s*" + keyword + rb"\s+(.*\S)", line, re.IGNORECASE):
                yield match[1].decode(errors="replace")
            if line.startswith(b"end_header"):  # only numbers follow in a PLY file
                return


_REFERENCES: dict[str, Callable[[Path, Neighbours], Iterator[Path]]] = {
    ".glb": gltf.references,
    ".gltf": gltf.references,
    ".obj": _obj_references,
    ".ply": _ply_references,
    ".stl": lambda path, neighbours: iter(()),
}


def _geometries(path: Path, neighbours: Neighbours) -> list[Any]:
    suffix = path.suffix.lower()
    try:
        content = _plain(path, neighbours)
        scene = trimesh.load_scene(
            io.BytesIO(content),
            file_type=".glb" if suffix in gltf.SUFFIXES else suffix,
            resolver=neighbours,
            process=False,
            allow_remote=False,
        )
        geometries = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    except SyndetError:
        raise
    except Exception as error:  # trimesh's parsers raise errors of any type
        raise _unreadable(path, error) from None
    count = sum(len(geometry.faces) for geometry in geometries)
    if count == 0:
        do = "Export triangles; points and lines cannot be rendered."
        raise DataError(path, "the mesh has no faces", do=do)
    if count > MAX_FACES:
        rule = f"a mesh must have at most {MAX_FACES} faces"
        do = "Simplify it, in Blender with the modifier Decimate."
        raise DataError(path, rule, got=count, do=do)
    return [geometry for geometry in geometries if len(geometry.faces)]


def _plain(path: Path, neighbours: Neighbours) -> bytes:
    """The content of a file as trimesh reads it right."""
    suffix = path.suffix.lower()
    if suffix in gltf.SUFFIXES:
        return gltf.plain(path, neighbours)
    content = path.read_bytes()
    if suffix != ".obj":
        return content
    # of several lines that name libraries of materials, trimesh reads one
    names = _LIBRARIES.findall(content)
    if len(names) < 2:
        return content
    return b"mtllib " + b" ".join(names) + b"\n" + _LIBRARIES.sub(b"", content)


def _unreadable(path: Path, error: Exception) -> DataError:
    rule = f"the mesh cannot be read ({type(error).__name__}: {error})"
    return DataError(path, rule, do="Export it again.")


def _part(geometry: Any, path: Path) -> Mesh:
    """One geometry with its colours; its texture coordinates lie within 0 and 1."""
    vertices, faces = np.asarray(geometry.vertices, float), np.asarray(geometry.faces, np.int64)
    if not np.isfinite(vertices).all():
        raise DataError(path, "vertices must be finite numbers", do="Export it again.")
    linear = path.suffix.lower() in gltf.SUFFIXES  # glTF alone keeps colours as linear light
    image, uv = _image(geometry.visual), getattr(geometry.visual, "uv", None)
    colors = np.ones((len(vertices), 3), np.float32) * _color(geometry.visual, linear)
    if image is None or uv is None:
        return Mesh(vertices=vertices, faces=faces, colors=colors)
    rgba, uv = _unroll(_texture(image, path), np.asarray(uv, float))
    texture = np.ascontiguousarray(rgba[..., :3])
    part = Mesh(vertices=vertices, faces=faces, colors=colors, uv=uv, texture=texture)
    return _without_transparent_faces(part, rgba[..., 3], geometry.visual)


def _without_transparent_faces(part: Mesh, alpha: np.ndarray, visual: Any) -> Mesh:
    """The part where its texture, with alpha (h, w) uint8, is opaque, if its material asks for
    that; all of it where nothing is opaque that light is said to shine through, as glass.
    """
    mode = _alpha_mode(visual)
    if mode == "MASK":
        limit = visual.material.alphaCutoff
        opaque = alpha / 255 * _alpha_factor(visual) >= (_OPAQUE if limit is None else limit)
    elif mode == "BLEND":
        opaque = alpha / 255 >= _OPAQUE
    else:
        return part
    if opaque.all() or (mode == "BLEND" and not opaque.any()):
        return part
    at_vertices = np.concatenate([part.vertices, part.colors], axis=1)
    assert part.uv is not None
    corners, uv = transparency.cut(at_vertices[part.faces], part.uv[part.faces], opaque)
    return Mesh(
        vertices=corners[..., :3].reshape(-1, 3),
        faces=np.arange(3 * len(corners)).reshape(-1, 3),
        colors=corners[..., 3:].reshape(-1, 3),
        uv=uv.reshape(-1, 2),
        texture=part.texture,
    )


def _alpha_mode(visual: Any) -> str:
    """The transparency that a material of glTF asks for: "OPAQUE", "MASK" or "BLEND"."""
    return getattr(getattr(visual, "material", None), "alphaMode", None) or "OPAQUE"


def _alpha_factor(visual: Any) -> float:
    factor = visual.material.baseColorFactor
    if factor is None or len(factor) < 4:
        return 1.0
    greatest = np.iinfo(factor.dtype).max if factor.dtype.kind == "u" else 1
    return float(factor[3] / greatest)


def _image(visual: Any) -> Any:
    """The Pillow image that colours a geometry, or None."""
    material = getattr(visual, "material", None)
    return getattr(material, "baseColorTexture", None) or getattr(material, "image", None)


def is_plain(mesh: Mesh) -> bool:
    """True for a mesh whose file gives no colour, as STL never does."""
    return mesh.texture is None and bool(np.allclose(mesh.colors, _PLAIN))


def _color(visual: Any, linear: bool) -> np.ndarray:
    """(n, 3) or (1, 3) linear light: a geometry's colours, or the factors on its texture."""
    if visual.kind in ("vertex", "face"):
        return _light(visual.vertex_colors, linear)
    if visual.kind != "texture":
        return np.full((1, 3), _PLAIN)
    if linear:
        factor, painted = visual.material.baseColorFactor, visual.vertex_attributes.get("color")
        color = np.ones((1, 3)) if factor is None else _light(factor[None], linear)
        return color if painted is None else color * _light(np.asarray(painted), linear)
    # Exporters leave any colour next to a texture, so it counts only without a texture.
    if _image(visual):
        return np.ones((1, 3))
    return _light(visual.material.main_color[None], linear)


def _light(colors: np.ndarray, linear: bool) -> np.ndarray:
    """(n, 3) float32 linear light of (n, 3 or 4) colours, integers or 0 to 1."""
    greatest = np.iinfo(colors.dtype).max if colors.dtype.kind == "u" else 1
    share = colors[:, :3].astype(np.float32) / greatest
    return share if linear else share**DISPLAY_POWER


def _texture(image: Any, path: Path) -> np.ndarray:
    """(h, w, 4) uint8, what is transparent in the colour of the nearest opaque pixel."""
    try:
        rgba = np.array(image.convert("RGBA"))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        rule = f"its texture cannot be read ({error})"
        raise DataError(path, rule, do="Replace the texture.") from None
    alpha = rgba[..., 3]
    if (alpha >= 128).any() and (alpha < 250).any():
        rgba[..., :3] = bleed(rgba[..., :3], alpha)
    return rgba


def _unroll(texture: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A texture repeated in pixels as often as the mesh repeats it, and coordinates of 0 to 1."""
    uv = uv - np.floor(uv.min(axis=0) + 1e-4)
    span = np.maximum(np.ceil(uv.max(axis=0) - 1e-4), 1)
    # finer repeats are not visible
    columns, rows = (int(count) for count in np.minimum(span, 64))
    if columns * rows > 1:
        tile = shrunk(texture, max(1, TEXTURE_PX // max(columns, rows)))
        texture = np.tile(tile, (rows, columns, 1))
    texture = shrunk(texture, TEXTURE_PX)
    return texture, inset(uv / span, texture)


def _join(parts: list[Mesh]) -> Mesh:
    """One mesh of several, their textures one above the other."""
    if len(parts) == 1:
        return parts[0]
    vertices = np.concatenate([part.vertices for part in parts])
    colors = np.concatenate([part.colors for part in parts])
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    textures = {_key(part): part.texture for part in parts if part.texture is not None}
    if not textures:
        return Mesh(vertices=vertices, faces=faces, colors=colors)
    if any(part.texture is None for part in parts):
        textures[_WHITE] = np.full((1, 1, 3), 255, np.uint8)
    keys = list(textures)
    longest = max(max(image.shape) for image in textures.values())
    side = min(_ATLAS_PX // int(np.ceil(np.sqrt(len(keys)))), longest)
    tiles = []
    for image in textures.values():
        tiles.append(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
    uv = [_place(part, keys.index(_key(part)), len(keys), side) for part in parts]
    return Mesh(
        vertices=vertices,
        faces=faces,
        colors=colors,
        uv=np.concatenate(uv),
        texture=np.concatenate(tiles),
    )


def _key(part: Mesh) -> bytes:
    return _WHITE if part.texture is None else part.texture.tobytes()


def _place(part: Mesh, row: int, rows: int, side: int) -> np.ndarray:
    """Coordinates in the atlas of a part whose texture is the row-th from its top."""
    uv = np.full((len(part.vertices), 2), 0.5)
    if part.uv is not None:
        uv = inset(part.uv, np.empty((side, side)))
    u, v = uv.T
    return np.column_stack([u, (rows - 1 - row + v) / rows])


def _centre(mesh: Mesh, path: Path) -> Mesh:
    """The mesh without vertices that no face uses, its bounding box around the origin."""
    used, faces = np.unique(mesh.faces, return_inverse=True)
    vertices = mesh.vertices[used]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    if not (high > low).any():
        raise DataError(path, "all corners of the mesh are one point", do="Export it again.")
    return Mesh(
        vertices=(vertices - (low + high) / 2).astype(np.float32),
        faces=faces.reshape(-1, 3).astype(np.int32),
        colors=mesh.colors[used].astype(np.float32),
        uv=None if mesh.uv is None else mesh.uv[used].astype(np.float32),
        texture=mesh.texture,
    )


def _outward(mesh: Mesh) -> tuple[Mesh, int]:
    """The mesh without faces that have no area, and the number of its open edges. Without any, its
    faces are counter-clockwise seen from outside.
    """
    longest = np.ptp(mesh.vertices, axis=0).max()
    grid = np.round(mesh.vertices / (_WELD * longest)).astype(np.int64)
    first, welded = distinct_rows(grid)
    corners = welded[mesh.faces]
    has_area = (corners != np.roll(corners, 1, axis=1)).all(axis=1)
    faces, corners = mesh.faces[has_area], corners[has_area]
    open_edges = _open_edges(corners)
    if open_edges:
        return replace(mesh, faces=faces), open_edges
    shell = trimesh.Trimesh(mesh.vertices[first], corners, process=False)
    trimesh.repair.fix_normals(shell, multibody=True)
    is_turned = (np.asarray(shell.faces) != corners).any(axis=1, keepdims=True)
    return replace(mesh, faces=np.where(is_turned, faces[:, ::-1], faces)), 0


def _check_area(mesh: Mesh, path: Path) -> None:
    """Raises DataError for a mesh that no image shows: all its faces are points or lines."""
    corners = mesh.vertices[mesh.faces].astype(float)
    sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = float(np.linalg.norm(sides, axis=1).sum()) / 2
    if area < _WELD * mesh.length**2:
        rule = "the faces of the mesh have no area: its corners lie on one line"
        raise DataError(path, rule, do="Export it again.")


def _open_edges(faces: np.ndarray) -> int:
    """The number of edges that an odd number of faces (f, 3) share."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, numbers = distinct_rows(np.sort(edges, axis=1))
    return int((np.bincount(numbers) % 2).sum())
