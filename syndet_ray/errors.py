"""The exceptions a user can meet.

    SyndetError              anything a user can repair; the command line prints it without a
                             traceback
    ├── DefinitionError      a sweep, search space or recipe that breaks a rule
    ├── DataError            a dataset, image or annotation that cannot be used as it is
    ├── MachineError         this machine, cluster, store or tracking server cannot do what was
    │   │                    asked
    │   ├── StoreUnavailable a store on S3 does not answer now, and may answer later
    │   └── NeedsParts       the GPUs of a trial have too little memory; it is tried in parts
    └── NonFiniteLoss        training diverged; the trial fails and the sweep goes on

A broken invariant of our own is an `assert`, never one of these.
"""

import difflib
import traceback
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from syndet_ray.wording import counted

_SIMILAR = 0.5  # similarity of two names, 0 to 1, from which one may be a misspelling of the other
_SIMILAR_AMONG_FEW = 0.6  # where all are listed too, a far-fetched guess helps less
_PACKAGE = Path(__file__).parent
_MOST_COMPLETIONS = 3  # a hint of more names no longer says which one was meant


class SyndetError(Exception):
    """A rule was broken at a place the user can reach.

    The message reads "place: rule, got value. What to do." `place` names a file, with a line or an
    annotation id where there is one.
    """

    def __init__(self, place: object, rule: str, *, got: Any = ..., do: str = "") -> None:
        self.place = str(place)
        self.rule, self.got, self.do = rule, got, do
        sentence = str(rule) if got is ... else f"{rule}, got {got!r}"
        is_list = sentence.endswith("\n")  # each of its lines is a sentence
        if not is_list and not sentence.endswith("?"):  # as a rule with a hint, see `nearest`
            sentence += "."
        message = f"{place}: {sentence}" if is_list else f"{place}: {sentence} "
        super().__init__(f"{message}{do}".rstrip())

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders: keep the keyword arguments that Exception's own pickling
        # loses.
        return _rebuild, (type(self), self.place, self.rule, self.got, self.do)


class DefinitionError(SyndetError):
    """A sweep, search space or recipe breaks a rule."""


class DataError(SyndetError):
    """A dataset, image or annotation cannot be used as it is."""


class MachineError(SyndetError):
    """This machine, cluster, store or tracking server cannot do what was asked."""


class StoreUnavailable(MachineError):
    """A store on S3 does not answer, or cannot do now what was asked. It may answer later."""


class NeedsParts(MachineError):
    """A GPU has too little memory for what one of several processes computes of each batch.

    All of them must begin again, in so many parts: the others wait for this one.
    """

    def __init__(self, parts: int, reason: str) -> None:
        rule = f"a GPU of the trial has too little memory for its share of a batch ({reason})"
        super().__init__("training", rule, do=f"It goes on with each share in {parts} parts.")
        self.parts, self.reason = parts, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return NeedsParts, (self.parts, self.reason)


class NonFiniteLoss(SyndetError):
    """The training loss became NaN or infinite."""


def with_first_advice(error: SyndetError, advice: str) -> SyndetError:
    """Returns the same error; `advice`, a sentence, comes before what it says to do."""
    do = f"{advice} {error.do}".rstrip()
    advised = type(error)(error.place, error.rule, got=error.got, do=do)
    for note in getattr(error, "__notes__", []):
        advised.add_note(note)
    return advised


def _rebuild(kind: type[SyndetError], place: str, rule: str, got: Any, do: str) -> SyndetError:
    return kind(place, rule, got=got, do=do)


def error_of_all(
    kind: type[SyndetError],
    place: object,
    beginning: str,
    errors: Iterable[SyndetError],
    *,
    noun: str,
) -> SyndetError:
    """The only error as it is, or one with a line for each.

    beginning  of its rule; the number of errors follows, such as "2 mistakes"
    noun       for one of the errors

    Of errors that say the same one counts: two rules may refuse one value.
    """
    distinct = list({str(error): error for error in errors}.values())
    if len(distinct) == 1:
        return distinct[0]
    lines = "".join(f"\n  {error}" for error in distinct)
    return kind(place, f"{beginning} {counted(len(distinct), noun)}:{lines}\n")


def nearest(name: str, valid: Iterable[str], similarity: float = _SIMILAR) -> str:
    """A hint for a misspelt name: valid names that begin with it, else the closest one, else all.

    Each part of a dotted name may begin with it: flip is completed to training.flip_vertical. Case
    does not matter.

    similarity  0 to 1, of the closest name at least
    """
    names = {other.lower(): other for other in sorted(valid)}
    word = name.lower()
    completions = [other for lower, other in names.items() if word and f".{word}" in f".{lower}"]
    if 0 < len(completions) <= _MOST_COMPLETIONS:
        candidates = " or ".join(map(repr, completions))
        return f"Did you mean {candidates}?"
    close = difflib.get_close_matches(word, names, n=1, cutoff=similarity)
    if close:
        return f"Did you mean {names[close[0]]!r}?"
    return f"Valid: {_name_list(names.values())}."


def nearest_and_all(name: str, valid: Collection[str]) -> str:
    """A hint for a misspelt name among a few valid ones: the nearest, and all of them."""
    hint = nearest(name, valid, _SIMILAR_AMONG_FEW)
    return hint if hint.startswith("Valid") else f"{hint} Valid: {_name_list(valid)}."


def _name_list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message without its full stop; its type if it is empty.

    Messages of libraries may go on with hints and tracebacks.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")


def message(error: Exception) -> str:
    """An error as a sentence for a person; an error of a library has its type in front."""
    if isinstance(error, SyndetError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def reason(error: Exception) -> str:
    """The reason why a trial failed: the message of a SyndetError, one line of any other error."""
    return str(error) if isinstance(error, SyndetError) else unexpected_line(error)


def unexpected_line(error: Exception) -> str:
    """An unexpected error in one line: "ValueError in syndet_ray/boxes.py:12: odd"."""
    return f"{type(error).__name__}{_place(error)}: {first_line(error)}"


def unexpected_traceback(error: Exception) -> str:
    """The traceback of an error; "" for a SyndetError, whose message says all."""
    return "" if isinstance(error, SyndetError) else traceback_text(error)


def traceback_text(error: Exception) -> str:
    """The traceback of an error and of its causes, as Python prints it."""
    return "".join(traceback.format_exception(error))


def _place(error: Exception) -> str:
    """Returns the last line of this package that an error went through, as " in file:line"."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_PACKAGE):
            return f" in {path.relative_to(_PACKAGE.parent)}:{frame.lineno}"
    return ""
