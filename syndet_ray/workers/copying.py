"""Copying: images of a converted dataset, copied or put into shards by tasks on a Ray cluster."""

from collections.abc import Sequence
from typing import Any

from syndet_ray.data.parts import Part
from syndet_ray.errors import MachineError
from syndet_ray.progress import Progress
from syndet_ray.search.task import Resources
from syndet_ray.workers.tasks import run_tasks

_ONE_CORE = Resources(cpus=1, gpus=0, parallel=1)
_DO_SHARE = "Write into a folder that all nodes share, or leave `address` out."


def copy_on_cluster(parts: Sequence[Part], progress: Progress) -> list[int]:
    """Writes parts of a dataset by tasks, as `copy_here` does; needs a connection to a cluster.

    All paths, also those of images that are read, must be absolute: tasks work in other folders.
    Raises MachineError if a file is not here afterwards: then the nodes do not share the folder.
    """
    calls = [{"part": part} for part in parts]
    counts = run_tasks(_write, None, calls, _ONE_CORE, progress)
    for part in parts:
        for file in part.files:
            if not file.exists():
                rule = "was written on another node and is not here"
                raise MachineError(file, rule, do=_DO_SHARE)
    return counts


def _write(shared: Any, device: str, threads: int, *, part: Part) -> int:
    for file in part.files:
        if not file.parent.is_dir():
            raise MachineError(file.parent, "is not on each node", do=_DO_SHARE)
    return part.write()
