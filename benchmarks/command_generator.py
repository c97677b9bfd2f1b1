"""A minimal external generator, in the place of a BlenderProc script or a Unity build.

    scene.generator = "command:python benchmarks/command_generator.py"

It reads the request that syndet_ray.scenes.command describes and writes COCO: flat tiles of six
classes, one to six, by the number of their spots. A BlenderProc script would build its scene from
the same parameters, render it, and end with the same `write`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CLASSES = ("one", "two", "three", "four", "five", "six")
# Places of the spots of a tile, in shares of its side.
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
    ids = np.zeros((side, side), np.int32)  # the tile that is visible at a pixel, counted from 1
    tiles = []
    for number in range(1, parameters["objects"] + 1):
        label, size = int(rng.integers(6)), int(rng.uniform(*parameters["size_px"]))
        x, y = rng.integers(0, side - size + 1, 2).tolist()
        _add_tile(image, (x, y), size, label, rng)
        ids[y : y + size, x : x + size] = number
        tiles.append((label, [x, y, size, size]))
    visible_px = np.bincount(ids.ravel(), minlength=len(tiles) + 1)[1:]
    labelled = []
    for (label, box), visible in zip(tiles, visible_px, strict=True):
        labelled.append((label, box, visible / (box[2] * box[3])))
    return image, labelled


def _add_tile(
    image: np.ndarray, corner: tuple[int, int], size: int, label: int, rng: np.random.Generator
) -> None:
    x, y = corner
    color = rng.integers(150, 256, 3).tolist()
    cv2.rectangle(image, (x, y), (x + size - 1, y + size - 1), color, cv2.FILLED)
    radius = max(1, size // 10)
    for u, v in _SPOTS[label + 1]:
        centre = (round(x + u * size), round(y + v * size))
        cv2.circle(image, centre, radius, (20, 20, 20), cv2.FILLED, lineType=cv2.LINE_AA)


def write(parameters: dict[str, Any], count: int, seed: int, out: Path) -> None:
    """Writes `count` images and their COCO annotations into `out`."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in range(count):
        image, tiles = draw(parameters, np.random.default_rng([seed, i]))
        cv2.imwrite(str(out / f"{i:06d}.png"), image)
        height, width = image.shape[:2]
        images.append({"id": i, "file_name": f"{i:06d}.png", "width": width, "height": height})
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
    (out / "instances.json").write_text(json.dumps(content), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True)
    request = json.loads(parser.parse_args().request.read_text(encoding="utf-8"))
    write(request["parameters"], request["count"], request["seed"], Path(request["out"]))
    print(f"{request['count']} images written")


if __name__ == "__main__":
    main()
