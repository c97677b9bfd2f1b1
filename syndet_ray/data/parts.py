"""Parts: files of a dataset that are written independently, one part by each task of a cluster."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from syndet_ray.progress import Progress


class Part(Protocol):
    """Files that one task writes from images. It is pickled to get there."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that are there once the part is written; their folders exist before."""

    def write(self) -> int:
        """Writes the files; returns a count that the format needs.

        It may be called again after it failed or was killed: it writes the same bytes then.
        """


# Writes parts, here or on a cluster, calling a Progress with parts; returns for each part what its
# `write` returns.
Copying = Callable[[Sequence[Part], Progress], Iterable[int]]


def copy_here(parts: Sequence[Part], progress: Progress) -> Iterator[int]:
    """Writes parts one after another in this process."""
    for done, part in enumerate(parts, start=1):
        yield part.write()
        progress(done, len(parts))
