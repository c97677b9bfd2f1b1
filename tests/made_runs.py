"""Made-up runs for tests: no trial was trained.

A maker returns a `MadeRun`, which is in memory. `MadeRun.read` gives the `Run` that code which only
reads runs takes; `MadeRun.write` gives the folder, for tests that look at files.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from syndet_ray.data.visibility import Bin, Visibility
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Choice, Float
from syndet_ray.definitions.recipe import Recipe, Training
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.ledger import Ledger, elapsed_s
from syndet_ray.runs.occupancy import periods
from syndet_ray.runs.results import Picture, TestRow, TestScores, Trial, role_and_name
from syndet_ray.runs.run import Run, halt_of
from syndet_ray.spread import Difference

CLASSES = ("one", "<b>two</b>", "$3")
SWEEP = LoadedSweep(
    question="How crowded should <synthetic> scenes be?",
    recipe=Recipe(training=Training(images=400)),
    space=(
        SearchSpace(
            {
                "scene.objects": Choice(values=(10, 40, 70)),
                "training.learning_rate": Float(low=3e-4, high=5e-3, log=True),
                "mix.synthetic": Float(low=0, high=1),
            }
        ),
    ),
    trials=5,
)
TWO_GOALS = SWEEP.model_copy(
    update={
        "objective": ("val/mAP", "real_images"),
        "space": (SearchSpace({"mix.real_images": Choice(values=(0, 5, 20, 40, 80, 160))}),),
    }
)
ABOUT = {
    "name": "obstruction",
    "started": 1_760_000_000.0,
    "finished": 1_760_000_725.0,
    "seed": 7,
    "real": {
        "path": "dice/",
        "hashes": {"test": "0123456789abcdef"},
        "counts": {"train": 160, "val": 40, "test": 50},
    },
    "versions": {"torch": "2.9.0"},
    "machine": {"cores": 2},
    "stand_in": False,
    "classes": CLASSES,
}
DONE = "all 400 images seen"
# kind, objects, synthetic share, learning rate, validation mAP by rung, state, reason
TRIALS = (
    ("real_only", None, None, None, (0.10, 0.20, 0.26, 0.28), "COMPLETE", DONE),
    ("synthetic_only", None, None, None, (0.02, 0.03, 0.05, 0.05), "COMPLETE", DONE),
    ("search", 40, 0.4, 0.002, (0.12, 0.22, 0.28, 0.31), "COMPLETE", DONE),
    ("search", 40, 0.7, 0.001, (0.10, 0.19, 0.24, 0.27), "COMPLETE", DONE),
    ("search", 70, 0.9, 0.004, (0.04, 0.06), "PRUNED", "median pruner after 200 images"),
    ("search", 10, 0.002, 0.0005, (0.09, 0.18, 0.25, 0.26), "COMPLETE", DONE),
    (
        "search",
        10,
        0.5,
        0.005,
        (),
        "FAILED",
        "training loss became nan at image 24 <script>alert(1)</script>",
    ),
)
# By the trial that is trained again: validation mAP of its seeds.
SEEDS = {0: (0.27, 0.29, 0.28), 1: (0.05, 0.04, 0.06), 2: (0.28, 0.27, 0.29), 3: (0.29, 0.30, 0.31)}
TIED = {
    "best": (0.31, 0.27, 0.35),
    "real_only": (0.29, 0.25, 0.33),
    "synthetic_only": (0.05, 0.03, 0.07),
}
OPENED = 4e9  # later than the start of all trials here
_SCORES = TypeAdapter(TestScores)


class MadeLedger:
    """The events of a made-up run, as its ledger file would give them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def append(self, event: str, trial: int | None, **facts: Any) -> dict[str, Any]:
        """Appends an event, see `Ledger.append`. JSON gives each value the type that is read."""
        line = json.dumps({"event": event, "trial": trial, "time": time.time(), **facts})
        self.events.append(json.loads(line))
        return self.events[-1]


class MadeRun:
    """A run in memory. Its methods have the names of those of a `RunFolder` and do the same.

    path  of the folder that messages name; there is none
    """

    def __init__(
        self, sweep: LoadedSweep, about: Mapping[str, Any] = ABOUT, name: str = "run"
    ) -> None:
        self.path = Path(name)
        self.ledger = MadeLedger()
        self._scores: TestScores | None = None
        self._draws: dict[int, dict[str, np.ndarray]] = {}
        self._pictures: dict[str, Sequence[Picture]] = {}
        self.define(sweep)
        self.describe(about)

    def define(self, sweep: LoadedSweep) -> None:
        self.sweep = LoadedSweep.model_validate_json(sweep.model_dump_json())

    def describe(self, about: Mapping[str, Any]) -> None:
        self.about = json.loads(json.dumps(about))

    def trials(self) -> tuple[Trial, ...]:
        return Ledger(self.path).trials_of(self.ledger.events)

    def write_test(self, scores: TestScores) -> None:
        self._scores = _SCORES.validate_json(_SCORES.dump_json(scores, by_alias=True))

    def test(self) -> TestScores | None:
        return None if self._scores is None else self._scores.cautious()

    def write_draws(self, model: int, draws: Mapping[str, np.ndarray]) -> None:
        """Keeps the bootstrap draws of a model's scores, (resamples,) each, by metric."""
        self._draws[model] = dict(draws)

    def draws(self, model: int) -> dict[str, np.ndarray]:
        return self._draws.get(model, {})

    def write_pictures(self, name: str, pictures: Sequence[Picture]) -> None:
        self._pictures[name] = pictures

    def pictures(self, name: str) -> Sequence[Picture]:
        return self._pictures.get(name, ())

    def read(self) -> Run:
        trials, test = self.trials(), self.test()
        numbers = {trial.number for trial in trials}
        for row in () if test is None else test.rows:
            assert {row.trial, *row.models} <= numbers, "a folder without these trials is refused"
        return Run(
            path=self.path,
            sweep=self.sweep,
            about=self.about,
            trials=trials,
            test=test,
            elapsed_s=elapsed_s(self.ledger.events),
            halt=halt_of(self.about, self.ledger.events),
            periods=periods(self.ledger.events, self.about.get("finished")),
            draws=self.draws,
            pictures=self.pictures,
        )

    def write(self, path: Path) -> RunFolder:
        """Writes the run to a new folder, with the code that writes real runs."""
        folder = RunFolder.create(path, self.sweep, self.about)
        for event in self.ledger.events:
            folder.ledger.append(**event)
        if self._scores is not None:
            folder.write_test(self._scores)
        for model, draws in self._draws.items():
            folder.write_test_table(f"draws-{model}", pa.table(draws))
        for name, pictures in self._pictures.items():
            folder.write_pictures(name, pictures)
        return folder


def made_run(
    trials=TRIALS,
    scores=None,
    stand_in=False,
    pictures=False,
    about=ABOUT,
    sweep=SWEEP,
    name="run",
):
    """A run of these trials; with scores it is tested.

    scores  (value, low, high) of mAP by role
    """
    run = MadeRun(sweep, about | {"stand_in": stand_in}, name)
    for number, trial in enumerate(trials):
        append(run, number, *trial)
    if scores:
        run.write_test(made_scores(scores, stand_in, best=2))
    if pictures:
        show(run)
    return run


def show(run):
    """Adds pictures of training images and predictions to a run."""
    run.write_pictures("real", [picture(seed) for seed in range(3)])
    run.write_pictures("synthetic", [picture(seed, 64) for seed in range(5)])
    run.write_pictures("best", [picture(seed, predicted=True) for seed in range(3)])
    run.write_pictures("worst", [picture(seed, predicted=True) for seed in range(3, 5)])


def of_kind(kind, replica=0):
    """The role and the name of a trial, as fields, from the kind that files have."""
    role, name = role_and_name(kind, replica)
    return {"role": role, "name": name}


def append(run, number, kind, objects, share, rate, values, state, reason):
    """Appends a trial of TRIALS to a run in memory or a folder."""
    varied = {"scene.objects": objects, "training.learning_rate": rate, "mix.synthetic": share}
    params = varied if kind == "search" else {}
    recipe = SWEEP.recipe.replace(params) if params else SWEEP.fixed[kind]
    run.ledger.append("asked", number, kind=kind, params=params, recipe=recipe.flat())
    train(run, number, values, state, reason)


def train(run, number, values, state="COMPLETE", reason=DONE, effective=None):
    """Appends the reports and the end of a trial that was asked, to a run in memory or a folder.

    values  validation mAP of each rung
    """
    for rung, value in enumerate(values, 1):
        metrics = {
            "val/mAP": value,
            "val/AP50": 1.5 * value,
            "train/loss": 1 / (rung + number / 1000),
        }
        metrics |= {"images_per_second": 20.0}
        run.ledger.append(
            "report", number, images=100 * rung, metrics=metrics, effective=effective or {}
        )
    if state != "RUNNING":
        run.ledger.append("ended", number, state=state, reason=reason)


def confirm(run, seeds=SEEDS):
    """Appends trainings that train recipes again, after all other trials of a run."""
    trials = run.trials()
    number = len(trials)
    for of, values in seeds.items():
        for seed, value in enumerate(values, 1):
            facts = {
                "params": trials[of].params,
                "recipe": trials[of].settings,
                "of": of,
                "seed_number": seed,
            }
            run.ledger.append("asked", number, kind="confirm", **facts)
            train(run, number, (value / 3, 2 * value / 3, 0.9 * value, value))
            number += 1


def diverge(run, number):
    """Makes a training that ended one that diverged."""
    ends = [event for event in run.ledger.events if event["event"] == "ended"]
    (end,) = [event for event in ends if event["trial"] == number]
    end.update(state="FAILED", cause="diverged")


# Other metrics of a made-up score, in parts of its mAP.
PARTS = {"mAP": 1, "AP50": 1.6, "AP75": 0.7, "mAR": 1.2}


def made_scores(scores, stand_in=False, best=2, **changed):
    """Test scores by role: (value, low, high) of mAP. A "finalist 3" is trial 3."""
    trial_of = {"best": best, "real_only": 0, "synthetic_only": 1}
    rows = []
    for role, (value, low, high) in scores.items():
        metrics = {name: part * value for name, part in PARTS.items()}
        intervals = {name: (part * low, part * high) for name, part in PARTS.items()}
        del intervals["mAR"]
        for k, label in enumerate(CLASSES):
            metrics[f"AP/{label}"] = value + 0.01 * k
        number = trial_of[role] if role in trial_of else int(role.removeprefix("finalist "))
        row = TestRow(
            key=role,
            trial=number,
            metrics=metrics,
            intervals=intervals,
            models=(number,),
            seeds=(value,),
        )
        rows.append(row)
    return TestScores(
        source="test",
        stand_in=stand_in,
        hash="0123456789abcdef",
        images=50,
        opened=OPENED,
        rows=tuple(rows),
        **changed,
    )


BINS = tuple(
    Bin(low=k / 4, high=(k + 1) / 4, objects=count, mean=(k + 0.5) / 4)
    for k, count in enumerate((7, 30, 60, 300))
)
QUANTILES = (
    Bin(low=0, high=0.8, objects=190, mean=0.5),
    Bin(low=0.8, high=1, objects=207, mean=0.9),
)
VISIBILITY = Visibility(
    kind="measured",
    bins=BINS,
    quantiles=QUANTILES,
    minimum=20,
    # by class and bin; the first class has too few objects in the last bin
    class_objects={label: (2, 10, 20, 100 if k else 4) for k, label in enumerate(CLASSES)},
)
KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
CONFUSION = ((5, 1, 0, 2), (0, 9, 0, 0), (1, 0, 4, 1), (2, 0, 1, 0))


def examine(run, visibility=VISIBILITY):
    """Adds metrics of hidden objects, kinds of errors and confused classes to a tested run."""
    test = run.test()
    rows = tuple(_examined(row, visibility) for row in test.rows)
    run.write_test(replace(test, rows=rows, visibility=visibility, confusion=CONFUSION))
    return run


def _examined(row, visibility):
    mean = row.metrics["mAP"]
    low, high = row.intervals["mAP"]
    metrics = dict(row.metrics)
    intervals = dict(row.intervals)
    for group in visibility.bins:
        if group.objects < visibility.minimum:
            continue
        for kind in ("AP", "recall"):
            metrics[f"{kind}_visible/{group.name}"] = group.high * mean
            intervals[f"{kind}_visible/{group.name}"] = (group.high * low, group.high * high)
        for label in CLASSES:
            metrics[f"recall_visible/{group.name}/{label}"] = group.high * mean
    for k, kind in enumerate(KINDS):
        metrics[f"error/{kind}"] = 0.02 * k
    for kind in ("AP", "recall"):
        metrics[f"slope/{kind}"] = -mean
        intervals[f"slope/{kind}"] = (-mean - 0.1, -mean + 0.1)
        metrics[f"{kind}_visible/q1"] = mean / 2
        metrics[f"{kind}_visible/q2"] = mean
    metrics |= {"mAP@300": mean, "capped@100": 0.0, "capped@300": 0.0}
    intervals |= {"AP_visible/q2": (low, high), f"AP/{CLASSES[0]}": (low, high)}
    return replace(row, metrics=metrics, intervals=intervals)


def confirmed_scores(run, means, gaps, best=3, simplest=None, openings=1):
    """Test scores of confirmed recipes.

    means  test mAP by role
    gaps   Difference from real only by role
    """
    models = {}
    for trial in run.trials():
        if trial.of is not None:
            models.setdefault(trial.of, []).append(trial.number)
    scores = {role: (mean, mean - 0.04, mean + 0.04) for role, mean in means.items()}
    test = made_scores(scores, best=best, simplest=simplest, openings=openings)
    rows = []
    for row in test.rows:
        mean = means[row.key]
        differences = {}
        if row.key in gaps:
            differences["real_only"] = gaps[row.key]
        if row.trial != 1:  # which is synthetic only
            differences["synthetic_only"] = gap(mean - means["synthetic_only"])
        row = replace(
            row,
            models=tuple(models[row.trial]),
            seeds=(mean - 0.01, mean, mean + 0.01),
            p_best=mean,
            differences=differences,
        )
        rows.append(row)
    return replace(test, rows=tuple(rows))


def gap(mean, low=None, high=None, probability=0.99):
    return Difference(
        mean=mean,
        low=mean - 0.03 if low is None else low,
        high=mean + 0.03 if high is None else high,
        probability=probability,
    )


def confirmed_run(
    means=None, gaps=None, best=3, simplest=None, openings=1, stand_in=False, **given
):
    """A run whose searched trials 2 and 3 and both controls were trained again: trial 2 was only
    lucky in the search, and 3 is better.
    """
    run = made_run(stand_in=stand_in, **given)
    confirm(run)
    other = "finalist 2" if best == 3 else "finalist 3"
    means = means or {"best": 0.31, "real_only": 0.25, "synthetic_only": 0.06, other: 0.27}
    gaps = gaps or {"best": gap(0.06), other: gap(0.02, probability=0.9)}
    scores = confirmed_scores(run, means, gaps, best=best, simplest=simplest, openings=openings)
    run.write_test(scores)
    return run


def run_of_zeros():
    """A tested run of the same trainings in which no model finds anything: all scores are 0."""
    trials = [(*trial[:4], (0.0,) * len(trial[4]), *trial[5:]) for trial in TRIALS]
    run = made_run(trials)
    confirm(run, dict.fromkeys(SEEDS, (0.0, 0.0, 0.0)))
    means = dict.fromkeys(("best", "real_only", "synthetic_only", "finalist 2"), 0.0)
    nothing = gap(0.0, 0.0, 0.0, probability=0.5)
    test = confirmed_scores(run, means, {"best": nothing, "finalist 2": nothing})
    rows = []
    for row in test.rows:
        row = replace(
            row,
            metrics=dict.fromkeys(row.metrics, 0.0),
            intervals=dict.fromkeys(row.intervals, (0.0, 0.0)),
            seeds=(0.0, 0.0, 0.0),
            p_best=1 / len(test.rows),
            differences=dict.fromkeys(row.differences, nothing),
        )
        rows.append(row)
    run.write_test(replace(test, rows=tuple(rows)))
    return run


VARIANTS = {  # by name: its changes of the recipe, and the mAP of its seeds
    "full": ({}, (0.30, 0.32)),
    "no blur": ({"scene.blur": 0.0}, (0.20, 0.18)),
    "no light colour": ({"scene.light_color": 0.0}, (0.29, 0.31)),
}


def variant_run(variants, controls=None, best=None, name="run"):
    """A tested run of variants and controls. Test scores are equal to those on validation.

    variants  by name: changes of the recipe, and a score for each training
    controls  by name: the score of the one training
    """
    controls = controls or {}
    repeats = max(len(values) for _, values in variants.values())
    changes = {name: changed for name, (changed, _) in variants.items()}
    sweep = LoadedSweep(
        question="What does it take?",
        trials=0,
        controls=tuple(controls),
        variants=changes,
        repeats=repeats,
    )
    run = MadeRun(sweep, name=name)
    scores = {control: (value,) for control, value in controls.items()}
    scores |= {variant: values for variant, (_, values) in variants.items()}
    models = _train_variants(run, scores)
    means = {role: sum(values) / len(values) for role, values in scores.items()}
    against = [*controls, next(iter(variants))]
    rows = [_variant_row(role, models[role], scores[role], means, against) for role in scores]
    best = best or max(means, key=means.get)
    winner = next(row for row in rows if row.key == best)
    test = TestScores(
        source="real",
        stand_in=False,
        hash="hash",
        images=50,
        opened=OPENED,
        rows=(replace(winner, key="best"), *rows),
    )
    run.write_test(test)
    return run


def _train_variants(run, scores):
    """Appends the trials of controls and variants; a training without a score failed.

    Returns the finished trials by the name of their control or variant.
    """
    finished = {name: [] for name in scores}
    for number, (kind, recipe) in enumerate(run.sweep.fixed.items()):
        replica = run.sweep.replica(kind)
        _, name = role_and_name(kind, replica)
        values = scores[name][replica : replica + 1]
        run.ledger.append(
            "asked", number, kind=kind, params={}, recipe=recipe.flat(), replica=replica
        )
        train(run, number, values, "COMPLETE" if values else "FAILED", "")
        if values:
            finished[name].append(number)
    return finished


def _variant_row(name, models, seeds, means, against):
    mean = means[name]
    differences = {}
    for role in against:
        if role != name:
            value = mean - means[role]
            differences[role] = gap(value, probability=0.001 if value < 0 else 0.99)
    return TestRow(
        key=name,
        trial=models[0],
        metrics={"mAP": mean, "AP50": 0.5, "AP75": 0.2, "mAR": 0.4},
        intervals={"mAP": (mean - 0.03, mean + 0.03)},
        models=tuple(models),
        seeds=tuple(seeds),
        p_best=0.04,
        differences=differences,
    )


def front_run(offers, sweep=TWO_GOALS):
    """A run with several goals.

    offers  (real images, validation mAP) of each searched trial
    """
    run = MadeRun(sweep)
    for number, (count, value) in enumerate(offers):
        params = {"mix.real_images": count}
        recipe = SWEEP.recipe.replace(params).flat()
        run.ledger.append("asked", number, kind="search", params=params, recipe=recipe)
        train(run, number, (value / 2, value), effective={"real_images": count})
    return run


def picture(seed, side=96, predicted=False):
    """A picture of noise with three boxes, which its files hold without loss."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, side - 22, (3, 2))
    boxes = np.concatenate([corners, corners + 20], axis=1)
    labels = np.round(boxes, 2).astype(np.float32)
    image = rng.integers(0, 255, (side, side, 3), np.uint8)
    if not predicted:
        return Picture(image=image, xyxy=labels, names=CLASSES)
    return Picture(
        image=image,
        xyxy=np.round(boxes + 1.0, 2).astype(np.float32),
        names=(*CLASSES[:2], "one"),
        scores=(0.9, 0.8, 0.7),
        truth=labels,
        truth_names=CLASSES,
    )
