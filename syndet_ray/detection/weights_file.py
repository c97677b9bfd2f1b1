"""Weights files: a whole detector that was saved here, or a backbone of anybody's, as .safetensors."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from syndet_ray.detection.architectures import COCO_DETECTORS
from syndet_ray.detection.backbones import names_in_features
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.recipe import Detector, definition_error

BODY, TORCHVISION_BODY, TORCHVISION_FEATURES = "backbone.body.net.", "backbone.body.", "features."
# Anchors this near are the same to a detector: somebody may set 34 where 33.94 was settled.
_LIKE_ANCHORS = 0.01


@dataclass(frozen=True)
class WeightsReport:
    """What became of starting weights, by parameter name.

    loaded         taken as they are
    skipped        there, but of no use to this model
    reinitialised  in this model, but missing there or of another shape
    source         where they came from, as a Detector names it
    """

    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()
    source: str = "none"

    def __str__(self) -> str:
        return f"{len(self.loaded)} loaded, {len(self.skipped)} skipped, {len(self.reinitialised)} re-initialised"


def copy_fitting(model: nn.Module, found: Mapping[str, Tensor], source: str) -> WeightsReport:
    """Copies what fits by name and shape of the tensors of `source`, see WeightsReport."""
    own = model.state_dict()
    loaded = {name: tensor for name, tensor in found.items() if name in own and own[name].shape == tensor.shape}
    model.load_state_dict(loaded, strict=False)
    return WeightsReport(
        loaded=tuple(sorted(loaded)),
        skipped=tuple(sorted(set(found) - set(loaded))),
        reinitialised=tuple(sorted(set(own) - set(loaded))),
        source=source if loaded else "none",
    )


@dataclass(frozen=True, kw_only=True)
class SavedDetector:
    """What a file says of the whole detector that it holds: how it was built, and the names of its classes."""

    detector: Detector
    classes: tuple[str, ...]


def saved_detector(path: Path) -> SavedDetector | None:
    """The detector that was saved into a file, as its metadata tell; None for a file of another program.

    Raises DataError for a file that cannot be read, and for metadata that describe no detector: anybody may have written
    them.
    """
    import timm

    facts = _facts(path)
    if "detector" not in facts:
        return None
    do, classes = "Save the model anew.", facts.get("classes")
    if not _is_list_of_names(classes):
        raise DataError(path, "must name the classes of its detector in its metadata", got=classes, do=do)
    try:
        detector = Detector.model_validate(facts["detector"])
    except ValidationError as error:
        found = str(definition_error("detector", error)).rstrip(".")
        raise DataError(path, f"must describe its detector in its metadata ({found})", do=do) from None
    for name, value in detector.model_dump().items():
        if value == "auto":
            raise DataError(path, f"must tell detector.{name} in its metadata", got=value, do=do)
    if detector.backbone not in COCO_DETECTORS and not timm.is_model(detector.backbone):
        raise DataError(path, "must name a backbone in its metadata that timm knows", got=detector.backbone, do=do)
    return SavedDetector(detector=detector, classes=tuple(classes))


def load_file(model: nn.Module, detector: Detector, path: Path, classes: tuple[str, ...]) -> WeightsReport:
    """Loads a whole detector that was saved here, or else the backbone that a file holds.

    Raises DataError for a file that cannot be read, lies about its tensors, or holds something else; DefinitionError where
    its detector was trained with other anchors.
    """
    saved = saved_detector(path)
    tensors = _tensors(path)
    if saved is not None:
        _check_same(path, detector, saved.detector)
        _check_anchors(path, detector, saved.detector)
        return _load_detector(model, path, tensors, saved.classes, classes)
    own = model.state_dict()
    tensors = {_own_name(name, own): tensor for name, tensor in tensors.items()}
    return _check_some(path, detector, copy_fitting(model, tensors, str(path)))


def _own_name(name: str, own: Collection[str]) -> str:
    """The name among `own` of a tensor of a file, which may be of a whole detector, or of a backbone by timm or torchvision."""
    if name.startswith("backbone."):
        return name if name.startswith(BODY) else name.replace(TORCHVISION_BODY, BODY, 1)
    candidates = (*names_in_features(name), name.removeprefix(TORCHVISION_FEATURES))
    return next((BODY + candidate for candidate in candidates if BODY + candidate in own), name)


def _facts(path: Path) -> dict[str, Any]:
    """What a file's metadata say of a detector and its classes, as JSON values."""
    try:
        with safe_open(path, "pt") as file:
            texts = file.metadata() or {}
        return {name: json.loads(texts[name]) for name in ("detector", "classes") if name in texts}
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(path, f"is not a readable .safetensors file ({error})", do="See detector.weights.")


def _is_list_of_names(found: Any) -> TypeGuard[list[str]]:
    return isinstance(found, list) and bool(found) and all(isinstance(name, str) for name in found)


def _check_same(path: Path, ours: Detector, theirs: Detector) -> None:
    """Raises DataError where the file holds another architecture or backbone."""
    for name in ("architecture", "backbone"):
        expected, saved = getattr(ours, name), getattr(theirs, name)
        if saved != expected:
            do = f"Set detector.{name} to {saved}, or start from other weights."
            raise DataError(path, f"must be of a detector whose {name} is {expected}", got=saved, do=do)


def _check_anchors(path: Path, ours: Detector, theirs: Detector) -> None:
    """Raises DefinitionError where the detector was trained with other anchors: all that it proposes is relative to them."""
    if ours.architecture == "fcos":  # it has no anchors, and one head for all levels
        return
    for name in ("anchor_px", "aspect_ratios"):
        given, saved = getattr(ours, name), getattr(theirs, name)
        if not _alike(given, saved):
            rule = f"must be {saved}, with which {path} was trained"
            do = "Leave it to auto, set it to these, or start from other weights."
            raise DefinitionError(f"detector.{name}", rule, got=given, do=do)


def _alike(some: Sequence[float], others: Sequence[float]) -> bool:
    if len(some) != len(others):
        return False
    pairs = zip(some, others, strict=True)
    return all(math.isclose(one, other, rel_tol=_LIKE_ANCHORS) for one, other in pairs)


def _load_detector(
    model: nn.Module, path: Path, found: dict[str, Tensor], theirs: tuple[str, ...], ours: tuple[str, ...]
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
    return copy_fitting(model, found, str(path))


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
            suffix = f" of {theirs - 1} classes"
        if tuple(found[name].shape) != expected:
            rule = f"{name} must have the shape {expected}{suffix}, as its metadata tell"
            raise DataError(path, rule, got=tuple(found[name].shape), do="Save the model anew.")


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
    of_body = [name for name in report.reinitialised if name.startswith(BODY) and "num_batches" not in name]
    if of_body:
        rule = f"must hold the backbone {detector.backbone}, has no fitting {of_body[0].removeprefix(BODY)}"
        raise DataError(path, rule, do="Set detector.backbone to the one that the file was saved from.")
    return report
