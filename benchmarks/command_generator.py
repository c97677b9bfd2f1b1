"""A generator from outside, as small as one can be: what a BlenderProc script or a Unity build does
for a sweep.

    scene.generator = "command:python benchmarks/command_generator.py"

reads the request that syndet_ray.scenes.command describes and writes COCO: flat tiles of six
classes, one to six, by the number of their spots. A BlenderProc script would build its scene from
the same parameters, render, and end in the same `write`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CLASSES = ("one", "two", "three", "four", "five", "six")
# Where the spots of a tile lie, in shares of its side.
_SPOTS = {
    1: [(0.5, 0.5)],
    2: [(0.3, 0.3), (0.7, 0.7)],
    3: [(0.25, 0.25), (0.5, 0.5), (0.75, 0.75)],
    4: [(0.3, 0.3), (0.3, 0.7), (0.7, 0.3), (0.7, 0.7)],
    5: [(0.25, 0.25), (0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (0.75, 0.75)],
    6: [(0.3, 0.2), (0.3, 0.5), (0.3, 0.8), (0.7, 0.2), (0.7, 0.5), (0.7, 0.8)],
}


def draw(
    parameters: dict[str, Any], rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[int, list[int], float]]]:
    """An image, (h, w, 3) uint8, and its tiles: label, x, y, width, height in pixels, and visible
    share.
    """
    side = parameters["image_px"]
    image = np.full((side, side, 3), rng.integers(40, 200, 3), np.uint8)
    ids = np.zeros((side, side), np.int32)  # which tile is seen at a pixel, counted from 1
    tiles = []
    for number in range(1, parameters["objects"] + 1):
        label, size = int(rng.integers(6)), int(rng.uniform(*parameters["size_px"]))
        x, y = rng.integers(0, side - size + 1, 2).tolist()
        _tile(image, x, y, size, label, rng)
        ids[y : y + size, x : x + size] = number
        tiles.append((label, [x, y, size, size]))
    seen = np.bincount(ids.ravel(), minlength=len(tiles) + 1)
    return image, [
        (label, box, seen[i + 1] / (box[2] * box[3])) for i, (label, box) in enumerate(tiles)
    ]


def _tile(
    image: np.ndarray, x: int, y: int, size: int, label: int, rng: np.random.Generator
) -> None:
    color = rng.integers(150, 256, 3).tolist()
    cv2.rectangle(image, (x, y), (x + size - 1, y + size - 1), color, -1)
    for u, v in _SPOTS[label + 1]:
        cv2.circle(
            image,
            (round(x + u * size), round(y + v * size)),
            max(1, size // 10),
            (20, 20, 20),
            -1,
            cv2.LINE_AA,
        )


def write(parameters: dict[str, Any], count: int, seed: int, out: Path) -> None:
    """Writes `count` images and their COCO annotations into `out`."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in range(count):
        image, tiles = draw(parameters, np.random.default_rng([seed, i]))
        cv2.imwrite(str(out / f"{i:06d}.png"), image)
        images.append(
            {
                "id": i,
                "file_name": f"{i:06d}.png",
                "width": image.shape[1],
                "height": image.shape[0],
            }
        )
        for label, box, visibility in tiles:
            entry = {
                "id": len(annotations),
                "image_id": i,
                "category_id": label,
                "bbox": box,
                "iscrowd": 0,
            }
            annotations.append(entry | {"area": box[2] * box[3], "visibility": float(visibility)})
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (out / "instances.json").write_text(json.dumps(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True)
    request = json.loads(parser.parse_args().request.read_text())
    write(request["parameters"], request["count"], request["seed"], Path(request["out"]))
    print(f"{request['count']} images written")


if __name__ == "__main__":
    main()
