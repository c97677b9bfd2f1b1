"""Census: counts the nodes that are up, and notes in the ledger when they change."""

import math
import time
from collections.abc import Callable

from syndet_ray.search.search import Search
from syndet_ray.search.task import Resources
from syndet_ray.workers.nodes.node import trials_on
from syndet_ray.workers.nodes.unfit import alive_nodes

_EVERY_S = 5.0  # nodes take minutes to join, and asking Ray for them takes a millisecond


class Census:
    """Counts the nodes of the Ray cluster that this process is connected to.

    most_at_once  returns the number of trials that may run now, also on nodes that may join
    """

    def __init__(self, search: Search, use: Resources, most_at_once: Callable[[], int]) -> None:
        self._search, self._use, self._most_at_once = search, use, most_at_once
        self._counted_at = -math.inf

    def update(self) -> None:
        """Counts the nodes again, if that is due."""
        if time.monotonic() - self._counted_at < _EVERY_S:
            return
        self._counted_at = time.monotonic()
        nodes = alive_nodes()
        fitting = trials_on(nodes, self._use)
        self._search.note_cluster(
            [(node.cpus, node.gpus) for node in nodes],
            min(fitting, self._most_at_once()),
            self._use,
        )
