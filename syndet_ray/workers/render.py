"""Render: sets of scenes as Ray tasks, shard by shard, on cores that no trial occupies.

The images come back through the object store, and the caller keeps them: no shared file system is
needed. They depend neither on the number of workers nor on how often one was lost.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import ray

from syndet_ray.data.pool import Pool
from syndet_ray.data.write import Format, check_empty, write_dataset
from syndet_ray.definitions.assignments import settings_of
from syndet_ray.definitions.effect import no_effect
from syndet_ray.definitions.given import place_of, scene_defaults
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import COMMAND, SceneParameters
from syndet_ray.errors import DefinitionError
from syndet_ray.progress import Progress, quiet
from syndet_ray.scenes import command
from syndet_ray.scenes.cache import is_finished, load_or_make, work_folder
from syndet_ray.scenes.generate import library_of, render_part, scene_hash
from syndet_ray.scenes.made_from import facts
from syndet_ray.scenes.shards import join_shards, shard_path, shards_folder, shards_of
from syndet_ray.search.task import RETRIES
from syndet_ray.workers.cluster import connection
from syndet_ray.workers.nodes.admission import admit_here
from syndet_ray.workers.nodes.unfit import keep_off, nodes_except, unfit_nodes
from syndet_ray.workers.raylet import watched_raylet
from syndet_ray.workers.stop import interrupt_for
from syndet_ray.workers.tasks import ended_tasks, result


class RenderDisplay(Protocol):
    """Shows the rendering of a dataset to a person."""

    def note(self, text: str) -> None: ...
    def progress(self, what: str, done: int, total: int) -> None: ...


def render_set(
    parameters: SceneParameters,
    count: int,
    seed: int,
    cache: Path,
    *,
    workers: int | None = None,
    progress: Progress = quiet,
) -> Pool:
    """Returns `count` rendered scenes as a pool. Scenes that are in `cache` are not rendered again.

    At most `workers` tasks run at once; None takes all cores that are free. Needs a connection to a
    Ray cluster. `progress` is called with (scenes done, scenes in all) as shards come in. Raises
    the errors of the generator, and MachineError if a task lost its worker too often.
    """
    folder = cache / scene_hash(parameters, count, seed)
    render = partial(
        _render,
        parameters=parameters,
        count=count,
        seed=seed,
        folder=folder,
        workers=workers,
        progress=progress,
    )
    pool = load_or_make(folder, render)
    shutil.rmtree(shards_folder(folder), ignore_errors=True)  # the set holds them all
    return pool


def write_set(
    parameters: SceneParameters,
    count: int,
    seed: int,
    out: Path,
    *,
    cache: Path,
    display: RenderDisplay,
    workers: int | None = None,
    address: str | None = None,
    image_format: Format = "png",
) -> None:
    """Renders a set and writes it as a dataset into `out`, a new or an empty folder.

    `write_dataset` says what it contains.
    """
    check_empty(out)
    is_ours = not parameters.generator.startswith(COMMAND)
    if is_ours and not parameters.pastes:
        for message in library_of(parameters).notes:
            display.note(message)
    display.progress("rendering", 0, count)  # Ray takes seconds to start
    with connection(address), watched_raylet(address, interrupt_for(display.note)):
        pool = render_set(
            parameters,
            count,
            seed,
            cache,
            workers=workers,
            progress=partial(display.progress, "rendering"),
        )
    write_dataset(pool, out, partial(display.progress, "writing"), image_format=image_format)


def scene_parameters(
    settings: Sequence[str], defaults: Mapping[str, Any] = {}, sweep: str | None = None
) -> SceneParameters:
    """Returns scene parameters with settings like "scene.blur=0.2"; a value is JSON or text.

    defaults  settings of a project, by dotted path, see `project_defaults`
    sweep     the sweep whose recipe has the other settings; None for the default recipe

    Raises DefinitionError for a sweep that cannot be loaded, for a setting that no scene has, for
    one that changes nothing, given the other settings, and for scenes that need photos.
    """
    changes = settings_of(settings, Path.cwd())
    for path in changes:
        if not path.startswith("scene."):
            raise DefinitionError("`settings`", "must read like scene.blur=0.2", got=path)
    plain = Recipe() if sweep is None else load(sweep).recipe
    recipe = plain.replace({**defaults, **changes})
    for path in changes:
        reason = no_effect(path, recipe, facts)
        if reason is not None and recipe.get(path) != plain.get(path):
            rule = f"changes nothing: {reason.words()}"
            do = "Leave it out, or set what it depends on."
            raise DefinitionError(place_of(path), rule, do=do)
    recipe.scene.check_measured()
    return recipe.scene


def project_defaults(settings: Sequence[str], project: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a project that scenes with other settings take."""
    return scene_defaults(project, settings_of(settings, Path.cwd()), facts)


def _render(
    parameters: SceneParameters,
    *,
    count: int,
    seed: int,
    folder: Path,
    workers: int | None,
    progress: Progress,
) -> Pool:
    if parameters.generator.startswith(COMMAND):
        return _by_command(parameters, count, seed, folder, progress)
    return _by_shards(
        parameters,
        count=count,
        seed=seed,
        folder=shards_folder(folder),
        workers=workers,
        progress=progress,
    )


def _by_command(
    parameters: SceneParameters, count: int, seed: int, folder: Path, progress: Progress
) -> Pool:
    """Renders in one task: an external program is called once for all scenes."""
    output = work_folder(folder, "command")
    work = partial(command.render_by_command, parameters, count, seed, output)
    ((_, pool),) = _results({parameters.generator: work}, at_once=1)
    progress(count, count)
    return pool


def _by_shards(
    parameters: SceneParameters,
    *,
    count: int,
    seed: int,
    folder: Path,
    workers: int | None,
    progress: Progress,
) -> Pool:
    """Renders shards and saves each as it comes in, so that an interrupted set continues there."""
    paths = {part: shard_path(folder, part) for part in shards_of(count)}
    missing = [part for part, path in paths.items() if not is_finished(path)]
    work = {part: partial(render_part, parameters, count, seed, part) for part in missing}
    done = count - sum(map(len, missing))
    for part, pool in _results(work, at_once=workers or len(work)):
        pool.save(paths[part])
        done += len(part)
        progress(done, count)
    return join_shards(paths.values())


@ray.remote
def _call(work: Callable[[], Pool]) -> Pool:
    """Runs on a worker; the arrays of the returned pool go into the object store."""
    cv2.setNumThreads(1)  # Ray gives it one core, and OpenCV would use all of the machine
    admit_here(trains=False)
    return work()


def _results(work: Mapping[Any, Callable[[], Pool]], at_once: int) -> Iterator[tuple[Any, Pool]]:
    """Yields the key of each piece of work and its pool, as tasks end.

    At most `at_once` tasks run at a time.
    """
    # Ray itself retries tasks that lost their worker. Unlike in `run_tasks`, an error of the
    # generator is not retried: the caller gets it at once, and `Ahead` retries whole sets.
    task = _call.options(num_cpus=1, num_gpus=0, max_retries=RETRIES, **_placement())
    with closing(
        ended_tasks(lambda key: task.remote(work[key]), deque(work), at_once=at_once)
    ) as ended:
        for key, reference in ended:
            yield key, result(reference, "rendering", RETRIES + 1)


def _placement() -> dict[str, Any]:
    """Returns options that spread tasks over the fit nodes, but prefer nodes without GPUs.

    A trial needs the cores of its GPU's node too. The second choice is any node: those without GPUs
    may all have been lost.
    """
    unfit = unfit_nodes()
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    fit = [node for node in nodes if node["NodeID"] not in unfit]
    with_gpus = [node["NodeID"] for node in fit if node["Resources"].get("GPU")]
    if len(with_gpus) in (0, len(fit)):
        return {"scheduling_strategy": "SPREAD", **keep_off(unfit)}
    return {
        "scheduling_strategy": "SPREAD",
        "label_selector": nodes_except([*unfit, *with_gpus]),
        "fallback_strategy": [{"label_selector": nodes_except(unfit or ["none"])}],
    }
