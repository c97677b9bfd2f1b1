"""The program's side of docs/own_program.md, which the two example programs share.

It needs PyArrow, OpenCV and PyTorch, and nothing of syndet_ray: copy what you need.
"""

import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pyarrow import parquet
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Boxes (n, 4) as left, top, right, bottom in pixels; labels (n,) from 0; scores (n,)."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor


class Task:
    """The task in the folder that is the program's last argument."""

    def __init__(self) -> None:
        self.folder = Path(sys.argv[-1])
        self.facts = json.loads((self.folder / "task.json").read_text(encoding="utf-8"))
        self.classes: list[str] = self.facts["classes"]
        self.device = torch.device(self.facts["device"])
        torch.set_num_threads(self.facts["threads"])

    @property
    def trains(self) -> bool:
        return bool(self.facts["task"] == "train")

    def setting(self, path: str) -> Any:
        """The value of a setting of the recipe, such as training.learning_rate."""
        return self.facts["recipe"][path]

    def saved(self) -> Path | None:
        """The folder of the model to predict with, or to continue from; None at the beginning."""
        folder = self.facts["restore"] if self.trains else self.facts["model"]
        return None if folder is None else Path(folder)


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

    def target(self, index: int) -> tuple[Tensor, Tensor]:
        """(n, 4) boxes and (n,) labels from 0; areas with many objects in one box are left out."""
        boxes = [box for box in self._rows[index]["boxes"] if not box["crowd"]]
        edges = [[box[edge] for edge in ("x1", "y1", "x2", "y2")] for box in boxes]
        labels = [self._classes.index(box["class"]) for box in boxes]
        return torch.tensor(edges).float().reshape(-1, 4), torch.tensor(labels, dtype=torch.int64)


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
    for image, found in enumerate(detections, start=1):
        sizes = found.boxes[:, 2:] - found.boxes[:, :2]
        boxes = torch.cat([found.boxes[:, :2], sizes.clamp(min=0)], dim=1).tolist()
        columns = (boxes, found.labels.tolist(), found.scores.tolist())
        for box, label, score in zip(*columns, strict=True):
            entries.append(
                {"image_id": image, "category_id": label + 1, "bbox": box, "score": score}
            )
    name = "predictions.json"
    (task.folder / name).write_text(json.dumps(entries), encoding="utf-8")
    return name


def report(report: Mapping[str, Any]) -> bool:
    """Reports a rung; True if the training goes on."""
    print(json.dumps(report), flush=True)
    return sys.stdin.readline().strip() == "continue"


def save(task: Task, state: Mapping[str, Any]) -> str:
    """Writes a checkpoint, whole or not at all; returns the name of its folder."""
    folder = task.folder / "checkpoint"
    folder.mkdir(exist_ok=True)
    content = io.BytesIO()
    torch.save(dict(state), content)
    unfinished = folder / "state.unfinished"
    unfinished.write_bytes(content.getvalue())
    unfinished.replace(folder / "state.pt")
    return folder.name


def load(folder: Path) -> dict[str, Any]:
    """The state that `save` wrote; no code of the file is run."""
    state: dict[str, Any] = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")
    return state
