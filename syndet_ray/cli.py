"""The command line: a few verbs. The only place that prints, reads arguments or exits."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from syndet_ray.errors import DefinitionError, SyndetError

if TYPE_CHECKING:
    from syndet_ray.results import RunFolder
    from syndet_ray.sweep import Sweep
    from syndet_ray.tuning.run import Outcome

app = typer.Typer(
    help="Find the training recipe that makes an object detector work on real photographs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

data_app = typer.Typer(help="Work on datasets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

Name = Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep, or the path of its file.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, under runs/.")]
RunAddress = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its s3:// address.")]
Real = Annotated[Path | None, typer.Option(help="Folder of real, labelled photos. Without it, a stand-in set.")]
Runs = Annotated[Path, typer.Option(help="Folder for runs, rendered scenes and MLflow's store.")]
Parallel = Annotated[int | None, typer.Option(min=1, help="Trials at once. Default: one a core, or one a GPU.")]
Trials = Annotated[int | None, typer.Option(min=1, help="Proposed recipes, instead of the sweep's own number.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Instead of the sweep's own seed.")]
Gpus = Annotated[float | None, typer.Option(min=0, help="GPUs a trial. Default: one where the cluster has any.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to join, such as auto. Default: this machine alone.")]
Storage = Annotated[str | None, typer.Option(help="s3://bucket/prefix for checkpoints and a copy of the run.")]
TrackingUri = Annotated[str | None, typer.Option("--tracking", help="MLflow server. Default: sqlite under --runs.")]
Hours = Annotated[float | None, typer.Option(min=0, help="Wall clock that the run may take in all.")]
Images = Annotated[int | None, typer.Option(min=1, help="Images that all trials together may see.")]
Force = Annotated[bool, typer.Option("--force", help="Even where it cannot fit the budget, or something has changed.")]
Local = Annotated[bool, typer.Option("--local", help="In this process, one trial at a time, without Ray.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Write event files too, in the run's folder.")]
Points = Annotated[Path | None, typer.Option(metavar="RUN", help="Propose the best recipes of this run first.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="New folder, or an empty one.")]
Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of labelled photos.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Like scene.blur=0.2; may be given many times.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Scenes rendered at once. Default: one a core.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Run, champion, checkpoint, or models:/NAME@champion.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")]

_INTERRUPTED, _FAILED, _SPENT = 130, 1, 3


@app.command()
def sweep(
    name: Name,
    real: Real = None,
    trials: Trials = None,
    hours: Hours = None,
    images: Images = None,
    seed: Seed = None,
    points: Points = None,
    parallel: Parallel = None,
    gpus_per_trial: Gpus = None,
    address: Address = None,
    storage: Storage = None,
    tracking: TrackingUri = None,
    local: Local = False,
    tensorboard: Board = False,
    force: Force = False,
    runs: Runs = Path("runs"),
) -> None:
    """Run a sweep: search, confirm the best, score them on the real test set once, write the report."""
    from syndet_ray import terminal
    from syndet_ray.sweep import find
    from syndet_ray.tuning import run as running

    given: dict[str, Any] = {"trials": trials, "seed": seed}
    definition = _definition(name, trials, seed)
    console = terminal.console()
    console.print(definition.question, style="bold")
    if points is not None:
        definition = _with_points(definition, points)
        given["points"] = definition.points
    options = running.Options(
        runs, real, parallel, gpus_per_trial, address, storage, tracking, hours, images, local, tensorboard
    )
    origin = running.Origin(Path(name).stem, find(name), _said(given))
    with _shown(console) as display:
        outcome = running.start(origin, definition, options, display, force=force)
    _finish(outcome, console)


@app.command()
def resume(
    run: RunAddress,
    real: Real = None,
    trials: Trials = None,
    hours: Hours = None,
    images: Images = None,
    parallel: Parallel = None,
    address: Address = None,
    tracking: TrackingUri = None,
    gpus_per_trial: Gpus = None,
    tensorboard: Board = False,
    force: Force = False,
    runs: Runs = Path("runs"),
) -> None:
    """Go on with a run that was interrupted, from its last checkpoints, or extend a finished one."""
    from syndet_ray import terminal
    from syndet_ray.tuning import run as running

    folder = running.fetch(run, runs) if "://" in run else _run_folder(Path(run))
    console = terminal.console()
    console.print(folder.sweep.question, style="bold")
    given: dict[str, Any] = {
        "trials": trials,
        "hours": hours,
        "images": images,
        "parallel": parallel,
        "address": address,
    }
    given |= {"real": real, "tracking": tracking, "gpus_per_trial": gpus_per_trial, "tensorboard": tensorboard or None}
    with _shown(console) as display:
        outcome = running.resume(folder, _said(given), display, force=force)
    _finish(outcome, console)


@app.command()
def check(
    name: Name,
    real: Real = None,
    trials: Trials = None,
    hours: Hours = None,
    images: Images = None,
    seed: Seed = None,
    parallel: Parallel = None,
    gpus_per_trial: Gpus = None,
    address: Address = None,
    storage: Storage = None,
    tracking: TrackingUri = None,
    local: Local = False,
    force: Force = False,
    runs: Runs = Path("runs"),
) -> None:
    """Validate a sweep, its data and this machine, project what it costs, and start nothing."""
    from syndet_ray import listing, terminal
    from syndet_ray.tuning import cost as costs
    from syndet_ray.tuning import run as running

    definition = _definition(name, trials=trials, seed=seed)
    options = running.Options(runs, real, parallel, gpus_per_trial, address, storage, tracking, hours, images, local)
    console = terminal.console()
    with _shown(console) as display:
        data = running.check(definition, options, display)
        cost = running.project(definition, options, data, display)
    for line in [*listing.sweep_lines(name, definition), *listing.data_lines(data), *listing.cost_lines(cost)]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"machine  {os.cpu_count()} cores, {_gpus()} GPUs", highlight=False)
    if not force:
        costs.check_fits(cost, options.budget)
    console.print("ready", style="bold green")


@app.command()
def replay(
    run: RunPath,
    pruner: Annotated[str | None, typer.Option(help="One of Optuna's, as sweeps name it. Default: all.")] = None,
    orders: Annotated[int, typer.Option(min=1, help="Orders in which the trials might have started.")] = 200,
    parallel: Annotated[int, typer.Option(min=1, help="Trials at once.")] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Replay a run's learning curves through pruners: what each saves, and how often it kills the winner."""
    from syndet_ray import listing, terminal
    from syndet_ray.tuning import replay as replays

    folder = _run_folder(run)
    trials = folder.trials()
    curves = replays.full_curves(trials, str(run))
    console = terminal.console()
    found = []
    with _shown(console) as display:
        own = {} if pruner else {f"this run's, {folder.sweep.pruning.name}": folder.sweep.pruning}
        chosen = own | replays.chosen(pruner)
        for done, (name, pruning) in enumerate(chosen.items()):
            display.progress("replaying", done, len(chosen))
            found.append((name, replays.replay(trials, pruning, orders=orders, parallel=parallel, seed=seed)))
        display.progress("replaying", len(chosen), len(chosen))
    console.print(listing.replay_table(found, len(curves), replays.truncated(trials)))


@app.command()
def report(run: RunPath) -> None:
    """Build the report of a run anew."""
    from syndet_ray.report import page

    print(page.write(_run_folder(run)))


@app.command()
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of labelled photos.")],
    split: Annotated[str | None, typer.Option(help="Default: test, or the only one there is.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for scores, predictions and pictures.")] = None,
    tracking: TrackingUri = None,
    runs: Runs = Path("runs"),
) -> None:
    """Score a saved model on labelled photos: accuracy, how sure it is, and where it goes wrong."""
    from syndet_ray import scorecard, terminal
    from syndet_ray.tuning import judge as judging
    from syndet_ray.tuning.apply import check_out

    if out is not None:
        check_out(out)
    console = terminal.console()
    with _shown(console) as display:
        judged = judging.judge(model, data, split, runs=runs, tracking=tracking, progress=display.progress)
    for table in (scorecard.scores_table(judged), scorecard.visibility_table(judged), scorecard.errors_table(judged)):
        console.print(table)
    for line in scorecard.judged_lines(judged):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if out is not None:
        print(judging.write(judged, out))


@app.command()
def predict(
    model: Model,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files, and folders of them.")],
    out: Annotated[Path, typer.Option(help="A number is added where it is in use.")] = Path("predictions"),
    score: Annotated[float, typer.Option(help="Least confidence in pictures and KITTI files, 0 to 1.")] = 0.5,
    tracking: TrackingUri = None,
    runs: Runs = Path("runs"),
) -> None:
    """Find objects in images with a saved model: annotated pictures, JSON and KITTI files."""
    from functools import partial

    from syndet_ray import scorecard, terminal
    from syndet_ray.tuning.apply import apply

    console = terminal.console()
    with _shown(console) as display:
        progress = partial(display.progress, "predicting")
        applied = apply(model, images, out, least=score, runs=runs, tracking=tracking, progress=progress)
    for line in scorecard.applied_lines(applied):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if applied.skipped:
        raise SystemExit(_FAILED)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of runs that met one test set.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with figures, such as compare.html.")
    ] = None,
) -> None:
    """Set several runs side by side; the others are compared with the first."""
    from syndet_ray import listing, terminal
    from syndet_ray.report import compare as comparing
    from syndet_ray.report import compare_page

    found = comparing.compare([_run_folder(run) for run in runs])
    console = terminal.console()
    for line in listing.run_lines(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(listing.compare_table(found))
    for sentence in comparing.sentences(found):
        console.print(sentence, style="bold", highlight=False)
    if out is not None:
        print(compare_page.write(found, out))


@app.command()
def render(
    out: Out,
    objects: Annotated[int, typer.Option(min=1, max=100, help="Objects per scene.")] = 40,
    count: Annotated[int, typer.Option(min=1, help="Scenes.")] = 1000,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    jpeg: Annotated[bool, typer.Option("--jpeg", help="Write JPEG instead of PNG.")] = False,
    workers: Workers = None,
    address: Address = None,
    runs: Runs = Path("runs"),
) -> None:
    """Render a dataset: COCO with visibility, Parquet, and a contact sheet."""
    from syndet_ray import terminal
    from syndet_ray.tuning.render import scene_parameters, write_set

    parameters = scene_parameters([f"scene.objects={objects}", *(settings or ())])
    kind: Literal["jpeg", "png"] = "jpeg" if jpeg else "png"
    cache = runs.resolve() / "cache"
    with _shown(console := terminal.console()) as display:
        try:
            write_set(
                parameters, count, seed, out,
                cache=cache, display=display, workers=workers, address=address, image_format=kind,
            )  # fmt: skip
        except KeyboardInterrupt:
            console.print("interrupted; the same command goes on where it was")
            raise SystemExit(_INTERRUPTED) from None
    print(f"{out}: {count} scenes; see {out / 'contact_sheet.png'}")


@data_app.command()
def cutouts(
    dataset: Dataset,
    out: Out,
    per_class: Annotated[int, typer.Option(min=1, help="Cut-outs of each class.")] = 20,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks, as the photos are named.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Cut objects out of the training photos, as assets for scenes."""
    from functools import partial

    from syndet_ray import terminal
    from syndet_ray.data.cutouts import cut_out

    with _shown(terminal.console()) as display:
        counts = cut_out(dataset, out, per_class, seed, masks, partial(display.progress, "cutting out"))
    print(", ".join(f"{name} {found}" for name, found in counts.items()))
    print(f"Use them with --set scene.assets={out} or SceneParameters(assets={str(out)!r}).")


@data_app.command()
def label_style(dataset: Dataset) -> None:
    """Measure how loosely and unevenly the training photos' boxes are drawn, for scenes to be labelled alike."""
    from functools import partial

    from syndet_ray import terminal
    from syndet_ray.data.label_style import measure
    from syndet_ray.data.read import read
    from syndet_ray.errors import DataError

    photos = read(dataset).splits.get("train")
    if photos is None:
        raise DataError(dataset, "has no training photos", do="See README, section 'Your own data'.")
    with _shown(terminal.console()) as display:
        found = measure(photos, progress=partial(display.progress, "measuring"))
    print(f"from {found.objects} objects that stand alone:")
    print(" ".join(f"--set {path}={str(value).lower()}" for path, value in found.settings().items()))


@data_app.command()
def inspect(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help='Folders of labelled images, or "stand-in".')],
    split: Annotated[str | None, typer.Option(help="train, val or test alone. Default: all.")] = None,
    out: Annotated[Path, typer.Option(help="The page to write; an older one is replaced.")] = Path("inspect.html"),
) -> None:
    """Show data at a glance, and where other sources differ from the first: synthetic from real, test from train."""
    from syndet_ray import listing, terminal
    from syndet_ray.data import inspection
    from syndet_ray.report import glance

    with _shown(console := terminal.console()) as display:
        found = inspection.inspect(paths, split, display.progress)
        page = glance.write(found, out, display.progress)
    for part in listing.inspection(found):
        console.print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))
    console.print(
        f"page     {page}\nnumbers  {glance.numbers_folder(out)}", highlight=False, markup=False, soft_wrap=True
    )


@app.command()
def ui(runs: Runs = Path("runs"), port: Port = 5000) -> None:
    """Compare the trials in the MLflow UI, served on 127.0.0.1."""
    from syndet_ray.tuning.tracking import local_store

    store = local_store(runs)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", (runs / "artifacts").resolve().as_uri()]
    # Without its job runners the server is 2 processes instead of 10.
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    print(f"http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    os.execve(sys.executable, command, os.environ | quiet)  # this process becomes the server: signals reach it


def main() -> None:
    """The entry point: a SyndetError is one clear message and exit status 1."""
    try:
        app()
    except SyndetError as error:
        print(f"syndet_ray: {error}", file=sys.stderr)
        raise SystemExit(_FAILED) from None


def _definition(name: str, trials: int | None, seed: int | None) -> "Sweep":
    from syndet_ray.sweep import load

    return load(name).replace(_said({"trials": trials, "seed": seed}))


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line."""
    return {key: value for key, value in given.items() if value is not None}


def _run_folder(path: Path) -> "RunFolder":
    from syndet_ray.results import RunFolder

    return RunFolder.open(path)


def _with_points(definition: "Sweep", run: Path) -> "Sweep":
    """The sweep, to propose first what was best in an earlier run."""
    from syndet_ray.verdict import best_points

    points = best_points(_run_folder(run).trials(), definition)
    if not points:
        raise DefinitionError("--points", f"no recipe of {run} can be proposed by this sweep", do="Leave it out.")
    return definition.replace({"points": points})


def _shown(console: Any) -> Any:
    from contextlib import contextmanager

    from syndet_ray import terminal

    @contextmanager
    def closing() -> Any:
        display = terminal.display(console)
        try:
            yield display
        finally:
            display.end()

    return closing()


def _finish(outcome: "Outcome", console: Any) -> None:
    """The last words of a run, and its exit status."""
    from syndet_ray import terminal
    from syndet_ray.report.answer import answer

    folder = outcome.folder
    go_on = f"go on with: python -m syndet_ray resume {folder.path}"
    if outcome.status == "interrupted":
        console.print(f"interrupted; {go_on}", highlight=False)
        raise SystemExit(_INTERRUPTED)
    if outcome.status == "spent":
        console.print(f"stopped: {outcome.why}; {go_on} and more of it", highlight=False)
        raise SystemExit(_SPENT)
    test = folder.test()
    if test is not None:
        console.print(terminal.test_table(test, console.width))
    console.print(answer(folder), style="bold", highlight=False)
    console.print(
        f"report   {folder.report}\ntrials   python -m syndet_ray ui --runs {folder.path.parent}", highlight=False
    )
    if outcome.status == "failed":
        raise SystemExit(_FAILED)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
