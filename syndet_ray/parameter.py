"""Parameters: what a search may vary, as numbers, choices and divisions among sources."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from syndet_ray.recipe import Value

# So much of an axis of a simplex, at either end, stands for the end itself: else no sampler would ever come upon a share
# of exactly nothing, or of all.
_MARGIN = 0.05


class _Parameter(Value):
    """when: settings of the same space, and the values that they must have for this parameter to exist."""

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
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        return self.step is None or abs(math.remainder(value - self.low, self.step)) < 1e-9


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
        whole = not isinstance(value, bool) and isinstance(value, int) and self.low <= value <= self.high
        return whole and (value - self.low) % (self.step or 1) == 0


class Choice(_Parameter):
    """One of several values, in no order; a value may be several numbers, such as a least and a greatest width."""

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

    def own(self, value: Any) -> Any:
        """An equal value as it stands here: a recipe makes 0 a 0.0."""
        return next(known for known in self.values if known == value)


class Simplex(_Parameter):
    """The shares of several sources in all images seen, which sum to 1: any division among them.

    Sources are "real" and those of the recipe's mix. K sources have K - 1 axes from 0 to 1, by stick-breaking: each axis
    says how much of what the sources before have left over goes to the next one. An axis is bent so that even draws along
    all axes are even draws from the simplex (the part that is broken off follows Beta(1, sources that come after); Devroye
    1986, Non-Uniform Random Variate Generation, ch. 11.4), but for the outer twentieth at each end, which stands for
    nothing and for all: so every corner, 100 % of one source, and every face can be proposed.
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

    def shares(self, point: Sequence[float]) -> dict[str, float]:
        """The share of each source at a point, K - 1 numbers from 0 to 1."""
        left, found = 1.0, {}
        for i, (source, at) in enumerate(zip(self.sources, point, strict=False)):
            straight = min(1.0, max(0.0, (at - _MARGIN) / (1 - 2 * _MARGIN)))
            found[source] = left * (1 - (1 - straight) ** (1 / (len(self.sources) - 1 - i)))
            left = max(0.0, left - found[source])
        return found | {self.sources[-1]: left}

    def at(self, shares: Mapping[str, float]) -> tuple[float, ...]:
        """A point with these shares: the inverse of `shares`."""
        left, found = 1.0, list[float]()
        for i, source in enumerate(self.sources[:-1]):
            part = min(1.0, shares[source] / left) if left > 1e-12 else 0.0
            straight = 1 - (1 - part) ** (len(self.sources) - 1 - i)
            found.append(straight if part in (0.0, 1.0) else _MARGIN + straight * (1 - 2 * _MARGIN))
            left -= shares[source]
        return tuple(found)


Axis = Float | Int | Choice
Parameter = Annotated[Float | Int | Choice | Simplex, Field(discriminator="kind")]


def _check_bounds(low: float, high: float, log: bool, step: float | None) -> None:
    if not low < high:
        raise ValueError(f"low must be less than high, got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"a log range must start above 0, got low={low}")
    if log and step is not None:
        raise ValueError(f"a log range takes no step, got step={step}")
    if step is not None and abs(math.remainder(high - low, step)) > 1e-9 * step:
        raise ValueError(f"whole steps must lead from low to high, got low={low}, high={high}, step={step}")
