"""Planned trainings: those that a sweep asks for by name, and the seeds with which lost ones are
trained again.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import count

from syndet_ray.analysis.selection import TRIES_OF_A_SEED, is_given_up
from syndet_ray.definitions.loaded_sweep import LoadedSweep

# The kind of a control or variant, or the index of a point that the sweep names or that its grid
# has.
Name = str | int


@dataclass(kw_only=True)
class _Training:
    name: Name
    seed_number: int
    is_lost: bool = False


class PlannedTrainings:
    """The planned trainings that were asked for, by trial number. Those that a sampler drew are not
    planned.

    A training that is lost with its machine is asked for again with the same seed, which other
    recipes have too. If that is lost as well, it gets a seed that no recipe is planned to have.
    This is the rule of `selection.missing_seeds`, for recipes that are not confirmed.
    """

    def __init__(self, sweep: LoadedSweep) -> None:
        self._sweep = sweep
        self._trainings: dict[int, _Training] = {}

    def add(self, number: int, name: Name, seed_number: int) -> None:
        """Adds a training that was asked for as trial `number`."""
        self._trainings[number] = _Training(name=name, seed_number=seed_number)

    def lose(self, number: int) -> Name | None:
        """Marks trial `number` as lost; returns the name to ask for again, or None if it was not
        planned or its recipe is given up.
        """
        training = self._trainings.get(number)
        if training is None:
            return None
        training.is_lost = True
        planned = len(self._names_of_recipe(training.name))
        if is_given_up(self._lost_seeds(training.name), planned):
            return None
        return training.name

    def next_seed(self, name: Name) -> int:
        """Returns the number of the seed that the next training of this name starts from."""
        trainings = [training for training in self._trainings.values() if training.name == name]
        if not trainings:
            return self._first_seed(name)
        latest = trainings[-1].seed_number
        if self._lost_seeds(name)[latest] < TRIES_OF_A_SEED:
            return latest
        taken = {training.seed_number for training in self._trainings_of_recipe(name)}
        return next(seed for seed in count(self._sweep.spare_seed) if seed not in taken)

    def _first_seed(self, name: Name) -> int:
        if isinstance(name, int):
            return 0
        is_variant = name not in self._sweep.controls
        return self._sweep.seed_number(self._sweep.replica(name), of_variant=is_variant)

    def _lost_seeds(self, name: Name) -> Counter[int]:
        """Returns how often trainings of the same recipe were lost, by their seed."""
        trainings = self._trainings_of_recipe(name)
        return Counter(training.seed_number for training in trainings if training.is_lost)

    def _trainings_of_recipe(self, name: Name) -> list[_Training]:
        names = self._names_of_recipe(name)
        return [training for training in self._trainings.values() if training.name in names]

    def _names_of_recipe(self, name: Name) -> tuple[Name, ...]:
        """Returns the names of a recipe's trainings: of all repeats of a variant, or `name`."""
        return self._sweep.kinds_alike(name) if isinstance(name, str) else (name,)
