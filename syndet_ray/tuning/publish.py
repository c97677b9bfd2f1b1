"""Publish: hands a run to MLflow: its best recipe and its files, or all of a run brought here."""

from contextlib import closing

from syndet_ray.analysis.selection import Candidate
from syndet_ray.errors import MachineError
from syndet_ray.locks import hold_lock
from syndet_ray.metrics import MAP
from syndet_ray.report.answer import answer
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import BEST
from syndet_ray.search.search import Display
from syndet_ray.tracking.address import mask
from syndet_ray.tracking.mlflow import Tracking
from syndet_ray.tracking.registry import champion_name
from syndet_ray.tracking.store import local_store, open_store
from syndet_ray.tuning import scoring
from syndet_ray.tuning.options import Options, Status
from syndet_ray.tuning.summary import summary_metrics, summary_tags

MLFLOW_STATUS: dict[Status, str] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "spent": "KILLED",
}


def open_tracking(folder: RunFolder, options: Options, display: Display) -> Tracking:
    """Begins the run in MLflow, and records its address and id in the folder."""
    about, server = folder.about, options.tracking
    with display.step("opening MLflow's store"):
        uri = local_store(options.runs) if server is None else open_store(server)
    artifacts = None if server else options.runs / "artifacts"
    verb = "continuing" if about.get("mlflow_run") else "beginning"
    with display.step(f"{verb} the run in MLflow"):
        tracking = Tracking(
            uri,
            artifacts,
            about["name"],
            folder.sweep,
            parent=about.get("mlflow_run"),
            begun=(folder.path.name, about["started"]),
            note=display.note,
            may_begin_later=True,
        )
    folder.describe(about | {"mlflow_uri": mask(uri)})
    record_parent(folder, tracking)
    return tracking


def record_parent(folder: RunFolder, tracking: Tracking) -> None:
    """Records the id of the run in MLflow, once there is one."""
    about = folder.about
    if tracking.parent and about.get("mlflow_run") != tracking.parent:
        folder.describe(about | {"mlflow_run": tracking.parent})


def publish_best(folder: RunFolder, best: Candidate, tracking: Tracking) -> None:
    """Sends the test scores of the best recipe, and its model, to MLflow."""
    test = folder.test()
    assert test is not None
    tracking.result(summary_metrics(best, test), summary_tags(best, test, folder.about))
    champion = next((trial for trial in folder.trials() if trial.number == test.champion), None)
    if champion is None:  # a run of an earlier version
        return
    row = test.row("best")
    assert row is not None
    champion_map = row.seeds[row.models.index(champion.number)]
    scores = {MAP: champion_map, "mAP of its recipe": row.metrics[MAP]}
    name = champion_name(folder.about["name"])
    tracking.register_champion(name, folder.champion, champion, scores)


def publish_files(folder: RunFolder, tracking: Tracking, *, is_reported: bool) -> None:
    """Sends the report, its figures and the records of the run to MLflow."""
    paths = [folder.report, folder.figures] if is_reported else []
    paths += [folder.path / name for name in ("sweep.json", "run.json", "test.json")]
    for path in paths:
        if path.exists():
            tracking.artifact(path)


def publish_copy(folder: RunFolder, display: Display) -> None:
    """Writes a run that another machine has carried out into the store of MLflow beside it.

    A run that is in the store gets only what is new. Nothing is written for a run with a tracking
    server of its own, which has it, or without a trial. Raises MachineError if something of it
    cannot be written.
    """
    if folder.about["options"]["tracking"] is not None or not folder.trials():
        return
    # Two terminals may have followed the run, and bring it here at the same moment. This is not the
    # run's own lock, which says that the run is carried out.
    lock = folder.path.with_name(f".{folder.path.name}.lock")
    options = Options(runs=folder.path.parent)
    with hold_lock(lock), closing(open_tracking(folder, options, display)) as tracking:
        status: Status = folder.about.get("status", "interrupted")
        _publish_trials(folder, tracking)
        recipes = scoring.scored_recipes(folder.trials())
        if recipes and scoring.is_scored(recipes, folder.test()):
            publish_best(folder, recipes[BEST], tracking)
        if status in ("finished", "failed"):
            publish_files(folder, tracking, is_reported=folder.report.exists())
            tracking.describe(f"{folder.sweep.question}\n\n{answer(folder.read())}")
        with display.step("handing the run to MLflow"):
            times = [event["time"] for event in folder.ledger.events()]
            missing = tracking.end(MLFLOW_STATUS[status], ended=max(times))
    if missing:
        do = f"{folder.path} has all of it: try again with `ui`."
        raise MachineError(tracking.place, f"lacks {missing}", do=do)
    folder.describe(folder.about | {"is_published": True})


def _publish_trials(folder: RunFolder, tracking: Tracking) -> None:
    for trial in folder.trials():
        if trial.state == "RUNNING":
            tracking.interrupt(trial)
        else:
            tracking.update(trial)
