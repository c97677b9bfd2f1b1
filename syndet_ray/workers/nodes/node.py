"""Node: the resources of a node for trials, and its name, from Ray's description of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from syndet_ray.search.task import Resources

_HEAD = "node:__internal_head__"  # a resource that Ray gives to the head alone
_ROUNDING = 1e-9  # 1 / (1 / 3) is less than 3


@dataclass(frozen=True, kw_only=True)
class Node:
    """The resources of a node that trials may occupy."""

    cpus: float
    gpus: float
    is_head: bool = False

    def gpu_shares(self, share: float) -> int:
        """Returns the number of processes that its GPUs can serve.

        Each takes a share of one GPU, above 0 and at most 1.
        """
        return int(self.gpus) * int(1 / share + _ROUNDING)

    def trials(self, use: Resources) -> int:
        """Returns the number of trials that fit at once, each with all its processes."""
        by_cores = int(self.cpus // use.cpus)
        processes = min(by_cores, self.gpu_shares(use.gpus)) if use.gpus else by_cores
        return processes // use.processes


def trials_on(nodes: Iterable[Node], use: Resources) -> int:
    """Returns the number of trials that fit at once on these nodes."""
    return sum(node.trials(use) for node in nodes)


def node_of(description: Mapping[str, Any]) -> Node:
    """Returns a node from Ray's description of it."""
    amounts = description["Resources"]
    return Node(cpus=amounts.get("CPU", 0), gpus=amounts.get("GPU", 0), is_head=_HEAD in amounts)


def node_name(description: Mapping[str, Any]) -> str:
    """Returns the name of a node in messages, from Ray's description of it."""
    return f"node {description['NodeManagerAddress']} ({description['NodeID'][:6]})"
