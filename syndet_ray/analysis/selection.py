"""Selection: the winning recipe, the finalists, the simplest recipe, and the Pareto front."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

from syndet_ray.definitions.effect import no_effect
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.errors import DefinitionError
from syndet_ray.metrics import CLOCKS
from syndet_ray.runs.results import Trial
from syndet_ray.spread import pooled_deviation, standard_error, within_one_error

# The settings of a mix by which sources get their shares.
_DECIDE_SHARES = ("mix.synthetic", "mix.schedule", "mix.sources", "mix.parts")
# A training whose machine is lost time and again is started again once, so that recipes stay
# comparable seed by seed; then another seed takes its place.
TRIES_OF_A_SEED = 2


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A recipe and the trials that trained it to the end: confirmations, a variant's repeats, or
    one trial of the search.

    trial      the first that trained the recipe
    trainings  that ended; one that diverged counts, as a model that finds nothing
    mean       of the validation mAP
    error      standard error of the mean; of a single training the spread between the seeds of
               other recipes, or None if no recipe was trained twice
    """

    trial: Trial
    trainings: tuple[Trial, ...]
    mean: float
    error: float | None

    @property
    def models(self) -> tuple[Trial, ...]:
        """The trainings that left a model."""
        return tuple(training for training in self.trainings if not training.diverged)


def candidate(trial: Trial, trainings: Sequence[Trial]) -> Candidate:
    """The recipe of a trial, with the mean and the error of these trainings."""
    values = [training.final for training in trainings if training.final is not None]
    return Candidate(
        trial=trial,
        trainings=tuple(trainings),
        mean=sum(values) / len(values),
        error=standard_error(values),
    )


def with_pooled_errors(recipes: Sequence[Candidate]) -> list[Candidate]:
    """The same candidates; those trained once get the standard deviation between seeds as error.

    It is pooled over all others. Trainings that diverged are left out of it: their distance from
    the rest says nothing about other recipes.
    """
    pooled = pooled_deviation([_scores(recipe) for recipe in recipes])
    with_errors = []
    for recipe in recipes:
        is_single = recipe.error is None
        with_errors.append(replace(recipe, error=pooled) if is_single else recipe)
    return with_errors


def _scores(recipe: Candidate) -> list[float]:
    """The validation mAP of each model of a recipe."""
    return [model.value for model in recipe.models if model.value is not None]


def candidates(trials: Sequence[Trial]) -> list[Candidate]:
    """The recipes that may win, best first. A variant is one of them, with all its trainings.

    Once any recipe is confirmed, the trials of the search do not count: the best of many owes its
    place partly to luck, and must not be compared with means that do not. The repeats of a variant
    always count, because they were not selected. A recipe that diverged in every training is last.
    """
    confirmations = [trial for trial in trials if trial.of is not None and _is_finished(trial)]
    recipes = []
    for first_trainings in _by_recipe(trials):
        trial = first_trainings[0]
        numbers = {training.number for training in first_trainings}
        counts = trial.role == "variant" or not confirmations
        trainings = first_trainings if counts else []
        trainings = trainings + [training for training in confirmations if training.of in numbers]
        if trainings:
            recipes.append(candidate(trial, trainings))
    return sorted(with_pooled_errors(recipes), key=_rank)


def _rank(recipe: Candidate) -> tuple[bool, float, int]:
    """The key that sorts candidates, best first."""
    return not recipe.models, -recipe.mean, recipe.trial.number


def search_ranking(trials: Sequence[Trial]) -> list[Candidate]:
    """The recipes as the search alone shows them, best first, without confirmations."""
    return candidates([trial for trial in trials if trial.role != "confirmation"])


def winner(trials: Sequence[Trial]) -> Candidate | None:
    """The recipe with the best mean on the validation set; None if no trial finished."""
    return next(iter(candidates(trials)), None)


def simplest(ranked: Sequence[Candidate]) -> Candidate | None:
    """The simplest of the confirmed recipes within one standard error of the best.

    The rule is that of Breiman et al. 1984, ch. 3.4.3. Real images alone are simpler than synthetic
    ones alone, those than a mix, a constant mix than one that changes, and fewer sources than more.
    None if the error of the best is unknown. ranked: best first.
    """
    if not ranked or ranked[0].error is None:
        return None
    by_name = {str(candidate.trial.number): candidate for candidate in ranked}
    means = {name: candidate.mean for name, candidate in by_name.items()}
    errors = {name: candidate.error for name, candidate in by_name.items()}
    as_good = [by_name[name] for name in within_one_error(means, errors)]
    return min(as_good, key=lambda recipe: _complexity(recipe.trial))


def finalists(trials: Sequence[Trial], top: int) -> list[Trial]:
    """The recipes to confirm: each control and variant that finished, and the best `top` of the
    search.
    """
    ranked = [candidate.trial for candidate in search_ranking(trials)]
    fixed = [trial for trial in ranked if trial.role != "search"]
    searched = [trial for trial in ranked if trial.role == "search"]
    return sorted(fixed, key=lambda trial: trial.number) + searched[:top]


def missing_seeds(finalist: Trial, trials: Sequence[Trial], sweep: LoadedSweep) -> list[int]:
    """The seed numbers that a finalist must still be trained with, in order.

    It needs `confirm.seeds` trainings. The repeats of a variant count; of all other recipes only
    confirmations do. A training that diverged counts too: with another seed in its place an unsafe
    recipe would look safe. A training that was lost with its machine is repeated, first with the
    same seed, until the recipe `is_given_up`.
    """
    trainings = [trial for trial in trials if _is_training_of(trial, finalist)]
    lost = Counter(training.seed_number for training in trainings if training.cause == "lost")
    settled = {training.seed_number for training in trainings if training.cause != "lost"}
    if is_given_up(lost, sweep.confirm.seeds):
        return []
    of_confirmations = sweep.seed_number(1, of_variant=False)
    first = min([of_confirmations, *(training.seed_number for training in trainings)])
    usable = (
        number for number in count(first) if number in settled or lost[number] < TRIES_OF_A_SEED
    )
    return [number for number in islice(usable, sweep.confirm.seeds) if number not in settled]


def is_given_up(lost: Counter[int], planned: int) -> bool:
    """True if so many trainings of a recipe were lost that it gets no more.

    Each planned training may be lost once, and one of them until another seed has been tried.
    lost: the number of lost trainings by seed number.
    """
    return lost.total() >= planned + TRIES_OF_A_SEED


def _is_training_of(trial: Trial, finalist: Trial) -> bool:
    """True for a training of a finalist's recipe that counts for its confirmation."""
    is_repeat = trial.role == finalist.role == "variant" and trial.name == finalist.name
    return is_repeat or trial.of == finalist.number


@dataclass(frozen=True, kw_only=True)
class BestPoints:
    """The best recipes of an earlier run's search, best first, as another sweep would propose them.

    points   values of the settings that the sweep varies
    refused  the reason for each recipe that the sweep cannot propose, by its trial
    """

    points: tuple[dict[str, Any], ...]
    refused: Mapping[int, DefinitionError]


def best_points(trials: Sequence[Trial], sweep: LoadedSweep, count: int = 5) -> BestPoints:
    """The best recipes of an earlier run that a sweep can propose; no more than `count`.

    Confirmed recipes come first, by their mean, then the rest of the search. Recipes after the last
    one that is needed are not examined.
    """
    points: list[dict[str, Any]] = []
    refused: dict[int, DefinitionError] = {}
    for recipe in [*candidates(trials), *search_ranking(trials)]:
        if len(points) == count:
            break
        trial = recipe.trial
        settings = trial.settings
        varied = sweep.parameters.settings()
        changes = {path: settings[path] for path in varied if path in settings}
        if trial.role != "search" or changes in points:
            continue
        try:
            sweep.check_point(changes)
        except DefinitionError as error:
            refused[trial.number] = error
        else:
            points.append(changes)
    return BestPoints(points=tuple(points), refused=refused)


def pareto_front(
    trials: Sequence[Trial], objective: Sequence[str], goals: Sequence[str]
) -> list[Trial]:
    """The recipes that no other beats in one goal without losing in another; cheapest first.

    Each recipe is represented by its first training. goals: "maximize" or "minimize", for each name
    of the objective.
    """
    trainings = [first for first, *_ in _by_recipe(trials) if not first.diverged]
    values = {trial.number: _to_maximize(trial.goals(objective), goals) for trial in trainings}
    front = []
    for trial in trainings:
        own_values = values[trial.number]
        if not any(_beats(others, own_values) for others in values.values()):
            front.append(trial)
    return sorted(front, key=lambda trial: trial.goals(objective)[::-1])


def _to_maximize(values: Sequence[float], goals: Sequence[str]) -> list[float]:
    """Values of which more is better: those to minimize change their sign."""
    signed = zip(values, goals, strict=True)
    return [value if goal == "maximize" else -value for value, goal in signed]


def twins(trials: Iterable[Trial]) -> list[tuple[Trial, Trial]]:
    """Pairs of trials whose recipes differ and that trained bit-identically."""
    first_of: dict[str, Trial] = {}
    pairs = []
    for trial in trials:
        twin = first_of.setdefault(curve(trial), trial)
        if trial.rungs and differ(twin, trial):
            pairs.append((twin, trial))
    return pairs


def differ(one: Trial, other: Trial) -> tuple[str, ...]:
    """The dotted paths of the settings in which two recipes differ, if they have an effect there.

    Mixes with the same shares are the same, however they are written: a schedule that shows real
    images alone equals a synthetic share of 0, and parts of 0 equal sources that are not named.
    """
    recipe, other_recipe = one.recipe, other.recipe
    if recipe == other_recipe:  # nearly every trial is compared with itself
        return ()
    has_same_shares = _shown_shares(recipe) == _shown_shares(other_recipe)
    paths = []
    for path in recipe.flat():
        is_in_shares = has_same_shares and path in _DECIDE_SHARES
        if recipe.get(path) == other_recipe.get(path) or is_in_shares:
            continue
        is_idle = no_effect(path, recipe) is not None and no_effect(path, other_recipe) is not None
        if not is_idle:
            paths.append(path)
    return tuple(paths)


def _shown_shares(recipe: Recipe) -> tuple[dict[str, float], bool]:
    """The shares of the sources that are shown, and whether they change during the training."""
    mix = recipe.mix
    shares = {name: share for name, share in mix.shares.items() if share > 0}
    return shares, mix.schedule in ("staged", "annealed") and 0 < mix.synthetic < 1


def curve(trial: Trial) -> str:
    """All that a trial reported except its speed, as JSON.

    It is equal for two trials only if they trained bit-identically.
    """
    rungs = [(rung.images, _without_clocks(rung.metrics)) for rung in trial.rungs]
    return json.dumps(rungs, sort_keys=True)


def _without_clocks(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in CLOCKS}


def _by_recipe(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The finished trials except confirmations, grouped: the repeats of a variant are together.

    A recipe of the search that diverged is left out: training it again gains nothing.
    """
    by_recipe: dict[str | int, list[Trial]] = {}
    for trial in trials:
        is_hopeless = trial.role == "search" and trial.diverged
        if trial.role != "confirmation" and _is_finished(trial) and not is_hopeless:
            recipe = trial.name if trial.role == "variant" else trial.number
            by_recipe.setdefault(recipe, []).append(trial)
    return list(by_recipe.values())


def _is_finished(trial: Trial) -> bool:
    return trial.final is not None


def _complexity(trial: Trial) -> tuple[int, bool, int, int]:
    """The key that sorts recipes, simplest first."""
    mix = trial.recipe.mix
    is_mixed = 0 < mix.synthetic < 1
    kind = 2 if is_mixed else round(mix.synthetic)  # 0 real alone, 1 synthetic alone, 2 a mix
    changes = is_mixed and mix.schedule in ("staged", "annealed")
    sources = sum(share > 0 for share in mix.shares.values())
    return kind, changes, sources, trial.number


def _beats(a: Sequence[float], b: Sequence[float]) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))
