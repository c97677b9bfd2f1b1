"""Losses: what a format cannot hold, counted while a dataset is converted to it."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(eq=False)
class Losses:
    """Facts about a dataset that its converted copy lacks, by what happened to them."""

    counts: Counter[str] = field(default_factory=Counter)

    def count(self, event: str, times: int = 1) -> None:
        """Counts facts that were lost or changed: "unknown visibility, left out"."""
        if times:
            self.counts[event] += times

    @property
    def lines(self) -> list[str]:
        """The losses as lines of text, in the order in which they came up."""
        return [f"{event}: {count}" for event, count in self.counts.items()]
