"""Ahead: the scenes that trials will ask for, rendered while the trials before them train, and brought to them."""

from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from syndet_ray.data.pool import Pool
from syndet_ray.recipe import SceneParameters
from syndet_ray.scenes.cache import is_finished, kept, loaded
from syndet_ray.scenes.generate import scene_hash
from syndet_ray.scenes.shards import shard_path, shards_folder, shards_of
from syndet_ray.tuning.render import render_set, result


class Ahead:
    """Sets that are being rendered into the driver's cache.

    Only where trials leave cores free: a trial that waits for scenes keeps its cores, and rendering would wait for them.
    """

    def __init__(self, cache: Path) -> None:
        self._cache, self._sets = cache, dict[str, Any]()

    def ready(self, parameters: SceneParameters, count: int, seed: int) -> bool:
        """Whether a set is whole; asked first, it begins to be rendered. Raises as `render_set` does."""
        key = scene_hash(parameters, count, seed)
        if key not in self._sets:
            task = _render_set.options(scheduling_strategy=at_node(this_node()))
            self._sets[key] = task.remote(parameters, count, seed, self._cache)
        done, _ = ray.wait([self._sets[key]], timeout=0)
        if done:
            result(self._sets[key])
        return bool(done)

    def rendered(self, parameters: SceneParameters, count: int, seed: int) -> int:
        """How many scenes of a set are there: of one that is being rendered, those of the shards that are whole."""
        folder = self._cache / scene_hash(parameters, count, seed)
        if is_finished(folder):
            return count
        shards = shards_folder(folder)
        return sum(len(part) for part in shards_of(count) if is_finished(shard_path(shards, part)))


def fetched_set(parameters: SceneParameters, count: int, seed: int, cache: Path, *, node: str) -> Pool:
    """A set that is whole on `node`, from a copy in `cache` here, made where there is none.

    Where the cache of `node` has dropped it meanwhile, it is rendered there again.
    """
    folder = cache / scene_hash(parameters, count, seed)
    copy = loaded(folder)
    if copy is not None:
        return copy
    there = _load.options(scheduling_strategy=at_node(node)).remote(parameters, count, seed, cache)
    pool = result(there)  # before the copy's lock is taken: the cache of `node` may be this one
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
