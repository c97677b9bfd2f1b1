"""Replay: computes what each pruner would have saved, and lost, on the recorded learning curves of
a run.

A sweep with pruning shows what it saved, never what it lost, since a pruned trial has no end. In a
run without pruning all trials reach their end, and any pruner can be tried on their curves, in any
order.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import TrialState

from syndet_ray import seeds
from syndet_ray.definitions.schedule import is_telling
from syndet_ray.definitions.sweep import Pruning
from syndet_ray.errors import DataError, DefinitionError, nearest
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.runs.run import resume_command
from syndet_ray.search import optuna_terms
from syndet_ray.search.pruning import make_pruner

LEAST_CURVES = 4  # the three best, and one that may be pruned


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The effect of a pruner on recorded curves, which start in `orders` random orders. Shares are
    0 to 1.

    saved         mean share of images saved, compared with training every trial to its end
    best_pruned   share of orders in which the trial that ends best would have been pruned
    top3_pruned   share of orders in which any of the three that end best would have been pruned
    regret        mean loss of final validation mAP: the best of all minus the best of those
                  that were not pruned
    worst_regret  the largest such loss of any order
    """

    pruning: Pruning
    saved: float
    best_pruned: float
    top3_pruned: float
    regret: float
    worst_regret: float
    orders: int


def compared_pruners() -> dict[str, Pruning]:
    """Returns the pruners that a replay compares by default, by a name that says how each differs
    from the default pruner.

    No percentile of 50: that is the median. No hyperband of 3 after a rung of grace: with the usual
    four rungs it has one bracket, which is successive halving.
    """
    return {
        "none": Pruning(name="none"),
        "median": Pruning(name="median"),
        "median, grace 0": Pruning(name="median", grace_rungs=0),
        "median, grace 2": Pruning(name="median", grace_rungs=2),
        "median, startup 6": Pruning(name="median", startup_trials=6),
        "median, patience 1": Pruning(name="median", patience=1),
        "percentile 25": Pruning(name="percentile", percentile=25),
        "percentile 75": Pruning(name="percentile", percentile=75),
        "successive halving 2": Pruning(name="successive_halving", reduction_factor=2),
        "successive halving 3": Pruning(name="successive_halving", reduction_factor=3),
        "hyperband 3, grace 0": Pruning(name="hyperband", reduction_factor=3, grace_rungs=0),
        "patient 1": Pruning(name="patient", patience=1),
        "threshold": Pruning(name="threshold"),
    }


def pruners_named(name: str | None) -> dict[str, Pruning]:
    """Returns the compared pruners of this name; all for None. Raises DefinitionError
    if no pruner has this name.
    """
    names = {pruning.name for pruning in compared_pruners().values()}
    if name is not None and name not in names:
        raise DefinitionError("`pruner`", "names no pruner", got=name, do=nearest(name, names))
    return {
        title: pruning
        for title, pruning in compared_pruners().items()
        if name in (None, pruning.name)
    }


def idle_pruners(pruners: Mapping[str, Pruning], rungs: int) -> list[str]:
    """Returns the titles of the pruners that can prune no trial of so few rungs."""
    titles = []
    for title, pruning in pruners.items():
        if pruning.name != "none" and pruning.first_rung(rungs) is None:
            titles.append(title)
    return titles


def full_curves(trials: Sequence[Trial], place: object = "replay", do: str = "") -> list[Trial]:
    """Returns the search trials that were trained to their end: how others would have ended is
    unknown. Trials that survived a pruner are no fair sample, see `missing_trials`.

    Raises DataError, with this place and advice, if there are too few.
    """
    curves = [
        trial
        for trial in trials
        if trial.role == "search" and trial.state == "COMPLETE" and trial.rungs
    ]
    if len(curves) < LEAST_CURVES:
        rule = (
            f"a replay needs at least {LEAST_CURVES} search trials that were trained to their end"
        )
        pruned = missing_trials(trials)
        if pruned:
            rule += f" ({pruned} more were pruned)"
        raise DataError(place, rule, got=len(curves), do=do)
    return curves


def advice_on_curves(folder: RunFolder) -> str:
    """Returns advice on how to get more full curves: finish the run, extend it, or take another."""
    sweep, trials = folder.sweep, folder.trials()
    resume = resume_command(folder.path, folder.about)
    if not sweep.trials:
        return "Replay a run of a sweep that searches: this one compares variants."
    if folder.about.get("status") == "spent":
        return f"Finish the run first, with a larger budget: {resume} --hours TOTAL, or --images."
    if any(trial.state == "RUNNING" for trial in trials):
        return f"Finish the run first: {resume}"
    complete = sum(trial.role == "search" and trial.state == "COMPLETE" for trial in trials)
    total = sweep.trials + LEAST_CURVES - complete
    if sweep.replace({"trials": total}).proposals < total:
        return (
            "Replay a run of a sweep with more recipes: the grid of this one has only "
            f"{sweep.proposals}."
        )
    extend = f"Extend the run: {resume} --trials {total}"
    if missing_trials(trials):
        return f"{extend}, or run the sweep again with pruning=Pruning(name='none')."
    return f"{extend}."


def missing_trials(trials: Sequence[Trial]) -> int:
    """Returns how many search trials a replay lacks because the recorded run pruned them.

    If there are any, the other curves are those that a pruner preferred, and a replay on them
    favours similar pruners.
    """
    return sum(trial.role == "search" and trial.state == "PRUNED" for trial in trials)


def replay(
    trials: Sequence[Trial], pruning: Pruning, *, orders: int, parallel: int, seed: int
) -> Replay:
    """Replays the full curves of a run with a pruner, in `orders` random orders, `parallel` trials
    at a time.

    The orders depend on the seed only: they are the same for all pruners. Controls and variants,
    which a sweep runs first and never prunes, are left out. Raises DataError if there are too few
    full curves.
    """
    assert orders > 0 and parallel > 0, (orders, parallel)
    curves = full_curves(trials)
    stops = np.empty((orders, len(curves)), np.int64)
    for k in range(orders):
        order = seeds.generator(seed, "replay", k).permutation(len(curves))
        stops[k, order] = stopped_at([curves[i] for i in order], pruning, parallel)
    return _summary(curves, stops, pruning)


def stopped_at(curves: Sequence[Trial], pruning: Pruning, parallel: int) -> list[int]:
    """Returns the images for which each curve is trained, if the curves start in this order,
    `parallel` at a time, and may be pruned.

    All slots train equally fast, and start the next curve as soon as one ends. The next rung is
    always the one that is due first, counted in the images that its slot has trained so far.
    """
    study = _study(curves, pruning)
    trials: list[optuna.Trial] = []
    stops = [0] * len(curves)
    due: list[tuple[int, int, int]] = []  # images when the rung is due, curve, index of the rung

    def start(now: int) -> None:
        number = len(trials)
        if number < len(curves):
            trials.append(study.ask())
            heapq.heappush(due, (now + curves[number].rungs[0].images, number, 0))

    for _ in range(parallel):
        start(0)
    while due:
        now, number, rung = heapq.heappop(due)
        curve = curves[number]
        images = curve.rungs[rung].images
        state = _report(trials[number], curve, rung)
        if state is None:
            until_next = curve.rungs[rung + 1].images - images
            heapq.heappush(due, (now + until_next, number, rung + 1))
        else:
            final = curve.value if state == TrialState.COMPLETE else None
            study.tell(trials[number], final, state)
            stops[number] = images
            start(now)
    return stops


def _study(curves: Sequence[Trial], pruning: Pruning) -> optuna.Study:
    """Returns a study like that of a sweep. It proposes nothing, so it has the cheapest sampler:
    TPE would look at every trial.
    """
    most_rungs = max(len(curve.rungs) for curve in curves)
    pruner = make_pruner(pruning, most_rungs)
    return optuna_terms.new_study(("maximize",), pruner, optuna.samplers.RandomSampler())


def _report(trial: optuna.Trial, curve: Trial, rung: int) -> TrialState | None:
    """Returns the state in which a trial ends at a rung, as `Study` decides it; None if it
    continues.
    """
    images = curve.rungs[rung].images
    trial.report(curve.rungs[rung].metrics[OBJECTIVE], rung + 1)
    if rung == len(curve.rungs) - 1:
        return TrialState.COMPLETE
    is_judged = is_telling(curve.recipe.mix, images, curve.images)
    return TrialState.PRUNED if is_judged and trial.should_prune() else None


def _summary(curves: Sequence[Trial], stops: np.ndarray, pruning: Pruning) -> Replay:
    """Returns the averages over all orders.

    stops  (orders, curves) images for which each curve was trained in each order
    """
    images = np.array([curve.images for curve in curves])
    values = np.array([curve.value for curve in curves], float)
    numbers = np.array([curve.number for curve in curves])
    # Of equal values the lowest number first, as in `selection.candidates`.
    best = np.lexsort((numbers, -values))[:3]
    is_pruned = stops < images
    best_left = np.where(is_pruned, 0.0, values).max(axis=1)  # mAP is 0 if all were pruned
    regret = values.max() - best_left
    return Replay(
        pruning=pruning,
        saved=float(1 - stops.sum() / (len(stops) * images.sum())),
        best_pruned=float(is_pruned[:, best[0]].mean()),
        top3_pruned=float(is_pruned[:, best].any(axis=1).mean()),
        regret=float(regret.mean()),
        worst_regret=float(regret.max()),
        orders=len(stops),
    )
