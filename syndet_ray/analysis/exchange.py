"""Exchange: how many photos the synthetic images of a recipe are worth, as plain values.

The recipes without synthetic images, trained on different numbers of photos, give a curve: the
score that real images alone reach with n photos. A recipe of n photos and synthetic images reaches
some score. If the curve reaches the same score with n + M photos, the synthetic images are worth M
photos.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray import spread
from syndet_ray.analysis.tables import distinct_rows
from syndet_ray.definitions.mix import Synthetic
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.metrics import MAP, REAL_IMAGES
from syndet_ray.runs.names import display_name
from syndet_ray.runs.results import RowKey, TestRow, Trial
from syndet_ray.runs.run import Run

LEAST_SIZES = 3  # numbers of photos that a curve needs: two are a straight line
_SEED = 0  # of the noise of seeds, which `spread.combine_seeds` draws
_LOW, _HIGH = 2.5, 97.5  # percentiles: the ends of a 95 % interval


@dataclass(frozen=True, eq=False, kw_only=True)
class ExchangePoint:
    """One recipe on the test set.

    photos     number of real training images
    synthetic  number of distinct synthetic images
    models     bootstrap draws of its models by seed, (B,) each, paired by resample with those of
               all other recipes
    diverged   seeds of its trainings that diverged: they say nothing of the spread between seeds of
               other recipes
    """

    name: str
    photos: int
    synthetic: int
    models: spread.BySeed
    diverged: frozenset[int] = frozenset()

    @property
    def whole(self) -> list[np.ndarray]:
        """The models of the trainings that did not diverge."""
        return [draws for seed, draws in self.models.items() if seed not in self.diverged]


@dataclass(frozen=True, kw_only=True)
class ExchangeScore:
    """A score and its 95 % interval over test images and seeds.

    That of real images alone is pooled over all recipes with as many photos.
    """

    name: str
    photos: int
    synthetic: int
    score: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PhotoValue:
    """The value of the synthetic images of one recipe, in photos.

    value      by the scores themselves; None if the curve of real images alone ends below the score
               of the recipe, or begins above it
    low, high  95 % interval over test images and seeds. None: the interval is open on this side,
               because more than 2.5 % of the draws leave the curve there. They only show that M
               lies beyond the last or the first size of the curve
    """

    recipe: ExchangeScore
    value: float | None
    low: float | None
    high: float | None

    @property
    def is_bounded(self) -> bool:
        """True if the interval excludes anything."""
        return self.low is not None or self.high is not None


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The value of synthetic images in all recipes of a run.

    curve         real images alone, by number of photos
    monotone      scores of the curve as it is read: never falling
    mixes         all recipes with synthetic images, by number of photos
    photo_values  of the mixes, in their order
    reason        the reason why there are no photo values; "" if there are
    """

    curve: tuple[ExchangeScore, ...]
    monotone: tuple[float, ...]
    mixes: tuple[ExchangeScore, ...]
    photo_values: tuple[PhotoValue, ...]
    reason: str = ""


def exchange(points: Sequence[ExchangePoint]) -> Exchange:
    """Computes the value of the synthetic images of every recipe that has some.

    The curve is linear in the logarithm of photos between its sizes. It is made monotone by
    isotonic regression (Barlow et al. 1972), draw by draw: more photos never teach less, and a
    curve that falls does so by chance. Interval: each draw of a recipe is compared with the curve
    of the same draw, so that effects of images and seeds on all recipes cancel.
    """
    rng = np.random.default_rng(_SEED)
    real = _by_size([point for point in points if not point.synthetic and point.photos])
    mixed = sorted((point for point in points if point.synthetic), key=lambda point: point.photos)
    all_points = [*real, *mixed]
    seeds = spread.seed_spread([point.whole for point in all_points])
    curve = tuple(_score(point, rng, seeds) for point in real)
    mixes = tuple(_score(point, rng, seeds) for point in mixed)
    reason = _too_little(real, mixed)
    if reason:
        return Exchange(curve=curve, monotone=(), mixes=mixes, photo_values=(), reason=reason)
    joint = spread.joint_draws([point.models for point in all_points], rng, seeds)
    draws = {point.name: draws for point, draws in zip(all_points, joint, strict=True)}
    sizes = np.array([point.photos for point in real], float)
    curve_draws = np.stack([draws[point.name] for point in real], axis=1)
    curve_scores = np.array([[point.score for point in curve]])
    photo_values = []
    for mix in mixes:
        by_scores = photos(sizes, curve_scores, np.array([mix.score]))
        by_draws = photos(sizes, curve_draws, draws[mix.name])
        photo_values.append(_photo_value(mix, sizes, by_scores, by_draws))
    return Exchange(
        curve=curve,
        monotone=tuple(_monotone(curve_scores[0]).tolist()),
        mixes=mixes,
        photo_values=tuple(photo_values),
    )


def photos(sizes: np.ndarray, scores: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """(B,) the fewest photos with which real images alone reach a score; inf above the curve, -inf
    below it.

    sizes    (k,) numbers of photos, ascending
    scores   (B, k) that real images alone reach with each, before they are made monotone
    reached  (B,) the score to look for
    """
    pairs = zip(scores, reached, strict=True)
    return np.array([_first_size(sizes, _monotone(row), score) for row, score in pairs])


def exchange_points(run: Run) -> list[ExchangePoint]:
    """The recipes that were scored on the test set, each once, if the run kept their draws.

    [] for a test set that is too small. Recipes that were shown photos of others are left out: the
    part of their score that is due to synthetic images is unknown.
    """
    test = run.test
    if test is None or test.is_too_small:
        return []
    trials = {trial.number: trial for trial in run.trials}
    points = [_point(run, key, row, trials) for key, row in distinct_rows(test)]
    return [point for point in points if point is not None]


def with_others_photos(run: Run) -> list[str]:
    """Names of the tested recipes that were shown photos of others, which have no point."""
    trials = {trial.number: trial for trial in run.trials}
    names = []
    for key, row in distinct_rows(run.test) if run.test is not None else ():
        if trials[row.trial].recipe.mix.others_photos:
            names.append(_name(key, row))
    return names


def _by_size(real: Sequence[ExchangePoint]) -> list[ExchangePoint]:
    """One point for each number of photos, ascending: of every seed the mean over all recipes with
    as many photos.
    """
    pooled: dict[int, list[ExchangePoint]] = {}
    for point in real:
        pooled.setdefault(point.photos, []).append(point)
    points = []
    for size, alike in sorted(pooled.items()):
        pooled_point = ExchangePoint(
            name=" and ".join(point.name for point in alike),
            photos=size,
            synthetic=0,
            models=_mean_by_seed([point.models for point in alike]),
            diverged=frozenset[int]().union(*(point.diverged for point in alike)),
        )
        points.append(pooled_point)
    return points


def _mean_by_seed(recipes: Sequence[spread.BySeed]) -> spread.BySeed:
    """The draws of several recipes as those of one: of each seed the mean over the recipes that
    were trained with it.
    """
    draws: dict[int, list[np.ndarray]] = {}
    for models in recipes:
        for seed, model in models.items():
            draws.setdefault(seed, []).append(model)
    return {seed: np.mean(models, axis=0) for seed, models in draws.items()}


def _too_little(real: Sequence[ExchangePoint], mixed: Sequence[ExchangePoint]) -> str:
    """The reason why nothing can be computed; "" if something can."""
    if len(real) < LEAST_SIZES:
        sizes = " and ".join(str(point.photos) for point in real)
        given = f"only those with {sizes} photos were given" if real else "none was given"
        wanted = f"real-only recipes with {LEAST_SIZES} different numbers of photos are needed"
        return f"{wanted} on the test set, and {given}"
    return "" if mixed else "no recipe with synthetic images was scored on the test set"


def _score(
    point: ExchangePoint, rng: np.random.Generator, seeds: spread.SeedSpread | None
) -> ExchangeScore:
    models = list(point.models.values())
    score = float(np.mean([model.mean() for model in models]))
    draws = spread.combine_seeds(models, rng, spread=seeds)
    low, high = spread.score_interval(MAP, draws)
    return ExchangeScore(
        name=point.name,
        photos=point.photos,
        synthetic=point.synthetic,
        score=score,
        low=low,
        high=high,
    )


def _photo_value(
    recipe: ExchangeScore, sizes: np.ndarray, by_scores: np.ndarray, by_draws: np.ndarray
) -> PhotoValue:
    """Subtracts a recipe's photos from those that real images alone need for its score.

    by_scores: (1,) photos by the scores themselves; by_draws: (B,) photos by the draws; both as
    `photos` returns them. A bound beyond the curve, as that of "at least" is if nearly all draws
    are, becomes the end of the curve: real images alone were tried only so far.
    """
    low = np.percentile(by_draws, _LOW, method="lower")
    high = np.percentile(by_draws, _HIGH, method="higher")
    value = float(by_scores[0]) - recipe.photos if np.isfinite(by_scores[0]) else None
    least = most = None
    if low != -np.inf:
        least = min(float(low), float(sizes[-1])) - recipe.photos
    if high != np.inf:
        most = max(float(high), float(sizes[0])) - recipe.photos
    return PhotoValue(recipe=recipe, value=value, low=least, high=most)


def _monotone(scores: np.ndarray) -> np.ndarray:
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

    return isotonic_regression(scores).x


def _first_size(sizes: np.ndarray, curve: np.ndarray, score: float) -> float:
    """The first size at which a curve that never falls reaches a score; linear in the logarithm of
    the sizes.
    """
    k = int(np.searchsorted(curve, score, side="left"))
    if k == len(curve):
        return np.inf
    if k == 0:
        return float(sizes[0]) if curve[0] == score else -np.inf
    part = (score - curve[k - 1]) / (curve[k] - curve[k - 1])
    step = np.log(sizes[k] / sizes[k - 1])
    return float(np.exp(np.log(sizes[k - 1]) + part * step))


def _point(
    run: Run, key: RowKey, row: TestRow, trials: Mapping[int, Trial]
) -> ExchangePoint | None:
    """None for a recipe with photos of others, an unknown number of photos, or no draws."""
    trial = trials[row.trial]
    recipe = trial.recipe
    if recipe.mix.others_photos:
        return None
    count = trial.effective.get(REAL_IMAGES) if recipe.mix.synthetic < 1 else 0
    models: dict[int, np.ndarray] = {}
    trainings = [trials[number] for number in row.models or (row.trial,)]
    for training in trainings:
        draws = run.draws(training.number).get(MAP)
        if draws is None:
            return None
        models[training.seed_number] = draws
    if count is None:
        return None
    synthetic = _synthetic_count(recipe, run)
    diverged = frozenset(training.seed_number for training in trainings if training.diverged)
    return ExchangePoint(
        name=_name(key, row), photos=count, synthetic=synthetic, models=models, diverged=diverged
    )


def _synthetic_count(recipe: Recipe, run: Run) -> int:
    """The number of distinct synthetic images of a recipe without photos of others."""
    count = sum(images for _, images in recipe.scenes().values())
    shares = recipe.mix.shares
    for name, source in recipe.mix.sources.items():
        if isinstance(source, Synthetic) and shares[name] > 0:
            count += run.about["real"]["others"]["counts"][source.folder]
    return count


def _name(key: RowKey, row: TestRow) -> str:
    return display_name(key) if key != "best" else f"best recipe (trial {row.trial})"
