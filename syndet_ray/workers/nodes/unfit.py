"""Unfit: nodes that lack what trials need, in a list that all processes of a run see.

It lies in the key-value store of Ray's head, under the job of the driver. What asks for nodes gets
the others.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

import ray
from ray.experimental.internal_kv import (
    _internal_kv_get,
    _internal_kv_initialized,
    _internal_kv_list,
    _internal_kv_put,
)

from syndet_ray.workers.nodes.node import Node, node_of

_NODE_ID = "ray.io/node-id"  # a label that Ray gives to each node
_UNFIT = "unfit"  # begins the keys of unfit nodes


def put(key: str, value: bytes) -> None:
    """Stores a value for all processes of this run."""
    _internal_kv_put(key.encode(), value, overwrite=True, namespace=_namespace())


def get(key: str) -> bytes | None:
    return _internal_kv_get(key.encode(), namespace=_namespace())


def add_unfit(node_id: str, problems: Sequence[str]) -> None:
    """Adds a node with its problems, each a sentence."""
    put(f"{_UNFIT} {node_id}", json.dumps(list(problems)).encode())


def unfit_nodes() -> list[str]:
    """Returns the ids of unfit nodes that are up, sorted; none without a connection to Ray."""
    unfit = _ever_unfit()
    if not unfit:
        return []
    return sorted(
        node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] in unfit
    )


def alive_nodes() -> list[Node]:
    """Returns the nodes that are up, without those that lack what trials need."""
    _, fit = paid_and_fit_nodes()
    return fit


def paid_and_fit_nodes() -> tuple[list[Node], list[Node]]:
    """Returns all nodes that are up, which all cost, and those that have what trials need.

    Both lists come from one answer of Ray, so that they agree.
    """
    unfit = _ever_unfit()
    paid, fit = [], []
    for description in ray.nodes():
        if not description["Alive"]:
            continue
        node = node_of(description)
        paid.append(node)
        if description["NodeID"] not in unfit:
            fit.append(node)
    return paid, fit


def fit_only() -> dict[str, Any]:
    """Returns options of a Ray task that keep it off unfit nodes."""
    return keep_off(unfit_nodes())


def keep_off(node_ids: Collection[str]) -> dict[str, Any]:
    """Returns options of a Ray task that keep it off some nodes, or off none."""
    return {"label_selector": nodes_except(node_ids)} if node_ids else {}


def nodes_except(node_ids: Collection[str]) -> dict[str, str]:
    """Returns a label selector of Ray for all nodes except these, at least one."""
    return {_NODE_ID: f"!in({','.join(node_ids)})"}


def _ever_unfit() -> set[str]:
    """Returns the ids of nodes that were found unfit; some may be gone."""
    if not _internal_kv_initialized():
        return set()
    keys = _internal_kv_list(f"{_UNFIT} ".encode(), namespace=_namespace())
    return {key.decode().removeprefix(f"{_UNFIT} ") for key in keys}


def _namespace() -> bytes:
    return f"syndet_ray {ray.get_runtime_context().get_job_id()}".encode()
