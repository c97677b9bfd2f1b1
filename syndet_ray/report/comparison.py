"""Comparison: the conclusion of several runs side by side, in sentences."""

from itertools import count

from syndet_ray import wording
from syndet_ray.analysis.compare import ComparedRun, Comparison
from syndet_ray.metrics import MAP
from syndet_ray.report import words
from syndet_ray.spread import LEAST_IMAGES


def sentences(comparison: Comparison) -> list[str]:
    """Compares the best recipe of every run with the first run's, and says how far that goes.

    Runs have the letters of the tables.
    """
    first, *others = comparison.runs
    pairs = [_sentence(first, other, comparison.where) for other in others]
    lines = [_too_few(comparison)] if comparison.too_few else pairs
    once = [run.letter for run in comparison.runs if not run.best.line.confirmed]
    if once:
        unknown = "The spread between seeds is unknown, because the score comes from one training"
        lines.append(f"{unknown}: {', '.join(once)}.")
    lines += comparison.copies
    if comparison.stand_in:
        lines.append(words.STAND_IN)
    return lines


def _too_few(comparison: Comparison) -> str:
    scores = ", ".join(_score(run) for run in comparison.runs)
    rule = f"so few cannot tell recipes apart: that takes {LEAST_IMAGES} or more"
    return f"On the same {comparison.where}: {scores}; {rule}."


def _score(run: ComparedRun) -> str:
    return f"{run.letter} {run.best.line.scores[MAP].text()} mAP"


def _sentence(first: ComparedRun, other: ComparedRun, where: str) -> str:
    gap = other.above_first
    if gap is None:
        scores = f"{_score(first)}, {_score(other)}"
        reason = _why_unpaired(first, other)
        return f"On the same {where}: {scores}; no paired interval, because {reason}."
    if gap.low <= 0 <= gap.high:
        difference = f"{wording.signed(gap.mean)} mAP [{gap.low:.3f}, {gap.high:.3f}]"
        pair = f"{other.letter} and {first.letter}"
        return f"{pair} do not differ significantly on the same {where}: {difference}."
    won, lost, sign = (other, first, 1) if gap.mean > 0 else (first, other, -1)
    low, high = sorted((sign * gap.low, sign * gap.high))
    # A bound that rounds to 0 would contradict "beats".
    digits = next(digits for digits in count(2) if round(low, digits) > 0)
    difference = f"{sign * gap.mean:.{digits}f} mAP [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{won.letter} beats {lost.letter} by {difference} on the same {where}."


def _why_unpaired(first: ComparedRun, other: ComparedRun) -> str:
    without = " and ".join(run.letter for run in (first, other) if not run.has_draws)
    if without:
        return f"{without} kept no draws"
    if first.best.line.confirmed or other.best.line.confirmed:
        return "their draws were not made in the same way"
    return "each score comes from one training, and with other seeds the order might change"
