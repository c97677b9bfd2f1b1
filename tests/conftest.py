"""What several test files share."""

from pathlib import Path

import numpy as np
import pytest

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def shared():
    """Finds sample data that lies beside the checkout; skips, with the path, where it does not."""

    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"sample data not found: {path}")
        return path

    return find


@pytest.fixture
def squares():
    """Makes a pool of pictures with bright squares on dark ground: class "big" or "small"."""

    def make(count, seed=0, side=96, name="real"):
        rng = np.random.default_rng(seed)
        images, boxes = [], []
        for _ in range(count):
            image = rng.integers(0, 60, (side, side, 3), np.uint8)
            size = rng.choice([20, 40])
            x, y = rng.integers(0, side - size, 2)
            image[y : y + size, x : x + size] = rng.integers(150, 255, 3)
            images.append(image)
            boxes.append(Boxes.of([[x, y, x + size, y + size]], [int(size == 40)], [1.0]))
        return Pool.of(name, ("small", "big"), images, boxes, [str(i) for i in range(count)])

    return make
