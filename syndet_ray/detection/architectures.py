"""Architectures: torchvision's detectors around any backbone, at the scale of their photos."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    FCOS,
    FasterRCNN,
    RetinaNet,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from syndet_ray.definitions.recipe import Detector
from syndet_ray.detection.backbones import STRIDES, Backbone, FeatureExtractor, timm_backbone
from syndet_ray.detection.heads import (
    CELLS,
    HEAD_WIDTH,
    Anchors,
    LightBoxHead,
    NativeScale,
    Normalisation,
    ReducedMLPHead,
    RegionAlign,
    SharedBoxPredictor,
    anchors_by_level,
)
from syndet_ray.detection.ignoring import (
    IgnoringFCOSHead,
    IgnoringRetinaNetHead,
    IgnoringRoIHeads,
    IgnoringRPN,
)
from syndet_ray.detection.precision import ReducedSequential, full
from syndet_ray.detection.samples import ImageSampler
from syndet_ray.errors import DefinitionError

# Detections below this confidence cost time and hardly change AP.
_LEAST_SCORE = 0.02
# COCO counts the best 100 of a class in an image; a crowded tray may need more.
_DETECTIONS_PER_IMAGE = 300
# Both, under the names in torchvision's constructors.
_KEPT_BY_TWO_STAGES: dict[str, Any] = {
    "box_score_thresh": _LEAST_SCORE,
    "box_detections_per_img": _DETECTIONS_PER_IMAGE,
}
_KEPT_BY_ONE_STAGE: dict[str, Any] = {
    "score_thresh": _LEAST_SCORE,
    "detections_per_img": _DETECTIONS_PER_IMAGE,
}
_WIDE_CHANNELS = 256  # of torchvision's own pyramids, which its heads are made for
# torchvision's own: cells a side of a region, and channels of its box head
_WIDE_CELLS, _WIDE_HEAD = 7, 1024
# torchvision's COCO detectors were trained with these, one size for each of their levels.
COCO_ANCHORS_PX, COCO_RATIOS = (32.0, 64.0, 128.0, 256.0, 512.0), (0.5, 1.0, 2.0)


class _FullPrecision(nn.Module):
    """Mixed into a detector of torchvision's: it computes in float32, except in the parts that use
    `reduced_precision` or are a `ReducedSequential`.
    """

    def forward(self, images: list[Tensor], targets: Any = None) -> Any:
        with full(images[0].device):
            return super().forward(images, targets)


class TwoStageDetector(_FullPrecision, FasterRCNN):
    """Faster R-CNN (Ren et al. 2015)."""


class AnchorDetector(_FullPrecision, RetinaNet):
    """RetinaNet (Lin et al. 2017)."""


class PointDetector(_FullPrecision, FCOS):
    """FCOS (Tian et al. 2019)."""


_NAMES: Mapping[type[nn.Module], str] = {
    TwoStageDetector: "faster_rcnn",
    AnchorDetector: "retinanet",
    PointDetector: "fcos",
}


def assemble(detector: Detector, classes: int, normalisation: Normalisation) -> nn.Module:
    """Builds a detector of `classes` classes and background (label 0), with random weights.

    Its first stages are frozen. Raises DefinitionError for a backbone, a number of frozen stages,
    or anchors that cannot be built.
    """
    if detector.backbone in COCO_DETECTORS:
        model = COCO_DETECTORS[detector.backbone](detector, classes)
    else:
        has_weights = detector.weights != "none"
        backbone = timm_backbone(detector.backbone, detector.frozen_stages, fixed_norms=has_weights)
        model = _ARCHITECTURES[detector.architecture](detector, backbone, classes)
    model.transform = NativeScale(normalisation)
    return model


def loss_count(model: nn.Module, images: int) -> int:
    """The number of terms that the losses of the model's last batch are means of.

    They are its images; for FCOS the points that learn an object, of which there may be none.
    """
    if not isinstance(model, PointDetector):
        return images
    head: Any = model.head
    return int(head.object_points)


def architecture_of(model: nn.Module) -> str:
    """The architecture of a model, as a Detector names it."""
    return _NAMES[type(model)]


def _faster_rcnn(detector: Detector, backbone: Backbone, classes: int) -> nn.Module:
    names, channels = backbone.levels, backbone.out_channels
    sizes, ratios = _anchors(detector, len(names))
    anchors = Anchors(tuple(sizes.values()), ratios, _strides_px(sizes))
    head = RPNHead(channels, anchors.num_anchors_per_location()[0])
    settings: dict[str, Any]
    if backbone.wide:
        box_head: nn.Module = TwoMLPHead(channels * _WIDE_CELLS**2, _WIDE_HEAD)
        predictor: nn.Module = FastRCNNPredictor(_WIDE_HEAD, classes + 1)
        align = MultiScaleRoIAlign(list(names[:-1]), _WIDE_CELLS, sampling_ratio=2)
        settings = {}
    else:
        box_head = LightBoxHead(channels)
        predictor = SharedBoxPredictor(HEAD_WIDTH, classes + 1)
        align = MultiScaleRoIAlign(list(names[:-1]), CELLS, sampling_ratio=1)
        settings = _LIGHT
    model = TwoStageDetector(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_head=head,
        box_roi_pool=align,
        box_head=box_head,
        box_predictor=predictor,
        **_KEPT_BY_TWO_STAGES,
        **settings,
    )
    return _two_stage(model, tuple(names[level] for level in sizes))


# For a CPU core: fewer samples and proposals than torchvision's, whose assignment would take longer
# than the network.
_LIGHT: dict[str, Any] = {
    "box_batch_size_per_image": 32,
    "box_positive_fraction": 0.5,
    "rpn_fg_iou_thresh": 0.6,
    "rpn_batch_size_per_image": 128,
    "rpn_pre_nms_top_n_train": 256,
    "rpn_post_nms_top_n_train": 96,
    "rpn_pre_nms_top_n_test": 600,
    "rpn_post_nms_top_n_test": 300,
}


def _retinanet(detector: Detector, backbone: Backbone, classes: int) -> nn.Module:
    sizes, ratios = _anchors(detector, len(backbone.levels))
    backbone.levels = tuple(backbone.levels[level] for level in sizes)
    anchors = Anchors(tuple(sizes.values()), ratios, _strides_px(sizes))
    head = IgnoringRetinaNetHead(
        backbone.out_channels, anchors.num_anchors_per_location()[0], classes + 1
    )
    for part in (head.classification_head, head.regression_head):
        _amplify(part.conv, backbone.out_channels)
        _change_class(part.conv, ReducedSequential)
    return AnchorDetector(
        backbone, classes + 1, anchor_generator=anchors, head=head, **_KEPT_BY_ONE_STAGE
    )


def _fcos(detector: Detector, backbone: Backbone, classes: int) -> nn.Module:
    sizes, _ = _anchors(detector, len(backbone.levels))
    # Without a gap: a level gets the objects that are too large for the one before it.
    levels = range(min(sizes), max(sizes) + 1)
    backbone.levels = tuple(backbone.levels[level] for level in levels)
    strides = _strides_px(levels)
    # One point for each cell of a map, as large as its stride.
    anchors = Anchors([(stride,) for stride in strides], (1.0,), strides)
    head = IgnoringFCOSHead(backbone.out_channels, 1, classes + 1)
    for part in (head.classification_head, head.regression_head):
        _change_class(part.conv, ReducedSequential)
    return PointDetector(
        backbone, classes + 1, anchor_generator=anchors, head=head, **_KEPT_BY_ONE_STAGE
    )


_ARCHITECTURES: Mapping[str, Callable[[Detector, Backbone, int], nn.Module]] = {
    "faster_rcnn": _faster_rcnn,
    "retinanet": _retinanet,
    "fcos": _fcos,
}


_UNTRAINED: dict[str, Any] = {"weights": None, "weights_backbone": None}


def _resnet50(detector: Detector, classes: int) -> nn.Module:
    model = fasterrcnn_resnet50_fpn_v2(num_classes=classes + 1, **_UNTRAINED, **_KEPT_BY_TWO_STAGES)
    ends = ("bn1", "layer1", "layer2", "layer3", "layer4")
    sizes = [(size,) for size in coco_anchors(detector)]
    strides = _strides_px(range(5))
    return _coco_detector("resnet50_fpn_v2", model, detector, ends, sizes=sizes, strides_px=strides)


def _mobilenet(detector: Detector, classes: int) -> nn.Module:
    model = fasterrcnn_mobilenet_v3_large_fpn(
        num_classes=classes + 1, **_UNTRAINED, **_KEPT_BY_TWO_STAGES
    )
    blocks = dict(model.backbone.body.named_children())
    # torchvision marks the blocks at which the stride doubles: a stage ends before each of them
    starts = [name for name, block in blocks.items() if getattr(block, "_is_cn", False)]
    ends = [str(int(name) - 1) for name in starts]
    ends.append(list(blocks)[-1])
    sizes = [coco_anchors(detector)] * 3
    return _coco_detector(
        "mobilenet_v3_large_fpn", model, detector, ends, sizes=sizes, strides_px=(32, 32, 64)
    )


# torchvision's detectors that have COCO weights, by our names for their backbones.
COCO_DETECTORS: Mapping[str, Callable[[Detector, int], nn.Module]] = {
    "resnet50_fpn_v2": _resnet50,
    "mobilenet_v3_large_fpn": _mobilenet,
}


def _coco_detector(
    name: str,
    model: FasterRCNN,
    detector: Detector,
    ends: Sequence[str],
    *,
    sizes: Sequence[tuple[float, ...]],
    strides_px: Sequence[int],
) -> nn.Module:
    """torchvision's detector with our backbone, anchors and two stages.

    Raises DefinitionError for another architecture.

    ends               the last module of each stage of its backbone, by name
    sizes, strides_px  of the anchors, for each map
    """
    if detector.architecture != "faster_rcnn":
        rule = (
            f"must be faster_rcnn with the backbone {name}: it is a whole detector of torchvision's"
        )
        raise DefinitionError("detector.architecture", rule, got=detector.architecture)
    frozen = len(ends) if detector.frozen_stages == "all" else int(detector.frozen_stages)
    has_weights = detector.weights != "none"
    original: Any = model.backbone
    maps = len(original.fpn.inner_blocks)
    levels = (*map(str, range(maps)), "pool")
    body = FeatureExtractor(original.body, ends, range(maps), frozen, fixed_norms=has_weights)
    model.backbone = Backbone(body, original.fpn, original.out_channels, levels, name=name)
    ratios = tuple(map(float, detector.aspect_ratios))
    model.rpn.anchor_generator = Anchors(sizes, ratios, strides_px)
    _change_class(model, TwoStageDetector)
    return _two_stage(model, levels)


def coco_anchors(detector: Detector) -> tuple[float, ...]:
    """The anchor sizes of one of COCO_DETECTORS.

    Raises DefinitionError for more or fewer anchors than its weights have.
    """
    sizes = tuple(map(float, detector.anchor_px))
    _check_count("detector.anchor_px", sizes, len(COCO_ANCHORS_PX), detector)
    _check_count("detector.aspect_ratios", detector.aspect_ratios, len(COCO_RATIOS), detector)
    return sizes


def _check_count(path: str, numbers: Sequence[Any], count: int, detector: Detector) -> None:
    if len(numbers) != count:
        rule = f"must be {count} numbers with the backbone {detector.backbone}, to fit its weights"
        raise DefinitionError(path, rule, got=numbers)


def _strides_px(levels: Iterable[int]) -> tuple[int, ...]:
    """The strides of levels of the pyramid, whose level 0 has stride 4."""
    return tuple(STRIDES[0] * 2**level for level in levels)


def _anchors(
    detector: Detector, levels: int
) -> tuple[dict[int, tuple[float, ...]], tuple[float, ...]]:
    """The anchor sizes by level of a pyramid of `levels` levels, and their aspect ratios."""
    assert detector.anchor_px != "auto" and detector.aspect_ratios != "auto", (
        "settle the detector before it is built"
    )
    return anchors_by_level(detector.anchor_px, levels), detector.aspect_ratios


def _two_stage(model: FasterRCNN, levels: tuple[str, ...]) -> nn.Module:
    """The model with ignored regions, proposals from these levels only, and bfloat16 layers."""
    _change_class(model.rpn, IgnoringRPN)
    model.rpn.levels = levels
    _change_class(model.roi_heads, IgnoringRoIHeads)
    for stage in (model.rpn, model.roi_heads):
        _change_class(stage.fg_bg_sampler, ImageSampler)
    _change_class(model.roi_heads.box_roi_pool, RegionAlign)
    _change_class(model.rpn.head.conv, ReducedSequential)
    reduced_heads = {FastRCNNConvFCHead: ReducedSequential, TwoMLPHead: ReducedMLPHead}
    box_head = model.roi_heads.box_head
    if type(box_head) in reduced_heads:
        _change_class(box_head, reduced_heads[type(box_head)])
    return model


def _amplify(layers: nn.Module, channels: int) -> None:
    """Scales the random weights of convolutions, so that a narrow head starts with full signals.

    torchvision draws them for 256 channels. RetinaNet's four layers have no norms: with 64 channels
    only a thousandth of the signal would pass.
    """
    factor = math.sqrt(_WIDE_CHANNELS / channels)
    with torch.no_grad():
        for layer in layers.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.mul_(factor)


def _change_class(module: Any, kind: type) -> None:
    """Changes the class of `module` to `kind`, which adds no state.

    torchvision's constructors do not let us choose the class.
    """
    module.__class__ = kind
