"""Quotas: which limit of an AWS account bounds the cores of a type of node."""

import re
from dataclasses import dataclass

from syndet_ray.clusters.description import NodeType


@dataclass(frozen=True)
class Quota:
    """A limit on cores that run at once, as Service Quotas lists it."""

    code: str
    name: str


_STANDARD = "acdhimrtz"  # families of instance types that share one limit
# by the family, and whether the nodes are spot
_QUOTAS = {
    ("g", True): Quota("L-3819A6DF", "All G and VT Spot Instance Requests"),
    ("g", False): Quota("L-DB2E81BA", "Running On-Demand G and VT instances"),
    ("p", False): Quota("L-417A185B", "Running On-Demand P instances"),
    ("standard", True): Quota("L-34B43A08", "All Standard Spot Instance Requests"),
    ("standard", False): Quota("L-1216C47A", "Running On-Demand Standard instances"),
}


def quota_of(kind: NodeType) -> Quota | None:
    """Returns the limit on the cores of a type of node; None if it has another, or none."""
    letters = _family(kind)
    if not letters:
        return None
    if letters in ("g", "gr", "vt"):
        return _QUOTAS["g", kind.is_spot]
    if letters == "p":
        return _QUOTAS.get(("p", kind.is_spot))
    is_standard = letters[0] in _STANDARD and letters not in ("dl", "hpc", "inf", "trn", "mac")
    return _QUOTAS["standard", kind.is_spot] if is_standard else None


def may_have_gpus(kind: NodeType) -> bool:
    """True for an instance type of a family with GPUs, and for one of another cloud's names."""
    letters = _family(kind)
    return not letters or letters in ("g", "gr", "p")


def _family(kind: NodeType) -> str:
    """The letters that begin the name of an instance type, g of g5.2xlarge; "" if none do."""
    family = re.match(r"[a-z]+", kind.instance_type or "")
    return "" if family is None else family[0]
