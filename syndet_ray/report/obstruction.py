"""Obstruction: accuracy on objects that are more and more hidden, on the test set, as plain values and in words."""

from dataclasses import dataclass

from syndet_ray.data.visibility import Bin, Visibility
from syndet_ray.report.tables import Score, test_lines
from syndet_ray.report.words import counted, signed
from syndet_ray.results import RunFolder, TestScores

MOST_RECIPES = 5  # of more, curves would be a tangle


@dataclass(frozen=True)
class Place:
    """A recipe in one bin. obstruction: mean of 1 - visibility of the bin's objects."""

    recipe: str
    trial: int
    bin: Bin
    obstruction: float
    accuracy: Score


def places(folder: RunFolder, kind: str) -> list[Place]:
    """AP ("AP_visible") or recall ("recall_visible") of the recipes of the test set, bin by bin; refused bins are left out."""
    test = folder.test()
    if test is None or test.visibility is None:
        return []
    scored = [
        held for held in test.visibility.bins if held.objects >= test.visibility.minimum and held.mean is not None
    ]
    return [
        Place(line.name, line.trial, held, 1 - held.mean, line.scores[f"{kind}/{held.name}"])
        for line in test_lines(test, folder.trials())[:MOST_RECIPES]
        for held in scored
        if held.mean is not None and f"{kind}/{held.name}" in line.scores
    ]


def summary(folder: RunFolder) -> list[str]:
    """What the figures say, in sentences; the first says how visibility is known."""
    test = folder.test()
    if test is None or test.visibility is None:
        return []
    seen = test.visibility
    known = (
        "Visibility was measured: it came with the data."
        if seen.kind == "measured"
        else "Visibility is an estimate: the data do not tell it, and of two boxes that overlap each is taken to hide half."
    )
    return [known, *_refused(seen), *_slopes(test, folder)]


def _refused(seen: Visibility) -> list[str]:
    few = [held for held in seen.bins if held.objects < seen.minimum]
    if not few:
        return []
    told = ", ".join(f"{held.name}: {counted(held.objects, 'object')}" for held in few)
    return [f"Too few objects for a score, at least {seen.minimum} are needed, with visibility {told}."]


def _slopes(test: TestScores, folder: RunFolder) -> list[str]:
    """How fast each recipe loses accuracy, per 10 % of an object that is hidden."""
    found = []
    for line in test_lines(test, folder.trials())[:MOST_RECIPES]:
        slope = line.scores.get("slope/AP")
        if slope is not None and slope.low is not None and slope.high is not None:
            low, high = signed(slope.low / 10), signed(slope.high / 10)
            found.append(f"{line.name} {signed(slope.value / 10)} [{low}, {high}]")
    if not found:
        return ["With objects in fewer than two bins, nothing can be said of how accuracy falls with obstruction."]
    return [f"AP for every 10 % more of an object that is hidden: {'; '.join(found)}."]
