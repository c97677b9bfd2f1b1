"""Moves: a trial that comes to a node without what trials need is moved to another one."""

import json
from typing import Any

from ray import tune

from syndet_ray.progress import Note
from syndet_ray.search.task import Resources
from syndet_ray.workers.nodes.admission import UnfitNode, admit_here
from syndet_ray.workers.nodes.here import name_here
from syndet_ray.workers.nodes.node import trials_on
from syndet_ray.workers.nodes.unfit import alive_nodes, nodes_except, unfit_nodes
from syndet_ray.workers.report_keys import NODE


def admit_trial() -> None:
    """Reports what this node lacks, and raises UnfitNode if trials would fail here.

    Tune then starts the trial again, and `Moves` sees to it that it starts on another node.
    """
    try:
        notes = admit_here(trains=True)
    except UnfitNode as error:
        tune.report({NODE: json.dumps({"unfit": f"{error.place} {error.rule}"})})
        raise
    if notes:
        name = name_here()
        tune.report({NODE: json.dumps({"notes": [f"{name}: {note}" for note in notes]})})


class Moves:
    """Moves trials away from unfit nodes; runs in the driver.

    use   what a trial occupies
    note  shows a message to the user, one for each unfit node
    """

    def __init__(self, use: Resources, note: Note) -> None:
        self._use, self._note = use, note
        self._unfit: list[str] = []  # ids of nodes
        self._noted: set[str] = set()
        self._moved: set[str] = set()  # ids of trials that are about to start again

    def take(self, trial: Any, text: str) -> str | None:
        """Takes a report on the node of a trial.

        Returns the fault if no node is left that trials fit on and that has what they need.
        """
        report = json.loads(text)
        for note in report.get("notes", ()):
            self._note(note)
        if "unfit" not in report:
            return None
        self._unfit = unfit_nodes()
        self._moved.add(trial.trial_id)
        trial.max_failures += 1  # the trial is not at fault
        message = report["unfit"]
        if not trials_on(alive_nodes(), self._use):
            return f"trials fit on no other node, and {message}"
        if message not in self._noted:
            self._noted.add(message)
            self._note(f"trials go to other nodes: {message}")
        return None

    def place(self, trial: Any) -> None:
        """Keeps a trial that waits for a node off unfit ones."""
        if self._unfit:
            asked = trial.placement_group_factory
            selectors = [nodes_except(self._unfit)] * len(asked.bundles)
            trial.update_resources(
                tune.PlacementGroupFactory(
                    asked.bundles, asked.strategy, bundle_label_selector=selectors
                )
            )

    def is_moved(self, trial: Any) -> bool:
        """True once for each time that a trial was moved, which is no failure of its worker."""
        is_moved = trial.trial_id in self._moved
        self._moved.discard(trial.trial_id)
        return is_moved
