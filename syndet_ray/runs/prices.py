"""Prices: what an hour of a GPU and of a core costs, in any currency."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from syndet_ray.errors import DefinitionError

if TYPE_CHECKING:
    from syndet_ray.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices of one hour; None if it is not given. Raises DefinitionError for what is no price.

    gpu_hour_price   of a GPU, with the cores of its node if `core_hour_price` is not given
    core_hour_price  of a core
    """

    gpu_hour_price: float | None = None
    core_hour_price: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not is_price(value):
                rule = "must be a finite number of at least 0"
                do = "Write the price of one hour, in any currency, such as 2.5."
                raise DefinitionError(f"`{name}`", rule, got=value, do=do)

    @property
    def are_given(self) -> bool:
        return self.gpu_hour_price is not None or self.core_hour_price is not None

    def cost(self, *, gpu_hours: float, core_hours: float) -> float:
        """Returns what so many hours cost; a price that is not given counts as 0."""
        return gpu_hours * (self.gpu_hour_price or 0.0) + core_hours * (self.core_hour_price or 0.0)

    def words(self) -> str:
        """The prices in words: "2.5 a GPU hour and 0.04 a core hour"."""
        parts = {"GPU": self.gpu_hour_price, "core": self.core_hour_price}
        return " and ".join(
            f"{price:g} a {name} hour" for name, price in parts.items() if price is not None
        )


def is_price(value: Any) -> bool:
    """True for a finite number of at least 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= sys.float_info.max  # an int may be larger than any float


def prices_of(about: Mapping[str, Any]) -> Prices:
    """Returns the prices that run.json has; one of an earlier version has none."""
    options = about.get("options") or {}
    names = Prices.__dataclass_fields__
    return Prices(**{name: options.get(name) for name in names})


def with_prices(run: "Run", prices: Prices) -> "Run":
    """Returns the run with these prices, where they are given, in place of its own."""
    given = {name: value for name, value in vars(prices).items() if value is not None}
    options = (run.about.get("options") or {}) | given
    return replace(run, about={**run.about, "options": options})
