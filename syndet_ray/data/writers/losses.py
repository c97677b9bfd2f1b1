"""Losses: what a format cannot hold, counted while a dataset is converted to it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class Losses:
    """Facts about a dataset that its converted copy lacks, by what happened to them; and changes
    that lose nothing.
    """

    counts: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)

    def count(self, event: str, times: int = 1) -> None:
        """Counts facts that were lost or made coarser: "unknown visibility, left out"."""
        if times:
            self.counts[event] += times

    def count_changes(self, event: str, times: int) -> None:
        """Counts what is there as before, in another form: "names of images changed"."""
        if times:
            self.changes[event] += times

    def count_unlisted(self, box_counts: Mapping[str, int]) -> None:
        """Counts classes without a box, for a format that has no list of classes."""
        unused = sum(count == 0 for count in box_counts.values())
        self.count("classes without an object: this format has no list of classes", unused)

    @property
    def lines(self) -> list[str]:
        """The losses as lines of text, in the order in which they came up."""
        return _lines(self.counts)

    @property
    def change_lines(self) -> list[str]:
        """The changes as lines of text, in the order in which they came up."""
        return _lines(self.changes)


def _lines(counts: Mapping[str, int]) -> list[str]:
    return [f"{event}: {count}" for event, count in counts.items()]
