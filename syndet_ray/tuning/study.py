"""Study: one Optuna study that proposes recipes, keeps what trials report and lets the pruner decide.

It is built from a sweep and the events so far, and each proposal draws from a sampler seeded by its own number, so a
study rebuilt from the ledger of a killed run proposes what the undisturbed one would have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from syndet_ray import seeds
from syndet_ray.recipe import Recipe
from syndet_ray.space import Choice, Float, Int
from syndet_ray.sweep import Sweep, rung_images
from syndet_ray.tuning.pruning import make_pruner

_STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}


@dataclass(frozen=True)
class Proposal:
    """A recipe to be tried. kind is "search" or the name of a control or variant."""

    number: int
    kind: str
    params: dict[str, Any]
    recipe: Recipe


class Study:
    """Trials are known by their number in the run: the controls and variants first, then the proposals."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep, self._fixed = sweep, list(sweep.fixed.items())
        self._distributions = {path: _distribution(parameter) for path, parameter in sweep.parameters.items()}
        self._trials: dict[int, optuna.Trial | None] = {}
        self._exempt: set[int] = set()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            study_name="syndet_ray",
            direction="maximize",
            pruner=make_pruner(sweep.pruning, rung_images(sweep.recipe.training.images, sweep.rungs)),
        )

    def __len__(self) -> int:
        return len(self._trials)

    def ask(self) -> Proposal | None:
        """The next recipe to try, controls and variants before all others; None when there are no more to come."""
        number = len(self._trials)
        if number < len(self._fixed):
            kind, recipe = self._fixed[number]
            return self._adopt(Proposal(number, kind, {}, recipe))
        if number >= len(self._fixed) + self._sweep.trials:
            return None
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=_startup_trials(self._sweep.trials),
            seed=seeds.integer(self._sweep.seed, "propose", number),
        )
        trial = self._study.ask(self._distributions)
        self._trials[number] = trial
        params = {path: self._value(path, told) for path, told in trial.params.items()}
        return Proposal(number, "search", params, self._sweep.recipe.replace(params))

    def report(self, number: int, images: int, value: float) -> bool:
        """Keeps what a trial reported at a rung; True when the pruner would stop it there.

        Controls and the last rung are exempt. Reporting a rung twice changes nothing.
        """
        trial = self._trials[number]
        if trial is None:
            return False
        trial.report(value, images)
        return number not in self._exempt and images < self._last_rung(trial) and trial.should_prune()

    def tell(self, number: int, state: str, value: float | None) -> None:
        """Ends a trial as COMPLETE (with its value), PRUNED (its last report counts) or FAILED."""
        trial = self._trials[number]
        if trial is not None:
            self._study.tell(trial, value if state == "COMPLETE" else None, state=_STATES[state])

    def replay(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Brings the study to where the events of a ledger left it, pruner and sampler included."""
        last: dict[int, float] = {}
        for event in events:
            number = event["trial"]
            if event["event"] == "asked":
                recipe = Recipe().replace(event["recipe"])
                self._adopt(Proposal(number, event["kind"], event["params"], recipe))
            elif event["event"] == "report":
                last[number] = event["value"]
                self.report(number, event["images"], event["value"])
            elif event["event"] == "ended":
                self.tell(number, event["state"], last.get(number))

    def _value(self, path: str, told: Any) -> Any:
        """The value of a setting by what Optuna was told of it."""
        parameter = dict(self._sweep.parameters.items())[path]
        return next((v for v in parameter.values if _told(v) == told), told) if isinstance(parameter, Choice) else told

    def _last_rung(self, trial: optuna.Trial) -> int:
        return trial.params.get("training.images", self._sweep.recipe.training.images)

    def _adopt(self, proposal: Proposal) -> Proposal:
        """Makes a recipe that did not come from the sampler part of the study, so that the sampler learns from it.

        A control may lie outside the space. It then stays out of the study: a trial without parameters would take
        them all out of the joint (intersection) space that TPE models.
        """
        if proposal.kind != "search":
            self._exempt.add(proposal.number)
        params = {path: _told(proposal.recipe.get(path)) for path in self._distributions}
        inside = all(d._contains(d.to_internal_repr(params[path])) for path, d in self._distributions.items())
        self._trials[proposal.number] = self._add_running(params) if inside else None
        return proposal

    def _add_running(self, params: dict[str, Any]) -> optuna.Trial:
        self._study.enqueue_trial(params)
        return self._study.ask(self._distributions)


def _startup_trials(trials: int) -> int:
    """Random proposals before TPE takes over: Optuna's ten, or fewer where a sweep is short."""
    return min(10, max(2, trials // 3))


def _distribution(parameter: Float | Int | Choice) -> BaseDistribution:
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step or 1)
    return CategoricalDistribution([_told(value) for value in parameter.values])


def _told(value: Any) -> Any:
    """A value as Optuna takes it, which knows no pairs."""
    return str(tuple(value)) if isinstance(value, (tuple, list)) else value
