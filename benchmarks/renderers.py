"""How many seconds does each renderer take for a scene? All render the same scenes of 40 dice at
256 x 256 px in one run, on one core each.

    SYNDET_BLENDER_PYTHON=... OMP_NUM_THREADS=1 python benchmarks/renderers.py [scenes, 6] [samples,
    32]

The renderers are raycast, Cycles through `scenes.blender`, and Mitsuba 3 (`pip install mitsuba`) if
it can be imported. Times are processor time, which other processes distort less than wall time. The
time of the path tracers does not include their start; that of Cycles includes the denoising and the
pass that finds the ids.
"""

import resource
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import blender, raycast
from syndet_ray.scenes.generate import draw_scene, library_of
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.scene import Camera, Light, Scene

Seconds = float


def time_raycast(scenes: list[Scene], library: Library, _: int) -> Seconds:
    raycast.render(scenes[0], library)  # the first pays for memory
    start = time.process_time()
    for scene in scenes:
        raycast.render(scene, library)
    return (time.process_time() - start) / len(scenes)


def time_cycles(scenes: list[Scene], library: Library, samples: int) -> Seconds:
    started = _children_time(lambda: blender.render([], library, samples=samples))
    spent = _children_time(lambda: blender.render(scenes, library, samples=samples))
    return (spent - started) / len(scenes)


def _children_time(run: Callable[[], object]) -> Seconds:
    """Processor time of the processes that something starts and awaits."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def time_mitsuba(scenes: list[Scene], library: Library, samples: int) -> Seconds:
    """Mitsuba's path tracer, scalar, without denoising; the meshes and textures are those that
    Cycles gets.
    """
    import drjit
    import mitsuba

    mitsuba.set_variant("scalar_rgb")
    drjit.set_thread_count(1)
    worlds = [_mitsuba_world(mitsuba, scene, library) for scene in scenes]
    start = time.process_time()
    for world in worlds:
        np.array(mitsuba.render(world, spp=samples))
    return (time.process_time() - start) / len(scenes)


def _mitsuba_world(mitsuba: Any, scene: Scene, library: Library) -> Any:
    things = {
        f"mesh{i}": _mitsuba_mesh(mitsuba, arrays)
        for i, arrays in enumerate(blender.meshes(scene, library))
    }
    return mitsuba.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 4},
            "sensor": _mitsuba_camera(mitsuba, scene.camera),
            **_mitsuba_lights(scene.light),
            **things,
        }
    )


def _mitsuba_mesh(mitsuba: Any, arrays: dict[str, np.ndarray]) -> Any:
    if "texture" in arrays:
        bitmap = mitsuba.Bitmap(arrays["texture"].astype(np.float32))
        color = {"type": "bitmap", "bitmap": bitmap, "raw": True}
    else:
        color = {"type": "rgb", "value": arrays["colors"].mean(axis=0).tolist()}
    properties = mitsuba.Properties()
    properties["bsdf"] = mitsuba.load_dict(
        {"type": "principled", "base_color": color, "roughness": 0.3}
    )
    sizes = len(arrays["vertices"]), len(arrays["faces"])
    mesh = mitsuba.Mesh(
        "mesh",
        *sizes,
        props=properties,
        has_vertex_normals="normals" in arrays,
        has_vertex_texcoords="uv" in arrays,
    )
    parts = mitsuba.traverse(mesh)
    for name, key in (("positions", "vertices"), ("normals", "normals"), ("texcoords", "uv")):
        if key in arrays:
            parts[f"vertex_{name}"] = arrays[key].astype(np.float32).ravel()
    parts["faces"] = arrays["faces"].astype(np.uint32).ravel()
    parts.update()
    return mesh


def _mitsuba_camera(mitsuba: Any, camera: Camera) -> dict[str, Any]:
    right, down, forward = np.array(camera.rotation)
    pose = np.eye(4)
    pose[:3] = np.stack([-right, -down, forward, camera.position], axis=1)
    return {
        "type": "perspective",
        "fov": float(2 * np.degrees(np.arctan(camera.size_wh[0] / 2 / camera.focal_px))),
        "near_clip": 1e-3,
        "to_world": mitsuba.ScalarTransform4f(pose),
        "film": {
            "type": "hdrfilm",
            "width": camera.size_wh[0],
            "height": camera.size_wh[1],
            "rfilter": {"type": "gaussian"},
        },
    }


def _mitsuba_lights(light: Light) -> dict[str, Any]:
    """Lamps without a width, as bright as those of the scene, and its sky."""
    lights = {}
    for i, lamp in enumerate(light.lamps):
        irradiance = [np.pi * channel / lamp.direction[2] for channel in lamp.color]
        lights[f"lamp{i}"] = {
            "type": "directional",
            "direction": [-x for x in lamp.direction],
            "irradiance": {"type": "rgb", "value": irradiance},
        }
    radiance = {"type": "rgb", "value": list(light.sky_color)}
    return {**lights, "sky": {"type": "constant", "radiance": radiance}}


def main(count: int = 6, samples: int = 32) -> None:
    cv2.setNumThreads(1)
    parameters = SceneParameters(objects=40, image_px=256)
    library = library_of(parameters)
    scenes = [draw_scene(parameters, 0, i, count) for i in range(count)]
    renderers = {"raycast": time_raycast, f"Cycles, {samples} samples": time_cycles}
    if find_spec("mitsuba"):
        renderers[f"Mitsuba 3 (scalar), {samples} samples"] = time_mitsuba
    seconds: dict[str, float] = {}
    for name, measure in renderers.items():
        seconds[name] = measure(scenes, library, samples)
        times = seconds[name] / seconds["raycast"]
        print(f"{name:34} {seconds[name]:8.3f} s a scene   {times:7.1f} times raycast", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
