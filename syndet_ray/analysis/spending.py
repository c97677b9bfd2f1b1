"""Spending: what a run cost, by the hours that it held and the prices of its options."""

from dataclasses import dataclass

from syndet_ray.analysis.tables import best_number
from syndet_ray.analysis.usage import Hours, Usage, total_hours
from syndet_ray.runs.prices import Prices, prices_of
from syndet_ray.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Amounts in the currency of the prices.

    total      of all nodes that the run held
    idle       of what trials could have taken and did not; a part of `total`
    by_trial   of each trial while it trained
    by_recipe  by the first trial of a recipe: of all its trainings
    best       the first trial of the best recipe; None if there is none yet
    to_best    what the run had cost when that trial ended; None if it did not end
    """

    prices: Prices
    total: float
    idle: float
    by_trial: dict[int, float]
    by_recipe: dict[int, float]
    best: int | None
    to_best: float | None


def spending(run: Run, usage: Usage | None) -> Spending | None:
    """Computes what a run cost; None without prices, or if its hours are unknown."""
    prices = prices_of(run.about)
    if usage is None or not prices.are_given:
        return None
    by_trial = {number: _cost(hours, prices) for number, hours in usage.by_trial.items()}
    best = best_number(run.trials, run.test)
    return Spending(
        prices=prices,
        total=_cost(usage.total, prices),
        idle=_cost(usage.idle, prices),
        by_trial=by_trial,
        by_recipe=_by_recipe(run, by_trial),
        best=best,
        to_best=_to_best(run, best, prices),
    )


def _cost(hours: Hours, prices: Prices) -> float:
    return prices.cost(gpu_hours=hours.gpus, core_hours=hours.cores)


def _by_recipe(run: Run, by_trial: dict[int, float]) -> dict[int, float]:
    """Computes what each recipe cost, with the trainings that train it again and a variant's
    repeats.
    """
    first_of_name: dict[str, int] = {}
    by_recipe: dict[int, float] = {}
    for trial in run.trials:
        first = trial.number if trial.of is None else trial.of
        if trial.of is None and trial.name:
            first = first_of_name.setdefault(trial.name, trial.number)
        by_recipe[first] = by_recipe.get(first, 0.0) + by_trial.get(trial.number, 0.0)
    return by_recipe


def _to_best(run: Run, best: int | None, prices: Prices) -> float | None:
    ended = [trial.ended for trial in run.trials if trial.number == best]
    if not ended or ended[0] is None:
        return None
    return _cost(total_hours(run.periods, until=ended[0]), prices)
