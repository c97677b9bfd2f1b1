"""Answer: the result of a run in a few sentences, no more certain than its test set allows."""

import textwrap
from collections.abc import Mapping, Sequence

from syndet_ray import wording
from syndet_ray.analysis.response import Offer, front
from syndet_ray.analysis.selection import finalists, missing_seeds, search_ranking
from syndet_ray.analysis.tables import TestLine, VariantLine, test_lines, variant_lines
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.metrics import MAP
from syndet_ray.report import words
from syndet_ray.runs import names
from syndet_ray.runs.results import REAL_ONLY, RowKey, TestScores, Trial
from syndet_ray.runs.run import Run, resume_command
from syndet_ray.spread import LEAST_IMAGES, Difference

_MOST_OFFERS = 4  # of a Pareto front: more make the sentence hard to read
_MOST_VARIANTS = 5  # likewise
_LONGEST_REASON = 300  # characters of an error message; the table of trials has all of it
_SCORED_ONCE = f"{words.SCORED_ONCE}: the spread between seeds is unknown."
_ALL_DIVERGED = (
    "No answer: all confirmations of the best recipes diverged, so the test set was not opened. "
    "Search lower values of training.learning_rate."
)
_LEARNED = 0.01  # mAP; a recipe below it finds nothing: also the threshold pruner's default
_NO_CONTROL = (
    "No real-only control was tested, so this run does not show whether synthetic images help."
)


def answer(run: Run) -> str:
    """The sweep's answer, with its interval."""
    trials, test, sweep = run.trials, run.test, run.sweep
    if test is None:
        sentences = [_so_far(run)]
    else:
        lines = test_lines(test, trials)
        sentences = _test_result(lines, variant_lines(run), test, run)
        sentences += [
            _diverged_sentence(lines),
            _lost_sentence(lines, test, trials, sweep),
            _since(test, trials),
        ]
        if not test.is_too_small:
            sentences.append(words.few_validation_images(run.about))
    sentences += [
        _how_to_go_on(run),
        _offers(trials, sweep),
        names.near_copies_caveat(run.about),
    ]
    if run.stand_in:
        sentences.append(words.STAND_IN)
    return " ".join(sentence for sentence in sentences if sentence)


def _test_result(
    lines: Sequence[TestLine],
    variants: Sequence[VariantLine],
    test: TestScores,
    run: Run,
) -> list[str]:
    """The sentences that follow from the test set."""
    best = next(line for line in lines if line.best)
    place = names.test_set_name(test)
    if test.openings > 1:
        place += f" ({names.openings(test)})"
    if test.is_too_small:
        return [_too_few(best, lines, test, place)]
    highest_of_each = [max(line.validation, line.scores[MAP].value) for line in lines]
    if max(highest_of_each) < _LEARNED:
        return [_nothing_learned(lines, place)]
    confirmed = any(line.confirmed for line in lines)
    # The sweep compared recipes as they stand, and searched for none.
    compared = bool(variants) and not best.is_searched
    controlled = any(line.is_control for line in lines)
    sentences = []
    if controlled or not compared:
        if confirmed:
            sentences += _confirmed_sentences(best, lines, place, run)
        else:
            sentences += _trained_once(best, lines, place, run)
    if compared:
        sentences += _ablation(variants, "Of the variants," if controlled else f"On {place}")
    if compared and not controlled and best.name != variants[0].name:
        sentences.append(f"Best on validation is {best.name}, with {_map(best)}.")
    return [*sentences, _simplest(best, lines), _uneven(lines) if confirmed else _SCORED_ONCE]


def _too_few(best: TestLine, lines: Sequence[TestLine], test: TestScores, place: str) -> str:
    """The scores of a test set from which nothing follows."""
    digits = wording.decimals(best.scores[MAP].value)
    values = {line.name: wording.number(line.scores[MAP].value, digits) for line in lines}
    others = "".join(f"; {name}: {value}" for name, value in values.items() if name != best.name)
    photos = "stand-in images" if test.stand_in else "photos"
    if test.with_objects is not None and test.with_objects < test.images:
        photos += " with an object"
    score = f"reaches {values[best.name]} mAP"
    return (
        f"No answer: the test set has too few {photos} to compare recipes; "
        f"at least {LEAST_IMAGES} are needed. "
        f"On {place} {_recipe(best)}, the best on validation, {score}{others}."
    )


def _nothing_learned(lines: Sequence[TestLine], place: str) -> str:
    """Says that no recipe is better than another, since none finds anything."""
    highest = wording.number(max(line.scores[MAP].value for line in lines))
    recipes = wording.counted(len(lines), "recipe")
    return (
        "No answer: no recipe has learned to find anything; "
        f"on {place} the highest of {recipes} is {highest} mAP. Train longer (training.images)."
    )


def _confirmed_sentences(
    best: TestLine, lines: Sequence[TestLine], place: str, run: Run
) -> list[str]:
    """Compares the winner with the controls, by paired differences over images and seeds."""
    real = next((line for line in lines if line.key == REAL_ONLY), None)
    if best.trial_name == "real_only":
        result = f"on {place} it reaches {_map(best)}{_gaps(best.differences)}"
        if all(line.is_control for line in lines):
            return [f"No answer: no searched recipe was confirmed. Real only: {result}."]
        return [f"Use real data only: {result}.", _behind(best, lines), _rival_gap(best, lines)]
    difference = best.differences.get(REAL_ONLY)
    if real is None or difference is None:
        return [f"On {place} {_reaches(best)}{_gaps(best.differences)}.", _no_control(run)]
    significant = difference.low > 0 or difference.high < 0
    if difference.mean <= 0:
        gap = words.gap(difference, "real only")
        sentences = [
            f"Use real data only: on {place} it reaches {_map(real)}; "
            f"the best recipe on validation — {_recipe(best)} — reaches {_map(best)}, {gap}."
        ]
        doubt = "the two do not differ significantly, and real only is simpler."
    else:
        use = "Use real data only: on" if best.synthetic == 0 else "On"
        sentences = [f"{use} {place} {_reaches(best)}{_gaps(best.differences)}."]
        doubt = "the best recipe and real only do not differ significantly."
    if not significant:
        sentences.append(f"The interval includes 0: {doubt}")
    return sentences


def _simplest(best: TestLine, lines: Sequence[TestLine]) -> str:
    """The simplest of the recipes that are as good on validation, if that is not the best."""
    plain = next((line for line in lines if line.simplest), best)
    if plain is best:
        return ""
    name = f"{plain.recipe} (trial {plain.trial})" if plain.is_searched else plain.name
    return f"Within one standard error of the best on validation, and simpler: {name}."


def _uneven(lines: Sequence[TestLine]) -> str:
    """Names the recipes that were trained less often than others."""
    counts = {line.name: len(line.seeds) or 1 for line in lines}
    most = max(counts.values())
    fewer = {name: count for name, count in counts.items() if count < most}
    if not fewer:
        return ""
    listing = ", ".join(f"{name} has {count}" for name, count in fewer.items())
    if 1 in fewer.values():
        is_known = max(len(line.seeds) - line.diverged for line in lines) > 1
        spread = "taken from the other recipes" if is_known else "unknown and left out"
        listing += f" (for a single training, the spread between seeds is {spread})"
    return f"Not all recipes have {most} finished trainings: {listing}."


def _diverged_sentence(lines: Sequence[TestLine]) -> str:
    """Names the recipes with trainings that diverged, which lowers their scores."""
    counts = []
    for line in lines:
        if line.diverged:
            counts.append(f"{line.diverged} of {max(len(line.seeds), 1)} of {line.name}")
    return f"Trainings that diverged count as 0 mAP: {', '.join(counts)}." if counts else ""


def _lost_sentence(
    lines: Sequence[TestLine], test: TestScores, trials: Sequence[Trial], sweep: LoadedSweep
) -> str:
    """Names the finalists that are not compared because all their confirmations failed."""
    before = [trial for trial in trials if trial.started <= test.opened]
    failed = {trial.of for trial in before if trial.of is not None and trial.state == "FAILED"}
    failed -= {line.trial for line in lines}
    best = finalists(before, sweep.confirm.top)
    lost = [str(trial.number) for trial in best if trial.number in failed]
    if not lost:
        return ""
    recipes = "the recipe of trial" if len(lost) == 1 else "the recipes of trials"
    numbers = " and ".join(lost)
    return f"Not compared, because all confirmations failed: {recipes} {numbers}."


def _behind(real: TestLine, lines: Sequence[TestLine]) -> str:
    """Compares the best of all others with real only, on validation."""
    second = _best_rival(lines)
    assert second is not None, "real only alone is compared with nothing"
    count = sum(not line.is_control for line in lines)
    noun, verb = ("variant", "tested") if second.is_variant else ("searched recipe", "confirmed")
    reached = f"the {_best_of(count)} {verb} reached {_validation(second)} mAP"
    claim = f"no {noun} did better on validation"
    if second.retrained and real.retrained:
        # The table of trials has the scores of the search, which may be in another order.
        seeds = "other seeds" if second.confirmed or real.confirmed else "another seed"
        claim = f"when trained again with {seeds}, {claim}"
    return f"{claim[0].upper()}{claim[1:]}: {reached}, real only {_validation(real)}."


def _best_of(count: int) -> str:
    return "only one" if count == 1 else f"best of {count}"


def _rival_gap(real: TestLine, lines: Sequence[TestLine]) -> str:
    """The difference on the test set of the best other recipe from real only, unless the sentence
    on real only has it.
    """
    second = _best_rival(lines)
    difference = None if second is None else second.differences.get(REAL_ONLY)
    if second is None or difference is None or second.key in real.differences:
        return ""
    sentence = f"On the test set {_in_sentence(second)} is {words.gap(difference, 'real only')}"
    if difference.low > 0 or difference.high < 0:
        return f"{sentence}."
    return f"{sentence}: the two do not differ significantly, and real only is simpler."


def _trained_once(best: TestLine, lines: Sequence[TestLine], place: str, run: Run) -> list[str]:
    """Compares the best recipe with the controls, if each was trained only once."""
    others = [line for line in lines if line is not best]
    real = next((line for line in others if line.key == REAL_ONLY), None)
    if best.trial_name == "real_only":
        result = f"on {place} it reaches {_map(best)}{_scores(others, best)}"
        is_alone = all(line.is_control for line in lines)
        behind = (
            _behind(best, lines)
            if best.retrained and not is_alone
            else _behind_once(best, run.trials)
        )
        if not behind:
            return [f"No answer: {_none_of(run.trials)}. Real only: {result}."]
        second = _best_rival(lines)
        overlap = "" if second is None else _overlap(second, best)
        return [f"Use real data only: {result}.", behind, overlap]
    if real is None:
        return [f"On {place} {_reaches(best)}{_scores(others, best)}.", _no_control(run)]
    if real.scores[MAP].value >= best.scores[MAP].value:
        rest = [line for line in others if line is not real]
        result = f"on {place} it reaches {_map(real)}; {_reaches(best)}{_scores(rest, best)}"
        return [f"Use real data only: {result}.", _overlap(best, real)]
    use = "Use real data only: on" if best.synthetic == 0 else "On"
    return [f"{use} {place} {_reaches(best)}{_scores(others, best)}.", _overlap(best, real)]


def _no_control(run: Run) -> str:
    """Says what is open without a real-only control; "" if there is no synthetic image."""
    return _NO_CONTROL if run.has_synthetic else ""


def _best_rival(lines: Sequence[TestLine]) -> TestLine | None:
    """The scored recipe that is best on validation, without the controls."""
    rivals = [line for line in lines if not line.is_control]
    return max(rivals, key=lambda line: line.validation, default=None)


def _rivals(trials: Sequence[Trial]) -> tuple[list[Trial], str, int]:
    """The trials of all but controls, the noun for one of their recipes, and the number of these
    recipes.
    """
    rivals = [trial for trial in trials if trial.role in ("variant", "search")]
    noun = "variant" if any(trial.role == "variant" for trial in rivals) else "searched recipe"
    return rivals, noun, len({trial.name or trial.number for trial in rivals})


def _none_of(trials: Sequence[Trial]) -> str:
    """Such as: none of the 3 searched recipes finished."""
    _, noun, count = _rivals(trials)
    return (
        f"the only {noun} did not finish" if count == 1 else f"none of the {count} {noun}s finished"
    )


def _behind_once(real: TestLine, trials: Sequence[Trial]) -> str:
    """Compares the best of all others with real only, on validation; "" if none finished."""
    rivals, noun, count = _rivals(trials)
    second = next(iter(search_ranking(rivals)), None)
    if second is None:
        return ""
    scores = f"{wording.number(second.mean)} mAP, real only {wording.number(real.validation)}"
    return f"No {noun} did better on validation: the {_best_of(count)} reached {scores}."


def _overlap(recipe: TestLine, real: TestLine) -> str:
    """Compares the intervals of a recipe, the best one or the best after real only, and of real
    only.
    """
    diverged = [line.name for line in (recipe, real) if line.diverged]
    if diverged:
        recipes = " and of ".join(diverged)
        return f"The only training of {recipes} diverged: the two are not compared."
    a, b = recipe.scores[MAP], real.scores[MAP]
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return "There are no intervals, so this run does not show whether the two differ."
    intervals, pair = "Their intervals", "the best recipe differs from real only"
    if real.best:
        intervals = f"On the test set the intervals of {_in_sentence(recipe)} and real only"
        pair = "the two differ"
    if a.low > b.high or b.low > a.high:
        return f"{intervals} do not overlap."
    is_simpler = real.best or b.value >= a.value
    simpler = ", and real only is the simpler recipe" if is_simpler else ""
    return f"{intervals} overlap: this run does not show that {pair}{simpler}."


def _ablation(lines: Sequence[VariantLine], where: str) -> list[str]:
    """The score of the first variant, the differences of the others from it, and which of these
    are significant.
    """
    first = lines[0]
    digits = wording.decimals(max(line.score.value for line in lines))
    value, _, interval = first.score.text(digits).partition(" ")
    score = f"{value} mAP {interval}".rstrip()
    trained = f" ({words.seeds([len(first.seeds)])})" if len(first.seeds) > 1 else ""
    reference = f"{where} {first.name} reaches {score}{trained}"
    differences = {}
    for line in lines[1:]:
        if line.difference is not None:
            signed = wording.signed(line.difference.mean, digits)
            differences[line.name] = f"{line.name} {signed}"
    if not differences:
        return [f"{reference}."]
    significant = [line.name for line in lines if line.apart]
    if len(differences) > _MOST_VARIANTS:
        listing = ", ".join(differences[name] for name in significant) or "none"
        others = f"of the {len(differences)} others these differ from it significantly"
        return [f"{reference}; {others}: {listing}."]
    listing = ", ".join(differences.values())
    conclusion = "No difference is significant."
    if significant:
        conclusion = f"Significant differences: {', '.join(significant)}."
    return [f"{reference}; compared with it: {listing}.", conclusion]


def _how_to_go_on(run: Run) -> str:
    """Says that a run was left unfinished, and how to continue it."""
    command = resume_command(run.path, run.about)
    if run.halt == "spent":
        return f"The budget is spent; continue with: {command} --hours TOTAL, or --images TOTAL."
    return f"The run was interrupted; continue with: {command}." if run.halt else ""


def _so_far(run: Run) -> str:
    """The state of a run whose test set has not been opened."""
    trials, sweep = run.trials, run.sweep
    best = next(iter(search_ranking(trials)), None)
    if best is None:
        return _none_finished(trials, "unfinished" if run.halt else "running")
    is_variant = best.trial.role == "variant"
    name = best.trial.name if is_variant else names.recipe_words(best.trial)
    leader = f"{name}, {wording.number(best.mean)} mAP"
    state = "No answer yet: the test set has not been opened."
    state += f" Best on validation so far: {leader}."
    again = [trial for trial in trials if trial.role == "confirmation"]
    if not again:
        return state
    ended = sum(trial.state != "RUNNING" and trial.cause != "lost" for trial in again)
    running = sum(trial.state == "RUNNING" for trial in again)
    best_trials = finalists(trials, sweep.confirm.top)
    missing = sum(len(missing_seeds(trial, trials, sweep)) for trial in best_trials)
    wanted = ended + running + missing
    if wanted == ended and all(trial.diverged for trial in again if trial.cause != "lost"):
        return _ALL_DIVERGED
    progress = f"{ended} of {wanted} trainings have ended"
    begun = "were" if run.halt else "are"
    return f"{state} The best recipes {begun} being trained again: {progress}."


def _none_finished(trials: Sequence[Trial], going_on: str) -> str:
    """The states of trials of which none finished.

    going_on  the word for those that have not ended
    """
    if not trials:
        return "No answer: no trial was started."
    parts = []
    for state in ("FAILED", "PRUNED", "RUNNING"):
        count = sum(trial.state == state for trial in trials)
        if count:
            parts.append(f"{count} {going_on if state == 'RUNNING' else state.lower()}")
    yet = " yet" if any(trial.state == "RUNNING" for trial in trials) else ""
    sentence = f"No answer{yet}: no trial has finished ({', '.join(parts)})."
    failed = next((trial for trial in trials if trial.state == "FAILED"), None)
    if failed is None:
        return sentence
    # an error of a library ends without a full stop, and more sentences may follow
    reason = textwrap.shorten(failed.reason, _LONGEST_REASON).rstrip(".")
    return f"{sentence} Trial {failed.number} failed first: {reason}."


def _since(test: TestScores, trials: Sequence[Trial]) -> str:
    """Counts the trials that started after the last opening of the test set.

    The answer of a run that is being extended does not include them.
    """
    later = sum(trial.started > test.opened for trial in trials)
    if not later:
        return ""
    count = wording.counted(later, "trial")
    return f"Not part of this answer: {count} that started after the test set was opened."


def _offers(trials: Sequence[Trial], sweep: LoadedSweep) -> str:
    """The costs of accuracy: "with 20 real images 0.25 mAP, with 80 0.33"."""
    pareto = front(trials, sweep)
    if pareto is None:
        return ""
    shown = _thin_out(pareto.efficient)
    distinct = {f"{offer.value:.2f}" for offer in shown}
    digits = 2 if len(distinct) == len(shown) else 3
    parts = []
    for k, offer in enumerate(shown):
        score = wording.number(offer.value, digits)
        if k == 0:
            pairs = zip(pareto.costs, offer.costs, strict=True)
            costs = " and ".join(names.cost(name, value) for name, value in pairs)
            parts.append(f"with {costs} {score} mAP")
        else:
            costs = " and ".join(f"{cost:.0f}" for cost in offer.costs)
            parts.append(f"with {costs} {score}")
    left_out = len(pareto.efficient) - len(shown)
    more = f" ({left_out} more on the Pareto front)" if left_out else ""
    return f"On validation, by one training each: {', '.join(parts)}{more}."


def _thin_out(offers: Sequence[Offer]) -> list[Offer]:
    """At most `_MOST_OFFERS` offers, evenly spaced, with the first and the last."""
    if len(offers) <= _MOST_OFFERS:
        return list(offers)
    return [offers[i * (len(offers) - 1) // (_MOST_OFFERS - 1)] for i in range(_MOST_OFFERS)]


def _in_sentence(line: TestLine) -> str:
    if line.best:
        return "the best recipe"
    return f"the recipe of trial {line.trial}" if line.is_searched else line.name


def _reaches(best: TestLine) -> str:
    return f"the best recipe — {_recipe(best)} — reaches {_map(best)}"


def _recipe(line: TestLine) -> str:
    """A recipe in words; a variant has its name, for its mix may be that of the others."""
    return line.name if line.is_variant else line.recipe


def _map(line: TestLine) -> str:
    """Such as: 0.31 mAP [0.27, 0.35] (3 seeds)."""
    score = line.scores[MAP]
    value, _, interval = score.text(wording.decimals(score.value)).partition(" ")
    trained = f" ({words.seeds([len(line.seeds)])})" if line.confirmed else ""
    return f"{value} mAP {interval}".rstrip() + trained


def _gaps(differences: Mapping[RowKey, Difference]) -> str:
    """Such as: ; 0.06 [0.03, 0.09] above real only (P = 0.99)."""
    gaps = []
    for key, difference in differences.items():
        gaps.append(words.gap(difference, names.display_name(key)))
    return f"; {', '.join(gaps)}" if gaps else ""


def _scores(others: Sequence[TestLine], best: TestLine) -> str:
    """Such as: ; real only: 0.29 [0.25, 0.33]. It has as many decimals as the best recipe."""
    digits = wording.decimals(best.scores[MAP].value)
    return "".join(f"; {line.name}: {line.scores[MAP].text(digits)}" for line in others)


def _validation(line: TestLine) -> str:
    """Such as: 0.310 ± 0.004."""
    error = "" if line.error is None else f" ± {wording.number(line.error)}"
    return wording.number(line.validation) + error
