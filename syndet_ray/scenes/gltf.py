"""glTF: reads GLB and glTF files, with what extensions of the format say, as plain GLB.

trimesh reads the result. It takes coordinates as they are stored, and ignores what it does not
know: both would change textures without a word. The format: Khronos, glTF 2.0 specification, and
its registry of extensions.
"""

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data.images import picture
from syndet_ray.errors import DataError
from syndet_ray.scenes.neighbours import Neighbours

SUFFIXES = (".glb", ".gltf")

_MAGIC, _JSON, _BINARY = b"glTF", b"JSON", b"BIN\0"
_FLOAT = 5126
_TYPES: dict[int, Any] = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    _FLOAT: np.float32,
}
_COLUMNS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TRIANGLES = (4, 5)  # modes that trimesh reads: separate triangles, and strips
_TRIANGLE_FAN = 6
_WHITE = (1.0, 1.0, 1.0, 1.0)
_TRANSFORM = "KHR_texture_transform"
_SPECULAR = "KHR_materials_pbrSpecularGlossiness"
_COMPRESSIONS = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
}
# What else a file may require: how it looks changes little without it, or is computed here.
_UNDERSTOOD = (
    *("KHR_materials_", "KHR_lights_", _TRANSFORM),
    *("KHR_mesh_quantization", "KHR_texture_basisu", "EXT_texture_webp"),
)
_KTX = b"\xabKTX"


def references(path: Path, neighbours: Neighbours) -> Iterator[Path]:
    """The files that a glTF file needs. Raises ValueError or KeyError where it is damaged."""
    tree, _ = _read(path)
    for item in [*tree.get("images", []), *tree.get("buffers", [])]:
        uri = item.get("uri", "data:")
        if not uri.startswith("data:"):
            yield neighbours.find(uri)


def plain(path: Path, neighbours: Neighbours) -> bytes:
    """The file as a GLB whose vertices and texture coordinates are floats, transformed as its
    materials say, and whose materials have a base colour.

    Raises DataError for compressed meshes and textures and for textures that cannot be read;
    ValueError, KeyError, IndexError or TypeError where the file is damaged.
    """
    tree, binary = _read(path)
    _check_extensions(tree, path)
    buffers = [_buffer(item, binary, neighbours) for item in tree.get("buffers", [])]
    starts = np.cumsum([0, *map(len, buffers)]).tolist()
    for view in tree.get("bufferViews", []):
        view["byteOffset"] = view.get("byteOffset", 0) + starts[view["buffer"]]
        view["buffer"] = 0
    writer = _Writer(tree, b"".join(buffers))
    for material in tree.get("materials", []):
        _set_base_color(material)
    for material in tree.get("materials", []):
        if (texture := _base_texture(material)) is not None:
            _check_texture(tree, writer, texture["index"], path, neighbours)
    for mesh in tree.get("meshes", []):
        for primitive in mesh["primitives"]:
            _make_plain(primitive, tree, writer, path)
    return writer.glb()


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """The tree and the binary part of a file. Raises ValueError if it is not glTF 2."""
    content = path.read_bytes()
    if content[:4] != _MAGIC:
        tree, binary = json.loads(content), b""
    else:
        length, kind = struct.unpack("<I4s", content[12:20])
        if kind != _JSON:
            raise ValueError("not a GLB file of version 2")
        tree = json.loads(content[20 : 20 + length])
        # the header of the second part follows, 8 bytes
        binary = content[20 + length + 8 :]
    if not isinstance(tree, dict) or not str(tree["asset"]["version"]).startswith("2"):
        raise ValueError("not glTF of version 2")
    return tree, binary


def _check_extensions(tree: dict[str, Any], path: Path) -> None:
    """Raises DataError for what a file requires and is not computed here."""
    compressed: set[str] = set()
    for mesh in tree.get("meshes", []):
        for primitive in mesh["primitives"]:
            compressed |= primitive.get("extensions", {}).keys() & _COMPRESSIONS.keys()
    for view in tree.get("bufferViews", []):
        compressed |= view.get("extensions", {}).keys() & _COMPRESSIONS.keys()
    required = tree.get("extensionsRequired", [])
    for name in (*sorted(compressed), *required):
        if name in _COMPRESSIONS:
            rule = f"the mesh is compressed with {_COMPRESSIONS[name]}, which is not read"
            do = "Export it without compression (Blender: Data, Compression off)."
            raise DataError(path, rule, got=name, do=do)
    for name in required:
        if not name.startswith(_UNDERSTOOD):
            rule = "the file requires an extension of glTF that is not read"
            raise DataError(path, rule, got=name, do="Export it without this extension.")


def _buffer(item: dict[str, Any], binary: bytes, neighbours: Neighbours) -> bytes:
    """The content of a buffer, filled up so that the next one starts at a multiple of 4."""
    uri = item.get("uri")
    if uri is None:
        content = binary
    elif uri.startswith("data:"):
        content = _data(uri)
    else:
        content = neighbours.find(uri).read_bytes()
    content = content[: item["byteLength"]]
    return content + bytes(-len(content) % 4)


def _data(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def _set_base_color(material: dict[str, Any]) -> None:
    """Replaces the colours of the older way to describe materials by those of the usual one."""
    older = material.get("extensions", {}).pop(_SPECULAR, None)
    if older is None:
        return
    usual = material.setdefault("pbrMetallicRoughness", {})
    for name, older_name in (
        ("baseColorTexture", "diffuseTexture"),
        ("baseColorFactor", "diffuseFactor"),
    ):
        if older_name in older:
            usual.setdefault(name, older[older_name])


def _base_texture(material: dict[str, Any]) -> dict[str, Any] | None:
    return material.get("pbrMetallicRoughness", {}).get("baseColorTexture")


def _check_texture(
    tree: dict[str, Any], writer: "_Writer", index: int, path: Path, neighbours: Neighbours
) -> None:
    """Raises DataError for a texture that cannot be read: trimesh leaves it out silently."""
    texture = tree["textures"][index]
    webp = texture.get("extensions", {}).get("EXT_texture_webp", {}).get("source")
    source = webp if webp is not None else texture.get("source")
    do = "Export the mesh with its textures as PNG or JPEG."
    if source is None:
        names = sorted(texture.get("extensions", {}))
        rule = "the texture has a format that is not read"
        if "KHR_texture_basisu" in names:
            rule = "the texture is compressed as KTX2 (Basis Universal), which is not read"
        raise DataError(path, rule, got=names, do=do)
    image = tree["images"][source]
    uri = image.get("uri")
    if uri is None:
        encoded = writer.view(image["bufferView"])
    else:
        encoded = _data(uri) if uri.startswith("data:") else neighbours.find(uri).read_bytes()
    if encoded[:4] == _KTX:
        rule = "the texture is compressed as KTX2 (Basis Universal), which is not read"
        raise DataError(path, rule, do=do)
    name = image.get("name") or f"texture {index}"
    picture.header(encoded, f"{path}, {name}")


def _make_plain(
    primitive: dict[str, Any], tree: dict[str, Any], writer: "_Writer", path: Path
) -> None:
    """Replaces the coordinates of triangles by floats, and their texture's by transformed ones."""
    mode = primitive.get("mode", 4)
    if mode == _TRIANGLE_FAN:
        rule = "the mesh has a fan of triangles, which is not read"
        raise DataError(path, rule, do="Export it as separate triangles.")
    if mode not in _TRIANGLES:  # points and lines, which are not rendered
        return
    attributes = primitive["attributes"]
    kept = {"POSITION": writer.as_floats(attributes["POSITION"])}
    material = tree["materials"][primitive["material"]] if "material" in primitive else {}
    texture = _base_texture(material)
    if "COLOR_0" in attributes:
        factor = _WHITE
        if texture is None and material.get("alphaMode", "OPAQUE") == "OPAQUE":
            # trimesh loses the colours of vertices beside a material without a texture
            factor = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", _WHITE)
            primitive.pop("material", None)
        kept["COLOR_0"] = writer.as_colors(attributes["COLOR_0"], factor)
    if texture is not None:
        transform = texture.get("extensions", {}).get(_TRANSFORM, {})
        number = transform.get("texCoord", texture.get("texCoord", 0))
        name = f"TEXCOORD_{number}"
        if name in attributes:
            kept["TEXCOORD_0"] = writer.as_floats(attributes[name], transform)
    primitive["attributes"] = kept
    primitive.pop("targets", None)


def transform_uv(uv: np.ndarray, transform: dict[str, Any]) -> np.ndarray:
    """Texture coordinates (n, 2), v down, scaled, turned and moved as KHR_texture_transform says.

    They turn counter-clockwise as one sees the image, by "rotation" in radians.
    """
    angle = transform.get("rotation", 0.0)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    return uv * transform.get("scale", (1, 1)) @ turn.T + transform.get("offset", (0, 0))


class _Writer:
    """A tree with its one buffer, to which arrays are added."""

    def __init__(self, tree: dict[str, Any], content: bytes) -> None:
        self._tree = tree
        self._parts = [content]
        self._content = content
        self._length = len(content)

    def view(self, index: int) -> bytes:
        """The bytes of a view of the buffer."""
        view = self._tree["bufferViews"][index]
        start = view.get("byteOffset", 0)
        return self._content[start : start + view["byteLength"]]

    def as_floats(self, index: int, transform: dict[str, Any] | None = None) -> int:
        """The index of an accessor that has the numbers of another one as floats."""
        accessor = self._tree["accessors"][index]
        if accessor["componentType"] == _FLOAT and not transform:
            return index
        values = self._numbers(accessor)
        if transform:
            values = transform_uv(values, transform)
        return self._add(values.astype(np.float32), accessor["type"])

    def as_colors(self, index: int, factor: Sequence[float]) -> int:
        """The index of an accessor that has the colours of another one, times a colour, as
        floats.
        """
        accessor = self._tree["accessors"][index]
        if accessor["componentType"] == _FLOAT and tuple(factor) == _WHITE:
            return index
        colors = self._numbers(accessor)
        colors = colors * np.asarray(factor)[: colors.shape[1]]
        return self._add(colors.astype(np.float32), accessor["type"])

    def _numbers(self, accessor: dict[str, Any]) -> np.ndarray:
        """(n, k) the numbers of an accessor, integers divided by their greatest where the file says
        that they are normalized.
        """
        if "sparse" in accessor:
            raise ValueError("sparse accessors are read as floats only")
        kind = _TYPES[accessor["componentType"]]
        dtype = np.dtype(kind)
        columns = _COLUMNS[accessor["type"]]
        view = self._tree["bufferViews"][accessor["bufferView"]]
        stride = view.get("byteStride", columns * dtype.itemsize)
        stored = np.ndarray(
            (accessor["count"], columns),
            dtype,
            buffer=self._content,
            offset=view.get("byteOffset", 0) + accessor.get("byteOffset", 0),
            strides=(stride, dtype.itemsize),
        )
        values = stored.astype(float)
        if accessor.get("normalized", False):
            values = np.maximum(values / np.iinfo(kind).max, -1)
        return values

    def _add(self, values: np.ndarray, kind: str) -> int:
        content = values.tobytes()
        view = {"buffer": 0, "byteOffset": self._length, "byteLength": len(content)}
        self._tree["bufferViews"].append(view)
        self._parts.append(content)
        self._length += len(content)
        accessor = {
            "bufferView": len(self._tree["bufferViews"]) - 1,
            "componentType": _FLOAT,
            "count": len(values),
            "type": kind,
        }
        self._tree["accessors"].append(accessor)
        return len(self._tree["accessors"]) - 1

    def glb(self) -> bytes:
        """The tree and its buffer as a GLB file."""
        self._tree["buffers"] = [{"byteLength": self._length}]
        self._tree.pop("extensionsRequired", None)
        text = json.dumps(self._tree).encode()
        text += b" " * (-len(text) % 4)
        content = b"".join(self._parts)
        length = 12 + 8 + len(text) + 8 + len(content)
        header = struct.pack("<4sII", _MAGIC, 2, length)
        first = struct.pack("<I4s", len(text), _JSON) + text
        second = struct.pack("<I4s", len(content), _BINARY) + content
        return header + first + second
