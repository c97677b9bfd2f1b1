"""Schedule: which share of its images a training draws from each source, at every moment of it."""

import math

from syndet_ray.definitions.mix import REAL, Mix


def shares_between(mix: Mix, start: float, end: float) -> dict[str, float]:
    """The mean share of every source between two moments of a training, 0 <= start < end <= 1; they
    sum to 1.

    The mean, not the share at a moment: a switch may fall into the middle of a batch, and over a
    whole training the shares add up to exactly what the mix asks for, whatever the batch size.
    """
    assert 0 <= start < end <= 1 + 1e-9, (start, end)
    overall = mix.shares
    if mix.schedule not in ("staged", "annealed") or mix.synthetic == 0:
        return overall
    synthetic = (_synthetic_until(mix, end) - _synthetic_until(mix, start)) / (end - start)
    synthetic = min(1.0, max(0.0, synthetic))  # rounding
    return {
        name: 1 - synthetic if name == REAL else synthetic * (share / mix.synthetic)
        for name, share in overall.items()
    }


def images_until(mix: Mix, seen: int, total: int) -> dict[str, float]:
    """How many of the first `seen` of `total` images are planned to come from each source, 0 < seen
    <= total.
    """
    return {name: share * seen for name, share in shares_between(mix, 0, seen / total).items()}


def switch_at(mix: Mix) -> float:
    """The moment, 0 to 1, after which a staged training draws real images; 1 for one that has no
    stages.
    """
    return mix.synthetic if mix.schedule == "staged" else 1.0


def is_telling(mix: Mix, seen: int, total: int) -> bool:
    """Whether a report after `seen` images says anything about how a training of `total` will end.

    That of a staged one does not before it has seen real images: its score on real photos leaps
    once they come, and a pruner that compared it before then would stop the best (docs/results.md,
    "Which pruner kills the winner?").
    """
    return switch_at(mix) >= 1 or seen > switch_at(mix) * total


def _synthetic_until(mix: Mix, moment: float) -> float:
    """Synthetic images seen until then, as a share of all images of the training: the integral of
    the share.

    Annealed trainings begin with as much more than the mean as they end with less, as steeply as
    shares from 0 to 1
    allow: 50 % in all goes from 100 % to 0 %, 75 % from 100 % to 50 %, 25 % from 50 % to 0 %.
    """
    if mix.schedule == "staged":
        return min(moment, mix.synthetic)
    assert mix.schedule == "annealed", mix.schedule
    swing = min(mix.synthetic, 1 - mix.synthetic)
    if mix.anneal == "linear":
        return mix.synthetic * moment + swing * moment * (1 - moment)
    return mix.synthetic * moment + swing * math.sin(math.pi * moment) / math.pi
