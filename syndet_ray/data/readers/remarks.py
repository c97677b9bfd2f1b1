"""Remarks: what a reader finds wrong or unusual in labels, gathered until all are read."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from syndet_ray.errors import DataError, SyndetError

_MOST_LISTED = 20  # labels in one message: enough to see what they have in common
_DO = "Correct or delete them, or leave them out with `skip_bad`."
_DO_ONE = "Correct or delete it."
_SKIP_ONE = "Or leave it out with `skip_bad`."


@dataclass(eq=False, kw_only=True)
class Remarks:
    """The labels and images of a dataset that cannot be used, and what its reader has to tell.

    A reader goes on after a problem: it leaves the box or the image out. What breaks a whole file
    is no remark but a DataError.
    """

    problems: list[SyndetError] = field(default_factory=list)
    boxes_of_problems: int = 0  # good boxes on images that are left out
    _notes: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    _counts: Counter[str] = field(default_factory=Counter)
    _firsts: dict[str, str] = field(default_factory=dict)

    def problem(self, place: str, rule: str, *, got: Any = ...) -> None:
        """Remembers a box, or an image with its boxes, that cannot be used and is left out."""
        self.problems.append(DataError(place, rule, got=got))

    def note(self, sentence: str) -> None:
        """Remembers a sentence, without full stop, for the person whose data it is; once."""
        self._notes.setdefault(sentence)

    def count(self, event: str, place: str) -> None:
        """Counts one more of an event: its note reads "EVENT: 3, the first: PLACE"."""
        self._counts[event] += 1
        self._firsts.setdefault(event, place)

    @property
    def notes(self) -> list[str]:
        """All notes as sentences without full stops, in the order in which they came up."""
        counted = []
        for event, count in self._counts.items():
            place = self._firsts[event]
            words = f"{count}, the first: {place}" if count > 1 else f"1, {place}"
            counted.append(f"{event}: {words}")
        return [*self._notes, *counted]

    def check(self, place: object, *, skip_bad: bool, hint: str = "") -> None:
        """Raises one DataError for all problems, or turns them into a note if they may be skipped.

        place  the dataset, in the message and in the note
        hint   a sentence for the message, before its advice
        """
        if not self.problems:
            return
        if not skip_bad:
            raise self._error(place, hint)
        rules = Counter(problem.rule for problem in self.problems)
        kinds = [f"{count} x {rule}" for rule, count in rules.most_common()]
        count = len(self.problems)
        what = "bad label or image" if count == 1 else "bad labels or images"
        others = self.boxes_of_problems
        boxes = "1 good box" if others == 1 else f"{others} good boxes"
        on_images = f", with {boxes} on images left out" if others else ""
        self.note(f"{count} {what} skipped{on_images}: {'; '.join(kinds)}")

    def _error(self, place: object, hint: str) -> SyndetError:
        if len(self.problems) == 1:
            problem = self.problems[0]
            do = f"{hint} {problem.do or _DO_ONE} {_SKIP_ONE}".strip()
            return DataError(problem.place, problem.rule, got=problem.got, do=do)
        lines = [str(problem) for problem in self.problems[:_MOST_LISTED]]
        more = len(self.problems) - len(lines)
        if more:
            lines.append(f"and {more} more")
        listed = "".join(f"\n  {line}" for line in lines)
        rule = f"has {len(self.problems)} labels or images that cannot be used:{listed}\n"
        return DataError(place, rule, do=f"{hint} {_DO}".strip())
