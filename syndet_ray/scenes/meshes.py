"""Meshes: reads a file of triangles of another program as one mesh with one texture."""

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh

from syndet_ray.data.images import picture
from syndet_ray.errors import DataError
from syndet_ray.scenes.cutouts import TEXTURE_PX, inset, shrunk
from syndet_ray.scenes.library import Mesh

SUFFIXES = (".glb", ".obj", ".ply", ".stl")
MAX_FACES = 200_000  # more cost memory and time in every scene, and are not visible

_TEXTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tga", ".tif", ".tiff", ".webp")
_ATLAS_PX = 2048  # side of a square as large as all textures of a mesh together
# Share of the longest side. Vertices that are closer are one, split at a seam of the texture.
_WELD = 1e-5
_PLAIN = 0.8  # linear grey of a mesh without colour: light, so that a scene can tint it
# The key, in an atlas, of the white texture of parts without one.
_WHITE = b""


def read(path: Path, *, may_be_open: bool, settings: Path) -> Mesh:
    """The mesh in a file, all its parts as one, in the units of the file and centred on its
    bounding box.

    settings  the path of the assets.json that says if it may be open; the file need not exist

    Textures and vertex colours are kept, transparency is not. Nothing is fetched from other
    machines. Raises DataError for a mesh that cannot be read or rendered, and for holes in the
    surface unless it may be open.
    """
    for file in references(path):
        if not file.is_file():
            rule = f"the mesh needs a file that does not exist: {file.name}"
            do = f"Put it to {file}, or export the mesh with its textures packed (GLB)."
            raise DataError(path, rule, do=do)
        if file.suffix.lower() in _TEXTURES:
            # trimesh silently leaves out what it cannot open
            picture.header(file, str(file))
    parts = [_part(geometry, path) for geometry in _geometries(path)]
    mesh = _centre(_join(parts), path)
    return _outward(mesh, path, may_be_open=may_be_open, settings=settings)


def references(path: Path) -> list[Path]:
    """The files that a mesh file needs: materials and textures. Raises DataError if it cannot be
    read.
    """
    try:
        return list(_REFERENCES[path.suffix.lower()](path))
    except (OSError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise _unreadable(path, error) from None


# Options such as "-s 1 1 1" stand before a texture's name.
_OPTIONS = rb"(?:\s+-\w+(?:\s+-?[\d.]+|\s+on|\s+off)*)*"


def _obj_references(path: Path) -> Iterator[Path]:
    for library in _named_files(path, rb"mtllib"):
        yield library
        if library.is_file():
            yield from _named_files(library, rb"map_kd" + _OPTIONS)
            # Bump maps and the like are not rendered: they need not exist, and are no cut-outs if
            # they do.
            others = _named_files(library, rb"(?:map_(?!kd)\w+|bump|norm|disp|decal)" + _OPTIONS)
            yield from (file for file in others if file.is_file())


def _ply_references(path: Path) -> Iterator[Path]:
    return _named_files(path, rb"comment\s+texturefile")


def _named_files(path: Path, keyword: bytes) -> Iterator[Path]:
    """The files that lines "keyword NAME" of a text file name."""
    with path.open("rb") as file:
        for line in file:
            if match := re.match(rb"\s*" + keyword + rb"\s+(.*\S)", line, re.IGNORECASE):
                name = match[1].decode(errors="replace").replace("\\", "/")
                yield path.parent / name
            if line.startswith(b"end_header"):  # only numbers follow in a PLY file
                return


def _glb_references(path: Path) -> Iterator[Path]:
    with path.open("rb") as file:
        magic, _, _, length, kind = struct.unpack("<4sIII4s", file.read(20))
        if (magic, kind) != (b"glTF", b"JSON"):
            raise ValueError("not a GLB file")
        tree = json.loads(file.read(length))
    for item in [*tree.get("images", []), *tree.get("buffers", [])]:
        if not (uri := item.get("uri", "data:")).startswith("data:"):
            yield path.parent / uri


_REFERENCES = {
    ".glb": _glb_references,
    ".obj": _obj_references,
    ".ply": _ply_references,
    ".stl": lambda _: iter(()),
}


def _geometries(path: Path) -> list[Any]:
    try:
        scene = trimesh.load_scene(path, process=False, allow_remote=False)
        geometries = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
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


def _unreadable(path: Path, error: Exception) -> DataError:
    rule = f"the mesh cannot be read ({type(error).__name__}: {error})"
    return DataError(path, rule, do="Export it again.")


def _part(geometry: Any, path: Path) -> Mesh:
    """One geometry with its colours; its texture coordinates lie within 0 and 1."""
    vertices, faces = np.asarray(geometry.vertices, float), np.asarray(geometry.faces, np.int64)
    if not np.isfinite(vertices).all():
        raise DataError(path, "vertices must be finite numbers", do="Export it again.")
    linear = path.suffix.lower() == ".glb"  # glTF alone keeps colours as linear light
    image, uv = _image(geometry.visual), getattr(geometry.visual, "uv", None)
    colors = np.ones((len(vertices), 3), np.float32) * _color(geometry.visual, linear)
    if image is None or uv is None:
        return Mesh(vertices=vertices, faces=faces, colors=colors)
    texture, uv = _unroll(_texture(image, path), np.asarray(uv, float))
    return Mesh(vertices=vertices, faces=faces, colors=colors, uv=uv, texture=texture)


def _image(visual: Any) -> Any:
    """The Pillow image that colours a geometry, or None."""
    material = getattr(visual, "material", None)
    return getattr(material, "baseColorTexture", None) or getattr(material, "image", None)


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
    """(n, 3) float32 linear light of (n, 3 or 4) colours, integers or 0 to 1, by the power that
    `sensor` undoes.
    """
    greatest = np.iinfo(colors.dtype).max if colors.dtype.kind == "u" else 1
    share = colors[:, :3].astype(np.float32) / greatest
    return share if linear else share**2.2


def _texture(image: Any, path: Path) -> np.ndarray:
    try:
        return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        rule = f"its texture cannot be read ({error})"
        raise DataError(path, rule, do="Replace the texture.") from None


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


def _outward(mesh: Mesh, path: Path, *, may_be_open: bool, settings: Path) -> Mesh:
    """The mesh with its faces counter-clockwise seen from outside, and without faces that have no
    area.
    """
    longest = np.ptp(mesh.vertices, axis=0).max()
    grid = np.round(mesh.vertices / (_WELD * longest)).astype(np.int64)
    _, first, welded = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    corners = welded.reshape(-1)[mesh.faces]
    has_area = (corners != np.roll(corners, 1, axis=1)).all(axis=1)
    faces, corners = mesh.faces[has_area], corners[has_area]
    open_edges = _open_edges(corners)
    if open_edges and may_be_open:
        return replace(mesh, faces=faces)
    if open_edges:
        rule = f"the mesh must be watertight: {open_edges} edges have a face on one side only"
        do = f'Close its holes, or write {{"open": true}} into {settings}: '
        do += "its inside is then rendered like its outside."
        raise DataError(path, rule, do=do)
    shell = trimesh.Trimesh(mesh.vertices[first], corners, process=False)
    trimesh.repair.fix_normals(shell, multibody=True)
    is_turned = (np.asarray(shell.faces) != corners).any(axis=1, keepdims=True)
    return replace(mesh, faces=np.where(is_turned, faces[:, ::-1], faces))


def _open_edges(faces: np.ndarray) -> int:
    """The number of edges that an odd number of faces (f, 3) share."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, counts = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    return int((counts % 2).sum())
