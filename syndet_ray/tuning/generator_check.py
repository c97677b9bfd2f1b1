"""Generator check: lets external generators make two images before training costs time."""

from pathlib import Path

from syndet_ray.data.classes import check_classes, new_classes
from syndet_ray.data.real import RealData
from syndet_ray.definitions import reach
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.scene_parameters import COMMAND, SceneParameters
from syndet_ray.errors import DataError, MachineError
from syndet_ray.scenes.command import limit_s
from syndet_ray.scenes.generate import generate
from syndet_ray.scenes.needs import scene_inputs
from syndet_ray.search.search import Display
from syndet_ray.search.task import Runner

_IMAGES = 2  # one may be right by chance, and more cost time
_PLACE = "scene.generator"


def try_generators(
    sweep: LoadedSweep, data: RealData, runner: Runner, cache: Path, display: Display
) -> None:
    """Lets each external generator of a settled sweep make two images, where trials would run.

    They are kept in `cache`, so that a second check does not make them again. Raises the errors of
    the generator, and DataError if it labels a class that the photos lack. Two images need not show
    all classes: a note names those that are missing. Another says that they show no object at all.
    """
    tried = _scenes_to_try(sweep)
    if not tried:
        return
    minutes = limit_s(_IMAGES) / 60
    calls = [{"parameters": scene, "seed": sweep.seed} for scene in tried]
    with display.step(f"trying {_IMAGES} images of the generator, for {minutes:.0f} min at most"):
        results = runner.tasks(_try, str(cache.absolute()), calls)
    for result in results:
        if isinstance(result, Exception):
            raise result
        classes_of_images, boxes = result
        names = new_classes(classes_of_images, sweep.classes)
        classes = data.pools["train"].classes
        if set(names) - set(classes):
            check_classes(classes, names, _PLACE, other_name="the images of the generator")
        missing = sorted(set(classes) - set(names))
        if missing:
            display.note(
                f"the first {_IMAGES} images of the generator have no {', '.join(missing)}: trials "
                "fail if all its images together lack a class of the photos"
            )
        if boxes == 0:
            display.note(
                f"the first {_IMAGES} images of the generator have no object: from such images a "
                "detector learns that there are none"
            )


def _scenes_to_try(sweep: LoadedSweep) -> list[SceneParameters]:
    """Scenes of each external generator that recipes of a sweep may have, one for each."""
    scenes: dict[str, SceneParameters] = {}
    parameters = reach.scenes(sweep)
    for generator in sorted({inputs.generator for inputs in scene_inputs(sweep)}):
        if generator.startswith(COMMAND):
            same = [scene for scene in parameters if scene.generator == generator]
            update = {"generator": generator}
            scenes[generator] = same[0] if same else parameters[0].model_copy(update=update)
    return list(scenes.values())


def _try(
    cache: str, device: str, threads: int, parameters: SceneParameters, seed: int
) -> tuple[tuple[str, ...], int] | DataError | MachineError:
    """The classes of a generator's images, and the number of their boxes; runs on a worker.

    An error is returned: one that is raised would be tried again, which may take minutes.
    """
    try:
        pool = generate(parameters, _IMAGES, seed, Path(cache))
        return pool.classes, len(pool.labels)
    except (DataError, MachineError) as error:
        return error
