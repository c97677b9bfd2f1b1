"""Autoscaler: the nodes that may join a cluster, from the configuration of Ray's own autoscaler."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        """Returns the number of trials that its GPUs can serve.

        Each takes a share of one GPU, above 0 and at most 1.
        """
        return int(self.gpus) * int(1 / gpus + _ROUNDING)

    def fits(self, cpus: int, gpus: float) -> int:
        """Returns the number of trials that fit at once.

        Each takes this number of cores and this share of a GPU.
        """
        by_cores = int(self.cpus // cpus)
        return min(by_cores, self.gpu_shares(gpus)) if gpus else by_cores


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The nodes that may join a cluster.

    nodes     every worker node that its autoscaler may start, including those that it has started
    most      the number of them that may be up at once
    always    those of them that are up even if nothing asks for them
    is_known  whether the limits of the autoscaler are known; if not, `nodes` is empty
    """

    nodes: tuple[Node, ...] = ()
    most: int = 0
    always: tuple[Node, ...] = ()
    is_known: bool = True

    def trials(self, cpus: int, gpus: float) -> int:
        """Returns the number of trials that fit on `most` of the nodes, the largest ones.

        Nodes that are up without trials take places of them.
        """
        fitting = sorted((node.fits(cpus, gpus) for node in self.nodes), reverse=True)
        places = self.most - sum(not node.fits(cpus, gpus) for node in self.always)
        return sum(fitting[: max(0, places)])

    @property
    def is_possible(self) -> bool:
        """True if another node may join, or if that is unknown."""
        return bool(self.nodes and self.most) or not self.is_known


NO_GROWTH = Growth()


def trials_on(nodes: Iterable[Node], cpus: int, gpus: float) -> int:
    """Returns the number of trials that fit at once on these nodes; see `Node.fits`."""
    return sum(node.fits(cpus, gpus) for node in nodes)


def growth_at(gcs_address: str) -> Growth:
    """Returns the nodes that may join the cluster whose head answers at an address, IP:PORT.

    Ray gives the limits of its autoscaler only in the file with which the autoscaler was started.
    It runs on the head; a driver on another node, or on Kubernetes, cannot know them.
    """
    try:
        commands = list(_monitors(gcs_address))
        config = _configuration(list(chain(*commands)))
        return Growth(is_known=bool(commands)) if config is None else growth_of(config)
    except (OSError, yaml.YAMLError):
        return Growth(is_known=False)


def own_configuration() -> dict[str, Any]:
    """Returns what the autoscaler was started with that this process is; {} if it is none."""
    return _configuration(psutil.Process().cmdline()) or {}


def _configuration(command: Sequence[str]) -> dict[str, Any] | None:
    """Returns the content of the file that a command line names; None if it names none."""
    for argument in command:
        if argument.startswith(_CONFIG):
            file = Path(argument.removeprefix(_CONFIG)).expanduser()
            content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
            return content
    return None


def growth_of(config: dict[str, Any]) -> Growth:
    """Returns the nodes that an autoscaler with this configuration may start.

    The configuration is the one that `ray up` passes to the head.
    """
    most = config.get("max_workers", 0)
    kinds = config["available_node_types"]
    head = kinds[config["head_node_type"]]
    # of machines that exist already, each counts its resources itself
    if head.get("max_workers", 0) > 0 and not head.get("resources"):
        return Growth(is_known=False)
    nodes: list[Node] = []
    always: list[Node] = []
    for name, kind in kinds.items():
        if name != config["head_node_type"]:
            node = _node(kind.get("resources", {}))
            nodes += [node] * min(most, kind.get("max_workers", most))
            always += [node] * kind.get("min_workers", 0)
    return Growth(nodes=tuple(nodes), most=most, always=tuple(always))


def _node(amounts: Mapping[str, float]) -> Node:
    return Node(cpus=amounts.get("CPU", 0), gpus=amounts.get("GPU", 0))


def _monitors(gcs_address: str) -> Iterator[list[str]]:
    """The command lines of this machine's monitors of the cluster at an address.

    A monitor scales the cluster or only watches it.
    """
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        programs = [Path(word).name for word in command]
        if f"--gcs-address={gcs_address}" in command and "monitor.py" in programs:
            yield command
