"""Models by name, their starting weights, and how they are saved: safetensors and JSON, never pickle."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models.detection import (
    FasterRCNN,
    FasterRCNN_ResNet50_FPN_V2_Weights,
    fasterrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import Conv2dNormActivation, MultiScaleRoIAlign

from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.recipe import Detector

# Detections below this confidence cost time and change no AP that anybody reports.
_LEAST_SCORE = 0.02
_DETECTIONS_PER_IMAGE = 300  # COCO counts the best 100 of a class in an image; a crowded tray may need more
# fasterrcnn_tiny cuts every region into so many cells a side: a pip of a die is a tenth of it.
_ROI_CELLS = 16


@dataclass(frozen=True)
class WeightsReport:
    """What became of a file of starting weights, by parameter name.

    loaded         taken as they are
    skipped        in the file, but of no use to this model
    reinitialised  in this model, but missing from the file or of another shape
    """

    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{len(self.loaded)} loaded, {len(self.skipped)} skipped, {len(self.reinitialised)} re-initialised"


def build(detector: Detector, classes: tuple[str, ...], seed: int) -> tuple[nn.Module, WeightsReport]:
    """A model that detects `classes`, its starting weights loaded and its first stages frozen as the detector says.

    Labels are 1-based inside the model (0 is background). Weights that are not loaded depend on the seed alone.
    """
    assert detector.name != "auto", "settle the detector before it is built"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[detector.name](len(classes) + 1)
    report = _start(model, detector, classes)
    for stage in _stages(model)[: detector.frozen_stages]:
        stage.requires_grad_(False)
    return model, report


def save_model(folder: Path, model: nn.Module, detector: Detector, classes: tuple[str, ...], **about: Any) -> None:
    """Writes model.safetensors and model.json, from which `load_model` makes the model again."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"classes": json.dumps(classes)})
    facts = {"detector": detector.model_dump(), "classes": classes, **about}
    (folder / "model.json").write_text(json.dumps(facts, indent=1))


def load_model(folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The model saved in `folder`, ready to predict, and its class names."""
    try:
        facts = json.loads((folder / "model.json").read_text())
        classes = tuple(facts["classes"])
        model = MODELS[facts["detector"]["name"]](len(classes) + 1)
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(folder, f"is not a saved model ({type(error).__name__}: {error})") from None
    return model.eval(), classes


class TinyBackbone(nn.Module):
    """A small residual feature pyramid: map "0" at stride 2, for the box head, and "1" at stride 8, for proposals.

    Narrow and shallow, for training from scratch on a CPU core. Proposals need to know that there is an object; the box
    head needs to count pips, which are four pixels wide and eight apart: hence the two very different strides.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 64, 96), fine: int = 16, coarse: int = 48) -> None:
        super().__init__()
        self.fine_channels, self.out_channels = fine, coarse
        first, second, third, fourth = widths
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_conv(3, first, stride=2)),
                nn.Sequential(_conv(first, second, stride=2), Residual(second)),
                nn.Sequential(_conv(second, third, stride=2), Residual(third)),
                nn.Sequential(_conv(third, fourth, stride=2), Residual(fourth)),
            ]
        )
        self.laterals = nn.ModuleList(
            [nn.Conv2d(width, out, 1) for width, out in zip(widths, (fine, fine, coarse, coarse), strict=True)]
        )
        self.narrow = nn.Conv2d(coarse, fine, 1)
        self.smooth = _conv(coarse, coarse)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """x (b, 3, h, w), h and w multiples of 16; returns (b, 16, h/2, w/2) and (b, 48, h/8, w/8)."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=fast_bf16(x.device)):
            found = []
            x = x.contiguous(memory_format=torch.channels_last)
            for stage in self.stages:
                found.append(x := stage(x))
            first, second, third, fourth = (lateral(map) for lateral, map in zip(self.laterals, found, strict=True))
            third = third + _doubled(fourth)
            second = second + _doubled(self.narrow(third))
            fine, coarse = first + _doubled(second), self.smooth(third)
        # RoI align wants plain float32: converted in one step, for the copies show in the time of a training step.
        plain = {"dtype": torch.float32, "memory_format": torch.contiguous_format}
        return OrderedDict([("0", fine.to(**plain)), ("1", coarse.to(**plain))])


def _doubled(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0)


def fast_bf16(device: torch.device) -> bool:
    """Whether convolutions run faster in bfloat16: on GPUs, and on CPUs with instructions for it (nearly twice as fast)."""
    return device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()


class Residual(nn.Module):
    """Two 3x3 convolutions around which the input is carried (He et al. 2016, section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = Conv2dNormActivation(width, width, activation_layer=None)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x + self.second(self.first(x)))


class TinyBoxHead(nn.Module):
    """Reads a region at a resolution at which pips can be told apart, and halves it twice."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.halve = nn.Sequential(_conv(in_channels, 48, stride=2), _conv(48, 64, stride=2))
        self.read = nn.Linear(64 * (_ROI_CELLS // 4) ** 2, width)

    def forward(self, regions: Tensor) -> Tensor:
        """regions (n, in_channels, 16, 16); returns (n, width)."""
        return nn.functional.relu(self.read(self.halve(regions).flatten(1)))


class NativeScale(GeneralizedRCNNTransform):
    """Takes crops and photos at their own scale.

    torchvision's own `_skip_resize` holds in training only: to predict, it would still enlarge a 640 px photo to 800 px.
    """

    def __init__(self, size_divisible: int) -> None:
        # The mean and deviation of ImageNet, which torchvision's weights expect; the sizes are never used.
        super().__init__(1, 1, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], size_divisible)

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """The image as it is."""
        return image, target


class CoarseProposals(RegionProposalNetwork):
    """Proposes from the coarser map "1" alone: at stride 4 there would be four times the anchors for no more objects."""

    def forward(self, images: Any, features: dict[str, Tensor], targets: Any = None) -> Any:
        return super().forward(images, {"1": features["1"]}, targets)


def _conv(fan_in: int, fan_out: int, stride: int = 1) -> nn.Module:
    return Conv2dNormActivation(fan_in, fan_out, kernel_size=3, stride=stride)


def _tiny(classes: int) -> nn.Module:
    backbone = TinyBackbone()
    width = backbone.out_channels
    anchors = AnchorGenerator(sizes=((24, 40, 64, 104),), aspect_ratios=((1.0,),))
    model = FasterRCNN(
        backbone,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=_ROI_CELLS, sampling_ratio=1),
        box_head=TinyBoxHead(backbone.fine_channels, 192),
        box_predictor=FastRCNNPredictor(192, classes),
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(width, anchors.num_anchors_per_location()[0]),
        box_batch_size_per_image=24,
        box_positive_fraction=0.5,
        box_score_thresh=_LEAST_SCORE,
        box_detections_per_img=_DETECTIONS_PER_IMAGE,
    )
    model.transform = NativeScale(size_divisible=16)
    model.rpn = CoarseProposals(
        anchors,
        model.rpn.head,
        fg_iou_thresh=0.6,
        bg_iou_thresh=0.3,
        batch_size_per_image=128,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 128, "testing": 600},
        post_nms_top_n={"training": 64, "testing": 300},
        nms_thresh=0.7,
    )
    return model


def _resnet50(classes: int) -> nn.Module:
    model = fasterrcnn_resnet50_fpn_v2(
        weights=None,
        weights_backbone=None,
        num_classes=classes,
        box_score_thresh=_LEAST_SCORE,
        box_detections_per_img=_DETECTIONS_PER_IMAGE,
    )
    assert isinstance(model, FasterRCNN)
    model.transform = NativeScale(size_divisible=32)
    return model


MODELS = {"fasterrcnn_tiny": _tiny, "fasterrcnn_resnet50_fpn_v2": _resnet50}


def _stages(model: nn.Module) -> list[nn.Module]:
    """Backbone stages from the image on."""
    backbone: Any = model.backbone
    if isinstance(backbone, TinyBackbone):
        return list(backbone.stages)
    body = backbone.body
    return [nn.ModuleList([body.conv1, body.bn1]), body.layer1, body.layer2, body.layer3, body.layer4]


def _start(model: nn.Module, detector: Detector, classes: tuple[str, ...]) -> WeightsReport:
    if detector.weights == "none":
        return WeightsReport(reinitialised=tuple(model.state_dict()))
    if detector.weights == "torchvision":
        return _load_into(model, _torchvision_weights(detector), None, classes)
    path = Path(detector.weights)
    try:
        with safe_open(path, "pt") as file:
            named = json.loads((file.metadata() or {}).get("classes", "null"))
        return _load_into(model, load_file(path), named, classes)
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(path, f"is not a readable .safetensors file ({error})", do="See detector.weights.") from None


def _torchvision_weights(detector: Detector) -> dict[str, Tensor]:
    if detector.name != "fasterrcnn_resnet50_fpn_v2":
        do = "Use none, or the path of a .safetensors file."
        raise DefinitionError(
            "detector.weights", f"torchvision has no weights for {detector.name}", got="torchvision", do=do
        )
    try:
        return dict(FasterRCNN_ResNet50_FPN_V2_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        do = "Fetch them where there is a network, and name the file in detector.weights."
        raise MachineError("detector.weights", f"torchvision's weights cannot be fetched ({error})", do=do) from None


def _load_into(
    model: nn.Module, found: Mapping[str, Tensor], named: list[str] | None, classes: tuple[str, ...]
) -> WeightsReport:
    """Copies what fits by name and shape; rows of the class layers by class name, where the file names its classes."""
    own = model.state_dict()
    loaded = {name: tensor for name, tensor in found.items() if name in own and own[name].shape == tensor.shape}
    rows = [] if named is None else [(named.index(name) + 1, i + 1) for i, name in enumerate(classes) if name in named]
    if named is not None and tuple(named) != classes:
        for name, per_class in (("cls_score", 1), ("bbox_pred", 4)):
            for part in ("weight", "bias"):
                key = f"roi_heads.box_predictor.{name}.{part}"
                loaded[key] = _by_class(own[key], found[key], [(0, 0), *rows], per_class)
    model.load_state_dict(loaded, strict=False)
    return WeightsReport(
        tuple(sorted(loaded)), tuple(sorted(set(found) - set(loaded))), tuple(sorted(set(own) - set(loaded)))
    )


def _by_class(own: Tensor, found: Tensor, rows: list[tuple[int, int]], per_class: int) -> Tensor:
    """The class layer `own` with the rows of known classes taken from `found`; rows are (there, here)."""
    made = own.clone()
    for there, here in rows:
        made[here * per_class : (here + 1) * per_class] = found[there * per_class : (there + 1) * per_class]
    return made
