"""SearchSpace: which settings of a recipe a sweep varies, and within which bounds."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, model_validator

from syndet_ray.errors import DefinitionError
from syndet_ray.recipe import Recipe, Value, check_path


class Float(Value):
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


class Int(Value):
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


class Choice(Value):
    """One of several values, in no order; a value may be a pair, such as a least and a greatest width."""

    kind: Literal["choice"] = "choice"
    values: tuple[str | bool | int | float | tuple[float, float], ...] = Field(min_length=2)

    def samples(self) -> tuple[Any, ...]:
        """Values that must each be valid in the recipe for the whole choice to be."""
        return self.values


def _check_bounds(low: float, high: float, log: bool, step: float | None) -> None:
    if not low < high:
        raise ValueError(f"low must be less than high, got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"a log range must start above 0, got low={low}")
    if log and step is not None:
        raise ValueError(f"a log range takes no step, got step={step}")


Parameter = Annotated[Float | Int | Choice, Field(discriminator="kind")]


class SearchSpace(RootModel[dict[str, Parameter]]):
    """Dotted settings of a recipe and the values each may take: `SearchSpace({"mix.synthetic": Float(low=0, high=1)})`."""

    model_config = {"frozen": True}

    @model_validator(mode="after")
    def _fits_the_recipe(self) -> "SearchSpace":
        for path, parameter in self.root.items():
            try:
                check_path(path)
                for value in parameter.samples():
                    Recipe().replace({path: value})
            except DefinitionError as error:
                raise ValueError(str(error)) from None
        return self

    def items(self) -> Iterator[tuple[str, Float | Int | Choice]]:
        yield from self.root.items()

    def __len__(self) -> int:
        return len(self.root)

    @staticmethod
    def union(spaces: Mapping[str, "SearchSpace"]) -> "SearchSpace":
        """One space of several named ones. Raises DefinitionError where two vary the same setting."""
        owner: dict[str, str] = {}
        merged: dict[str, Float | Int | Choice] = {}
        for name, space in spaces.items():
            for path, parameter in space.items():
                if path in owner:
                    raise DefinitionError(
                        f"search space {name}", f"{path} is already varied by {owner[path]}", do="Name one."
                    )
                owner[path], merged[path] = name, parameter
        return SearchSpace(merged)
