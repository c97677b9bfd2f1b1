"""Picture files: pictures for the report on disk, as PNG with their boxes as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from syndet_ray.files import make_folder, reading, write_whole
from syndet_ray.runs.results import Picture


def write_pictures(folder: Path, name: str, pictures: Sequence[Picture]) -> None:
    """Writes <name>-<k>.png and <name>.json in `folder`."""
    make_folder(folder)
    for k, picture in enumerate(pictures):
        Image.fromarray(picture.image).save(folder / f"{name}-{k}.png")
    boxes = [_boxes_of(picture) for picture in pictures]
    write_whole(folder / f"{name}.json", json.dumps(boxes).encode())


def read_pictures(folder: Path, name: str) -> list[Picture]:
    """Returns the pictures that were written under `name`; [] if there are none."""
    path = folder / f"{name}.json"
    with reading(path):
        if not path.exists():
            return []
        boxes_of_pictures = json.loads(path.read_text(encoding="utf-8"))
        return [
            _picture(folder / f"{name}-{k}.png", boxes) for k, boxes in enumerate(boxes_of_pictures)
        ]


def _boxes_of(picture: Picture) -> dict[str, Any]:
    truth = None if picture.truth is None else _round_boxes(picture.truth)
    return {
        "xyxy": _round_boxes(picture.xyxy),
        "names": picture.names,
        "scores": picture.scores,
        "truth": truth,
        "truth_names": picture.truth_names,
    }


def _round_boxes(xyxy: np.ndarray) -> list[list[float]]:
    return np.round(xyxy, 2).tolist()


def _picture(path: Path, boxes: Mapping[str, Any]) -> Picture:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    truth, scores = boxes["truth"], boxes["scores"]
    return Picture(
        image=pixels,
        xyxy=_boxes_array(boxes["xyxy"]),
        names=tuple(boxes["names"]),
        scores=None if scores is None else tuple(scores),
        truth=None if truth is None else _boxes_array(truth),
        truth_names=tuple(boxes["truth_names"]),
    )


def _boxes_array(xyxy: list[list[float]]) -> np.ndarray:
    return np.array(xyxy, np.float32).reshape(-1, 4)
