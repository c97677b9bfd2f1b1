"""Planned: the trainings that a sweep asks for by name, and from which seed a lost one is trained
again.
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
    """The planned trainings that were asked for, by trial number. What a sampler draws is not
    planned.

    A training that is lost with its machine is asked for again from the same seed, for other
    recipes have it too, and after that from one that no recipe is planned to have: the rule of
    `selection.missing_seeds`, for those that are not confirmed.
    """

    def __init__(self, sweep: LoadedSweep) -> None:
        self._sweep = sweep
        self._trainings: dict[int, _Training] = {}

    def add(self, number: int, name: Name, seed_number: int) -> None:
        """Adds a training that was asked for as trial `number`."""
        self._trainings[number] = _Training(name=name, seed_number=seed_number)

    def lose(self, number: int) -> Name | None:
        """Marks trial `number` as lost; returns the name to ask for again, None where nothing is or
        its recipe is given up.
        """
        training = self._trainings.get(number)
        if training is None:
            return None
        training.is_lost = True
        planned = len(self._names_of_recipe(training.name))
        return None if is_given_up(self._lost_seeds(training.name), planned) else training.name

    def next_seed(self, name: Name) -> int:
        """The number of the seed that the next training of this name starts from."""
        seed_numbers = [
            training.seed_number for training in self._trainings.values() if training.name == name
        ]
        if not seed_numbers:
            return self._first_seed(name)
        latest = seed_numbers[-1]
        if self._lost_seeds(name)[latest] < TRIES_OF_A_SEED:
            return latest
        names = self._names_of_recipe(name)
        taken_seeds = {
            training.seed_number for training in self._trainings.values() if training.name in names
        }
        return next(seed for seed in count(self._sweep.spare_seed) if seed not in taken_seeds)

    def _first_seed(self, name: Name) -> int:
        if isinstance(name, int):
            return 0
        is_variant = name not in self._sweep.controls
        return self._sweep.seed_number(self._sweep.replica(name), of_variant=is_variant)

    def _lost_seeds(self, name: Name) -> Counter[int]:
        """How often trainings of the same recipe were lost, by their seed."""
        names = self._names_of_recipe(name)
        lost = [
            training
            for training in self._trainings.values()
            if training.is_lost and training.name in names
        ]
        return Counter(training.seed_number for training in lost)

    def _names_of_recipe(self, name: Name) -> tuple[Name, ...]:
        """The names of the same recipe's trainings: all repeats of a variant, or itself alone."""
        return self._sweep.kinds_alike(name) if isinstance(name, str) else (name,)
