"""Real: the photos of a run, decoded, with the facts about them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from syndet_ray.data.memory import memory_words
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Source
from syndet_ray.data.remote.local import NodeCopy
from syndet_ray.data.scale import WorkingScale
from syndet_ray.data.splits.split_index import split_hash, test_hash
from syndet_ray.data.streamed import Streamed


@dataclass(frozen=True, kw_only=True, eq=False)
class RealData:
    """The photos of a run, decoded at their working scale.

    pools        "train", "val" and "test" of the user's photos, or of the stand-in set
    path         the user's dataset; None for the stand-in set
    scale        the working scale of all photos, and the sizes of their objects at it
    anchor_px    sizes of anchors that fit the training objects at that scale, as in a Detector
    boxes_wh     (n, 2) width and height of the training objects, in pixels of their photo
    notes        repairs of the data, and facts that a reader of the results must know
    streaming    those of `notes` that say that photos are streamed, and why
    others       training images of the photos of others that recipes name, by their folder
    train        the files of "train", for what is measured on them; None if nothing can be
    near_copies  the number of photos of "val" and "test" that look like a photo of another split,
                 if that was allowed
    """

    pools: Mapping[str, Pool]
    path: str | None
    scale: WorkingScale
    anchor_px: tuple[float, ...]
    boxes_wh: np.ndarray
    notes: tuple[str, ...] = ()
    streaming: tuple[str, ...] = ()
    others: Mapping[str, Pool] = field(default_factory=dict)
    train: Source | None = None
    near_copies: Mapping[str, int] = field(default_factory=dict)

    @property
    def stand_in(self) -> bool:
        return self.pools["test"].stand_in

    @property
    def image_ids(self) -> dict[str, list[str]]:
        """The ids of the photos of each split."""
        return {split: pool.image_ids.tolist() for split, pool in self.pools.items()}

    @property
    def is_streamed(self) -> bool:
        """True if photos are decoded each time they are needed."""
        return self.pools["train"].is_streamed

    @property
    def streamed_files(self) -> list[tuple[str, int]]:
        """Path and bytes of each file that is read while recipes train; none for decoded photos."""
        pools = (*self.pools.values(), *self.others.values())
        files: dict[tuple[str, int], None] = {}
        for pool in pools:
            if isinstance(pool.pixels, Streamed):
                files |= dict.fromkeys(pool.pixels.files)
        return list(files)

    def with_node_copy(self, node_copy: NodeCopy) -> "RealData":
        """The same photos: streamed ones are copied to each node that needs them and lacks them."""
        pools = {name: _with_node_copy(pool, node_copy) for name, pool in self.pools.items()}
        return replace(self, pools=pools)

    @property
    def node_copy(self) -> NodeCopy | None:
        """The copy that brings streamed photos to a node; None if nodes must have them."""
        pixels = self.pools["train"].pixels
        return pixels.node_copy if isinstance(pixels, Streamed) else None

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that the decoded photos take, or would if they are streamed."""
        return sum(pool.image_bytes for pool in (*self.pools.values(), *self.others.values()))

    def describe(self) -> dict[str, Any]:
        """Facts for run.json: by split, and for photos of others by folder.

        Equal hashes mean equal data. "split_hash" and "test_hash" say which photos are in which
        split, and which are in test, as in a split index.
        """
        pools = {**self.pools, **self.others}
        fitting = {"anchor_px": self.anchor_px, "bytes": self.memory_bytes}
        return {
            "path": self.path,
            "counts": _counts(self.pools),
            "objects": _objects(self.pools),
            "with_objects": {name: pool.images_with_objects for name, pool in self.pools.items()},
            "hashes": {name: pool.hash for name, pool in pools.items()},
            "split_hash": split_hash(self.image_ids),
            "test_hash": test_hash(self.image_ids["test"]),
            "others": {"counts": _counts(self.others), "objects": _objects(self.others)},
            "scale": asdict(self.scale) | fitting,
            "near_copies": dict(self.near_copies),
            "streamed": self.is_streamed,
            "notes": [*self.scale_words, *self.notes],
        }

    @property
    def scale_words(self) -> list[str]:
        """Sentences without full stops: the working scale, the objects it loses, its memory."""
        take = "would take" if self.is_streamed else "take"
        memory = f"decoded, they {take} {memory_words(self.memory_bytes)} of memory"
        sentences = [self.scale.words, self.scale.unlearnable_words, memory]
        return [sentence for sentence in sentences if sentence]


def _with_node_copy(pool: Pool, node_copy: NodeCopy) -> Pool:
    if not isinstance(pool.pixels, Streamed):
        return pool
    return replace(pool, pixels=replace(pool.pixels, node_copy=node_copy))


def _counts(pools: Mapping[str, Pool]) -> dict[str, int]:
    return {name: len(pool) for name, pool in pools.items()}


def _objects(pools: Mapping[str, Pool]) -> dict[str, int]:
    """The number of objects, crowds left out, by pool."""
    return {name: int(np.count_nonzero(~pool.crowd)) for name, pool in pools.items()}
