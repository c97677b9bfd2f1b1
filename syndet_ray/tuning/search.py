"""Search: a search in progress. Study, ledger, tracking and display move together, one event at a time.

It knows nothing of Ray: whoever runs the trials calls it from one thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from syndet_ray.results import OBJECTIVE, RunFolder, Trial, after_event
from syndet_ray.sweep import Sweep
from syndet_ray.tuning.study import Proposal, Study
from syndet_ray.tuning.tracking import Tracking


class Display(Protocol):
    """Shows a search to a person. Every method is called from the driver's thread."""

    def note(self, text: str) -> None: ...
    def begin(self, trials: int, images: int) -> None: ...
    def trial(self, trial: Trial) -> None: ...
    def progress(self, what: str, done: int, total: int) -> None: ...
    def end(self) -> None: ...


@dataclass(frozen=True)
class Assignment:
    """What a worker is told to do: a proposal, and where an earlier attempt left a checkpoint."""

    proposal: Proposal
    checkpoint: str | None = None


class Search:
    """One search. Reports and ends of trials arrive here, and here it is decided which trials go on.

    Every event is first written to the ledger, then told to MLflow and shown, so that a kill at any moment leaves the
    ledger at most one event ahead of the rest; `resume` brings the rest up to it.
    """

    def __init__(self, folder: RunFolder, sweep: Sweep, tracking: Tracking, display: Display) -> None:
        self._folder, self._tracking, self._display = folder, tracking, display
        self._study = Study(sweep)
        self._sweep = sweep
        self._pruned: set[int] = set()
        folder.mend()
        self._study.replay(folder.events())
        self.trials: dict[int, Trial] = {trial.number: trial for trial in folder.trials()}
        self._unfinished = [trial.number for trial in self.trials.values() if trial.state == "RUNNING"]
        for trial in self.trials.values():
            tracking.catch_up(trial)
            display.trial(trial)

    @property
    def remaining(self) -> int:
        """Trials that are still to be run, unfinished ones of an earlier attempt included."""
        return len(self._unfinished) + len(self._sweep.fixed) + self._sweep.trials - len(self._study)

    def propose(self) -> Assignment | None:
        """The next trial to run: first what an earlier attempt left unfinished, then new ones; None when all are asked."""
        if self._unfinished:
            trial = self.trials[self._unfinished.pop(0)]
            recipe = self._sweep.recipe.replace(trial.recipe)
            return Assignment(Proposal(trial.number, trial.kind, trial.params, recipe), trial.checkpoint)
        proposal = self._study.ask()
        if proposal is None:
            return None
        self._record(
            "asked", proposal.number, kind=proposal.kind, params=proposal.params, recipe=proposal.recipe.flat()
        )
        return Assignment(proposal)

    def report(self, number: int, images: int, metrics: Mapping[str, float], effective: Mapping[str, Any]) -> bool:
        """Takes a rung of a trial; True when the trial is to stop there. A rung reported again changes nothing."""
        if images <= self.trials[number].images:
            return number in self._pruned
        value = metrics[OBJECTIVE]
        self._record("report", number, images=images, value=value, metrics=dict(metrics), effective=dict(effective))
        if self._study.report(number, images, value):
            self._pruned.add(number)
        return number in self._pruned

    def checkpoint(self, number: int, path: str) -> None:
        """Notes where a trial's newest checkpoint lies."""
        self._record("checkpoint", number, path=path)

    def retry(self, number: int, reason: str) -> None:
        """Notes that a trial lost its worker and starts again from its checkpoint."""
        self._record("retry", number, reason=reason)

    def end(self, number: int, failure: str | None = None) -> None:
        """Ends a trial: FAILED with its reason, PRUNED if it was told to stop, COMPLETE otherwise."""
        trial = self.trials[number]
        if trial.state != "RUNNING":
            return
        if failure is not None or trial.value is None:
            state, reason = "FAILED", failure or "ended before its first report"
        elif number in self._pruned:
            state, reason = "PRUNED", f"{self._sweep.pruning.name} pruner after {trial.images} images"
        else:
            state, reason = "COMPLETE", f"all {trial.images} images seen"
        self._study.tell(number, state, trial.value)
        self._record("ended", number, state=state, reason=reason)

    def interrupt(self) -> None:
        """Leaves running trials to a later `resume`; MLflow must not show them as RUNNING meanwhile."""
        for trial in self.trials.values():
            if trial.state == "RUNNING":
                self._tracking.interrupt(trial.number)

    def _record(self, event: str, number: int, **facts: Any) -> None:
        trial = after_event(self.trials.get(number), self._folder.append(event, number, **facts))
        self.trials[number] = trial
        self._tracking.event(event, trial)
        self._display.trial(trial)
