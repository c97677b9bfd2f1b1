"""Settle: the detector and the training crop that "auto" stands for, with these photos and on this
machine.
"""

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
# torchvision's own practice for its COCO detectors: the stem and the first stage stay as they are.
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
    """The recipe with the detector and the training crop chosen where they are "auto".

    The second value says in words why a machine with a GPU gets the small backbone; "" where
    nothing needs to be said.

    boxes_wh    (n, 2) width and height of the training objects, in pixels of their photo
    anchor_px   sizes of anchors that fit them at the working scale
    transposed  whether training swaps the axes of some images

    Raises DataError for a weights file that cannot be read.
    """
    # The detector first: some starting weights fit their own anchors only.
    detector, words = settled_detector(recipe.detector, gpu)
    choices = {
        "detector.working_px": scale.longest_px,
        "detector.anchor_px": anchor_px,
        "detector.aspect_ratios": aspect_ratios(boxes_wh, transposed=transposed),
        "training.crop_px": scale.auto_crop_px,
    }
    return filled(recipe.model_copy(update={"detector": detector}), choices), words


def filled(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe, with these values, by dotted path, for the settings that it leaves to "auto"."""
    return recipe.replace(
        {path: value for path, value in values.items() if recipe.get(path) == "auto"}
    )


def settled_detector(detector: Detector, gpu: bool) -> tuple[Detector, str]:
    """The detector with backbone, weights and frozen stages chosen where they are "auto", and why,
    in words, or "".

    Without a GPU a small backbone, frozen: as accurate on few photos as a trained one, and several
    times as fast. With one, torchvision's ResNet-50 from COCO weights where they can be had: never
    from nothing. A detector that was saved here goes on with its own backbone and anchors. Raises
    DataError for a weights file that cannot be read.
    """
    detector = _like_its_file(detector)
    if detector.backbone != "auto":
        return _with_weights(detector), ""
    large = _with_weights(detector.model_copy(update={"backbone": _WITH_GPU}))
    small = _with_weights(detector.model_copy(update={"backbone": LITE0}))
    if detector.architecture != "faster_rcnn" or detector.weights not in (
        "auto",
        "coco",
        "imagenet",
    ):
        return small, ""
    if detector.weights == "coco":  # set by the user: where they are missing, that is an error
        of_coco = (
            large if gpu else _with_weights(detector.model_copy(update={"backbone": _OF_COCO}))
        )
        return of_coco, ""
    if not gpu:
        return small, ""
    obstacle = _obstacle(large)
    if obstacle is None:
        return large, ""
    return small, f"the backbone is {LITE0}: {_WITH_GPU} cannot be used ({obstacle})"


def _like_its_file(detector: Detector) -> Detector:
    """The detector with what it leaves to "auto" taken from the file that it starts from, where
    that holds a whole one.
    """
    if detector.weights in NAMED_WEIGHTS:
        return detector
    saved = saved_detector(Path(detector.weights))
    if saved is None:
        return detector
    names = [
        name
        for name in ("backbone", "anchor_px", "aspect_ratios")
        if getattr(detector, name) == "auto"
    ]
    return detector.model_copy(update={name: getattr(saved.detector, name) for name in names})


def _obstacle(detector: Detector) -> SyndetError | None:
    """Why one of torchvision's COCO detectors cannot be built here; None where it can."""
    try:
        coco_anchors(detector)
    except DefinitionError as error:
        return error
    return available(detector)


def _with_weights(detector: Detector) -> Detector:
    """Weights and frozen stages as they suit the backbone; anchors of torchvision's own, where its
    weights need them.
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
    left_open = {
        name: value for name, value in choices.items() if getattr(detector, name) == "auto"
    }
    return detector.model_copy(update=left_open)
