"""How often do 95 % intervals over images and seeds hold the truth? Scores of a Gaussian toy, where the truth is 0.

    python benchmarks/coverage.py

An image's score under a model is the sum of normal deviates: how easy the image is for everybody (sd 1) and for the recipe
(sd 0.5), how lucky the model's seed was, and how easy the image is for this very model. The seed's deviate is given in units
of 1 / sqrt(images), which is about the standard error over images. "plain" is the usual bootstrap: images and seeds both
drawn with return. "ours" is `syndet_ray.spread`. Width is that of our interval over that of one whose sd were known.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from syndet_ray import spread

RESAMPLES = 1000
OWN = 0.5


@dataclass(frozen=True)
class Toy:
    """seed_sd in standard errors over images; image_sd of an image under one model, a normal deviate's."""

    images: int
    models: int
    seed_sd: float
    image_sd: float

    def draws(self, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Bootstrap draws, (RESAMPLES,) for each model, of two recipes whose true scores are both 0."""
        shape = self.images, self.models
        chosen = rng.multinomial(self.images, np.full(self.images, 1 / self.images), size=RESAMPLES) / self.images
        everybody = rng.standard_normal((self.images, 1))
        recipes = []
        for _ in "ab":
            image = everybody + OWN * rng.standard_normal((self.images, 1)) + self.image_sd * rng.standard_normal(shape)
            seed = self.seed_sd / np.sqrt(self.images) * rng.standard_normal(self.models)
            scores = image + seed
            drawn = chosen @ scores
            recipes.append(list((drawn - drawn.mean(axis=0) + scores.mean(axis=0)).T))
        return recipes[0], recipes[1]

    def widths(self) -> tuple[float, float]:
        """Of 95 % intervals of one recipe's score and of the difference of two, had all sd been known."""
        seeds = (self.seed_sd**2 + self.image_sd**2) / self.models
        variances = np.array([1 + OWN**2 + seeds, 2 * (OWN**2 + seeds)]) / self.images
        return tuple(2 * 1.96 * np.sqrt(variances))


def coverage(toy: Toy, trials: int, rng: np.random.Generator) -> dict[str, float]:
    """Shares of `trials` whose interval holds 0: of one recipe and of a difference, ours and plain; and our mean widths."""
    found = [_intervals(*toy.draws(rng), rng) for _ in range(trials)]
    held = {name: float(np.mean([low <= 0 <= high for low, high in (one[name] for one in found)])) for name in found[0]}
    widths = [float(np.mean([one[name][1] - one[name][0] for one in found])) for name in ("ours", "ours, difference")]
    one, two = np.array(widths) / toy.widths()
    return held | {"width": one, "width, difference": two}


def _intervals(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    apart = spread.difference(a, b, rng)
    return {
        "ours": spread.interval(spread.combined(a, rng)),
        "plain": spread.interval(_plain(a, rng)),
        "ours, difference": (apart.low, apart.high),
        "plain, difference": spread.interval(_plain(a, rng) - _plain(b, rng)),
    }


def _plain(models: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(RESAMPLES,) the mean over as many models, drawn with return for each resample."""
    table = np.stack(models, axis=1)
    return np.take_along_axis(table, rng.integers(len(models), size=table.shape), axis=1).mean(axis=1)


def settings() -> Iterator[Toy]:
    for images, models, (seed_sd, image_sd) in product(
        (50, 254), (2, 3, 5), ((0.25, 0), (0.5, 0.5), (1, 0), (1, 1), (3, 0))
    ):
        yield Toy(images, models, seed_sd, image_sd)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(
        f"seed {given.seed}, {given.trials} trials of {RESAMPLES} resamples; share of 95 % intervals that hold the truth"
    )
    print(f"{'':30}{'one recipe':^27}{'difference of two':^27}")
    print(f"{'images models seed sd image sd':30}" + f"{'ours':>9}{'plain':>9}{'width':>9}" * 2)
    for k, toy in enumerate(settings()):
        result = coverage(toy, given.trials, np.random.default_rng([given.seed, k]))
        cells = [result[name + of] for of in ("", ", difference") for name in ("ours", "plain", "width")]
        facts = f"{toy.images:6}{toy.models:7}{toy.seed_sd:8}{toy.image_sd:9}"
        print(f"{facts:30}" + "".join(f"{cell:9.3f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
