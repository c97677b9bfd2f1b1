"""Parameters: what a search may vary, as numbers, choices and divisions among sources."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from syndet_ray.definitions.value import Value

# How far a value may lie from a step, in steps: rounding, as far as Optuna allows it.
_OFF_STEP = 1e-8

# The share that stands for nothing, for each source that there is, and at most that of all sources
# together: else no sampler would ever come upon a share of exactly nothing, or of all. It is wider
# where there are more sources, for corners are rarer there; but a search must also come upon
# divisions that leave no source out.
_NOTHING, _MOST_NOTHING = 0.025, 0.3
_DIGITS = 12  # of a share: fewer than arithmetic keeps, far more than any training can tell


class _Parameter(Value):
    """when: settings of the same space, and the values that they must have for this parameter to
    exist.
    """

    when: dict[str, tuple[Any, ...]] = Field({})

    @field_validator("when", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        """One value may stand without brackets."""
        if not isinstance(given, Mapping):
            return given
        return {path: v if isinstance(v, (tuple, list)) else (v,) for path, v in given.items()}


class Float(_Parameter):
    """A real number between low and high, both included; on a log scale or in steps where asked."""

    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    step: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _bounds(self) -> "Float":
        _check_bounds(self.low, self.high, self.log, self.step)
        return self

    def samples(self) -> tuple[float, ...]:
        """Values that must each be valid in the recipe for the whole range to be."""
        return self.low, self.high

    def grid(self) -> tuple[float, ...] | None:
        """Every value, where there are finitely many."""
        if self.step is None:
            return None
        steps = round((self.high - self.low) / self.step)
        return tuple(min(self.high, self.low + i * self.step) for i in range(steps + 1))

    def holds(self, value: Any) -> bool:
        """Whether the value may be proposed."""
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not self.low <= value <= self.high
        ):
            return False
        return (
            self.step is None
            or abs(math.remainder(value - self.low, self.step)) < _OFF_STEP * self.step
        )

    @property
    def words(self) -> str:
        """What a value must be."""
        return _range_words(self.low, self.high, self.step)


class Int(_Parameter):
    """A whole number between low and high, both included; on a log scale or in steps where asked."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    step: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _bounds(self) -> "Int":
        _check_bounds(self.low, self.high, self.log, self.step)
        return self

    def samples(self) -> tuple[int, ...]:
        """Values that must each be valid in the recipe for the whole range to be."""
        return self.low, self.high

    def grid(self) -> tuple[int, ...]:
        """Every value."""
        return tuple(range(self.low, self.high + 1, self.step or 1))

    def holds(self, value: Any) -> bool:
        """Whether the value may be proposed."""
        whole = (
            not isinstance(value, bool)
            and isinstance(value, int)
            and self.low <= value <= self.high
        )
        return whole and (value - self.low) % (self.step or 1) == 0

    @property
    def words(self) -> str:
        """What a value must be."""
        return _range_words(self.low, self.high, self.step)


class Choice(_Parameter):
    """One of several values, in no order; a value may be several numbers, such as a least and a
    greatest width.
    """

    kind: Literal["choice"] = "choice"
    values: tuple[str | bool | int | float | tuple[float, ...], ...] = Field(min_length=2)

    def samples(self) -> tuple[Any, ...]:
        """Values that must each be valid in the recipe for the whole choice to be."""
        return self.values

    def grid(self) -> tuple[Any, ...]:
        """Every value."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Whether the value may be proposed."""
        return value in self.values

    @property
    def words(self) -> str:
        """What a value must be."""
        return f"one of {', '.join(map(repr, self.values))}"

    def own(self, value: Any) -> Any:
        """An equal value as it stands here: a recipe makes 0 a 0.0."""
        return next(known for known in self.values if known == value)


class Simplex(_Parameter):
    """The shares of several sources in all images seen, which sum to 1: any division among them.

    Sources are "real" and those of the recipe's mix. K sources have K - 1 axes from 0 to 1, by
    stick-breaking: each axis says how much of what the sources before have left over goes to the
    next one. An axis is bent so that even draws along all axes are even draws from the simplex (the
    part that is broken off follows Beta(1, sources that come after); Devroye 1986, Non-Uniform
    Random Variate Generation, ch. 11.4). A source that would get less than a margin gets nothing,
    and what the others have beyond the margin is stretched to the whole. So each face, a set of
    sources that have a share, is as likely as any other of its size, corners included, whatever the
    order of the sources; draws from a face are even; and a face lies beside the divisions that are
    nearest to it, where a sampler that looks near good points finds it.
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
        """None: any division is valid, if only the recipe has the sources."""
        return ()

    @property
    def words(self) -> str:
        """What a value must be."""
        return f"divided among {', '.join(self.sources)} alone"

    @property
    def margin(self) -> float:
        """The share before stretching up to which a source gets nothing; less than 1 / K, so that
        one is always above it.
        """
        count = len(self.sources)
        return min(_NOTHING * count, _MOST_NOTHING / count)

    def shares(self, point: Sequence[float]) -> dict[str, float]:
        """The share of each source at a point, K - 1 numbers from 0 to 1; rounded, so that 0.75
        comes back as 0.75.
        """
        beyond = [max(0.0, part - self.margin) for part in _broken(point)]
        total = sum(beyond)
        return {
            source: round(part / total, _DIGITS)
            for source, part in zip(self.sources, beyond, strict=True)
        }

    def at(self, shares: Mapping[str, float]) -> tuple[float, ...]:
        """A point with these shares: the inverse of `shares`. Of all points of a face it is that in
        the middle of the margin.
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
    """K parts of 1 at K - 1 numbers from 0 to 1; even on the simplex where these are even."""
    left, parts = 1.0, list[float]()
    for i, at in enumerate(point):
        part = left * (1 - (1 - at) ** (1 / (len(point) - i)))
        parts.append(part)
        left = max(0.0, left - part)
    return [*parts, left]


def _breaks(parts: Sequence[float]) -> tuple[float, ...]:
    """The inverse of `_broken`, for parts that are all greater than 0."""
    left, point = 1.0, list[float]()
    for i, part in enumerate(parts[:-1]):
        point.append(1 - (1 - min(1.0, part / left)) ** (len(parts) - 1 - i))
        left -= part
    return tuple(point)


Axis = Float | Int | Choice
Parameter = Annotated[Float | Int | Choice | Simplex, Field(discriminator="kind")]


def _range_words(low: float, high: float, step: float | None) -> str:
    return f"from {low:g} to {high:g}" + ("" if step is None else f" in steps of {step:g}")


def _check_bounds(low: float, high: float, log: bool, step: float | None) -> None:
    if not low < high:
        raise ValueError(f"low must be less than high, got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"a log range must start above 0, got low={low}")
    if log and step is not None:
        raise ValueError(f"a log range takes no step, got step={step}")
    if step is not None and abs(math.remainder(high - low, step)) > 1e-9 * step:
        raise ValueError(
            f"whole steps must lead from low to high, got low={low}, high={high}, step={step}"
        )
