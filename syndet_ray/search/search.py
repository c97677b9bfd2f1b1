"""Search: a search in progress. It brings every event to the study, ledger, listeners and display.

It knows nothing of Ray: the code that runs the trials calls it from one thread.
"""

import hashlib
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from syndet_ray.analysis.selection import curve, differ, missing_seeds
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.metrics import BATCH_PARTS, FIRST_STEP, OBJECTIVE
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.names import setting_name
from syndet_ray.runs.results import Cause, State, Trial
from syndet_ray.search.listener import Listener
from syndet_ray.search.proposal import Proposal
from syndet_ray.search.study import Study
from syndet_ray.search.task import Resources


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
    """Limits on the cost of a run, earlier attempts included.

    hours   wall clock
    images  seen by all its trials together
    """

    hours: float = math.inf
    images: float = math.inf

    def reached_limit(self, hours: float, images: int) -> str | None:
        """Returns the limit that is reached, in words; None if none is."""
        if hours >= self.hours:
            return f"its budget of {self.hours:g} hours is spent"
        if images >= self.images:
            return f"its budget of {self.images:,.0f} images is spent"
        return None


class Search:
    """One search. It takes reports and ends of trials, and decides which trials continue.

    Every event is first written to the ledger, then passed to the listeners and the display. So a
    kill at any moment leaves the ledger ahead of the others; `resume` brings them up to date.
    """

    def __init__(
        self,
        folder: RunFolder,
        sweep: LoadedSweep,
        display: Display,
        listeners: Sequence[Listener] = (),
        budget: Budget | None = None,
    ) -> None:
        self._folder = folder
        self._ledger = folder.ledger
        self._sweep = sweep
        self._display = display
        self._listeners = listeners
        self._budget = budget or Budget()
        self._study = Study(sweep)
        self._ledger.mend()
        self.trials: dict[int, Trial] = {trial.number: trial for trial in self._ledger.trials()}
        self._stopping = self._study.replay(self._ledger.events(), self.trials)
        self._unfinished = [
            trial.number for trial in self.trials.values() if trial.state == "RUNNING"
        ]
        self._to_confirm: list[tuple[Trial, int]] = []  # finalists, with the number of a seed
        self._scenes_awaited: dict[int, int] = {}  # by trial, how many scenes it waits for
        self._images = sum(trial.images for trial in self.trials.values())
        self._is_halted = False
        self._cluster: dict[str, Any] = {}  # as it was noted last
        self._began = time.monotonic()
        self._before_s = self._ledger.elapsed_s()  # of earlier attempts
        self._ledger.begin_attempt()
        self._curves = {
            _curve_hash(trial): trial for trial in self.trials.values() if trial.state != "RUNNING"
        }
        for trial in self.trials.values():
            self._update(trial)

    @property
    def remaining(self) -> int:
        """The number of trials still to run, with unfinished ones of an earlier attempt."""
        return len(self._unfinished) + self._study.remaining + len(self._to_confirm)

    @property
    def unfinished(self) -> int:
        """The number of unfinished trials of an earlier attempt that have not continued yet."""
        return len(self._unfinished)

    @property
    def is_over(self) -> bool:
        """True when every trial has ended, and none is left to run."""
        is_running = any(trial.state == "RUNNING" for trial in self.trials.values())
        return self.remaining == 0 and not is_running

    @property
    def spent(self) -> str | None:
        """The limit of the budget that is reached, in words; None if none is."""
        hours = (self._before_s + time.monotonic() - self._began) / 3600
        return self._budget.reached_limit(hours, self._images)

    def propose(self) -> Trial | None:
        """Returns the next trial to run: first those that an earlier attempt left unfinished, then
        new ones. None if all were proposed, the budget is spent, or the search was halted.
        """
        while self.spent is None and not self._is_halted:
            trial = self._next()
            if trial is None or not self._is_settled(trial.number):
                return trial
        return None

    def confirm(self, finalists: Sequence[Trial]) -> None:
        """Queues trainings of each finalist with the seeds that it lacks, see `missing_seeds`: the
        next proposals.
        """
        trials = list(self.trials.values())
        missing: list[tuple[Trial, int]] = []
        for trial in finalists:
            missing += [(trial, seed) for seed in missing_seeds(trial, trials, self._sweep)]
        # By seed, so that at any moment all finalists have been trained about equally often.
        self._to_confirm = sorted(missing, key=lambda pair: pair[1])

    def note_cluster(
        self, nodes: Sequence[tuple[float, float]], trials: int, use: Resources
    ) -> None:
        """Notes which nodes the cluster has, if they have changed since the last note.

        nodes   the cores and GPUs of each
        trials  how many trials can train on them at once
        use     what each trial takes
        """
        counts = sorted(Counter(nodes).items(), reverse=True)
        facts = {
            "nodes": [[cores, gpus, count] for (cores, gpus), count in counts],
            "trials": trials,
            "cores": use.cpus_per_trial,
            "gpus": use.gpus_per_trial,
        }
        if facts != self._cluster and not self._is_halted:
            self._ledger.append("cluster", None, **facts)
            self._cluster = facts

    def show_scenes(self, number: int, done: int, total: int) -> None:
        """Shows how many of a trial's scenes are rendered; the ledger does not record it."""
        self._scenes_awaited[number] = total
        self._display.progress(_scenes_of(number), done, total)
        if done == total:
            del self._scenes_awaited[number]

    def hide_scenes(self, number: int) -> None:
        """Ends the display of a trial's scenes: one that trains or is over waits for none."""
        if number in self._scenes_awaited:
            total = self._scenes_awaited[number]
            self.show_scenes(number, total, total)

    def report(
        self, number: int, images: int, metrics: Mapping[str, float], effective: Mapping[str, Any]
    ) -> bool:
        """Takes a report of a trial at a rung; True when the trial must stop there. A second report
        of a rung changes nothing.

        When the budget is spent, trials stop at their next rung, and a later `resume` continues
        them.
        """
        trial = self.trials[number]
        if images > trial.images:
            value = metrics[OBJECTIVE]
            self._images += images - trial.images
            facts = {"value": value, "metrics": dict(metrics), "effective": _flat(effective)}
            parts = trial.effective.get(BATCH_PARTS, 1)
            self._record("report", number, images=images, **facts)
            if effective.get(BATCH_PARTS, 1) > parts:
                self._display.note(parts_message(number, effective[BATCH_PARTS]))
            if self._study.report(number, images, value):
                self._stopping.add(number)
        return number in self._stopping or (self.spent is not None and not self._is_over(number))

    def checkpoint(self, number: int, path: str) -> None:
        """Notes where a trial's newest checkpoint lies."""
        self._record("checkpoint", number, path=self._ledger.relative(path))

    def note_first_step(self, number: int, time: float) -> None:
        """Notes when a trial made the first step of an attempt, in seconds since 1970."""
        self._record("training", number, **{FIRST_STEP: time})

    def retry(self, number: int, reason: str, traceback: str = "") -> None:
        """Notes that a trial failed or lost its worker, and continues from its checkpoint.

        traceback  of an unexpected error: it goes to the run's error.log
        """
        self._log(number, traceback)
        self._record("retry", number, reason=reason)

    def halt(self, reason: str) -> None:
        """Halts the search because of a fault of a machine, and says so; a later `resume` continues
        the running trials.

        From now on nothing is recorded, since the trials are not at fault, and `check` raises.
        """
        if not self._is_halted:
            self._is_halted = True
            self._display.note(halt_message(reason))

    def check(self) -> None:
        """Raises KeyboardInterrupt if the search was halted: the run then ends as after Ctrl-C."""
        if self._is_halted:
            raise KeyboardInterrupt

    def end(
        self,
        number: int,
        failure: str | None = None,
        cause: Cause = "mistake",
        traceback: str = "",
    ) -> None:
        """Ends a trial: FAILED with its reason and cause, PRUNED if it was stopped, COMPLETE
        otherwise. The traceback is as in `retry`.

        A trial that stopped because the budget is spent is not over: it stays RUNNING, and `resume`
        continues it.
        """
        trial = self.trials[number]
        if trial.state != "RUNNING" or self._is_halted:
            return
        if failure is None and trial.value is None and self.spent is None:
            failure, cause = "ended before its first report", "lost"
        if failure is not None:
            self._log(number, traceback)
            self._end(trial, "FAILED", failure, cause)
        elif number in self._stopping:
            pruner = self._sweep.pruning.name
            self._end(trial, "PRUNED", f"{pruner} pruner after {trial.images} images")
        elif self._is_over(number):
            self._end(trial, "COMPLETE", f"all {trial.images} images seen")

    def _end(self, trial: Trial, state: State, reason: str, cause: Cause | None = None) -> None:
        values = trial.goals(self._sweep.objective)
        if cause == "diverged":
            values = self._worst_goals(trial)
        self._study.tell(trial.number, state, values, cause)
        facts = {"state": state, "reason": reason, "cause": cause, "values": values}
        self._record("ended", trial.number, **facts)
        self._stopping.discard(trial.number)
        self._note_twin(trial.number)

    def _log(self, number: int, traceback: str) -> None:
        """Adds the traceback of a failed attempt at a trial, if there is one, to error.log."""
        if traceback and not self._is_halted:
            self._folder.log_traceback(traceback, of=f"trial {number}")

    def _worst_goals(self, trial: Trial) -> list[float]:
        """Returns the goals that the study gets for a trial that diverged: no accuracy, at the
        greatest cost of all trials. At its real cost it would be the cheapest.
        """
        objective = self._sweep.objective
        goals_of_trials = [other.goals(objective) for other in self.trials.values()]
        greatest = [max(values) for values in zip(*goals_of_trials, strict=True)]
        worst = dict(zip(objective, greatest, strict=True))
        if "images" in worst:
            worst["images"] = max(worst["images"], float(trial.recipe.training.images))
        worst[OBJECTIVE] = 0.0
        return [worst[goal] for goal in objective]

    def interrupt(self) -> None:
        """Leaves running trials to a later `resume`."""
        unfinished = [trial for trial in self.trials.values() if trial.state == "RUNNING"]
        for listener in self._listeners:
            for trial in unfinished:
                listener.interrupt(trial)

    def close(self, limit_s: float = math.inf) -> None:
        """Brings the listeners up to date.

        limit_s  how long to wait for a listener whose store does not answer
        """
        for listener in self._listeners:
            listener.flush(limit_s)

    def _next(self) -> Trial | None:
        """Returns the next trial, even one that needs no training; None if there is none."""
        if self._unfinished:
            return self.trials[self._unfinished.pop(0)]
        number = len(self.trials)
        proposal = self._study.ask(number) or self._next_confirmation(number)
        if proposal is None:
            return None
        self._record("asked", number, **proposal.facts)
        return self.trials[number]

    def _is_settled(self, number: int) -> bool:
        """Ends a trial that needs no training, or no more training; False for any other trial."""
        impossible = self.trials[number].impossible
        if impossible:
            self.end(number, failure=impossible)
        # A kill came after the decision of the pruner, and before the end of the trial.
        elif number in self._stopping:
            self.end(number)
        else:
            return False
        return True

    def _next_confirmation(self, number: int) -> Proposal | None:
        if not self._to_confirm:
            return None
        trial, seed_number = self._to_confirm.pop(0)
        repeats = self._sweep.repeats if trial.role == "variant" else 1
        confirmations = sum(other.of == trial.number for other in self.trials.values())
        return Proposal(
            number=number,
            role="confirmation",
            params=trial.params,
            recipe=trial.recipe,
            of=trial.number,
            replica=repeats + confirmations,
            seed_number=seed_number,
        )

    def _is_over(self, number: int) -> bool:
        trial = self.trials[number]
        return trial.images >= trial.recipe.training.images

    def _note_twin(self, number: int) -> None:
        """Notes if an earlier trial of another recipe has the same learning curve."""
        trial = self.trials[number]
        twin = self._curves.setdefault(_curve_hash(trial), trial)
        if trial.rungs and differ(twin, trial):
            self._display.note(twins_message(twin, trial))

    def _record(self, event: str, number: int, **facts: Any) -> None:
        if self._is_halted:
            return
        self.hide_scenes(number)
        recorded = self._ledger.append(event, number, **facts)
        trial = self._ledger.trial_after(self.trials.get(number), recorded)
        self.trials[number] = trial
        self._update(trial)

    def _update(self, trial: Trial) -> None:
        """Passes a trial to the listeners and the display."""
        for listener in self._listeners:
            listener.update(trial)
        self._display.trial(trial)


def halt_message(reason: str) -> str:
    """Returns a message, without a full stop, that a fault of a machine ends the run."""
    return (
        f"stopping: {reason}; trials keep their last checkpoint, and resume continues once that is "
        "repaired"
    )


def twins_message(first: Trial, second: Trial) -> str:
    """Returns a message, without a full stop, that two different recipes gave the same results."""
    settings = ", ".join(setting_name(path) for path in differ(first, second))
    return (
        f"Trials {first.number} and {second.number} have different recipes and identical results: "
        f"the settings that differ had no effect ({settings})"
    )


def _curve_hash(trial: Trial) -> bytes:
    """A hash of the learning curve: the curves of all trials would take 2 KB each."""
    return hashlib.sha256(curve(trial).encode()).digest()


def parts_message(number: int, parts: int) -> str:
    """Returns a message, without a full stop, that a trial needed more memory than its GPU has."""
    return (
        f"trial {number} had too little GPU memory for whole batches: it trains each in {parts} "
        "parts, whose gradients are added, and needs more time"
    )


def _scenes_of(number: int) -> str:
    return f"scenes of trial {number}"


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of nested facts by their path, such as drawn/real: the keys in the ledger
    and of MLflow's tags.
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
