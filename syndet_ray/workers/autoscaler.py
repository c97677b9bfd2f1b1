"""Autoscaler: the nodes that may join a cluster, from the configuration of Ray's own autoscaler."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import yaml

_CONFIG = "--autoscaling-config="  # an argument of Ray's monitor; the path of a file follows
_ROUNDING = 1e-9  # 1 / (1 / 3) is less than 3


@dataclass(frozen=True, kw_only=True)
class Node:
    """The resources of a node that trials may occupy."""

    cpus: float
    gpus: float
    is_head: bool = False

    def gpu_shares(self, gpus: float) -> int:
        """Returns the number of processes that its GPUs can serve.

        Each takes a share of one GPU, above 0 and at most 1.
        """
        return int(self.gpus) * int(1 / gpus + _ROUNDING)

    def fits(self, cpus: int, gpus: float, processes: int = 1) -> int:
        """Returns the number of trials that fit at once.

        Each of their processes takes this number of cores and this share of a GPU.
        """
        by_cores = int(self.cpus // cpus)
        fitting = min(by_cores, self.gpu_shares(gpus)) if gpus else by_cores
        return fitting // processes


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The nodes that may join a cluster.

    nodes     every worker node that its autoscaler may start, including those that it has started
    most      the number of them that may be up at once
    is_known  whether the limits of the autoscaler are known; if not, `nodes` is empty
    """

    nodes: tuple[Node, ...] = ()
    most: int = 0
    is_known: bool = True

    def trials(self, cpus: int, gpus: float, processes: int = 1) -> int:
        """Returns the number of trials that fit on `most` of the nodes, the largest ones."""
        counts = [node.fits(cpus, gpus, processes) for node in self.nodes]
        fitting = sorted(counts, reverse=True)
        return sum(fitting[: self.most])

    @property
    def is_possible(self) -> bool:
        """True if another node may join, or if that is unknown."""
        return bool(self.nodes and self.most) or not self.is_known


NO_GROWTH = Growth()


def trials_on(nodes: Iterable[Node], cpus: int, gpus: float, processes: int = 1) -> int:
    """Returns the number of trials that fit at once on these nodes; see `Node.fits`."""
    return sum(node.fits(cpus, gpus, processes) for node in nodes)


def growth_at(gcs_address: str) -> Growth:
    """Returns the nodes that may join the cluster whose head answers at an address, IP:PORT.

    Ray gives the limits of its autoscaler only in the file with which the autoscaler was started.
    It runs on the head; a driver on another node, or on Kubernetes, cannot know them.
    """
    try:
        commands = list(_monitors(gcs_address))
        arguments = [argument for argument in chain(*commands) if _CONFIG in argument]
        if not arguments:
            return Growth(is_known=bool(commands))
        config = Path(arguments[0].removeprefix(_CONFIG)).expanduser()
        return growth_of(yaml.safe_load(config.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError):
        return Growth(is_known=False)


def growth_of(config: dict[str, Any]) -> Growth:
    """Returns the nodes that an autoscaler with this configuration may start.

    The configuration is the one that `ray up` passes to the head.
    """
    most = config.get("max_workers", 0)
    nodes: list[Node] = []
    for name, kind in config["available_node_types"].items():
        if name != config["head_node_type"]:
            amounts = kind.get("resources", {})
            node = Node(cpus=amounts.get("CPU", 0), gpus=amounts.get("GPU", 0))
            nodes += [node] * min(most, kind.get("max_workers", most))
    return Growth(nodes=tuple(nodes), most=most)


def _monitors(gcs_address: str) -> Iterator[list[str]]:
    """The command lines of this machine's monitors of the cluster at an address.

    A monitor scales the cluster or only watches it.
    """
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        programs = [Path(word).name for word in command]
        if f"--gcs-address={gcs_address}" in command and "monitor.py" in programs:
            yield command
