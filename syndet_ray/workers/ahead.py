"""Ahead: renders scenes before the trials that need them start.

The scenes are rendered while earlier trials train, and are brought to the trials' nodes.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray

from syndet_ray.data.pool import Pool
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import MachineError
from syndet_ray.progress import Note, Progress, quiet, silent
from syndet_ray.scenes.cache import is_finished, load_or_make, load_pool
from syndet_ray.scenes.generate import generate, scene_hash
from syndet_ray.scenes.shards import shard_path, shards_folder, shards_of
from syndet_ray.search.task import RETRIES
from syndet_ray.workers.nodes.here import at_node, this_node
from syndet_ray.workers.render import render_set
from syndet_ray.workers.tasks import result


class Ahead:
    """Sets of scenes that are rendered into the driver's cache.

    Use it only if trials leave cores free: a trial that waits for scenes keeps its cores, and
    rendering would wait for them.

    It does not use `tasks.ended_tasks`, which waits for the next task to end and then forgets it.
    Here the driver must not wait, and later trials that ask for a set must get the same answer,
    errors included.

    note  is called when a set is rendered again
    """

    def __init__(self, cache: Path, note: Note = silent) -> None:
        self._cache, self._note = cache, note
        self._sets: dict[str, Any] = {}  # references of tasks, by the hash of their set
        self._retries: dict[str, int] = defaultdict(int)

    def ready(self, parameters: SceneParameters, count: int, seed: int) -> bool:
        """True if a set is complete. The first call starts its rendering.

        Raises like `render_set`, but MachineError only if rendering the set again did not help. A
        set that could not be rendered is not started again: later calls raise the same error at
        once.
        """
        key = scene_hash(parameters, count, seed)
        if key not in self._sets:
            self._sets[key] = self._start(parameters, count, seed)
        done, _ = ray.wait([self._sets[key]], timeout=0)
        if not done:
            return False
        try:
            result(self._sets[key], "rendering ahead")
        except MachineError as error:
            if self._retries[key] == RETRIES:
                raise
            # Ray does not retry it: it would print a traceback into the display.
            self._retries[key] += 1
            self._sets[key] = self._start(parameters, count, seed)
            self._note(f"scenes that trials wait for are rendered once more: {error}")
            return False
        return True

    def drop(self, parameters: SceneParameters, count: int, seed: int) -> None:
        """Cancels the rendering of a set, so that a trial can render it.

        The task holds the lock of the set's folder, which may be the trial's too.
        """
        rendering = self._sets.pop(scene_hash(parameters, count, seed), None)
        if rendering is not None:
            ray.cancel(rendering, force=True)

    def rendered_scenes(self, parameters: SceneParameters, count: int, seed: int) -> int:
        """Returns the number of rendered scenes of a set.

        Of an incomplete set it counts the scenes in complete shards.
        """
        folder = self._cache / scene_hash(parameters, count, seed)
        if is_finished(folder):
            return count
        shards = shards_folder(folder)
        return sum(len(part) for part in shards_of(count) if is_finished(shard_path(shards, part)))

    def _start(self, parameters: SceneParameters, count: int, seed: int) -> Any:
        task = _render_set.options(scheduling_strategy=at_node(this_node()))
        return task.remote(parameters, count, seed, self._cache)


def scenes_from(
    node: str | None, progress: Progress = quiet
) -> Callable[[SceneParameters, int, int, Path], Pool]:
    """Returns the function with which a trial gets a set: as `generate`, or `fetched_set`.

    node      that has rendered the trial's scenes; None if the trial renders them
    progress  of that
    """
    if node is None:
        return partial(generate, progress=progress)
    return partial(fetched_set, node=node)


def fetched_set(
    parameters: SceneParameters, count: int, seed: int, cache: Path, *, node: str
) -> Pool:
    """Returns a set that is complete on `node`, from a copy in `cache` on this node.

    Makes the copy if there is none. If the cache of `node` has dropped the set meanwhile, it is
    rendered there again.
    """
    folder = cache / scene_hash(parameters, count, seed)
    copy = load_pool(folder)
    if copy is not None:
        return copy
    task = _load.options(scheduling_strategy=at_node(node))
    # before the copy's lock is taken: the cache of `node` may be this one
    pool = result(task.remote(parameters, count, seed, cache), "fetching scenes")
    return load_or_make(folder, lambda: pool)


# Both occupy no core: they wait, or end in an instant, and must not wait for a trial to end.
@ray.remote(num_cpus=0)
def _render_set(parameters: SceneParameters, count: int, seed: int, cache: Path) -> None:
    render_set(parameters, count, seed, cache)


@ray.remote(num_cpus=0)
def _load(parameters: SceneParameters, count: int, seed: int, cache: Path) -> Pool:
    return render_set(parameters, count, seed, cache)
