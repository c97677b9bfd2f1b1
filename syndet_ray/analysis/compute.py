"""Compute: the seconds that trials trained, as far as the ledger has them."""

from syndet_ray.metrics import IMAGES_PER_SECOND
from syndet_ray.runs.results import Trial


def training_s(trial: Trial) -> float | None:
    """Seconds of training up to the last rung, by the rates that its rungs reported; None if a rung
    has no rate.

    Without evaluation, waiting and interruptions, and without the part that a lost worker had
    trained since its checkpoint.
    """
    parts = []
    start = 0
    for rung in trial.rungs:
        rate = rung.metrics.get(IMAGES_PER_SECOND) or 0.0
        if rate <= 0:
            return None
        parts.append((rung.images - start) / rate)
        start = rung.images
    return sum(parts) if parts else None
