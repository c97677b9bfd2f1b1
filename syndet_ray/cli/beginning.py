"""The verb that writes a sweep for one's own photos and objects: init."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.cli.options import (
    Assets,
    Classes,
    Format,
    HoldOut,
    Runs,
    SkipBad,
    label_options,
    local_photos,
    with_flags,
)  # fmt: skip
from syndet_ray.cli.screen import open_display

if TYPE_CHECKING:
    from syndet_ray.tuning.first_sweep import FirstSweep


def init(
    real: Annotated[
        str,
        typer.Option(metavar="<place>", help="Real, labelled photos: a folder or an address."),
    ],
    assets: Assets = None,
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Sweep to write: a name, or a path.")
    ] = "first",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    format: Format = None,
    skip_bad: SkipBad = False,
    classes: Classes = None,
    hold_out: HoldOut = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a sweep that is there already.")
    ] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Write a sweep for your photos and objects. Measures scenes on the photos."""
    from syndet_ray.cli import terminal

    console = terminal.console()
    with open_display(console) as display:
        with display.step("loading"):
            from syndet_ray.tuning.first_sweep import write_first_sweep
        options = label_options(format, skip_bad, classes)
        photos = local_photos(real, runs, display)
        first = write_first_sweep(
            photos,
            assets,
            out,
            labels=options,
            seed=seed,
            progress=display.progress,
            hold_out=hold_out,
            force=force,
        )
    given = _label_flags(format, skip_bad, classes)
    given += [] if hold_out is None else ["--hold-out", f"{hold_out:g}"]
    for line in _lines(first, real, given):
        console.print(with_flags(line), soft_wrap=True)


def _label_flags(format: str | None, skip_bad: bool, classes: Path | None) -> list[str]:
    flags = [] if format is None else ["--format", format]
    flags += ["--skip-bad"] if skip_bad else []
    return flags if classes is None else [*flags, "--classes", str(classes)]


def _lines(first: "FirstSweep", real: str, given: list[str]) -> list[str]:
    """Lines on what was measured and written, and how to go on."""
    from syndet_ray.wording import command_line, counted

    counts = [f"{len(source)} {split}" for split, source in first.dataset.splits.items()]
    lines = [f"photos   {real}: {', '.join(counts)}; {first.scale.words}"]
    lines += [f"note     {note}" for note in first.notes]
    lines.append(f"assets   {first.assets}")
    for item in first.measured:
        name = item.path.removeprefix("scene.")
        lines.append(f"{name}: {item.value} ({item.words})")
    lines.append(f"sweep    {first.path}, {counted(len(first.measured), 'setting')} measured")
    name = first.path.stem if first.path.parent == Path("sweeps") else str(first.path)
    arguments = [name, "--real", real, *given]
    lines.append(f"next     {command_line('check', *arguments)}")
    lines.append(f"         {command_line('sweep', *arguments)}")
    return lines
