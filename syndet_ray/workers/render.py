"""Render: sets of scenes as Ray tasks, shard by shard, on whatever cores of the cluster no trial
occupies.

The pictures come back through the object store and are kept by whoever asked: no shared file system
is needed. They do not depend on the number of workers, nor on how often one was lost.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import ray

from syndet_ray.data.pool import Pool
from syndet_ray.data.write import Format, check_empty, write_dataset
from syndet_ray.definitions.effect import no_effect
from syndet_ray.definitions.located import located
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DefinitionError
from syndet_ray.progress import Progress
from syndet_ray.scenes import command
from syndet_ray.scenes.cache import is_finished, kept
from syndet_ray.scenes.generate import library_of, rendered, scene_hash
from syndet_ray.scenes.made_from import facts
from syndet_ray.scenes.shards import joined, shard_path, shards_folder, shards_of
from syndet_ray.search.task import RETRIES
from syndet_ray.workers.cluster import connection, result
from syndet_ray.workers.raylet import watched_raylet
from syndet_ray.workers.stop import interrupt_for


class Display(Protocol):
    """What a person sees of it."""

    def note(self, text: str) -> None: ...
    def progress(self, what: str, done: int, total: int) -> None: ...


def render_set(
    parameters: SceneParameters,
    count: int,
    seed: int,
    cache: Path,
    *,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Pool:
    """`count` rendered scenes as a pool, from `cache` where they have been rendered before, in
    whole or in part.

    At most `workers` tasks run at once; None takes what is free. Needs a connection to a Ray
    cluster. `progress` is told (scenes done, scenes in all) as shards come in. Raises what the
    generator raises, and MachineError where a task lost its worker too often.
    """
    folder = cache / scene_hash(parameters, count, seed)
    pool = kept(folder, partial(_render, parameters, count, seed, folder, workers, progress))
    shutil.rmtree(shards_folder(folder), ignore_errors=True)  # the set holds them all
    return pool


def write_set(
    parameters: SceneParameters,
    count: int,
    seed: int,
    out: Path,
    *,
    cache: Path,
    display: Display,
    workers: int | None = None,
    address: str | None = None,
    image_format: Format = "png",
) -> None:
    """Renders a set and writes it as a dataset into `out`, a new or an empty folder.

    See `write_dataset`.
    """
    check_empty(out)
    if not parameters.generator.startswith(command.PREFIX):
        for words in library_of(parameters).notes:
            display.note(words)
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


def scene_parameters(settings: Sequence[str]) -> SceneParameters:
    """The default parameters with settings like "scene.blur=0.2"; a value is JSON, or a text.

    Raises DefinitionError for what is no setting of a scene, or changes nothing beside the others.
    """
    changes = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.startswith("scene."):
            raise DefinitionError("`settings`", "must read like scene.blur=0.2", got=setting)
        changes[path] = located(path, _value(text), Path.cwd())
    plain = Recipe()
    recipe = plain.replace(changes)
    for path in changes:
        reason = no_effect(path, recipe, facts)
        if reason is not None and recipe.get(path) != plain.get(path):
            rule = f"changes nothing: nothing acts on {path} where {reason.where}"
            raise DefinitionError("`settings`", rule, do="Leave it out, or set what it depends on.")
    return recipe.scene


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _render(
    parameters: SceneParameters,
    count: int,
    seed: int,
    folder: Path,
    workers: int | None,
    progress: Progress,
) -> Pool:
    if parameters.generator.startswith(command.PREFIX):
        return _by_command(parameters, count, seed, folder, progress)
    return _by_shards(parameters, count, seed, shards_folder(folder), workers, progress)


def _by_command(
    parameters: SceneParameters, count: int, seed: int, folder: Path, progress: Progress
) -> Pool:
    """One task: a program from outside is asked once for all."""
    work = partial(
        command.rendered, parameters, count, seed, folder.with_name(f"{folder.name}-command")
    )
    ((_, pool),) = _results({parameters.generator: work}, 1)
    progress(count, count)
    return pool


def _by_shards(
    parameters: SceneParameters,
    count: int,
    seed: int,
    folder: Path,
    workers: int | None,
    progress: Progress,
) -> Pool:
    """Shards are kept as they come in, so that an interrupted set goes on where it was."""
    paths = {part: shard_path(folder, part) for part in shards_of(count)}
    work = {
        part: partial(rendered, parameters, count, seed, part)
        for part, path in paths.items()
        if not is_finished(path)
    }
    done = count - sum(map(len, work))
    for part, pool in _results(work, workers or len(work)):
        pool.save(paths[part])
        done += len(part)
        progress(done, count)
    return joined(paths.values())


@ray.remote
def _call(work: Callable[[], Pool]) -> Pool:
    """Runs on a worker; the arrays of what it returns go into the object store."""
    return work()


def _results(work: Mapping[Any, Callable[[], Pool]], at_once: int) -> Iterator[tuple[Any, Pool]]:
    """What each piece of work returns, by its key, as it is done; at most `at_once` run at a time."""
    waiting = list(work)
    running: dict[Any, Any] = {}  # keys by the reference to what is to come
    task = _call.options(num_cpus=1, num_gpus=0, max_retries=RETRIES, **_placement())
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                key = waiting.pop(0)
                running[task.remote(work[key])] = key
            (done,), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done), result(done, "rendering", RETRIES + 1)
    finally:
        for left in running:
            ray.cancel(left, force=True)


def _placement() -> dict[str, Any]:
    """All over the cluster, but rather on nodes without GPUs where there are any: a trial needs its
    GPU's cores too.

    Of two tries, the second takes any node: those without GPUs may all have been lost.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    with_gpus = [node["NodeID"] for node in nodes if node["Resources"].get("GPU")]
    if len(with_gpus) in (0, len(nodes)):
        return {"scheduling_strategy": "SPREAD"}
    avoid, any_node = ({"ray.io/node-id": f"!in({','.join(ids)})"} for ids in (with_gpus, ["none"]))
    return {
        "scheduling_strategy": "SPREAD",
        "label_selector": avoid,
        "fallback_strategy": [{"label_selector": any_node}],
    }
