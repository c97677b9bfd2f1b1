"""Spot first: which type of node Ray's autoscaler starts, where several would do.

By itself it takes no notice of a type that has just been unavailable. The file of a cluster names
`score` in RAY_AUTOSCALER_UTILIZATION_SCORER; only the first version of the autoscaler asks for it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from syndet_ray.workers.nodes.autoscaler import own_configuration

Score = tuple[bool, int, bool, float, int, float, float]


def score(
    node_resources: Mapping[str, float],
    resources: Sequence[Mapping[str, float]],
    node_type: str,
    *,
    node_availability_summary: Any,
) -> Score | None:
    """Returns how well a type suits the resources that are asked for; None if it does not.

    Types with a GPU that nothing asks for come last, as in Ray's own score. Then, before Ray counts
    how full the node would be: types that were available when one was last asked for, else the
    one that has failed the longest time ago; types with a higher `priority` in the file.
    """
    from ray.autoscaler._private.resource_demand_scheduler import _resource_based_utilization_scorer

    usual = _resource_based_utilization_scorer(
        node_resources, resources, node_availability_summary=node_availability_summary
    )
    if usual is None:
        return None
    suits, matching, least_use, mean_use = usual
    record = node_availability_summary.node_availabilities.get(node_type)
    is_available = record is None or record.is_available
    failed_at = 0.0 if is_available else record.last_checked_timestamp
    priority = _priorities().get(node_type, 0)
    return suits, matching, is_available, -failed_at, priority, least_use, mean_use


@cache
def _priorities() -> Mapping[str, int]:
    """Returns the priority of each type in the file with which this autoscaler was started."""
    kinds = own_configuration().get("available_node_types", {})
    return {name: kind.get("priority", 0) for name, kind in kinds.items()}
