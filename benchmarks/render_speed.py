"""Scenes per second on one core, where the time goes, and the memory it takes.

    OMP_NUM_THREADS=1 python benchmarks/render_speed.py [objects, 40] [scenes, 60] [image_px, 256]
    [tray or layers]

Times are processor time, which other processes distort less than wall time. The median is that of
all scenes; the least is the cost of a scene without any disturbance.
"""

import resource
import sys
import time
from typing import Literal

import cv2
import numpy as np

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import raycast
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.generate import draw_scene, library_of
from syndet_ray.scenes.sensor import photograph

STAGES = ("arrange", "draw", "sensor", "annotate")
# The same few scenes over and over, so that the least of each stage is of equal work.
DISTINCT = 6


def measure(parameters: SceneParameters, count: int) -> np.ndarray:
    """(count, stages) processor milliseconds, after one scene to warm up."""
    return np.array([_stages(parameters, index % DISTINCT) for index in range(count + 1)])[1:] * 1e3


def _stages(parameters: SceneParameters, index: int) -> np.ndarray:
    times = [time.process_time()]
    scene = draw_scene(parameters, 0, index)
    times.append(time.process_time())
    library = library_of(parameters)
    rendering = raycast.render(scene, library)
    times.append(time.process_time())
    photograph(rendering.radiance, scene.sensor)
    times.append(time.process_time())
    annotate(scene, rendering.ids, library)
    return np.diff([*times, time.process_time()])


def main(
    objects: int = 40,
    count: int = 60,
    image_px: int = 256,
    arrangement: Literal["tray", "layers"] = "tray",
) -> None:
    cv2.setNumThreads(1)
    # The same part of the tray fills a larger image: objects grow with it.
    size_px = 29 * image_px / 256, 53 * image_px / 256
    parameters = SceneParameters(
        objects=objects, image_px=image_px, size_px=size_px, arrangement=arrangement
    )
    spent = measure(parameters, count)
    median, least = np.median(spent, axis=0), _least(spent)
    for stage, a, b in zip(STAGES, median, least, strict=True):
        print(f"{stage:10} median {a:6.1f} ms   least {b:6.1f} ms")
    for name, total in (("median", median.sum()), ("least", least.sum())):
        speed = f"{1e3 / total:.1f} scenes/s per core"
        print(f"{objects} dice, {image_px} px, {name}: {total:.1f} ms, {speed}")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process: {peak_mib:.0f} MiB")


def _least(spent: np.ndarray) -> np.ndarray:
    """(stages,) the mean over the distinct scenes of their minimum times."""
    return np.mean(
        [spent[first::DISTINCT].min(axis=0) for first in range(min(DISTINCT, len(spent)))], axis=0
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *sys.argv[4:])  # type: ignore[arg-type]
