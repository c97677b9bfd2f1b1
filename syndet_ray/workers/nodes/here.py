"""Here: the node of this process, its files and its GPU, and tasks on one node alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from syndet_ray.workers.nodes.node import node_name


def this_node() -> str:
    """Returns the id of the node that this process runs on."""
    return ray.get_runtime_context().get_node_id()


def description_here() -> Mapping[str, Any]:
    """Returns Ray's description of the node that this process runs on."""
    here = this_node()
    (description,) = (node for node in ray.nodes() if node["NodeID"] == here)
    return description


def name_here() -> str:
    """Returns the name, in messages, of the node that this process runs on."""
    return node_name(description_here())


def session_folder() -> Path:
    """Returns the folder of files of Ray on this node. Ray has no public way to it."""
    return Path(ray._private.worker._global_node.get_session_dir_path())


def device() -> str:
    """Returns the device that Ray assigned to the calling task or trial: "cuda" or "cpu".

    torch.cuda.is_available() would be wrong: Ray does not hide a machine's GPUs from trials that
    did not ask for one.
    """
    return "cuda" if ray.get_gpu_ids() else "cpu"


def at_node(node: str) -> NodeAffinitySchedulingStrategy:
    """Returns the scheduling strategy of Ray for a task that runs on `node` alone."""
    return NodeAffinitySchedulingStrategy(node, soft=False)
