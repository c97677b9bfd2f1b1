"""Scenes of given meshes per second, and memory: whole meshes against simplified ones.

    OMP_NUM_THREADS=1 python benchmarks/mesh_detail.py FOLDER [scenes, 6] [objects, 40]

FOLDER holds assets, as `scene.assets` names them. Every row is a process of its own; dice follow as
the measure of the machine. Times are processor time, medians over the scenes after the first.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes.detail import light_mesh
from syndet_ray.scenes.generate import compose, library_of, render
from syndet_ray.scenes.library import Library

SIZES_WH = ((256, 256), (512, 512), (704, 471))


def main(folder: str, scenes: int = 6, objects: int = 40) -> None:
    print(f"{'objects':>24} {'image':>9}  scenes/s  first s  MiB  largest mesh, faces")
    for width, height in SIZES_WH:
        for assets, kind in ((folder, "whole"), (folder, "simplified"), ("dice", "dice")):
            task = {
                "assets": assets,
                "kind": kind,
                "wh": (width, height),
                "scenes": scenes,
                "objects": objects,
            }
            command = [sys.executable, __file__, "--one", json.dumps(task)]
            row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            print(
                f"{f'{objects} {kind}':>24} {width:>4}x{height:<4}  {1 / row['seconds']:8.1f}"
                f"  {row['first']:7.1f}  {row['mib']:3.0f}  {row['faces']}"
            )


def measure(task: dict) -> dict:
    """Seconds of a scene and of the first one with all that it prepares, and the peak memory."""
    cv2.setNumThreads(1)
    width, height = task["wh"]
    enlarged = width / 256
    parameters = SceneParameters(
        assets=task["assets"],
        objects=task["objects"],
        image_px=width,
        aspect=width / height,
        size_px=(20 * enlarged, 37 * enlarged),
        camera_tilt_deg=40,
    )
    library = library_of(parameters)
    if task["kind"] == "whole":
        library = _whole(library)
    seconds = []
    for index in range(task["scenes"] + 1):
        began = time.process_time()
        render(compose(parameters, library, 0, index, 1), library)
        seconds.append(time.process_time() - began)
    faces = [len(light_mesh(asset).faces) for asset in library.assets.values() if asset.label >= 0]
    return {
        "seconds": float(np.median(seconds[1:])),
        "first": seconds[0],
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "faces": max(faces, default=0),
    }


def _whole(library: Library) -> Library:
    """The library with meshes of all their faces."""
    assets = {name: replace(asset, most_px=None) for name, asset in library.assets.items()}
    return replace(library, assets=assets)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        print(json.dumps(measure(json.loads(sys.argv[2]))))
    else:
        main(sys.argv[1], *map(int, sys.argv[2:]))
