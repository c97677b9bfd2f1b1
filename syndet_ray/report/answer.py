"""Answer: what a run has found, in a few sentences that are no more certain than its test set
allows.
"""

import textwrap
from collections.abc import Mapping, Sequence

from syndet_ray import wording
from syndet_ray.analysis.response import Offer, front
from syndet_ray.analysis.selection import finalists, missing_seeds, unconfirmed
from syndet_ray.analysis.tables import TestLine, VariantLine, test_lines, variant_lines
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.report import words
from syndet_ray.runs import names
from syndet_ray.runs.metrics import MAP
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.runs.run import Run
from syndet_ray.spread import LEAST_IMAGES, Difference

_MOST_OFFERS = 4  # of a Pareto front that a sentence can hold
_MOST_VARIANTS = 5  # that a sentence can hold
_ONCE = "Each was trained once: the spread between seeds is unknown."
_ANEW_ONCE = "Each was trained anew from a single seed: the spread between seeds is unknown."
_COUNTS_ONCE = "Each counts by a single training: the spread between seeds is unknown."
_ALL_DIVERGED = (
    "No answer: every training anew of the best recipes diverged, so that the test set stayed shut. Search lower values of "
    "training.learning_rate."
)
_LEARNED = 0.01  # mAP; a recipe below it finds nothing, as the threshold pruner has it by default
_NO_CONTROL = "No real-only control was tested: whether synthetic images helped cannot be told."


def answer(run: Run) -> str:
    """The sweep's answer, with its interval."""
    trials, test, sweep = run.trials, run.test, run.sweep
    if test is not None:
        lines = test_lines(test, trials)
        said = _answered(lines, variant_lines(run), test, trials)
        said += [_diverged(lines), _lost(lines, test, trials, sweep), _since(test, trials)]
    else:
        said = [_so_far(trials, sweep)]
    if test is not None and not test.is_too_small:
        said += [words.few_validation_images(run.about)]
    said += [
        _offers(trials, sweep),
        names.near_copies_caveat(run.about),
        words.STAND_IN if run.stand_in else "",
    ]
    return " ".join(sentence for sentence in said if sentence)


def _answered(
    lines: Sequence[TestLine],
    variants: Sequence[VariantLine],
    test: TestScores,
    trials: Sequence[Trial],
) -> list[str]:
    """What the test set says."""
    best, place = next(line for line in lines if line.best), names.test_set_name(test)
    if test.openings > 1:
        place += f" ({names.openings(test)})"
    if test.is_too_small:
        return [_too_few(best, lines, test, place)]
    if all(max(line.validation, line.scores[MAP].value) < _LEARNED for line in lines):
        return [_nothing_learned(lines, place)]
    confirmed = any(line.confirmed for line in lines)
    # then recipes were compared as they stand, and none was sought
    compared = bool(variants) and not best.is_searched
    controlled = any(line.is_control for line in lines)
    said = []
    if controlled or not compared:
        said += (
            _confirmed(best, lines, place)
            if confirmed
            else _trained_once(best, lines, place, trials)
        )
    if compared:
        said += _ablation(variants, "Of the variants" if controlled else f"On {place}")
    if compared and not controlled and best.name != variants[0].name:
        said += [f"Best on validation is {best.name}, with {_map(best)}."]
    return [*said, _simplest(best, lines), _uneven(lines) if confirmed else _once(lines)]


def _too_few(best: TestLine, lines: Sequence[TestLine], test: TestScores, place: str) -> str:
    """The scores as they are, and that nothing follows from them."""
    digits = wording.decimals(best.scores[MAP].value)
    values = {line.name: wording.number(line.scores[MAP].value, digits) for line in lines}
    others = "".join(f"; {name} {value}" for name, value in values.items() if name != best.name)
    photos = "stand-in images" if test.stand_in else "photos"
    if test.with_objects is not None and test.with_objects < test.images:
        photos += " with an object"
    why = f"so few {photos} cannot tell recipes apart: that takes {LEAST_IMAGES} or more"
    return f"No answer: {why}. On {place} {_recipe(best)}, the best on validation, reaches {values[best.name]} mAP{others}."


def _nothing_learned(lines: Sequence[TestLine], place: str) -> str:
    """That no recipe is better than another where none finds anything."""
    highest = max(line.scores[MAP].value for line in lines)
    reached = f"on {place} the highest of {wording.counted(len(lines), 'recipe')} is {wording.number(highest)} mAP"
    return f"No answer: no recipe has learned to find anything; {reached}. Train longer (training.images)."


def _once(lines: Sequence[TestLine]) -> str:
    """That nothing is known of the spread between seeds."""
    if all(line.anew for line in lines):
        return _ANEW_ONCE
    return _COUNTS_ONCE if any(line.anew for line in lines) else _ONCE


def _confirmed(best: TestLine, lines: Sequence[TestLine], place: str) -> list[str]:
    """The winner against the controls, by paired differences over images and seeds."""
    real = next((line for line in lines if line.role == "real_only"), None)
    if best.trial_name == "real_only":
        reached = f"on {place} it reaches {_map(best)}{_gaps(best.differences)}"
        if all(line.is_control for line in lines):
            return [f"No answer: no searched recipe was confirmed. Of real only: {reached}."]
        return [f"Use real data only: {reached}.", _behind(best, lines)]
    found = best.differences.get("real_only")
    if real is None or found is None:
        return [f"On {place} {_told(best)}{_gaps(best.differences)}.", _NO_CONTROL]
    unsure = "" if found.low > 0 or found.high < 0 else "The interval includes 0: "
    if found.mean <= 0:
        won = f"the recipe that won on validation — {_recipe(best)} — reaches {_map(best)}"
        said = f"Use real data only: on {place} it reaches {_map(real)}; {won}, {words.gap(found, 'real only')}."
        return [
            said,
            unsure and f"{unsure}the two cannot be told apart, and real only is the simpler.",
        ]
    use = "Use real data only: on" if best.synthetic == 0 else "On"
    said = f"{use} {place} {_told(best)}{_gaps(best.differences)}."
    return [said, unsure and f"{unsure}this run cannot tell the best recipe from real only."]


def _simplest(best: TestLine, lines: Sequence[TestLine]) -> str:
    """The recipe to take where another one costs less thought and, for all that validation can say,
    is as good.
    """
    plain = next((line for line in lines if line.simplest), best)
    if plain is best:
        return ""
    name = f"{plain.recipe} (trial {plain.trial})" if plain.is_searched else plain.name
    return f"Within one standard error on validation, and simpler: {name}."


def _uneven(lines: Sequence[TestLine]) -> str:
    """Which recipes were trained less often than others."""
    counts = {line.name: len(line.seeds) or 1 for line in lines}
    fewer = {name: count for name, count in counts.items() if count < max(counts.values())}
    if not fewer:
        return ""
    told = ", ".join(f"{name} {count}" for name, count in fewer.items())
    known = max(len(line.seeds) - line.diverged for line in lines) > 1
    spread = "that of the others" if known else "unknown and left out"
    single = (
        f" (the spread between seeds of a single one is {spread})" if 1 in fewer.values() else ""
    )
    return f"Not all have {max(counts.values())} finished trainings: {told}{single}."


def _diverged(lines: Sequence[TestLine]) -> str:
    """Which recipes do not always train: their scores are low for that."""
    counts = [
        f"{line.name} {line.diverged} of {max(len(line.seeds), 1)}"
        for line in lines
        if line.diverged
    ]
    return f"Trainings that diverged count as 0 mAP: {', '.join(counts)}." if counts else ""


def _lost(
    lines: Sequence[TestLine], test: TestScores, trials: Sequence[Trial], sweep: LoadedSweep
) -> str:
    """Which recipes were good enough to be trained anew, and are not compared because every such
    training failed.
    """
    before = [trial for trial in trials if trial.started <= test.opened]
    failed = {trial.of for trial in before if trial.of is not None and trial.state == "FAILED"}
    compared = {line.trial for line in lines}
    lost = [
        trial.number
        for trial in finalists(before, sweep.confirm.top)
        if trial.number in failed - compared
    ]
    if not lost:
        return ""
    numbers = " and ".join(str(number) for number in lost)
    noun = "trial" if len(lost) == 1 else "trials"
    return f"Not compared, because every training of theirs anew failed: the recipes of {noun} {numbers}."


def _behind(real: TestLine, lines: Sequence[TestLine]) -> str:
    """How far all others stayed behind real only, on validation, where they were compared."""
    others = [line for line in lines if not line.is_control]
    second = max(others, key=lambda line: line.validation)
    what, verb = ("variant", "tested") if second.is_variant else ("searched recipe", "confirmed")
    told = f"the best of {len(others)} {verb} had {_validation(second)} against {_validation(real)} mAP"
    return f"No {what} did better on validation: {told}."


def _trained_once(
    best: TestLine, lines: Sequence[TestLine], place: str, trials: Sequence[Trial]
) -> list[str]:
    """The best recipe beside the controls, where a single training of each must do."""
    others = [line for line in lines if line is not best]
    real = next((line for line in others if line.role == "real_only"), None)
    if best.trial_name == "real_only":
        reached = f"on {place} it reaches {_map(best)}{_beside(best, others)}"
        is_alone = all(line.is_control for line in lines)
        behind = _behind(best, lines) if best.anew and not is_alone else _behind_once(best, trials)
        if not behind:
            return [f"No answer: {_none_of(trials)} finished. Of real only: {reached}."]
        return [f"Use real data only: {reached}.", behind]
    if real is None:
        return [f"On {place} {_told(best)}{_beside(best, others)}.", _NO_CONTROL]
    if real.scores[MAP].value >= best.scores[MAP].value:
        beside = _beside(best, [line for line in others if line is not real])
        return [
            f"Use real data only: on {place} it reaches {_map(real)}; {_told(best)}{beside}.",
            _apart(best, real),
        ]
    use = "Use real data only: on" if best.synthetic == 0 else "On"
    return [f"{use} {place} {_told(best)}{_beside(best, others)}.", _apart(best, real)]


def _rivals(trials: Sequence[Trial]) -> tuple[list[Trial], str, int]:
    """The trials of all but controls, what one of their recipes is called, and how many recipes
    these are.
    """
    rivals = [trial for trial in trials if trial.role in ("variant", "search")]
    what = "variant" if any(trial.role == "variant" for trial in rivals) else "searched recipe"
    return rivals, what, len({trial.name or trial.number for trial in rivals})


def _none_of(trials: Sequence[Trial]) -> str:
    """none of the 3 searched recipes"""
    _, what, count = _rivals(trials)
    return f"none of the {wording.counted(count, what)}"


def _behind_once(real: TestLine, trials: Sequence[Trial]) -> str:
    """How far all others stayed behind real only, on validation; "" where none finished."""
    rivals, what, count = _rivals(trials)
    second = next(iter(unconfirmed(rivals)), None)
    if second is None:
        return ""
    gap = f"{wording.number(second.mean)} against {wording.number(real.validation)} mAP"
    return f"No {what} did better on validation: the best of {count} had {gap}."


def _apart(best: TestLine, real: TestLine) -> str:
    """What the intervals of the best recipe and of real only say about their difference."""
    diverged = [line.name for line in (best, real) if line.diverged]
    if diverged:
        return (
            f"The only training of {' and of '.join(diverged)} diverged: the two are not compared."
        )
    a, b = best.scores[MAP], real.scores[MAP]
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return "Without intervals, this run cannot tell the two apart."
    if a.low > b.high or b.low > a.high:
        return "Their intervals do not overlap."
    simpler = ", and real only is the simpler recipe" if b.value >= a.value else ""
    return f"The intervals overlap: this run cannot tell the best recipe from real only{simpler}."


def _ablation(lines: Sequence[VariantLine], where: str) -> list[str]:
    """What each variant gains or costs against the first, and how far that can be trusted."""
    first, digits = lines[0], wording.decimals(max(line.score.value for line in lines))
    value, _, interval = first.score.text(digits).partition(" ")
    trained = f" ({words.seeds([len(first.seeds)])})" if len(first.seeds) > 1 else ""
    said = f"{where} {first.name} reaches {f'{value} mAP {interval}'.rstrip()}{trained}"
    found = {line.name: line.difference.mean for line in lines[1:] if line.difference is not None}
    if not found:
        return [f"{said}."]
    apart = [line.name for line in lines if line.apart]
    if len(found) > _MOST_VARIANTS:
        told = (
            ", ".join(f"{name} {wording.signed(found[name], digits)}" for name in apart) or "none"
        )
        return [
            f"{said}; of {len(found)} others these differ from it by more than their interval: {told}."
        ]
    told = ", ".join(f"{name} {wording.signed(mean, digits)}" for name, mean in found.items())
    sure = (
        f"Beyond the intervals: {', '.join(apart)}."
        if apart
        else "No difference is beyond its interval."
    )
    return [f"{said}; against it {told}.", sure]


def _so_far(trials: Sequence[Trial], sweep: LoadedSweep) -> str:
    """Where a run stands whose test set is still shut."""
    best = next(iter(unconfirmed(trials)), None)
    if best is None:
        return _none_finished(trials)
    is_variant = best.trial.role == "variant"
    name = best.trial.name if is_variant else names.recipe_words(best.trial)
    ahead = f"{name}, {wording.number(best.mean)} mAP"
    said = f"No answer yet: the test set has not been opened. Best on validation so far: {ahead}."
    again = [trial for trial in trials if trial.role == "confirmation"]
    if not again:
        return said
    ended = sum(trial.state != "RUNNING" and trial.cause != "lost" for trial in again)
    missing = [
        missing_seeds(trial, trials, sweep) for trial in finalists(trials, sweep.confirm.top)
    ]
    running = sum(trial.state == "RUNNING" for trial in again)
    wanted = ended + running + sum(len(seeds) for seeds in missing)
    if wanted == ended and all(trial.diverged for trial in again if trial.cause != "lost"):
        return _ALL_DIVERGED
    return f"{said} The best are being trained anew: {ended} of {wanted} trainings have ended."


def _none_finished(trials: Sequence[Trial]) -> str:
    if not trials:
        return "No answer: no trial was started."
    counts = {
        state: sum(trial.state == state for trial in trials)
        for state in ("FAILED", "PRUNED", "RUNNING")
    }
    told = ", ".join(f"{count} {state.lower()}" for state, count in counts.items() if count)
    yet = " yet" if counts["RUNNING"] else ""
    said = f"No answer{yet}: of {len(trials)} trials none has finished ({told})."
    failed = next((trial for trial in trials if trial.state == "FAILED"), None)
    if failed is None:
        return said
    return f"{said} The first to fail, trial {failed.number}, said: {textwrap.shorten(failed.reason, 300)}"


def _since(test: TestScores, trials: Sequence[Trial]) -> str:
    """A run that is being extended answers by the last opening, which knew nothing of what came
    after.
    """
    later = sum(trial.started > test.opened for trial in trials)
    return (
        f"Begun since the test set was opened, and no part of this: {wording.counted(later, 'trial')}."
        if later
        else ""
    )


def _offers(trials: Sequence[Trial], sweep: LoadedSweep) -> str:
    """What accuracy costs: "with 20 real images 0.25 mAP, with 80 0.33"."""
    found = front(trials, sweep)
    if found is None:
        return ""
    shown = _thinned(found.efficient)
    digits = 2 if len({f"{offer.value:.2f}" for offer in shown}) == len(shown) else 3
    first = " and ".join(
        names.cost(name, value) for name, value in zip(found.costs, shown[0].costs, strict=True)
    )
    told = [f"with {first} {wording.number(shown[0].value, digits)} mAP"]
    told += [
        f"with {' and '.join(f'{c:.0f}' for c in x.costs)} {wording.number(x.value, digits)}"
        for x in shown[1:]
    ]
    left_out = len(found.efficient) - len(shown)
    more = f" ({left_out} more on the Pareto front)" if left_out else ""
    return f"On validation, each trained once: {', '.join(told)}{more}."


def _thinned(offers: Sequence[Offer]) -> list[Offer]:
    """A few of many, the first and the last among them."""
    if len(offers) <= _MOST_OFFERS:
        return list(offers)
    return [offers[i * (len(offers) - 1) // (_MOST_OFFERS - 1)] for i in range(_MOST_OFFERS)]


def _told(best: TestLine) -> str:
    return f"the best recipe — {_recipe(best)} — reaches {_map(best)}"


def _recipe(line: TestLine) -> str:
    """What a recipe is; a variant is what it is called, for what sets it apart may be no part of a
    mix.
    """
    return line.name if line.is_variant else line.recipe


def _map(line: TestLine) -> str:
    """0.31 mAP [0.27, 0.35] (3 seeds)"""
    score = line.scores[MAP]
    value, _, interval = score.text(wording.decimals(score.value)).partition(" ")
    trained = f" ({words.seeds([len(line.seeds)])})" if line.confirmed else ""
    return f"{value} mAP {interval}".rstrip() + trained


def _gaps(differences: Mapping[str, Difference]) -> str:
    told = ", ".join(
        words.gap(found, names.role_name(control)) for control, found in differences.items()
    )
    return f"; {told}" if told else ""


def _beside(best: TestLine, others: Sequence[TestLine]) -> str:
    digits = wording.decimals(best.scores[MAP].value)
    return "".join(f"; {line.name} {line.scores['mAP'].text(digits)}" for line in others)


def _validation(line: TestLine) -> str:
    """0.310 ± 0.004"""
    return wording.number(line.validation) + (
        "" if line.error is None else f" ± {wording.number(line.error)}"
    )
