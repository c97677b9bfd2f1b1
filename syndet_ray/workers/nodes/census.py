"""Census: notes in the ledger which nodes are up, whenever that changes."""

from syndet_ray.search.search import Search
from syndet_ray.search.task import Resources
from syndet_ray.workers.nodes.capacity import Capacity
from syndet_ray.workers.nodes.node import Node


class Census:
    """Notes the nodes of the Ray cluster that this process is connected to."""

    def __init__(self, search: Search, use: Resources, capacity: Capacity) -> None:
        self._search, self._use, self._capacity = search, use, capacity
        self._noted: list[Node] | None = None

    def update(self) -> None:
        """Notes the nodes, if they were counted again."""
        nodes = self._capacity.nodes()
        if nodes is self._noted:
            return
        self._noted = nodes
        self._search.note_cluster(
            [(node.cpus, node.gpus) for node in nodes],
            self._capacity.trials_on_nodes(),
            self._use,
        )
