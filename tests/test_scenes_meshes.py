"""Meshes as people download them keep their colours and shapes, or say what is not read."""

import io
import json
import struct

import numpy as np
import pytest
from PIL import Image

from syndet_ray.errors import DataError
from syndet_ray.scenes import gltf, meshes, transparency
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.neighbours import Neighbours, below

RED, BLUE = (220, 20, 20), (20, 20, 220)
# a plate, two triangles that show one point of the texture: its left half
PLATE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
FACES = np.array([0, 1, 2, 0, 2, 3], np.uint16)
LEFT = np.array([[0.1, 0.3], [0.4, 0.3], [0.4, 0.7], [0.1, 0.7]], np.float32)
FLOAT, UINT16, INT16, UINT8 = 5126, 5123, 5122, 5121


def halves(kind="PNG", alpha=None):
    """An encoded image, red to the left and blue to the right."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = RED, BLUE
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    out = io.BytesIO()
    image.save(out, kind, lossless=True)
    return out.getvalue()


def tree_of(arrays, image):
    """A glTF tree and its buffer: a plate with a texture. arrays: positions, uv, indices."""
    parts = [array.tobytes() + bytes(-array.nbytes % 4) for array in arrays] + [image]
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    views = []
    for start, part in zip(starts, parts, strict=False):
        views.append({"buffer": 0, "byteOffset": start, "byteLength": len(part)})
    types = {"float32": FLOAT, "uint16": UINT16, "int16": INT16, "uint8": UINT8}
    accessors = []
    for i, (array, kind) in enumerate(zip(arrays, ("VEC3", "VEC2", "SCALAR"), strict=True)):
        accessor = {"bufferView": i, "componentType": types[str(array.dtype)], "type": kind}
        accessors.append(accessor | {"count": len(array)})
    attributes = {"POSITION": 0, "TEXCOORD_0": 1}
    primitive = {"attributes": attributes, "indices": 2, "material": 0}
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
    }
    return tree, b"".join(parts)


def plate(path, *, edit=lambda tree: None, uv=LEFT, positions=PLATE, image=None):
    """Writes a plate as GLB, or as glTF with its buffer beside it, after `edit` of its tree."""
    tree, content = tree_of((positions, uv, FACES), halves() if image is None else image)
    edit(tree)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gltf":
        path.with_name("scene.bin").write_bytes(content)
        tree["buffers"][0]["uri"] = "scene.bin"
        path.write_text(json.dumps(tree))
        return path
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    content += bytes(-len(content) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(content))
    first = struct.pack("<I4s", len(text), b"JSON") + text
    path.write_bytes(header + first + struct.pack("<I4s", len(content), b"BIN\0") + content)
    return path


def read(path):
    return meshes.read(path, path.parent)


def colors_of(mesh):
    """(v, 3) the colours of a mesh's texture at its vertices."""
    height, width = mesh.texture.shape[:2]
    u, v = mesh.uv.T
    columns = np.minimum(u * width, width - 1).astype(int)
    rows = np.minimum((1 - v) * height, height - 1).astype(int)
    return mesh.texture[rows, columns]


def shows(path, color):
    """True if the texture of a mesh has one colour at all vertices."""
    return (colors_of(read(path).mesh) == color).all()


def extend(**extensions):
    """An edit that adds extensions to the base colour's texture."""

    def edit(tree):
        material = tree["materials"][0]["pbrMetallicRoughness"]
        material["baseColorTexture"]["extensions"] = extensions

    return edit


# glTF


def test_a_texture_is_read_as_it_stands(tmp_path):
    assert shows(plate(tmp_path / "a.glb"), RED)
    assert shows(plate(tmp_path / "b.glb", uv=LEFT + np.float32([0.5, 0])), BLUE)


def test_a_gltf_with_its_buffer_beside_it(tmp_path):
    assert shows(plate(tmp_path / "scene.gltf"), RED)


def test_normalized_integers_are_shares_of_their_greatest(tmp_path):
    def normalize(tree):
        for accessor in tree["accessors"][:2]:
            accessor["normalized"] = True

    uv = np.round(LEFT * 65535).astype(np.uint16)
    path = plate(tmp_path / "a.glb", uv=uv, edit=normalize)
    assert shows(path, RED)
    # three numbers of two bytes: each vertex starts at a multiple of four
    stored = np.zeros((4, 4), np.int16)
    stored[:, :3] = np.round(PLATE * 32767)

    def quantize(tree):
        normalize(tree)
        tree["accessors"][1].pop("normalized")
        tree["bufferViews"][0]["byteStride"] = 8
        tree["extensionsRequired"] = ["KHR_mesh_quantization"]

    mesh = read(plate(tmp_path / "b.glb", positions=stored, edit=quantize)).mesh
    assert np.allclose(np.ptp(mesh.vertices, axis=0), (1, 1, 0), atol=1e-4)


@pytest.mark.parametrize(
    ("transform", "color"),
    [
        ({"offset": [0.5, 0]}, BLUE),
        ({"scale": [0.5, 1]}, RED),
        ({"offset": [1, 1], "rotation": np.pi}, BLUE),
    ],
)
def test_a_transformed_texture(tmp_path, transform, color):
    assert shows(plate(tmp_path / "a.glb", edit=extend(KHR_texture_transform=transform)), color)


def test_coordinates_turn_counter_clockwise_as_one_sees_the_image():
    # v runs down: the point to the right of the origin turns up, to a negative v
    turned = gltf.transform_uv(np.array([[1.0, 0.0]]), {"rotation": np.pi / 2})
    assert np.allclose(turned, [[0, -1]])
    both = gltf.transform_uv(np.array([[1.0, 1.0]]), {"scale": [2, 3], "offset": [0.25, 0.5]})
    assert np.allclose(both, [[2.25, 3.5]])


@pytest.mark.parametrize(
    ("materials", "color"),
    [
        ([{}], (0.5, 0.5, 0.5)),
        ([{"pbrMetallicRoughness": {"baseColorFactor": [1, 0.5, 0, 1]}}], (0.5, 0.25, 0)),
    ],
)
@pytest.mark.parametrize("half", [np.float32(0.5), np.uint16(32768)])
def test_vertex_colours_are_shares_of_their_greatest_too(tmp_path, half, materials, color):
    path = tmp_path / "a.glb"

    def painted(tree):
        # the place of the texture's coordinates holds colours instead
        attributes = tree["meshes"][0]["primitives"][0]["attributes"]
        attributes["COLOR_0"] = attributes.pop("TEXCOORD_0")
        tree["accessors"][1].update(type="VEC4", normalized=half.dtype == np.uint16)
        tree["materials"] = materials

    mesh = read(plate(path, uv=np.full((4, 4), half), edit=painted)).mesh
    assert np.allclose(mesh.colors, color, atol=0.01)


def test_coordinates_of_one_byte(tmp_path):
    bytes_of_uv = np.zeros((4, 4), np.uint8)  # each vertex starts at a multiple of four
    bytes_of_uv[:, :2] = np.round(LEFT * 255)

    def normalize(tree):
        tree["accessors"][1].update(type="VEC2", normalized=True)
        tree["bufferViews"][1]["byteStride"] = 4

    assert shows(plate(tmp_path / "a.glb", uv=bytes_of_uv, edit=normalize), RED)


def test_the_second_set_of_coordinates(tmp_path):
    def second(tree):
        attributes = tree["meshes"][0]["primitives"][0]["attributes"]
        attributes["TEXCOORD_1"] = attributes.pop("TEXCOORD_0")
        material = tree["materials"][0]["pbrMetallicRoughness"]
        material["baseColorTexture"]["texCoord"] = 1

    assert shows(plate(tmp_path / "a.glb", edit=second), RED)


def test_colours_of_the_older_description(tmp_path):
    def older(tree):
        diffuse = {"diffuseTexture": {"index": 0}, "diffuseFactor": [1, 1, 1, 1]}
        extensions = {"KHR_materials_pbrSpecularGlossiness": diffuse}
        tree["materials"] = [{"extensions": extensions}]

    assert shows(plate(tmp_path / "a.glb", edit=older), RED)


def test_the_older_description_without_a_texture(tmp_path):
    def older(tree):
        extension = {"diffuseFactor": [1, 0, 0.2, 1]}
        tree["materials"] = [{"extensions": {"KHR_materials_pbrSpecularGlossiness": extension}}]

    mesh = read(plate(tmp_path / "a.glb", edit=older)).mesh
    assert mesh.texture is None and np.allclose(mesh.colors, (1, 0, 0.2), atol=0.01)


def test_materials_without_light_keep_their_texture(tmp_path):
    def unlit(tree):
        tree["materials"][0]["extensions"] = {"KHR_materials_unlit": {}}
        tree["extensionsRequired"] = ["KHR_materials_unlit"]

    assert shows(plate(tmp_path / "a.glb", edit=unlit), RED)


def test_a_webp_texture(tmp_path):
    def webp(tree):
        tree["textures"] = [{"extensions": {"EXT_texture_webp": {"source": 0}}}]
        tree["images"][0]["mimeType"] = "image/webp"
        tree["extensionsRequired"] = ["EXT_texture_webp"]

    assert shows(plate(tmp_path / "a.glb", edit=webp, image=halves("WEBP")), RED)


def basisu(tree):
    tree["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]
    tree["extensionsRequired"] = ["KHR_texture_basisu"]


def dds(tree):
    tree["textures"] = [{"extensions": {"MSFT_texture_dds": {"source": 0}}}]


def inline(tree):
    tree["images"] = [{"uri": "data:image/png;base64,bm8gaW1hZ2U="}]


def sparse(tree):
    tree["accessors"][1]["sparse"] = {"count": 1}


def draco(tree):
    compressed = {"bufferView": 0, "attributes": {"POSITION": 0}}
    extensions = {"KHR_draco_mesh_compression": compressed}
    tree["meshes"][0]["primitives"][0]["extensions"] = extensions
    for accessor in tree["accessors"]:
        accessor.pop("bufferView")


def meshopt(tree):
    tree["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {"buffer": 0}}


def unknown(tree):
    tree["extensionsRequired"] = ["VENDOR_splats"]


def fan(tree):
    tree["meshes"][0]["primitives"][0]["mode"] = 6


@pytest.mark.parametrize(
    ("edit", "image", "message"),
    [
        (basisu, None, "texture is compressed as KTX2 .*Export .* PNG or JPEG"),
        (lambda tree: None, b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(99), "compressed as KTX2"),
        (lambda tree: None, b"not an image at all", "texture 0: the image cannot be read"),
        (dds, None, r"texture has a format that is not read, got \['MSFT_texture_dds'\]"),
        (inline, None, "texture 0: the image cannot be read"),
        (sparse, None, "sparse accessors"),
        (draco, None, "compressed with Draco, .* Export it without compression"),
        (meshopt, None, "compressed with meshopt, .* Export it without compression"),
        (unknown, None, "extension of glTF that is not read, got 'VENDOR_splats'"),
        (fan, None, "fan of triangles"),
        (lambda tree: tree["accessors"][0].update(count=10**9), None, "cannot be read"),
        (lambda tree: tree["bufferViews"].clear(), None, "cannot be read"),
        (lambda tree: tree.update(asset={"version": "1.0"}), None, "glTF of version 2"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, edit, image, message):
    uv = np.round(LEFT * 65535).astype(np.uint16)
    with pytest.raises(DataError, match=rf"a.glb.*{message}"):
        read(plate(tmp_path / "a.glb", edit=edit, image=image, uv=uv))


def test_names_of_files_in_gltf_are_decoded(tmp_path):
    def apart(tree):
        tree["images"] = [{"uri": "my%20textures/skin%231.png"}]

    path = plate(tmp_path / "scene.gltf", edit=apart)
    with pytest.raises(DataError, match=r"needs a file that does not exist: skin#1.png"):
        read(path)
    (tmp_path / "my textures").mkdir()
    (tmp_path / "my textures" / "skin#1.png").write_bytes(halves())
    assert shows(path, RED)


# Transparency


def test_a_masked_texture_is_cut_out_of_the_mesh(tmp_path):
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, :16] = 255  # the left quarter is opaque
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)

    def masked(tree):
        tree["materials"][0]["alphaMode"] = "MASK"

    image = halves(alpha=alpha)
    mesh = read(plate(tmp_path / "a.glb", edit=masked, uv=whole, image=image)).mesh
    assert np.allclose(np.ptp(mesh.vertices, axis=0), (0.25, 1, 0), atol=0.01)
    assert (colors_of(mesh) == RED).all()  # and not the colour behind what is transparent
    opaque = read(plate(tmp_path / "b.glb", uv=whole, image=image))
    assert np.allclose(np.ptp(opaque.mesh.vertices, axis=0), (1, 1, 0))
    assert not opaque.is_blended


def test_glass_stays_and_is_noted(tmp_path):
    def blended(tree):
        tree["materials"][0]["alphaMode"] = "BLEND"

    glass = np.full((64, 64), 60, np.uint8)
    plate(tmp_path / "jar" / "a.glb", edit=blended, image=halves(alpha=glass))
    library = load(str(tmp_path))
    assert len(library.assets["jar/a.glb"].mesh.faces) == 2
    assert any("1 of 1 meshes have parts that light shines through" in n for n in library.notes)


def test_cutting_keeps_the_area_of_what_is_opaque():
    rows, columns = np.indices((128, 128))
    opaque = (rows - 64) ** 2 + (columns - 64) ** 2 < 40**2
    corners = PLATE[FACES.reshape(-1, 3)].astype(float)
    uv = corners[..., :2]
    kept, kept_uv = transparency.cut(corners, uv, opaque)
    sides = np.diff(kept, axis=1)
    area = np.abs(np.cross(sides[:, 0], sides[:, 1])[:, 2]).sum() / 2
    assert np.isclose(area, np.pi * (40 / 128) ** 2, rtol=0.03)
    assert np.allclose(kept[..., :2], kept_uv)
    for nothing in (np.zeros((8, 8), bool), np.ones((8, 8), bool)):
        kept, _ = transparency.cut(corners, uv, nothing)
        assert len(kept) == (2 if nothing.all() else 0)


# Names of textures and materials


def obj(folder, material, library="mtllib a.mtl"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.mtl").write_text(f"newmtl skin\nKd 0.8 0.8 0.8\n{material}\n")
    lines = [library]
    lines += ["v {} {} {}".format(*vertex) for vertex in PLATE]
    lines += ["vt {} {}".format(*point) for point in LEFT]
    lines += ["usemtl skin", "f 1/1 2/2 3/3", "f 1/1 3/3 4/4"]
    (folder / "a.obj").write_text("\n".join(lines) + "\n")
    return folder / "a.obj"


@pytest.mark.parametrize(
    "material",
    [
        "map_Kd skin.png",
        "map_Kd -s 1 1 1 skin.png",
        "map_Kd -blendu on -o 0 0.5 -bm 1e-3 skin.png",
        r"map_Kd C:\Users\someone\models\skin.png",
        "map_Kd /textures/skin.png",
        "map_Kd SKIN.PNG",
        "MAP_KD skin.png",
        "map_Kd file:///C:/models/skin.png",
        r"map_Kd ..\elsewhere\skin.png",
    ],
)
def test_textures_by_the_names_of_other_computers(tmp_path, material):
    path = obj(tmp_path, material)
    (tmp_path / "skin.png").write_bytes(halves())
    assert shows(path, RED)


def test_a_texture_in_a_folder_beside_the_mesh(tmp_path):
    path = obj(tmp_path / "apple" / "source", r"map_Kd D:\work\skin.png")
    textures = tmp_path / "apple" / "textures"
    textures.mkdir()
    (textures / "skin.png").write_bytes(halves())
    (textures / "normals.png").write_bytes(halves())
    library = load(str(tmp_path), surroundings="")
    assert list(library.assets) == ["apple/source/a.obj"]
    assert (colors_of(library.assets["apple/source/a.obj"].mesh) == RED).all()
    assert path.is_file()


def test_several_libraries_in_one_line(tmp_path):
    path = obj(tmp_path, "map_Kd skin.png", "mtllib other.mtl a.mtl")
    (tmp_path / "skin.png").write_bytes(halves())
    (tmp_path / "other.mtl").write_text("newmtl x\nKd 0 0 0\n")
    assert shows(path, RED)


def test_libraries_in_lines_of_their_own_and_with_a_space(tmp_path):
    path = obj(tmp_path, "map_Kd skin.png", "mtllib other.mtl\nmtllib my material.mtl")
    (tmp_path / "skin.png").write_bytes(halves())
    (tmp_path / "a.mtl").rename(tmp_path / "my material.mtl")
    (tmp_path / "other.mtl").write_text("newmtl x\nKd 0 0 0\n")
    assert shows(path, RED)


def test_what_lies_outside_is_not_read(tmp_path):
    (tmp_path / "secret.png").write_bytes(halves())
    inside = tmp_path / "assets" / "apple"
    path = obj(inside, f"map_Kd {tmp_path / 'secret.png'}")
    for name in (str(tmp_path / "secret.png"), "../../secret.png", "..%2f..%2fsecret.png"):
        assert Neighbours(path, inside).find(name) == inside / "secret.png"
    with pytest.raises(DataError, match=r"needs a file that does not exist: secret.png"):
        load(str(tmp_path / "assets"))


def test_links_to_folders_are_followed_once(tmp_path):
    store = tmp_path / "store"
    plate(store / "a.glb")
    (tmp_path / "assets" / "apple").mkdir(parents=True)
    (tmp_path / "assets" / "apple" / "batch").symlink_to(store)
    (store / "back").symlink_to(tmp_path / "assets" / "apple")
    assert list(load(str(tmp_path / "assets"), surroundings="").assets) == ["apple/batch/a.glb"]
    assert [path.name for path in below(store)] == ["a.glb"]


def test_a_link_to_a_folder_above_brings_no_other_class(tmp_path):
    plate(tmp_path / "assets" / "apple" / "a.glb")
    plate(tmp_path / "assets" / "pear" / "b.glb")
    (tmp_path / "assets" / "apple" / "up").symlink_to(tmp_path / "assets")
    library = load(str(tmp_path / "assets"), surroundings="")
    assert list(library.assets) == ["apple/a.glb", "pear/b.glb"]


def test_a_folder_has_its_own_name_whatever_links_lead_to_it(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "real")
    plate(tmp_path / "real" / "a.glb")
    (tmp_path / "z").symlink_to(tmp_path / "real")
    assert below(tmp_path) == [tmp_path / "real" / "a.glb"]


def test_a_link_to_a_class_and_a_link_to_a_file(tmp_path):
    store = tmp_path / "store"
    plate(store / "a.glb")
    (tmp_path / "assets" / "pear").mkdir(parents=True)
    (tmp_path / "assets" / "apple").symlink_to(store)
    (tmp_path / "assets" / "pear" / "b.glb").symlink_to(store / "a.glb")
    library = load(str(tmp_path / "assets"), surroundings="")
    assert list(library.assets) == ["apple/a.glb", "pear/b.glb"]


# Folders as they are downloaded


def test_a_model_of_another_format_is_named_and_its_textures_are_no_cut_outs(tmp_path):
    (tmp_path / "apple" / "textures").mkdir(parents=True)
    (tmp_path / "apple" / "textures" / "skin.png").write_bytes(
        halves(alpha=np.tri(64, dtype=np.uint8) * 255)
    )
    (tmp_path / "apple" / "apple.fbx").write_bytes(b"Kaydara FBX Binary")
    with pytest.raises(DataError, match=r"apple.fbx: .*not read, got '.fbx'. Export it as GLB"):
        load(str(tmp_path))
    plate(tmp_path / "apple" / "apple.glb")
    assert list(load(str(tmp_path), surroundings="").assets) == ["apple/apple.glb"]


@pytest.mark.parametrize("suffix", [".blend", ".dae", ".usdz"])
def test_models_of_other_programs_beside_a_texture(tmp_path, suffix):
    (tmp_path / "apple").mkdir()
    (tmp_path / "apple" / f"apple{suffix}").write_bytes(b"not read")
    (tmp_path / "apple" / "skin.png").write_bytes(halves(alpha=np.tri(64, dtype=np.uint8) * 255))
    with pytest.raises(DataError, match=rf"apple{suffix}: .*not read, got '{suffix}'"):
        load(str(tmp_path))


@pytest.mark.parametrize("alpha", [255, 254, 128])
def test_a_cut_out_of_which_nothing_is_transparent(tmp_path, alpha):
    (tmp_path / "apple").mkdir()
    Image.new("RGBA", (40, 30), (200, 60, 60, alpha)).save(tmp_path / "apple" / "shot.png")
    with pytest.raises(DataError, match=r"shot.png: .*nothing in it is transparent"):
        load(str(tmp_path))


def test_a_mask_that_shows_all_of_its_image(tmp_path):
    (tmp_path / "apple").mkdir()
    Image.new("RGB", (40, 30), (200, 60, 60)).save(tmp_path / "apple" / "shot.png")
    Image.new("L", (40, 30), 255).save(tmp_path / "apple" / "shot_mask.png")
    with pytest.raises(DataError, match=r"shot_mask.png: a mask must say .* bright everywhere"):
        load(str(tmp_path))
