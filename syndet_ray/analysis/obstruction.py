"""Obstruction: accuracy on objects that are more and more hidden, on the test set, as numbers."""

from dataclasses import dataclass

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.tables import Score, TestLine, test_lines
from syndet_ray.data.visibility import Bin, Visibility
from syndet_ray.metrics import AP_VISIBLE, RECALL_VISIBLE
from syndet_ray.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class BinScore:
    """A recipe in one bin. obstruction: mean of 1 - visibility of the bin's objects."""

    recipe: str
    trial: int
    bin: Bin
    obstruction: float
    accuracy: Score


def bin_scores(run: Run, kind: str) -> list[BinScore]:
    """AP (AP_VISIBLE) or recall (RECALL_VISIBLE) of the recipes of the test set, bin by bin.

    Bins with too few objects are left out.
    """
    test = run.test
    if test is None or test.visibility is None:
        return []
    visibility = test.visibility
    scores = []
    for line in chosen_lines(run):
        for bin in visibility.bins:
            accuracy = line.scores.get(f"{kind}/{bin.name}")
            if accuracy is None or bin.mean is None or bin.objects < visibility.minimum:
                continue
            score = BinScore(
                recipe=line.name,
                trial=line.trial,
                bin=bin,
                obstruction=1 - bin.mean,
                accuracy=accuracy,
            )
            scores.append(score)
    return scores


@dataclass(frozen=True, kw_only=True)
class Group:
    """A bin or a quantile in the table of the best recipe.

    AP and recall are None if it is refused or was not scored.
    """

    name: str
    bin: Bin
    refused: bool
    ap: Score | None
    recall: Score | None


def groups(run: Run) -> list[Group]:
    """The bins of equal width, then the quantiles.

    Quantiles say more if few of the bins are filled, above all of estimated visibility.
    """
    test = run.test
    if test is None or test.visibility is None:
        return []
    visibility = test.visibility
    best = next(line for line in test_lines(test, run.trials) if line.best)
    table = []
    for k, bin in enumerate(visibility.bins, 1):
        table.append(_group(f"bin {k}", bin.name, bin, visibility, best))
    for k, quantile in enumerate(visibility.quantiles, 1):
        table.append(_group(f"quantile {k}", f"q{k}", quantile, visibility, best))
    return table


def _group(name: str, key: str, bin: Bin, visibility: Visibility, best: TestLine) -> Group:
    refused = bin.objects < max(visibility.minimum, 1)
    ap = recall = None
    if not refused:
        ap = best.scores.get(f"{AP_VISIBLE}/{key}")
        recall = best.scores.get(f"{RECALL_VISIBLE}/{key}")
    return Group(name=name, bin=bin, refused=refused, ap=ap, recall=recall)
