"""What do Parquet shards and streamed photos cost? Reading, training and memory, on one core.

    python benchmarks/streaming.py ../shared/data/d6_dice --rounds 9 --seed 0

Writes the photos into shards in a temporary folder, and prints:

1. growth of the process while it reads a streamed set, next to the size of the set;
2. images decoded a second from shards, and by Pillow alone from bytes in memory;
3. the time of one random image: by our reader, by pyarrow from row groups of several sizes, and
   from one file each;
4. training time per image of photos that are streamed, all or half of them, and of the same in
   memory, and their losses.

The sides of a ratio take turns, and the ratio is the median of those of all rounds, between their
quartiles. `--training` leaves out all but the last.
"""

import argparse
import io
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow as pa
import torch
from PIL import Image
from pyarrow import parquet

from syndet_ray.data.decode import decode
from syndet_ray.data.memory import decoded_bytes
from syndet_ray.data.read import Dataset, read
from syndet_ray.data.record import Record, Source
from syndet_ray.data.scale import anchors, training_boxes_wh, working_scale
from syndet_ray.data.shards import write_shards
from syndet_ray.definitions.mix import Mix
from syndet_ray.definitions.recipe import Recipe, Training
from syndet_ray.detection.settle import settled_recipe
from syndet_ray.detection.train import Trainer

GROUPS = (1, 8, 32, 128)  # images of a row group
LEAST_DECODED_BYTES = 1 << 30  # of the set with which memory is measured


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    dataset = read(given.data)
    if given.training:
        training(dataset, given.rounds, given.seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_shards(dataset.splits, Path(folder) / "shards")
        shards = read(Path(folder) / "shards")
        memory(shards)
        decoding(shards, given.rounds)
        random_access(dataset, shards, Path(folder), given.seed)
        training(shards, given.rounds, given.seed)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--training", action="store_true")
    return parser.parse_args()


def decoding(shards: Dataset, rounds: int) -> None:
    """Decodes photos whole: from shards, through a pool, and by Pillow from bytes."""
    source = shards.splits["train"]
    pool = decode(source, streamed=True)
    contents = [record.image_bytes() for record in source.records]
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(seconds(lambda: [pool.image(i) for i in range(len(pool))]) / len(pool))
        bare.append(seconds(lambda: list(map(by_pillow, contents))) / len(pool))
    assert all(
        np.array_equal(pool.image(i), by_pillow(content)) for i, content in enumerate(contents)
    )
    ratio = statistics.median(b / a for a, b in zip(ours, bare, strict=True))
    rates = f"{1 / statistics.median(ours):.0f} images/s, Pillow {1 / statistics.median(bare):.0f}"
    print(f"read and decoded from shards: {rates}; ratio {ratio:.3f}", flush=True)


def by_pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def random_access(dataset: Dataset, shards: Dataset, folder: Path, seed: int) -> None:
    """Reads images in random order, still encoded; files are in the system's cache."""
    source = shards.splits["train"]
    files = folder / "files"
    files.mkdir()
    singles: list[Record] = []
    for i, record in enumerate(dataset.splits["train"].records):
        path = files / str(i)
        path.write_bytes(record.image_bytes())
        singles.append(replace(record, image=path))
    order = np.random.default_rng(seed).permutation(len(source)).tolist()
    for name, records in (("shards", source.records), ("one file each", singles)):
        in_order = [records[i] for i in order]
        print(f"a random image from {name}: {1e6 * reading(in_order):.0f} us", flush=True)
    for size in GROUPS:
        time_us = 1e6 * by_pyarrow(source, folder / f"{size}.parquet", order, size)
        print(f"by pyarrow from groups of {size}: {time_us:.0f} us", flush=True)


def reading(records: Sequence[Record]) -> float:
    """Seconds for an encoded image."""
    return seconds(lambda: [record.image_bytes() for record in records]) / len(records)


def by_pyarrow(source: Source, path: Path, order: Sequence[int], size: int) -> float:
    """Seconds for a random image of a file with row groups of that size."""
    table = pa.table({"image": [record.image_bytes() for record in source.records]})
    parquet.write_table(
        table, path, row_group_size=size, compression="NONE", use_dictionary=False,
        data_page_size=1 << 30,
    )  # fmt: skip
    with parquet.ParquetFile(path, memory_map=True) as file:

        def image(i: int) -> bytes:
            group = file.read_row_group(i // size, columns=["image"], use_threads=False)
            return group["image"][i % size].as_py()

        return seconds(lambda: list(map(image, order))) / len(order)


def memory(shards: Dataset) -> None:
    """Reads a streamed set of at least a gigabyte when decoded."""
    source = shards.splits["train"]
    size = 3 * sum(record.size_wh[0] * record.size_wh[1] for record in source.records)
    records: list[Record] = []
    for k in range(math.ceil(LEAST_DECODED_BYTES / size)):
        records += [replace(one, image_id=f"{one.image_id}-{k}") for one in source.records]
    process = psutil.Process()
    before = most = process.memory_info().rss
    pool = decode(replace(source, records=tuple(records)), streamed=True)
    for i in range(len(pool)):
        pool.image(i)
        most = max(most, process.memory_info().rss)
    grown, decoded = (most - before) / 2**20, pool.image_bytes / 2**20
    print(f"{len(pool)} photos, {decoded:.0f} MiB decoded: grew by {grown:.1f} MiB", flush=True)


def training(dataset: Dataset, rounds: int, seed: int) -> None:
    """Trains one recipe on pools of all kinds, a few steps of each in turn."""
    source = dataset.splits["train"]
    scale = working_scale(source.records, "auto", "auto", "train")
    recipe = Recipe(mix=Mix(schedule="real_only"), training=Training(images=100_000))
    settled, _ = settled_recipe(
        recipe,
        scale,
        training_boxes_wh(source.records),
        anchor_px=anchors(scale.object_px[0], scale.object_px[2]),
        transposed=False,
        gpu=False,
    )
    half = decoded_bytes([source], scale.longest_px) // 2
    pools = {
        "in memory": decode(source, scale.longest_px),
        "streamed": decode(source, scale.longest_px, streamed=True),
        "half of them streamed": decode(source, scale.longest_px, streamed=True, kept_bytes=half),
    }
    trainers = {}
    for name, pool in pools.items():
        trainers[name] = Trainer(settled, {"real": pool}, device=torch.device("cpu"), seed=seed)
    step = 4 * settled.training.batch_size
    walls: dict[str, list[float]] = {name: [] for name in pools}
    cores: dict[str, list[float]] = {name: [] for name in pools}
    losses: dict[str, list[float]] = {name: [] for name in pools}
    for number in range(rounds + 1):
        for name, trainer in trainers.items():
            began = time.perf_counter(), time.process_time()
            stats = trainer.train_until((number + 1) * step)
            walls[name].append((time.perf_counter() - began[0]) / step)
            cores[name].append((time.process_time() - began[1]) / step)
            losses[name].append(stats.metrics["train/loss"])
    for kind, times in (("wall", walls), ("core", cores)):
        for name in pools:
            print(f"a training image {name}, {kind} time: {compared(times[name], times)}")
    are_identical = all(losses[name] == losses["in memory"] for name in pools)
    print(f"losses of {rounds + 1} rounds identical: {are_identical}")


def compared(times: Sequence[float], all_times: Mapping[str, Sequence[float]]) -> str:
    """ "97 ms; ratio 1.080 (1.071 to 1.092)" to the times in memory of the same rounds."""
    pairs = zip(times, all_times["in memory"], strict=True)
    ratios = [ours / in_memory for ours, in_memory in pairs][1:]  # the first round warms up
    low, middle, high = statistics.quantiles(ratios, n=4)
    milliseconds = 1e3 * statistics.median(times[1:])
    return f"{milliseconds:.0f} ms; ratio {middle:.3f} ({low:.3f} to {high:.3f})"


def seconds(work: Callable[[], object]) -> float:
    """Seconds of a core that the work takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
