"""Compute: for how long trials trained, as far as the ledger tells."""

from collections.abc import Sequence

from syndet_ray import wording
from syndet_ray.runs.metrics import IMAGES_PER_SECOND
from syndet_ray.runs.results import Trial


def training_s(trial: Trial) -> float | None:
    """Seconds of training up to the last rung, by the rates that its rungs reported; None where one
    of them told none.

    Without evaluation, waiting and interruptions, and without what a lost worker had trained since
    its checkpoint.
    """
    rates = [rung.metrics.get(IMAGES_PER_SECOND) or 0.0 for rung in trial.rungs]
    if not rates or not all(rate > 0 for rate in rates):
        return None
    ends = [rung.images for rung in trial.rungs]
    return sum(
        (end - start) / rate for start, end, rate in zip([0, *ends], ends, rates, strict=False)
    )


def compute(trials: Sequence[Trial], gpus: float) -> str:
    """How long all trials that reported trained, one after another, and on how many GPUs each; ""
    where none did.
    """
    trained = [seconds for trial in trials if trial.rungs for seconds in [training_s(trial)]]
    known = [seconds for seconds in trained if seconds is not None]
    if known and len(known) == len(trained):
        return _told(known, "of training", "without evaluation and waiting", gpus)
    ended = [trial.ended - trial.started for trial in trials if trial.ended is not None]
    return _told(ended, "from start to end", "waiting included", gpus)


def _told(seconds: Sequence[float], what: str, beside: str, gpus: float) -> str:
    hours = sum(seconds) / 3600
    if not hours:
        return ""
    told = f"{hours:.2g} hours {what} in {wording.counted(len(seconds), 'trial')}"
    return (
        f"{told}, {hours * gpus:.2g} GPU-hours ({beside})" if gpus else f"{told}, no GPU ({beside})"
    )
