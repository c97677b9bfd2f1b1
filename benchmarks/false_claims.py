"""How often does `data inspect` call two samples of one source beyond chance?

    python benchmarks/false_claims.py ../shared/data/d6_dice --images 60 60 --repeats 120

Photos of all splits are divided at random, without replacement, into two samples. Then a rare
event: an image of an odd size, which one sample or both may lack.
"""

import argparse
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from syndet_ray.data.read import read
from syndet_ray.data.record import Source
from syndet_ray.inspection.class_sizes import size_tests
from syndet_ray.inspection.distance import Sample, class_distance, distance
from syndet_ray.inspection.statistics import STATISTICS, Measurements, measure

# Shares of images of an odd size, from about one in two hundred to one in five.
RARE = (0.005, 0.01, 0.02, 0.05, 0.2)
RARE_REPEATS = 400  # more than for photos: these take little time


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, nargs=2, default=(60, 60))
    parser.add_argument("--repeats", type=int, default=120)
    given = parser.parse_args()
    dataset = read(given.data)
    records = tuple(chain.from_iterable(source.records for source in dataset.splits.values()))
    photos = Source(name="photos", classes=dataset.classes, records=records)
    measured = measure(photos)
    claims = claims_on_photos(measured, given.images, given.repeats)
    claims["size tells class"] = claims_on_sizes(measured, given.images, given.repeats)
    for name, count in claims.items():
        print(f"{name}: {count / given.repeats:.3f}")
    for share in RARE:
        claimed = claims_on_a_rare_event(share, given.images) / RARE_REPEATS
        print(f"an image of an odd size in {1 / share:.0f}: {claimed:.4f}", flush=True)


def claims_on_photos(measured: Measurements, images: tuple[int, int], repeats: int) -> Counter[str]:
    """The number of times that each statistic was called beyond chance."""
    rng = np.random.default_rng(0)
    counts = measured.class_counts(measured.classes)
    claims = Counter[str]({statistic.name: 0 for statistic in STATISTICS})
    for seed in range(repeats):
        order = rng.permutation(measured.images)
        first, second = np.sort(order[: images[0]]), np.sort(order[images[0] : sum(images)])
        for statistic in STATISTICS:
            one, two = (part(measured, statistic.name, chosen) for chosen in (first, second))
            result = distance("second", statistic.name, one, two, seed, fine=statistic.fine)
            claims[statistic.name] += result.beyond_chance
        classes = class_distance("second", counts[first], counts[second], seed)
        claims["classes"] += classes.beyond_chance
    return claims


def claims_on_sizes(measured: Measurements, images: tuple[int, int], repeats: int) -> int:
    """The number of times that size was said to tell classes better in one sample."""
    rng = np.random.default_rng(0)
    claims = 0
    for seed in range(repeats):
        order = rng.permutation(measured.images)
        first, second = np.sort(order[: images[0]]), np.sort(order[images[0] : sum(images)])
        samples = [boxes_of(measured, chosen) for chosen in (first, second)]
        difference = size_tests(["first", "second"], samples, seed)[1].difference
        claims += difference is not None and difference.matters
    return claims


def boxes_of(measured: Measurements, images: np.ndarray) -> Measurements:
    """The sizes of the boxes on some of the images."""
    position_of = np.full(measured.images, -1)
    position_of[images] = np.arange(len(images))
    is_chosen = position_of[measured.image_of] >= 0
    values = {name: measured.values[name][images] for name in ("image_width", "image_height")}
    return replace(
        measured,
        images=len(images),
        values=values | {"box_size": measured.values["box_size"][is_chosen]},
        image_of=position_of[measured.image_of][is_chosen],
        labels=measured.labels[is_chosen],
    )


def part(measured: Measurements, statistic: str, images: np.ndarray) -> Sample:
    """The values of a statistic on some of the images."""
    values, image_of = measured.valid(statistic)
    position_of = np.full(measured.images, -1)
    position_of[images] = np.arange(len(images))
    is_chosen = position_of[image_of] >= 0
    return Sample(
        values=values[is_chosen], image_of=position_of[image_of][is_chosen], images=len(images)
    )


def claims_on_a_rare_event(share: float, images: tuple[int, int]) -> int:
    """The number of RARE_REPEATS pairs of samples whose image sizes were called beyond chance."""
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
