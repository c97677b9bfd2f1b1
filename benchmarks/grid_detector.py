"""A small single-stage detector as a training program of one's own.

    detector="command:python benchmarks/grid_detector.py"

Each cell of a grid over the image predicts the classes and the four distances to the edges of the
object around it, in one pass and without anchors. It starts from random weights, and learns in
minutes what a detector from trained weights learns in seconds: an example of the protocol in
docs/own_program.md, not a good detector.
"""

import math

import torch
from own_program import Detections, Detector, Target, Task, run
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import batched_nms, generalized_box_iou_loss, sigmoid_focal_loss

_SIDE_PX = 320  # every image is scaled to this longer side, and padded to a square
_STRIDE = 8  # pixels between cells
_REACH = 1.5  # cells around the centre of an object, from which it is learned
_FIRST_LOGIT = math.log(0.01 / 0.99)  # at the beginning, since nearly all cells are empty
_FIRST_DISTANCE = 2.0  # cells, about
_LEAST_SCORE, _SAME_IOU, _MOST = 0.02, 0.5, 100


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(8, outputs), nn.SiLU())


class GridDetector(Detector):
    """Predicts classes and boxes of all cells in one pass."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.near = nn.Sequential(_block(3, 16, 2), _block(16, 32, 2), _block(32, 64, 2))
        self.far = nn.Sequential(_block(64, 96, 2), _block(96, 128, 2), _block(128, 64))
        self.joint = nn.Sequential(_block(128, 64), _block(64, 64))
        self.classes = nn.Conv2d(64, len(task.classes), 1)
        self.distances = nn.Conv2d(64, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, 3, h, w) to class logits (n, h/8 * w/8, classes) and distances (n, h/8 * w/8, 4)
        in pixels: left, top, right, bottom of the cell's centre.
        """
        near = self.near(images)
        far = functional.interpolate(self.far(near), size=near.shape[-2:])
        cells = self.joint(torch.cat([near, far], dim=1))
        logits = self.classes(cells) + _FIRST_LOGIT
        distances = functional.softplus(self.distances(cells) + _FIRST_DISTANCE) * _STRIDE
        return logits.flatten(2).mT, distances.flatten(2).mT

    def loss(self, images: list[Tensor], targets: list[Target]) -> Tensor:
        """Focal loss of the classes and GIoU loss of the boxes, per cell with an object."""
        squares = [_square(image) for image in images]
        logits, distances = self(torch.stack([square for square, _ in squares]))
        centres = _centres().to(logits.device)
        expected = torch.zeros_like(logits)
        boxes_loss, cells = logits.sum() * 0, 0
        for i, (target, (_, scale)) in enumerate(zip(targets, squares, strict=True)):
            boxes = target.boxes * scale
            owners = _owners(centres, boxes)
            (filled,) = torch.nonzero(owners >= 0, as_tuple=True)
            expected[i, filled, target.labels[owners[filled]]] = 1
            predicted = _edges(centres[filled], distances[i, filled])
            nearby = boxes[owners[filled]]
            boxes_loss = boxes_loss + generalized_box_iou_loss(predicted, nearby, reduction="sum")
            cells += len(filled)
        # alpha -1: objects and background weigh the same
        classes_loss = sigmoid_focal_loss(logits, expected, alpha=-1, reduction="sum")
        return (classes_loss + boxes_loss) / max(1, cells)

    def detect(self, image: Tensor) -> Detections:
        square, scale = _square(image)
        logits, distances = self(square[None])
        scores = logits[0].sigmoid()
        cells, labels = torch.nonzero(scores > _LEAST_SCORE, as_tuple=True)
        centres = _centres().to(logits.device)
        boxes = _edges(centres[cells], distances[0, cells]) / scale
        return _suppressed(Detections(boxes=boxes, labels=labels, scores=scores[cells, labels]))


def _centres() -> Tensor:
    """(cells, 2) centres of all cells in pixels, x and y."""
    along = torch.arange(_SIDE_PX // _STRIDE)
    y, x = torch.meshgrid(along, along, indexing="ij")
    return (torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * _STRIDE


def _edges(centres: Tensor, distances: Tensor) -> Tensor:
    """(cells, 4) boxes from centres (cells, 2) and distances (cells, 4)."""
    return torch.cat([centres - distances[:, :2], centres + distances[:, 2:]], dim=1)


def _owners(centres: Tensor, boxes: Tensor) -> Tensor:
    """(cells,) the object that each cell learns: the smallest near whose centre it lies; -1 for
    none.
    """
    if not len(boxes):
        return torch.full((len(centres),), -1, device=centres.device)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres[:, None] > boxes[:, :2]) & (centres[:, None] < boxes[:, 2:])).all(dim=2)
    is_near = (centres[:, None] - middles).abs().amax(dim=2) < _REACH * _STRIDE
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).expand(len(centres), -1)
    areas = areas.masked_fill(~(inside & is_near), math.inf)
    least, owner = areas.min(dim=1)
    return owner.masked_fill(least.isinf(), -1)


def _square(image: Tensor) -> tuple[Tensor, float]:
    """An image scaled and padded to the side that the model sees, and its scale."""
    scale = _SIDE_PX / max(image.shape[-2:])
    height, width = (max(1, round(side * scale)) for side in image.shape[-2:])
    size = (height, width)
    scaled = functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    return functional.pad(scaled, (0, _SIDE_PX - width, 0, _SIDE_PX - height), value=0.5), scale


def _suppressed(detections: Detections) -> Detections:
    """The detections without those that overlap a more confident one of their class."""
    boxes, labels, scores = detections.boxes, detections.labels, detections.scores
    kept = batched_nms(boxes, scores, labels, _SAME_IOU)[:_MOST]
    return Detections(boxes=boxes[kept], labels=labels[kept], scores=scores[kept])


if __name__ == "__main__":
    run(GridDetector)
