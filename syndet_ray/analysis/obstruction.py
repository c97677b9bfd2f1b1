"""Obstruction: accuracy on objects that are more and more hidden, on the test set, as plain values
and in words.
"""

from dataclasses import dataclass

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.tables import Score, TestLine, test_lines
from syndet_ray.data.visibility import Bin, Visibility
from syndet_ray.runs.metrics import AP_VISIBLE, RECALL_VISIBLE, SLOPE
from syndet_ray.runs.run import Run
from syndet_ray.wording import counted, signed


@dataclass(frozen=True, kw_only=True)
class Place:
    """A recipe in one bin. obstruction: mean of 1 - visibility of the bin's objects."""

    recipe: str
    trial: int
    bin: Bin
    obstruction: float
    accuracy: Score


def places(run: Run, kind: str) -> list[Place]:
    """AP ("AP_visible") or recall ("recall_visible") of the recipes of the test set, bin by bin;
    refused bins are left out.
    """
    test = run.test
    if test is None or test.visibility is None:
        return []
    scored = [
        held
        for held in test.visibility.bins
        if held.objects >= test.visibility.minimum and held.mean is not None
    ]
    return [
        Place(
            recipe=line.name,
            trial=line.trial,
            bin=held,
            obstruction=1 - held.mean,
            accuracy=line.scores[f"{kind}/{held.name}"],
        )
        for line in chosen_lines(run)
        for held in scored
        if held.mean is not None and f"{kind}/{held.name}" in line.scores
    ]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A bin or a quantile in the table of the best recipe.

    AP and recall are None where it is refused or was not scored.
    """

    name: str
    bin: Bin
    refused: bool
    ap: Score | None
    recall: Score | None


def groups(run: Run) -> list[Group]:
    """The bins of equal width, then the quantiles, which tell more where few of those are filled:
    of estimates above all.
    """
    test = run.test
    if test is None or test.visibility is None:
        return []
    seen = test.visibility
    best = next(line for line in test_lines(test, run.trials) if line.best)
    named = [(f"bin {k}", held.name, held) for k, held in enumerate(seen.bins, 1)]
    named += [(f"quantile {k}", f"q{k}", held) for k, held in enumerate(seen.quantiles, 1)]
    return [_group(name, key, held, seen, best) for name, key, held in named]


def summary(run: Run) -> list[str]:
    """What the figures say, in sentences; the first says how visibility is known."""
    test = run.test
    if test is None or test.visibility is None:
        return []
    seen = test.visibility
    known = (
        "Visibility was measured: it came with the data."
        if seen.kind == "measured"
        else "Visibility is an estimate: the data do not tell it, and of two boxes that overlap each is taken to hide half."
    )
    return [known, *_refused(seen), *_slopes(seen, run)]


def _group(name: str, key: str, held: Bin, seen: Visibility, best: TestLine) -> Group:
    refused = held.objects < max(seen.minimum, 1)
    ap, recall = (
        None if refused else best.scores.get(f"{kind}/{key}")
        for kind in (AP_VISIBLE, RECALL_VISIBLE)
    )
    return Group(name=name, bin=held, refused=refused, ap=ap, recall=recall)


def _refused(seen: Visibility) -> list[str]:
    few = [held for held in seen.bins if held.objects < seen.minimum]
    if not few:
        return []
    told = ", ".join(f"{held.name}: {counted(held.objects, 'object')}" for held in few)
    return [
        f"Too few objects for a score, at least {seen.minimum} are needed, with visibility {told}."
    ]


def _slopes(seen: Visibility, run: Run) -> list[str]:
    """How fast each recipe loses accuracy, per 10 % of an object that is hidden.

    AP falls also because false alarms weigh more in a bin with few objects; recall knows none.
    """
    # Runs that did not count the objects of each class had slopes through the bins as a whole.
    within = ", within classes" if seen.class_objects else ""
    found = {name: _slope_of_each(name, run) for name in ("AP", "recall")}
    told = [
        f"{name[0].upper()}{name[1:]} for every 10 % more of an object that is hidden{within}: {'; '.join(slopes)}."
        for name, slopes in found.items()
        if slopes
    ]
    nothing = "With no class that has objects in two bins, nothing can be said of how accuracy falls with obstruction."
    return told or [nothing]


def _slope_of_each(name: str, run: Run) -> list[str]:
    found = []
    for line in chosen_lines(run):
        slope = line.scores.get(f"{SLOPE}{name}")
        if slope is not None and slope.low is not None and slope.high is not None:
            low, high = signed(slope.low / 10), signed(slope.high / 10)
            found.append(f"{line.name} {signed(slope.value / 10)} [{low}, {high}]")
    return found
