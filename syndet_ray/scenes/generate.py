"""Generate: scenes from parameters, one by one or as sets."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import MachineError
from syndet_ray.files import file_hash
from syndet_ray.progress import Progress
from syndet_ray.scenes import blender, command, looks
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.cache import kept
from syndet_ray.scenes.library import DICE, Library
from syndet_ray.scenes.populate import Wardrobe, in_layers, in_tray
from syndet_ray.scenes.raycast import Drawing, draw
from syndet_ray.scenes.scene import NO_CLASS, Scene
from syndet_ray.scenes.sensor import photograph

# Counts towards the cache's key: raise it whenever a scene with the same parameters would look
# different.
RENDERER_VERSION = 4

# Scenes that lie on disk at a time with all their meshes; Blender takes 2 s to start anew for the
# next.
_TRACED_AT_ONCE = 16
_MOST_BARE = 0.05  # of the background, before a warning says so

_LOG = logging.getLogger("syndet_ray.scenes")


def library_of(parameters: SceneParameters) -> Library:
    """What scenes with these parameters are made of.

    Raises DataError where a folder they name is no set of assets.
    """
    return load(parameters.assets, parameters.surroundings, parameters.backgrounds)


def draw_scene(parameters: SceneParameters, seed: int, index: int, count: int = 1) -> Scene:
    """Scene `index` of a set of `count`: a function of its arguments alone, the same on any worker."""
    return compose(parameters, library_of(parameters), seed, index, count)


def compose(
    parameters: SceneParameters, library: Library, seed: int, index: int, count: int
) -> Scene:
    """As `draw_scene`, of things of a library that is at hand.

    Each property draws from a generator of its own, so that changing one strength changes nothing
    else. Only the curriculum, which leads through all poses in the course of a set, asks how many
    scenes there are. A parameter is read only where it has an effect, see `made_from`.
    """

    def rng(purpose: str) -> np.random.Generator:
        return seeds.generator(seed, f"scene/{purpose}", index)

    camera = looks.draw_camera(parameters, library, rng("camera"))
    wardrobe = Wardrobe(parameters, library, rng("shape"), rng("object color"), rng("hue"))
    if parameters.arrangement == "tray":
        bodies = in_tray(parameters, library, wardrobe, rng("size"), rng("pose"))
    else:
        bodies = in_layers(parameters, library, wardrobe, camera, rng("pose"), (index, count))
    light = looks.draw_light(
        parameters, library, rng("light direction"), rng("light color"), rng("light intensity")
    )
    return Scene(
        bodies=bodies,
        ground=looks.draw_ground(parameters, library, rng("floor")),
        light=light,
        camera=camera,
        sensor=looks.draw_sensor(
            parameters, rng("exposure"), rng("blur"), rng("noise"), rng("jpeg")
        ),
        label_style=looks.draw_label_style(parameters, seeds.integer(seed, "scene/labels", index)),
        jitter=seeds.integer(seed, "scene/jitter", index),
    )


def render(scene: Scene, library: Library = DICE) -> tuple[np.ndarray, Boxes]:
    """A scene as a picture, (h, w, 3) uint8 sRGB, and its labels (indices into the library's
    classes).
    """
    return finish(scene, draw(scene, library), library)


def finish(scene: Scene, drawing: Drawing, library: Library) -> tuple[np.ndarray, Boxes]:
    """A drawing, whoever drew it, as a picture with its labels."""
    return photograph(drawing.radiance, scene.sensor), annotate(scene, drawing.ids, library)


def scene_hash(parameters: SceneParameters, count: int, seed: int) -> str:
    """The name of a rendered set: where it is equal, the pictures are.

    It covers the files of the assets, and those that a command names: its script, for one.
    """
    settings = parameters.settled().model_dump(mode="json")
    return _hash(settings, library_of(parameters).hash, _named_files(parameters), count, seed)


def generate(
    parameters: SceneParameters,
    count: int,
    seed: int,
    cache: Path,
    progress: Progress | None = None,
) -> Pool:
    """`count` rendered scenes as a pool, from `cache` where they have been rendered before.

    `progress` is told (scenes done, scenes in all) after each. Of several processes of this machine
    that ask at once, one renders and the others wait for it. Raises what the generator raises.
    """
    folder = cache / scene_hash(parameters, count, seed)

    def make() -> Pool:
        if parameters.generator.startswith(command.PREFIX):
            return command.rendered(
                parameters, count, seed, folder.with_name(f"{folder.name}-command")
            )
        return rendered(parameters, count, seed, range(count), progress)

    return kept(folder, make)


def rendered(
    parameters: SceneParameters,
    count: int,
    seed: int,
    part: Sequence[int],
    progress: Progress | None = None,
) -> Pool:
    """Some scenes of a set of `count`, by one of our own renderers: what `generate` has at the
    indices in `part`.

    Where objects found no place, a warning says how many.
    """
    library = library_of(parameters)
    scenes = (draw_scene(parameters, seed, index, count) for index in part)
    images, boxes, placed, bare = [], [], 0, 0.0
    for scene, drawing in _DRAW[parameters.generator](scenes, library):
        image, labelled = finish(scene, drawing, library)
        images.append(image)
        boxes.append(labelled)
        placed += sum(body.label != NO_CLASS for body in scene.bodies)
        bare += float((drawing.ids < 0).mean()) / len(part)
        if progress is not None:
            progress(len(images), len(part))
    if placed < (asked := len(part) * parameters.objects):
        _LOG.warning(
            "%d of %d objects found no place in %d scenes", asked - placed, asked, len(part)
        )
    if parameters.arrangement == "layers" and bare > _MOST_BARE:
        _LOG.warning(
            "clutter leaves %.0f %% of the pictures bare: it is small, or hollow", 100 * bare
        )
    ids = [f"synthetic-{seed}-{index}" for index in part]
    return Pool.of("synthetic", library.classes, images, boxes, ids, synthetic=True)


def _raycast(scenes: Iterator[Scene], library: Library) -> Iterator[tuple[Scene, Drawing]]:
    for scene in scenes:
        yield scene, draw(scene, library)


def _path_traced(scenes: Iterator[Scene], library: Library) -> Iterator[tuple[Scene, Drawing]]:
    while some := list(islice(scenes, _TRACED_AT_ONCE)):
        yield from zip(some, blender.draw(some, library), strict=True)


_DRAW = {"raycast": _raycast, "blender": _path_traced}


def _named_files(parameters: SceneParameters) -> list[str]:
    """Hashes of the files that a command's arguments name."""
    return [file_hash(Path(file)) for file in command.files_of(parameters.generator)]


def _hash(*key: object) -> str:
    return hashlib.sha256(
        json.dumps([*key, RENDERER_VERSION], sort_keys=True).encode()
    ).hexdigest()[:20]


def check_generator(generator: str) -> None:
    """Raises MachineError where a generator cannot be started on this machine."""
    if generator == "blender":
        blender.check()
    elif generator.startswith(command.PREFIX):
        program = command.program_of(generator)[0]
        if shutil.which(program) is None:
            raise MachineError(
                "scene.generator", "names a program that is not installed", got=program
            )
