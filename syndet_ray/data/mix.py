"""Mix: chooses the images of the next batch, so that every source gets exactly its share."""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from syndet_ray import seeds
from syndet_ray.errors import SyndetError

# far above the sum of rounding errors in a training, far below any share that matters
_ROUNDING = 1e-9
_SHARE_TOLERANCE = 1e-6  # rounded shares may sum to so much more or less than 1


class BatchMixer:
    """Draws batches from several sources in exactly their shares, and evenly through each source.

    The places of a batch are filled one by one. At each place the debt to every source grows by its
    share, and the source that fills the place is owed one image less. A source with no debt is not
    chosen; of the others, the one is chosen whose debt would reach a whole image first. This is
    earliest-deadline scheduling. It keeps every source within less than one image of its share,
    after any number of places and for any number of sources, as long as the shares stay the same
    (Baruah et al. 1996, "Proportionate progress", whose windows are used here). Choosing the
    largest remainder does not: with five sources and shares of 1 : 16 : 38 : 1 : 38, it is off by
    more than an image. If the shares change, the debts are carried over: two sources still stay
    within one image; from four sources on no method can promise that without knowing future shares.

    A source is shuffled again for each pass through it, unless it is one of `in_order`. An image
    is twice in a batch only if its source has too few images. The state is a few integers for each
    source; orders are derived from (seed, source, pass).
    """

    def __init__(
        self, sizes: Mapping[str, int], batch_size: int, seed: int, in_order: Collection[str] = ()
    ) -> None:
        assert batch_size > 0, batch_size
        self.batch_size = batch_size
        self.drawn = dict.fromkeys(sizes, 0)
        self._owed = dict.fromkeys(sizes, 0.0)
        self._decks: dict[str, _Deck] = {}
        for source, size in sizes.items():
            is_shuffled = source not in in_order
            self._decks[source] = _Deck(source, size, seed, shuffled=is_shuffled)

    def draw(self, shares: Mapping[str, float], count: int | None = None) -> list[tuple[str, int]]:
        """(source, index of an image) for each place of the next batch.

        count: the size of a last, shorter batch. Raises SyndetError where shares do not sum to 1,
        or where a source with a share is unknown or has no images.
        """
        self._check(shares)
        batch_size = self.batch_size if count is None else count
        places = self._places(shares, batch_size)
        batch: list[tuple[str, int]] = []
        for source, number in places.items():
            self.drawn[source] += number
            images = self._decks[source].deal(number)
            batch += [(source, image) for image in images]
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values from which `load_state_dict` goes on exactly."""
        decks = {source: deck.state() for source, deck in self._decks.items()}
        return {
            "drawn": dict(self.drawn),
            "owed": dict(self._owed),
            "decks": decks,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from the moment at which `state_dict` was called.

        Raises SyndetError where that mixer had other sources.
        """
        sizes = {source: deck.size for source, deck in self._decks.items()}
        saved_sizes = {source: deck["size"] for source, deck in state["decks"].items()}
        if saved_sizes != sizes:
            rule = f"was made with sources of {saved_sizes} images"
            raise SyndetError("checkpoint", rule, got=sizes, do="Use the same data.")
        self.drawn = dict(state["drawn"])
        self._owed = dict(state["owed"])
        for source, deck in self._decks.items():
            deck.restore(state["decks"][source])

    def _places(self, shares: Mapping[str, float], count: int) -> dict[str, int]:
        """The number of the next `count` places that each source gets."""
        total = sum(shares.values())  # 1 up to rounding errors, which must not add up
        exact_shares = {source: share / total for source, share in shares.items() if share > 0}
        places = dict.fromkeys(exact_shares, 0)
        for _ in range(count):
            for source, share in exact_shares.items():
                self._owed[source] += share
            chosen = self._most_urgent(exact_shares)
            self._owed[chosen] -= 1
            places[chosen] += 1
        return places

    def _most_urgent(self, shares: Mapping[str, float]) -> str:
        """The source, of those with a debt, whose debt would reach a whole image first."""
        owed = [source for source in shares if self._owed[source] > _ROUNDING]
        # only after a change of shares: then all debts may be to sources that have no share now
        if not owed:
            return max(shares, key=lambda source: self._owed[source])
        return min(owed, key=lambda source: (1 - self._owed[source]) / shares[source])

    def _check(self, shares: Mapping[str, float]) -> None:
        total = sum(shares.values())
        if not math.isclose(total, 1, abs_tol=_SHARE_TOLERANCE) or min(shares.values()) < 0:
            raise SyndetError("mix", "shares must be 0 or more and sum to 1", got=dict(shares))
        for source, share in shares.items():
            if share == 0:
                continue
            if source not in self._decks:
                rule = f"{source} has a share but is no source"
                do = f"There are {sorted(self._decks)}."
                raise SyndetError("mix", rule, got=share, do=do)
            if self._decks[source].size == 0:
                rule = f"{source} has a share but no images"
                raise SyndetError("mix", rule, got=share, do="Set its share to 0.")


class _Deck:
    """The images of one source, dealt pass after pass.

    Each pass has an order of its own, or always the source's. A batch may span two passes. An image
    that it already holds is then put aside, and dealt first in the next batch.
    """

    def __init__(self, source: str, size: int, seed: int, *, shuffled: bool) -> None:
        self.source, self.size = source, size
        self._seed, self._shuffled = seed, shuffled
        self._turn, self._at = 0, 0  # the pass, and the position in it
        self._aside: list[int] = []
        self._order: np.ndarray | None = None

    def deal(self, number: int) -> list[int]:
        """The next `number` images: all different if there are enough, else repeated evenly."""
        if number == 0:
            return []
        most = math.ceil(number / self.size)
        counts: Counter[int] = Counter()
        images: list[int] = []
        while len(images) < number:
            image = self._next(counts, most)
            counts[image] += 1
            images.append(image)
        return images

    def state(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "turn": self._turn,
            "at": self._at,
            "aside": list(self._aside),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._turn, self._at = state["turn"], state["at"]
        self._aside = list(state["aside"])
        self._order = None

    def _next(self, counts: Counter[int], most: int) -> int:
        """The next image that is in the batch less than `most` times."""
        for position, image in enumerate(self._aside):
            if counts[image] < most:
                return self._aside.pop(position)
        image = self._from_pass()
        while counts[image] >= most:
            self._aside.append(image)
            image = self._from_pass()
        return image

    def _from_pass(self) -> int:
        """The next image of this pass, or the first of the next pass."""
        if self._at == self.size:
            self._turn += 1
            self._at = 0
            self._order = None
        if self._order is None:
            self._order = self._new_order()
        image = int(self._order[self._at])
        self._at += 1
        return image

    def _new_order(self) -> np.ndarray:
        """(size,) int64, the images in the order of this pass."""
        if not self._shuffled:
            return np.arange(self.size)
        rng = seeds.generator(self._seed, f"mix/{self.source}", self._turn)
        return rng.permutation(self.size)
