"""Stratify: chooses groups of images that have about their share of every class."""

import numpy as np

# Exchanges that are tried for one step, and steps: after these hardly anything gets better.
_MOST_TRIED, _MOST_EXCHANGES = 4, 200
_LEAST_GAIN = 1e-9  # of the distance: less may be rounding, and could be undone for ever
_CHOSEN = 0  # the side of the chosen groups; 1 is that of the rest


def choose_groups(
    counts: np.ndarray,
    images: np.ndarray,
    share: float,
    rng: np.random.Generator,
    *,
    least_left: int = 1,
) -> np.ndarray:
    """(g,) bool, groups that have about `share` of the images and of each class.

    counts      (g, k) what each group has of each of k classes; every group has something
    images      (g,) the number of images of each group, at least 1
    share       0 to 1, both excluded
    least_left  the number of groups, at least 1, that must not be chosen; there are more

    Rare classes are shared out first, because later there is no choice left for them (iterative
    stratification: Sechidis, Tsoumakas and Vlahavas 2011, here for whole groups). Then chosen
    groups are exchanged for others of as many images while that brings classes nearer to their
    share. The images differ from their share by at most the largest group. At least one group is
    chosen.
    """
    assert len(counts) == len(images) > least_left >= 1, (counts.shape, images.shape)
    assert counts.any(axis=1).all()
    is_chosen = _sides(counts, images, np.array([share, 1 - share]), rng) == _CHOSEN
    if not is_chosen.any():  # a share of less than one group
        is_chosen[images.argmin()] = True
    while (~is_chosen).sum() < least_left:
        smallest = np.where(is_chosen, images, np.inf).argmin()
        is_chosen[smallest] = False
    for _ in range(_MOST_EXCHANGES):
        exchange = _best_exchange(counts, images, share, is_chosen)
        if exchange is None:
            break
        is_chosen[exchange] = ~is_chosen[exchange]
    return is_chosen


def _sides(
    counts: np.ndarray, images: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(g,) the side of each group."""
    side_of = np.full(len(images), -1)
    class_sums = np.zeros((len(shares), counts.shape[1]))
    image_sums = np.zeros(len(shares))
    position = rng.permutation(len(images))
    while (side_of < 0).any():
        rarest = _rarest(counts[side_of < 0].sum(axis=0))
        waiting = np.flatnonzero((side_of < 0) & (counts[:, rarest] > 0))
        largest_first = np.lexsort((position[waiting], -counts[waiting, rarest]))
        for group in waiting[largest_first]:
            due = _due(class_sums[:, rarest], counts[group, rarest], shares)
            is_full = image_sums >= shares * images.sum()
            side = int(np.where(is_full, np.inf, due).argmin())
            side_of[group] = side
            class_sums[side] += counts[group]
            image_sums[side] += images[group]
    return side_of


def _best_exchange(
    counts: np.ndarray, images: np.ndarray, share: float, is_chosen: np.ndarray
) -> list[int] | None:
    """A chosen group and another one of as many images that should change sides, in any order.

    None if no exchange brings the classes nearer to their share. Only groups that alone would do so
    best are tried.
    """
    totals = np.maximum(counts.sum(axis=0), 1)
    surplus = counts[is_chosen].sum(axis=0) - share * counts.sum(axis=0)
    changes = np.where(is_chosen[:, None], -counts, counts)  # by a group that changes sides
    least = _distance(surplus, totals) * (1 - _LEAST_GAIN)
    best = None
    for one in _distance(surplus + changes, totals).argsort(kind="stable")[:_MOST_TRIED].tolist():
        fits = (is_chosen != is_chosen[one]) & (images == images[one])
        distances = _distance(surplus + changes[one] + changes, totals)
        other = int(np.where(fits, distances, np.inf).argmin())
        if fits[other] and distances[other] < least:
            least, best = distances[other], [one, other]
    return best


def _distance(surplus: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Distance of the classes from their share; a box of a rare class counts more."""
    return ((surplus / totals) ** 2).sum(axis=-1)


def _rarest(left: np.ndarray) -> int:
    """The class of which the fewest, but some, are left to be shared out."""
    return int(np.where(left > 0, left, np.inf).argmin())


def _due(sums: np.ndarray, count: int, shares: np.ndarray) -> np.ndarray:
    """For each side, when it should get `count` more: the side with the least value is the first.

    As of seats in parliaments (Webster, Sainte-Lague): each side ends at its share, rounded.
    """
    return (sums + count / 2) / shares
