"""Named independent random generators: no global state, the same on any worker."""

import hashlib

import numpy as np


def _words(seed: int, purpose: str, index: int) -> list[int]:
    """Eight words of 32 bits, from the hash of all three."""
    name = f"{seed}/{purpose}/{index}"
    digest = hashlib.sha256(name.encode()).digest()
    return np.frombuffer(digest, "<u4").tolist()


def generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """The generator for (seed, purpose, index): scene 7 is scene 7 on every worker."""
    return np.random.default_rng(_words(seed, purpose, index))


def integer(seed: int, purpose: str, index: int = 0) -> int:
    """A 31-bit seed for libraries that take an integer (torch, Optuna)."""
    return _words(seed, purpose, index)[0] >> 1
