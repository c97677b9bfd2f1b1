"""Folders of meshes, cut-outs and images become a library, or an error that says what to do."""

import json
import re

import numpy as np
import pytest
import trimesh
from PIL import Image, ImageDraw
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from syndet_ray import Recipe, SceneParameters
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DataError
from syndet_ray.scenes import meshes, units
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.backgrounds import check_backgrounds
from syndet_ray.scenes.cutouts import THICKNESS, prism
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.generate import draw_scene, library_of, render
from syndet_ray.scenes.library import outline
from syndet_ray.scenes.scene import NO_CLASS
from syndet_ray.scenes.shapes import shapes
from syndet_ray.tuning.class_check import asset_classes


def solid(mesh):
    """A Mesh of ours as trimesh sees it, its seams closed."""
    shell = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    shell.merge_vertices(merge_tex=True, merge_norm=True)
    return shell


def box(sides=(1, 2, 3), at=(5, 0, 0)):
    return trimesh.creation.box(sides, trimesh.transformations.translation_matrix(at))


def card(path, size=(60, 40), mode="RGBA", hole=False):
    """A picture: red to the left, blue to the right, with a margin of 5 px that a transparent mode
    leaves out.
    """
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    alpha = Image.new("L", size)
    draw = ImageDraw.Draw(alpha)
    draw.rectangle((5, 5, size[0] - 6, size[1] - 6), fill=255)
    if hole:
        draw.rectangle((20, 15, 29, 24), fill=0)
    if mode == "RGBA":
        image.putalpha(alpha)
    image.save(path)
    return alpha


def painted(texture, *, repeats=1.0):
    """A square plate with a texture, u to the right and v up, seams along all its edges."""
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]])
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * repeats
    material = PBRMaterial(baseColorTexture=texture)
    visual = TextureVisuals(uv=np.concatenate([uv, uv]), material=material)
    return trimesh.Trimesh(np.concatenate([corners, corners]), faces, visual=visual, process=False)


@pytest.fixture
def folder(tmp_path):
    """A folder with the classes bolt and nut, a box each."""
    for name in ("bolt", "nut"):
        (tmp_path / name).mkdir()
        box().export(tmp_path / name / "a.stl")
    return tmp_path


def settings(folder, **content):
    (folder / "assets.json").write_text(json.dumps(content))


def read(path):
    return meshes.read(path, path.parent).mesh


def test_dice_have_no_meshes_but_surroundings_have():
    library = load("dice")
    assert library.classes == CLASSES
    assert (
        library.names_of(NO_CLASS)
        == [f"shapes/{i}" for i in range(len(shapes()))]
        == list(library.assets)
    )
    assert load("dice", surroundings="").assets == {}
    assert load("dice") is library
    assert len({load("dice").hash, load("dice", surroundings="").hash}) == 2


@pytest.mark.parametrize("i", range(len(shapes())))
def test_shapes_are_closed_centred_and_white(i):
    mesh = shapes()[i]
    shell = solid(mesh)
    assert shell.is_watertight and shell.is_winding_consistent and shell.volume > 0
    assert np.abs(mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)).max() < 1e-5
    assert np.isclose(shell.extents.max(), 1) and (mesh.colors == 1).all()


def test_folders_are_classes(folder):
    (folder / "bolt" / "deeper").mkdir()
    box().export(folder / "bolt" / "deeper" / "b.ply")
    (folder / "bolt" / "LICENSE").write_text("free")
    (folder / ".git").mkdir()
    library = load(str(folder), surroundings="")
    assert library.classes == ("bolt", "nut")
    assert {name: asset.label for name, asset in library.assets.items()} == {
        "bolt/a.stl": 0,
        "bolt/deeper/b.ply": 0,
        "nut/a.stl": 1,
    }
    mesh = library.assets["nut/a.stl"].mesh
    assert (
        np.allclose(mesh.vertices.max(axis=0), (0.5, 1, 1.5)) and mesh.vertices.dtype == np.float32
    )
    assert mesh.faces.dtype == np.int32 and mesh.colors.dtype == np.float32


@pytest.mark.parametrize(
    ("content", "scale"),
    [
        ({}, 0.01),
        ({"unit": "normalised", "size_m": 0.05}, 0.05 / 3),
        ({"unit": {"bolt": "normalised"}}, 0.01),
        ({"size_m": 0.3}, 0.1),
        ({"size_m": {"nut": 0.6}}, 0.2),
        ({"size_m": {"bolt": 0.6}}, 0.05 / 3),
        ({"unit": "metres"}, 1),
        ({"unit": "millimetres"}, 0.001),
        ({"unit": {"bolt": "metres", "nut": "metres"}}, 1),
    ],
)
def test_sizes(folder, content, scale):
    settings(folder, **content)
    assert load(str(folder)).assets["nut/a.stl"].scale == pytest.approx(scale)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"unit": "feet"},
            "assets.json: unit: Input should be 'normalised', 'metres', 'millimetres' or "
            "'centimetres', got 'feet'",
        ),
        ({"unit": {"bolt": "metres", "nut": "feet"}}, "assets.json: unit.nut: .*, got 'feet'"),
        (
            {"unit": {"nutt": "metres"}},
            "unit names a class that is no folder, got 'nutt'. Did you mean 'nut'?",
        ),
        ({"units": "metres"}, "assets.json: units: Extra inputs are not permitted"),
        (
            {"size_m": {"nutt": 1.0}},
            "size_m names a class that is no folder, got 'nutt'. Did you mean 'nut'?",
        ),
        ({"size_m": 50.0}, "size_m must be 0.0001 to 10 metres, got 50.0"),
    ],
)
def test_settings_that_are_wrong(folder, content, message):
    settings(folder, **content)
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        load(str(folder))


def test_settings_in_the_folder_of_a_class_are_refused_with_where_they_belong(folder):
    settings(folder / "nut", open=True)
    place, right = (
        re.escape(str(folder / "nut" / "assets.json")),
        re.escape(str(folder / "assets.json")),
    )
    with pytest.raises(
        DataError, match=rf"{place}: holds for all classes, and .*\. Move it to {right}\."
    ):
        load(str(folder))


def test_what_says_which_part_of_a_picture_is_the_thing_is_no_settings(folder):
    card(folder / "nut" / "assets.png", mode="RGB")
    (folder / "nut" / "assets.json").write_text(
        json.dumps({"polygon": [[5, 5], [50, 5], [50, 30]]})
    )
    assert "nut/assets.png" in load(str(folder)).assets


def test_units_that_no_settings_give_are_guessed_and_told(folder):
    box((10, 20, 45)).export(folder / "bolt" / "a.stl")
    box((30, 20, 95)).export(folder / "nut" / "a.stl")
    card(folder / "nut" / "card.png")  # of no size of its own
    library = load(str(folder))
    lengths = {name: library.assets[name].length_m for name in ("bolt/a.stl", "nut/a.stl")}
    assert lengths == pytest.approx({"bolt/a.stl": 0.045, "nut/a.stl": 0.095})
    assert 0.05 < library.assets["nut/card.png"].length_m < 0.07  # it looks as large as both
    (note,) = library.notes
    assert note == (
        "no unit is given for meshes: they are taken as millimetres (bolt 45 mm to nut 95 mm); "
        f'{{"unit": ...}} in {folder / "assets.json"} gives another one, and "normalised" makes '
        "all equally large"
    )


def test_normalised_meshes_and_cut_outs_look_equally_large(folder):
    """With equal longest sides a rod looks half as large as a cube of its length."""
    box((10, 1, 1)).export(folder / "bolt" / "a.stl")
    box((0.2, 0.2, 0.2)).export(folder / "nut" / "a.stl")
    card(folder / "nut" / "card.png")
    settings(folder, unit="normalised")
    assets = load(str(folder), "").assets
    for asset in assets.values():
        look = asset.scale * units.apparent_size(asset.mesh, front=asset.picture)
        assert look == pytest.approx(0.05)
    assert assets["bolt/a.stl"].length_m > 2 * assets["nut/a.stl"].length_m


def test_classes_that_disagree_get_a_unit_each(folder):
    box((10, 20, 45)).export(folder / "bolt" / "a.stl")
    box((0.03, 0.02, 0.06), at=(0, 0, 0)).export(folder / "nut" / "a.stl")
    library = load(str(folder))
    assert library.unit_m == pytest.approx((0.045 + 0.06) / 2)
    assert "taken as millimetres (bolt 45 mm) and metres (nut 60 mm)" in library.notes[0]


@pytest.mark.parametrize(
    ("longest", "content", "message"),
    [
        ({"bolt": [45e3], "nut": [95e3]}, {}, "none gives .*: bolt 45000, nut 95000. Export all"),
        ({"bolt": [4e-5], "nut": [9e-5]}, {}, "none gives .*: bolt 0.00004, nut 0.00009. Export"),
        ({"bolt": [45, 0.045], "nut": [95]}, {}, "none gives .*: bolt 0.045 to 45, nut 95. Exp"),
        (
            {"bolt": [10], "nut": [1000]},
            {},
            "a tray shows objects of 63.1 mm to 4.04 m, and not bolt 10 mm beside nut 1 m; "
            "no unit is given, and millimetres were guessed. Correct",
        ),
        (
            {"bolt": [0.3], "nut": [95]},
            {"unit": "millimetres"},
            "and not bolt 0.3 mm beside nut 95 mm. Correct",
        ),
        (
            {"bolt": [1, 1], "nut": [1]},
            {"size_m": {"nut": 0.5}},
            "of 6.25 mm to 400 mm, and not nut 500 mm beside bolt 50 mm. Correct",
        ),
    ],
)
def test_sizes_that_no_scene_shows_are_named_by_class(folder, longest, content, message):
    for name, lengths in longest.items():
        for i, length in enumerate(lengths):
            sides = (length, length / 2, length / 3)
            (folder / name / "a.stl").unlink(missing_ok=True)
            box(sides, at=(0, 0, 0)).export(folder / name / f"{i}.stl")
    settings(folder, **content)
    with pytest.raises(DataError, match=f"assets.json: .*{message}"):
        library_of(SceneParameters(assets=str(folder)))


def test_layers_show_objects_of_any_sizes(folder):
    box((0.01, 0.01, 0.01)).export(folder / "bolt" / "a.stl")
    box((1, 1, 1)).export(folder / "nut" / "a.stl")
    settings(folder, unit="metres")
    parameters = SceneParameters(assets=str(folder), arrangement="layers", image_px=64, objects=3)
    _, boxes = render(draw_scene(parameters, 0, 0), library_of(parameters))
    assert len(boxes)
    sweeps = [
        LoadedSweep(question="?", trials=0, variants={"plain": {}}, recipe=Recipe(scene=scene))
        for scene in (parameters, SceneParameters(assets=str(folder)))
    ]
    assert asset_classes(sweeps[0])
    with pytest.raises(DataError, match=r"a tray shows objects of .*scene.arrangement=layers"):
        asset_classes(sweeps[1])


@pytest.mark.parametrize(
    "content",
    [
        {"unit": "millimetres"},
        {"unit": {"bolt": "normalised", "nut": "normalised"}},
        {"size_m": {"nut": 0.1}},
        {"size_m": 0.1},
    ],
)
def test_a_unit_or_size_gives_no_note(folder, content):
    box((1, 2, 4)).export(folder / "bolt" / "a.stl")
    settings(folder, **content)
    assert load(str(folder)).notes == ()


def test_what_was_guessed_is_part_of_the_hash(folder, monkeypatch):
    hashes = load(str(folder)).hashes
    load.cache_clear()
    monkeypatch.setattr(units, "guess", lambda lengths: dict.fromkeys(lengths, "metres"))
    assert load(str(folder)).hashes["assets"] != hashes["assets"]
    load.cache_clear()


def test_the_hash_is_of_the_content(folder, tmp_path_factory):
    before = load(str(folder)).hash
    copy = tmp_path_factory.mktemp("copy")
    for name in ("bolt", "nut"):
        (copy / name).mkdir()
        (copy / name / "a.stl").write_bytes((folder / name / "a.stl").read_bytes())
    assert load(str(copy)).hash == before
    hashes = {before}
    for change in (
        lambda: settings(copy, size_m=0.1),
        lambda: card(copy / "nut" / "b.png"),
        lambda: card(copy / "nut" / "b.png", hole=True),
        lambda: card(copy / "nut" / "b.png", mode="RGB").save(copy / "nut" / "b_mask.png"),
    ):
        change()
        load.cache_clear()
        hashes.add(load(str(copy)).hash)
    assert len(hashes) == 5


# Meshes


def test_texture_and_its_orientation(tmp_path):
    image = Image.new("RGB", (8, 8), "red")
    image.paste("blue", (0, 0, 8, 4))  # the upper half
    painted(image).export(tmp_path / "a.glb")
    mesh = read(tmp_path / "a.glb")
    assert mesh.texture.tolist() == np.asarray(image).tolist()
    top = np.isclose(mesh.vertices[:, 1], mesh.vertices[:, 1].max())
    assert (mesh.uv[top, 1] == 1 - 1 / 16).all() and (mesh.uv[~top, 1] == 1 / 16).all()
    assert (mesh.colors == 1).all()


def test_a_texture_next_to_an_obj(tmp_path):
    plate = painted(None)
    plate.visual.material = SimpleMaterial(image=Image.new("RGB", (4, 4), (10, 200, 30)))
    plate.export(tmp_path / "a.obj")
    assert (read(tmp_path / "a.obj").texture == (10, 200, 30)).all()
    (tmp_path / "material_0.png").unlink()
    with pytest.raises(
        DataError,
        match=r"a.obj: the mesh needs a file that does not exist: material_0.png. Put it to",
    ):
        read(tmp_path / "a.obj")


def test_an_obj_as_they_are_downloaded_has_a_bump_map_and_options(folder):
    plate = painted(None)
    plate.visual.material = SimpleMaterial(image=Image.new("RGB", (4, 4), (10, 200, 30)))
    plate.export(folder / "nut" / "plate.obj")
    material = folder / "nut" / "material.mtl"
    with_options = material.read_text().replace("map_Kd ", "map_Kd -s 1 1 1 -clamp on ")
    material.write_text(f"{with_options}\nmap_Bump -bm 0.5 bumps.png\nmap_Ks gone.png\n")
    Image.new("RGB", (4, 4)).save(folder / "nut" / "bumps.png")
    settings(folder, open=True)
    library = load(str(folder))
    assert {name for name in library.assets if name.startswith("nut")} == {
        "nut/a.stl",
        "nut/plate.obj",
    }


def test_textures_of_one_name_in_two_folders_both_count(tmp_path):
    for name in ("bolt", "nut"):
        (tmp_path / name).mkdir()
        box().export(tmp_path / name / "a.stl")
    lines = ["mtllib a.mtl", "v 0 0 0", "v 1 0 0", "v 0 1 0", "vt 0 0", "usemtl x", "f 1/1 2/1 3/1"]
    lines += ["usemtl y", "f 1/1 3/1 2/1"]
    (tmp_path / "nut" / "two.obj").write_text("\n".join(lines))
    (tmp_path / "nut" / "a.mtl").write_text("newmtl x\nmap_Kd x/t.png\nnewmtl y\nmap_Kd y/t.png\n")
    for name in ("x", "y"):
        (tmp_path / "nut" / name).mkdir()
        Image.new("RGB", (4, 4), "red").save(tmp_path / "nut" / name / "t.png")
    settings(tmp_path, open=True)
    before = load(str(tmp_path)).hash
    Image.new("RGB", (4, 4), "blue").save(tmp_path / "nut" / "x" / "t.png")
    load.cache_clear()
    assert load(str(tmp_path)).hash != before


def test_what_is_to_be_found_keeps_its_white(folder):
    plate = trimesh.creation.box()
    plate.visual.vertex_colors = [255, 255, 255, 255]
    plate.export(folder / "nut" / "white.ply")
    library = load(str(folder))
    assert (library.assets["nut/white.ply"].mesh.colors == 1).all()
    assert not library.assets["nut/white.ply"].plain
    assert all(library.assets[name].plain for name in library.names_of(NO_CLASS))


def test_textures_that_are_missing_or_broken(tmp_path):
    header = "ply\nformat ascii 1.0\ncomment TextureFile skin.png\nelement vertex 0\nend_header\n"
    (tmp_path / "a.ply").write_text(header)
    with pytest.raises(
        DataError, match=r"a.ply: the mesh needs a file that does not exist: skin.png"
    ):
        read(tmp_path / "a.ply")
    (tmp_path / "skin.png").write_text("no image")
    with pytest.raises(DataError, match=r"skin.png: the image cannot be read"):
        read(tmp_path / "a.ply")
    tree = json.dumps({"asset": {"version": "2.0"}, "images": [{"uri": "gone.jpg"}]}).encode()
    tree += b" " * (-len(tree) % 4)
    sizes = [np.uint32(size).tobytes() for size in (2, len(tree) + 20, len(tree))]
    (tmp_path / "a.glb").write_bytes(b"glTF" + b"".join(sizes) + b"JSON" + tree)
    with pytest.raises(
        DataError, match=r"a.glb: the mesh needs a file that does not exist: gone.jpg"
    ):
        read(tmp_path / "a.glb")


def test_a_material_without_texture_colours_its_part(tmp_path):
    plate = painted(None)
    plate.visual.material = PBRMaterial(baseColorFactor=(255, 0, 51, 255))
    plate.export(tmp_path / "a.glb")
    mesh = read(tmp_path / "a.glb")
    assert mesh.texture is None and np.allclose(mesh.colors, (1, 0, 0.2))


def test_a_repeated_texture_is_unrolled(tmp_path):
    image = Image.new("RGB", (8, 8), "red")
    image.paste("blue", (0, 0, 4, 8))
    painted(image, repeats=3.0).export(tmp_path / "a.glb")
    mesh = read(tmp_path / "a.glb")
    assert mesh.texture.shape == (24, 24, 3) and np.allclose(
        (mesh.uv.min(), mesh.uv.max()), (1 / 48, 47 / 48)
    )
    assert (mesh.texture[:, 8:16] == mesh.texture[:, :8]).all()


def test_parts_become_one_mesh_with_one_texture(tmp_path):
    scene = trimesh.Scene()
    for i, color in enumerate(("red", "lime", None)):
        part = (
            box((1, 1, 1), (0, 0, 0)) if color is None else painted(Image.new("RGB", (8, 8), color))
        )
        scene.add_geometry(
            part, transform=trimesh.transformations.translation_matrix((3 * i, 0, 0))
        )
    scene.export(tmp_path / "a.glb")
    mesh = read(tmp_path / "a.glb")
    assert np.isclose(np.ptp(mesh.vertices[:, 0]), 6.5)
    columns, rows = (mesh.uv * (1, -1) + (0, 1)).T * np.array(mesh.texture.shape[1::-1])[:, None]
    colors = mesh.texture[rows.astype(int), columns.astype(int)]
    for low, color in ((-4, (255, 0, 0)), (-1, (0, 255, 0)), (2, (255, 255, 255))):
        assert (
            colors[(mesh.vertices[:, 0] > low) & (mesh.vertices[:, 0] < low + 2)] == color
        ).all()


def test_vertex_colors_are_linear_light(tmp_path):
    plate = box()
    plate.visual.vertex_colors = (255, 0, 128, 255)
    plate.export(tmp_path / "a.ply")
    assert np.allclose(read(tmp_path / "a.ply").colors, (1, 0, (128 / 255) ** 2.2))
    plate.export(tmp_path / "a.glb")
    assert np.allclose(read(tmp_path / "a.glb").colors, (1, 0, 128 / 255))


@pytest.mark.parametrize("suffix", sorted({*meshes.SUFFIXES} - {".gltf"}))
def test_faces_turn_outward_whatever_the_file_says(tmp_path, suffix):
    mesh = box()
    mesh.faces[:5] = mesh.faces[:5, ::-1]
    mesh.export(tmp_path / f"a{suffix}")
    shell = solid(read(tmp_path / f"a{suffix}"))
    assert shell.is_watertight and np.isclose(shell.volume, 6)


def test_open_meshes_are_noted_unless_that_is_intended(folder):
    mesh = box()
    mesh.update_faces(np.arange(12) > 0)
    mesh.export(folder / "nut" / "a.stl")
    library = load(str(folder))
    assert len(library.assets["nut/a.stl"].mesh.faces) == 11
    guess, note = library.notes
    assert "taken as centimetres (all 30 mm)" in guess
    assert note.startswith("1 of 2 meshes have holes, the first is nut/a.stl (3 edges with a face")
    assert str(folder / "assets.json") in note
    settings(folder, open=True, unit="centimetres")
    load.cache_clear()
    assert load(str(folder)).notes == ()


def test_meshes_without_faces(tmp_path):
    (tmp_path / "a.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\n"
        "property float y\nproperty float z\nend_header\n0 0 0\n"
    )
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\n")
    for name in ("a.ply", "a.obj"):
        with pytest.raises(DataError, match=f"{name}: the mesh has no faces. Export triangles"):
            read(tmp_path / name)


@pytest.mark.parametrize("suffix", meshes.SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"no mesh at all"], ids=["empty", "text"])
def test_files_that_are_no_meshes(tmp_path, suffix, content):
    (tmp_path / f"a{suffix}").write_bytes(content)
    rule = "the mesh (cannot be read|has no faces)" if content else "the file is empty"
    with pytest.raises(DataError, match=rf"a{suffix}: {rule}.*Export"):
        read(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("faces", ["f 1 2 2", "f 1 2 3", "f 1 2 3\nf 2 3 4"])
def test_faces_without_area_are_no_mesh(tmp_path, faces):
    (tmp_path / "a.obj").write_text(f"v 0 0 0\nv 1 0 0\nv 2 0 0\nv 3 1e-7 0\n{faces}\n")
    with pytest.raises(DataError, match=r"a.obj: the faces of the mesh have no area: .* Export"):
        read(tmp_path / "a.obj")


@pytest.mark.parametrize("faces", ["f 1 2 3", "f 1 2 3\nf 1 3 4"])
def test_a_flat_mesh_is_a_mesh(folder, faces):
    (folder / "nut" / "a.stl").unlink()
    corners = "v 0 0 0\nv 1 0 0\nv 1 2 0\nv 0 2 0"
    (folder / "nut" / "leaf.obj").write_text(f"{corners}\n{faces}\n")
    leaf = load(str(folder)).assets["nut/leaf.obj"].mesh
    assert sorted(np.ptp(outline(leaf), axis=0)) == pytest.approx([0, 1, 2])


@pytest.mark.parametrize("name", ["nut/b.glb", "screw", "assets.json"])
def test_a_link_that_leads_nowhere_is_named(folder, name):
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("/no/such/store")
    with pytest.raises(
        DataError,
        match=rf"{name}: is a link to a file that does not exist, got '/no/such/store'",
    ):
        load(str(folder))


def test_a_folder_of_meshes_without_classes_says_where_they_belong(folder, tmp_path_factory):
    loose = tmp_path_factory.mktemp("loose")
    with pytest.raises(DataError, match=r"got \[\]\. Give each class a folder, .*cut-outs\."):
        load(str(loose))
    box().export(loose / "bolt.stl")
    load.cache_clear()
    with pytest.raises(
        DataError, match=r"got \['bolt.stl'\]\. .*: move bolt.stl to .*bolt/bolt.stl"
    ):
        load(str(loose))


@pytest.mark.parametrize("content", ["", "{unit:", "[]"])
def test_settings_that_are_no_json_are_named(folder, content):
    (folder / "assets.json").write_text(content)
    with pytest.raises(
        DataError, match=r"assets.json: must be JSON such as \{.unit.: .* It may hold"
    ):
        load(str(folder))


def test_a_folder_with_one_class_is_a_library(folder):
    (folder / "bolt" / "a.stl").unlink()
    (folder / "bolt").rmdir()
    assert load(str(folder)).classes == ("nut",)


def test_backgrounds_that_are_too_small_are_named(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    Image.new("RGB", (600, 63)).save(tmp_path / "b.png")
    with pytest.raises(
        DataError,
        match=r"b.png: a background must have at least 64 px .*, got '600 x 63'\. Replace",
    ):
        load("dice", "", str(tmp_path))


def test_a_background_of_half_a_file_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    library = load("dice", "", str(tmp_path))
    check_backgrounds(library)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"a.png: the image cannot be read \(it is cut short"):
        check_backgrounds(library)


def test_points_that_are_no_numbers_or_all_one(tmp_path):
    for value, rule in (
        ("nan", "vertices must be finite"),
        ("1", "all corners of the mesh are one point"),
    ):
        (tmp_path / "a.obj").write_text(f"v 1 1 {value}\n" * 3 + "f 1 2 3\n")
        with pytest.raises(DataError, match=rule):
            read(tmp_path / "a.obj")


def test_too_many_faces(tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, "MAX_FACES", 11)
    box().export(tmp_path / "a.stl")
    with pytest.raises(DataError, match=r"at most 11 faces, got 12. Simplify it"):
        read(tmp_path / "a.stl")


@pytest.mark.parametrize(
    ("sides", "hint"),
    [
        ((20, 20, 30), "; mesh units look like millimetres, got 30"),
        ((1e-5, 1e-5, 1e-5), ", got 1e-05"),
    ],
)
def test_sizes_that_nothing_has(folder, sides, hint):
    settings(folder, unit="metres")
    box(sides, (0, 0, 0)).export(folder / "nut" / "a.ply")
    with pytest.raises(DataError, match=r"a.ply: its longest side must be 0.0001 to 10 m" + hint):
        load(str(folder))


# Cut-outs


def test_a_cut_out_is_a_thin_closed_card_that_wears_its_picture(folder):
    card(folder / "nut" / "card.png")
    mesh = load(str(folder)).assets["nut/card.png"].mesh
    shell = solid(mesh)
    assert shell.is_watertight and np.isclose(shell.volume, 0.6 * THICKNESS, rtol=0.02)
    assert np.allclose(shell.extents, (1, 0.6, THICKNESS), atol=0.01)
    left = mesh.vertices[:, 0] < 0
    assert (mesh.uv[left, 0] < 0.05).all() and (mesh.uv[~left, 0] > 0.95).all()
    upper = mesh.vertices[:, 1] > 0
    assert (mesh.uv[upper, 1] > 0.95).all() and (mesh.uv[~upper, 1] < 0.05).all()
    assert mesh.texture[0, 0].tolist() == [255, 0, 0] and mesh.texture[-1, -1].tolist() == [
        0,
        0,
        255,
    ]


def test_holes_go_through(folder):
    card(folder / "nut" / "card.png", hole=True)
    shell = solid(load(str(folder)).assets["nut/card.png"].mesh)
    assert shell.is_watertight and shell.euler_number == 0
    assert np.isclose(shell.volume, (0.6 - 0.04) * THICKNESS, rtol=0.03)


def test_the_colour_behind_a_cut_out_does_not_shine_through(folder):
    image = Image.new("RGBA", (40, 40), (0, 255, 0, 0))
    ImageDraw.Draw(image).ellipse((5, 5, 34, 34), fill=(200, 0, 0, 255))
    image.save(folder / "nut" / "disc.png")
    assert (load(str(folder)).assets["nut/disc.png"].mesh.texture == (200, 0, 0)).all()


@pytest.mark.parametrize("kind", ["mask", "polygon"])
def test_a_picture_with_a_mask_or_polygon(folder, kind):
    alpha = card(folder / "nut" / "card.jpg", mode="RGB")
    if kind == "mask":
        alpha.save(folder / "nut" / "card_mask.png")
    else:
        (folder / "nut" / "card.json").write_text(
            '{"polygon": [[5, 5], [55, 5], [55, 35], [5, 35]]}'
        )
    library = load(str(folder))
    assert list(library.assets)[1:3] == ["nut/a.stl", "nut/card.jpg"]
    assert np.allclose(
        solid(library.assets["nut/card.jpg"].mesh).extents, (1, 0.6, THICKNESS), atol=0.01
    )


def test_any_mask_gives_a_closed_mesh(folder):
    rng = np.random.default_rng(0)
    Image.fromarray(np.uint8(rng.integers(0, 2, (24, 24, 4)) * 255)).save(
        folder / "nut" / "noise.png"
    )
    mesh = load(str(folder)).assets["nut/noise.png"].mesh
    edges = np.sort(trimesh.geometry.faces_to_edges(mesh.faces), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0).all()
    assert solid(mesh).volume > 0


def test_cut_outs_without_alpha(folder):
    card(folder / "nut" / "card.png", mode="RGB")
    with pytest.raises(
        DataError, match=r"card.png: a cut-out must say .* no transparency. Save it as PNG with"
    ):
        load(str(folder))


def test_cut_outs_that_show_nothing(folder):
    Image.new("RGBA", (9, 9)).save(folder / "nut" / "card.png")
    with pytest.raises(DataError, match=r"card.png: the cut-out shows nothing"):
        load(str(folder))


@pytest.mark.parametrize(
    "content", ["{", "{}", "[]", '{"polygon": [[1, 2], [3, 4]]}', '{"polygon": [["a", 2]]}']
)
def test_polygons_that_are_none(folder, content):
    card(folder / "nut" / "card.png", mode="RGB")
    (folder / "nut" / "card.json").write_text(content)
    with pytest.raises(
        DataError, match=r'card.json: must hold {"polygon": .* with three points or more'
    ):
        load(str(folder))


def test_masks_of_another_size(folder):
    card(folder / "nut" / "card.png", mode="RGB")
    Image.new("L", (4, 6)).save(folder / "nut" / "card_mask.png")
    with pytest.raises(
        DataError, match=r"card_mask.png: a mask must be .* 60 x 40 pixels, got \(4, 6\)"
    ):
        load(str(folder))


def test_pictures_that_cannot_be_read(folder):
    (folder / "nut" / "card.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"card.png: the image cannot be read"):
        load(str(folder))


def test_a_prism_does_not_care_which_way_its_rings_run():
    outer = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], float)
    inner = np.array([[1, 1], [2, 1], [2, 2], [1, 2]], float)
    for rings in ([outer, inner], [outer[::-1], inner], [outer, inner[::-1]]):
        shell = trimesh.Trimesh(*prism(rings, 2.0), process=False)
        assert shell.is_watertight and np.isclose(shell.volume, 30)


# Folders


def test_surroundings_and_backgrounds_from_folders(folder, tmp_path_factory):
    around, behind = tmp_path_factory.mktemp("around"), tmp_path_factory.mktemp("behind")
    (around / "deeper").mkdir()
    box().export(around / "deeper" / "a.stl")
    card(around / "b.png")
    for name in ("b.jpg", "a.PNG"):
        Image.new("RGB", (64, 64)).save(behind / name)
    (behind / "README.md").write_text("mine")
    library = load("dice", str(around), str(behind))
    assert library.names_of(NO_CLASS) == ["surroundings:b.png", "surroundings:deeper/a.stl"]
    assert library.backgrounds == (str(behind / "a.PNG"), str(behind / "b.jpg"))


def test_backgrounds_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"holds no images for backgrounds, got \[\]"):
        load("dice", "shapes", str(tmp_path))
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"a.jpg: the image cannot be read"):
        load("dice", "shapes", str(tmp_path))


def test_a_folder_without_classes_is_refused_and_one_class_is_enough(tmp_path):
    rule = r"must hold folders, each with the name of a class, got \[\]. Give each class a folder"
    with pytest.raises(DataError, match=rule):
        load(str(tmp_path))
    (tmp_path / "nut").mkdir()
    trimesh.creation.icosphere(1).export(tmp_path / "nut" / "nut.ply")
    library = load(str(tmp_path))
    assert library.classes == ("nut",)
    (tmp_path / "nut" / "nut.ply").unlink()
    with pytest.raises(DataError, match=r"nut: holds no mesh and no cut-out"):
        load.__wrapped__(str(tmp_path))


def test_classes_without_assets(folder):
    (folder / "empty").mkdir()
    (folder / "empty" / "notes.txt").write_text("")
    with pytest.raises(
        DataError,
        match=r"empty: holds no mesh and no cut-out, got \['notes.txt'\]. Meshes are .glb",
    ):
        load(str(folder))


def test_folders_that_are_none(tmp_path):
    with pytest.raises(DataError, match="nowhere: does not exist"):
        load(str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: is not a folder"):
        load("dice", str(tmp_path / "file"))


# Poses and colours by class


@pytest.mark.parametrize(("suffix", "up"), [(".glb", "y"), (".obj", "y"), (".stl", "z")])
def test_the_upper_side_is_that_of_the_format_unless_told(tmp_path, suffix, up):
    (tmp_path / "nail").mkdir()
    shape = trimesh.creation.box((1, 2, 3))
    shape.export(tmp_path / "nail" / f"a{suffix}")
    sides = {"y": (1, 3, 2), "z": (1, 2, 3)}
    for told in (None, "y", "z"):
        if told is not None:
            settings(tmp_path, up={"nail": told})
        load.cache_clear()
        mesh = load(str(tmp_path), "").assets[f"nail/a{suffix}"].mesh
        assert np.allclose(np.ptp(mesh.vertices, axis=0), sides[told or up])
        shell = solid(mesh)
        assert shell.is_watertight and shell.volume > 0 and mesh.vertices.dtype == np.float32


def test_poses_and_colours_by_class(folder):
    settings(folder, pose={"nut": "upright"}, color={"bolt": "#ff0000"})
    assets = load(str(folder), "").assets
    assert {name: asset.pose for name, asset in assets.items()} == {
        "bolt/a.stl": "rest",
        "nut/a.stl": "upright",
    }
    assert np.allclose(assets["bolt/a.stl"].mesh.colors, (1, 0, 0))
    assert not np.allclose(assets["nut/a.stl"].mesh.colors, (1, 0, 0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pose": "lying"}, "pose"),
        ({"pose": {"nuts": "rest"}}, "pose names a class that is no folder, got 'nuts'.*nut"),
        ({"color": "red"}, "color"),
        ({"up": {"bolts": "y"}}, "up names a class that is no folder"),
    ],
)
def test_poses_and_colours_that_are_none(folder, content, message):
    settings(folder, **content)
    with pytest.raises(DataError, match=f"assets.json: .*{message}"):
        load(str(folder))
