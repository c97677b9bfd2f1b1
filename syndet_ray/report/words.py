"""Words: sentences on a run and its scores that several pages share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from syndet_ray.definitions.mix import Photos
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.runs.metrics import CAPPED_AT_100, CAPPED_AT_300, MAP_AT_300
from syndet_ray.runs.results import TestScores
from syndet_ray.spread import LEAST_IMAGES, Difference
from syndet_ray.wording import counted, number, percent, probability

STAND_IN = "Stand-in images took the place of photos: this says nothing about real photos."
SCHEDULES = "Staged: synthetic images first, then real ones. Annealed: ever fewer synthetic images."


def others_photos(recipes: Iterable[Recipe]) -> str:
    """What the synthetic share of recipes counts beside scenes, in a sentence; "" where that is
    nothing.
    """
    names: dict[str, None] = {}
    for recipe in recipes:
        names |= {
            name: None for name, source in recipe.mix.sources.items() if isinstance(source, Photos)
        }
    return (
        f"The synthetic share counts all that are no photos of your own, also {', '.join(names)}."
        if names
        else ""
    )


def few_validation_images(about: Mapping[str, Any]) -> str:
    """A sentence where the images by which the best was chosen are too few to tell it, from
    run.json; "" elsewhere.
    """
    real = about.get("real") or {}
    count = (real.get("with_objects") or real.get("counts") or {}).get("val")
    if count is None or count >= LEAST_IMAGES:
        return ""
    images = counted(count, "validation image")
    return f"The best was chosen by {images}: on so few, chance decides as much as merit which recipe scores best."


def seeds(counts: Sequence[int]) -> str:
    """How often recipes were trained: 3 seeds, or 2 to 3 seeds where a training failed."""
    least, most = min(counts), max(counts)
    return counted(most, "seed") if least == most else f"{least} to {most} seeds"


def limits(test: TestScores) -> str:
    """Whether a limit on predictions hid anything: COCO's 100 of a class, or the model's own 300 in
    all.

    Shares are of images; "" where it was not measured.
    """
    best = test.row("best")
    if best is None or not {MAP_AT_300, CAPPED_AT_100, CAPPED_AT_300} <= best.metrics.keys():
        return ""
    found = best.metrics
    over, full = found[CAPPED_AT_100], found[CAPPED_AT_300]
    if not over and not full:
        return "No limit on predictions was met: COCO counts 100 of a class in an image, and the model makes at most 300."
    many = f"with up to 300, mAP is {number(found['mAP@300'])} instead of {number(found['mAP'])}"
    crowded = f"In {percent(over)} of the test images some class has more than 100 predictions"
    told = f"{crowded}, of which COCO counts the best 100; {many}."
    more = f"In {percent(full)} of the images the model made as many predictions as it can, 300: it may have left some out."
    return " ".join([told] * (over > 0) + [more] * (full > 0))


def survivors(pruned: int, so: str) -> str:
    """What is wrong with what is reckoned from completed trials alone, and so with the result; ""
    where none was pruned.
    """
    if not pruned:
        return ""
    left_out = f"{counted(pruned, 'pruned trial')} {'is' if pruned == 1 else 'are'} left out"
    return f"{left_out}: where a value is bad only the luckier trials were completed, {so}."


def gap(found: Difference, name: str) -> str:
    """A difference from what bears a name: "0.06 [0.03, 0.09] above real only (P = 0.99)"."""
    # the side of 0 that a bound lies on must show
    digits = 2 if min(abs(found.low), abs(found.high)) >= 0.005 else 3
    below = round(found.mean, digits) < 0
    values = (
        (-found.mean, -found.high, -found.low) if below else (found.mean, found.low, found.high)
    )
    value, low, high = (f"{round(v, digits) + 0.0:.{digits}f}" for v in values)
    chance = probability(1 - found.probability if below else found.probability)
    return f"{value} [{low}, {high}] {'below' if below else 'above'} {name} (P {chance})"
