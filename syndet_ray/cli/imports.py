"""The verb that translates settings of other tools: import."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.cli.options import with_flags

if TYPE_CHECKING:
    from syndet_ray.importing.recognize import Import
    from syndet_ray.importing.sweep_file import Written


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
    """Translate settings of another tool into a sweep, and list what has no counterpart."""
    from syndet_ray.cli import terminal
    from syndet_ray.importing import recognize, sweep_file

    imported = recognize.read(file, images_per_epoch)
    files = sweep_file.write(imported, out, with_flags, force=force)
    console = terminal.console()
    for line in _lines(imported, files):
        console.print(with_flags(line), soft_wrap=True)


def _lines(imported: "Import", files: "Written") -> Iterator[str]:
    """Lines on what was read, what was not taken, what was written, and how to go on."""
    from syndet_ray.importing import sweep_file
    from syndet_ray.wording import command_line, counted

    count = counted(len(imported.experiments), "experiment")
    yield f"{imported.tool}, {count}: {', '.join(map(str, imported.files))}"
    yield from sweep_file.note_lines(imported)
    yield from sweep_file.assumptions(imported)
    yield ""
    yield f"sweep    {files.sweep}"
    if files.classes is not None:
        yield f"classes  {files.classes}"
    for location in sweep_file.data(imported):
        yield f"data     {location}"
    given = [sweep_file.sweep_name(files.sweep), "--real", sweep_file.real_folder(imported)]
    given += [] if files.classes is None else ["--classes", str(files.classes)]
    yield f"next     {command_line('check', *given)}"
    yield f"         {command_line('sweep', *given)}"
