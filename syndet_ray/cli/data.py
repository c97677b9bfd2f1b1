"""Verbs on datasets: render, and data cutouts, label-style and inspect."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from syndet_ray.cli.options import (
    INTERRUPTED,
    Address,
    Assets,
    Backgrounds,
    Classes,
    Dataset,
    Format,
    Generator,
    HoldOut,
    Json,
    Out,
    PastedOn,
    ProjectRuns,
    ProjectSkipBad,
    Runs,
    Settings,
    SkipBad,
    Workers,
    label_options,
    local_photos,
    photos_with_labels,
    runs_folder,
    scene_texts,
    with_flags,
)  # fmt: skip
from syndet_ray.cli.project import read_project
from syndet_ray.cli.screen import open_display
from syndet_ray.errors import DefinitionError
from syndet_ray.wording import counted

if TYPE_CHECKING:
    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.data.read import Dataset as LabelledPhotos
    from syndet_ray.data.writers.losses import Losses
    from syndet_ray.definitions.scene_parameters import SceneParameters
    from syndet_ray.progress import Progress


def render(
    out: Out,
    objects: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Objects per scene, instead of 40 or the sweep's."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Scenes.")] = 1000,
    sweep: Annotated[
        str | None, typer.Option(metavar="<name>", help="Sweep whose scenes are rendered.")
    ] = None,
    assets: Assets = None,
    backgrounds: Backgrounds = None,
    generator: Generator = None,
    settings: Settings = None,
    real: PastedOn = None,
    format: Format = None,
    skip_bad: ProjectSkipBad = None,
    classes: Classes = None,
    hold_out: HoldOut = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    jpeg: Annotated[bool, typer.Option("--jpeg", help="Write JPEG instead of PNG.")] = False,
    workers: Workers = None,
    address: Address = None,
    runs: ProjectRuns = None,
) -> None:
    """Render a dataset of labelled scenes. Writes COCO with visibility, Parquet, a sheet."""
    from syndet_ray.cli import terminal
    from syndet_ray.data.write import check_empty
    from syndet_ray.workers.render import project_defaults, scene_parameters, write_set

    console = terminal.console()
    given = [] if objects is None else [f"scene.objects={objects}"]
    given += [*scene_texts(assets, backgrounds, generator), *(settings or ())]
    project = read_project(Path.cwd())
    defaults = {} if project is None else project_defaults(given, project.settings)
    parameters = scene_parameters(given, defaults, sweep)
    photos: dict[str, Any] = {
        "real": real, "format": format, "skip_bad": skip_bad,
        "classes": classes, "hold_out": hold_out,
    }  # fmt: skip
    if not parameters.pastes:
        _check_not_given(photos)
    options: dict[str, Any] = {"runs": runs, **(photos if parameters.pastes else {})}
    taken = {} if project is None else project.options_for(options)
    options |= taken
    if project is not None and (words := project.words(taken, defaults)):
        terminal.print_lines(console, [f"project  {words}"])
    folder = runs_folder(options["runs"])
    kind: Literal["jpeg", "png"] = "jpeg" if jpeg else "png"
    check_empty(out)  # before photos are read
    with open_display(console) as display:
        try:
            if parameters.pastes:
                parameters = _pasted_scene(parameters, options, folder, display)
            write_set(
                parameters, count, seed, out, cache=folder.resolve() / "cache", display=display,
                workers=workers, address=address, image_format=kind,
            )  # fmt: skip
        except KeyboardInterrupt:
            console.print("interrupted; the same command continues where it stopped")
            raise SystemExit(INTERRUPTED) from None
    print(f"{out}: {counted(count, 'scene')}; see {out / 'contact_sheet.png'}")


def _check_not_given(photos: Mapping[str, Any]) -> None:
    """Raises DefinitionError for options on photos that scenes would not show."""
    for name, value in photos.items():
        if value not in (None, False):
            rule = "changes nothing: nothing is pasted on photos"
            do = "Leave it out, or set scene.arrangement=paste."
            raise DefinitionError(f"`{name}`", rule, do=do)


def _pasted_scene(
    parameters: "SceneParameters",
    photos: Mapping[str, Any],
    runs: Path,
    display: "Plain | Bar",
) -> "SceneParameters":
    """Parameters of images that are pasted from these photos, given by the options of `render`."""
    from syndet_ray.data.stand_in import STAND_IN
    from syndet_ray.tuning.pasting import pasted_scene

    place = photos_with_labels(photos["real"] or STAND_IN)
    return pasted_scene(
        parameters,
        local_photos(place, runs, display),
        runs.resolve() / "cache",
        display.progress,
        display.note,
        labels=label_options(photos["format"], bool(photos["skip_bad"]), photos["classes"]),
        hold_out=photos["hold_out"],
    )


def cutouts(
    dataset: Dataset,
    out: Out,
    per_class: Annotated[int, typer.Option(min=1, help="Cut-outs of each class.")] = 20,
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks, as the photos are named.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    format: Format = None,
    skip_bad: SkipBad = False,
    classes: Classes = None,
    runs: Runs = Path("runs"),
) -> None:
    """Cut objects out of training photos, as assets for scenes."""
    from functools import partial

    from syndet_ray.cli import terminal
    from syndet_ray.data.cutouts import cut_out

    notes: list[str] = []
    with open_display(terminal.console()) as display:
        counts = cut_out(
            local_photos(dataset, runs, display),
            out,
            per_class=per_class,
            seed=seed,
            masks=masks,
            labels=label_options(format, skip_bad, classes),
            progress=partial(display.progress, "cutting out"),
            note=notes.append,
        )
    _print_notes(notes)
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))
    print(f"Use them with --assets {shlex.quote(str(out))}, or in a sweep with")
    print(f"SceneParameters(assets={str(out)!r}).")


def backgrounds(
    dataset: Dataset,
    out: Out,
    count: Annotated[int, typer.Option(min=1, help="Squares to cut.")] = 100,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    format: Format = None,
    skip_bad: SkipBad = False,
    classes: Classes = None,
    runs: Runs = Path("runs"),
) -> None:
    """Cut empty places out of training photos, as floors of scenes."""
    from functools import partial

    from syndet_ray.cli import terminal
    from syndet_ray.data.backgrounds import cut_backgrounds

    notes: list[str] = []
    with open_display(terminal.console()) as display:
        squares = cut_backgrounds(
            local_photos(dataset, runs, display),
            out,
            count=count,
            seed=seed,
            labels=label_options(format, skip_bad, classes),
            progress=partial(display.progress, "cutting backgrounds"),
            note=notes.append,
        )
    _print_notes(notes)
    print(f"{out}: {counted(squares, 'square')} without objects")
    print(f"Use them with --backgrounds {shlex.quote(str(out))}, or in a sweep with")
    print(f"SceneParameters(backgrounds={str(out)!r}).")


def convert(
    dataset: Dataset,
    out: Out,
    to: Annotated[
        str, typer.Option(metavar="coco|kitti|voc|yolo|parquet", help="Format to write.")
    ] = "coco",
    format: Format = None,
    skip_bad: SkipBad = False,
    classes: Classes = None,
    address: Address = None,
    runs: Runs = Path("runs"),
) -> None:
    """Write a dataset in another format. Lists what that format cannot hold."""
    from functools import partial

    from syndet_ray.cli import terminal
    from syndet_ray.data.convert import writer
    from syndet_ray.data.read import read
    from syndet_ray.data.write import check_empty

    writer(to)  # an unknown format is an error before labels are read
    check_empty(out)
    console = terminal.console()
    with open_display(console) as display:
        options = label_options(format, skip_bad, classes)
        folder = local_photos(dataset, runs, display)
        if address is not None and folder.exists():
            folder = folder.absolute()  # tasks of a cluster work in other folders
        source = read(folder, options, partial(display.progress, "reading labels"))
        writing = partial(display.progress, "writing images")
        losses = _convert_anywhere(source, out, to, writing, address)
    for split, part in source.splits.items():
        objects = int(part.class_counts().sum())
        print(f"{split}: {counted(len(part), 'image')}, {counted(objects, 'object')}")
    _print_notes(source.notes)
    print("lost in this format:" if losses.lines else "nothing was lost")
    for line in losses.lines:
        print(f"  {line}")
    for line in losses.change_lines:
        print(f"changed: {line}")
    print(f"{to} written into {out}")


def _print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"note: {with_flags(note)}")


def _convert_anywhere(
    source: "LabelledPhotos", out: Path, to: str, progress: "Progress", address: str | None
) -> "Losses":
    """Converts a dataset, its images written by the cluster at an address if one is given."""
    from syndet_ray.data.convert import convert as write_converted

    if address is None:
        return write_converted(source, out, to, progress)
    from syndet_ray.workers.cluster import connection
    from syndet_ray.workers.copying import copy_on_cluster

    with connection(address):
        return write_converted(source, out.resolve(), to, progress, copy_on_cluster)


def label_style(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="Labelled photos: a folder, s3:// or https:// address."
        ),
    ],
    format: Format = None,
    skip_bad: SkipBad = False,
    classes: Classes = None,
    runs: Runs = Path("runs"),
) -> None:
    """Measure how wide and uneven the boxes of training photos are. Scenes can then be labelled in
    the same way.
    """
    from functools import partial

    from syndet_ray.cli import terminal
    from syndet_ray.data.read import read
    from syndet_ray.data.stand_in import STAND_IN
    from syndet_ray.errors import DataError
    from syndet_ray.inspection.label_style import measure

    if dataset == STAND_IN and not Path(dataset).exists():
        rule = "has no label style: its boxes are computed, not made by people"
        raise DataError(dataset, rule, do="Give a folder of photos.")
    with open_display(terminal.console()) as display:
        options = label_options(format, skip_bad, classes)
        reading = partial(display.progress, "reading labels")
        folder = local_photos(dataset, runs, display)
        data = read(folder, options, reading)
        photos = data.splits.get("train")
        if photos is None:
            raise DataError(
                dataset, "has no training photos", do="See README, section 'Your own data'."
            )
        style = measure(photos, progress=partial(display.progress, "measuring"))
    _print_notes(data.notes)
    settings = style.settings()
    arguments = ", ".join(
        f"{path.removeprefix('scene.')}={value}" for path, value in settings.items()
    )
    print(f"from {style.objects} objects that stand alone, in a sweep's recipe:")
    print(f"scene=SceneParameters({arguments})")
    print("and for render:")
    print(" ".join(f"--set {path}={str(value).lower()}" for path, value in settings.items()))


def inspect(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help='Labelled images: folders, s3:// or https:// addresses, or "stand-in".',
        ),
    ],
    split: Annotated[
        str | None, typer.Option(help="train, val or test alone. Default: all.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE.html", help="The page to write; an older one is replaced.")
    ] = Path("inspect.html"),
    format: Format = None,
    skip_bad: SkipBad = False,
    classes: Classes = None,
    as_json: Json = False,
    runs: Runs = Path("runs"),
) -> None:
    """Show statistics of datasets, and where they differ. The first is compared with the others:
    real with synthetic, train with test.
    """
    from syndet_ray.cli import facts, inspection_tables, terminal
    from syndet_ray.cli.document import one_document
    from syndet_ray.cli.tables import print_table
    from syndet_ray.inspection import inspect as inspecting
    from syndet_ray.report import inspection_page
    from syndet_ray.report.fonts import missing_notes

    with one_document("data inspect", is_wanted=as_json) as document:
        inspection_page.check_out(out)
        with open_display(console := terminal.console(on_stderr=as_json)) as display:
            folders = [str(local_photos(path, runs, display)) for path in paths]
            options = label_options(format, skip_bad, classes)
            inspection = inspecting.inspect(folders, split, display.progress, options)
            page = inspection_page.write(inspection, out, display.progress)
        notes = missing_notes(inspection_tables.inspection_names(inspection))
        numbers = inspection_page.numbers_folder(out)
        document.facts = facts.inspection_facts(inspection, page, numbers)
        document.facts["notes"] = [*inspection.notes, *notes]
    if as_json:
        return
    for part in (*inspection_tables.inspection_parts(inspection), *notes):
        if isinstance(part, str):
            console.print(part, soft_wrap=True)
        else:
            print_table(console, part)
    console.print(f"page     {page}\nnumbers  {numbers}", soft_wrap=True)


def fetch(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="d6-dice, chess or groceries-real."),
    ],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="New folder. Default: NAME, here.")
    ] = None,
) -> None:
    """Fetch a public dataset: real photos to try things on."""
    from syndet_ray.cli import listing, terminal
    from syndet_ray.data.remote.catalogue import entry_named
    from syndet_ray.data.remote.public import fetch_public

    entry, folder = entry_named(name), out or Path(name)
    console = terminal.console()
    terminal.print_lines(console, listing.entry_lines(entry))
    with open_display(console) as display:
        data = fetch_public(entry, folder, display.progress)
    terminal.print_lines(console, listing.fetched_lines(data, folder))
