"""How long does reading take, and how much memory does the index of a million images?

    python benchmarks/reading.py coco --images 13700 --boxes 100000
    python benchmarks/reading.py parquet --images 1000000 --boxes 5000000

A dataset is made up in a temporary folder and read in a process of its own, several times. All its
images are one small JPEG, of which each copy is opened for its header: by COCO as a file of its
own, in Parquet as a part of a shard. The memory is that of the process while it holds the dataset;
before it reads, the program alone takes the first figure.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data.read import read
from syndet_ray.data.record import Records, Source
from syndet_ray.data.shards import write_into

CLASSES = tuple(f"class {i}" for i in range(80))
SIZE_WH = (64, 48)
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("format", choices=("coco", "parquet"))
    parser.add_argument("--images", type=int, default=13_700)
    parser.add_argument("--boxes", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--read", type=Path, help="read this folder, and make no dataset")
    given = parser.parse_args()
    if given.read is not None:
        measure(given.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        write = {"coco": write_coco, "parquet": write_parquet}[given.format]
        write(Path(folder), given.images, given.boxes)
        command = [sys.executable, __file__, given.format, "--read", folder]
        for _ in range(given.repeats):
            subprocess.run(command, check=True)


def measure(folder: Path) -> None:
    """Reads a dataset once, and prints what that took."""
    before = resident_mib()
    began, processor_began = time.perf_counter(), time.process_time()
    dataset = read(folder)
    seconds, processor = time.perf_counter() - began, time.process_time() - processor_began
    held = resident_mib()
    images = sum(map(len, dataset.splits.values()))
    boxes = sum(dataset.box_counts.values())
    print(f"{images} images, {boxes} boxes: {processor:.2f} s of processor time, {seconds:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"memory: {before:.0f} MiB before, {held:.0f} MiB after, peak {peak:.0f} MiB", flush=True)


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def write_coco(folder: Path, images: int, boxes: int) -> None:
    """COCO's own layout: one annotation file, and the images in a folder of their split."""
    encoded = jpeg()
    photos = folder / "images" / "train"
    photos.mkdir(parents=True)
    entries = []
    for i in range(images):
        name = f"{i:012d}.jpg"
        (photos / name).write_bytes(encoded)
        entries.append({"id": i, "file_name": name, "width": SIZE_WH[0], "height": SIZE_WH[1]})
    drawn = draw_boxes(boxes)
    annotations = []
    for i, (x1, y1, x2, y2) in enumerate(drawn.xyxy.tolist()):
        annotation = {
            "id": i + 1,
            "image_id": i * images // boxes,
            "category_id": int(drawn.labels[i]) + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        annotations.append(annotation)
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    file = folder / "annotations" / "instances_train.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content), encoding="utf-8")


def write_parquet(folder: Path, images: int, boxes: int) -> None:
    records = Records(
        root=folder,
        image_ids=[f"{i:012d}.jpg" for i in range(images)],
        images=[jpeg()] * images,
        places=[""] * images,
        sizes_wh=np.tile(SIZE_WH, (images, 1)),
        box_starts=np.arange(images + 1) * boxes // images,
        boxes=draw_boxes(boxes),
        order=np.arange(images),
    )
    write_into(folder, {"train": Source(name="real", classes=CLASSES, records=records)})


def draw_boxes(count: int) -> Boxes:
    """Boxes of random places, sizes and classes, inside an image; the seed is 0."""
    rng = np.random.default_rng(0)
    corners = rng.uniform((0, 0), (40, 30), (count, 2))
    sides = rng.uniform(4, 18, (count, 2))
    xyxy = np.concatenate([corners, corners + sides], axis=1)
    return Boxes.of(xyxy, rng.integers(0, len(CLASSES), count))


def jpeg() -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE_WH[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=30)
    return file.getvalue()


if __name__ == "__main__":
    main()
