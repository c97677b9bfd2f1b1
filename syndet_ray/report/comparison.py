"""Comparison: what can be said of several runs side by side, in sentences."""

from itertools import count

from syndet_ray import wording
from syndet_ray.analysis.compare import METRIC, ComparedRun, Comparison
from syndet_ray.report import words
from syndet_ray.spread import LEAST_IMAGES


def sentences(found: Comparison) -> list[str]:
    """What can be said of the best recipe of every run against the first run's; and how far that
    goes.
    """
    first, *others = found.runs
    said = (
        [_too_few(found)]
        if found.too_few
        else [_sentence(first, other, found.where) for other in others]
    )
    once = [run.name for run in found.runs if not run.best.line.confirmed]
    if once:
        said.append(
            f"Trained once, so that the spread between seeds is unknown: {', '.join(once)}."
        )
    said += found.copies
    if found.stand_in:
        said.append(words.STAND_IN)
    return said


def _too_few(found: Comparison) -> str:
    scores = ", ".join(_score(run) for run in found.runs)
    return f"On the same {found.where}: {scores}; so few cannot tell recipes apart: that takes {LEAST_IMAGES} or more."


def _score(run: ComparedRun) -> str:
    return f"{run.name} {run.best.line.scores[METRIC].text()} mAP"


def _sentence(first: ComparedRun, other: ComparedRun, where: str) -> str:
    gap = other.above_first
    if gap is None:
        scores = f"{_score(first)}, {_score(other)}"
        return f"On the same {where}: {scores}; no paired interval, because {_why_unpaired(first, other)}."
    if gap.low <= 0 <= gap.high:
        told = f"{wording.signed(gap.mean)} mAP [{gap.low:.3f}, {gap.high:.3f}]"
        return f"{other.name} and {first.name} cannot be told apart on the same {where}: {told}."
    won, lost, sign = (other, first, 1) if gap.mean > 0 else (first, other, -1)
    low, high = sorted((sign * gap.low, sign * gap.high))
    # A bound that rounds to 0 would take its word back.
    digits = next(digits for digits in count(2) if round(low, digits) > 0)
    told = f"{sign * gap.mean:.{digits}f} mAP [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{won.name} beats {lost.name} by {told} on the same {where}."


def _why_unpaired(first: ComparedRun, other: ComparedRun) -> str:
    without = " and ".join(run.name for run in (first, other) if not run.has_draws)
    if without:
        return f"{without} kept no draws"
    is_once = not first.best.line.confirmed and not other.best.line.confirmed
    return (
        "each was trained once, and another seed might turn it round"
        if is_once
        else "their draws were not made alike"
    )
