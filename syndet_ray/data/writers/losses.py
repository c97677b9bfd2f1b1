"""Losses: what a format cannot hold, counted while a dataset is converted to it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class Losses:
    """Facts about a dataset that its converted copy lacks, by what happened to them."""

    counts: Counter[str] = field(default_factory=Counter)

    def count(self, event: str, times: int = 1) -> None:
        """Counts facts that were lost or changed: "unknown visibility, left out"."""
        if times:
            self.counts[event] += times

    def count_unlisted(self, box_counts: Mapping[str, int]) -> None:
        """Counts classes without a box, for a format that has no list of classes."""
        unused = sum(count == 0 for count in box_counts.values())
        self.count("classes without an object: this format has no list of classes", unused)

    @property
    def lines(self) -> list[str]:
        """The losses as lines of text, in the order in which they came up."""
        return [f"{event}: {count}" for event, count in self.counts.items()]
