"""Verbs on saved models: evaluate and predict."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.cli.options import (
    FAILED,
    Classes,
    Format,
    Json,
    Model,
    Runs,
    SkipBad,
    TrackingUri,
    label_options,
    local_photos,
)
from syndet_ray.cli.screen import open_display

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.deploy.evaluate import SplitEvaluation
    from syndet_ray.deploy.finder import Finder

_LOADING = "loading the model"


def _photos_to_predict(words: str) -> Path:
    """A path of images; for the word "stand-in" the folder of its test images."""
    from syndet_ray.data.stand_in import STAND_IN

    return _stand_in_images() if words == STAND_IN else Path(words)


def _stand_in_images() -> Path:
    from syndet_ray.data.stand_in import FOLDER

    return FOLDER / "test"


def evaluate(
    model: Model,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help='Labelled photos: a folder, s3:// or https:// address, or "stand-in".',
        ),
    ],
    split: Annotated[
        str | None, typer.Option(help="Split to score on. Default: test, or the only one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for scores, predictions and pictures.")
    ] = None,
    format: Format = None,
    skip_bad: SkipBad = False,
    classes: Classes = None,
    tracking: TrackingUri = None,
    as_json: Json = False,
    runs: Runs = Path("runs"),
) -> None:
    """Score a saved model on labelled photos. Shows accuracy, its interval, and kinds of errors."""
    from functools import partial

    from syndet_ray.cli import facts, terminal
    from syndet_ray.cli.document import one_document
    from syndet_ray.data.remote.address import for_record, is_address
    from syndet_ray.data.stand_in import photos_at
    from syndet_ray.deploy.output import check_out

    with one_document("evaluate", is_wanted=as_json) as document:
        if out is not None:
            check_out(out)
        console = terminal.console(on_stderr=as_json)
        with open_display(console) as display:
            photos = local_photos(data, runs, display)
            reading = partial(display.progress, "reading labels")
            dataset = photos_at(str(photos), label_options(format, skip_bad, classes), reading)
            chosen = dataset.split_to_score(split)
            with display.step(_LOADING):
                finder = _finder(model, runs, tracking)
            from syndet_ray.deploy import evaluate as evaluating

            scores = evaluating.evaluate_model(
                finder, dataset, chosen, model=model, progress=display.progress
            )
        if is_address(data):  # the scores name the address, not the copy
            scores = replace(scores, data=for_record(data))
        if not as_json:
            _print_scores(scores, console)
        folder = None if out is None else evaluating.write(scores, out)
        document.facts = facts.evaluation_facts(scores, folder)
    if folder is not None and not as_json:
        from syndet_ray.report.fonts import missing_notes

        for line in missing_notes(scores.pool.classes):
            console.print(line, soft_wrap=True)
        print(f"scores   {folder}: scores.json, predictions.json, truth.json, pictures")


def _print_scores(scores: "SplitEvaluation", console: "Console") -> None:
    from syndet_ray.cli import scorecard
    from syndet_ray.cli.tables import print_table

    for table in (
        scorecard.scores_table(scores),
        scorecard.visibility_table(scores),
        scorecard.errors_table(scores),
    ):
        print_table(console, table)
    for line in scorecard.score_lines(scores):
        console.print(line, soft_wrap=True)


def predict(
    model: Model,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES...",
            parser=_photos_to_predict,
            help='Image files, and folders of them, or "stand-in" for its test images.',
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder; if it exists, a number is added.")] = Path(
        "predictions"
    ),
    score: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest confidence in pictures and KITTI files.")
    ] = 0.5,
    tracking: TrackingUri = None,
    runs: Runs = Path("runs"),
) -> None:
    """Find objects in images with a saved model. Writes annotated images, JSON and KITTI files."""
    from functools import partial

    from syndet_ray.cli import terminal
    from syndet_ray.data.images.unlabelled import find
    from syndet_ray.deploy.output import check_out

    check_out(out)
    files = find(images)
    console = terminal.console()
    with open_display(console) as display:
        with display.step(_LOADING):
            finder = _finder(model, runs, tracking)
        from syndet_ray.cli import scorecard
        from syndet_ray.deploy.predict import predict_images
        from syndet_ray.report.words import STAND_IN

        progress = partial(display.progress, "predicting")
        summary = predict_images(finder, files, out, least=score, progress=progress)
    for line in scorecard.summary_lines(summary):
        console.print(line, soft_wrap=True)
    if _stand_in_images() in images:
        console.print(STAND_IN, soft_wrap=True)
    if summary.skipped:
        raise SystemExit(FAILED)


def _finder(model: str, runs: Path, tracking: str | None) -> "Finder":
    """Loads the model. The folder comes first: a missing one is reported before PyTorch loads."""
    from syndet_ray.tracking import champions

    with champions.model_folder(model, runs, tracking) as folder:
        from syndet_ray.deploy.finder import Finder

        is_copied = model.startswith(champions.REGISTERED) or "://" in model
        return Finder.load(folder, model if is_copied else "")
