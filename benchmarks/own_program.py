"""The program's side of docs/own_program.md, for detectors in PyTorch: two examples share it.

A program of one's own derives a class from `Detector` and calls `run` with it. It needs PyArrow,
OpenCV and PyTorch, and nothing of syndet_ray: copy the file, and change what you need.
"""

import io
import json
import math
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pyarrow import parquet
from torch import Tensor, nn

_STATE = "state.pt"  # in the folder of a checkpoint
_MOST_GRADIENT = 5.0  # norm: one odd batch must not undo a training


@dataclass(frozen=True)
class Target:
    """The objects of an image: boxes (n, 4) as left, top, right, bottom in pixels; labels (n,) from
    0.
    """

    boxes: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Boxes (n, 4) as left, top, right, bottom in pixels; labels (n,) from 0; scores (n,)."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor


class Detector(nn.Module, ABC):
    """A model, its loss and its detections: all that a program must bring along."""

    def effective(self) -> dict[str, Any]:
        """The settings of the recipe that the detector used, such as "detector.weights"."""
        return {}

    @abstractmethod
    def loss(self, images: list[Tensor], targets: list[Target]) -> Tensor:
        """The loss of a batch; each image is (3, h, w), RGB, 0 to 1."""

    @abstractmethod
    def detect(self, image: Tensor) -> Detections:
        """The objects that it finds in an image (3, h, w), RGB, 0 to 1."""


class Task:
    """The task in the folder that is the program's last argument.

    trains  True to train, False to predict
    state   of the checkpoint to continue from or to predict with; None at the beginning
    """

    def __init__(self) -> None:
        self.folder = Path(sys.argv[-1])
        self.facts = json.loads((self.folder / "task.json").read_text(encoding="utf-8"))
        self.classes: list[str] = self.facts["classes"]
        self.device = torch.device(self.facts["device"])
        self.trains: bool = self.facts["task"] == "train"
        saved = self.facts["restore"] if self.trains else self.facts["model"]
        self.state = None if saved is None else load(Path(saved))
        # a prediction has no recipe of its own: the net is that which was trained
        self.recipe = self.facts["recipe"] if self.state is None else self.state["recipe"]
        torch.set_num_threads(self.facts["threads"])
        if fraction := self.facts.get("gpu_memory_fraction"):  # trials share the GPU
            torch.cuda.set_per_process_memory_fraction(fraction)

    def setting(self, path: str) -> Any:
        """The value of a setting of the recipe, such as training.learning_rate."""
        return self.recipe[path]


def run(make: Callable[[Task], Detector]) -> None:
    """Does the task with the detector that `make` returns for it: trains, or predicts."""
    task = Task()
    if task.trains:
        torch.manual_seed(task.facts["seed"])
    detector = make(task)
    if task.state is not None:
        detector.load_state_dict(task.state["model"])
    detector.to(task.device)
    if task.trains:
        _train(task, detector)
        return
    images = Images(task.facts["images"], task.classes)
    report({"predictions": write_predictions(task, _predict(detector, images, task.device))})


def _train(task: Task, detector: Detector) -> None:
    """Trains and reports from rung to rung."""
    val = Images(task.facts["val"], task.classes)
    training = _Training(task, detector)
    for rung in task.facts["rungs"]:
        loss = training.train_until(rung)
        predictions = _predict(detector, val, task.device)
        checkpoint = {
            "recipe": task.recipe,
            "model": detector.state_dict(),
            "optimizer": training.optimizer.state_dict(),
        }
        goes_on = report(
            {
                "images": rung,
                "predictions": write_predictions(task, predictions),
                "checkpoint": save(task, checkpoint),
                "metrics": {"loss": loss},
                "effective": training.effective() | detector.effective(),
            }
        )
        if not goes_on:
            return


class _Training:
    """A training as the recipe asks: its optimizer, rate, batches and flips."""

    def __init__(self, task: Task, detector: Detector) -> None:
        self._task, self._detector = task, detector
        files = task.facts["sources"]
        self._sources = {name: Images(files[name], task.classes) for name in files}
        self._order = Order(task)
        self._images_seen: int = task.facts["images_seen"]
        self._flips = {name: task.setting(f"training.{name}") for name in _FLIPS}
        self.optimizer = _optimizer(task, detector)
        if task.state is not None:
            self.optimizer.load_state_dict(task.state["optimizer"])

    def train_until(self, images_seen: int) -> float:
        """Trains on the batches up to a rung; returns their mean loss."""
        losses = []
        self._detector.train()
        for draws in self._order.batches(self._images_seen, images_seen):
            # so that a training which was restored goes on like one that was not
            torch.manual_seed(self._task.facts["seed"] + self._images_seen)
            losses.append(self._step(draws))
            self._images_seen += len(draws)
        return sum(losses) / len(losses)

    def effective(self) -> dict[str, Any]:
        """The settings that were used, read from the optimizer where it has them."""
        decayed = self.optimizer.param_groups[0]
        effective = {
            "training.optimizer": type(self.optimizer).__name__.lower(),
            "training.learning_rate": decayed["initial_lr"],
            "training.weight_decay": decayed["weight_decay"],
            "drawn": self._order.drawn(self._images_seen),
        }
        if "momentum" in decayed:
            effective["training.momentum"] = decayed["momentum"]
        for name, probability in self._flips.items():
            effective[f"training.{name}"] = probability
        for name in ("warmup", "final_rate", "batch_size"):
            effective[f"training.{name}"] = self._task.setting(f"training.{name}")
        return effective

    def _step(self, draws: Sequence[tuple[str, int]]) -> float:
        """Trains on one batch; returns its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * _rate(self._task, self._images_seen)
        images, targets = [], []
        for source, index in draws:
            image = self._sources[source].image(index)
            image, target = _flip(image, self._sources[source].target(index), self._flips)
            images.append(image.to(self._task.device))
            boxes, labels = target.boxes.to(self._task.device), target.labels.to(self._task.device)
            targets.append(Target(boxes, labels))
        loss = self._detector.loss(images, targets)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._detector.parameters(), _MOST_GRADIENT)
        self.optimizer.step()
        return loss.item()


def _optimizer(task: Task, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that the recipe names; biases and norms do not decay."""
    rate, decay = task.setting("training.learning_rate"), task.setting("training.weight_decay")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    matrices = [weight for weight in weights if weight.ndim > 1]
    vectors = [weight for weight in weights if weight.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": decay, "initial_lr": rate},
        {"params": vectors, "weight_decay": 0.0, "initial_lr": rate},
    ]
    if task.setting("training.optimizer") == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    return torch.optim.SGD(groups, lr=rate, momentum=task.setting("training.momentum"))


def _rate(task: Task, images_seen: int) -> float:
    """The factor on the learning rate: a linear warm-up, then half a cosine, as in the recipe."""
    images, final_rate = task.setting("training.images"), task.setting("training.final_rate")
    warmup = round(task.setting("training.warmup") * images)
    if images_seen < warmup:
        return min(1.0, (images_seen + task.setting("training.batch_size")) / warmup)
    progress = (images_seen - warmup) / max(1, images - warmup)
    return float(final_rate + (1 - final_rate) * (1 + math.cos(math.pi * progress)) / 2)


def _mirror(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    left, top, right, bottom = boxes.unbind(1)
    width = image.shape[-1]
    return image.flip(-1), torch.stack([width - right, top, width - left, bottom], dim=1)


def _transpose(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    return image.mT, boxes[:, [1, 0, 3, 2]]


def _flip_over(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    return _transpose(*_mirror(*_transpose(image, boxes)))


# by the setting of the training that has their probability
_FLIPS = {
    "flip_horizontal": _mirror,
    "flip_vertical": _flip_over,
    "transpose": _transpose,
}


def _flip(
    image: Tensor, target: Target, probabilities: Mapping[str, float]
) -> tuple[Tensor, Target]:
    """An image and its objects, flipped at random."""
    boxes = target.boxes
    for name, flip in _FLIPS.items():
        if torch.rand(()) < probabilities[name]:
            image, boxes = flip(image, boxes)
    return image, Target(boxes, target.labels)


@torch.inference_mode()
def _predict(detector: Detector, images: "Images", device: torch.device) -> list[Detections]:
    detector.eval()
    return [detector.detect(images.image(index).to(device)) for index in range(len(images))]


class Images:
    """Images of Parquet files, in their order, each decoded when it is needed."""

    def __init__(self, files: Sequence[str], classes: Sequence[str]) -> None:
        self._rows: list[dict[str, Any]] = []
        for file in files:
            self._rows += parquet.read_table(file, columns=["image", "boxes"]).to_pylist()
        self._classes = list(classes)

    def __len__(self) -> int:
        return len(self._rows)

    def image(self, index: int) -> Tensor:
        """(3, h, w) float32, RGB, 0 to 1."""
        encoded = np.frombuffer(self._rows[index]["image"], np.uint8)
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert bgr is not None, index
        return torch.from_numpy(bgr[:, :, ::-1].copy()).permute(2, 0, 1).float() / 255

    def target(self, index: int) -> Target:
        """The objects; areas with many of them in one box are left out."""
        boxes = [box for box in self._rows[index]["boxes"] if not box["crowd"]]
        edges = [[box[edge] for edge in ("x1", "y1", "x2", "y2")] for box in boxes]
        labels = [self._classes.index(box["class"]) for box in boxes]
        return Target(torch.tensor(edges).float().reshape(-1, 4), torch.tensor(labels).long())


class Order:
    """The images of the whole training, in their order."""

    def __init__(self, task: Task) -> None:
        self._rows = parquet.read_table(task.facts["order"]).to_pylist()

    def batches(self, first: int, until: int) -> Iterator[list[tuple[str, int]]]:
        """Yields the batches from one number of images to another, each as (source, index)."""
        batch: list[tuple[str, int]] = []
        number = -1
        for row in self._rows[first:until]:
            if row["batch"] != number and batch:
                yield batch
                batch = []
            number = row["batch"]
            batch.append((row["source"], row["image"]))
        yield batch

    def drawn(self, images: int) -> dict[str, int]:
        """The number of images of each source among the first `images`."""
        return dict(Counter(row["source"] for row in self._rows[:images]))


def write_predictions(task: Task, detections: Sequence[Detections]) -> str:
    """Writes COCO's results of all images in their order; returns the name of the file."""
    entries = []
    for image_id, of_image in enumerate(detections, start=1):
        sizes = of_image.boxes[:, 2:] - of_image.boxes[:, :2]
        boxes = torch.cat([of_image.boxes[:, :2], sizes.clamp(min=0)], dim=1).tolist()
        columns = (boxes, of_image.labels.tolist(), of_image.scores.tolist())
        for box, label, score in zip(*columns, strict=True):
            entries.append(
                {"image_id": image_id, "category_id": label + 1, "bbox": box, "score": score}
            )
    name = "predictions.json"
    (task.folder / name).write_text(json.dumps(entries), encoding="utf-8")
    return name


def report(facts: Mapping[str, Any]) -> bool:
    """Reports a rung or predictions; True if the training goes on."""
    print(json.dumps(facts), flush=True)
    return sys.stdin.readline().strip() == "continue"


def save(task: Task, state: Mapping[str, Any]) -> str:
    """Writes a checkpoint, whole or not at all; returns the name of its folder."""
    folder = task.folder / "checkpoint"
    folder.mkdir(exist_ok=True)
    content = io.BytesIO()
    torch.save(dict(state), content)
    unfinished = folder / "unfinished"
    unfinished.write_bytes(content.getvalue())
    unfinished.replace(folder / _STATE)
    return folder.name


def load(folder: Path) -> dict[str, Any]:
    """The state that `save` wrote; no code of the file is run."""
    state: dict[str, Any] = torch.load(folder / _STATE, weights_only=True, map_location="cpu")
    return state
