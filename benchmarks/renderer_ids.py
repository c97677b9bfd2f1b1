"""Do raycast and Cycles see the same bodies in the same pixels, and draw the same boxes?

    SYNDET_BLENDER_PYTHON=... python benchmarks/renderer_ids.py --count 3
    SYNDET_BLENDER_PYTHON=... python benchmarks/renderer_ids.py --count 3 assets=meshes/ objects=40
    poses=upright least_tilt_deg=20 camera_tilt_deg=60

Both render the same scenes, of dice or with the settings given. Prints for each scene how many
pixels show another body, and how far their boxes are apart.
"""

import argparse

import cv2
import numpy as np

from syndet_ray.scenes import blender, raycast
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.generate import draw_scene, library_of
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.scene import Scene
from syndet_ray.workers.render import scene_parameters

SAMPLES = 1  # ids do not depend on them


def main() -> None:
    given = arguments()
    cv2.setNumThreads(1)
    settings = [f"scene.{word}" for word in ("image_px=256", *given.settings)]
    parameters = scene_parameters(settings)
    library = library_of(parameters)
    scenes = [draw_scene(parameters, given.seed, i, given.count) for i in range(given.count)]
    path_traced = blender.render(scenes, library, samples=SAMPLES)
    for i, (scene, traced) in enumerate(zip(scenes, path_traced, strict=True)):
        cast_ids = raycast.render(scene, library).ids
        differing = int((cast_ids != traced.ids).sum())
        boxes, px = box_distance(scene, cast_ids, traced.ids, library)
        print(
            f"scene {i}: {differing} of {cast_ids.size} pixels differ; "
            f"{boxes[0]} and {boxes[1]} boxes, at most {px:.2f} px apart",
            flush=True,
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE", help="as JSON")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def box_distance(
    scene: Scene, ids: np.ndarray, other_ids: np.ndarray, library: Library
) -> tuple[tuple[int, int], float]:
    """Numbers of boxes of both renderers, and pixels between the farthest corners; NaN where the
    numbers differ.
    """
    boxes = annotate(scene, ids, library).xyxy
    others = annotate(scene, other_ids, library).xyxy
    px = float(np.abs(boxes - others).max()) if len(boxes) == len(others) else float("nan")
    return (len(boxes), len(others)), px


if __name__ == "__main__":
    main()
