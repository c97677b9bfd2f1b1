"""Search: a search in progress. Study, ledger, tracking and display move together, one event at a
time.

It knows nothing of Ray: whoever runs the trials calls it from one thread.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from syndet_ray.analysis.selection import curve, differ, missing_seeds
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.metrics import OBJECTIVE
from syndet_ray.runs.names import setting_name
from syndet_ray.runs.results import Cause, State, Trial
from syndet_ray.search.listener import Listener
from syndet_ray.search.study import Proposal, Study


class Display(Protocol):
    """Shows a search to a person.

    `note` may be called from any thread, every other method from the driver's alone.
    """

    def note(self, text: str) -> None: ...
    def begin(self, trials: int, images: int) -> None: ...
    def trial(self, trial: Trial) -> None: ...
    def progress(self, what: str, done: int, total: int) -> None: ...
    def step(self, what: str) -> AbstractContextManager[None]: ...
    def end(self) -> None: ...


@dataclass(frozen=True)
class Budget:
    """What a run may cost in all, attempts before included. hours: wall clock; images: seen by all
    its trials together.
    """

    hours: float = math.inf
    images: float = math.inf

    def spent(self, hours: float, images: int) -> str | None:
        """Which limit is reached, in words; None where none is."""
        if hours >= self.hours:
            return f"its budget of {self.hours:g} hours is spent"
        return (
            f"its budget of {self.images:,.0f} images is spent" if images >= self.images else None
        )


class Search:
    """One search. Reports and ends of trials arrive here, and here it is decided which trials go
    on.

    Every event is first written to the ledger, then told to the listeners and shown, so that a kill
    at any moment leaves the ledger ahead of the rest; `resume` brings the rest up to it.
    """

    def __init__(
        self,
        folder: RunFolder,
        sweep: LoadedSweep,
        display: Display,
        listeners: Sequence[Listener] = (),
        budget: Budget | None = None,
    ) -> None:
        self._folder, self._display, self._listeners = folder, display, listeners
        self._budget, self._sweep, self._study = budget or Budget(), sweep, Study(sweep)
        folder.mend()
        self.trials: dict[int, Trial] = {trial.number: trial for trial in folder.trials()}
        self._stopping = self._study.replay(folder.events(), self.trials)
        self._unfinished = [
            trial.number for trial in self.trials.values() if trial.state == "RUNNING"
        ]
        self._to_confirm: list[tuple[Trial, int]] = []  # with the number of the seed
        self._scenes_awaited: dict[int, int] = {}  # by trial, how many scenes it waits for
        self._images = sum(trial.images for trial in self.trials.values())
        self._is_halted = False
        self._began, self._before_s = time.monotonic(), folder.elapsed_s()
        folder.begin_attempt()
        self._curves = {
            curve(trial): trial for trial in self.trials.values() if trial.state != "RUNNING"
        }
        for trial in self.trials.values():
            self._tell(trial)

    @property
    def remaining(self) -> int:
        """Trials that are still to be run, unfinished ones of an earlier attempt included."""
        return len(self._unfinished) + self._study.remaining + len(self._to_confirm)

    @property
    def unfinished(self) -> int:
        """Trials that an earlier attempt left behind."""
        return len(self._unfinished)

    @property
    def is_over(self) -> bool:
        """Whether every trial that was to be run has ended."""
        return self.remaining == 0 and all(
            trial.state != "RUNNING" for trial in self.trials.values()
        )

    @property
    def spent(self) -> str | None:
        """Why no new trial may start, in words: the budget; None where it lasts."""
        hours = (self._before_s + time.monotonic() - self._began) / 3600
        return self._budget.spent(hours, self._images)

    def propose(self) -> Trial | None:
        """The next trial to run: first what an earlier attempt left unfinished, then new ones; None
        when all are asked.

        None too where the budget is spent, or the search was halted.
        """
        while self.spent is None and not self._is_halted:
            trial = self._next()
            if trial is None or not self._is_settled(trial.number):
                return trial
        return None

    def confirm(self, finalists: Sequence[Trial]) -> None:
        """Has every finalist trained anew from the seeds that it misses, see `missing_seeds`; next
        come those proposals.
        """
        trials = list(self.trials.values())
        missing = [
            (trial, seed)
            for trial in finalists
            for seed in missing_seeds(trial, trials, self._sweep)
        ]
        # By seeds, so that whenever it is stopped, all have been trained as often.
        self._to_confirm = sorted(missing, key=lambda pair: pair[1])

    def show_scenes(self, number: int, done: int, total: int) -> None:
        """Shows how many of a trial's scenes are rendered. The ledger has nothing of it."""
        self._scenes_awaited[number] = total
        self._display.progress(_scenes_of(number), done, total)
        if done == total:
            del self._scenes_awaited[number]

    def hide_scenes(self, number: int) -> None:
        """A trial that trains or is over waits for no scenes, whatever was said last of them."""
        if number in self._scenes_awaited:
            total = self._scenes_awaited[number]
            self.show_scenes(number, total, total)

    def report(
        self, number: int, images: int, metrics: Mapping[str, float], effective: Mapping[str, Any]
    ) -> bool:
        """Takes a rung of a trial; True when the trial is to stop there. A rung reported again
        changes nothing.

        Where the budget is spent, trials stop at their next rung, and are left to a later `resume`.
        """
        trial = self.trials[number]
        if images > trial.images:
            value = metrics[OBJECTIVE]
            self._images += images - trial.images
            facts = {"value": value, "metrics": dict(metrics), "effective": _flat(effective)}
            self._record("report", number, images=images, **facts)
            if self._study.report(number, images, value):
                self._stopping.add(number)
        return number in self._stopping or (self.spent is not None and not self._is_over(number))

    def checkpoint(self, number: int, path: str) -> None:
        """Notes where a trial's newest checkpoint lies."""
        self._record("checkpoint", number, path=self._folder.relative(path))

    def retry(self, number: int, reason: str) -> None:
        """Notes that a trial failed or lost its worker, and starts again from its checkpoint."""
        self._record("retry", number, reason=reason)

    def halt(self, reason: str) -> None:
        """Halts the search over a fault of a machine, and says so: whatever runs is left to a later
        `resume`.

        From now on nothing is recorded, for the fault is none of the trials'. `check` raises.
        """
        if not self._is_halted:
            self._is_halted = True
            self._display.note(halted(reason))

    def check(self) -> None:
        """Raises KeyboardInterrupt where the search was halted: the run ends as one that is asked
        to.
        """
        if self._is_halted:
            raise KeyboardInterrupt

    def end(self, number: int, failure: str | None = None, cause: Cause = "mistake") -> None:
        """Ends a trial: FAILED with its reason and cause, PRUNED if it was told to stop, COMPLETE
        otherwise.

        One that stopped because the budget is spent is not over: it stays RUNNING, and `resume`
        goes on with it.
        """
        trial = self.trials[number]
        if trial.state != "RUNNING" or self._is_halted:
            return
        if failure is None and trial.value is None and self.spent is None:
            failure, cause = "ended before its first report", "lost"
        state: State
        if failure is not None:
            state, reason = "FAILED", failure
        elif number in self._stopping:
            pruner = self._sweep.pruning.name
            state, reason = "PRUNED", f"{pruner} pruner after {trial.images} images"
        elif self._is_over(number):
            state, reason = "COMPLETE", f"all {trial.images} images seen"
        else:
            return
        failure_cause = cause if state == "FAILED" else None
        values = (
            self._worst_goals(trial)
            if failure_cause == "diverged"
            else trial.goals(self._sweep.objective)
        )
        self._study.tell(number, state, values, failure_cause)
        self._record(
            "ended", number, state=state, reason=reason, cause=failure_cause, values=values
        )
        self._stopping.discard(number)
        self._warn_of_a_twin(number)

    def _worst_goals(self, trial: Trial) -> list[float]:
        """What a trial that diverged is told to have reached: no accuracy, at the greatest cost of
        all trials.

        What it had seen when it diverged would make it the cheapest.
        """
        objective = self._sweep.objective
        asked = {"images": trial.recipe.training.images}
        costs = zip(*(other.goals(objective) for other in self.trials.values()), strict=True)
        greatest = dict(zip(objective, map(max, costs), strict=True))
        return [
            0.0 if goal == OBJECTIVE else float(max(greatest[goal], asked.get(goal, 0)))
            for goal in objective
        ]

    def interrupt(self) -> None:
        """Leaves running trials to a later `resume`."""
        unfinished = [trial for trial in self.trials.values() if trial.state == "RUNNING"]
        for listener in self._listeners:
            for trial in unfinished:
                listener.interrupt(trial)

    def close(self, limit_s: float = math.inf) -> None:
        """Brings the listeners up to date. limit_s: how long to wait for one whose store does not
        answer.
        """
        for listener in self._listeners:
            listener.flush(limit_s)

    def _next(self) -> Trial | None:
        """The next trial by number, even where nothing is left to train."""
        if self._unfinished:
            return self.trials[self._unfinished.pop(0)]
        number = len(self.trials)
        proposal = self._study.ask(number) or self._next_confirmation(number)
        if proposal is None:
            return None
        self._record("asked", number, **proposal.facts)
        return self.trials[number]

    def _is_settled(self, number: int) -> bool:
        """Ends a trial that needs no training, or none any more; False for one that does."""
        if impossible := self.trials[number].impossible:
            self.end(number, failure=impossible)
        # a kill came between the pruner's word and its being carried out
        elif number in self._stopping:
            self.end(number)
        else:
            return False
        return True

    def _next_confirmation(self, number: int) -> Proposal | None:
        if not self._to_confirm:
            return None
        trial, seed_number = self._to_confirm.pop(0)
        own = self._sweep.repeats if trial.role == "variant" else 1
        replica = own + sum(other.of == trial.number for other in self.trials.values())
        return Proposal(
            number=number,
            role="confirmation",
            params=trial.params,
            recipe=trial.recipe,
            of=trial.number,
            replica=replica,
            seed_number=seed_number,
        )

    def _is_over(self, number: int) -> bool:
        trial = self.trials[number]
        return trial.images >= trial.recipe.training.images

    def _warn_of_a_twin(self, number: int) -> None:
        trial = self.trials[number]
        twin = self._curves.setdefault(curve(trial), trial)
        if trial.rungs and differ(twin, trial):
            self._display.note(twins(twin, trial))

    def _record(self, event: str, number: int, **facts: Any) -> None:
        if self._is_halted:
            return
        self.hide_scenes(number)
        trial = self._folder.after(
            self.trials.get(number), self._folder.append(event, number, **facts)
        )
        self.trials[number] = trial
        self._tell(trial)

    def _tell(self, trial: Trial) -> None:
        for listener in self._listeners:
            listener.update(trial)
        self._display.trial(trial)


def halted(reason: str) -> str:
    """Of a run that a fault of a machine ends: why, and what becomes of it. A sentence without its
    full stop.
    """
    return f"stopping: {reason}; trials keep their last checkpoint, and resume goes on once that is mended"


def twins(first: Trial, second: Trial) -> str:
    """Of two trials of different recipes that trained alike: what had no effect. A sentence without
    its full stop.
    """
    settings = ", ".join(setting_name(path) for path in differ(first, second))
    return (
        f"Trials {first.number} and {second.number} were asked for different recipes and trained alike to the last digit: "
        f"what they differ in had no effect ({settings})"
    )


def _scenes_of(number: int) -> str:
    return f"scenes of trial {number}"


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by the names on the way to them, as in drawn/real: what MLflow's tags and the ledger's
    readers expect.
    """
    found: dict[str, Any] = {}
    for name, value in nested.items():
        found |= (
            _flat(value, f"{prefix}{name}/")
            if isinstance(value, Mapping)
            else {f"{prefix}{name}": value}
        )
    return found
