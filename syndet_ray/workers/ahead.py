"""Ahead: the scenes that trials will ask for, rendered while the trials before them train, and
brought to them.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from syndet_ray.data.pool import Pool
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import MachineError
from syndet_ray.progress import Note, silent
from syndet_ray.scenes.cache import is_finished, kept, loaded
from syndet_ray.scenes.generate import scene_hash
from syndet_ray.scenes.shards import shard_path, shards_folder, shards_of
from syndet_ray.search.task import RETRIES
from syndet_ray.workers.cluster import result
from syndet_ray.workers.render import render_set


class Ahead:
    """Sets that are being rendered into the driver's cache.

    Only where trials leave cores free: a trial that waits for scenes keeps its cores, and rendering
    would wait for them.

    note  is told where a set is rendered once more
    """

    def __init__(self, cache: Path, note: Note = silent) -> None:
        self._cache, self._note = cache, note
        self._sets: dict[str, Any] = {}
        self._retries: dict[str, int] = defaultdict(int)

    def ready(self, parameters: SceneParameters, count: int, seed: int) -> bool:
        """Whether a set is whole; asked first, it begins to be rendered.

        Raises as `render_set` does, MachineError only where rendering it again has not helped. What
        could not be rendered is not begun again: whoever else asks for the set is told the same at
        once.
        """
        key = scene_hash(parameters, count, seed)
        if key not in self._sets:
            self._sets[key] = self._begun(parameters, count, seed)
        done, _ = ray.wait([self._sets[key]], timeout=0)
        if not done:
            return False
        try:
            result(self._sets[key], "rendering ahead")
        except MachineError as error:
            if self._retries[key] == RETRIES:
                raise
            # Not left to Ray, which would print a traceback into the display.
            self._retries[key] += 1
            self._sets[key] = self._begun(parameters, count, seed)
            self._note(f"scenes that trials wait for are rendered once more: {error}")
            return False
        return True

    def _begun(self, parameters: SceneParameters, count: int, seed: int) -> Any:
        task = _render_set.options(scheduling_strategy=at_node(this_node()))
        return task.remote(parameters, count, seed, self._cache)

    def rendered(self, parameters: SceneParameters, count: int, seed: int) -> int:
        """How many scenes of a set are there: of one that is being rendered, those of the shards
        that are whole.
        """
        folder = self._cache / scene_hash(parameters, count, seed)
        if is_finished(folder):
            return count
        shards = shards_folder(folder)
        return sum(len(part) for part in shards_of(count) if is_finished(shard_path(shards, part)))


def fetched_set(
    parameters: SceneParameters, count: int, seed: int, cache: Path, *, node: str
) -> Pool:
    """A set that is whole on `node`, from a copy in `cache` here, made where there is none.

    Where the cache of `node` has dropped it meanwhile, it is rendered there again.
    """
    folder = cache / scene_hash(parameters, count, seed)
    copy = loaded(folder)
    if copy is not None:
        return copy
    there = _load.options(scheduling_strategy=at_node(node)).remote(parameters, count, seed, cache)
    # before the copy's lock is taken: the cache of `node` may be this one
    pool = result(there, "fetching scenes")
    return kept(folder, lambda: pool)


def this_node() -> str:
    """The id of the node that this process runs on."""
    return ray.get_runtime_context().get_node_id()


def at_node(node: str) -> NodeAffinitySchedulingStrategy:
    """Has a task run on this node, and nowhere else."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


# Both occupy no core: what they wait for, or do in an instant, must not wait for a trial to end.
@ray.remote(num_cpus=0)
def _render_set(parameters: SceneParameters, count: int, seed: int, cache: Path) -> None:
    render_set(parameters, count, seed, cache)


@ray.remote(num_cpus=0)
def _load(parameters: SceneParameters, count: int, seed: int, cache: Path) -> Pool:
    return render_set(parameters, count, seed, cache)
