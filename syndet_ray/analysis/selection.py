"""Verdict: which recipe won, how sure that is before the test set is opened, and what can be had
for less.
"""

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
from syndet_ray.runs.metrics import IMAGES_PER_SECOND
from syndet_ray.runs.results import Trial
from syndet_ray.spread import pooled_deviation, standard_error, within_one_error

# Of what a trial reports, what says nothing about how it trained.
_CLOCKS = (IMAGES_PER_SECOND,)
# The settings of a mix by which sources get their shares.
_DECIDE_SHARES = ("mix.synthetic", "mix.schedule", "mix.sources", "mix.parts")
# A training whose machine is lost time and again is begun anew once, so that recipes stay
# comparable seed by seed; then another seed takes its place.
TRIES_OF_A_SEED = 2


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A recipe and the trials that trained it to the end: confirmations, a variant's repeats, or
    one trial of the search.

    trial  the first that trained the recipe
    trainings  that ended; one that diverged counts, as a model that finds nothing
    mean   of the validation mAP
    error  standard error of the mean; of a single training it is the spread between the seeds of
           other recipes, or None where no recipe was trained twice
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
    """The recipe of a trial as these trainings show it."""
    values = [training.final for training in trainings if training.final is not None]
    return Candidate(
        trial=trial,
        trainings=tuple(trainings),
        mean=sum(values) / len(values),
        error=standard_error(values),
    )


def with_pooled_errors(found: Sequence[Candidate]) -> list[Candidate]:
    """The same, with an error for those trained once: the standard deviation between seeds, pooled
    over all others.

    Trainings that diverged are left out of it: how far they are from the rest says nothing about
    other recipes.
    """
    scores = [[model.value for model in each.models if model.value is not None] for each in found]
    pooled = pooled_deviation(scores)
    return [replace(each, error=pooled) if each.error is None else each for each in found]


def candidates(trials: Sequence[Trial]) -> list[Candidate]:
    """The recipes that may be the winner, best first. A variant is one of them, with all its
    trainings.

    Once any recipe is confirmed, a search's own trials do not count: the best of many owes its
    place partly to luck, and must not be compared with means that do not. A variant's repeats
    always do, for nobody chose among them. What diverged in every training comes last.
    """
    anew = [trial for trial in trials if trial.of is not None and _finished(trial)]
    found = []
    for own in _by_recipe(trials):
        numbers = {trial.number for trial in own}
        counted = own if own[0].role == "variant" or not anew else []
        trainings = counted + [trial for trial in anew if trial.of in numbers]
        if trainings:
            found.append(candidate(own[0], trainings))
    found = with_pooled_errors(found)
    return sorted(
        found, key=lambda candidate: (not candidate.models, -candidate.mean, candidate.trial.number)
    )


def unconfirmed(trials: Sequence[Trial]) -> list[Candidate]:
    """The recipes as the search alone shows them, best first, whatever confirmations have said
    since.
    """
    return candidates([trial for trial in trials if trial.role != "confirmation"])


def winner(trials: Sequence[Trial]) -> Candidate | None:
    """The recipe with the best mean on the validation set; None where no trial finished."""
    found = candidates(trials)
    return found[0] if found else None


def simplest(found: Sequence[Candidate]) -> Candidate | None:
    """The simplest of the confirmed recipes within one standard error of the best (Breiman et al.
    1984, ch. 3.4.3).

    Real images alone are simpler than synthetic ones alone, those than a mix, a constant mix than
    one that changes, and fewer sources than more. None where nothing says how large the error is.
    """
    if not found or found[0].error is None:
        return None
    by_name = {str(candidate.trial.number): candidate for candidate in found}
    means = {name: candidate.mean for name, candidate in by_name.items()}
    errors = {name: candidate.error for name, candidate in by_name.items()}
    return min(
        (by_name[name] for name in within_one_error(means, errors)),
        key=lambda c: _complexity(c.trial),
    )


def finalists(trials: Sequence[Trial], top: int) -> list[Trial]:
    """The recipes to be confirmed: each control and variant that finished, once, and the best `top`
    of the search.
    """
    found = [candidate.trial for candidate in unconfirmed(trials)]
    fixed = [trial for trial in found if trial.role != "search"]
    searched = [trial for trial in found if trial.role == "search"]
    return sorted(fixed, key=lambda trial: trial.number) + searched[:top]


def missing_seeds(finalist: Trial, trials: Sequence[Trial], sweep: LoadedSweep) -> list[int]:
    """The numbers of the seeds that a finalist still has to be trained with, in order, until it has
    `confirm.seeds`.

    A variant's repeats count, of all others only confirmations. A training that diverged counts as
    well: another seed in its place would make a recipe look safe that is not. What was lost with
    its machine is trained anew, at first with the same seed, until the recipe `is_given_up`.
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
    """Whether so many trainings of a recipe were lost, by their seeds, that no more is asked for.

    Each of those that were planned may be lost once, and beside that one of them until another seed
    has been tried.
    """
    return lost.total() >= planned + TRIES_OF_A_SEED


def _is_training_of(trial: Trial, finalist: Trial) -> bool:
    """Whether a trial is a training of a finalist's recipe that counts for its confirmation."""
    is_repeat = trial.role == "variant" and trial.name == finalist.name
    return is_repeat or trial.of == finalist.number


@dataclass(frozen=True, kw_only=True)
class BestPoints:
    """The best recipes of an earlier run's search, best first, as another sweep would propose them.

    points   values of what the sweep varies
    refused  by the trial of each recipe that it cannot propose, why not
    """

    points: tuple[dict[str, Any], ...]
    refused: Mapping[int, DefinitionError]


def best_points(trials: Sequence[Trial], sweep: LoadedSweep, count: int = 5) -> BestPoints:
    """The best recipes of an earlier run, as far as a sweep can propose them; no more than `count`.

    What was confirmed comes first, by its mean, then the rest of the search. What would come after
    the last that is needed is not looked at.
    """
    points: list[dict[str, Any]] = []
    refused: dict[int, DefinitionError] = {}
    for trial in [candidate.trial for candidate in [*candidates(trials), *unconfirmed(trials)]]:
        if len(points) == count:
            break
        settings = trial.settings
        changes = {path: settings[path] for path in sweep.parameters.settings()}
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
    """The recipes that no other beats in one goal without losing in another, each by its first
    training; cheapest first.

    goals: "maximize" or "minimize", for each name of the objective.
    """
    firsts = [own[0] for own in _by_recipe(trials) if not own[0].diverged]
    found = {
        t.number: [
            v if goal == "maximize" else -v
            for v, goal in zip(t.goals(objective), goals, strict=True)
        ]
        for t in firsts
    }
    front = [t for t in firsts if not any(_beats(v, found[t.number]) for v in found.values())]
    return sorted(front, key=lambda t: t.goals(objective)[::-1])


def twins(trials: Iterable[Trial]) -> list[tuple[Trial, Trial]]:
    """Pairs of trials that were asked for different recipes and trained alike to the last digit: a
    setting is dead.
    """
    first_of: dict[str, Trial] = {}
    pairs = []
    for trial in trials:
        twin = first_of.setdefault(curve(trial), trial)
        if trial.rungs and differ(twin, trial):
            pairs.append((twin, trial))
    return pairs


def differ(one: Trial, other: Trial) -> tuple[str, ...]:
    """The settings in which the recipes of two trials differ, by dotted path, as far as they have
    an effect there.

    Of the mix, what is said in several ways is the same where the shares are: a schedule that shows
    real images alone and a share of nothing, parts of 0 and sources that are not named.
    """
    recipe, other_recipe = one.recipe, other.recipe
    if recipe == other_recipe:  # of nearly every trial, which is compared with itself
        return ()
    has_same_shares = _shown(recipe) == _shown(other_recipe)
    paths = []
    for path in recipe.flat():
        is_told_by_shares = has_same_shares and path in _DECIDE_SHARES
        if recipe.get(path) == other_recipe.get(path) or is_told_by_shares:
            continue
        is_idle = no_effect(path, recipe) is not None and no_effect(path, other_recipe) is not None
        if not is_idle:
            paths.append(path)
    return tuple(paths)


def _shown(recipe: Recipe) -> tuple[dict[str, float], bool]:
    """The shares of the sources that are shown, and whether they change during the training."""
    mix = recipe.mix
    shares = {name: share for name, share in mix.shares.items() if share > 0}
    return shares, mix.schedule in ("staged", "annealed") and 0 < mix.synthetic < 1


def curve(trial: Trial) -> str:
    """All that a trial reported but how fast it was: equal for two only where they trained alike to
    the last digit.
    """
    kept = [
        (r.images, {name: v for name, v in r.metrics.items() if name not in _CLOCKS})
        for r in trial.rungs
    ]
    return json.dumps(kept, sort_keys=True)


def _by_recipe(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The finished trials but confirmations: the repeats of a variant together, all others by
    themselves.

    A recipe of the search that diverged is none: nothing is gained by training it again.
    """
    found: dict[str | int, list[Trial]] = {}
    for trial in trials:
        is_hopeless = trial.role == "search" and trial.diverged
        if trial.role != "confirmation" and _finished(trial) and not is_hopeless:
            recipe = trial.name if trial.role == "variant" else trial.number
            found.setdefault(recipe, []).append(trial)
    return list(found.values())


def _finished(trial: Trial) -> bool:
    return trial.final is not None


def _complexity(trial: Trial) -> tuple[int, bool, int, int]:
    mix = trial.recipe.mix
    kinds = 0 if mix.synthetic == 0 else 1 if mix.synthetic == 1 else 2
    # what is all of one kind has nothing to change to
    changes = kinds == 2 and mix.schedule in ("staged", "annealed")
    return kinds, changes, sum(share > 0 for share in mix.shares.values()), trial.number


def _beats(a: Sequence[float], b: Sequence[float]) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))
