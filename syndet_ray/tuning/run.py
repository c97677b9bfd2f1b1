"""Run: a sweep from its file to its report. Search, then one look at the test set, then the record of it all."""

import shlex
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syndet_ray.data.storage import download, upload
from syndet_ray.errors import DataError, MachineError
from syndet_ray.report import page
from syndet_ray.report.tables import MAIN_METRICS
from syndet_ray.results import OBJECTIVE, RunFolder, TestScores, Trial
from syndet_ray.sweep import Sweep
from syndet_ray.tuning import confirm, preflight, tune
from syndet_ray.tuning.cluster import Resources, connection, resources
from syndet_ray.tuning.preflight import RealData
from syndet_ray.tuning.search import Display, Search
from syndet_ray.tuning.tracking import Tracking, champion_name, check_server, local_store

# Where, beside the checkpoints, the copy of a run's own files lies, and how often it is renewed.
_MIRROR, _MIRROR_EVERY_S = "run", 30


@dataclass(frozen=True)
class Options:
    """How a run is carried out; what it asks stands in the sweep.

    runs      folder that holds the runs, the cache and, by default, MLflow's store
    real      folder of real photos; None takes the stand-in set
    parallel  trials at once; None takes as many as cores or GPUs allow
    address   a running Ray cluster; None makes one on this machine
    storage   s3:// address for checkpoints and a copy of the run; None keeps all under runs
    tracking  MLflow server; None takes sqlite under runs
    """

    runs: Path
    real: Path | None = None
    parallel: int | None = None
    gpus_per_trial: float | None = None
    address: str | None = None
    storage: str | None = None
    tracking: str | None = None

    @property
    def cache(self) -> Path:
        return self.runs.resolve() / "cache"


@dataclass(frozen=True)
class Outcome:
    """How a run ended. status: "finished", "interrupted" (resume goes on) or "failed" (no trial finished)."""

    folder: RunFolder
    status: str


def check(sweep: Sweep, options: Options, display: Display) -> RealData:
    """Validates a sweep's data, this machine, its store and its tracking server, and starts nothing."""
    preflight.check_machine(options.runs, options.storage)
    if options.tracking is not None:
        check_server(options.tracking)
    return preflight.real_data(options.real, sweep, display.progress)


def start(name: str, sweep: Sweep, options: Options, display: Display) -> Outcome:
    """Runs a sweep in a new folder."""
    data = check(sweep, options, display)
    with connection(options.address):
        use = resources(options.parallel, options.gpus_per_trial)
        sweep = _resolved(sweep, use)
        path = options.runs / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder = RunFolder.create(path, sweep, _about(name, sweep, options, data) | {"parallel": use.parallel})
        return _carry_out(folder, options, data, use, display)


def resume(folder: RunFolder, changes: Mapping[str, Any], display: Display) -> Outcome:
    """Goes on with an interrupted run from its ledger. `changes` are operational options to use instead of the old ones.

    Raises DataError where the data is no longer what the run began with.
    """
    options = _options(folder.about["options"] | changes)
    data = check(folder.sweep, options, display)
    if data.describe()["hashes"] != folder.about["real"]["hashes"]:
        raise DataError(
            options.real or "stand-in set", "is not the data that this run began with", do="Start a new sweep."
        )
    with connection(options.address):
        use = resources(options.parallel, options.gpus_per_trial)
        return _carry_out(folder, options, data, use, display)


def _carry_out(folder: RunFolder, options: Options, data: RealData, use: Resources, display: Display) -> Outcome:
    about = folder.about
    uri = options.tracking or local_store(options.runs)
    artifacts = None if options.tracking else options.runs / "artifacts"
    tracking = Tracking(uri, artifacts, about["name"], folder.sweep, about.get("mlflow_run"))
    folder.describe(about | {"mlflow_run": tracking.parent, "mlflow_uri": uri})
    status = "failed"
    with _mirrored(folder, options):
        try:
            status = _search(folder, options, data, use, tracking, display)
            if status == "finished":
                status = _conclude(folder, options, data, use, tracking, display)
        except KeyboardInterrupt:
            status = "interrupted"
        finally:
            folder.describe(folder.about | {"finished": time.time(), "status": status})
            if status != "interrupted":
                _publish(folder, tracking, display)
            tracking.end({"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}[status])
            display.end()
    return Outcome(folder, status)


def _search(
    folder: RunFolder, options: Options, data: RealData, use: Resources, tracking: Tracking, display: Display
) -> str:
    """Runs all trials that remain; "finished" or "interrupted"."""
    sweep = folder.sweep
    search = Search(folder, sweep, tracking, display)
    settings = tune.TrialSettings(sweep.rungs, sweep.seed, str(options.cache))
    display.begin(len(sweep.fixed) + sweep.trials, sweep.recipe.training.images)
    try:
        done = search.remaining == 0 or tune.run_search(search, settings, data.pools, _home(folder, options), use)
    except BaseException:
        search.interrupt()
        raise
    if not done:
        search.interrupt()
    return "finished" if done else "interrupted"


def _conclude(
    folder: RunFolder, options: Options, data: RealData, use: Resources, tracking: Tracking, display: Display
) -> str:
    """Opens the test set for the best trial and the controls, and keeps the champion; "failed" where no trial finished."""
    finalists = confirm.finalists(folder.trials())
    if not finalists:
        return "failed"
    if folder.test() is None:
        display.note("search over; scoring the best recipe and the controls on the real test set, once")
        confirm.open_test_set(folder, finalists, data.pools["test"], use)
    confirm.show_training(folder, finalists["best"], data.pools["train"], options.cache)
    test = folder.test()
    assert test is not None
    tracking.result(
        _parent_metrics(finalists["best"], test),
        {"test_set": _test_name(test), "best_trial": str(finalists["best"].number)},
    )
    best = test.row("best")
    assert best is not None
    tracking.register_champion(champion_name(folder.about["name"]), folder.champion, finalists["best"], best.metrics)
    return "finished"


def _publish(folder: RunFolder, tracking: Tracking, display: Display) -> None:
    """Writes the report and hands it to MLflow."""
    display.note("writing the report")
    page.write(folder)
    for path in (folder.report, folder.figures, folder.path / "sweep.json", folder.path / "run.json"):
        if path.exists():
            tracking.artifact(path)


def _parent_metrics(best: Trial, test: TestScores) -> dict[str, float]:
    """The figures of the whole sweep: best/val/mAP, then test/mAP of the best and of every control beside it."""
    found = {f"best/{OBJECTIVE}": best.value or 0.0}
    for row in test.rows:
        for name in MAIN_METRICS:
            found[f"test/{name}" if row.role == "best" else f"test/{name}/{row.role}"] = row.metrics[name]
    return found


def _test_name(test: TestScores) -> str:
    return f"{'stand-in' if test.stand_in else 'real photos'}: {test.images} images, {test.hash[:12]}"


def _resolved(sweep: Sweep, use: Resources) -> Sweep:
    """The sweep with "auto" settled by what its trials will run on."""
    if sweep.recipe.detector.name != "auto":
        return sweep
    name = "fasterrcnn_resnet50_fpn_v2" if use.gpus else "fasterrcnn_tiny"
    return sweep.model_copy(update={"recipe": sweep.recipe.replace({"detector.name": name})})


def _about(name: str, sweep: Sweep, options: Options, data: RealData) -> dict[str, Any]:
    return {
        "name": name,
        "command": shlex.join(["syndet_ray", *sys.argv[1:]]),
        "started": time.time(),
        "seed": sweep.seed,
        "options": {
            key: str(value.resolve()) if isinstance(value, Path) else value for key, value in vars(options).items()
        },
        "real": data.describe(),
        "stand_in": data.stand_in,
        "classes": data.pools["train"].classes,
        "versions": preflight.versions(),
        "machine": preflight.machine(),
    }


def _options(saved: Mapping[str, Any]) -> Options:
    paths = {key: Path(saved[key]) for key in ("runs", "real") if saved[key] is not None}
    return Options(**{**saved, **paths})


def fetch(address: str, runs: Path) -> RunFolder:
    """The run that was kept at an s3:// address, in a folder of its name under `runs`."""
    path = runs / address.rstrip("/").rsplit("/", 1)[-1]
    download(f"{address.rstrip('/')}/{_MIRROR}", path)
    return RunFolder.open(path)


@contextmanager
def _mirrored(folder: RunFolder, options: Options) -> Iterator[None]:
    """Keeps a copy of the run's own files beside its checkpoints on S3, so that the run outlives the head node."""
    if options.storage is None:
        yield
        return
    address, over = f"{_home(folder, options)}/{_MIRROR}", threading.Event()

    def keep() -> None:
        while not over.wait(_MIRROR_EVERY_S):
            with suppress(MachineError):  # the next copy holds all that this one missed; the last one must succeed
                upload(folder.path, address, skip=folder.checkpoints)

    keeper = threading.Thread(target=keep, name="mirror", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        upload(folder.path, address, skip=folder.checkpoints)


def _home(folder: RunFolder, options: Options) -> str:
    """The folder or s3:// address under which the run's checkpoints lie."""
    return f"{options.storage.rstrip('/')}/{folder.path.name}" if options.storage else str(folder.path.resolve())
