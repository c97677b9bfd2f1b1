"""Autoscaler: the nodes that may join a cluster, from the configuration of Ray's own autoscaler."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import yaml

from syndet_ray.search.task import Resources
from syndet_ray.workers.nodes.node import Node

_CONFIG = "--autoscaling-config="  # an argument of Ray's monitor; the path of a file follows
# nodes of one type, where there is no limit: more trials do not start at once
_MANY = 1000
# where a pod finds the name of its namespace
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


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

    def trials(self, use: Resources) -> int:
        """Returns the number of trials that fit on `most` of the nodes, the largest ones.

        Nodes that are up without trials take places of them.
        """
        counts = [node.trials(use) for node in self.nodes]
        without_trials = [node for node in self.always if not node.trials(use)]
        places = max(0, self.most - len(without_trials))
        return sum(sorted(counts, reverse=True)[:places])

    @property
    def is_possible(self) -> bool:
        """True if another node may join, or if that is unknown."""
        return bool(self.nodes and self.most) or not self.is_known


NO_GROWTH = Growth()


def growth_at(gcs_address: str) -> Growth:
    """Returns the nodes that may join the cluster whose head answers at an address, IP:PORT.

    The limits of an autoscaler are in the file with which it was started, if that was on this
    machine. Later versions of Ray tell them to every node. On Kubernetes the head may read them.
    """
    try:
        commands = list(_monitors(gcs_address))
        config = _configuration(list(chain(*commands)))
        if config is not None:
            return growth_of(config)
    except (OSError, yaml.YAMLError):
        return Growth(is_known=False)
    otherwise = Growth(is_known=bool(commands))  # a monitor without a file only watches
    return _reported_growth() or _growth_on_kubernetes() or otherwise


def _reported_growth() -> Growth | None:
    """Returns the limits that an autoscaler has told the cluster that this process has joined.

    None if it has told none, as those of Ray 2.60.
    """
    import ray
    from ray._private.state import state

    reported = state.get_cluster_config() if ray.is_initialized() else None
    groups = reported.node_group_configs if reported else ()
    if not groups:
        return None
    nodes: list[Node] = []
    always: list[Node] = []
    for group in groups:
        node = _node(group.resources)
        is_limited = 0 <= group.max_count < _MANY
        nodes += [node] * (group.max_count if is_limited else _MANY)
        always += [node] * min(group.min_count, _MANY)
    return Growth(nodes=tuple(nodes), most=len(nodes), always=tuple(always))


def _growth_on_kubernetes() -> Growth | None:
    """Returns the limits of the KubeRay cluster whose head this is; None if it is none.

    The head may read what its autoscaler reads. Ray itself turns that into the form of a file for
    `ray up`.
    """
    name = os.environ.get("RAY_CLUSTER_NAME")
    if name is None or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return None
    from ray.autoscaler._private.kuberay import autoscaling_config, node_provider

    try:
        namespace = _NAMESPACE.read_text(encoding="utf-8").strip()
        client = node_provider.KubernetesHttpApiClient(namespace)
        cluster = client.get(f"rayclusters/{name}")
        return growth_of(autoscaling_config._derive_autoscaling_config_from_ray_cr(cluster))
    # a pod that may not read it, or a cluster that Ray's own reader does not understand
    except Exception:
        return None


def own_configuration() -> dict[str, Any]:
    """Returns the configuration of the autoscaler that this process is; {} if it is none."""
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
    most = int(config.get("max_workers", 0))  # for Ray 2.0 is a whole number too
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
            nodes += [node] * min(most, int(kind.get("max_workers", most)), _MANY)
            always += [node] * min(int(kind.get("min_workers", 0)), _MANY)
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
