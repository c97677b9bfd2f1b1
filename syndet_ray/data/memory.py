"""Memory: whether decoded photos fit into this machine, known before any is decoded."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import psutil

from syndet_ray.data.record import Source
from syndet_ray.data.scale import working_sizes
from syndet_ray.errors import MachineError

_MOST_OF_AVAILABLE = 0.6  # the rest is for trials, rendered scenes and Ray's object store
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def decoded_bytes(sources: Iterable[Source], longest_px: int) -> int:
    """Bytes that the images of all sources take, decoded with their longer side at longest_px."""
    sizes_wh = [record.size_wh for source in sources for record in source.records]
    photo_sizes_wh = np.array(sizes_wh, np.int64).reshape(-1, 2)
    pixels = working_sizes(photo_sizes_wh, longest_px).prod(axis=1).sum()
    return 3 * int(pixels)  # of three colours


def check_photos_fit(sources: Iterable[Source], longest_px: int) -> None:
    """Raises MachineError where the decoded photos would take more than 60 % of the memory that is
    available.
    """
    needed, available = decoded_bytes(sources, longest_px), available_bytes()
    if needed <= _MOST_OF_AVAILABLE * available:
        return
    rule = (
        f"must leave room in memory: with their longer side at {longest_px} px the photos take {memory_words(needed)}, "
        f"and at most {_MOST_OF_AVAILABLE:.0%} of the {memory_words(available)} available may be used"
    )
    do = "Set a smaller detector.working_px, use fewer photos, or take a machine with more memory."
    raise MachineError("photos", rule, do=do)


def available_bytes() -> int:
    """Bytes that processes can still be given without swapping; within a container, no more than
    its limit.
    """
    return int(min(psutil.virtual_memory().available, _container_bytes()))


def memory_words(size_bytes: int) -> str:
    """ "1.5 GB", "45 MB"; at least 1 MB."""
    return (
        f"{size_bytes / 1e9:.1f} GB"
        if size_bytes >= 1e9
        else f"{max(1, round(size_bytes / 1e6))} MB"
    )


def _container_bytes() -> float:
    """The limit of the container's control group, of which psutil knows nothing; infinite where
    there is none ("max").
    """
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.exists() else "max"
    return int(limit) if limit.isdigit() else float("inf")
