"""Wording: numbers as sentences and tables write them."""

import math


def counted(count: int, noun: str) -> str:
    """1 seed, 3 seeds."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """40 %. What is not nothing is never shown as 0 %, and what is not all never as 100 %."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "< 1 %"
    return "> 99 %" if whole == 100 and share < 1 else f"{whole} %"


def probability(value: float) -> str:
    """= 0.97; never certain, for it was counted in draws."""
    if value > 0.99:
        return "> 0.99"
    return "< 0.01" if value < 0.01 else f"= {value:.2f}"


def number(value: float | None, digits: int = 3) -> str:
    """A score with so many decimals; "n/a" for none, for NaN and for COCO's -1 (no such object in
    the set).
    """
    return "n/a" if value is None or math.isnan(value) or value < 0 else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign; what rounds to nothing has none."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def decimals(score: float) -> int:
    """Two are what a small test set can tell; a score below .1 needs the third to say anything."""
    return 2 if score >= 0.1 else 3


def duration(seconds: float) -> str:
    """41 s, 12 min 5 s or 3 h 20 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
