"""Results of a run as plain records: trials, scores on the test set, and pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NewType

import numpy as np
from pydantic import Field

from syndet_ray.data.visibility import Visibility
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.metrics import MAP, OBJECTIVE, REAL_IMAGES
from syndet_ray.spread import LEAST_IMAGES, Difference

# Facts of an "asked" event that a trial takes over; an earlier version wrote fewer.
_ASKED = ("params", "of", "replica", "seed_number", "impossible")
# Why there is a trial, see docs/glossary.md.
Role = Literal["search", "control", "variant", "confirmation"]
# Names a row of the test set: "best", "finalist <trial>", or the name of a control or variant.
RowKey = NewType("RowKey", str)
BEST = RowKey("best")  # the recipe that won on the validation set
REAL_ONLY = RowKey("real_only")
FINALIST = "finalist "  # begins the key of any other confirmed recipe, before its trial
State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAILED"]
# Why a trial is FAILED: its training diverged, its workers were lost again and again, or a mistake
# would make it fail again.
Cause = Literal["diverged", "lost", "mistake"]


@dataclass(frozen=True)
class Rung:
    """The metrics that a trial reported after `images` training images."""

    images: int
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial, as the ledger has it.

    role         why there is this trial
    name         of a control or variant, which all its repeats share; "" for any other trial
    params       settings that the search space varied; {} for a control or variant
    recipe       as proposed
    unrecorded   settings that a ledger of an earlier version does not have: the recipe has their
                 defaults
    reason       why it ended, in words; "" while it runs
    effective    every setting by dotted path, as the training really used it, and further facts
    checkpoint   where the newest checkpoint lies: a path or s3:// address
    retries      how often it failed or lost its worker, and continued from its checkpoint
    of           the trial whose recipe a confirmation trains again
    replica      which training of its recipe it is, from 0
    seed_number  which of the sweep's seeds it starts from: trainings with equal numbers have the
                 same random numbers
    impossible   why no recipe can be made of params, in words; "" if one can, which is usual
    cause        why it failed; None if it did not
    values       the value for each goal that the study got when it ended; () before, and in a
                 ledger of an earlier version
    started, ended  seconds since 1970
    """

    number: int
    role: Role
    params: dict[str, Any]
    recipe: Recipe
    name: str = ""
    state: State = "RUNNING"
    reason: str = ""
    rungs: tuple[Rung, ...] = ()
    effective: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    retries: int = 0
    started: float = 0.0
    ended: float | None = None
    of: int | None = None
    replica: int = 0
    seed_number: int = 0
    impossible: str = ""
    cause: Cause | None = None
    values: tuple[float, ...] = ()
    unrecorded: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def kind(self) -> str:
        """Its role and name in one word, see `kind_of`."""
        return kind_of(self.role, self.name, self.replica)

    @property
    def settings(self) -> dict[str, Any]:
        """Every recorded setting of the recipe by dotted path, as the ledger keeps it: a pair is a
        list.
        """
        settings = json.loads(json.dumps(self.recipe.flat()))
        return {path: value for path, value in settings.items() if path not in self.unrecorded}

    @property
    def value(self) -> float | None:
        """The objective at the last rung; None before the first."""
        return self.rungs[-1].metrics[OBJECTIVE] if self.rungs else None

    @property
    def final(self) -> float | None:
        """The objective that counts: at the last rung of a complete training, or 0 if it diverged;
        None for any other trial.
        """
        if self.diverged:
            return 0.0
        return self.value if self.state == "COMPLETE" else None

    @property
    def score(self) -> float | None:
        """The objective that a comparison of all trials takes: `final`, or for an incomplete
        training the objective at its last rung.
        """
        return self.value if self.final is None else self.final

    @property
    def diverged(self) -> bool:
        return self.cause == "diverged"

    @property
    def images(self) -> int:
        return self.rungs[-1].images if self.rungs else 0

    def goals(self, objective: Sequence[str]) -> list[float]:
        """Returns the trial's value for each goal, in the order of a sweep's objective: validation
        mAP, images seen, or the number of real images that it trained on.
        """
        values = {
            OBJECTIVE: 0.0 if self.diverged else self.value,
            "images": self.images,
            REAL_IMAGES: self.effective.get(REAL_IMAGES, 0),
        }
        return [float(values[goal] or 0) for goal in objective]


@dataclass(frozen=True, kw_only=True)
class TestRow:
    """The score of one recipe on the real test set.

    key          names the row among all of the test set; test.json calls it "role"
    trial        the first trial that trained the recipe
    metrics      means over the trained models
    intervals    95 %, over test images and, if there are several models, seeds; with fewer than
                 `LEAST_IMAGES` images there are no intervals, p_best and differences
    models       the trials whose models were scored: one, or confirmations and repeats, each from
                 another seed
    seeds        mAP of each model
    p_best       probability that it is the best of all rows; None if no recipe was trained more
                 than once
    differences  by control and first variant: mean difference in mAP, its 95 % interval, and the
                 probability that it is above 0
    """

    __test__ = False  # pytest takes a class with this name for a test

    key: Annotated[RowKey, Field(alias="role")]
    trial: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    models: tuple[int, ...] = ()
    seeds: tuple[float, ...] = ()
    p_best: float | None = None
    differences: dict[RowKey, Difference] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TestScores:
    """All scores from the opening of the test set.

    with_objects  how many of the images hold an object; None in a run of an earlier version
    openings      how often it was opened; an extended run opens it again, and so does a run that
                  was interrupted while it scored
    models        every metric of every model, by its trial
    visibility    how hidden the objects are, and the bins of the metrics "..._visible/..."
    confusion     (classes + 1, classes + 1) objects of the champion, by true class (rows) and
                  predicted class (columns); the last row is the background (false alarms), the
                  last column the missed objects
    simplest      the trial with the simplest recipe among those that are as good as the best,
                  within one standard error
    champion      the trial whose model is kept: of all trainings of the best recipe, the one that
                  is best on the validation set
    """

    __test__ = False

    source: str
    stand_in: bool
    hash: str
    images: int
    opened: float
    rows: tuple[TestRow, ...]
    openings: int = 1
    simplest: int | None = None
    champion: int | None = None
    models: dict[int, dict[str, float]] = field(default_factory=dict)
    visibility: Visibility | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    with_objects: int | None = None

    @property
    def is_too_small(self) -> bool:
        """True when too few images hold an object for intervals, and so for a comparison of
        recipes.
        """
        images = self.images if self.with_objects is None else self.with_objects
        return images < LEAST_IMAGES

    @property
    def has_seed_spread(self) -> bool:
        """True when a recipe was trained more than once; else intervals are over images alone."""
        return any(len(row.seeds) > 1 for row in self.rows)

    def cautious(self) -> "TestScores":
        """Returns the same scores; without intervals, differences and P(best) if the images are too
        few for them. Runs of an earlier version kept them all the same.
        """
        if not self.is_too_small:
            return self
        rows = tuple(replace(row, intervals={}, p_best=None, differences={}) for row in self.rows)
        return replace(self, rows=rows)

    def p_best(self, row: TestRow) -> float | None:
        """Returns P(best) of a row; None if no recipe was trained more than once: runs of an
        earlier version kept one all the same. None too if all recipes tie at 0.
        """
        all_tie = all(row.metrics[MAP] == 0 for row in self.rows)
        return row.p_best if self.has_seed_spread and not all_tie else None

    def row(self, key: str) -> TestRow | None:
        return next((row for row in self.rows if row.key == key), None)


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture:
    """An image with boxes: labels, or predictions together with the true boxes.

    image        (h, w, 3) uint8 RGB
    xyxy         (n, 4) boxes in pixels
    names        n class names
    scores       n confidences of predictions; None for labels
    truth        (m, 4) true boxes, if the others are predictions
    truth_names  m class names of the true boxes
    """

    image: np.ndarray
    xyxy: np.ndarray
    names: tuple[str, ...]
    scores: tuple[float, ...] | None = None
    truth: np.ndarray | None = None
    truth_names: tuple[str, ...] = ()


def kind_of(role: Role, name: str, replica: int) -> str:
    """Returns role and name in one word, as the ledger, tables, MLflow and TensorBoard have them.

    "search", "confirm", or the name of a control or variant, with the number of a repeat: "flat",
    "flat (2)".
    """
    if role == "search":
        return "search"
    if role == "confirmation":
        return "confirm"
    return f"{name} ({replica + 1})" if replica else name


def role_and_name(kind: str, replica: int) -> tuple[Role, str]:
    """Returns the role and the name of a trial of this kind: the inverse of `kind_of`."""
    if kind == "search":
        return "search", ""
    if kind == "confirm":
        return "confirmation", ""
    if kind in CONTROL_CHANGES:
        return "control", kind
    return "variant", kind.removesuffix(f" ({replica + 1})") if replica else kind


def after_event(trial: Trial | None, event: Mapping[str, Any]) -> Trial:
    """Returns a trial after one more event of the ledger; the first event of a trial is "asked".

    Settings that an earlier version did not write have their defaults. Raises DefinitionError if
    the recipe breaks a rule of this version.
    """
    kind = event["event"]
    if trial is None:
        assert kind == "asked", event
        return _new_trial(event)
    if kind == "report":
        rung = Rung(event["images"], event["metrics"])
        return replace(trial, rungs=(*trial.rungs, rung), effective=event["effective"])
    if kind == "checkpoint":
        return replace(trial, checkpoint=event["path"])
    if kind == "retry":
        return replace(trial, retries=trial.retries + 1)
    if kind == "training":  # for the hours of the run, see occupancy
        return trial
    assert kind == "ended", event
    return _ended_trial(trial, event)


def _new_trial(event: Mapping[str, Any]) -> Trial:
    facts = {name: event[name] for name in _ASKED if name in event}
    replica = event.get("replica", 0)
    # The two were one number in an earlier version.
    facts.setdefault("seed_number", replica)
    role, name = role_and_name(event["kind"], replica)
    recipe = Recipe().replace(event["recipe"])
    return Trial(
        number=event["trial"],
        role=role,
        name=name,
        recipe=recipe,
        unrecorded=frozenset(recipe.flat()) - frozenset(event["recipe"]),
        started=event["time"],
        **facts,
    )


def _ended_trial(trial: Trial, event: Mapping[str, Any]) -> Trial:
    return replace(
        trial,
        state=event["state"],
        reason=event["reason"],
        # An earlier version wrote neither cause nor values.
        cause=event.get("cause"),
        values=tuple(event.get("values") or ()),
        ended=event["time"],
    )
