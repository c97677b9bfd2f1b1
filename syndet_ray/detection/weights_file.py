"""Weights files (.safetensors): a whole detector that syndet_ray saved, or another backbone."""

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

# Prefixes of the names of a backbone's tensors: in our detectors, in torchvision's, and in
# torchvision's classifiers.
BODY, TORCHVISION_BODY, TORCHVISION_FEATURES = "backbone.body.net.", "backbone.body.", "features."
# Relative difference up to which anchors are the same to a detector: a user may set 34 where 33.94
# was settled.
_LIKE_ANCHORS = 0.01
_SAVE_AGAIN = "Save the model again."


@dataclass(frozen=True, kw_only=True)
class WeightsReport:
    """Starting weights by parameter name: loaded, skipped or random.

    loaded         copied without a change
    skipped        in the file, but of no use to this model
    reinitialised  in this model, but missing in the file or of another shape
    source         of the weights, as a Detector names it
    """

    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()
    source: str = "none"

    @staticmethod
    def of(saved: Mapping[str, Any]) -> "WeightsReport":
        """The report whose `asdict` was saved as JSON."""
        return WeightsReport(
            loaded=tuple(saved["loaded"]),
            skipped=tuple(saved["skipped"]),
            reinitialised=tuple(saved["reinitialised"]),
            source=saved["source"],
        )

    def __str__(self) -> str:
        loaded, skipped = len(self.loaded), len(self.skipped)
        return f"{loaded} loaded, {skipped} skipped, {len(self.reinitialised)} re-initialised"


def copy_fitting(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> WeightsReport:
    """Copies the tensors of `source` into the model that fit by name and shape."""
    state = model.state_dict()
    fitting = {}
    for name, tensor in tensors.items():
        if name in state and state[name].shape == tensor.shape:
            fitting[name] = tensor
    model.load_state_dict(fitting, strict=False)
    return WeightsReport(
        loaded=tuple(sorted(fitting)),
        skipped=tuple(sorted(set(tensors) - set(fitting))),
        reinitialised=tuple(sorted(set(state) - set(fitting))),
        source=source if fitting else "none",
    )


@dataclass(frozen=True, kw_only=True)
class SavedDetector:
    """A whole detector in a file, by its metadata: its settings, and the names of its classes."""

    detector: Detector
    classes: tuple[str, ...]


def saved_detector(path: Path) -> SavedDetector | None:
    """The detector that a file's metadata describe; None for a file of another program.

    Raises DataError for a file that cannot be read, and for metadata that describe no detector:
    another program may have written them.
    """
    import timm

    facts = _facts(path)
    if "detector" not in facts:
        return None
    classes = facts.get("classes")
    if not _is_list_of_names(classes):
        rule = "must name the classes of its detector in its metadata"
        raise DataError(path, rule, got=classes, do=_SAVE_AGAIN)
    try:
        detector = Detector.model_validate(facts["detector"])
    except ValidationError as error:
        reason = str(definition_error("detector", error)).rstrip(".")
        rule = f"must describe its detector in its metadata ({reason})"
        raise DataError(path, rule, do=_SAVE_AGAIN) from None
    for name, value in detector.model_dump().items():
        if value == "auto":
            rule = f"must give detector.{name} in its metadata"
            raise DataError(path, rule, got=value, do=_SAVE_AGAIN)
    if detector.backbone not in COCO_DETECTORS and not timm.is_model(detector.backbone):
        rule = "must name a backbone in its metadata that timm knows"
        raise DataError(path, rule, got=detector.backbone, do=_SAVE_AGAIN)
    return SavedDetector(detector=detector, classes=tuple(classes))


def load_file(
    model: nn.Module, detector: Detector, path: Path, classes: tuple[str, ...]
) -> WeightsReport:
    """Loads the whole detector that syndet_ray saved into a file, or the backbone in it.

    Raises DataError for a file that cannot be read, whose metadata do not fit its tensors, or that
    holds something else; DefinitionError if its detector was trained with other anchors.
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
    """The model's name for a tensor of a file; the name in the file if the model has none.

    The file may hold a whole detector, or a backbone by timm or torchvision.
    """
    if name.startswith("backbone."):
        return name if name.startswith(BODY) else name.replace(TORCHVISION_BODY, BODY, 1)
    for candidate in (*names_in_features(name), name.removeprefix(TORCHVISION_FEATURES)):
        if BODY + candidate in names:
            return BODY + candidate
    return name


def _facts(path: Path) -> dict[str, Any]:
    """The detector and its classes in a file's metadata, as JSON values.

    Raises DataError.
    """
    try:
        with safe_open(path, "pt") as file:
            texts = file.metadata() or {}
        names = [name for name in ("detector", "classes") if name in texts]
        return {name: json.loads(texts[name]) for name in names}
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
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(name, str) for name in value)


def _check_same(path: Path, ours: Detector, theirs: Detector) -> None:
    """Raises DataError if the file holds another architecture or backbone."""
    for name in ("architecture", "backbone"):
        expected, saved = getattr(ours, name), getattr(theirs, name)
        if saved != expected:
            rule = f"must be of a detector whose {name} is {expected}"
            do = f"Set detector.{name} to {saved}, or start from other weights."
            raise DataError(path, rule, got=saved, do=do)


def _check_anchors(path: Path, ours: Detector, theirs: Detector) -> None:
    """Raises DefinitionError if the detector was trained with other anchors.

    All boxes that it proposes are relative to its anchors.
    """
    if ours.architecture == "fcos":  # it has no anchors, and one head for all levels
        return
    for name in ("anchor_px", "aspect_ratios"):
        setting, saved = getattr(ours, name), getattr(theirs, name)
        if not _nearly_equal(setting, saved):
            rule = f"must be {saved}, with which {path} was trained"
            do = "Leave it to auto, set it to these, or start from other weights."
            raise DefinitionError(f"detector.{name}", rule, got=setting, do=do)


def _nearly_equal(numbers: Sequence[float], others: Sequence[float]) -> bool:
    """True if two sequences are equal, up to a difference that means nothing to a detector."""
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
    """Loads another training of the same detector.

    The rows of its class layers are matched by the names of their classes.
    """
    state = model.state_dict()
    saved_count = len(saved_classes) + 1  # with the background
    count = len(classes) + 1
    _check_shapes(path, state, tensors, saved_count=saved_count, count=count)
    rows = [(0, 0)]  # of the background
    for row, label in enumerate(classes, start=1):
        if label in saved_classes:
            rows.append((saved_classes.index(label) + 1, row))
    matched = dict(tensors)
    for name, tensor in state.items():
        rows_per_class = _rows_per_class(name)
        if rows_per_class:
            saved = tensors[name]
            anchors = len(tensor) // (rows_per_class * count)
            matched[name] = _by_class(tensor, saved, rows, saved_count=saved_count, anchors=anchors)
    return copy_fitting(model, matched, str(path))


def _check_shapes(
    path: Path,
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    *,
    saved_count: int,
    count: int,
) -> None:
    """Raises DataError unless the file has all tensors of the detector.

    Class layers may have other numbers of rows.

    saved_count, count  number of classes of the file and of the model, background included
    """
    for name, tensor in state.items():
        if name not in tensors:
            raise DataError(path, f"must hold the whole detector, has no {name}", do=_SAVE_AGAIN)
        expected, suffix = tuple(tensor.shape), ""
        if _rows_per_class(name):
            rows = len(tensor) // count * saved_count
            expected = (rows, *expected[1:])
            suffix = f" of {saved_count - 1} classes"
        shape = tuple(tensors[name].shape)
        if shape != expected:
            rule = f"{name} must have the shape {expected}{suffix}, as its metadata say"
            raise DataError(path, rule, got=shape, do=_SAVE_AGAIN)


def _rows_per_class(name: str) -> int:
    """The number of rows of a parameter for one class of one anchor; 0 for other layers."""
    if ".box_predictor.cls_score." in name or ".classification_head.cls_logits." in name:
        return 1
    if ".box_predictor.bbox_pred." in name:
        return 4
    return 0


def _by_class(
    layer: Tensor, saved: Tensor, rows: Sequence[tuple[int, int]], *, saved_count: int, anchors: int
) -> Tensor:
    """The class layer with the rows of the classes that the file has too.

    Classes follow one another within each anchor; all classes have the same number of rows.

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
    """Raises DataError if a tensor of the backbone did not come from the file.

    Counts of batches may be missing.
    """
    for name in report.reinitialised:
        if name.startswith(BODY) and "num_batches" not in name:
            missing = name.removeprefix(BODY)
            rule = f"must hold the backbone {detector.backbone}, has no fitting {missing}"
            do = "Set detector.backbone to the one that the file was saved from."
            raise DataError(path, rule, do=do)
