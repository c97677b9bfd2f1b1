"""Run folders: the one on-disk contract of a run. Whatever is written or read of a run passes through here.

runs/<sweep>-<time>/
    sweep.json      the resolved sweep
    run.json        how the run was made: seed, data hashes, versions, machine, MLflow ids
    ledger.jsonl    one event a line, appended as things happen; everything else can be made from it
    test.json       scores on the real test set, written once
    samples/        pictures for the report: training images and predictions, PNG with boxes as JSON
    champion/       the best model: model.safetensors, model.json
    figures/        PNG, and the numbers behind each as CSV
    report.html
    checkpoints/    Ray Tune's own folder: the checkpoints of every trial
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from syndet_ray.errors import DataError
from syndet_ray.sweep import Sweep

OBJECTIVE = "val/mAP"
STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAILED")


@dataclass(frozen=True)
class Rung:
    """What a trial reported after `images` training images."""

    images: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Trial:
    """One trial, as the ledger tells it.

    kind        "search" or the name of a control ("real_only", "synthetic_only") or of a variant
    params      what the search space varied; for a control, nothing
    recipe      every setting by dotted path, as proposed
    state       one of STATES
    reason      why it ended, in words; "" while it runs
    effective   every setting by dotted path, as the trainer found it in force, and facts beside them
    checkpoint  where the newest checkpoint lies: a path or s3:// address
    retries     how often it lost its worker and went on from its checkpoint
    started, ended  seconds since 1970
    """

    number: int
    kind: str
    params: dict[str, Any]
    recipe: dict[str, Any]
    state: str = "RUNNING"
    reason: str = ""
    rungs: tuple[Rung, ...] = ()
    effective: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    retries: int = 0
    started: float = 0.0
    ended: float | None = None

    @property
    def value(self) -> float | None:
        """The objective at the last rung; None before the first."""
        return self.rungs[-1].metrics[OBJECTIVE] if self.rungs else None

    @property
    def images(self) -> int:
        return self.rungs[-1].images if self.rungs else 0


@dataclass(frozen=True)
class TestRow:
    """The score of one model on the real test set. role: "best" or the name of a control or variant."""

    __test__ = False  # not a test of ours, whatever pytest thinks of the name

    role: str
    trial: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class TestScores:
    """Everything that opening the test set gave: written once per run."""

    __test__ = False

    source: str
    stand_in: bool
    hash: str
    images: int
    opened: float
    rows: tuple[TestRow, ...]

    def row(self, role: str) -> TestRow | None:
        return next((row for row in self.rows if row.role == role), None)


@dataclass(frozen=True, eq=False)
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


class RunFolder:
    """Reads and writes one run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.figures, self.samples = self.path / "figures", self.path / "samples"
        self.champion, self.checkpoints = self.path / "champion", self.path / "checkpoints"
        self.report = self.path / "report.html"
        self._ledger = self.path / "ledger.jsonl"

    @staticmethod
    def create(path: Path, sweep: Sweep, about: Mapping[str, Any]) -> "RunFolder":
        """A new run. Raises FileExistsError where there is one already."""
        path.mkdir(parents=True)
        folder = RunFolder(path)
        write_whole(path / "sweep.json", sweep.model_dump_json(indent=1).encode())
        folder.describe(about)
        return folder

    @staticmethod
    def open(path: Path) -> "RunFolder":
        """An existing run. Raises DataError where the folder is not one of ours."""
        if not (path / "sweep.json").is_file():
            raise DataError(path, "is not the folder of a run (it has no sweep.json)", do="Runs lie under runs/.")
        return RunFolder(path)

    @property
    def sweep(self) -> Sweep:
        return Sweep.model_validate_json((self.path / "sweep.json").read_text())

    @property
    def about(self) -> dict[str, Any]:
        return json.loads((self.path / "run.json").read_text())

    def describe(self, about: Mapping[str, Any]) -> None:
        """Writes run.json anew."""
        write_whole(self.path / "run.json", json.dumps(about, indent=1).encode())

    def append(self, event: str, trial: int, **facts: Any) -> dict[str, Any]:
        """One more line of the ledger: asked, report, checkpoint, retry or ended. Returns the event as it will be read."""
        line = json.dumps({"event": event, "trial": trial, "time": time.time(), **facts})
        with self._ledger.open("a") as ledger:
            ledger.write(line + "\n")
        return json.loads(line)

    def mend(self) -> None:
        """Cuts a last line that a kill left unfinished, so that the next event starts on a line of its own."""
        if self._ledger.exists():
            text = self._ledger.read_bytes()
            os.truncate(self._ledger, text.rfind(b"\n") + 1)

    def events(self) -> Iterator[dict[str, Any]]:
        """The events so far; a last line without its end was never finished and does not count."""
        if self._ledger.exists():
            for line in self._ledger.read_text().split("\n")[:-1]:
                yield json.loads(line)

    def trials(self) -> tuple[Trial, ...]:
        """Every trial of the ledger, by number."""
        trials: dict[int, Trial] = {}
        for event in self.events():
            number = event["trial"]
            trials[number] = after_event(trials.get(number), event)
        return tuple(trials[number] for number in sorted(trials))

    def write_test(self, scores: TestScores) -> None:
        assert not (self.path / "test.json").exists(), "the test set is opened once"
        write_whole(self.path / "test.json", json.dumps(asdict(scores), indent=1).encode())

    def test(self) -> TestScores | None:
        """The scores on the real test set; None before it was opened."""
        path = self.path / "test.json"
        if not path.exists():
            return None
        found = json.loads(path.read_text())
        rows = tuple(
            TestRow(**{**row, "intervals": {k: (v[0], v[1]) for k, v in row["intervals"].items()}})
            for row in found["rows"]
        )
        return TestScores(**{**found, "rows": rows})

    def write_pictures(self, name: str, pictures: Sequence[Picture]) -> None:
        """samples/<name>-<k>.png and samples/<name>.json."""
        self.samples.mkdir(exist_ok=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture.image).save(self.samples / f"{name}-{k}.png")
        write_whole(self.samples / f"{name}.json", json.dumps([_boxes_of(picture) for picture in pictures]).encode())

    def pictures(self, name: str) -> list[Picture]:
        """The pictures written under `name`; none where there are none."""
        path = self.samples / f"{name}.json"
        return (
            [_picture(self.samples / f"{name}-{k}.png", boxes) for k, boxes in enumerate(json.loads(path.read_text()))]
            if path.exists()
            else []
        )


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the highest objective; controls compete too: the answer may be "use real data only"."""
    finished = [trial for trial in trials if trial.state == "COMPLETE" and trial.value is not None]
    return max(finished, key=lambda trial: (trial.value, -trial.number), default=None)


def after_event(trial: Trial | None, event: Mapping[str, Any]) -> Trial:
    """A trial after one more event of the ledger; its first is "asked"."""
    kind = event["event"]
    if trial is None:
        assert kind == "asked", event
        return Trial(event["trial"], event["kind"], event["params"], event["recipe"], started=event["time"])
    if kind == "report":
        rung = Rung(event["images"], event["metrics"])
        return replace(trial, rungs=(*trial.rungs, rung), effective=event["effective"])
    if kind == "checkpoint":
        return replace(trial, checkpoint=event["path"])
    if kind == "retry":
        return replace(trial, retries=trial.retries + 1)
    assert kind == "ended", event
    return replace(trial, state=event["state"], reason=event["reason"], ended=event["time"])


def _boxes_of(picture: Picture) -> dict[str, Any]:
    return {
        "xyxy": np.round(picture.xyxy, 2).tolist(),
        "names": picture.names,
        "scores": picture.scores,
        "truth": None if picture.truth is None else np.round(picture.truth, 2).tolist(),
        "truth_names": picture.truth_names,
    }


def _picture(path: Path, boxes: Mapping[str, Any]) -> Picture:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    truth = None if boxes["truth"] is None else np.array(boxes["truth"], np.float32).reshape(-1, 4)
    scores = None if boxes["scores"] is None else tuple(boxes["scores"])
    return Picture(
        pixels,
        np.array(boxes["xyxy"], np.float32).reshape(-1, 4),
        tuple(boxes["names"]),
        scores,
        truth,
        tuple(boxes["truth_names"]),
    )


def write_whole(path: Path, content: bytes) -> Path:
    """Readers see the old file or the new one, never half of one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
    return path
