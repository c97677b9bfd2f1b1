"""Check: asks every node of a cluster for what trials need, before the first one starts."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from syndet_ray.errors import MachineError
from syndet_ray.progress import Note, Progress, quiet, silent
from syndet_ray.runs.ledger import LEDGER
from syndet_ray.search.task import Resources
from syndet_ray.wording import counted
from syndet_ray.workers.nodes.admission import record, require, required_check
from syndet_ray.workers.nodes.autoscaler import Growth
from syndet_ray.workers.nodes.conditions import Findings, Host, findings_here
from syndet_ray.workers.nodes.here import (
    at_node,
    description_here,
    device,
    session_folder,
    this_node,
)
from syndet_ray.workers.nodes.needs import DO_STORE, Needs, problems_here
from syndet_ray.workers.nodes.node import node_name, node_of, trials_on
from syndet_ray.workers.nodes.unfit import alive_nodes

_ANY_NODE = "the first node that joins"
# Nodes that need longer are checked again before their first trial. A check takes 10 s, most of
# them to import PyTorch.
_PATIENCE_S = 60.0
_CLOCK_READINGS = 3  # of the driver's: the first one starts a process


@dataclass(frozen=True, kw_only=True)
class NodeCheck:
    """Checks the node on which it is called for what the trials of a run need.

    driver  the node of the driver
    mark    a file that the driver has written where checkpoints go; None if they go to a store
    """

    needs: Needs
    use: Resources
    driver: str
    mark: Path | None = None

    def findings(self, trains: bool) -> Findings:
        """Returns what this node lacks. It is called by a task or a trial of Ray on it.

        trains  whether it trains trials, or only renders scenes
        """
        host = _host(self.use if trains else None, self.driver)
        problems = problems_here(self.needs, self.mark, trains=trains)
        findings = Findings(problems=tuple(problems))
        if self.needs.demands is not None:
            findings += findings_here(self.needs.demands, host)
        return replace(findings, problems=tuple(dict.fromkeys(findings.problems)))


def check_nodes(
    needs: Needs,
    use: Resources,
    growth: Growth,
    note: Note = silent,
    progress: Progress = quiet,
) -> None:
    """Raises MachineError, with all that is missing on any node, if trials would fail there.

    Nodes that only render need no initial weights and no store. If no trial fits on the nodes that
    are up, it waits for the first node that joins. Nodes that do not answer within a minute are
    left to the check before their first trial, see `admission`.
    """
    with _mark(needs.runs) as mark:
        node_check = NodeCheck(needs=needs, use=use, mark=mark, driver=this_node())
        tasks, trains_elsewhere = _tasks(node_check)
        if needs.runs is not None and growth.nodes and not trains_elsewhere:
            rule = (
                "is needed if nodes may join: "
                "they could not write checkpoints to a folder of this machine"
            )
            raise MachineError("`storage`", rule, do=DO_STORE)
        if needs.has_files and not _fits(use) and growth.is_possible:
            note("waiting for the first node, to check that it has the files that trials need")
            tasks[_ANY_NODE] = _findings.options(num_cpus=use.cpus, num_gpus=use.gpus).remote(
                node_check, trains=True
            )
            ray.wait([tasks[_ANY_NODE]])
        answers = _answers(tasks, note, progress)
    for name, findings in answers.items():
        for sentence in findings.notes:
            note(f"{name}: {sentence}")
    _refuse({name: findings.problems for name, findings in answers.items()})


def require_folder(home: str) -> None:
    """Makes nodes that join from now on check that they see the folder of the run, `home`.

    Checkpoints may go to a store instead.
    """
    check = required_check()
    if isinstance(check, NodeCheck) and check.needs.runs is not None:
        require(replace(check, mark=Path(home) / LEDGER))


def _fits(use: Resources) -> bool:
    return trials_on(alive_nodes(), use) > 0


def _tasks(node_check: NodeCheck) -> tuple[dict[str, Any], bool]:
    """Starts a check on each node that is up and that trials or renderers may use.

    Returns the references of the answers by the name of the node, and whether trials fit on another
    node than the driver's.
    """
    tasks, trains_elsewhere = {}, False
    use, driver = node_check.use, node_check.driver
    for description in ray.nodes():
        node, node_id = node_of(description), description["NodeID"]
        trains = node.trials(use) > 0
        if not description["Alive"] or not (trains or node.cpus >= 1):
            continue
        needs = node_check.needs
        if node_id == driver:
            if not trains or needs.demands is None:
                continue
            needs = needs.without_files()
        else:
            trains_elsewhere |= trains
        # As a trial: the training step needs its cores and its GPU.
        occupied = {"num_cpus": use.cpus, "num_gpus": use.gpus} if trains else {"num_cpus": 0}
        check = _findings.options(scheduling_strategy=at_node(node_id), **occupied)
        tasks[node_name(description)] = check.remote(replace(node_check, needs=needs), trains)
    return tasks, trains_elsewhere


def _answers(tasks: Mapping[str, Any], note: Note, progress: Progress) -> dict[str, Findings]:
    """Returns the answers of the nodes, by their name, as far as they come within a minute."""
    waiting, deadline = list(tasks.values()), time.monotonic() + _PATIENCE_S
    progress(0, len(tasks))
    while waiting and time.monotonic() < deadline:
        _, waiting = ray.wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
        progress(len(tasks) - len(waiting), len(tasks))
    for task in waiting:
        ray.cancel(task)
    late = [name for name, task in tasks.items() if task in waiting]
    if late:
        note(
            f"no answer within {_PATIENCE_S:.0f} s from {counted(len(late), 'node')} "
            f"({', '.join(late)}): checked before the first trial there"
        )
    return {name: _answer(task) for name, task in tasks.items() if name not in late}


def _answer(task: Any) -> Findings:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        return Findings(problems=(_broken_words(error),))
    except ray.exceptions.RayError:  # the node is gone, and its files do not matter
        return Findings()


def _broken_words(error: Exception) -> str:
    """Returns a problem for a node that cannot even run the check."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"our code cannot run there ({lines[-1].strip()}). Install the driver's packages."


def _refuse(problems: Mapping[str, Sequence[str]]) -> None:
    """Raises MachineError with each problem once, and the nodes that have it."""
    nodes_of: dict[str, list[str]] = {}
    for name, sentences in problems.items():
        for problem in sentences:
            nodes_of.setdefault(problem, []).append(name)
    if nodes_of:
        lines = [f"{', '.join(names)}: {problem}" for problem, names in nodes_of.items()]
        do = (
            "Put files under the same path on every node, "
            "for example with file_mounts in cluster.yaml."
        )
        rule = f"some nodes lack what trials need. {' '.join(lines)}".rstrip(".")
        raise MachineError("cluster", rule, do=do)


@ray.remote
def _findings(node_check: NodeCheck, trains: bool) -> Findings:
    findings = node_check.findings(trains)
    if not findings.problems:
        record(findings, trains=trains)
    return findings


def _host(use: Resources | None, driver: str) -> Host:
    """Describes the node that this process runs on. use: of a trial; None if none runs here."""
    description = description_here()
    return Host(
        trials=node_of(description).trials(use) if use else 0,
        threads=use.cpus if use else 1,
        device=device(),
        store_bytes=int(description["Resources"].get("object_store_memory", 0)),
        session=session_folder(),
        skew_s=None if this_node() == driver else _skew_s(driver),
    )


def _skew_s(driver: str) -> float:
    """Returns the clock of this node minus that of the driver's node, seconds.

    The shortest of several readings counts: it waited least for Ray. What it may still have waited
    is taken off.
    """
    clock = _clock.options(num_cpus=0, scheduling_strategy=at_node(driver))
    readings = []
    for _ in range(_CLOCK_READINGS):
        before = time.time()
        there = ray.get(clock.remote())
        after = time.time()
        readings.append((after - before, (before + after) / 2 - there))
    waited, skew = min(readings)
    certain = max(0.0, abs(skew) - waited / 2)
    return certain if skew > 0 else -certain


@ray.remote
def _clock() -> float:
    return time.time()


@contextmanager
def _mark(runs: Path | None) -> Iterator[Path | None]:
    """A file in a folder, which exists while nodes check that they see it."""
    if runs is None:
        yield None
    else:
        with tempfile.NamedTemporaryFile(prefix=".seen-by-every-node-", dir=runs) as file:
            yield Path(file.name)
