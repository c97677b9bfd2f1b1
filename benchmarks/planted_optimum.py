"""Does the search find a planted optimum, and with how few images? Learning curves are simulated;
there are 20 seeds for each arm, in one run.

    python benchmarks/planted_optimum.py [--landscape interior|face|vertex|late|crossing|all]
    [--tune]

A recipe divides its images among real, sparse and crowded scenes, and has a schedule and a learning
rate. Its final validation mAP is made up, so that the best recipe is known: 0.6 times one factor
for each of the three.

shares     1 - 0.25 d², where d is the distance of the shares from a planted point: concave with one
           maximum, as in published mixes, where both together are better than either (Tremblay et
           al. 2018; Borkman et al. 2021). "interior" plants 60 % real, 10 % sparse, 30 % crowded:
           real only then loses 6.5 %, synthetic only 21 to 32 %, about as far apart as in
           docs/results.md. "face" and "vertex" plant points outside the simplex, so that half real
           and half crowded, or real only, are best.
schedule   one is best, another loses 2 % and the third 4 %, times 4 s (1 - s) at a synthetic share
           of s: if only real or only synthetic images are seen, schedules are equal.
rate       a Gaussian of the logarithm, of width 2 (e-foldings): a rate three times too high or low
           costs 14 %, between what docs/results.md measured for two and three times. The bounds are
           those of search_spaces/optimizer.py.

mAP rises as 1 - exp(-t / T). T is 0.35 of a training at a rate of 1e-3 and falls as the 4th root of
the rate: fast starters end lower, so curves cross. In "late", which is interior with staged best,
recipes also lose up to half of their mAP while they see more synthetic images than overall, and
leap when real ones come. In "crossing" T falls as the square root. Ranks of random recipes after a
quarter and after half of the training correlate with the final ones by 0.6 and 0.9 in interior, 0.2
and 0.6 in late, 0.1 and 0.6 in crossing; by 0.4 and 0.5 in the 21 curves on real photos of
docs/results.md, over this same space. Noise of 0.003 mAP (0.5 % of the best) is added to every
report; seeds differ by more, but then 1 % could not be distinguished.

All of this was fixed before the first search ran, with one exception: T fell as the square root
everywhere. After the first results, the curves of real sweeps decided for the 4th root; the first
version is kept as "crossing".

Every arm runs 4 trials at a time, which report 8 times, until as many images are spent as
`--trainings` whole trainings take; there are no controls. At any moment a user would pick the
finished trial with the highest report. "found" is when the noise-free end of that pick is first
within 1 % of the best, in images of all trials, with pruned ones, as whole trainings; a run that
never gets there counts as the limit. "kept" is when it got there and stayed: a lucky report can
displace a better recipe.

Ray's own are OptunaSearch and ASHAScheduler with their defaults (reduction_factor 4), the first
report as grace_period. Optuna has no simplex; like its users, they draw a weight from 0 to 1 for
each source and divide by the sum, or else use our axes. They are called as Tune calls them, in the
same simulated time as ours: in Tune itself trials that train nothing overtake one another by
chance. `--tune` runs them there too, until found, which takes about ten minutes a landscape.
"""

import argparse
import heapq
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import optuna
import ray

from syndet_ray import seeds
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import REAL, Mix, Scenes
from syndet_ray.definitions.parameter import Choice, Float, Simplex
from syndet_ray.definitions.recipe import Recipe, Training
from syndet_ray.definitions.schedule import shares_between
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.definitions.sweep import Pruning, rung_images
from syndet_ray.search.study import Study

RUNGS, PARALLEL = 8, 4
IMAGES = rung_images(2400, RUNGS)
BEST, TOLERANCE, NOISE = 0.6, 0.01, 0.003  # mAP of the planted recipe; share of it; mAP
LOW, HIGH = 3e-4, 5e-3  # learning rate
SOURCES = REAL, "sparse", "crowded"
SCHEDULES = "mixed", "staged", "annealed"
ENDLESS = 100_000  # trials: the images end a search
GOAL: dict[str, Any] = {"metric": "mAP", "mode": "max"}

TUNABLE = SearchSpace(
    {
        "mix.shares": Simplex(sources=SOURCES),
        "mix.schedule": Choice(values=SCHEDULES),
        "training.learning_rate": Float(low=LOW, high=HIGH, log=True),
    }
)
RECIPE = Recipe(
    mix=Mix(sources={"sparse": Scenes(), "crowded": Scenes()}), training=Training(images=IMAGES[-1])
)


@dataclass(frozen=True)
class Landscape:
    """The mAP of every recipe.

    centre     the planted point
    best       the shares nearest to it, which are those of the point or on an edge
    schedules  from the best one to the worst
    crossing   power of the learning rate that decides how fast mAP rises
    lag        share of its mAP that a recipe lacks while it sees only synthetic images, if overall
               it sees none
    """

    centre: tuple[float, float, float]
    best: tuple[float, float, float]
    schedules: tuple[str, str, str]
    learning_rate: float
    crossing: float = 0.25
    lag: float = 0.0

    def curve(self, mix: Mix, learning_rate: float) -> np.ndarray:
        """(RUNGS,) noise-free mAP at each rung."""
        shares = np.array([mix.shares[source] for source in SOURCES])
        log_rate = math.log(learning_rate / self.learning_rate)
        rate = math.exp(-0.5 * (log_rate / 2) ** 2)
        final = BEST * self._mix(shares) * self._schedule(mix) * rate
        moments = np.arange(1, RUNGS + 1) / RUNGS
        speed = (learning_rate / 1e-3) ** self.crossing / 0.35
        rise = final * np.expm1(-moments * speed) / math.expm1(-speed)
        return rise * (1 - self.lag * _excess(mix))

    def _mix(self, shares: np.ndarray) -> float:
        def lost(at: np.ndarray) -> float:
            return 0.25 * float(((at - self.centre) ** 2).sum())

        return 1 - lost(shares) + lost(np.array(self.best))

    def _schedule(self, mix: Mix) -> float:
        place, synthetic = self.schedules.index(mix.schedule), mix.synthetic
        return 1 - 0.02 * place * 4 * synthetic * (1 - synthetic)


def _excess(mix: Mix) -> np.ndarray:
    """(RUNGS,) the synthetic share before each rung, minus that of the whole training."""
    real = [shares_between(mix, i / RUNGS, (i + 1) / RUNGS)[REAL] for i in range(RUNGS)]
    return np.maximum(0, 1 - np.array(real) - mix.synthetic)


INSIDE = (0.6, 0.1, 0.3)
LANDSCAPES = {
    "interior": Landscape(INSIDE, INSIDE, ("annealed", "staged", "mixed"), 1e-3),
    "face": Landscape((0.55, -0.1, 0.55), (0.5, 0.0, 0.5), ("staged", "annealed", "mixed"), 7e-4),
    "vertex": Landscape(
        (1.1, -0.05, -0.05), (1.0, 0.0, 0.0), ("annealed", "staged", "mixed"), 2e-3
    ),
    "late": Landscape(INSIDE, INSIDE, ("staged", "annealed", "mixed"), 1e-3, lag=0.5),
    "crossing": Landscape(INSIDE, INSIDE, ("annealed", "staged", "mixed"), 1e-3, crossing=0.5),
}


@dataclass
class Tally:
    """The images that a search has spent, and the recipe that a user would have picked.

    history  at each finished trial: whole trainings spent, and the true end of the pick as a share
             of the best
    """

    limit: float
    images: int = 0
    reported: float = -1.0
    history: list[tuple[float, float]] = field(default_factory=list)

    @property
    def spent(self) -> float:
        return self.images / IMAGES[-1]

    def finished(self, reported: float, true: float) -> None:
        """Records a trial that was trained to its end."""
        picked = true / BEST if reported > self.reported else self.history[-1][1]
        self.reported = max(reported, self.reported)
        self.history.append((self.spent, picked))

    def first(self) -> float | None:
        """Whole trainings until the pick was first good enough."""
        return next((spent for spent, true in self.history if _good(true)), None)

    def kept(self) -> float | None:
        """Whole trainings until the pick was good enough and stayed so."""
        bad = max((i for i, (_, true) in enumerate(self.history) if not _good(true)), default=-1)
        return self.history[bad + 1][0] if bad + 1 < len(self.history) else None

    def pick(self, spent: float) -> float:
        """The true end of the pick after so many whole trainings, as a share of the best; 0 before
        the first trial has ended.
        """
        return next((true for at, true in reversed(self.history) if at <= spent), 0.0)


def _good(true: float) -> bool:
    return true >= 1 - TOLERANCE


class Search(Protocol):
    """A search that proposes recipes and stops trials."""

    def ask(self, number: int) -> tuple[Mix, float]:
        """The mix and the learning rate of the next trial."""

    def report(self, number: int, rung: int, value: float) -> bool:
        """True if a trial must stop at one of its rungs, counted from 0."""

    def end(self, number: int, rung: int, value: float) -> None:
        """Records that a trial has ended."""


class Ours:
    """The search of `search.study`."""

    def __init__(self, seed: int, sampler: str = "tpe", pruning: Pruning | None = None) -> None:
        given: dict[str, Any] = {"sampler": sampler, "pruning": pruning or Pruning(), "seed": seed}
        fixed: dict[str, Any] = {
            "question": "Where?",
            "recipe": RECIPE,
            "space": (TUNABLE,),
            "controls": (),
        }
        self._study = Study(LoadedSweep(**fixed, **given, trials=ENDLESS, rungs=RUNGS))

    def ask(self, number: int) -> tuple[Mix, float]:
        proposal = self._study.ask(number)
        assert proposal is not None, "endless"
        return proposal.recipe.mix, proposal.recipe.training.learning_rate

    def report(self, number: int, rung: int, value: float) -> bool:
        return self._study.report(number, IMAGES[rung], value)

    def end(self, number: int, rung: int, value: float) -> None:
        self._study.tell(number, "COMPLETE" if rung == RUNGS - 1 else "PRUNED", [value])


class Rays:
    """OptunaSearch and ASHAScheduler, called as Ray Tune's controller calls them. axes: "weights"
    or, ours, "simplex".
    """

    def __init__(self, seed: int, axes: str = "weights") -> None:
        self._search, self._scheduler = _searcher(seed, axes), _scheduler()

    def ask(self, number: int) -> tuple[Mix, float]:
        config = self._search.suggest(str(number))
        self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=str(number)))
        return _mix(config), config["learning_rate"]

    def report(self, number: int, rung: int, value: float) -> bool:
        result = _result(rung, value)
        trial = SimpleNamespace(trial_id=str(number))
        stop: bool = self._scheduler.on_trial_result(None, trial, result) == "STOP"
        if not stop:
            self._search.on_trial_result(str(number), result)
        return stop

    def end(self, number: int, rung: int, value: float) -> None:
        result = _result(rung, value)
        self._scheduler.on_trial_complete(None, SimpleNamespace(trial_id=str(number)), result)
        self._search.on_trial_complete(str(number), result)


def _searcher(seed: int, axes: str) -> Any:
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return OptunaSearch(partial(_suggest, axes=axes), **GOAL, seed=seed)


def _scheduler() -> Any:
    from ray.tune.schedulers import ASHAScheduler

    return ASHAScheduler(time_attr="images", **GOAL, max_t=IMAGES[-1], grace_period=IMAGES[0])


def _suggest(trial: optuna.Trial, axes: str) -> dict[str, Any]:
    """Suggests the same space as a user of Optuna would. Returns further settings of a trial."""
    trial.suggest_categorical("schedule", SCHEDULES)
    trial.suggest_float("learning_rate", LOW, HIGH, log=True)
    for source in SOURCES if axes == "weights" else SOURCES[:-1]:
        trial.suggest_float(source, 0, 1)
    return {"number": trial.number, "axes": axes}


def _mix(config: Mapping[str, Any]) -> Mix:
    if config["axes"] == "weights":
        whole = sum(config[source] for source in SOURCES)
        shares = {source: config[source] / whole for source in SOURCES}
    else:
        shares = Simplex(sources=SOURCES).shares([config[source] for source in SOURCES[:-1]])
    synthetic = shares["sparse"] + shares["crowded"]
    parts = {source: shares[source] / synthetic for source in SOURCES[1:]} if synthetic > 0 else {}
    changes = {
        "mix.schedule": config["schedule"],
        "mix.synthetic": min(1.0, synthetic),
        "mix.parts": parts,
    }
    return RECIPE.replace(changes).mix


def _result(rung: int, value: float) -> dict[str, Any]:
    return {"images": IMAGES[rung], "mAP": value, "training_iteration": rung + 1}


def simulate(landscape: Landscape, limit: float, make: Callable[[int], Search], seed: int) -> Tally:
    """A search whose trials train nothing.

    They report in the order in which their images would have been seen.
    """
    search, tally = make(seed), Tally(limit)
    true: list[np.ndarray] = []
    due: list[tuple[int, int, int]] = []  # when, which trial, which of its rungs

    def start(now: int) -> None:
        true.append(landscape.curve(*search.ask(len(true))))
        heapq.heappush(due, (now + IMAGES[0], len(true) - 1, 0))

    for _ in range(PARALLEL):
        start(0)
    while tally.spent < limit:
        now, number, rung = heapq.heappop(due)
        tally.images += IMAGES[0]
        value = float(true[number][rung] + noise(seed, number)[rung])
        if not search.report(number, rung, value) and rung < RUNGS - 1:
            heapq.heappush(due, (now + IMAGES[0], number, rung + 1))
            continue
        search.end(number, rung, value)
        if rung == RUNGS - 1:
            tally.finished(value, true[number][-1])
        start(now)
    return tally


def noise(seed: int, number: int) -> np.ndarray:
    """(RUNGS,) the noise of the reports of a trial."""
    return NOISE * seeds.generator(seed, "noise", number).standard_normal(RUNGS)


def in_tune(landscape: Landscape, limit: float, seed: int) -> Tally:
    """Runs OptunaSearch and ASHAScheduler in Ray Tune, until the optimum is found."""
    from ray import tune

    tally = Tally(limit)

    class Count(tune.Callback):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            tally.images += IMAGES[0]
            if result["images"] == IMAGES[-1]:
                tally.finished(result["mAP"], result["true"])

    class Limit(tune.Stopper):
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return tally.spent >= limit or tally.first() is not None

    with tempfile.TemporaryDirectory() as folder:
        run_config = tune.RunConfig(
            storage_path=folder, callbacks=[Count()], stop=Limit(), verbose=0
        )
        trainable = partial(_trainable, landscape=landscape, seed=seed)
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            tune_config=_tune_config(seed),
            run_config=run_config,
        ).fit()
    return tally


def _tune_config(seed: int) -> Any:
    from ray import tune

    return tune.TuneConfig(
        search_alg=_searcher(seed, "weights"),
        scheduler=_scheduler(),
        num_samples=ENDLESS,
        max_concurrent_trials=PARALLEL,
        reuse_actors=True,
    )


def _trainable(config: Mapping[str, Any], landscape: Landscape, seed: int) -> None:
    from ray import tune

    true = landscape.curve(_mix(config), config["learning_rate"])
    for rung, value in enumerate(true + noise(seed, config["number"])):
        tune.report({"images": IMAGES[rung], "mAP": float(value), "true": float(true[-1])})


NONE = Pruning(name="none")
RANDOM = "random, no pruner"
ARMS: dict[str, Callable[[int], Search]] = {
    RANDOM: partial(Ours, sampler="random", pruning=NONE),
    "TPE, default pruner (ours)": Ours,
    "TPE, no pruner": partial(Ours, pruning=NONE),
    "random, default pruner": partial(Ours, sampler="random"),
    "OptunaSearch, ASHA": Rays,
    "OptunaSearch, ASHA, our axes": partial(Rays, axes="simplex"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--landscape", choices=[*LANDSCAPES, "all"], default="interior")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trainings", type=int, default=100, help="length of a search")
    parser.add_argument("--tune", action="store_true", help="run Ray's own in Ray Tune, too")
    given = parser.parse_args()
    for name in LANDSCAPES if given.landscape == "all" else [given.landscape]:
        landscape = LANDSCAPES[name]
        by_arm = measure(landscape, given.trainings, given.seeds)
        if given.tune:
            tallies = measure_tune(landscape, given.trainings, given.seeds)
            by_arm["OptunaSearch, ASHA, in Ray Tune"] = tallies
        print(f"\n{name}, {given.seeds} seeds, at most {given.trainings} trainings\n")
        print(table(by_arm, given.trainings))


def measure(landscape: Landscape, limit: float, count: int) -> dict[str, list[Tally]]:
    """The tallies of every arm, one for each seed."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        runs = {}
        for name, make in ARMS.items():
            runs[name] = pool.map(partial(simulate, landscape, limit, make), range(count))
        return {name: list(tallies) for name, tallies in runs.items()}


def measure_tune(landscape: Landscape, limit: float, count: int) -> list[Tally]:
    """The tallies of Ray Tune, one for each seed, one after the other."""
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        num_cpus=PARALLEL,
    )
    tallies = [in_tune(landscape, limit, seed) for seed in range(count)]
    ray.shutdown()
    return tallies


def table(by_arm: Mapping[str, Sequence[Tally]], limit: float) -> str:
    """A Markdown table, one row for each arm."""
    budgets = [limit / 4, limit / 2, limit]
    heads = ["arm", "found", "never", "against random", "kept"]
    heads += [f"pick at {budget:g}" for budget in budgets]
    rows = [heads, ["---"] * len(heads)]
    random = [tally.first() for tally in by_arm[RANDOM]]
    for name, tallies in by_arm.items():
        when = [tally.first() for tally in tallies]
        row = [name, _quartiles(when, limit), str(when.count(None)), _ratio(when, random, limit)]
        if max(tally.spent for tally in tallies) >= limit and "in Ray Tune" not in name:
            row.append(_quartiles([tally.kept() for tally in tallies], limit))
            for budget in budgets:
                row.append(f"{np.median([tally.pick(budget) for tally in tallies]):.1%}")
        rows.append(row + [""] * (len(heads) - len(row)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _quartiles(when: Sequence[float | None], limit: float) -> str:
    moments = [limit if moment is None else moment for moment in when]
    low, median, high = np.percentile(moments, [25, 50, 75])
    return f"{median:.0f} [{low:.0f}, {high:.0f}]"


def _ratio(when: Sequence[float | None], reference: Sequence[float | None], limit: float) -> str:
    """The ratio of two medians; a bound if one of them is beyond the limit."""
    a, b = _median(when), _median(reference)
    if math.isinf(a):
        return "" if math.isinf(b) else f"> {limit / b:.2f}"
    return f"< {a / limit:.2f}" if math.isinf(b) else f"{a / b:.2f}"


def _median(when: Sequence[float | None]) -> float:
    return float(np.median([math.inf if moment is None else moment for moment in when]))


if __name__ == "__main__":
    main()
