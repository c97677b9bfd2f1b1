"""Results: what a run finds, as plain records: trials, scores on the test set, and pictures to look
at.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from syndet_ray.data.visibility import Visibility
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.runs.metrics import OBJECTIVE, REAL_IMAGES
from syndet_ray.spread import LEAST_IMAGES, Difference

# Facts of an "asked" event that are those of a trial; an earlier version wrote fewer.
_ASKED = ("params", "of", "replica", "seed_number", "impossible")
# Why there is a trial, see docs/glossary.md.
Role = Literal["search", "control", "variant", "confirmation"]
State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAILED"]
# Why a trial is FAILED: its training diverged, its workers were lost time and again, or something
# would go wrong again.
Cause = Literal["diverged", "lost", "mistake"]


@dataclass(frozen=True)
class Rung:
    """What a trial reported after `images` training images."""

    images: int
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial, as the ledger tells it.

    role        why there is this trial
    name        of a control or variant, which all its repeats share; "" for any other trial
    params      what the search space varied; for a control, nothing
    recipe      as proposed
    reason      why it ended, in words; "" while it runs
    effective   every setting by dotted path, as the trainer found it in force, and facts beside
                them
    checkpoint  where the newest checkpoint lies: a path or s3:// address
    retries     how often it failed or lost its worker, and went on from its checkpoint
    of          the trial whose recipe a confirmation trains anew
    replica     which training of its recipe it is, from 0
    seed_number which of the sweep's seeds it starts from: trainings with equal numbers meet the
    same chance
    impossible  why no recipe could be made of params, in words; "" nearly always
    cause       what made it fail; None where nothing did
    values      what the study was told of it when it ended, for each goal; () before, and in a
                ledger that does not tell
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

    @property
    def kind(self) -> str:
        """Its role and name in one word, see `kind_of`."""
        return kind_of(self.role, self.name, self.replica)

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the recipe by dotted path, as the ledger keeps it: of a pair, a list."""
        return json.loads(json.dumps(self.recipe.flat()))

    @property
    def value(self) -> float | None:
        """The objective at the last rung; None before the first."""
        return self.rungs[-1].metrics[OBJECTIVE] if self.rungs else None

    @property
    def final(self) -> float | None:
        """The objective that counts: at the last rung of a whole training, 0 where it diverged;
        else None.
        """
        if self.diverged:
            return 0.0
        return self.value if self.state == "COMPLETE" else None

    @property
    def score(self) -> float | None:
        """What it counts as beside all other trials: `final`, or the objective at the last rung of
        one that is not whole.
        """
        return self.value if self.final is None else self.final

    @property
    def diverged(self) -> bool:
        return self.cause == "diverged"

    @property
    def images(self) -> int:
        return self.rungs[-1].images if self.rungs else 0

    def goals(self, objective: Sequence[str]) -> list[float]:
        """What the trial reached, in the order of a sweep's objective; of real images, how many it
        trained on.
        """
        score = 0.0 if self.diverged else self.value
        known = {
            OBJECTIVE: score,
            "images": self.images,
            REAL_IMAGES: self.effective.get(REAL_IMAGES, 0),
        }
        return [float(known[goal] or 0) for goal in objective]


@dataclass(frozen=True, kw_only=True)
class TestRow:
    """The score of one recipe on the real test set.

    role         "best", "finalist <trial>", or the name of a control or variant
    trial        whose recipe it is: the first that trained it
    metrics      means over the trained models
    intervals    95 %, over test images and, where there are several models, seeds; none of fewer
                 than `LEAST_IMAGES` images, nor p_best and differences
    models       the trials whose models were scored: one, or confirmations and repeats, each from
                 another seed
    seeds        mAP of each model
    p_best       probability that it is the best of all rows; None where no recipe was trained more
                 than once
    differences  by control and first variant: mean difference in mAP, its 95 % interval, and the
                 probability that it is above 0
    """

    __test__ = False  # not a test of ours, whatever pytest thinks of the name

    role: str
    trial: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    models: tuple[int, ...] = ()
    seeds: tuple[float, ...] = ()
    p_best: float | None = None
    differences: dict[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TestScores:
    """Everything that opening the test set gave.

    with_objects  how many of the images hold an object; None of an earlier run
    openings  how often it was; a run that is extended opens it again, and one that was cut short
              while it looked
    models    every metric of every model, by its trial
    visibility  how hidden the objects are, and the bins that metrics named "..._visible/..." are
                about
    confusion (classes + 1, classes + 1) objects by true class (rows) and predicted one (columns),
    of the champion; last are
              the background (its row: false alarms) and what was missed (its column)
    simplest  the trial whose recipe is the simplest that is as good as the best, to within one
              standard error
    champion  the trial whose model is kept: of the trainings of the best recipe the best on the
              validation set
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
        """Whether the images that hold an object are too few to say how sure a score is, and so to
        tell recipes apart.
        """
        telling = self.images if self.with_objects is None else self.with_objects
        return telling < LEAST_IMAGES

    @property
    def has_seed_spread(self) -> bool:
        """Whether a recipe was trained more than once. Else intervals tell of other images alone."""
        return any(len(row.seeds) > 1 for row in self.rows)

    def cautious(self) -> "TestScores":
        """The same without intervals, differences and P(best) where the images are too few for
        them.

        Runs of an earlier version have kept them all the same.
        """
        if not self.is_too_small:
            return self
        rows = tuple(replace(row, intervals={}, p_best=None, differences={}) for row in self.rows)
        return replace(self, rows=rows)

    def p_best(self, row: TestRow) -> float | None:
        """Of a row; None where no recipe was trained more than once: runs of an earlier version
        have kept one all the same.
        """
        return row.p_best if self.has_seed_spread else None

    def row(self, role: str) -> TestRow | None:
        return next((row for row in self.rows if row.role == role), None)


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture:
    """An image to look at. image (h, w, 3) uint8 RGB; xyxy (n, 4) pixels; names n class names.

    scores  n confidences where the boxes are predictions, else None
    truth   (m, 4) the true boxes and truth_names their m classes, where the boxes are predictions
    """

    image: np.ndarray
    xyxy: np.ndarray
    names: tuple[str, ...]
    scores: tuple[float, ...] | None = None
    truth: np.ndarray | None = None
    truth_names: tuple[str, ...] = ()


def kind_of(role: Role, name: str, replica: int) -> str:
    """Role and name in one word, as the ledger, tables, MLflow and TensorBoard have them.

    "search", "confirm", or the name of a control or variant, with the number of a repeat: "flat",
    "flat (2)".
    """
    if role == "search":
        return "search"
    if role == "confirmation":
        return "confirm"
    return f"{name} ({replica + 1})" if replica else name


def role_and_name(kind: str, replica: int) -> tuple[Role, str]:
    """The role and the name of a trial of this kind: the inverse of `kind_of`."""
    if kind == "search":
        return "search", ""
    if kind == "confirm":
        return "confirmation", ""
    if kind in CONTROL_CHANGES:
        return "control", kind
    return "variant", kind.removesuffix(f" ({replica + 1})") if replica else kind


def after_event(trial: Trial | None, event: Mapping[str, Any]) -> Trial:
    """A trial after one more event of the ledger; its first is "asked".

    Settings that an earlier version did not write take their defaults. Raises DefinitionError where
    the recipe breaks a rule of this version.
    """
    kind = event["event"]
    if trial is None:
        assert kind == "asked", event
        facts = {name: event[name] for name in _ASKED if name in event}
        # the same, in a ledger of an earlier version
        facts.setdefault("seed_number", event.get("replica", 0))
        role, name = role_and_name(event["kind"], event.get("replica", 0))
        return Trial(
            number=event["trial"],
            role=role,
            name=name,
            recipe=Recipe().replace(event["recipe"]),
            started=event["time"],
            **facts,
        )
    if kind == "report":
        rung = Rung(event["images"], event["metrics"])
        return replace(trial, rungs=(*trial.rungs, rung), effective=event["effective"])
    if kind == "checkpoint":
        return replace(trial, checkpoint=event["path"])
    if kind == "retry":
        return replace(trial, retries=trial.retries + 1)
    assert kind == "ended", event
    cause = event.get("cause")  # a ledger of an earlier version does not tell
    values = tuple(event.get("values") or ())
    return replace(
        trial,
        state=event["state"],
        reason=event["reason"],
        cause=cause,
        ended=event["time"],
        values=values,
    )
