"""Capacity: what each trial gets of the nodes, and how many trials they can take at once."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import ray

from syndet_ray.errors import MachineError
from syndet_ray.progress import Note, silent
from syndet_ray.search.task import Resources
from syndet_ray.wording import counted
from syndet_ray.workers.nodes.autoscaler import NO_GROWTH, Growth
from syndet_ray.workers.nodes.node import Node, trials_on
from syndet_ray.workers.nodes.unfit import alive_nodes, paid_and_fit_nodes

_MOST_CORES = 8  # for a trial with a GPU: more do not feed it faster
_RECOUNT_S = 5.0  # nodes take minutes to join, and asking Ray for them takes a millisecond


def resources(
    parallel: int | None,
    gpus_per_trial: float | None,
    growth: Growth = NO_GROWTH,
    note: Note = silent,
) -> Resources:
    """Returns the resources of each trial and the number of trials at once.

    If the cluster has GPUs or may get some, a trial gets one GPU and its share of the cores; else
    one core, or as many as `parallel` trials can have. If a trial asks for GPUs that no node has,
    and it is not known which nodes may join, it waits without limit for a node that has them, with
    a note. Raises MachineError for GPUs that no node will ever have.

    parallel        the number of trials at once; None takes as many as fit once the cluster has
                    grown
    gpus_per_trial  what each trial asks for; None for a GPU where nodes have one
    growth          the nodes that may join
    note            shows a message to the user
    """
    nodes = alive_nodes()
    if gpus_per_trial and not growth.is_known:
        processes = Resources.of_one_trial(gpus_per_trial).processes
        if not _with_gpus(nodes, processes):
            note(f"waiting for the first node with {_gpu_words(processes)}")
            nodes = nodes_once_gpus_join(gpus_per_trial)
    return resources_on(nodes, growth, parallel, gpus_per_trial)


def resources_on(
    nodes: Sequence[Node], growth: Growth, parallel: int | None, gpus_per_trial: float | None
) -> Resources:
    """Returns the resources of a trial and the number at once on these nodes, up or not yet.

    Raises MachineError as `resources` does.
    """
    gpus = gpus_per_trial
    if gpus is None:
        gpus = 1.0 if _with_gpus([*nodes, *growth.nodes]) else 0.0
    use = Resources.of_one_trial(gpus)
    if gpus > 0:
        cpus = _cores_per_process(use, [*nodes, *growth.nodes])
    else:
        cpus = _cores_of(parallel, nodes, growth)
    use = replace(use, cpus=cpus)
    return replace(use, parallel=parallel or trials_at_once(use, nodes, growth))


def with_room(use: Resources, nodes: Sequence[Node], growth: Growth) -> Resources:
    """Returns `use` with no more trials at once than `trials_at_once`: others would only wait."""
    return replace(use, parallel=min(use.parallel, trials_at_once(use, nodes, growth)))


def trials_at_once(use: Resources, nodes: Sequence[Node], growth: Growth) -> int:
    """Returns the number of trials that fit at once, at least 1. `nodes` are up.

    Trials that wait for a node count too: because they wait, an autoscaler starts it. If it is
    unknown whether there is an autoscaler, a single trial waits.
    """
    fitting = _fitting(use, nodes, growth)
    return max(1, fitting) if growth.is_known else fitting + 1


def _fitting(use: Resources, nodes: Sequence[Node], growth: Growth) -> int:
    """Returns the number of trials that fit at once on the nodes that are up or may be up."""
    now = trials_on(nodes, use)
    on_heads = trials_on([node for node in nodes if node.is_head], use)
    return max(now, on_heads + growth.trials(use))


class Capacity:
    """The nodes that are up, and the number of trials that may run at once.

    Ray is asked again every few seconds, as nodes join and leave. A number of trials that the user
    has fixed stays.
    """

    def __init__(self, use: Resources, growth: Growth, *, fixed: bool) -> None:
        self._use, self._growth, self._fixed = use, growth, fixed
        self._nodes: list[Node] = []
        self._trials, self._trials_on_nodes = use.parallel, 0
        self._counted_at = -math.inf

    def nodes(self) -> list[Node]:
        """Returns all nodes that are up, in the same list until they are counted again."""
        self._count()
        return self._nodes

    def trials_on_nodes(self) -> int:
        """Returns the number of trials that may run now on the nodes that are up."""
        self._count()
        return min(self._trials_on_nodes, self._trials)

    def trials(self) -> int:
        """Returns the number of trials that may run now, also on nodes that may join."""
        self._count()
        return self._trials

    def _count(self) -> None:
        """Counts nodes and trials again, if that is due."""
        if time.monotonic() - self._counted_at < _RECOUNT_S:
            return
        self._nodes, fit_nodes = paid_and_fit_nodes()
        self._trials_on_nodes = trials_on(fit_nodes, self._use)
        if not self._fixed:
            self._trials = trials_at_once(self._use, fit_nodes, self._growth)
        self._counted_at = time.monotonic()


def has_spare_cores(use: Resources, growth: Growth = NO_GROWTH) -> bool:
    """True if trials leave cores free, now or on nodes that may join for other work."""
    nodes = alive_nodes()
    trials = min(use.parallel, trials_on(nodes, use))
    spare_cores = sum(node.cpus for node in nodes) - trials * use.cpus_per_trial
    if spare_cores >= 1:
        return True
    without_trials = [node for node in growth.nodes if not node.trials(use)]
    return any(node.cpus >= 1 for node in without_trials)


def resource_words(use: Resources, growth: Growth = NO_GROWTH) -> list[str]:
    """Messages on how trials are spread over the cluster, if a user may not expect it."""
    nodes = alive_nodes()
    now = trials_on(nodes, use)
    messages = []
    if not use.gpus and _with_gpus([*nodes, *growth.nodes]):
        messages.append(
            "trials train on CPUs, but the cluster has GPUs: set `gpus_per_trial` 1 to use them"
        )
    elif not use.gpus and not growth.is_known:
        messages.append(
            "trials train on CPUs, because no node has a GPU: "
            "if nodes with GPUs will join, set `gpus_per_trial` 1"
        )
    if growth.is_known and not _fitting(use, nodes, growth):
        messages.append("trials fit on no node, and none may join by itself: they wait for one")
    elif growth.nodes and now < use.parallel:
        trials = counted(use.parallel, "trial")
        messages.append(
            f"{trials} may run at once: {now} on the nodes that are up, the rest as nodes join"
        )
    return messages


def _with_gpus(nodes: Sequence[Node], least: int = 1) -> list[Node]:
    return [node for node in nodes if node.gpus >= least]


def _gpu_words(count: int) -> str:
    return "a GPU" if count == 1 else f"{count} GPUs"


def _cores_per_process(use: Resources, nodes: Sequence[Node]) -> int:
    """Returns the cores that each process of a trial with GPUs can have.

    They are those on the node with the fewest for a process, of the nodes with a GPU for each
    process of a trial. Raises MachineError if there is no such node.
    """
    fitting = _with_gpus(nodes, use.processes)
    if not fitting:
        words = _gpu_words(use.processes)
        rule = f"no node has {words}, and no node with {words} may join"
        do = "Leave it out, or join nodes with GPUs first."
        if use.processes > 1:
            rule += ": a trial trains on one node"
            do = "Set it to 1: more GPUs train more trials at once."
        gpus = use.processes if use.processes > 1 else use.gpus
        raise MachineError("`gpus_per_trial`", rule, got=gpus, do=do)
    cores = min(int(node.cpus / node.gpu_shares(use.gpus)) for node in fitting)
    return max(1, min(_MOST_CORES, cores))


def _cores_of(parallel: int | None, nodes: Sequence[Node], growth: Growth) -> int:
    """Returns the most cores that each of `parallel` trials without GPUs can have; else one.

    A trial runs on one node.
    """
    if parallel is None:
        return 1
    most = max((int(node.cpus) for node in [*nodes, *growth.nodes]), default=1)
    for cores in range(most, 1, -1):
        use = Resources(cpus=cores, gpus=0, parallel=parallel)
        if _fitting(use, nodes, growth) >= parallel:
            return cores
    return 1


def nodes_once_gpus_join(gpus: float) -> list[Node]:
    """Waits for the first node with GPUs where it is not known which nodes may join.

    Returns the nodes that are up. Only then is it known how many cores a trial can have.
    """
    ray.get(_nothing.options(num_cpus=0, num_gpus=gpus).remote())
    return alive_nodes()


@ray.remote
def _nothing() -> None:
    """Waits for the resources it occupies, so that an autoscaler starts a node that has them."""
