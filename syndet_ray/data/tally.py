"""Tally: how many boxes each class has, and where the first of them is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# fewer boxes of a class are more likely a slip in labelling than a class, and hard to find by eye
FEW_BOXES = 10


@dataclass(eq=False)
class Tally:
    """The number of boxes of each class, and the place of its first box, as they are read."""

    counts: dict[str, int] = field(default_factory=dict)
    _firsts: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, name: str, image_id: str, place: str) -> None:
        """Counts one more box of a class."""
        self.counts[name] = self.counts.get(name, 0) + 1
        self._firsts.setdefault(name, (image_id, place))

    def words(self, name: str) -> str:
        """The boxes of a class in words: "2 boxes, the first: a.jpg, box 7"."""
        count = self.counts.get(name, 0)
        if not count:
            return "no box"
        place = ", ".join(self._firsts[name])
        return f"1 box: {place}" if count == 1 else f"{count} boxes, the first: {place}"

    def all_words(self, classes: Sequence[str]) -> dict[str, str]:
        """`words` of each of the classes."""
        return {name: self.words(name) for name in classes}


def few_boxes(tallies: Mapping[str, Tally], classes: Sequence[str]) -> dict[str, str]:
    """For each class with fewer than ten boxes in all splits, how many and where the first is."""
    whole = Tally()
    for tally in tallies.values():  # the first split that has the class names its first box
        for name, count in tally.counts.items():
            whole.counts[name] = whole.counts.get(name, 0) + count
            whole._firsts.setdefault(name, tally._firsts[name])
    few = [name for name in classes if whole.counts.get(name, 0) < FEW_BOXES]
    return whole.all_words(few)
