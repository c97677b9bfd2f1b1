"""Settle: what "auto" means for a detector on this machine."""

from pathlib import Path
from typing import Any

from syndet_ray.detection.architectures import COCO_ANCHORS_PX, COCO_DETECTORS, COCO_RATIOS, coco_anchors
from syndet_ray.detection.weights import LITE0, available
from syndet_ray.detection.weights_file import saved_detector
from syndet_ray.errors import DefinitionError, SyndetError
from syndet_ray.recipe import NAMED_WEIGHTS, Detector

_WITH_GPU = "resnet50_fpn_v2"
_OF_COCO = "mobilenet_v3_large_fpn"  # the smallest that has COCO weights
# torchvision's own practice for its COCO detectors: the stem and the first stage stay as they are.
_FROZEN_OF_COCO = 2


def settled(detector: Detector, gpu: bool) -> tuple[Detector, str]:
    """The detector with backbone, weights and frozen stages chosen where they are "auto", and why, in words, or "".

    Without a GPU a small backbone, frozen: as accurate on few photos as a trained one, and several times as fast. With one,
    torchvision's ResNet-50 from COCO weights where they can be had: never from nothing. A detector that was saved here goes
    on with its own backbone and anchors. Raises DataError for a weights file that cannot be read.
    """
    detector = _like_its_file(detector)
    if detector.backbone != "auto":
        return _with_weights(detector), ""
    large = _with_weights(detector.model_copy(update={"backbone": _WITH_GPU}))
    small = _with_weights(detector.model_copy(update={"backbone": LITE0}))
    if detector.architecture != "faster_rcnn" or detector.weights not in ("auto", "coco", "imagenet"):
        return small, ""
    if detector.weights == "coco":  # asked for: where they are missing, that is an error
        return large if gpu else _with_weights(detector.model_copy(update={"backbone": _OF_COCO})), ""
    obstacle = _obstacle(large) if gpu else None
    if obstacle is None:
        return large if gpu else small, ""
    return small, f"the backbone is {LITE0}: {_WITH_GPU} cannot be used ({obstacle})"


def _like_its_file(detector: Detector) -> Detector:
    """The detector as the one in the file that it starts from, where that is a whole one and this one leaves it open."""
    if detector.weights in NAMED_WEIGHTS:
        return detector
    saved = saved_detector(Path(detector.weights))
    if saved is None:
        return detector
    names = [name for name in ("backbone", "anchor_px", "aspect_ratios") if getattr(detector, name) == "auto"]
    return detector.model_copy(update={name: getattr(saved.detector, name) for name in names})


def _obstacle(detector: Detector) -> SyndetError | None:
    """Why one of torchvision's COCO detectors cannot be built here; None where it can."""
    try:
        coco_anchors(detector)
    except DefinitionError as error:
        return error
    return available(detector)


def _with_weights(detector: Detector) -> Detector:
    """Weights and frozen stages as they suit the backbone; anchors of torchvision's own, where its weights need them."""
    of_coco = detector.backbone in COCO_DETECTORS
    weights = detector.weights if detector.weights != "auto" else "coco" if of_coco else "imagenet"
    frozen = detector.frozen_stages
    if frozen == "auto":
        frozen = 0 if weights == "none" else _FROZEN_OF_COCO if of_coco else "all"
    found: dict[str, Any] = {"weights": weights, "frozen_stages": frozen}
    if of_coco:
        found |= {"anchor_px": COCO_ANCHORS_PX} if detector.anchor_px == "auto" else {}
        found |= {"aspect_ratios": COCO_RATIOS} if detector.aspect_ratios == "auto" else {}
    return detector.model_copy(update=found)
