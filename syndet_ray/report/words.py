"""Words: sentences on a run and its scores that several pages share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from syndet_ray.analysis.chosen import MOST_RECIPES, best_count
from syndet_ray.analysis.compute import training_s
from syndet_ray.definitions.mix import Photos
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.metrics import CAPPED_AT_100, CAPPED_AT_300, MAP, MAP_AT_300
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.spread import LEAST_IMAGES, Difference
from syndet_ray.wording import counted, duration, number, percent, probability

STAND_IN = "Stand-in images took the place of photos: this says nothing about real photos."
SCHEDULES = (
    "Staged: synthetic images first, then real ones. "
    "Annealed: the share of synthetic images falls during training."
)
# Said of a run in which no recipe was trained with several seeds. Some may have been trained again,
# but then the training of the search is not scored.
SCORED_ONCE = "The scores come from one training of each recipe"
_NO_LIMIT = (
    "No limit on predictions had an effect: "
    "COCO counts 100 of a class in an image, and the model makes at most 300."
)
_LEAST_GPU_HOURS = 0.01  # fewer are not worth their digits
_ROUNDS_TO_0 = 0.005  # a bound closer to 0 needs the third decimal to show on which side it lies


def others_photos(recipes: Iterable[Recipe]) -> str:
    """Names the photos of others that the synthetic share of recipes includes, in a sentence; "" if
    there are none.
    """
    names: dict[str, None] = {}
    for recipe in recipes:
        for name, source in recipe.mix.sources.items():
            if isinstance(source, Photos):
                names[name] = None
    if not names:
        return ""
    return f"The synthetic share counts all images but your own photos, also {', '.join(names)}."


def few_validation_images(about: Mapping[str, Any]) -> str:
    """A sentence if the validation set is too small to choose the best recipe by, from run.json; ""
    if it is not.
    """
    real = about.get("real") or {}
    count = (real.get("with_objects") or real.get("counts") or {}).get("val")
    if count is None or count >= LEAST_IMAGES:
        return ""
    images = counted(count, "validation image")
    chance = "with so few, chance decides as much as quality which recipe scores best"
    return f"The best recipe was chosen by {images}: {chance}."


def seeds(counts: Sequence[int]) -> str:
    """The number of trainings of recipes: "3 seeds", or "2 to 3 seeds" if a training failed."""
    least, most = min(counts), max(counts)
    return counted(most, "seed") if least == most else f"{least} to {most} seeds"


def limits(test: TestScores) -> str:
    """The effect of the limits on predictions: COCO's 100 of a class, and the model's own 300.

    Shares are of images; "" if they were not measured.
    """
    best = test.row("best")
    if best is None or not {MAP_AT_300, CAPPED_AT_100, CAPPED_AT_300} <= best.metrics.keys():
        return ""
    metrics = best.metrics
    over, full = metrics[CAPPED_AT_100], metrics[CAPPED_AT_300]
    sentences = []
    if over > 0:
        change = f"mAP is {number(metrics[MAP_AT_300])} instead of {number(metrics[MAP])}"
        sentences.append(
            f"In {percent(over)} of the test images a class has more than 100 predictions, "
            f"and COCO counts the best 100; with up to 300, {change}."
        )
    if full > 0:
        sentences.append(
            f"In {percent(full)} of the images the model made as many predictions as it can, "
            "300: it may have left some out."
        )
    return " ".join(sentences) or _NO_LIMIT


def survivors(pruned: int, effect: str) -> str:
    """The bias of a result that is computed from completed trials only; "" if none was pruned."""
    if not pruned:
        return ""
    left_out = f"{counted(pruned, 'pruned trial')} {'is' if pruned == 1 else 'are'} left out"
    return f"{left_out}: at a bad value only the luckier trials were completed, {effect}."


def shown_recipes(count: int) -> str:
    """Says which of many recipes a figure shows; "" if it shows all."""
    if count <= MOST_RECIPES:
        return ""
    rule = "the best, the controls, then those with the best validation mAP"
    return f"{MOST_RECIPES} of {count} recipes: {rule}."


def even_sample(trials: int, most: int) -> str:
    """Says that a figure shows an even sample of the trials; "" if it shows all."""
    return f"{most} of {trials} trials are shown: an even sample by score." if trials > most else ""


def best_and_others(trials: int, shown: int, most: int) -> str:
    """Says that a figure shows the best trials and a sample of the others; "" if it shows all.

    See `analysis.chosen.best_and_others`.
    """
    if trials <= shown:
        return ""
    rule = f"the best {best_count(most)}, and an even sample of the others"
    return f"{shown} of {trials} trials of the search are shown: {rule}."


def compute(trials: Sequence[Trial], gpus: float) -> str:
    """The time that all trials trained, one after another, and on how many GPUs each; "" if none
    trained.

    From start to end if a trial does not have the rates of its rungs.
    """
    seconds = []
    for trial in trials:
        if trial.rungs:
            seconds.append(training_s(trial))
    complete = [value for value in seconds if value is not None]
    if complete and len(complete) == len(seconds):
        return _hours(complete, "of training", "without evaluation and waiting", gpus)
    spans = [trial.ended - trial.started for trial in trials if trial.ended is not None]
    return _hours(spans, "from start to end", "waiting included", gpus)


def _hours(seconds: Sequence[float], kind: str, remark: str, gpus: float) -> str:
    """Such as: 2 h 0 min of training in 2 trials, no GPU (without evaluation and waiting)."""
    total_s = sum(seconds)
    if not total_s:
        return ""
    time = f"{duration(total_s)} {kind} in {counted(len(seconds), 'trial')}"
    gpu_hours = total_s / 3600 * gpus
    on_gpus = f"{gpu_hours:.2g} GPU-hours" if gpu_hours >= _LEAST_GPU_HOURS else "< 0.01 GPU-hours"
    return f"{time}, {on_gpus if gpus else 'no GPU'} ({remark})"


def gap(difference: Difference, name: str) -> str:
    """A difference from something with a name: "0.06 [0.03, 0.09] above real only (P = 0.99)"."""
    mean, low, high = difference.mean, difference.low, difference.high
    digits = 2 if min(abs(low), abs(high)) >= _ROUNDS_TO_0 else 3
    chance, side = difference.probability, "above"
    if round(mean, digits) < 0:
        mean, low, high = -mean, -high, -low
        chance, side = 1 - chance, "below"
    value, least, most = (f"{round(v, digits) + 0.0:.{digits}f}" for v in (mean, low, high))
    return f"{value} [{least}, {most}] {side} {name} (P {probability(chance)})"
