"""Schedule: the share of each source in the images of a training, at every moment of it."""

import math

from syndet_ray.definitions.mix import REAL, Mix

_ROUNDING = 1e-9  # by which a moment that is computed from shares may exceed 1


def shares_between(mix: Mix, start: float, end: float) -> dict[str, float]:
    """The mean share of every source between two moments of a training; they sum to 1.

    It is the mean, not the share at a moment: a switch may be in the middle of a batch, and over a
    whole training the shares add up to exactly those of the mix, for any batch size.

    start, end  0 <= start < end <= 1
    """
    assert 0 <= start < end <= 1 + _ROUNDING, (start, end)
    overall = mix.shares
    if mix.schedule not in ("staged", "annealed") or mix.synthetic == 0:
        return overall
    synthetic = (_synthetic_until(mix, end) - _synthetic_until(mix, start)) / (end - start)
    synthetic = min(1.0, max(0.0, synthetic))  # rounding
    shares = {}
    for name, share in overall.items():
        part = share / mix.synthetic
        shares[name] = 1 - synthetic if name == REAL else synthetic * part
    return shares


def images_until(mix: Mix, images: int, total: int) -> dict[str, float]:
    """The number of images that are planned from each source, among the first of a training.

    images, total  0 < images <= total
    """
    shares = shares_between(mix, 0, images / total)
    return {name: share * images for name, share in shares.items()}


def switch_at(mix: Mix) -> float:
    """The moment, 0 to 1, after which a staged training sees real images; 1 for any other."""
    return mix.synthetic if mix.schedule == "staged" else 1.0


def is_telling(mix: Mix, images: int, total: int) -> bool:
    """True when a report after `images` of `total` says something about the end of the training.

    A report of a staged training says nothing before it has seen real images: its score on real
    photos rises steeply after the switch, and a pruner that compared it before would stop the best
    trials (docs/results.md, "Which pruner kills the winner?").
    """
    return switch_at(mix) >= 1 or images > switch_at(mix) * total


def _synthetic_until(mix: Mix, moment: float) -> float:
    """Synthetic images seen until a moment, as a share of all images of the training.

    It is the integral of the share. An annealed training begins as far above the mean as it ends
    below, as steeply as shares from 0 to 1 allow: a mean of 50 % goes from 100 % to 0 %, 75 % from
    100 % to 50 %, 25 % from 50 % to 0 %.
    """
    if mix.schedule == "staged":
        return min(moment, mix.synthetic)
    assert mix.schedule == "annealed", mix.schedule
    mean = mix.synthetic
    swing = min(mean, 1 - mean)
    if mix.anneal == "linear":
        return mean * moment + swing * moment * (1 - moment)
    return mean * moment + swing * math.sin(math.pi * moment) / math.pi
