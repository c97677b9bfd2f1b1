"""Generate: scenes from parameters, one by one or as sets."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.scene_parameters import BUILT_IN, COMMAND, SceneParameters
from syndet_ray.errors import MachineError
from syndet_ray.files import file_hash
from syndet_ray.progress import Progress
from syndet_ray.scenes import blender, command, looks, raycast
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.asset_sizes import check_sizes
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.cache import load_or_make, work_folder
from syndet_ray.scenes.library import DICE, Library
from syndet_ray.scenes.paste import compose_pasted, draw_pasted
from syndet_ray.scenes.populate import Wardrobe, in_layers, in_tray
from syndet_ray.scenes.raycast import Rendering
from syndet_ray.scenes.scene import NO_CLASS, Body, Camera, Ground, Scene
from syndet_ray.scenes.sensor import photograph
from syndet_ray.scenes.stock import Stock, load_stock
from syndet_ray.scenes.stretch import with_proportions, with_variants

# Part of the cache's key: raise it whenever a scene with the same parameters would look different.
RENDERER_VERSION = 7

# Scenes that lie on disk at a time with all their meshes; Blender takes 2 s to start again for the
# next.
_TRACED_AT_ONCE = 16
_MOST_BARE = 0.05  # share of the image without clutter that needs no warning

# Settings that name folders of assets, and what stands for any folder in the name of a set: the
# hash of its files is in the name too.
_FOLDERS, _FOLDER = ("assets", "surroundings", "backgrounds", "photos", "cutouts"), "folder"

_LOG = logging.getLogger("syndet_ray.scenes")


def library_of(parameters: SceneParameters) -> Library:
    """The library of scenes with these parameters; pasted images are made of a stock.

    Raises DataError if a folder that they name holds no assets, or objects of sizes that such
    scenes cannot show.
    """
    whole = load(parameters.assets, parameters.surroundings, parameters.backgrounds)
    if not parameters.generator.startswith(COMMAND):
        check_sizes(whole, parameters.arrangement)
    return _seen_by(whole, parameters)


def stock_of(parameters: SceneParameters) -> Stock:
    """The photos and cut-outs of pasted images with these parameters. Raises DataError."""
    return load_stock(parameters.photos, parameters.cutouts)


@lru_cache(maxsize=8)  # a process renders few sets at a time
def _seen_by(library: Library, parameters: SceneParameters) -> Library:
    """The library with the shapes that scenes show, and with the sizes at which they show them,
    which determine their detail.
    """
    fitting = with_proportions(library, parameters.proportions)
    shown = with_variants(fitting, parameters.stretch, parameters.profile)
    assets = {}
    for name, asset in shown.assets.items():
        assets[name] = replace(asset, most_px=looks.most_px(parameters, shown, asset))
    return replace(shown, assets=assets)


def draw_scene(parameters: SceneParameters, seed: int, index: int, count: int = 1) -> Scene:
    """Draws scene `index` of a set of `count`, a function of its arguments alone."""
    return compose(parameters, library_of(parameters), seed, index, count)


def compose(
    parameters: SceneParameters, library: Library, seed: int, index: int, count: int
) -> Scene:
    """Draws a scene as `draw_scene` does, with a library that is loaded already.

    Each property draws from its own generator, so that changing one strength changes nothing else.
    The number of scenes matters only to the curriculum, which leads through all poses in the course
    of a set. A parameter is read only where it has an effect, see `made_from`.
    """

    def rng(purpose: str) -> np.random.Generator:
        return seeds.generator(seed, f"scene/{purpose}", index)

    ground = looks.draw_ground(parameters, library, rng("floor"))
    camera = looks.draw_camera(parameters, library, ground, rng("camera"))
    bodies = _draw_bodies(
        parameters, library, rng, ground=ground, camera=camera, place=(index, count)
    )
    light = looks.draw_light(
        parameters,
        ground,
        directions=rng("light direction"),
        colors=rng("light color"),
        intensities=rng("light intensity"),
    )
    sensor = looks.draw_sensor(
        parameters,
        exposure=rng("exposure"),
        blur=rng("blur"),
        noise=rng("noise"),
        jpeg=rng("jpeg"),
    )
    return Scene(
        bodies=bodies,
        ground=ground,
        light=light,
        camera=camera,
        sensor=sensor,
        label_style=looks.draw_label_style(parameters, seeds.integer(seed, "scene/labels", index)),
        jitter=seeds.integer(seed, "scene/jitter", index),
    )


def _draw_bodies(
    parameters: SceneParameters,
    library: Library,
    rng: Callable[[str], np.random.Generator],
    *,
    ground: Ground,
    camera: Camera,
    place: tuple[int, int],
) -> tuple[Body, ...]:
    """Bodies in their poses. place: the scene's index and the number of scenes."""
    wardrobe = Wardrobe(
        parameters, library, shapes=rng("shape"), colors=rng("object color"), hues=rng("hue")
    )
    if parameters.arrangement == "tray":
        return in_tray(
            parameters,
            library,
            wardrobe,
            ground=ground,
            camera=camera,
            count=looks.draw_count(parameters, rng("count")),
            sizes=rng("size"),
            poses=rng("pose"),
        )
    return in_layers(parameters, library, wardrobe, camera=camera, poses=rng("pose"), place=place)


def render(scene: Scene, library: Library = DICE) -> tuple[np.ndarray, Boxes]:
    """A scene as an image, (h, w, 3) uint8 sRGB, and its labels (indices into the library's
    classes).
    """
    return finish(scene, raycast.render(scene, library), library)


def render_index(
    parameters: SceneParameters, seed: int, index: int, count: int
) -> tuple[np.ndarray, Boxes]:
    """Image `index` of a set of `count`, with its labels, by the built-in renderer."""
    if parameters.pastes:
        stock = stock_of(parameters)
        return compose_pasted(draw_pasted(parameters, stock, seed, index), stock)
    return render(draw_scene(parameters, seed, index, count), library_of(parameters))


def finish(scene: Scene, rendering: Rendering, library: Library) -> tuple[np.ndarray, Boxes]:
    """The rendering of any renderer as an image with its labels."""
    image = photograph(rendering.radiance, scene.sensor)
    return image, annotate(scene, rendering.ids, library, rendering.alone)


def scene_hash(parameters: SceneParameters, count: int, seed: int) -> str:
    """The name of a rendered set: equal names mean equal images.

    It covers the files of the assets, wherever they lie, and those that a command names, such as
    its script. What else a command reads is not known: each place of its files is another set.
    """
    settings = parameters.settle().model_dump(mode="json")
    if not parameters.generator.startswith(COMMAND):
        settings |= {name: _FOLDER for name in _FOLDERS if settings[name] not in BUILT_IN}
    materials = stock_of(parameters) if parameters.pastes else library_of(parameters)
    return _hash(settings, materials.hash, _named_files(parameters), count, seed)


def generate(
    parameters: SceneParameters,
    count: int,
    seed: int,
    cache: Path,
    progress: Progress | None = None,
) -> Pool:
    """`count` rendered scenes as a pool, from `cache` if they were rendered before.

    `progress` is called with (scenes done, scenes in all) after each scene. If several processes of
    this machine ask at once, one renders and the others wait for it. Raises the generator's errors.
    """
    folder = cache / scene_hash(parameters, count, seed)

    def make() -> Pool:
        if not parameters.generator.startswith(COMMAND):
            return render_part(parameters, count, seed, range(count), progress)
        out = work_folder(folder, "command")
        return command.render_by_command(parameters, count, seed, out)

    return load_or_make(folder, make)


def render_part(
    parameters: SceneParameters,
    count: int,
    seed: int,
    part: Sequence[int],
    progress: Progress | None = None,
) -> Pool:
    """The scenes with the indices in `part` of a set of `count`, by one of our own renderers, as
    `generate` has them.

    Warns if objects found no place, or if clutter does not cover the background.
    """
    if parameters.pastes:
        stock = stock_of(parameters)
        classes, prefix = stock.photos.classes, "pasted"
        pictures = _pasted_pictures(parameters, stock, seed, part)
    else:
        library = library_of(parameters)
        classes, prefix = library.classes, "synthetic"
        scenes = (draw_scene(parameters, seed, index, count) for index in part)
        pictures = _scene_pictures(scenes, library, parameters.generator)
    images, boxes, placed, bare = [], [], 0, 0.0
    for picture in pictures:
        images.append(picture.image)
        boxes.append(picture.boxes)
        placed += picture.objects
        bare += picture.bare / len(part)
        if progress is not None:
            progress(len(images), len(part))
    asked = _number_of_objects(parameters, seed, part)
    _warn(parameters, scenes=len(part), asked=asked, placed=placed, bare=bare)
    ids = [f"{prefix}-{seed}-{index}" for index in part]
    return Pool.of("synthetic", classes, images, boxes, ids, synthetic=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Picture:
    """An image (h, w, 3) uint8 with its labels.

    objects  the number of those that were placed
    bare     the share of the image, 0 to 1, without objects and clutter
    """

    image: np.ndarray
    boxes: Boxes
    objects: int
    bare: float


def _scene_pictures(
    scenes: Iterator[Scene], library: Library, generator: str
) -> Iterator[_Picture]:
    """Pictures of scenes, by one of our own renderers."""
    for scene, rendering in _RENDERERS[generator](scenes, library):
        image, boxes = finish(scene, rendering, library)
        objects = sum(body.label != NO_CLASS for body in scene.bodies)
        bare = float((rendering.ids < 0).mean())
        yield _Picture(image=image, boxes=boxes, objects=objects, bare=bare)


def _pasted_pictures(
    parameters: SceneParameters, stock: Stock, seed: int, part: Sequence[int]
) -> Iterator[_Picture]:
    """Photos with cut-outs on them, which leave nothing bare."""
    for index in part:
        pasted = draw_pasted(parameters, stock, seed, index)
        image, boxes = compose_pasted(pasted, stock)
        yield _Picture(image=image, boxes=boxes, objects=len(pasted.pieces), bare=0.0)


def _number_of_objects(parameters: SceneParameters, seed: int, part: Sequence[int]) -> int:
    """The number of objects that the scenes of a part should have."""
    if parameters.arrangement == "layers":
        return len(part) * parameters.objects
    counts = [_draw_count(parameters, seed, index) for index in part]
    return sum(counts)


def _draw_count(parameters: SceneParameters, seed: int, index: int) -> int:
    return looks.draw_count(parameters, seeds.generator(seed, "scene/count", index))


def _warn(
    parameters: SceneParameters, *, scenes: int, asked: int, placed: int, bare: float
) -> None:
    """Warns of objects that are missing and of a background that is bare, a share of the image."""
    if placed < asked:
        _LOG.warning("%d of %d objects found no place in %d scenes", asked - placed, asked, scenes)
    if parameters.arrangement == "layers" and bare > _MOST_BARE:
        _LOG.warning(
            "clutter leaves %.0f %% of the pictures bare: it is small, or hollow", 100 * bare
        )


def _raycast(scenes: Iterator[Scene], library: Library) -> Iterator[tuple[Scene, Rendering]]:
    for scene in scenes:
        yield scene, raycast.render(scene, library)


def _path_traced(scenes: Iterator[Scene], library: Library) -> Iterator[tuple[Scene, Rendering]]:
    while batch := list(islice(scenes, _TRACED_AT_ONCE)):
        yield from zip(batch, blender.render(batch, library), strict=True)


_RENDERERS = {"raycast": _raycast, "blender": _path_traced}


def _named_files(parameters: SceneParameters) -> list[str]:
    """Hashes of the files that a command's arguments name."""
    return [file_hash(Path(file)) for file in command.files_of(parameters.generator)]


def _hash(*key: object) -> str:
    text = json.dumps([*key, RENDERER_VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def check_generator(generator: str) -> None:
    """Raises MachineError if a generator cannot be started on this machine."""
    if generator == "blender":
        blender.check()
    elif generator.startswith(COMMAND):
        program = command.program_of(generator)[0]
        if shutil.which(program) is None:
            raise MachineError(
                "scene.generator", "names a program that is not installed", got=program
            )
