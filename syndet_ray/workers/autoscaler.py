"""Autoscaler: the nodes that a cluster may still get, from the configuration of Ray's own
autoscaler.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

_CONFIG = "--autoscaling-config="
_ROUNDING = 1e-9  # 1 / (1 / 3) is less than 3


@dataclass(frozen=True, kw_only=True)
class Node:
    """What a node has for trials."""

    cpus: float
    gpus: float
    is_head: bool = False

    def gpu_shares(self, gpus: float) -> int:
        """How many trials its GPUs can be divided among, of which each takes a share, 0 to 1, of
        one of them.
        """
        return int(self.gpus) * int(1 / gpus + _ROUNDING)

    def fits(self, cpus: int, gpus: float) -> int:
        """How many trials fit at once, of so many cores and such a share of a GPU each."""
        by_cores = int(self.cpus // cpus)
        return min(by_cores, self.gpu_shares(gpus)) if gpus else by_cores


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What may join a cluster.

    nodes     every worker node that its autoscaler may start, those among them that it has started
    most      how many of them there may be at once
    is_known  whether that can be told; where it cannot, there are no nodes
    """

    nodes: tuple[Node, ...] = ()
    most: int = 0
    is_known: bool = True

    def trials(self, cpus: int, gpus: float) -> int:
        """How many trials fit on the nodes once they have all been started, the largest first."""
        fitting = sorted((node.fits(cpus, gpus) for node in self.nodes), reverse=True)
        return sum(fitting[: self.most])

    @property
    def is_possible(self) -> bool:
        """Whether another node may join, as far as is known."""
        return bool(self.nodes and self.most) or not self.is_known


NO_GROWTH = Growth()


def trials_on(nodes: Iterable[Node], cpus: int, gpus: float) -> int:
    """How many trials fit at once on these nodes, of so many cores and such a share of a GPU each."""
    return sum(node.fits(cpus, gpus) for node in nodes)


def growth_at(gcs_address: str) -> Growth:
    """What may join the cluster whose head answers at an address, IP:PORT.

    Ray tells of its autoscaler's limits nowhere but in the file that this was started with. It runs
    on the head; a driver that does not, and one on Kubernetes, cannot know.
    """
    try:
        commands = list(_monitors(gcs_address))
        configs = [
            argument.removeprefix(_CONFIG)
            for command in commands
            for argument in command
            if _CONFIG in argument
        ]
        if not configs:
            return Growth(is_known=bool(commands))
        return growth_of(yaml.safe_load(Path(configs[0]).expanduser().read_text()))
    except (OSError, yaml.YAMLError):
        return Growth(is_known=False)


def growth_of(config: dict[str, Any]) -> Growth:
    """What an autoscaler may start that has this configuration, as `ray up` hands it to the head."""
    most = config.get("max_workers", 0)
    nodes: list[Node] = []
    for name, kind in config["available_node_types"].items():
        if name != config["head_node_type"]:
            has = kind.get("resources", {})
            node = Node(cpus=has.get("CPU", 0), gpus=has.get("GPU", 0))
            nodes += [node] * min(most, kind.get("max_workers", most))
    return Growth(nodes=tuple(nodes), most=most)


def _monitors(gcs_address: str) -> Iterator[list[str]]:
    """The command lines of this machine's processes that scale the cluster at an address, or only
    watch it.
    """
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if f"--gcs-address={gcs_address}" in command and any(
            Path(word).name == "monitor.py" for word in command
        ):
            yield command
