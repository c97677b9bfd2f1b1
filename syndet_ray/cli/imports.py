"""The verb that translates settings of other tools: import."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.cli.options import with_flags

if TYPE_CHECKING:
    from syndet_ray.importing.recognize import Import
    from syndet_ray.importing.sweep_file import Written

_MOST_SHOWN = 3  # settings of one reason: enough to see what it is about


def import_settings(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="experiments.yml of Tao-Runner, Faster R-CNN spec of NVIDIA TAO, "
            "faster_rcnn.yaml of Unity datasetinsights, or a folder of them.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Argument(metavar="OUT", help="Sweep to write. Default: sweeps/<name of FILE>.py."),
    ] = None,
    images_per_epoch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images in an epoch of the other tool: epochs become images seen.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a sweep that is there already.")
    ] = False,
) -> None:
    """Translate settings of another tool into a sweep. Lists what has no counterpart."""
    from syndet_ray.cli import terminal
    from syndet_ray.importing import recognize, sweep_file

    imported = recognize.read(file, images_per_epoch)
    files = sweep_file.write(imported, out, with_flags, force=force)
    console = terminal.console()
    for line in _lines(imported, files):
        console.print(with_flags(line), soft_wrap=True)


def _lines(imported: "Import", files: "Written") -> Iterator[str]:
    """Lines on what was read and written, how to go on, and what was not taken."""
    from syndet_ray.importing import sweep_file
    from syndet_ray.wording import command_line, counted

    count = counted(len(imported.experiments), "experiment")
    yield f"{imported.tool}, {count}: {', '.join(map(str, imported.files))}"
    yield ""
    settings = counted(len(sweep_file.recipe_settings(imported)), "setting")
    yield f"sweep    {files.sweep}"
    yield f"recipe   {settings}, each with a comment on where it comes from"
    if files.classes is not None:
        yield f"classes  {files.classes}"
    for location in sweep_file.data(imported):
        yield f"data     {location}"
    for line in sweep_file.assumptions(imported):
        yield f"assumed  {line}"
    given = [sweep_file.sweep_name(files.sweep), "--real", sweep_file.real_folder(imported)]
    given += [] if files.classes is None else ["--classes", str(files.classes)]
    yield f"next     {command_line('check', *given)}"
    yield f"         {command_line('sweep', *given)}"
    yield from _not_taken_lines(imported, files)


def _not_taken_lines(imported: "Import", files: "Written") -> Iterator[str]:
    """Lines on what was not taken: examples of what may change the training, a count of the rest.

    The sweep file lists all of it.
    """
    from syndet_ray.importing import sweep_file
    from syndet_ray.wording import counted

    missing, ignored = sweep_file.missing_notes(imported), sweep_file.ignored_notes(imported)
    remarks = sweep_file.remarks(imported)
    if not (missing or ignored or remarks):
        return
    yield ""
    if missing:
        yield f"{sweep_file.MISSING}: {counted(len(missing), 'setting')}"
        yield from sweep_file.reason_lines(missing, _MOST_SHOWN)
    yield from remarks
    if ignored:
        yield f"{sweep_file.IGNORED}: {counted(len(ignored), 'setting')}"
    yield f"The end of {files.sweep} lists all of this."
