"""Generate: scenes from parameters, and rendered sets, each drawn once and kept."""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.recipe import SceneParameters
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.assets import CLASSES
from syndet_ray.scenes.looks import (
    DEFAULT_LOOK,
    STAND_IN_LOOK,
    Look,
    draw_camera,
    draw_dice,
    draw_ground,
    draw_light,
    draw_sensor,
)
from syndet_ray.scenes.raycast import draw
from syndet_ray.scenes.scene import Scene
from syndet_ray.scenes.sensor import photograph

# Counts towards the cache's key: raise it whenever a scene with the same parameters would look different.
RENDERER_VERSION = 2

STAND_IN_SEED = 990_000
_STAND_IN_COUNTS = {"train": 120, "val": 40, "test": 60}
_STAND_IN_OBJECTS = (1, 3, 6, 10, 16, 25, 40, 60)

Progress = Callable[[int, int], None]


def draw_scene(parameters: SceneParameters, seed: int, index: int, look: Look = DEFAULT_LOOK) -> Scene:
    """Scene `index` of a set: a function of its arguments alone, the same on any worker.

    Each property draws from a generator of its own, so that changing one strength changes nothing else.
    """

    def rng(purpose: str) -> np.random.Generator:
        return seeds.generator(seed, f"scene/{purpose}", index)

    return Scene(
        draw_dice(parameters, rng("shape"), rng("pose"), rng("object color")),
        draw_ground(parameters.floor, look, rng("floor")),
        draw_light(parameters, look, rng("light direction"), rng("light color")),
        draw_camera(parameters, rng("camera")),
        draw_sensor(parameters, look, rng("exposure"), rng("blur"), rng("noise")),
        seeds.integer(seed, "scene/jitter", index),
    )


def render(scene: Scene) -> tuple[np.ndarray, Boxes]:
    """A scene as a picture, (h, w, 3) uint8 sRGB, and its labels (indices into `CLASSES`)."""
    drawing = draw(scene)
    return photograph(drawing.radiance, scene.sensor), annotate(scene, drawing.ids)


def scene_hash(parameters: SceneParameters, count: int, seed: int) -> str:
    """The name of a rendered set: equal exactly where the pictures are."""
    return _hash(parameters.model_dump(mode="json"), count, seed)


def generate(parameters: SceneParameters, count: int, seed: int, cache: Path, progress: Progress | None = None) -> Pool:
    """`count` rendered scenes as a pool, from `cache` where they have been rendered before.

    `progress` is told (scenes done, scenes in all) after each. Of several processes of this machine that ask at once,
    one renders and the others wait for it.
    """
    plan = _Set("synthetic", (parameters,) * count, seed, DEFAULT_LOOK)
    return _kept(cache / scene_hash(parameters, count, seed), plan, progress)


def stand_in(cache: Path, progress: Progress | None = None, *, seed: int = STAND_IN_SEED) -> dict[str, Pool]:
    """Pictures that take the place of photos where the user has none: pools "train", "val" and "test".

    Our own renderer, with a fixed look that the defaults do not contain, and crowded and sparse scenes together. Every
    figure made with it says "stand-in". `progress` counts over all three.
    """
    pools: dict[str, Pool] = {}
    total, done = sum(_STAND_IN_COUNTS.values()), 0
    for k, (split, count) in enumerate(_STAND_IN_COUNTS.items()):
        plan = _Set("real", tuple(_stand_in_parameters(i) for i in range(count)), seed + k, STAND_IN_LOOK)
        folder = cache / f"stand-in-{split}-{_hash(count, seed + k)}"
        pools[split] = _kept(folder, plan, _from(progress, done, total))
        done += count
    return pools


def _stand_in_parameters(index: int) -> SceneParameters:
    objects = _STAND_IN_OBJECTS[index % len(_STAND_IN_OBJECTS)]
    return SceneParameters(objects=objects, floor=0.6, light_direction=0.6, blur=0.4, noise=0.4, object_color=0.7)


@dataclass(frozen=True)
class _Set:
    """A set of scenes to render: scene i has parameters[i]. A look other than the default stands in for photos."""

    name: str
    parameters: tuple[SceneParameters, ...]
    seed: int
    look: Look


def _rendered(plan: _Set, progress: Progress | None) -> Pool:
    images, boxes, stand_in = [], [], plan.look is not DEFAULT_LOOK
    for i, parameters in enumerate(plan.parameters):
        image, labelled = render(draw_scene(parameters, plan.seed, i, plan.look))
        images.append(image)
        boxes.append(labelled)
        if progress is not None:
            progress(i + 1, len(plan.parameters))
    ids = [f"{plan.name}-{plan.seed}-{i}" for i in range(len(images))]
    return Pool.of(plan.name, CLASSES, images, boxes, ids, synthetic=not stand_in, stand_in=stand_in)


def _kept(folder: Path, plan: _Set, progress: Progress | None) -> Pool:
    if not (folder / "pool.json").exists():
        with _alone(folder):
            if not (folder / "pool.json").exists():
                _rendered(plan, progress).save(folder)
    return Pool.load(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process of this machine at a time; the lock goes with its process, however that ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _from(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress on a part, told as progress on the whole."""
    return None if progress is None else lambda done, _: progress(before + done, total)


def _hash(*key: object) -> str:
    return hashlib.sha256(json.dumps([*key, RENDERER_VERSION], sort_keys=True).encode()).hexdigest()[:20]
