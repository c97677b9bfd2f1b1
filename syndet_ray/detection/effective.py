"""Effective: settings of a training, read from the objects that use them instead of its recipe.

Each function returns plain JSON values by dotted path. A setting that no object uses is left out:
AdamW has no momentum, and FCOS has no anchors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from torch import nn
from torch.optim import Optimizer

from syndet_ray.data.mix import BatchMixer
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.mix import REAL, Mix, Scenes
from syndet_ray.definitions.schedule import shares_between, switch_at
from syndet_ray.detection.architectures import PointDetector, architecture_of
from syndet_ray.detection.augment import Augmenter
from syndet_ray.detection.average import MovingAverage
from syndet_ray.detection.rate import RateSchedule
from syndet_ray.detection.weights_file import WeightsReport


def effective_mix(plan: Mix, pools: Mapping[str, Pool]) -> dict[str, Any]:
    """Settings of the mix: the plan of the batches, and numbers of distinct images.

    pools  of the sources that have a share, by name
    """
    settings: dict[str, Any] = {
        "mix.synthetic": 1 - shares_between(plan, 0, 1)[REAL],
        "mix.schedule": plan.schedule,
        "mix.parts": dict(plan.parts),
    }
    if plan.schedule == "annealed":
        settings["mix.anneal"] = plan.anneal
    if plan.schedule == "staged" and plan.switch_at is not None and REAL in pools:
        settings["mix.switch_at"] = switch_at(plan)
    if REAL in pools:
        settings["mix.real_images"] = len(pools[REAL])
    scene_counts = set()
    for name, source in plan.sources.items():
        takes_count = isinstance(source, Scenes) and not source.overrides("mix.synthetic_images")
        if takes_count and name in pools:
            scene_counts.add(len(pools[name]))
    if scene_counts:
        settings["mix.synthetic_images"] = _one_or_all(scene_counts)
    return settings


def effective_working_px(photos: Iterable[Pool]) -> int | list[int]:
    """The longer side of all photos, at least one, in pixels of the images that a detector sees.

    All values, sorted, if photos differ.
    """
    longer_sides: set[int] = set()
    for pool in photos:
        if len(pool):
            longer_sides.update(pool.sizes_wh.max(axis=1).tolist())
    return _one_or_all(longer_sides)


def effective_detector(
    model: nn.Module, weights: WeightsReport, optimizer: Optimizer
) -> dict[str, Any]:
    """Settings of the detector that trains, without its working scale: photos show that.

    frozen_stages is always a number, also if all stages are frozen. anchor_px are the sizes on all
    levels, smallest first.
    """
    backbone: Any = model.get_submodule("backbone")
    settings: dict[str, Any] = {
        "detector.architecture": architecture_of(model),
        "detector.backbone": backbone.name,
        "detector.weights": weights.source,
        "detector.frozen_stages": backbone.body.still_stages,
    }
    rates = _peak_rates(optimizer)
    if "backbone_weights" in rates:
        settings["detector.backbone_rate"] = rates["backbone_weights"] / rates["weights"]
    return settings | _of_anchors(model)


def effective_training(
    *,
    optimizer: Optimizer,
    rate: RateSchedule,
    average: MovingAverage | None,
    augmenter: Augmenter,
    mixer: BatchMixer,
) -> dict[str, Any]:
    """Settings of the training: of its optimizer, schedule, augmentation and batches."""
    weights = next(group for group in optimizer.param_groups if group["name"] == "weights")
    settings: dict[str, Any] = {
        "training.images": rate.images,
        "training.batch_size": mixer.batch_size,
        "training.optimizer": type(optimizer).__name__.lower(),
        "training.learning_rate": weights["initial_lr"],
        "training.weight_decay": weights["weight_decay"],
        "training.warmup": rate.warmup,
        "training.final_rate": rate.final_rate,
        "training.average": 0.0 if average is None else average.horizon.share,
    }
    if "momentum" in weights:
        settings["training.momentum"] = weights["momentum"]
    if rate.switch < 1:
        settings["training.rate_after_switch"] = rate.rate_after_switch
    return settings | {f"training.{name}": value for name, value in asdict(augmenter).items()}


def _one_or_all(values: set[int]) -> int | list[int]:
    """The value if all are equal, else all values, sorted: a check then shows them."""
    first, *others = sorted(values)
    return [first, *others] if others else first


def _peak_rates(optimizer: Optimizer) -> dict[str, float]:
    """The peak of the learning rate of each group of parameters, by the group's name."""
    return {group["name"]: group["initial_lr"] for group in optimizer.param_groups}


def _of_anchors(model: Any) -> dict[str, Any]:
    """Sizes and ratios of the anchors; empty for a detector without anchors."""
    if isinstance(model, PointDetector):
        return {}
    two_stages = hasattr(model, "rpn")
    anchors = model.rpn.anchor_generator if two_stages else model.anchor_generator
    assert len(set(anchors.aspect_ratios)) == 1, anchors.aspect_ratios  # every level has the same
    return {
        "detector.anchor_px": list(anchors.sizes_px),
        "detector.aspect_ratios": list(anchors.aspect_ratios[0]),
    }
