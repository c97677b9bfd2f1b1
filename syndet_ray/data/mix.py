"""Mix: which images the next batch is made of, so that every source gets exactly the share it was asked to have."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from syndet_ray import seeds
from syndet_ray.errors import SyndetError

_TOLERANCE = 1e-9


class BatchMixer:
    """Draws batches from several sources.

    Shares are exact: each source is owed share x batch_size images a batch, what is owed is carried from batch to
    batch, and places go to whole numbers first and then to the largest remainders. After any number of batches no
    source is a whole image per source (and with two sources, no whole image at all) from what it was owed.

    Every source is shuffled anew for each pass through it. The state is a few numbers: where each source stands.
    """

    def __init__(self, sizes: Mapping[str, int], batch_size: int, seed: int) -> None:
        self._sizes, self._seed, self.batch_size = dict(sizes), seed, batch_size
        self.drawn = dict.fromkeys(sizes, 0)
        self._owed = dict.fromkeys(sizes, 0.0)

    def draw(self, shares: Mapping[str, float], count: int | None = None) -> list[tuple[str, int]]:
        """(source, index of an image) for the next batch, or for the `count` images of a last, shorter one.

        `shares` sum to 1. Raises SyndetError where they do not, or where a source with a share has no images.
        """
        self._check(shares)
        size = self.batch_size if count is None else count
        for source, share in shares.items():
            self._owed[source] = self._owed.get(source, 0.0) + share * size
        batch = []
        for source, places in _apportion({source: self._owed[source] for source in shares}, size).items():
            self._owed[source] -= places
            batch += [(source, index) for index in self._next(source, places)]
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `load_state_dict` goes on exactly."""
        return {"drawn": dict(self.drawn), "owed": dict(self._owed)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.drawn, self._owed = dict(state["drawn"]), dict(state["owed"])

    def _next(self, source: str, places: int) -> list[int]:
        size, found = self._sizes[source], []
        for position in range(self.drawn[source], self.drawn[source] + places):
            found.append(self._at(source, position // size, position % size))
        self.drawn[source] += places
        return found

    def _at(self, source: str, turn: int, position: int) -> int:
        """The image at a position of one pass through a source."""
        return int(_order(self._seed, source, self._sizes[source], self.batch_size, turn)[position])

    def _check(self, shares: Mapping[str, float]) -> None:
        if abs(sum(shares.values()) - 1) > 1e-6 or min(shares.values()) < 0:
            raise SyndetError("mix", "shares must be 0 or more and sum to 1", got=dict(shares))
        for source, share in shares.items():
            if share > 0 and self._sizes.get(source, 0) < 1:
                raise SyndetError("mix", f"{source} has a share but no images", got=share)


def _apportion(owed: Mapping[str, float], size: int) -> dict[str, int]:
    """`size` places by what is owed: whole numbers first, the rest to the largest remainders (ties: first named).

    A source that was given a place ahead of its due is owed less than 0 and gets none until it has caught up.
    """
    places = {source: max(0, math.floor(due + _TOLERANCE)) for source, due in owed.items()}
    by_remainder = sorted(owed, key=lambda source: places[source] - owed[source])
    while (left := size - sum(places.values())) != 0:
        # Rounding up gives to those owed most; where negative dues left too many places, it takes from those owed least.
        chosen = by_remainder[:left] if left > 0 else [s for s in reversed(by_remainder) if places[s] > 0][:-left]
        for source in chosen:
            places[source] += 1 if left > 0 else -1
    return places


@lru_cache(maxsize=32)
def _order(seed: int, source: str, size: int, batch_size: int, turn: int) -> np.ndarray:
    """The shuffled order of one pass through a source.

    A batch may span two passes, and an image late in one and early in the next would then stand in it twice. So where a
    source holds at least three batches, a pass begins with images that did not end the pass before. Those are taken from
    all but its last batch, which therefore stays as it was shuffled and can be known without unrolling earlier passes.
    """
    order = _shuffled(seed, source, size, turn)
    if turn == 0 or size < 3 * batch_size:
        return order
    before = _shuffled(seed, source, size, turn - 1)[-batch_size:]
    head = order[:-batch_size][~np.isin(order[:-batch_size], before)][:batch_size]
    return np.concatenate([head, order[~np.isin(order, head)]])


def _shuffled(seed: int, source: str, size: int, turn: int) -> np.ndarray:
    return seeds.generator(seed, f"mix/{source}", turn).permutation(size)
