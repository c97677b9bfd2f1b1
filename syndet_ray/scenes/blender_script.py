"""Blender script: path-traces scenes with Cycles; a program that `blender` starts.

    python blender_script.py FOLDER SAMPLES

It imports bpy, NumPy and the standard library, but not syndet_ray, and syndet_ray does not import
it: bpy is under the GPL, and syndet_ray, which only gives files to this program, stays under
Apache-2.0.

For every <name>.json in FOLDER, a `Scene` as JSON, in order of their names, it reads <name>.npz and
writes <name>.out (a .npy, (h, w, 4) float32, whole and then renamed): linear radiance, and the body
at the pixel's centre or -1.

<name>.npz holds the scene's meshes in the world, its bodies first, numbered from 0: "0.vertices"
(v, 3) metres, "0.faces" (f, 3), "0.colors" (v, 3) linear RGB; and if the mesh has them
"0.normals" (v, 3), "0.uv" (v, 2) with v up, "0.texture", the number k of "texture.k" (h, w, 3)
linear RGB, by which the colours are multiplied and which repeats, and "0.recolor" (3, 3), by which
both are multiplied.
"""

import json
import math
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector  # comes with bpy

# Blender takes an attribute named "color" for the object's colour, which is black.
_PAINT = "paint"
# Light reflected more often than this is too weak to be visible.
BOUNCES = 3
# Widths of the pixel filter, in pixels: rays of the image are spread as in a camera, those of the
# ids all meet the centre.
IMAGE_FILTER, IDS_FILTER = 1.5, 0.01


def render(path: Path, samples: int) -> None:
    """Renders one scene, a .json with its .npz of the same name."""
    scene = json.loads(path.read_text(encoding="utf-8"))
    arrays = np.load(path.with_suffix(".npz"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    images: dict = {}
    meshes: dict = {}
    for name in arrays.files:
        owner, key = name.split(".")
        if owner == "texture":
            images[int(key)] = _image(arrays[name])
        else:
            meshes.setdefault(int(owner), {})[key] = arrays[name]
    bodies = scene["bodies"]
    for number in range(len(meshes)):
        is_body = number < len(bodies)
        index, gloss = (number, bodies[number]["gloss"]) if is_body else (-1, 0.0)
        _add_mesh(meshes[number], images, index=index, gloss=gloss)
    _add_light(scene["light"], scene["ground"]["horizon"])
    _add_camera(scene["camera"])
    _set_up(scene["camera"]["size_wh"], scene["jitter"])
    output = np.concatenate([_radiance(path, samples), _ids(path)], axis=2)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, output)
    partial.rename(path.with_suffix(".out"))


def _add_mesh(arrays: dict, images: dict, *, index: int, gloss: float) -> None:
    mesh = bpy.data.meshes.new("mesh")
    mesh.from_pydata(
        arrays["vertices"].tolist(),
        [],
        arrays["faces"].tolist(),
        shade_flat="normals" not in arrays,
    )
    mesh.attributes.new(_PAINT, "FLOAT_COLOR", "POINT").data.foreach_set(
        "color", _rgba(arrays["colors"]).ravel()
    )
    if "normals" in arrays:
        mesh.normals_split_custom_set_from_vertices(arrays["normals"].tolist())
    if "uv" in arrays:
        corners = arrays["uv"][arrays["faces"].ravel()]
        mesh.uv_layers.new().data.foreach_set("uv", corners.astype(np.float32).ravel())
    texture = images[int(arrays["texture"])] if "texture" in arrays else None
    mesh.materials.append(_material(texture, arrays.get("recolor"), gloss))
    body = bpy.data.objects.new("body", mesh)
    body.pass_index = index + 1  # Blender's indices start at 0
    bpy.context.collection.objects.link(body)


def _material(
    texture: bpy.types.Image | None, recolor: np.ndarray | None, gloss: float
) -> bpy.types.Material:
    """A painted surface; with more gloss it mirrors more, and more sharply."""
    material = bpy.data.materials.new("material")
    material.use_nodes = True
    tree = material.node_tree
    surface = tree.nodes["Principled BSDF"].inputs
    surface["Specular IOR Level"].default_value = 0.7 * gloss
    surface["Roughness"].default_value = 0.45 - 0.35 * gloss
    attribute = tree.nodes.new("ShaderNodeAttribute")
    attribute.attribute_name = _PAINT
    color = attribute.outputs["Color"]
    if texture is not None:
        image = tree.nodes.new("ShaderNodeTexImage")
        image.image = texture
        color = _compute(tree, "MULTIPLY", color, image.outputs["Color"])
    if recolor is not None:
        color = _recolor(tree, color, recolor)
    tree.links.new(color, surface["Base Color"])
    return material


def _recolor(
    tree: bpy.types.NodeTree, color: bpy.types.NodeSocket, matrix: np.ndarray
) -> bpy.types.NodeSocket:
    joined = tree.nodes.new("ShaderNodeCombineXYZ")
    for row, channel in zip(matrix.tolist(), joined.inputs, strict=True):
        tree.links.new(_compute(tree, "DOT_PRODUCT", color, row), channel)
    return _compute(tree, "MAXIMUM", joined.outputs[0], (0, 0, 0))


def _compute(tree: bpy.types.NodeTree, operation: str, *values: object) -> bpy.types.NodeSocket:
    """The result of arithmetic on vectors, each a socket or three numbers."""
    node = tree.nodes.new("ShaderNodeVectorMath")
    node.operation = operation
    for value, entry in zip(values, node.inputs, strict=False):
        if isinstance(value, bpy.types.NodeSocket):
            tree.links.new(value, entry)
        else:
            entry.default_value = value
    return node.outputs["Value" if operation == "DOT_PRODUCT" else "Vector"]


def _image(texture: np.ndarray) -> bpy.types.Image:
    height, width = texture.shape[:2]
    image = bpy.data.images.new("texture", width, height, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"  # linear already
    image.pixels.foreach_set(_rgba(texture[::-1].reshape(-1, 3)).ravel())  # Blender's rows go up
    image.pack()
    return image


def _rgba(colors: np.ndarray) -> np.ndarray:
    """(n, 4) float32 of (n, 3)."""
    return np.concatenate([colors, np.ones((len(colors), 1))], axis=1).astype(np.float32)


def _add_light(light: dict, horizon: list[float]) -> None:
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    # A white floor under a sky of one radiance has that radiance. The camera itself sees another
    # one beyond the table.
    tree = world.node_tree
    path, mix = tree.nodes.new("ShaderNodeLightPath"), tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    sky, beyond = mix.inputs["A"], mix.inputs["B"]
    for socket, color in ((sky, light["sky_color"]), (beyond, horizon)):
        socket.default_value = (*color, 1)
    tree.links.new(path.outputs["Is Camera Ray"], mix.inputs["Factor"])
    tree.links.new(mix.outputs["Result"], tree.nodes["Background"].inputs["Color"])
    bpy.context.scene.world = world
    for lamp in light["lamps"]:
        sun = bpy.data.lights.new("lamp", "SUN")
        sun.angle = min(2 * lamp["radius"], math.pi)
        # A white floor that receives pi W/m2 has radiance 1. It receives the sun's strength times
        # the sine of its height.
        sun.color, sun.energy = lamp["color"], math.pi / lamp["direction"][2]
        placed = bpy.data.objects.new("lamp", sun)
        placed.rotation_mode = "QUATERNION"
        placed.rotation_quaternion = Vector(lamp["direction"]).to_track_quat("Z", "Y")
        bpy.context.collection.objects.link(placed)


def _add_camera(camera: dict) -> None:
    data = bpy.data.cameras.new("camera")
    data.sensor_width = 36.0  # mm, of the longer side
    data.lens = camera["focal_px"] / max(camera["size_wh"]) * data.sensor_width
    data.clip_start, data.clip_end = 1e-3, 1e3
    if camera["aperture_m"] > 0:
        data.dof.use_dof = True
        data.dof.focus_distance = camera["focus_m"]
        data.dof.aperture_fstop = data.lens * 1e-3 / camera["aperture_m"]
    placed = bpy.data.objects.new("camera", data)
    right, down, forward = (Vector(row) for row in camera["rotation"])
    columns = right, -down, -forward, Vector(camera["position"])
    pose = placed.matrix_world.copy()
    for column, axis in enumerate(columns):
        pose.col[column][:3] = axis
    placed.matrix_world = pose
    bpy.context.collection.objects.link(placed)
    bpy.context.scene.camera = placed


def _set_up(size_wh: list[int], seed: int) -> None:
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.device = "CYCLES", "CPU"
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x, scene.render.resolution_y = size_wh
    scene.render.resolution_percentage = 100
    # linear light with any view transform
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_depth = "32"
    scene.render.use_persistent_data = True
    scene.cycles.seed = seed
    scene.cycles.max_bounces = BOUNCES
    scene.cycles.use_light_tree = False  # it is faster only with many lamps
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False


def _radiance(path: Path, samples: int) -> np.ndarray:
    """(h, w, 3) linear radiance."""
    cycles = bpy.context.scene.cycles
    cycles.samples, cycles.filter_width = samples, IMAGE_FILTER
    cycles.use_adaptive_sampling = False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    return _render_image(path)


def _ids(path: Path) -> np.ndarray:
    """(h, w, 1) the body at each pixel's centre, -1 where none: each body shines as bright as its
    number.
    """
    scene = bpy.context.scene
    scene.cycles.samples, scene.cycles.filter_width = 1, IDS_FILTER
    scene.cycles.use_denoising = False
    scene.camera.data.dof.use_dof = False
    background = scene.world.node_tree.nodes["Background"]
    background.inputs["Strength"].default_value = 0
    scene.view_layers[0].material_override = _number_material()
    return np.rint(_render_image(path)[..., :1]) - 1


def _number_material() -> bpy.types.Material:
    material = bpy.data.materials.new("number")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    number, shine = nodes.new("ShaderNodeObjectInfo"), nodes.new("ShaderNodeEmission")
    links.new(number.outputs["Object Index"], shine.inputs["Strength"])
    shine.inputs["Color"].default_value = (1, 1, 1, 1)
    links.new(shine.outputs[0], nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    return material


def _render_image(path: Path) -> np.ndarray:
    """(h, w, 3) float32, top row first."""
    file = path.with_suffix(".exr")
    bpy.context.scene.render.filepath = str(file)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(file))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    file.unlink()
    return pixels.reshape(height, width, -1)[::-1, :, :3]


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*.json")):
        render(path, int(sys.argv[2]))
