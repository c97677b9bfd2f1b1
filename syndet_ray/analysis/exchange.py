"""Exchange: how many photos a recipe's synthetic images are worth, as plain values and in words.

The recipes without synthetic images, trained on different numbers of photos, give a curve: what
real images alone reach with n photos. A recipe of n photos and synthetic images beside them reaches
some score; where the curve reaches the same, with n + M photos, the synthetic images are worth M
photos.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray import spread
from syndet_ray.analysis.tables import told_once
from syndet_ray.runs.metrics import MAP, REAL_IMAGES
from syndet_ray.runs.names import role_name
from syndet_ray.runs.results import TestRow, TestScores, Trial
from syndet_ray.runs.run import Run
from syndet_ray.wording import counted

LEAST_SIZES = 3  # of real-only trainings, that a curve is drawn through
_SEED = 0  # of the noise of seeds, which `spread.combined` draws


@dataclass(frozen=True, eq=False, kw_only=True)
class ExchangePoint:
    """One recipe on the test set.

    photos     how many real training images it had
    synthetic  how many distinct synthetic images
    models     bootstrap draws of its models by seed, (B,) each, paired by resample with those of
               all other recipes
    diverged   the seeds of those of its trainings that diverged: they say nothing of the spread
               between seeds of others
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
class Scored:
    """A score and its 95 % interval over test images and seeds; of real images alone pooled over
    recipes of one size.
    """

    name: str
    photos: int
    synthetic: int
    score: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What the synthetic images of one recipe are worth, in photos.

    value      by the scores themselves; None where the curve of real images alone does not reach as
               high, or begins higher
    low, high  95 % over test images and seeds; None: the interval is open on this side, for more
               than 2.5 % of the draws leave the curve there, and all that they tell is that M lies
               beyond the curve's last or first size
    """

    recipe: Scored
    value: float | None
    low: float | None
    high: float | None

    @property
    def told(self) -> bool:
        """Whether the interval excludes anything."""
        return self.low is not None or self.high is not None


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What can be told of all recipes.

    curve     real images alone, by number of photos
    monotone  the scores of the curve as it is read: never falling
    mixes     all with synthetic images, by number of photos
    reason    why there are no worths
    """

    curve: tuple[Scored, ...]
    monotone: tuple[float, ...]
    mixes: tuple[Scored, ...]
    worths: tuple[Worth, ...]
    reason: str = ""


def exchange(points: Sequence[ExchangePoint]) -> Exchange:
    """The worth of every recipe with synthetic images; between the sizes of the curve linear in the
    logarithm of photos.

    The curve is made monotone by isotonic regression (Barlow et al. 1972), draw by draw: more
    photos never teach less, and what says so is chance. Interval: each draw of a recipe is held
    against the curve of the same draw, in which what images and seeds do to all recipes alike
    cancels.
    """
    rng = np.random.default_rng(_SEED)
    real = _by_size([point for point in points if not point.synthetic and point.photos])
    mixed = sorted((point for point in points if point.synthetic), key=lambda point: point.photos)
    seeds = spread.seed_spread([point.whole for point in (*real, *mixed)])
    curve, mixes = (tuple(_scored(point, rng, seeds) for point in some) for some in (real, mixed))
    reason = _too_little(real, mixed)
    if reason:
        return Exchange(curve=curve, monotone=(), mixes=mixes, worths=(), reason=reason)
    points = [*real, *mixed]
    joint = spread.joint_draws([point.models for point in points], rng, seeds)
    drawn = {point.name: draws for point, draws in zip(points, joint, strict=True)}
    sizes = np.array([point.photos for point in real], float)
    alone = np.stack([drawn[point.name] for point in real], axis=1)
    middle = np.array([[found.score for found in curve]])
    worths = [
        _worth(
            found,
            sizes,
            photos(sizes, middle, np.array([found.score])),
            photos(sizes, alone, drawn[found.name]),
        )
        for found in mixes
    ]
    return Exchange(
        curve=curve,
        monotone=tuple(_monotone(middle[0]).tolist()),
        mixes=mixes,
        worths=tuple(worths),
    )


def photos(sizes: np.ndarray, scores: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """(B,) the fewest photos with which real images alone reach a score; inf above the curve, -inf
    below it.

    sizes    (k,) numbers of photos, ascending
    scores   (B, k) what real images alone reach with each, before they are made monotone
    reached  (B,) the score that is sought
    """
    return np.array(
        [_first(sizes, _monotone(row), score) for row, score in zip(scores, reached, strict=True)]
    )


def exchange_points(run: Run) -> list[ExchangePoint]:
    """The recipes that met the test set, as far as the run kept what it takes; each once. None of a
    test set too small.

    Without those that were shown photos of others too: how much of their score is due to synthetic
    images cannot be told.
    """
    test = run.test
    if test is not None and test.is_too_small:
        return []
    trials = {trial.number: trial for trial in run.trials}
    rows = told_once(test) if test else []
    found = [_point(run, role, row, trials) for role, row in rows]
    return [point for point in found if point is not None]


def exchange_words(found: Worth, noun: str = "photo") -> str:
    """ "Beside 16 photos, 400 synthetic images are worth 31 more photos [12, 60]." """
    recipe = found.recipe
    images = counted(recipe.synthetic, "synthetic image")
    who = (
        f"Beside {counted(recipe.photos, noun)}, {images}" if recipe.photos else f"Alone, {images}"
    )
    verb = "is" if recipe.synthetic == 1 else "are"
    if not found.told:
        return f"{who}: what they are worth cannot be told, the interval is open at both ends."
    if found.high is not None and found.high < 0:
        return f"{who} {verb} worth less than none: {_cost(found, noun)}."
    return f"{who} {verb} worth {_amount(found, noun)}."


def exchange_told(run: Run) -> list[str]:
    """A sentence for each recipe with synthetic images on the test set, or one that says why there
    are none.
    """
    test = run.test
    if test is None:
        return ["Not measured: the test set has not been opened."]
    if test.is_too_small:
        return [
            f"It cannot be told: that takes at least {spread.LEAST_IMAGES} test images; there were {test.images}."
        ]
    found = exchange(exchange_points(run))
    left_out = _left_out(run, test)
    noun = "stand-in image" if run.stand_in else "photo"
    told = [
        f"{worth.recipe.name}: {exchange_words(worth, noun)}"
        for worth in found.worths
        if worth.told
    ]
    if unknown := [worth.recipe.name for worth in found.worths if not worth.told]:
        told.append(f"Cannot be told, the interval is open at both ends: {'; '.join(unknown)}.")
    return [*(told or [f"It cannot be told: {found.reason}."]), *left_out]


def _left_out(run: Run, test: TestScores) -> list[str]:
    """A sentence on the recipes that were shown photos of others too; none where there are none."""
    trials = {trial.number: trial for trial in run.trials}
    names = []
    for role, row in told_once(test):
        if trials[row.trial].recipe.mix.others_photos:
            names.append(_name(role, row))
    return (
        [f"Left out, for they were shown photos of others too: {'; '.join(names)}."]
        if names
        else []
    )


def _amount(found: Worth, noun: str) -> str:
    """31 more photos [12, 60]; at least 12 more photos (31 by the scores themselves); at most -3
    photos.
    """
    more = "more " if found.recipe.photos else ""
    if found.low is not None and found.high is not None and found.value is not None:
        value, low, high = (round(v) for v in (found.value, found.low, found.high))
        return f"{_photos(value, more, noun)} [{low}, {high}]"
    beyond = (
        "real only never reaches its score"
        if found.high is None
        else "real only starts above its score"
    )
    itself = (
        f" ({beyond if found.value is None else f'{round(found.value)} by the scores themselves'})"
    )
    if found.low is None:
        assert found.high is not None
        return f"at most {_photos(round(found.high), more, noun)}{itself}"
    between = "" if found.high is None else f" and at most {round(found.high)}"
    return f"at least {_photos(round(found.low), more, noun)}{between}{itself}"


def _cost(found: Worth, noun: str) -> str:
    """they cost as much as 57 photos fewer would [41, 92]; of what is worth less than none for
    certain.
    """
    assert found.high is not None
    least = round(-found.high)
    if found.low is None or found.value is None:
        return f"they cost at least as much as {counted(least, noun)} fewer would"
    return f"they cost as much as {counted(round(-found.value), noun)} fewer would [{least}, {round(-found.low)}]"


def _photos(count: int, more: str, noun: str) -> str:
    return f"{count} {more if count >= 0 else ''}{noun}{'' if count == 1 else 's'}"


def _by_size(real: Sequence[ExchangePoint]) -> list[ExchangePoint]:
    """One point for each number of photos, ascending: seed by seed the mean over all recipes that
    had as many.
    """
    pooled: dict[int, list[ExchangePoint]] = {}
    for point in real:
        pooled.setdefault(point.photos, []).append(point)
    points = []
    for size, alike in sorted(pooled.items()):
        names = " and ".join(point.name for point in alike)
        diverged = frozenset[int]().union(*(point.diverged for point in alike))
        points.append(
            ExchangePoint(
                name=names,
                photos=size,
                synthetic=0,
                models=_mean_by_seed([point.models for point in alike]),
                diverged=diverged,
            )
        )
    return points


def _mean_by_seed(recipes: Sequence[spread.BySeed]) -> spread.BySeed:
    """The draws of several recipes as those of one: of each seed the mean over the recipes that
    were trained with it.
    """
    seeds = dict.fromkeys(seed for models in recipes for seed in models)
    means = {}
    for seed in seeds:
        draws = [models[seed] for models in recipes if seed in models]
        means[seed] = np.mean(draws, axis=0)
    return means


def _too_little(real: Sequence[ExchangePoint], mixed: Sequence[ExchangePoint]) -> str:
    """Why nothing can be told; "" where something can."""
    if len(real) < LEAST_SIZES:
        sizes = ", ".join(str(point.photos) for point in real) or "none"
        wanted = (
            f"that takes recipes of {LEAST_SIZES} different numbers of photos alone on the test set"
        )
        return f"{wanted}; there were {len(real)} ({sizes})"
    return "" if mixed else "no recipe with synthetic images met the test set"


def _scored(
    point: ExchangePoint, rng: np.random.Generator, seeds: spread.SeedSpread | None
) -> Scored:
    models = list(point.models.values())
    score = float(np.mean([model.mean() for model in models]))
    draws = spread.combined(models, rng, spread=seeds)
    low, high = spread.score_interval(MAP, draws)
    return Scored(
        name=point.name,
        photos=point.photos,
        synthetic=point.synthetic,
        score=score,
        low=low,
        high=high,
    )


def _worth(recipe: Scored, sizes: np.ndarray, own: np.ndarray, drawn: np.ndarray) -> Worth:
    """own: (1,) photos by the scores themselves, drawn: (B,) by the draws, both as `photos` gives
    them.

    A bound that lies beyond the curve, as that of "at least" does where nearly all draws do, is the
    curve's end: that far real images alone were tried.
    """
    low, high = (
        np.percentile(drawn, 2.5, method="lower"),
        np.percentile(drawn, 97.5, method="higher"),
    )
    ends = float(sizes[0]), float(sizes[-1])
    value = float(own[0]) - recipe.photos if np.isfinite(own[0]) else None
    least = None if low == -np.inf else min(float(low), ends[1]) - recipe.photos
    most = None if high == np.inf else max(float(high), ends[0]) - recipe.photos
    return Worth(recipe=recipe, value=value, low=least, high=most)


def _monotone(scores: np.ndarray) -> np.ndarray:
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

    return isotonic_regression(scores).x


def _first(sizes: np.ndarray, curve: np.ndarray, score: float) -> float:
    """Where a curve that never falls first reaches a score; linear in the logarithm of the sizes."""
    k = int(np.searchsorted(curve, score, side="left"))
    if k == len(curve):
        return np.inf
    if k == 0:
        return float(sizes[0]) if curve[0] == score else -np.inf
    part = (score - curve[k - 1]) / (curve[k] - curve[k - 1])
    return float(np.exp(np.log(sizes[k - 1]) + part * np.log(sizes[k] / sizes[k - 1])))


def _point(run: Run, role: str, row: TestRow, trials: Mapping[int, Trial]) -> ExchangePoint | None:
    """None of a recipe with photos of others, or where nothing says how many photos there were, or
    the run kept no draws.
    """
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
    synthetic = sum(images for _, images in recipe.scenes().values())
    diverged = frozenset(training.seed_number for training in trainings if training.diverged)
    return ExchangePoint(
        name=_name(role, row), photos=count, synthetic=synthetic, models=models, diverged=diverged
    )


def _name(role: str, row: TestRow) -> str:
    return role_name(role) if role != "best" else f"best recipe (trial {row.trial})"
