"""Replay: what each pruner would have saved, and lost, on the learning curves that a run has
recorded.

Pruning a sweep shows what it saved and never what it cost: a pruned trial has no end. A run that
prunes nothing has all ends, and its curves can be shown to any pruner, in any order.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import TrialState

from syndet_ray import seeds
from syndet_ray.definitions.schedule import is_telling
from syndet_ray.definitions.sweep import Pruning
from syndet_ray.errors import DataError, DefinitionError, nearest
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.metrics import OBJECTIVE
from syndet_ray.runs.results import Trial
from syndet_ray.search.pruning import make_pruner

LEAST_CURVES = 4  # three best ones, and one to be pruned


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a pruner did to recorded curves, started in `orders` random orders. Shares lie in 0 to
    1.

    saved         mean share of images saved, compared with training every trial to its end
    best_killed   share of orders in which the trial that ends best would have been pruned
    top3_killed   share of orders in which any of the three that end best would have been pruned
    regret        mean loss of final validation mAP: the best of all less the best of those not
                  pruned
    worst_regret  the largest such loss of any order
    """

    pruning: Pruning
    saved: float
    best_killed: float
    top3_killed: float
    regret: float
    worst_regret: float
    orders: int


def candidates() -> dict[str, Pruning]:
    """The pruners worth comparing where none is named, by a name that says how each differs from
    the default.

    No percentile of 50: that is the median. No hyperband of 3 after a rung of grace: of the usual
    four rungs it would make one bracket, which is successive halving.
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


def chosen(name: str | None) -> dict[str, Pruning]:
    """The candidates that use one of Optuna's pruners; None is all. Raises DefinitionError for a
    name that is none.
    """
    names = {pruning.name for pruning in candidates().values()}
    if name is not None and name not in names:
        raise DefinitionError("`pruner`", "names no pruner", got=name, do=nearest(name, names))
    return {told: pruning for told, pruning in candidates().items() if name in (None, pruning.name)}


def full_curves(trials: Sequence[Trial], place: object = "replay", do: str = "") -> list[Trial]:
    """The proposed trials that were trained to their end: of all others nobody knows what they
    would have become.

    What survived a pruner is no fair sample: see `truncated`. `place` is named in the DataError
    that is raised where there are too few, and `do` is its advice.
    """
    curves = [
        trial
        for trial in trials
        if trial.role == "search" and trial.state == "COMPLETE" and trial.rungs
    ]
    if len(curves) < LEAST_CURVES:
        raise DataError(
            place,
            f"a replay needs at least {LEAST_CURVES} search trials that were trained to their end"
            + (f" ({pruned} more were pruned)" if (pruned := truncated(trials)) else ""),
            got=len(curves),
            do=do,
        )
    return curves


def advice_on_curves(folder: RunFolder) -> str:
    """How a run comes by more whole learning curves: by its end, by more trials, or not at all."""
    sweep, trials = folder.sweep, folder.trials()
    resume = f"python -m syndet_ray resume {folder.path}"
    if not sweep.trials:
        return "Replay a run of a sweep that searches: this one compares variants."
    if folder.about.get("status") == "spent":
        return f"Finish the run first, with a larger budget: {resume} --hours TOTAL, or --images."
    if any(trial.state == "RUNNING" for trial in trials):
        return f"Finish the run first: {resume}"
    whole = sum(trial.role == "search" and trial.state == "COMPLETE" for trial in trials)
    more = sweep.trials + LEAST_CURVES - whole
    if sweep.replace({"trials": more}).proposals < more:
        return f"Replay a run of a sweep with more recipes: the grid of this one has only {sweep.proposals}."
    pruned = (
        ", or run the sweep anew with pruning=Pruning(name='none')" if truncated(trials) else ""
    )
    return f"Extend the run: {resume} --trials {more}{pruned}."


def truncated(trials: Sequence[Trial]) -> int:
    """How many search trials are missing from a replay because the recorded run pruned them.

    Where there are any, the curves left are those that a pruner liked, and flatter pruners like it.
    """
    return sum(trial.role == "search" and trial.state == "PRUNED" for trial in trials)


def replay(
    trials: Sequence[Trial], pruning: Pruning, *, orders: int, parallel: int, seed: int
) -> Replay:
    """Shows the whole curves of a run to a pruner, in `orders` random orders, `parallel` trials at
    a time.

    The orders depend on the seed only: all pruners are shown the same. Controls and variants, which
    a sweep runs first and never prunes, are left out. Raises DataError where there are too few
    whole curves.
    """
    assert orders > 0 and parallel > 0, (orders, parallel)
    curves = full_curves(trials)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stops = np.empty((orders, len(curves)), np.int64)
    for k in range(orders):
        order = seeds.generator(seed, "replay", k).permutation(len(curves))
        stops[k, order] = stopped_at([curves[i] for i in order], pruning, parallel)
    return _summary(curves, stops, pruning)


def stopped_at(curves: Sequence[Trial], pruning: Pruning, parallel: int) -> list[int]:
    """Images each curve is trained for when they are started in this order, `parallel` at a time,
    and may be pruned.

    Every place trains as fast as the others, and goes on with the next curve as soon as one ends:
    the next to report is always the one whose rung is due first, counted in the images that its
    place has trained since the beginning.
    """
    study = _study(curves, pruning)
    trials: list[optuna.Trial] = []
    stops = [0] * len(curves)
    due: list[tuple[int, int, int]] = []  # when, which curve, which of its rungs

    def start(now: int) -> None:
        number = len(trials)
        if number < len(curves):
            trials.append(study.ask())
            heapq.heappush(due, (now + curves[number].rungs[0].images, number, 0))

    for _ in range(parallel):
        start(0)
    while due:
        now, number, rung = heapq.heappop(due)
        rungs = curves[number].rungs
        state = _report(trials[number], curves[number], rung)
        if state is None:
            heapq.heappush(
                due, (now + rungs[rung + 1].images - rungs[rung].images, number, rung + 1)
            )
        else:
            study.tell(
                trials[number],
                curves[number].value if state == TrialState.COMPLETE else None,
                state,
            )
            stops[number] = rungs[rung].images
            start(now)
    return stops


def _report(trial: optuna.Trial, curve: Trial, rung: int) -> TrialState | None:
    """The state in which a trial ends at a rung, as tuning.study decides it; None where it goes on."""
    images = curve.rungs[rung].images
    trial.report(curve.rungs[rung].metrics[OBJECTIVE], rung + 1)
    if rung == len(curve.rungs) - 1:
        return TrialState.COMPLETE
    is_judged = is_telling(curve.recipe.mix, images, curve.images)
    return TrialState.PRUNED if is_judged and trial.should_prune() else None


def _study(curves: Sequence[Trial], pruning: Pruning) -> optuna.Study:
    """A study like that of a sweep, by its name too (Hyperband hashes it), which proposes nothing."""
    return optuna.create_study(
        study_name="syndet_ray",
        direction="maximize",
        # has nothing to draw; TPE would look for something in every trial
        sampler=optuna.samplers.RandomSampler(),
        pruner=make_pruner(pruning, max(len(curve.rungs) for curve in curves)),
    )


def _summary(curves: Sequence[Trial], stops: np.ndarray, pruning: Pruning) -> Replay:
    """stops (orders, curves): images that each curve was trained for in each order."""
    images, values = (
        np.array([curve.images for curve in curves]),
        np.array([curve.value for curve in curves], float),
    )
    numbers = np.array([curve.number for curve in curves])
    # the lowest number of equals, as verdict.candidates has it
    best = np.lexsort((numbers, -values))[:3]
    killed = stops < images
    left = np.where(killed, 0.0, values).max(axis=1)  # mAP is 0 where nothing was left
    regret = values.max() - left
    return Replay(
        pruning=pruning,
        saved=float(1 - stops.sum() / (len(stops) * images.sum())),
        best_killed=float(killed[:, best[0]].mean()),
        top3_killed=float(killed[:, best].any(axis=1).mean()),
        regret=float(regret.mean()),
        worst_regret=float(regret.max()),
        orders=len(stops),
    )
