"""Mix: which images the next batch is made of, so that every source gets exactly the share it was
asked to have.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from syndet_ray import seeds
from syndet_ray.errors import SyndetError

# far above what rounding adds up to in a training, far below what a share can mean
_ROUNDING = 1e-9


class BatchMixer:
    """Draws batches from several sources, in exactly the shares asked for, and through each source
    evenly.

    Places are given one by one. Each place owes every source its share; a source that is owed
    nothing is not served, and of the others the one is served first that would soonest be owed a
    whole image. This is earliest-deadline scheduling, which keeps every source within less than one
    image of what it was asked to have, after any number of places and for any number of sources, as
    long as the shares stay the same (Baruah et al. 1996, "Proportionate progress"; the windows
    there are ours). Serving the largest remainder does not: with five sources, asked for as 1 : 16
    : 38 : 1 : 38, it strays by more than an image. Where the shares change, what is owed is carried
    over: two sources stay within one image still, from four on no method can promise that without
    knowing the shares to come.

    A source is shuffled anew for each pass through it, unless it is one of `in_order`, and stands
    in a batch twice only where it has too few images.
    The state is a few integers for each source; orders are derived from (seed, source, pass).
    """

    def __init__(
        self, sizes: Mapping[str, int], batch_size: int, seed: int, in_order: Collection[str] = ()
    ) -> None:
        assert batch_size > 0, batch_size
        self.batch_size = batch_size
        self.drawn = dict.fromkeys(sizes, 0)
        self._owed = dict.fromkeys(sizes, 0.0)
        self._decks = {
            source: _Deck(source, size, seed, shuffled=source not in in_order)
            for source, size in sizes.items()
        }

    def draw(self, shares: Mapping[str, float], count: int | None = None) -> list[tuple[str, int]]:
        """(source, index of an image) for the next batch, or for the `count` images of a last,
        shorter one.

        Raises SyndetError where shares do not sum to 1, or where a source with a share is unknown
        or has no images.
        """
        self._check(shares)
        places = self._places(shares, self.batch_size if count is None else count)
        batch = []
        for source, number in places.items():
            self.drawn[source] += number
            batch += [(source, index) for index in self._decks[source].deal(number)]
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values from which `load_state_dict` goes on exactly."""
        decks = {source: deck.state() for source, deck in self._decks.items()}
        return {"drawn": dict(self.drawn), "owed": dict(self._owed), "decks": decks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken.

        Raises SyndetError where that mixer had other sources.
        """
        sizes = {source: deck.size for source, deck in self._decks.items()}
        before = {source: deck["size"] for source, deck in state["decks"].items()}
        if before != sizes:
            raise SyndetError(
                "checkpoint",
                f"was made with sources of {before} images",
                got=sizes,
                do="Use the same data.",
            )
        self.drawn, self._owed = dict(state["drawn"]), dict(state["owed"])
        for source, deck in self._decks.items():
            deck.restore(state["decks"][source])

    def _places(self, shares: Mapping[str, float], count: int) -> dict[str, int]:
        """How many of the next `count` places each source gets."""
        total = sum(shares.values())  # 1, but for rounding, which must not add up
        asked = {source: share / total for source, share in shares.items() if share > 0}
        places = dict.fromkeys(asked, 0)
        for _ in range(count):
            for source, share in asked.items():
                self._owed[source] += share
            served = self._most_pressing(asked)
            self._owed[served] -= 1
            places[served] += 1
        return places

    def _most_pressing(self, asked: Mapping[str, float]) -> str:
        """Of the sources that are owed something, the one that would soonest be owed a whole image."""
        owed = [source for source in asked if self._owed[source] > _ROUNDING]
        # only after a change of shares: what is owed is then owed to sources that have no share now
        if not owed:
            return max(asked, key=lambda source: self._owed[source])
        return min(owed, key=lambda source: (1 - self._owed[source]) / asked[source])

    def _check(self, shares: Mapping[str, float]) -> None:
        if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6) or min(shares.values()) < 0:
            raise SyndetError("mix", "shares must be 0 or more and sum to 1", got=dict(shares))
        for source, share in shares.items():
            if share > 0 and source not in self._decks:
                raise SyndetError(
                    "mix",
                    f"{source} has a share but is no source",
                    got=share,
                    do=f"There are {sorted(self._decks)}.",
                )
            if share > 0 and self._decks[source].size == 0:
                raise SyndetError(
                    "mix",
                    f"{source} has a share but no images",
                    got=share,
                    do="Set its share to 0.",
                )


class _Deck:
    """The images of one source, dealt pass after pass, each pass in an order of its own, or always
    in the source's.

    A batch may span two passes. An image that it already holds is then put aside, and dealt first
    in the next batch.
    """

    def __init__(self, source: str, size: int, seed: int, *, shuffled: bool) -> None:
        self.source, self.size, self._seed, self._shuffled = source, size, seed, shuffled
        self._turn, self._at, self._aside = 0, 0, list[int]()
        self._order: np.ndarray | None = None

    def deal(self, number: int) -> list[int]:
        """The next `number` images, all different where there are enough, else as evenly as can be."""
        if number == 0:
            return []
        most, held, dealt = -(-number // self.size), Counter[int](), list[int]()
        while len(dealt) < number:
            index = self._next(held, most)
            held[index] += 1
            dealt.append(index)
        return dealt

    def state(self) -> dict[str, Any]:
        return {"size": self.size, "turn": self._turn, "at": self._at, "aside": list(self._aside)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._turn, self._at, self._aside, self._order = (
            state["turn"],
            state["at"],
            list(state["aside"]),
            None,
        )

    def _next(self, held: Counter[int], most: int) -> int:
        for position, index in enumerate(self._aside):
            if held[index] < most:
                return self._aside.pop(position)
        while held[index := self._turned_up()] >= most:
            self._aside.append(index)
        return index

    def _turned_up(self) -> int:
        """The next image of this pass, or the first of the next."""
        if self._at == self.size:
            self._turn, self._at, self._order = self._turn + 1, 0, None
        if self._order is None:
            rng = seeds.generator(self._seed, f"mix/{self.source}", self._turn)
            self._order = rng.permutation(self.size) if self._shuffled else np.arange(self.size)
        self._at += 1
        return int(self._order[self._at - 1])
