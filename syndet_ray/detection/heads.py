"""Heads: parts of torchvision's detectors that work at any scale, width and precision."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import Conv2dNormActivation, MultiScaleRoIAlign

from syndet_ray.detection.backbones import STRIDES
from syndet_ray.detection.precision import ReducedSequential, reduced_precision

# Anchors up to 48 px stand 8 px apart, up to 96 px 16 px, and so on: at most a third of their size,
# except for small ones. Only the smallest stand 4 px apart: with four times as many anchors a step
# takes half as long again.
_STRIDE_8_UP_TO_PX, _STRIDE_4_BELOW_PX = 48.0, 16.0
CELLS = 14  # a side, into which a light box head cuts a region: a pip of a die is a tenth of it
HEAD_WIDTH = 256  # features of a region: a quarter of torchvision's, for a CPU core
_HEAD_CHANNELS = 64  # of the convolutions of a light box head, as many as a narrow pyramid has
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Normalisation of the images that a backbone's weights were trained on.

    Pixels, 0 to 1, minus the mean, divided by the deviation; of R, G, B.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION


class NativeScale(GeneralizedRCNNTransform):
    """Takes images as they are: they were brought to the working scale when they were read.

    torchvision's own `_skip_resize` has an effect in training only: to predict, it would still
    enlarge a 640 px photo to 800 px.
    """

    def __init__(self, normalisation: Normalisation) -> None:
        mean, deviation = list(normalisation.mean), list(normalisation.deviation)
        super().__init__(1, 1, mean, deviation, size_divisible=max(STRIDES))

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Returns the image and its target as they are."""
        return image, target


class Anchors(AnchorGenerator):
    """Anchors as far apart as the cells of the maps that they stand on.

    torchvision divides the side of the image by that of the map, so that its distance depends on
    the image where the coarsest map is rounded up: 60 px instead of 64 in an image of 480.

    sizes       px, of each map, smallest first; continued if a map has fewer than others: one
                head serves all maps
    ratios      height / width, of every map
    strides_px  of each map
    """

    def __init__(
        self, sizes: Sequence[Sequence[float]], ratios: Sequence[float], strides_px: Sequence[int]
    ) -> None:
        counts = tuple(len(map_sizes) for map_sizes in sizes)
        continued = tuple(_continue_sizes(map_sizes, max(counts)) for map_sizes in sizes)
        super().__init__(continued, (tuple(ratios),) * len(sizes))
        self._counts = counts
        self._strides_px = tuple(strides_px)

    @property
    def sizes_px(self) -> tuple[float, ...]:
        """The sizes on all maps, smallest first, each once, without those that continue a map."""
        distinct: set[float] = set()
        for map_sizes, count in zip(self.sizes, self._counts, strict=True):
            distinct.update(map_sizes[:count])
        return tuple(sorted(distinct))

    def grid_anchors(self, grid_sizes: list[list[int]], strides: Any) -> list[Tensor]:
        """The anchors of each map, at its own stride instead of the one torchvision computes."""
        return super().grid_anchors(grid_sizes, [[px, px] for px in self._strides_px])


class RegionAlign(MultiScaleRoIAlign):
    """Cuts regions out of maps, at the scale of the padded image.

    torchvision computes the scale from the first image before padding, and rounds it: for 66 px it
    takes half of it.
    """

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """image_shapes: (height, width) of each image before padding."""
        shapes = [(padded_side(height), padded_side(width)) for height, width in image_shapes]
        return super().forward(x, boxes, shapes)


class ReducedMLPHead(TwoMLPHead):
    """Two fully connected layers in bfloat16 if that is faster; returns float32."""

    def forward(self, x: Tensor) -> Tensor:
        with reduced_precision(x.device):
            return super().forward(x).float()


class LightBoxHead(nn.Module):
    """Reads a region at a resolution that shows small marks, and halves it twice."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        channels = _HEAD_CHANNELS
        first = Conv2dNormActivation(in_channels, channels, stride=2)
        second = Conv2dNormActivation(channels, channels, stride=2)
        self.halve = ReducedSequential(first, second)
        side = math.ceil(math.ceil(CELLS / 2) / 2)
        self.read = nn.Linear(channels * side**2, HEAD_WIDTH)

    def forward(self, regions: Tensor) -> Tensor:
        """regions (n, in_channels, 14, 14); returns (n, 256)."""
        features = self.halve(regions).flatten(1)
        return nn.functional.relu(self.read(features))


class SharedBoxPredictor(nn.Module):
    """Scores of each class, and one box for all classes; torchvision has a box for each class.

    A shared box learns from every object, not from those of one class alone: with few photos it
    fits better.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self._classes = classes
        self.cls_score = nn.Linear(width, classes)
        self.box = nn.Linear(width, 4)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scores (n, classes) and deltas (n, 4 * classes), the same for each class.

        regions  (n, width)
        """
        deltas = self.box(regions).repeat(1, self._classes)
        return self.cls_score(regions), deltas


def padded_side(side: int) -> int:
    """The side of an image with its padding: a multiple of the network's greatest stride."""
    greatest = max(STRIDES)
    return math.ceil(side / greatest) * greatest


def anchors_by_level(anchor_px: Sequence[float], levels: int) -> dict[int, tuple[float, ...]]:
    """Distributes anchor sizes over the levels of a pyramid that begins at stride 4.

    Levels without any are left out.

    anchor_px  smallest first
    """
    by_level: dict[int, list[float]] = {}
    for size in anchor_px:
        octaves = math.floor(math.log2(size / _STRIDE_8_UP_TO_PX)) + 1
        level = 0 if size < _STRIDE_4_BELOW_PX else 1 + max(octaves, 0)
        by_level.setdefault(min(level, levels - 1), []).append(size)
    return {level: tuple(sizes) for level, sizes in sorted(by_level.items())}


def _continue_sizes(sizes: Sequence[float], count: int) -> tuple[float, ...]:
    """`count` sizes: those of the map, then each sqrt(2) times the one before."""
    longer = list(sizes)
    while len(longer) < count:
        longer.append(longer[-1] * math.sqrt(2))
    return tuple(longer)
