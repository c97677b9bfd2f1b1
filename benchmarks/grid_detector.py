"""A small single-stage detector as a training program of one's own.

    detector="command:python benchmarks/grid_detector.py"

Each cell of a grid over the image predicts the classes and the four distances to the edges of the
object around it, in one pass and without anchors. It starts from random weights, and learns in
minutes what a detector from trained weights learns in seconds: an example of the protocol in
docs/own_program.md, not a good detector.
"""

import math
from typing import Any

import torch
from own_program import Detections, Images, Order, Task, load, report, save, write_predictions
from torch import Tensor, nn
from torch.nn import functional

_SIDE_PX = 320  # every image is scaled to this longer side, and padded to a square
_STRIDE = 8  # pixels between cells
_REACH = 1.5  # cells around the centre of an object, from which it is learned
_FIRST_LOGIT = math.log(0.01 / 0.99)  # at the beginning, since nearly all cells are empty
_FIRST_DISTANCE = 2.0  # cells, about
_LEAST_SCORE, _SAME_IOU, _MOST = 0.02, 0.5, 100


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(8, outputs), nn.SiLU())


class GridDetector(nn.Module):
    """Maps (n, 3, h, w) to class logits (n, classes, h/8, w/8) and distances (n, 4, h/8, w/8) in
    pixels: left, top, right, bottom of the cell's centre.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.near = nn.Sequential(_block(3, 16, 2), _block(16, 32, 2), _block(32, 64, 2))
        self.far = nn.Sequential(_block(64, 96, 2), _block(96, 128, 2), _block(128, 64))
        self.joint = nn.Sequential(_block(128, 64), _block(64, 64))
        self.classes, self.distances = nn.Conv2d(64, classes, 1), nn.Conv2d(64, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        near = self.near(images)
        far = functional.interpolate(self.far(near), size=near.shape[-2:])
        cells = self.joint(torch.cat([near, far], dim=1))
        distances = functional.softplus(self.distances(cells) + _FIRST_DISTANCE)
        return self.classes(cells) + _FIRST_LOGIT, distances * _STRIDE


def _centres(rows: int, columns: int) -> Tensor:
    """(rows * columns, 2) centres of all cells in pixels, x and y."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return (torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * _STRIDE


def _edges(centres: Tensor, distances: Tensor) -> Tensor:
    """(cells, 4) boxes from centres (cells, 2) and distances (cells, 4)."""
    return torch.cat([centres - distances[:, :2], centres + distances[:, 2:]], dim=1)


def _iou(boxes: Tensor, others: Tensor) -> Tensor:
    """(n,) GIoU of pairs of boxes: IoU less the empty share of the box around both."""
    (first, last), (other_first, other_last) = boxes.split(2, dim=1), others.split(2, dim=1)
    overlap = torch.minimum(last, other_last) - torch.maximum(first, other_first)
    around = torch.maximum(last, other_last) - torch.minimum(first, other_first)
    shared = overlap.clamp(min=0).prod(dim=1)
    areas = (last - first).prod(dim=1) + (other_last - other_first).prod(dim=1)
    union = (areas - shared).clamp(min=1e-6)
    whole = around.prod(dim=1).clamp(min=1e-6)
    return shared / union - (whole - union) / whole


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


def _loss(model: GridDetector, images: Tensor, targets: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Focal loss of the classes and GIoU loss of the boxes, both for each cell with an object."""
    logits, distances = model(images)
    centres = _centres(*logits.shape[-2:]).to(logits.device)
    logits, distances = logits.flatten(2).mT, distances.flatten(2).mT
    wanted = torch.zeros_like(logits)
    boxes_loss, cells = logits.sum() * 0, 0
    for i, (boxes, labels) in enumerate(targets):
        boxes, labels = boxes.to(logits.device), labels.to(logits.device)
        owners = _owners(centres, boxes)
        (filled,) = torch.nonzero(owners >= 0, as_tuple=True)
        wanted[i, filled, labels[owners[filled]]] = 1
        predicted = _edges(centres[filled], distances[i, filled])
        boxes_loss = boxes_loss + (1 - _iou(predicted, boxes[owners[filled]])).sum()
        cells += len(filled)
    probability = logits.sigmoid()
    miss = (wanted - probability).abs() ** 2
    bce = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return ((miss * bce).sum() + boxes_loss) / max(1, cells)


def _square(image: Tensor) -> tuple[Tensor, float]:
    """An image scaled and padded to the side that the model sees, and its scale."""
    scale = _SIDE_PX / max(image.shape[-2:])
    height, width = (max(1, round(side * scale)) for side in image.shape[-2:])
    size = (height, width)
    scaled = functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    return functional.pad(scaled, (0, _SIDE_PX - width, 0, _SIDE_PX - height), value=0.5), scale


def _batch(sources: dict[str, Images], draws: list[tuple[str, int]], flip: float) -> Any:
    """Images (n, 3, side, side) and targets, some mirrored."""
    images, targets = [], []
    for source, index in draws:
        image, scale = _square(sources[source].image(index))
        boxes, labels = sources[source].target(index)
        boxes = boxes * scale
        if torch.rand(()) < flip:
            image = image.flip(-1)
            left, top, right, bottom = boxes.unbind(1)
            boxes = torch.stack([_SIDE_PX - right, top, _SIDE_PX - left, bottom], dim=1)
        images.append(image)
        targets.append((boxes, labels))
    return torch.stack(images), targets


def _suppressed(found: Detections) -> Detections:
    """The detections without those that overlap a more confident one of their class."""
    order = found.scores.argsort(descending=True)[: 4 * _MOST]
    kept: list[int] = []
    for i in order.tolist():
        same = [j for j in kept if found.labels[j] == found.labels[i]]
        others = found.boxes[same]
        if not len(same) or _iou(found.boxes[i].expand_as(others), others).max() < _SAME_IOU:
            kept.append(i)
    kept = kept[:_MOST]
    return Detections(boxes=found.boxes[kept], labels=found.labels[kept], scores=found.scores[kept])


@torch.inference_mode()
def _predict(model: GridDetector, images: Images) -> list[Detections]:
    model.eval()
    device = next(model.parameters()).device
    detections = []
    for index in range(len(images)):
        image, scale = _square(images.image(index))
        logits, distances = model(image[None].to(device))
        scores = logits[0].flatten(1).mT.sigmoid()
        cells, labels = torch.nonzero(scores > _LEAST_SCORE, as_tuple=True)
        centres = _centres(*logits.shape[-2:]).to(logits.device)
        boxes = _edges(centres[cells], distances[0].flatten(1).mT[cells]) / scale
        found = Detections(boxes=boxes, labels=labels, scores=scores[cells, labels])
        detections.append(_suppressed(found))
    model.train()
    return detections


def _rate(task: Task, images: int) -> float:
    """The factor on the learning rate: a warm-up, then a cosine, as in the recipe."""
    share, warmup = images / task.setting("training.images"), task.setting("training.warmup")
    if share < warmup:
        return share / warmup
    final = task.setting("training.final_rate")
    phase = math.pi * (share - warmup) / (1 - warmup)
    return float(final + (1 - final) * (1 + math.cos(phase)) / 2)


def _train(task: Task, model: GridDetector) -> None:
    sources = {name: Images(files, task.classes) for name, files in task.facts["sources"].items()}
    val, order = Images(task.facts["val"], task.classes), Order(task)
    rate, flip = task.setting("training.learning_rate"), task.setting("training.flip_horizontal")
    decay = task.setting("training.weight_decay")
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    seen = task.facts["images_seen"]
    restored = task.saved()
    if restored is not None:
        optimizer.load_state_dict(load(restored)["optimizer"])
    for rung in task.facts["rungs"]:
        losses = []
        for draws in order.batches(seen, rung):
            torch.manual_seed(task.facts["seed"] + seen)  # so that a restored training is the same
            for group in optimizer.param_groups:
                group["lr"] = rate * _rate(task, seen)
            images, targets = _batch(sources, draws, flip)
            loss = _loss(model, images.to(task.device), targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            seen += len(draws)
        goes_on = report(
            {
                "images": rung,
                "predictions": write_predictions(task, _predict(model, val)),
                "checkpoint": save(
                    task, {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                ),
                "metrics": {"loss": sum(losses) / len(losses)},
                "effective": {
                    "training.optimizer": "adamw",
                    "training.learning_rate": rate,
                    "training.weight_decay": optimizer.param_groups[0]["weight_decay"],
                    "training.warmup": task.setting("training.warmup"),
                    "training.final_rate": task.setting("training.final_rate"),
                    "training.flip_horizontal": flip,
                    "training.batch_size": task.setting("training.batch_size"),
                    "drawn": order.drawn(rung),
                },
            }
        )
        if not goes_on:
            return


def main() -> None:
    task = Task()
    if task.trains:
        torch.manual_seed(task.facts["seed"])
    model = GridDetector(len(task.classes))
    saved = task.saved()
    if saved is not None:
        model.load_state_dict(load(saved)["model"])
    model.to(task.device)
    if task.trains:
        _train(task, model)
        return
    detections = _predict(model, Images(task.facts["images"], task.classes))
    report({"predictions": write_predictions(task, detections)})


if __name__ == "__main__":
    main()
