"""Admission: a node works for a run only after it has found that it has what trials need.

Nodes join a cluster at any time: an autoscaler starts them, and spot machines are replaced. Each of
them checks itself once, before its first trial and before its first scenes. A node that lacks
something is the fastest of all: it would fail every trial in a second.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import ray

from syndet_ray.errors import MachineError, message
from syndet_ray.files import write_whole
from syndet_ray.locks import hold_lock
from syndet_ray.workers.nodes import unfit
from syndet_ray.workers.nodes.conditions import Findings
from syndet_ray.workers.nodes.here import name_here, session_folder, this_node

_CHECK = "check"  # key of the check that nodes make
_ADMITTED: set[tuple[str, bool]] = set()  # jobs of Ray that this process may work for, and how


class Check(Protocol):
    """Anything that looks for what the node on which it is called lacks.

    trains  whether it trains trials, or only renders scenes
    """

    def findings(self, trains: bool) -> Findings: ...


class UnfitNode(MachineError):
    """This node, the place of the error, lacks what trials need; others may have it."""


def require(check: Check) -> None:
    """Makes each node that works for this run from now on check itself first."""
    unfit.put(_CHECK, ray.cloudpickle.dumps(check))


def required_check() -> Check | None:
    """Returns the check that nodes make; None if all nodes are known, as on a single machine."""
    check = unfit.get(_CHECK)
    return None if check is None else ray.cloudpickle.loads(check)


def admit_here(*, trains: bool) -> tuple[str, ...]:
    """Raises UnfitNode if this node lacks what trials need, or what scenes need.

    Returns the notes of the check, once for each node. The first process of a node makes the check,
    and others wait for it.
    """
    key = ray.get_runtime_context().get_job_id(), trains
    if key in _ADMITTED:
        return ()
    check = unfit.get(_CHECK)
    if check is None:
        return ()
    findings, is_new = _findings(check, trains)
    if findings.problems:
        unfit.add_unfit(this_node(), findings.problems)
        sentences = " ".join(findings.problems).rstrip(".")
        raise UnfitNode(name_here(), f"lacks what trials need. {sentences}")
    _ADMITTED.add(key)
    return findings.notes if is_new else ()


def record(findings: Findings, *, trains: bool) -> None:
    """Keeps the findings of this node, so that it does not check itself again."""
    write_whole(_record(trains), json.dumps(asdict(findings)).encode())


def _findings(check: bytes, trains: bool) -> tuple[Findings, bool]:
    """Returns the findings of this node, and whether they are new."""
    path = _record(trains)
    with hold_lock(path.with_suffix(".lock")):
        if path.exists():
            recorded = json.loads(path.read_text(encoding="utf-8"))
            return Findings(tuple(recorded["problems"]), tuple(recorded["notes"])), False
        findings = _make(check, trains)
        record(findings, trains=trains)
        return findings, True


def _make(check: bytes, trains: bool) -> Findings:
    """Makes a check. An error of its own counts as a problem: other code may lie on this node."""
    try:
        return ray.cloudpickle.loads(check).findings(trains)
    except Exception as error:
        return Findings(problems=(f"the check fails there ({message(error)}).",))


def _record(trains: bool) -> Path:
    """The file with the findings of this node; nodes of one machine may share the folder."""
    job = ray.get_runtime_context().get_job_id()
    work = "trains" if trains else "renders"
    return session_folder() / f"syndet-{job}-{this_node()}-{work}.json"
