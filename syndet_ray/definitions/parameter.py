"""Parameters of a search: numbers, choices, and divisions among sources."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from syndet_ray.definitions.value import Value

# The distance of a value from a step that is taken for rounding, in steps: as in Optuna.
_OFF_STEP = 1e-8
# The same for the bounds of a range, which are written by hand.
_BOUNDS_OFF_STEP = 1e-9

# Shares below a margin stand for nothing: otherwise no sampler would propose a share of exactly
# nothing, or of everything. The margin is wider when there are more sources, because corners are
# rarer then; but a search must also propose divisions that leave no source out.
_NOTHING = 0.025  # margin for each source
_MOST_NOTHING = 0.3  # at most, for all sources together
_DIGITS = 12  # of a share: fewer than arithmetic keeps, far more than any training can resolve


class _Parameter(Value):
    """when: settings of the same space, and the values with which this parameter exists."""

    when: dict[str, tuple[Any, ...]] = Field(
        {}, description="settings, and the values with which this parameter exists"
    )

    @field_validator("when", mode="before")
    @classmethod
    def _several(cls, conditions: Any) -> Any:
        """One value may stand without brackets."""
        if not isinstance(conditions, Mapping):
            return conditions
        several = {}
        for path, values in conditions.items():
            several[path] = values if isinstance(values, (tuple, list)) else (values,)
        return several


class Float(_Parameter):
    """A real number from low to high, both included; if set, on a log scale or in steps."""

    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    step: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _bounds(self) -> "Float":
        _check_bounds(self.low, self.high, log=self.log, step=self.step)
        return self

    def samples(self) -> tuple[float, ...]:
        """Minimum and maximum: if a recipe may have them, it may have the whole range."""
        return self.low, self.high

    def grid(self) -> tuple[float, ...] | None:
        """Every value; None if their number is not finite."""
        if self.step is None:
            return None
        steps = round((self.high - self.low) / self.step)
        return tuple(min(self.high, self.low + i * self.step) for i in range(steps + 1))

    def holds(self, value: Any) -> bool:
        """True when the value may be proposed."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        distance = abs(math.remainder(value - self.low, self.step))
        return distance < _OFF_STEP * self.step

    @property
    def words(self) -> str:
        """The rule for a value, after "must be"."""
        return _range_words(self.low, self.high, self.step)


class Int(_Parameter):
    """A whole number from low to high, both included; if set, on a log scale or in steps."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    step: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _bounds(self) -> "Int":
        _check_bounds(self.low, self.high, log=self.log, step=self.step)
        return self

    def samples(self) -> tuple[int, ...]:
        """Minimum and maximum: if a recipe may have them, it may have the whole range."""
        return self.low, self.high

    def grid(self) -> tuple[int, ...]:
        """Every value."""
        return tuple(range(self.low, self.high + 1, self.step or 1))

    def holds(self, value: Any) -> bool:
        """True when the value may be proposed."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        if not self.low <= value <= self.high:
            return False
        return (value - self.low) % (self.step or 1) == 0

    @property
    def words(self) -> str:
        """The rule for a value, after "must be"."""
        return _range_words(self.low, self.high, self.step)


class Choice(_Parameter):
    """One of several values, without order; a value may be a pair, such as minimum and maximum."""

    kind: Literal["choice"] = "choice"
    values: tuple[str | bool | int | float | tuple[float, ...], ...] = Field(min_length=2)

    def samples(self) -> tuple[Any, ...]:
        """Values that must all be valid in the recipe."""
        return self.values

    def grid(self) -> tuple[Any, ...]:
        """Every value."""
        return self.values

    def holds(self, value: Any) -> bool:
        """True when the value may be proposed."""
        return value in self.values

    @property
    def words(self) -> str:
        """The rule for a value, after "must be"."""
        return f"one of {', '.join(map(repr, self.values))}"

    def equal(self, value: Any) -> Any:
        """The value of the choice that equals this one: a recipe turns 0 into 0.0."""
        return self.values[self.values.index(value)]


class Around(_Parameter):
    """A range around the value that a setting has in the recipe, also one measured on photos.

    `definitions.around` turns it into a `Float`, an `Int` or a `Choice` when the sweep begins and
    the recipe's value is known.

    by  factor: from low to high times the value, on a log scale; offset: from low to high added
    """

    kind: Literal["around"] = "around"
    low: float
    high: float
    by: Literal["factor", "offset"] = "factor"

    @model_validator(mode="after")
    def _around_the_value(self) -> "Around":
        neutral = 1 if self.by == "factor" else 0
        bounds = f"low={self.low:g}, high={self.high:g}"
        if not self.low <= neutral <= self.high or self.low == self.high:
            rule = f"a range by {self.by} must lie around {neutral}"
            raise ValueError(f"{rule}, got {bounds}")
        if self.by == "factor" and self.low <= 0:
            raise ValueError(f"factors must be above 0, got {bounds}")
        return self

    def samples(self) -> tuple[()]:
        """No values: they are known when the sweep begins."""
        return ()

    def grid(self) -> None:
        """None: the number of values is not finite."""

    def holds(self, value: Any) -> bool:
        """True for numbers and pairs: which may be proposed is known when the sweep begins."""
        return isinstance(value, (int, float, tuple)) and not isinstance(value, bool)

    @property
    def words(self) -> str:
        """The rule for a value, after "must be"."""
        if self.by == "factor":
            return f"from {self.low:g} to {self.high:g} times the recipe's value"
        return f"from {self.low:+g} to {self.high:+g} about the recipe's value"


class Simplex(_Parameter):
    """The shares of several sources in all images seen: any division that sums to 1.

    Sources are "real" and those of the recipe's mix. K sources have K - 1 axes from 0 to 1, by
    stick-breaking: each axis is the part of what the sources before have left that goes to the
    next one. Axes are bent so that uniform values along all axes give uniform samples of the
    simplex: the part that is broken off follows Beta(1, number of sources that come after)
    (Devroye 1986, Non-Uniform Random Variate Generation, ch. 11.4).

    A source whose part is below a margin gets nothing, and what the others have beyond the margin
    is stretched to the whole. A face is a set of sources that have a share. Each face is then as
    likely as any other of its size, corners included, in any order of the sources, and samples of
    a face are uniform. A face also lies next to the divisions that are nearest to it, so a sampler
    that looks near good points finds it.
    """

    kind: Literal["simplex"] = "simplex"
    sources: tuple[str, ...]

    @model_validator(mode="after")
    def _several_sources(self) -> "Simplex":
        if len(self.sources) < 2:
            raise ValueError(f"a simplex needs at least 2 sources, got {list(self.sources)}")
        if len(set(self.sources)) < len(self.sources):
            raise ValueError(f"a simplex names each source once, got {list(self.sources)}")
        return self

    def samples(self) -> tuple[()]:
        """No values: any division is valid, if the recipe has the sources."""
        return ()

    @property
    def words(self) -> str:
        """The rule for a value, after "must be"."""
        return f"divided among {', '.join(self.sources)} alone"

    @property
    def margin(self) -> float:
        """The part, before stretching, up to which a source gets nothing.

        It is less than 1 / K, so that one source is always above it.
        """
        count = len(self.sources)
        return min(_NOTHING * count, _MOST_NOTHING / count)

    def shares(self, point: Sequence[float]) -> dict[str, float]:
        """The share of each source at a point, K - 1 numbers from 0 to 1.

        Shares are rounded, so that 0.75 comes back as 0.75.
        """
        beyond = [max(0.0, part - self.margin) for part in _broken(point)]
        total = sum(beyond)
        shares = [round(part / total, _DIGITS) for part in beyond]
        return dict(zip(self.sources, shares, strict=True))

    def at(self, shares: Mapping[str, float]) -> tuple[float, ...]:
        """A point with these shares: the inverse of `shares`.

        Of all points of a face it is the one in the middle of the margin.
        """
        missing = sum(shares[source] <= 0 for source in self.sources)
        present = len(self.sources) - missing
        total = 1 - self.margin * (present + missing / 2)
        parts = []
        for source in self.sources:
            share = shares[source]
            parts.append(self.margin + share * total if share > 0 else self.margin / 2)
        return _breaks(parts)


def _broken(point: Sequence[float]) -> list[float]:
    """K parts of 1, from K - 1 numbers from 0 to 1; uniform on the simplex if these are uniform."""
    left, parts = 1.0, list[float]()
    for i, coordinate in enumerate(point):
        sources_after = len(point) - i
        part = left * (1 - (1 - coordinate) ** (1 / sources_after))
        parts.append(part)
        left = max(0.0, left - part)
    return [*parts, left]


def _breaks(parts: Sequence[float]) -> tuple[float, ...]:
    """The inverse of `_broken`, for parts that are all greater than 0."""
    left, point = 1.0, list[float]()
    for i, part in enumerate(parts[:-1]):
        sources_after = len(parts) - 1 - i
        point.append(1 - (1 - min(1.0, part / left)) ** sources_after)
        left -= part
    return tuple(point)


Axis = Float | Int | Choice
Parameter = Annotated[Float | Int | Choice | Around | Simplex, Field(discriminator="kind")]


def _range_words(low: float, high: float, step: float | None) -> str:
    words = f"from {low:g} to {high:g}"
    return words if step is None else f"{words} in steps of {step:g}"


def _check_bounds(low: float, high: float, *, log: bool, step: float | None) -> None:
    if not low < high:
        raise ValueError(f"low must be less than high, got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"a log range must start above 0, got low={low}")
    if log and step is not None:
        raise ValueError(f"a log range takes no step, got step={step}")
    if step is not None and abs(math.remainder(high - low, step)) > _BOUNDS_OFF_STEP * step:
        rule = "whole steps must lead from low to high"
        raise ValueError(f"{rule}, got low={low}, high={high}, step={step}")
