"""Settle: values for "auto" in a detector and its training crop, by the photos and the machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data.scale import WorkingScale, aspect_ratios
from syndet_ray.definitions.recipe import NAMED_WEIGHTS, Detector, Recipe
from syndet_ray.detection.architectures import (
    COCO_ANCHORS_PX,
    COCO_DETECTORS,
    COCO_RATIOS,
    coco_anchors,
)
from syndet_ray.detection.weights import LITE0, available
from syndet_ray.detection.weights_file import saved_detector
from syndet_ray.errors import DefinitionError, SyndetError

_WITH_GPU = "resnet50_fpn_v2"  # torchvision's most accurate Faster R-CNN with COCO weights
_OF_COCO = "mobilenet_v3_large_fpn"  # the smallest that has COCO weights
# As torchvision trains its COCO detectors: the stem and the first stage stay as they are.
_FROZEN_OF_COCO = 2


def settled_recipe(
    recipe: Recipe,
    scale: WorkingScale,
    boxes_wh: np.ndarray,
    *,
    anchor_px: tuple[float, ...],
    transposed: bool,
    gpu: bool,
) -> tuple[Recipe, str]:
    """The recipe with values for "auto" in its detector and its training crop; and a note.

    The note says why a machine with a GPU gets the small backbone; "" if there is nothing to say.

    boxes_wh    (n, 2) width and height of the training objects, in pixels of their photo
    anchor_px   sizes of anchors that fit them at the working scale
    transposed  True if training swaps the axes of some images

    Raises DataError for a weights file that cannot be read.
    """
    # The detector first: some starting weights fit their own anchors only.
    detector, note = settled_detector(recipe.detector, gpu)
    choices = {
        "detector.working_px": scale.longest_px,
        "detector.anchor_px": anchor_px,
        "detector.aspect_ratios": aspect_ratios(boxes_wh, transposed=transposed),
        "training.crop_px": scale.auto_crop_px,
    }
    return fill_settings(recipe.model_copy(update={"detector": detector}), choices), note


def fill_settings(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe, with these values, by dotted path, for its settings that are "auto"."""
    open_values = {path: value for path, value in values.items() if recipe.get(path) == "auto"}
    return recipe.replace(open_values)


def settled_detector(detector: Detector, gpu: bool) -> tuple[Detector, str]:
    """The detector with values for "auto" in backbone, weights and frozen stages; and a note or "".

    Without a GPU a small backbone, frozen: as accurate on few photos as a trained one, and several
    times as fast. With a GPU, torchvision's ResNet-50 from COCO weights if they are available:
    never from random weights. A detector that starts from a file keeps the backbone and anchors of
    that file. A program of the user chooses what is "auto" itself. Raises DataError for a weights
    file that cannot be read.
    """
    if detector.program:
        return detector, ""
    detector = _like_its_file(detector)
    if detector.backbone != "auto":
        return _with_weights(detector), ""
    small = _with_backbone(detector, LITE0)
    is_choice_of_torchvision = detector.weights in ("auto", "coco", "imagenet")
    if detector.architecture != "faster_rcnn" or not is_choice_of_torchvision:
        return small, ""
    if detector.weights == "coco":  # set by the user: missing weights are an error later
        return _with_backbone(detector, _WITH_GPU if gpu else _OF_COCO), ""
    if not gpu:
        return small, ""
    large = _with_backbone(detector, _WITH_GPU)
    obstacle = _obstacle(large)
    if obstacle is None:
        return large, ""
    return small, f"the backbone is {LITE0}: {_WITH_GPU} cannot be used ({obstacle})"


def _like_its_file(detector: Detector) -> Detector:
    """The detector with values for "auto" from its weights file, if that holds a whole detector."""
    if detector.weights in NAMED_WEIGHTS:
        return detector
    saved = saved_detector(Path(detector.weights))
    if saved is None:
        return detector
    names = ("backbone", "anchor_px", "aspect_ratios")
    return _with_choices(detector, {name: getattr(saved.detector, name) for name in names})


def _obstacle(detector: Detector) -> SyndetError | None:
    """The error of a COCO detector of torchvision's that cannot be built here; None if it can."""
    try:
        coco_anchors(detector)
    except DefinitionError as error:
        return error
    return available(detector)


def _with_backbone(detector: Detector, backbone: str) -> Detector:
    return _with_weights(detector.model_copy(update={"backbone": backbone}))


def _with_weights(detector: Detector) -> Detector:
    """The detector with weights and frozen stages that suit its backbone.

    A COCO detector also gets torchvision's own anchors, which its weights need.
    """
    of_coco = detector.backbone in COCO_DETECTORS
    choices: dict[str, Any] = {
        "weights": "coco" if of_coco else "imagenet",
        "frozen_stages": _FROZEN_OF_COCO if of_coco else "all",
    }
    if detector.weights == "none":
        choices["frozen_stages"] = 0  # random weights must train
    if of_coco:
        choices |= {"anchor_px": COCO_ANCHORS_PX, "aspect_ratios": COCO_RATIOS}
    return _with_choices(detector, choices)


def _with_choices(detector: Detector, choices: Mapping[str, Any]) -> Detector:
    """The detector, with these values for its settings that are "auto"."""
    open_choices = {
        name: value for name, value in choices.items() if getattr(detector, name) == "auto"
    }
    return detector.model_copy(update=open_choices)
