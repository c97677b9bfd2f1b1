"""JPEG at other sizes: the quality that loses as much as a stronger one in a larger photo.

python benchmarks/jpeg_scale.py PHOTOS
"""

import sys
from pathlib import Path

import cv2
import numpy as np

QUALITIES = (30, 50, 70, 80, 90)
FACTORS = (0.9, 0.75, 0.6, 0.5, 0.375)
TRIED = range(20, 97, 4)
WIDTH, PHOTOS = 512, 20


def compress(pixels: np.ndarray, quality: int) -> np.ndarray:
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


def read(path: Path) -> np.ndarray:
    """A photo, 512 px wide."""
    pixels = cv2.imread(str(path))
    assert pixels is not None, f"{path} is no photo"
    return resize(pixels, WIDTH)


def resize(pixels: np.ndarray, width: int) -> np.ndarray:
    height = round(pixels.shape[0] * width / pixels.shape[1])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean((one.astype(float) - other) ** 2)))


def equal_quality(photo: np.ndarray, quality: int, factor: float) -> float:
    """The quality at which a smaller photo loses as much by its own compression."""
    width = round(WIDTH * factor)
    small = resize(photo, width)
    lost = error(resize(compress(photo, quality), width), small)
    losses = [error(compress(small, tried), small) for tried in TRIED]
    return float(np.interp(-lost, [-loss for loss in losses], list(TRIED)))


def main(folder: Path) -> None:
    paths = sorted(folder.rglob("*.jpg"))[:PHOTOS]
    photos = [read(path) for path in paths]
    print("factor", *QUALITIES)
    for factor in FACTORS:
        medians = []
        for quality in QUALITIES:
            equal = [equal_quality(photo, quality, factor) for photo in photos]
            medians.append(round(float(np.median(equal))))
        print(factor, *medians)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
