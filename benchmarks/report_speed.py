"""How long does the report of many trials take on one core, and do its curves and shares agree with
those of slower methods?

    python benchmarks/report_speed.py [--trials 400 4000] [--folder FOLDER]

The searches are made up, over six settings, two of which matter. Their ledgers are as long as those
of real ones: 60 effective settings and 12 scores a report, four reports a trial. None is trained.
Seconds are CPU time of this process on one core; the first page, with imports, is shown apart. At
the fewest trials the curves are compared with Gaussian processes of all trials, 64 for each
setting, and the importance of numbers with Optuna's evaluator. The report used both before; the
factors are the time of the slower method divided by ours, in the same run.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import optuna

from syndet_ray import Choice, Float, Int, Recipe, SearchSpace, Training
from syndet_ray.analysis import anova, response
from syndet_ray.analysis.response import Band, Response
from syndet_ray.analysis.varied import settings
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.report import page
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.search.optuna_terms import distribution

NUMBERS: dict[str, Float | Int] = {
    "mix.synthetic": Float(low=0, high=1),
    "training.learning_rate": Float(low=3e-4, high=5e-3, log=True),
    "scene.overlap": Float(low=0, high=0.6),
    "scene.blur": Float(low=0, high=1),
    "scene.lamps": Int(low=1, high=4),
}
SPACE = SearchSpace({**NUMBERS, "scene.objects": Choice(values=(10, 40, 70))})
SWEEP = LoadedSweep(
    question="How long does it take?", recipe=Recipe(training=Training(images=400)), space=(SPACE,)
)
RUNGS, SCORES, TREES = 4, 12, 64
ABOUT = {"name": "made up", "started": 0.0, "finished": 0.0, "stand_in": True, "classes": ("one",)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[400, 4000])
    parser.add_argument(
        "--folder", type=Path, help="keeps the runs in this folder; default: they are deleted"
    )
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        home = given.folder or Path(temporary)
        folders = {trials: made_run(home / str(trials), trials) for trials in given.trials}
        fewest, most = min(folders), max(folders)
        first = _seconds(page.write, folders[fewest])
        extra = "with imports and the charts' JavaScript"
        print(f"the first page, of {fewest} trials, {extra}: {first:.1f} s", flush=True)
        pages = {}
        for trials, folder in folders.items():
            pages[trials] = _seconds(page.write, RunFolder(folder.path))
            size = folder.report.stat().st_size / 1e6
            print(f"page of {trials} trials: {pages[trials]:.1f} s, {size:.1f} MB", flush=True)
        longer = pages[most] / pages[fewest]
        print(f"{most / fewest:.0f} times the trials take {longer:.1f} times as long")
        compare_curves(RunFolder(home / str(fewest)).trials())
        compare_shares(RunFolder(home / str(fewest)).trials())


def made_run(path: Path, trials: int) -> RunFolder:
    """A run of so many completed trials, uniformly sampled, with the noise of seeds."""
    rng = np.random.default_rng(0)
    folder = RunFolder.create(path, SWEEP.replace({"trials": trials}), ABOUT)
    for number in range(trials):
        params = SPACE.suggest(lambda name, axis: _sampled(axis, rng))
        recipe = SWEEP.recipe.replace(params).flat()
        folder.ledger.append("asked", number, kind="search", params=params, recipe=recipe)
        share, blur = params["mix.synthetic"], params["scene.blur"]
        height = 0.3 - 0.3 * (share - 0.6) ** 2 - 0.05 * blur + 0.02 * rng.standard_normal()
        for rung in range(1, RUNGS + 1):
            metrics = {f"val/score {k}": 0.123456789 for k in range(SCORES - 1)}
            metrics[OBJECTIVE] = height * rung / RUNGS
            folder.ledger.append(
                "report", number, images=100 * rung, metrics=metrics, effective=recipe
            )
        folder.ledger.append("ended", number, state="COMPLETE", reason="all 400 images seen")
    return folder


def compare_curves(trials: tuple[Trial, ...]) -> None:
    """Prints how much longer Gaussian processes of all trials take, and the differences of the
    curves in widths of the band.
    """
    responses = [response.response(setting, trials) for setting in settings(SWEEP)]
    fitted = [curve for curve in responses if curve.fitted]
    began = time.process_time()
    bands = [response.band(curve) for curve in fitted]
    ours = time.process_time() - began
    pairs = [(curve, band) for curve, band in zip(fitted, bands, strict=True) if band is not None]
    began = time.process_time()
    exact = [exact_band(curve, band) for curve, band in pairs]
    theirs = time.process_time() - began
    apart = []
    for (_, band), (mean, error) in zip(pairs, exact, strict=True):
        apart.append(_apart(band, mean, error))
    exact_time = f"of all trials {theirs:.1f} s, {theirs / ours:.0f} times"
    print(f"{len(bands)} curves: {ours:.2f} s; {exact_time}", flush=True)
    print(f"    apart by {max(apart):.1e} of the band's width at most")


def exact_band(curve: Response, band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error at the places of a band, by Gaussian processes of all trials."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    scaled = np.log if curve.setting.log else np.asarray
    settings_of = np.array([point.x for point in curve.complete], float)
    x, at = scaled(settings_of)[:, None], scaled(np.array(band.x, float))[:, None]
    y = np.array([point.value for point in curve.complete])
    fits = []
    for strength, length, noise in product(
        response._STRENGTHS, response._LENGTHS, response._NOISES
    ):
        kernel = (
            ConstantKernel(1.0)
            + ConstantKernel(strength) * RBF(length * float(np.ptp(x)))
            + WhiteKernel(noise)
        )
        model = GaussianProcessRegressor(kernel, optimizer=None).fit(x, (y - y.mean()) / y.std())
        mean, deviation = model.predict(at, return_std=True)
        fits.append((model.log_marginal_likelihood_value_, mean, deviation**2 - noise))
    likelihoods, means, variances = map(np.array, zip(*fits, strict=True))
    relative = np.exp(likelihoods - likelihoods.max())
    weights = relative / relative.sum()
    mean = weights @ means
    error = np.sqrt(weights @ (variances + (means - mean) ** 2))
    return y.mean() + y.std() * mean, y.std() * error


def compare_shares(trials: tuple[Trial, ...]) -> None:
    """Prints how much longer Optuna's evaluator takes on numbers, and how far shares differ."""
    axes = list(NUMBERS.values())
    points = []
    for trial in trials:
        points.append([trial.params[name] for name in NUMBERS])
    scores = np.array([trial.value for trial in trials])
    began = time.process_time()
    shares = anova.shares(axes, anova.table(axes, points), scores, TREES)
    ours = time.process_time() - began
    assert shares is not None
    study = _study(points, scores)
    began = time.process_time()
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    others = evaluator.evaluate(study, params=list(NUMBERS))
    theirs = time.process_time() - began
    apart = max(abs(share - others[name]) for name, share in zip(NUMBERS, shares, strict=True))
    optuna_time = f"Optuna's {theirs:.1f} s, {theirs / ours:.0f} times"
    print(f"importance, {TREES} trees: {ours:.2f} s; {optuna_time}")
    print(f"    shares apart by {apart:.1e} at most")


def _study(points: list[list[Any]], scores: np.ndarray) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    axes = {name: distribution(axis) for name, axis in NUMBERS.items()}
    for point, score in zip(points, scores, strict=True):
        params = dict(zip(NUMBERS, point, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=axes, value=score))
    return study


def _sampled(axis: Any, rng: np.random.Generator) -> Any:
    if isinstance(axis, Choice):
        return axis.values[rng.integers(len(axis.values))]
    if isinstance(axis, Int):
        return int(rng.integers(axis.low, axis.high + 1))
    place = rng.random()
    if axis.log:
        return float(axis.low * (axis.high / axis.low) ** place)
    return float(axis.low + place * (axis.high - axis.low))


def _apart(band: Band, mean: np.ndarray, error: np.ndarray) -> float:
    """The maximum distance of the curve and its bounds from the exact ones, in widths of the exact
    band.
    """
    low, high = mean - response._95 * error, mean + response._95 * error
    gaps = [
        np.abs(np.array(ours) - theirs)
        for ours, theirs in ((band.mean, mean), (band.low, low), (band.high, high))
    ]
    return float((np.array(gaps) / (high - low)).max())


def _seconds(call: Callable[..., Any], *arguments: Any) -> float:
    began = time.process_time()
    call(*arguments)
    return time.process_time() - began


if __name__ == "__main__":
    main()
