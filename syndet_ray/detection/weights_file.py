"""Weights files: a whole detector that was saved here, or a backbone from elsewhere, as
.safetensors.
"""

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

from syndet_ray.definitions.recipe import Detector
from syndet_ray.definitions.value import definition_error
from syndet_ray.detection.architectures import COCO_DETECTORS
from syndet_ray.detection.backbones import names_in_features
from syndet_ray.errors import DataError, DefinitionError

# What names of a backbone's tensors begin with: in our detectors, in torchvision's, and in
# torchvision's classifiers.
BODY, TORCHVISION_BODY, TORCHVISION_FEATURES = "backbone.body.net.", "backbone.body.", "features."
# Anchors this near are the same to a detector: somebody may set 34 where 33.94 was settled.
_LIKE_ANCHORS = 0.01
_SAVE_AGAIN = "Save the model again."


@dataclass(frozen=True, kw_only=True)
class WeightsReport:
    """What became of starting weights, by parameter name.

    loaded         copied as they are
    skipped        in the file, but of no use to this model
    reinitialised  in this model, but missing in the file or of another shape
    source         where they came from, as a Detector names it
    """

    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()
    source: str = "none"

    @staticmethod
    def of(saved: Mapping[str, Any]) -> "WeightsReport":
        """The report whose `asdict` was kept as JSON."""
        names = {field: tuple(saved[field]) for field in ("loaded", "skipped", "reinitialised")}
        return WeightsReport(**names, source=saved["source"])

    def __str__(self) -> str:
        return f"{len(self.loaded)} loaded, {len(self.skipped)} skipped, {len(self.reinitialised)} re-initialised"


def copy_fitting(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> WeightsReport:
    """Copies into the model those tensors of `source` that fit by name and shape, see
    WeightsReport.
    """
    state = model.state_dict()
    fitting = {
        name: tensor
        for name, tensor in tensors.items()
        if name in state and state[name].shape == tensor.shape
    }
    model.load_state_dict(fitting, strict=False)
    return WeightsReport(
        loaded=tuple(sorted(fitting)),
        skipped=tuple(sorted(set(tensors) - set(fitting))),
        reinitialised=tuple(sorted(set(state) - set(fitting))),
        source=source if fitting else "none",
    )


@dataclass(frozen=True, kw_only=True)
class SavedDetector:
    """What a file's metadata say about the whole detector in it: how it was built, and the names of
    its classes.
    """

    detector: Detector
    classes: tuple[str, ...]


def saved_detector(path: Path) -> SavedDetector | None:
    """The detector that was saved into a file, as its metadata say; None for a file of another
    program.

    Raises DataError for a file that cannot be read, and for metadata that describe no detector:
    anybody may have written them.
    """
    import timm

    facts = _facts(path)
    if "detector" not in facts:
        return None
    classes = facts.get("classes")
    if not _is_list_of_names(classes):
        raise DataError(
            path,
            "must name the classes of its detector in its metadata",
            got=classes,
            do=_SAVE_AGAIN,
        )
    try:
        detector = Detector.model_validate(facts["detector"])
    except ValidationError as error:
        reason = str(definition_error("detector", error)).rstrip(".")
        raise DataError(
            path, f"must describe its detector in its metadata ({reason})", do=_SAVE_AGAIN
        ) from None
    for name, value in detector.model_dump().items():
        if value == "auto":
            raise DataError(
                path, f"must give detector.{name} in its metadata", got=value, do=_SAVE_AGAIN
            )
    if detector.backbone not in COCO_DETECTORS and not timm.is_model(detector.backbone):
        rule = "must name a backbone in its metadata that timm knows"
        raise DataError(path, rule, got=detector.backbone, do=_SAVE_AGAIN)
    return SavedDetector(detector=detector, classes=tuple(classes))


def load_file(
    model: nn.Module, detector: Detector, path: Path, classes: tuple[str, ...]
) -> WeightsReport:
    """Loads a whole detector that was saved here, or else the backbone that a file holds.

    Raises DataError for a file that cannot be read, whose metadata do not fit its tensors, or that
    holds something else; DefinitionError where its detector was trained with other anchors.
    """
    saved = saved_detector(path)
    tensors = _tensors(path)
    if saved is not None:
        _check_same(path, detector, saved.detector)
        _check_anchors(path, detector, saved.detector)
        return _load_detector(model, path, tensors, saved_classes=saved.classes, classes=classes)
    names = model.state_dict().keys()
    renamed = {_name_in_model(name, names): tensor for name, tensor in tensors.items()}
    report = copy_fitting(model, renamed, str(path))
    _check_backbone(path, detector, report)
    return report


def _name_in_model(name: str, names: Collection[str]) -> str:
    """The one of the model's names that a tensor of a file goes by; its own name where there is
    none.

    The file may be of a whole detector, or of a backbone by timm or torchvision.
    """
    if name.startswith("backbone."):
        return name if name.startswith(BODY) else name.replace(TORCHVISION_BODY, BODY, 1)
    candidates = (*names_in_features(name), name.removeprefix(TORCHVISION_FEATURES))
    return next((BODY + candidate for candidate in candidates if BODY + candidate in names), name)


def _facts(path: Path) -> dict[str, Any]:
    """What a file's metadata say about a detector and its classes, as JSON values.

    Raises DataError.
    """
    try:
        with safe_open(path, "pt") as file:
            texts = file.metadata() or {}
        return {name: json.loads(texts[name]) for name in ("detector", "classes") if name in texts}
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises DataError for a file that cannot be read."""
    try:
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        path, f"is not a readable .safetensors file ({error})", do="See detector.weights."
    )


def _is_list_of_names(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _check_same(path: Path, ours: Detector, theirs: Detector) -> None:
    """Raises DataError where the file holds another architecture or backbone."""
    for name in ("architecture", "backbone"):
        expected, saved = getattr(ours, name), getattr(theirs, name)
        if saved != expected:
            do = f"Set detector.{name} to {saved}, or start from other weights."
            raise DataError(
                path, f"must be of a detector whose {name} is {expected}", got=saved, do=do
            )


def _check_anchors(path: Path, ours: Detector, theirs: Detector) -> None:
    """Raises DefinitionError where the detector was trained with other anchors: all that it
    proposes is relative to them.
    """
    if ours.architecture == "fcos":  # it has no anchors, and one head for all levels
        return
    for name in ("anchor_px", "aspect_ratios"):
        setting, saved = getattr(ours, name), getattr(theirs, name)
        if not _alike(setting, saved):
            rule = f"must be {saved}, with which {path} was trained"
            do = "Leave it to auto, set it to these, or start from other weights."
            raise DefinitionError(f"detector.{name}", rule, got=setting, do=do)


def _alike(numbers: Sequence[float], others: Sequence[float]) -> bool:
    """Whether two sequences are equal to within what a detector can tell apart."""
    if len(numbers) != len(others):
        return False
    pairs = zip(numbers, others, strict=True)
    return all(math.isclose(number, other, rel_tol=_LIKE_ANCHORS) for number, other in pairs)


def _load_detector(
    model: nn.Module,
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    saved_classes: tuple[str, ...],
    classes: tuple[str, ...],
) -> WeightsReport:
    """Loads another training of the same detector; the rows of its class layers by the names of
    their classes.
    """
    state = model.state_dict()
    saved_count, count = len(saved_classes) + 1, len(classes) + 1  # with the background
    _check_shapes(path, state, tensors, saved_count=saved_count, count=count)
    rows = [(0, 0)]  # of the background
    for row, label in enumerate(classes, start=1):
        if label in saved_classes:
            rows.append((saved_classes.index(label) + 1, row))
    matched = dict(tensors)
    for name, tensor in state.items():
        per_class = _rows_per_class(name)
        if per_class:
            anchors = len(tensor) // (per_class * count)
            matched[name] = _by_class(
                tensor, tensors[name], rows, saved_count=saved_count, anchors=anchors
            )
    return copy_fitting(model, matched, str(path))


def _check_shapes(
    path: Path,
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    *,
    saved_count: int,
    count: int,
) -> None:
    """Raises DataError unless the file has all tensors of the detector; class layers may have other
    numbers of rows.

    saved_count, count  number of classes of the file and of the model, background included
    """
    for name, tensor in state.items():
        if name not in tensors:
            raise DataError(path, f"must hold the whole detector, has no {name}", do=_SAVE_AGAIN)
        expected, suffix = tuple(tensor.shape), ""
        if _rows_per_class(name):
            expected = (len(tensor) // count * saved_count, *expected[1:])
            suffix = f" of {saved_count - 1} classes"
        shape = tuple(tensors[name].shape)
        if shape != expected:
            rule = f"{name} must have the shape {expected}{suffix}, as its metadata say"
            raise DataError(path, rule, got=shape, do=_SAVE_AGAIN)


def _rows_per_class(name: str) -> int:
    """How many rows of a parameter belong to one class of one anchor; 0 where it is no class layer."""
    if ".box_predictor.cls_score." in name or ".classification_head.cls_logits." in name:
        return 1
    return 4 if ".box_predictor.bbox_pred." in name else 0


def _by_class(
    layer: Tensor, saved: Tensor, rows: Sequence[tuple[int, int]], *, saved_count: int, anchors: int
) -> Tensor:
    """The class layer with the rows of the classes that the file has too.

    Classes follow one another within each anchor of a place; every class has as many rows.

    layer, saved  the parameter of the model and of the file, classes times anchors along the first
                  axis
    rows          of each common class: its number in the file, and in the model
    saved_count   number of classes of the file, background included
    """
    count = len(layer) * saved_count // len(saved)
    merged = layer.clone().reshape(anchors, count, -1)
    source = saved.reshape(anchors, saved_count, -1)
    for saved_row, row in rows:
        merged[:, row] = source[:, saved_row]
    return merged.reshape(layer.shape)


def _check_backbone(path: Path, detector: Detector, report: WeightsReport) -> None:
    """Raises DataError where a tensor of the backbone did not come from the file; counts of batches
    may be missing.
    """
    missing = [
        name for name in report.reinitialised if name.startswith(BODY) and "num_batches" not in name
    ]
    if missing:
        rule = f"must hold the backbone {detector.backbone}, has no fitting {missing[0].removeprefix(BODY)}"
        raise DataError(
            path, rule, do="Set detector.backbone to the one that the file was saved from."
        )
