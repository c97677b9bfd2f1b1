"""How much memory do photos of 12 megapixels take while they are decoded, and after?

    python benchmarks/memory_of_photos.py --count 300

The photos are made up (smooth, because noise compresses badly), saved as JPEG of 4032 x 3024 px and
read like a dataset.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.record import Record, Source
from syndet_ray.data.scale import working_scale

SIZE_WH = (4032, 3024)
OBJECT_PX = 240  # a size that needs no crop


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Source(
            name="real",
            classes=("object",),
            records=tuple(photo(Path(folder), i) for i in range(given.count)),
        )
        scale = working_scale(source.records, "auto", "auto", folder)
        before, began = peak_mib(), time.perf_counter()
        pool = decode(source, scale.longest_px)
        taken = time.perf_counter() - began
    memory = f"{len(pool)} photos take {pool.image_bytes / 2**20:.0f} MiB"
    print(f"{scale.words}; {memory}, decoded in {taken:.0f} s")
    print(f"peak of the process {peak_mib():.0f} MiB, {before:.0f} MiB before it decoded")


def photo(folder: Path, index: int) -> Record:
    width, height = SIZE_WH
    rng = np.random.default_rng(index)
    coarse = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    path = folder / f"{index}.jpg"
    cv2.imwrite(str(path), cv2.resize(coarse, SIZE_WH, interpolation=cv2.INTER_CUBIC))
    corners = rng.uniform((0, 0), (width - OBJECT_PX, height - OBJECT_PX), (4, 2))
    boxes = Boxes.of(np.concatenate([corners, corners + OBJECT_PX], axis=1), [0] * 4)
    return Record(image_id=str(index), image=path, boxes=boxes, place=path.name, size_wh=SIZE_WH)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    main()
