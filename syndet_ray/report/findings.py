"""Findings: sentences on obstruction and on the value of synthetic images in photos."""

from collections.abc import Sequence

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.exchange import PhotoValue, exchange, exchange_points, with_others_photos
from syndet_ray.analysis.tables import TestLine
from syndet_ray.data.visibility import Visibility
from syndet_ray.metrics import SLOPE
from syndet_ray.runs.run import Run
from syndet_ray.spread import LEAST_IMAGES
from syndet_ray.wording import counted, signed

_MEASURED = "Visibility was measured: it came with the data."
_ESTIMATED = (
    "Visibility is an estimate, because the data do not contain it: "
    "if other boxes cover a part of an object's box, half of that part counts as hidden."
)
_NO_SLOPE = (
    "No class has objects in two bins, so this run does not show how accuracy changes with "
    "obstruction."
)
_OPEN = "the interval is open at both ends"


def obstruction_sentences(run: Run) -> list[str]:
    """Sentences on the obstruction figures; the first says how visibility is known."""
    test = run.test
    if test is None or test.visibility is None:
        return []
    visibility = test.visibility
    source = _MEASURED if visibility.kind == "measured" else _ESTIMATED
    return [source, *_refused_bins(visibility), *_slopes(visibility, chosen_lines(run))]


def _refused_bins(visibility: Visibility) -> list[str]:
    bins = []
    for bin in visibility.bins:
        if bin.objects < visibility.minimum:
            bins.append(f"{bin.name}: {counted(bin.objects, 'object')}")
    if not bins:
        return []
    rule = f"at least {visibility.minimum} are needed"
    return [f"Too few objects for a score ({rule}) with visibility {', '.join(bins)}."]


def _slopes(visibility: Visibility, lines: Sequence[TestLine]) -> list[str]:
    """The change of accuracy of each recipe for every 10 % of an object that is hidden.

    AP falls also because false alarms weigh more in a bin with few objects; recall does not.
    """
    # Runs that did not count the objects of each class had slopes through the bins as a whole.
    within = ", within classes" if visibility.class_objects else ""
    sentences = []
    for metric in ("AP", "recall"):
        slopes = [_slope(line, metric) for line in lines]
        listing = "; ".join(slope for slope in slopes if slope)
        if listing:
            step = "for every 10 % more of an object that is hidden"
            sentences.append(f"Change of {metric} {step}{within}: {listing}.")
    return sentences or [_NO_SLOPE]


def _slope(line: TestLine, metric: str) -> str:
    """best recipe -0.031 [-0.041, -0.021]; "" if it was not computed."""
    slope = line.scores.get(f"{SLOPE}{metric}")
    if slope is None or slope.low is None or slope.high is None:
        return ""
    value, low, high = (signed(v / 10) for v in (slope.value, slope.low, slope.high))
    return f"{line.name} {value} [{low}, {high}]"


def exchange_sentences(run: Run) -> list[str]:
    """A sentence for each tested recipe with synthetic images, or the reason why there is none."""
    test = run.test
    if test is None:
        return ["Not measured: the test set has not been opened."]
    if test.is_too_small:
        needed = f"at least {LEAST_IMAGES} test images are needed"
        return [f"Not measured: {needed}; there are {test.images}."]
    values = exchange(exchange_points(run))
    noun = "stand-in image" if run.stand_in else "photo"
    sentences, unknown = [], []
    for photo_value in values.photo_values:
        name = photo_value.recipe.name
        if photo_value.is_bounded:
            sentences.append(f"{name}: {exchange_sentence(photo_value, noun)}")
        else:
            unknown.append(name)
    if unknown:
        sentences.append(f"Unknown, because {_OPEN}: {'; '.join(unknown)}.")
    if not sentences:
        sentences.append(f"Not measured: {values.reason}.")
    left_out = with_others_photos(run)
    if left_out:
        names = "; ".join(left_out)
        sentences.append(f"Left out, because they were also trained on photos of others: {names}.")
    return sentences


def exchange_sentence(photo_value: PhotoValue, noun: str = "photo") -> str:
    """With 16 photos, 400 synthetic images are worth 31 more photos [12, 60]."""
    recipe = photo_value.recipe
    images = counted(recipe.synthetic, "synthetic image")
    subject = f"{images} alone"
    if recipe.photos:
        subject = f"With {counted(recipe.photos, noun)}, {images}"
    verb = "is" if recipe.synthetic == 1 else "are"
    if not photo_value.is_bounded:
        return f"{subject}: the value is unknown, because {_OPEN}."
    if photo_value.high is not None and photo_value.high < 0:
        return f"{subject} {verb} worth less than none: {_cost(photo_value, noun)}."
    return f"{subject} {verb} worth {_amount(photo_value, noun)}."


def _amount(photo_value: PhotoValue, noun: str) -> str:
    """31 more photos [12, 60]; at least 12 more photos (31 by the scores themselves); at most -3
    photos.
    """
    value, low, high = (_round(v) for v in (photo_value.value, photo_value.low, photo_value.high))
    more = "more " if photo_value.recipe.photos else ""
    if value is not None and low is not None and high is not None:
        return f"{_photos(value, more, noun)} [{low}, {high}]"
    if value is not None:
        remark = f"{value} by the scores themselves"
    elif high is None:
        remark = "real only never reaches its score"
    else:
        remark = "real only starts above its score"
    if low is None:
        assert high is not None
        return f"at most {_photos(high, more, noun)} ({remark})"
    upper = "" if high is None else f" and at most {high}"
    return f"at least {_photos(low, more, noun)}{upper} ({remark})"


def _cost(photo_value: PhotoValue, noun: str) -> str:
    """they lower the score as much as 57 photos fewer would [41, 92]; for `high` below 0."""
    assert photo_value.high is not None
    least = round(-photo_value.high)
    if photo_value.low is None or photo_value.value is None:
        return f"they lower the score at least as much as {counted(least, noun)} fewer would"
    fewer = counted(round(-photo_value.value), noun)
    interval = f"[{least}, {round(-photo_value.low)}]"
    return f"they lower the score as much as {fewer} fewer would {interval}"


def _round(count: float | None) -> int | None:
    return None if count is None else round(count)


def _photos(count: int, more: str, noun: str) -> str:
    plural = "" if count == 1 else "s"
    return f"{count} {more if count >= 0 else ''}{noun}{plural}"
