"""The same three pictures and boxes, written in each format, as the tools write them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Picture:
    """boxes: (class, x1, y1, x2, y2, visibility)"""

    stem: str
    wh: tuple[int, int]
    boxes: tuple[tuple[str, int, int, int, int, float], ...]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*self.wh[::-1], 3), ord(self.stem[0]), np.uint8)
        for _, x1, y1, x2, y2, _ in self.boxes:
            pixels[y1:y2, x1:x2] = (200, 30, x1)
        Image.fromarray(pixels).save(path)


PICTURES = (
    Picture(
        stem="a",
        wh=(64, 48),
        boxes=(("king", 10, 8, 30, 24, 1.0), ("white pawn", 0, 20, 15, 30, 0.58)),
    ),
    Picture(stem="b", wh=(40, 30), boxes=()),
    Picture(stem="c", wh=(50, 20), boxes=(("king", 41, 3, 50, 19, 0.25),)),
)
CLASSES = ("king", "white pawn")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How a format is written, and what of the pictures it can express.

    names       the classes in the data, where the format cannot carry the names
    visibility  True if the format carries it
    negatives   True if an image without boxes can be told from one that is not labelled
    """

    write: Callable[[Path], None]
    format: str
    names: dict[str, str] = field(default_factory=dict)
    visibility: bool = False
    labels: str = "*"  # the files that a fuzzer damages


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_cvat(folder: Path) -> None:
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    lines = [f"<annotations><version>1.1</version><meta><task><labels>{labels}</labels>"]
    lines.append("<subset>default</subset></task></meta>")
    for i, picture in enumerate(PICTURES):
        picture.save(folder / f"images/default/{picture.stem}.png")
        width, height = picture.wh
        lines.append(
            f'<image id="{i}" name="{picture.stem}.png" width="{width}" height="{height}">'
        )
        for name, x1, y1, x2, y2, _ in picture.boxes:
            box = f'xtl="{x1}.00" ytl="{y1}.00" xbr="{x2}.00" ybr="{y2}.00"'
            lines.append(f'<box label="{name}" source="manual" occluded="0" {box} z_order="0"/>')
        lines.append("</image>")
    text = '<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join(lines) + "</annotations>"
    (folder / "annotations.xml").write_text(text, encoding="utf-8")


SAMPLES = {
    "CVAT": Sample(write=write_cvat, format="CVAT", labels="annotations.xml"),
}
