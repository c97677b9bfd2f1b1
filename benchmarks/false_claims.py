"""How often does `data inspect` call two samples of one source beyond chance?

    python benchmarks/false_claims.py ../shared/data/d6_dice --images 60 60 --repeats 120

Photos of all splits are divided at random, without replacement, into two samples. Then a rare
event: an image of an odd size, of which either sample may hold none.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from syndet_ray.data.read import read
from syndet_ray.data.record import Source
from syndet_ray.inspection.distance import Sample, class_distance, distance
from syndet_ray.inspection.statistics import STATISTICS, Measurements, measure

RARE = (0.005, 0.01, 0.02, 0.05, 0.2)
RARE_REPEATS = 400


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, nargs=2, default=(60, 60))
    parser.add_argument("--repeats", type=int, default=120)
    given = parser.parse_args()
    dataset = read(given.data)
    records = tuple(record for source in dataset.splits.values() for record in source.records)
    claims = of_photos(
        measure(Source(name="photos", classes=dataset.classes, records=records)),
        given.images,
        given.repeats,
    )
    for name, count in claims.items():
        print(f"{name}: {count / given.repeats:.3f}")
    for share in RARE:
        claimed = of_a_rare_event(share, given.images)
        print(
            f"an image of an odd size in {1 / share:.0f}: {claimed / RARE_REPEATS:.4f}", flush=True
        )


def of_photos(measured: Measurements, images: tuple[int, int], repeats: int) -> Counter[str]:
    """How often each statistic was called beyond chance."""
    rng = np.random.default_rng(0)
    counts = measured.class_counts(measured.classes)
    claims = Counter[str]({statistic.name: 0 for statistic in STATISTICS})
    for seed in range(repeats):
        order = rng.permutation(measured.images)
        first, second = np.sort(order[: images[0]]), np.sort(order[images[0] : sum(images)])
        for statistic in STATISTICS:
            one, two = (part(measured, statistic.name, chosen) for chosen in (first, second))
            told = distance("second", statistic.name, one, two, seed, fine=statistic.fine)
            claims[statistic.name] += told.beyond_chance
        claims["classes"] += class_distance(
            "second", counts[first], counts[second], seed
        ).beyond_chance
    return claims


def part(measured: Measurements, statistic: str, images: np.ndarray) -> Sample:
    """The values of a statistic on some of the images."""
    values, image_of = measured.valid(statistic)
    position_of = np.full(measured.images, -1)
    position_of[images] = np.arange(len(images))
    is_chosen = position_of[image_of] >= 0
    return Sample(
        values=values[is_chosen], image_of=position_of[image_of][is_chosen], images=len(images)
    )


def of_a_rare_event(share: float, images: tuple[int, int]) -> int:
    """How often of RARE_REPEATS pairs of samples the sizes of images were called beyond chance."""
    rng = np.random.default_rng(0)
    claims = 0
    for seed in range(RARE_REPEATS):
        one, two = (np.where(rng.random(count) < share, 1280.0, 640.0) for count in images)
        first, second = (
            Sample(values=values, image_of=np.arange(len(values)), images=len(values))
            for values in (one, two)
        )
        claims += distance("second", "image_width", first, second, seed).beyond_chance
    return claims


if __name__ == "__main__":
    main()
