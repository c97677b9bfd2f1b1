"""Wording: numbers and commands as sentences and tables write them."""

import math
import shlex
from pathlib import Path

# begins the note of an error that names the file with its traceback
TRACEBACK = "traceback: "


def counted(count: int, noun: str) -> str:
    """1 seed, 3 seeds."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def times(count: int) -> str:
    """once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def percent(share: float) -> str:
    """40 %. Only a share of 0 is shown as 0 %, and only a share of 1 as 100 %."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "< 1 %"
    if whole == 100 and share < 1:
        return "> 99 %"
    return f"{whole} %"


def probability(value: float) -> str:
    """= 0.97; never certain, because it is the share of a limited number of draws."""
    if value > 0.99:
        return "> 0.99"
    if value < 0.01:
        return "< 0.01"
    return f"= {value:.2f}"


def number(value: float | None, digits: int = 3) -> str:
    """A score with this number of decimals; "n/a" if it is unknown: None, NaN or below 0.

    COCO writes -1 where the set has no such object.
    """
    if value is None or math.isnan(value) or value < 0:
        return "n/a"
    return f"{value:.{digits}f}"


def money(amount: float) -> str:
    """1,234.50, or if it is little with two digits 0.034; in the currency of the prices."""
    return f"{amount:,.2f}" if amount >= 0.1 else _two_digits(amount)


def hours_number(hours: float) -> str:
    """Hours as a number with one decimal, 12.3, or if they are few with two digits, 0.034."""
    return f"{hours:,.1f}" if hours >= 1 else _two_digits(hours)


def _two_digits(small: float) -> str:
    """0.034; only 0 is shown as 0."""
    return "< 0.001" if 0 < small < 0.001 else f"{small:.2g}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign; one that rounds to 0 has none."""
    rounded = round(value, digits)
    sign = "+" if rounded else ""
    return f"{rounded or 0:{sign}.{digits}f}"


def decimals(score: float) -> int:
    """The number of decimals of a score.

    A small test set supports two; a score below .1 needs a third to say anything.
    """
    return 2 if score >= 0.1 else 3


def duration(seconds: float) -> str:
    """41 s, 12 min 5 s or 3 h 20 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{rest} s"


def command_line(verb: str, *arguments: str | Path) -> str:
    """Returns a command line of this program that a shell accepts, whatever a path is called."""
    return f"python -m syndet_ray {shlex.join([verb, *map(str, arguments)])}"


def resume_hint(run: Path | None, *more: str, address: str | None = None) -> str:
    """Returns the command that resumes a run; without a run, a remark that none had started.

    more     further words of the command
    address  of the run on S3: then also the command for another machine
    """
    if run is None:
        return "no run had started"
    hint = f"continue with: {command_line('resume', run, *more)}"
    if address is None:
        return hint
    return f"{hint} (on another machine: {command_line('resume', address)})"


def printable(words: str) -> str:
    """Words in one line: characters that do not print, such as line breaks, as escapes."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in words
    )
