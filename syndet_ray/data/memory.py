"""Memory: whether decoded photos fit into this machine, known before any is decoded."""

import resource
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import psutil

from syndet_ray.data.record import Source
from syndet_ray.data.scale import working_sizes

MOST_OF_AVAILABLE = 0.6  # the rest is for trials, rendered scenes and Ray's object store
# Of photos that do not fit together, some are kept. They lie in this process and in the object
# store of Ray, so both together take no more than above.
_MOST_OF_AVAILABLE_KEPT = MOST_OF_AVAILABLE / 2
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def decoded_bytes(sources: Iterable[Source], longest_px: int) -> int:
    """Bytes of memory for the images of all sources, with their longer side at longest_px."""
    records = chain.from_iterable(source.records for source in sources)
    sizes_wh = [record.size_wh for record in records]
    photo_sizes_wh = np.array(sizes_wh, np.int64).reshape(-1, 2)
    pixels = working_sizes(photo_sizes_wh, longest_px).prod(axis=1).sum()
    return 3 * int(pixels)  # three colours of one byte each


def fits_memory(sources: Iterable[Source], longest_px: int) -> bool:
    """True if decoded photos would take at most 60 % of available memory."""
    return decoded_bytes(sources, longest_px) <= MOST_OF_AVAILABLE * available_bytes()


def kept_share(sources: Iterable[Source], longest_px: int) -> float:
    """The kept share of photos that do not fit together: these stay decoded in memory."""
    return _MOST_OF_AVAILABLE_KEPT * available_bytes() / decoded_bytes(sources, longest_px)


def lack_words(sources: Iterable[Source], longest_px: int) -> str:
    """ "they would take 9.1 GB, more than 60% of the 8.0 GB available"."""
    needed = memory_words(decoded_bytes(sources, longest_px))
    available = memory_words(available_bytes())
    return (
        f"they would take {needed}, more than {MOST_OF_AVAILABLE:.0%} of the {available} available"
    )


def available_bytes() -> int:
    """Bytes that this process can still get without swapping; in a container, at most its limit."""
    return int(min(psutil.virtual_memory().available, _container_bytes(), _process_bytes()))


def memory_words(size_bytes: int) -> str:
    """ "1.5 GB", "45 MB", "3 kB"; at least 1 kB."""
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    if size_bytes >= 1e6:
        return f"{size_bytes / 1e6:.0f} MB"
    return f"{max(1, round(size_bytes / 1e3))} kB"


def _container_bytes() -> float:
    """The limit of the container's control group; infinite if there is none ("max").

    psutil does not read it.
    """
    limit = _CGROUP_LIMIT.read_text(encoding="utf-8").strip() if _CGROUP_LIMIT.exists() else "max"
    return int(limit) if limit.isdigit() else float("inf")


def _process_bytes() -> float:
    """Bytes that the limit of the process (ulimit -d) leaves it; infinite if there is none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    return max(0, limit - psutil.Process().memory_info().data)
