"""Scenes a second on one core, by objects per scene, with what each stage takes.

python benchmarks/render_speed.py
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import itertools
import statistics
import time

import cv2

from syndet_ray.recipe import SceneParameters
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.generate import draw_scene
from syndet_ray.scenes.raycast import draw, silhouettes
from syndet_ray.scenes.sensor import photograph

STAGES = ("arrange", "draw", "annotate", "photograph")


def main() -> None:
    cv2.setNumThreads(1)
    stages(SceneParameters(), 0)  # warm up
    print(f"256 x 256 px, soft shadows     {'scenes/s':>8}  " + "  ".join(f"{name + ' ms':>13}" for name in STAGES))
    for objects in (10, 40, 70, 100):
        times = [stages(SceneParameters(objects=objects), index) for index in range(60)]
        means = [statistics.mean(column) * 1e3 for column in zip(*times, strict=True)]
        rate = 1 / statistics.median(sum(stage) for stage in times)
        print(f"{objects:4} dice{'':22}{rate:8.1f}  " + "  ".join(f"{mean:13.1f}" for mean in means))


def stages(parameters: SceneParameters, index: int) -> list[float]:
    """Seconds that each stage of one scene takes."""
    marks = [time.perf_counter()]
    scene = draw_scene(parameters, 1, index)
    marks.append(time.perf_counter())
    drawing = draw(scene)
    marks.append(time.perf_counter())
    annotate(scene, drawing.ids, silhouettes(scene))
    marks.append(time.perf_counter())
    photograph(drawing.radiance, scene.sensor)
    marks.append(time.perf_counter())
    return [b - a for a, b in itertools.pairwise(marks)]


if __name__ == "__main__":
    main()
