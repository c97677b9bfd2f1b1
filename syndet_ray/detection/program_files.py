"""ProgramFiles: what a training program of the user is given: images, their order, and its task."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import pyarrow as pa
from pyarrow import parquet

from syndet_ray.boxes import Boxes
from syndet_ray.cache_folders import shared_folder
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Record, Source
from syndet_ray.data.shards import write_into
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.detection.draws import draw_batches, mixer_of
from syndet_ray.scenes.cache import trim

TASK, ORDER = "task.json", "order.parquet"
VERSION = 1  # of the protocol, in task.json
_FORMAT = 1  # of the images: of another one they are written again
_KEY_DIGITS = 20  # as the keys of rendered sets, whose cache this is
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # lossless; stronger takes longer than it saves
_READ_ONLY = 0o444

Split = Literal["train", "val", "test"]


@contextmanager
def image_files(
    pool: Pool, cache: Path, split: Split, *, labelled: bool = True
) -> Iterator[list[Path]]:
    """Gives the Parquet files of a pool's images at the working scale, in their order.

    They lie in the cache, where the trials of a node share them, and are kept until the block ends.

    labelled  False to leave out the boxes
    """
    folder = cache / _key(pool, split, labelled=labelled)
    make = partial(_write_images, pool, split, labelled)
    is_new = not folder.exists()
    with shared_folder(folder, make):
        if is_new:
            trim(cache)
        yield sorted(folder.glob("*.parquet"))


def write_order(
    recipe: Recipe, pools: Mapping[str, Pool], seed: int, rungs: Sequence[int], file: Path
) -> None:
    """Writes the images of the whole training in their order, as our own trainer draws them.

    The columns: the batch, from 0; the source; the index of the image in the source's files, from
    0. A batch ends at every rung.
    """
    mixer = mixer_of(recipe, pools, seed)
    batches: list[int] = []
    sources: list[str] = []
    images: list[int] = []
    batch = 0
    for first, until in zip([0, *rungs], rungs, strict=False):
        for _, draws in draw_batches(mixer, recipe, first, until):
            batches += [batch] * len(draws)
            sources += [source for source, _ in draws]
            images += [image for _, image in draws]
            batch += 1
    columns = {
        "batch": pa.array(batches, pa.int32()),
        "source": pa.array(sources).dictionary_encode(),
        "image": pa.array(images, pa.int32()),
    }
    parquet.write_table(pa.table(columns), file)


def write_task(folder: Path, kind: Literal["train", "predict"], facts: Mapping[str, Any]) -> None:
    """Writes the task of a program into its folder."""
    task = {"version": VERSION, "task": kind, **facts}
    text = json.dumps(task, indent=1, default=_plain)
    (folder / TASK).write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """A value that JSON does not know: paths as text, sources of a mix as objects."""
    return str(value) if isinstance(value, Path) else value.model_dump(mode="json")


def _key(pool: Pool, split: str, *, labelled: bool) -> str:
    """A name for the files of these images and labels at this scale."""
    digest = hashlib.sha256(f"{_FORMAT} {split} {labelled} {pool.hash}".encode())
    digest.update(pool.sizes_wh.tobytes())
    return digest.hexdigest()[:_KEY_DIGITS]


def _write_images(pool: Pool, split: Split, labelled: bool, folder: Path) -> None:
    pictures = folder / "pictures"  # encoded one by one: together they may not fit into memory
    pictures.mkdir()
    records = []
    for i, image_id in enumerate(pool.image_ids.tolist()):
        file = pictures / f"{i}.png"
        bgr = cv2.cvtColor(pool.image(i), cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".png", bgr, _PNG)
        file.write_bytes(encoded.tobytes())  # OpenCV's own file would be short on a full disk
        width, height = pool.sizes_wh[i].tolist()
        record = Record(
            image_id=image_id,
            image=file,
            size_wh=(width, height),
            boxes=pool.boxes(i) if labelled else Boxes.none(),
            place=f"{pool.name}, {image_id}",
        )
        records.append(record)
    source = Source(name=pool.name, classes=pool.classes, records=tuple(records))
    write_into(folder, {split: source})
    shutil.rmtree(pictures)
    for file in folder.iterdir():
        file.chmod(_READ_ONLY)  # all trials of the node read them
