"""Named independent random generators: no global state, the same on any worker."""

import hashlib

import numpy as np


def _words(seed: int, purpose: str, index: int) -> list[int]:
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]


def generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """The generator that belongs to (seed, purpose, index): scene 7 is scene 7 wherever it is
    drawn.
    """
    return np.random.default_rng(_words(seed, purpose, index))


def integer(seed: int, purpose: str, index: int = 0) -> int:
    """A 31-bit seed for libraries that take an integer (torch, Optuna)."""
    return _words(seed, purpose, index)[0] >> 1
