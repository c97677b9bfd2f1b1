"""Copying: images of a converted dataset, copied by tasks on a Ray cluster."""

from collections.abc import Sequence
from typing import Any

from syndet_ray.data.writers.image_copies import Block, copy_block
from syndet_ray.errors import MachineError
from syndet_ray.progress import Progress
from syndet_ray.search.task import Resources
from syndet_ray.workers.tasks import run_tasks

_ONE_CORE = Resources(cpus=1, gpus=0, parallel=1)


def copy_on_cluster(blocks: Sequence[Block], progress: Progress) -> list[int]:
    """Copies blocks of images by tasks, as `copy_here` does; needs a connection to a cluster.

    Raises MachineError if a file is not here afterwards: then the nodes do not share the folder.
    """
    calls = [{"block": block} for block in blocks]
    turned = run_tasks(_copy, None, calls, _ONE_CORE, progress)
    for block in blocks:
        for copy in block:
            if not copy.file.exists():
                rule = "was written on another node and is not here"
                do = "Write into a folder that all nodes share, or leave `address` out."
                raise MachineError(copy.file, rule, do=do)
    return turned


def _copy(shared: Any, device: str, threads: int, *, block: Block) -> int:
    return copy_block(block)
