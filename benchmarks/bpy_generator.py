"""An external generator that renders with Blender, as a BlenderProc script would: dice on a table,
path-traced.

    scene.generator = "command:PYTHON benchmarks/bpy_generator.py"

PYTHON needs bpy and NumPy, and nothing else. The script reads the request that
syndet_ray.scenes.command describes and writes COCO with visibility. bpy is under the GPL: this
script is a separate program and imports nothing of syndet_ray.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import bpy
import numpy as np

CLASSES = ("one", "two", "three", "four", "five", "six")
EDGE, PIP = 1.0, 0.1  # of a die: its edge, and the radius of a pip
SAMPLES = 24  # per pixel; the denoiser removes the remaining noise
# Places of the pips on the upper face, from its centre, in edges.
_PIPS: dict[int, list[tuple[float, float]]] = {
    1: [(0, 0)],
    2: [(-0.25, -0.25), (0.25, 0.25)],
    3: [(-0.25, -0.25), (0, 0), (0.25, 0.25)],
    4: list(product((-0.25, 0.25), (-0.25, 0.25))),
    5: [(0, 0), *product((-0.25, 0.25), (-0.25, 0.25))],
    6: list(product((-0.25, 0.25), (-0.27, 0, 0.27))),
}


def write(parameters: dict[str, Any], count: int, seed: int, out: Path) -> None:
    """Writes `count` images and their COCO annotations into `out`."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in range(count):
        labels = build(parameters, np.random.default_rng([seed, i]))
        name, side = f"{i:06d}.png", parameters["image_px"]
        picture(out / name, side, seed + i)
        images.append({"id": i, "file_name": name, "width": side, "height": side})
        for label, box, visibility in annotated(labels, out / f".{name}.exr", side):
            entry = {
                "id": len(annotations),
                "image_id": i,
                "category_id": label,
                "bbox": box,
                "iscrowd": 0,
            }
            annotations.append(entry | {"area": box[2] * box[3], "visibility": visibility})
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (out / "instances.json").write_text(json.dumps(content), encoding="utf-8")


def build(parameters: dict[str, Any], rng: np.random.Generator) -> list[int]:
    """Builds a new scene; returns the labels of its dice. Die k has the object index k + 1."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    # the side of the part of the table that the image shows
    view = parameters["image_px"] / np.mean(parameters["size_px"]) * 1.3 * EDGE
    labels: list[int] = []
    places: list[np.ndarray] = []
    for _ in range(30 * parameters["objects"]):
        place = rng.uniform(-0.45, 0.45, 2) * view
        is_free = all(np.linalg.norm(place - other) > 1.2 * EDGE for other in places)
        if len(labels) < parameters["objects"] and is_free:
            places.append(place)
            labels.append(int(rng.integers(6)))
            _die(len(labels), place, labels[-1] + 1, rng)
    bpy.ops.mesh.primitive_plane_add(size=10 * view)
    _paint(rng.uniform(0.2, 0.8, 3), 0.8)
    bpy.ops.object.light_add(type="SUN", rotation=(rng.uniform(0.2, 0.9), 0, rng.uniform(0, 6.28)))
    bpy.context.object.data.energy, bpy.context.object.data.angle = 2.5, 0.2
    bpy.ops.object.camera_add(location=(0, 0, 4 * view))
    bpy.context.object.data.angle = 2 * float(np.arctan(0.5 / 4))
    bpy.context.scene.camera = bpy.context.object
    world = bpy.context.scene.world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.6
    return labels


def _die(index: int, place: np.ndarray, value: int, rng: np.random.Generator) -> None:
    yaw = rng.uniform(0, 2 * np.pi)
    bpy.ops.mesh.primitive_cube_add(size=EDGE, location=(*place, EDGE / 2), rotation=(0, 0, yaw))
    body = bpy.context.object
    body.pass_index = index
    body.modifiers.new("rounding", "BEVEL").width = 0.12
    body.modifiers["rounding"].segments = 3
    dark = rng.random() < 0.5
    _paint(rng.uniform(0.02, 0.4, 3) if dark else rng.uniform(0.5, 0.95, 3), 0.3)
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    for at in _PIPS[value]:
        bpy.ops.mesh.primitive_uv_sphere_add(radius=PIP, location=(*(place + turn @ at), EDGE))
        bpy.context.object.scale.z = 0.15
        bpy.context.object.pass_index = index
        _paint(np.full(3, 0.9 if dark else 0.03), 0.3)


def _paint(color: np.ndarray, roughness: float) -> None:
    material = bpy.data.materials.new("paint")
    material.use_nodes = True
    surface = material.node_tree.nodes["Principled BSDF"].inputs
    surface["Base Color"].default_value = (*color, 1)
    surface["Roughness"].default_value = roughness
    bpy.context.object.data.materials.append(material)


def picture(path: Path, side: int, seed: int) -> None:
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.device = "CYCLES", "CPU"
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x = scene.render.resolution_y = side
    scene.cycles.samples, scene.cycles.seed, scene.cycles.use_denoising = SAMPLES, seed, True
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def annotated(labels: list[int], file: Path, side: int) -> list[tuple[int, list[int], float]]:
    """Label, x, y, width and height in pixels, and visible share, of the visible dice."""
    ids = _ids(file, side)
    dice = []
    for index, label in enumerate(labels, start=1):
        y, x = np.nonzero(ids == index)
        if len(x):
            box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
            # Dice stand apart and the camera is above them: only the border hides parts of them.
            cut = box[0] == 0 or box[1] == 0 or box[0] + box[2] == side or box[1] + box[3] == side
            visibility = min(box[2:]) / max(box[2:]) if cut else 1.0
            dice.append((label, box, visibility))
    return dice


def _ids(file: Path, side: int) -> np.ndarray:
    """(h, w) the die at each pixel's centre, from 1: each object shines as bright as its number."""
    scene = bpy.context.scene
    material = bpy.data.materials.new("number")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    number, shine = nodes.new("ShaderNodeObjectInfo"), nodes.new("ShaderNodeEmission")
    links.new(number.outputs["Object Index"], shine.inputs["Strength"])
    links.new(shine.outputs[0], nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    scene.view_layers[0].material_override = material
    scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0
    scene.cycles.samples, scene.cycles.filter_width, scene.cycles.use_denoising = 1, 0.01, False
    scene.render.image_settings.file_format, scene.render.filepath = "OPEN_EXR", str(file)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(file))
    image.colorspace_settings.name = "Non-Color"
    values = np.empty(side * side * image.channels, np.float32)
    image.pixels.foreach_get(values)
    file.unlink()
    return np.rint(values.reshape(side, side, -1)[::-1, :, 0]).astype(int)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--request", type=Path, required=True)
    request = json.loads(parser.parse_args().request.read_text(encoding="utf-8"))
    write(request["parameters"], request["count"], request["seed"], Path(request["out"]))


if __name__ == "__main__":
    main()
