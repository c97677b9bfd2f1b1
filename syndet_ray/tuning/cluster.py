"""Cluster: a connection to Ray, on this machine or elsewhere, what trials may occupy there, and work spread over it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from syndet_ray.errors import MachineError
from syndet_ray.tuning.task import RETRIES, Progress, Resources, quiet


@contextmanager
def connection(address: str | None) -> Iterator[None]:
    """A connection to the Ray cluster at `address`, or to a new one on this machine, closed at the end.

    A new one asks for a token, which ray.init() makes. For `address`, RAY_AUTH_MODE must say what that cluster wants.
    """
    try:
        ray.init(
            # "local", not None: that would join whatever cluster once ran here, and wait for it if it is gone.
            address=address or "local",
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=True,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MachineError(
            f"Ray cluster {address or 'on this machine'}",
            f"cannot be reached ({str(error).splitlines()[0]})",
            do="See `ray status` on the head node; RAY_AUTH_MODE must be the same on both sides." if address else "",
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def resources(parallel: int | None, gpus_per_trial: float | None) -> Resources:
    """One core a trial, or one GPU and its share of the cores where the cluster has GPUs."""
    total = ray.cluster_resources()
    cpus, gpus = int(total.get("CPU", 1)), total.get("GPU", 0)
    per_trial = gpus_per_trial if gpus_per_trial is not None else min(1, gpus)
    if per_trial > 0:
        # Of the node that has the fewest cores for a trial: nodes without GPUs have none for it.
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
        cores = min((int(node.get("CPU", 1) * per_trial / node["GPU"]) for node in nodes), default=cpus)
        return Resources(max(1, min(8, cores)), per_trial, parallel or max(1, int(gpus / per_trial)))
    return Resources(max(1, cpus // parallel) if parallel else 1, 0, parallel or max(1, cpus))


def spare_cores(use: Resources) -> int:
    """Cores of the cluster that trials leave free."""
    return int(ray.cluster_resources().get("CPU", 0)) - use.parallel * use.cpus


@ray.remote
def _call(function: Callable[..., Any], shared: Any, threads: int, arguments: dict[str, Any]) -> Any:
    return function(shared, device(), threads, **arguments)


def run_tasks(
    function: Callable[..., Any],
    shared: Any,
    every: Sequence[dict[str, Any]],
    use: Resources,
    progress: Progress = quiet,
) -> list[Any]:
    """`function(shared, device, threads, **arguments)` for each of `every`, as many at once as trials would run.

    Returns what they return, in their order; `progress` is told as they end, in whichever. `shared` goes through the object
    store: all processes of a node read one copy.
    """
    task = _call.options(num_cpus=use.cpus, num_gpus=use.gpus, max_retries=RETRIES)
    held = ray.put(shared)
    asked = [task.remote(function, held, use.cpus, arguments) for arguments in every]
    waiting = asked
    while waiting:
        _, waiting = ray.wait(waiting, num_returns=1)
        progress(len(asked) - len(waiting), len(asked))
    return ray.get(asked)


def device() -> str:
    """The device that Ray assigned to the task or trial that asks: "cuda" or "cpu".

    Not torch.cuda.is_available(): Ray does not hide a machine's GPUs from trials that asked for none.
    """
    return "cuda" if ray.get_gpu_ids() else "cpu"
