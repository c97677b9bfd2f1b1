"""Verb on photos that come in one heap: data split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.cli.options import (
    Classes,
    Format,
    NearCopies,
    ShareOption,
    SkipBad,
    label_options,
    with_flags,
)  # fmt: skip
from syndet_ray.cli.screen import open_display
from syndet_ray.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

    from syndet_ray.data.splits.divide import Division


def split(
    photos: Annotated[str, typer.Argument(metavar="PHOTOS", help="Folder of labelled photos.")],
    test: ShareOption = None,
    val: ShareOption = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="scene|stem|time",
            help="Keep together images of one folder, of one video (names that differ only in the "
            "number at their end), or taken at one time. Near copies always stay together.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another split.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Where to write the split if PHOTOS cannot be written; give it to --real then. "
            "Default: PHOTOS/syndet_split.json.",
        ),
    ] = None,
    resplit: Annotated[
        bool, typer.Option("--resplit", help="Share out the images of all splits, not only train.")
    ] = False,
    allow_near_copies: NearCopies = False,
    format: Format = None,
    skip_bad: SkipBad = False,
    classes: Classes = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the split that is there already.")
    ] = False,
) -> None:
    """Split photos into train, val and test, once for all runs. Every class gets its share in each
    split, and photos that look alike stay together. Photos and labels stay as they are.
    """
    from syndet_ray.cli import terminal
    from syndet_ray.cli.tables import print_table
    from syndet_ray.data.splits.divide import split_photos

    shares = {name: share for name, share in {"test": test, "val": val}.items() if share}
    folder = _local_folder(photos)
    labels = label_options(format, skip_bad, classes)
    with open_display(console := terminal.console()) as display:
        division = split_photos(
            folder, shares, seed, display.progress,
            by=by, out=out, resplit=resplit, allow_near_copies=allow_near_copies, force=force,
            labels=labels,
        )  # fmt: skip
    print_table(console, _table(division))
    terminal.print_lines(console, _lines(division))


def _local_folder(photos: str) -> Path:
    """The folder of photos. Raises DataError for an address: an index is written beside photos."""
    from syndet_ray.data.remote.address import for_messages, photo_place
    from syndet_ray.errors import DataError

    place = photo_place(photos)
    if isinstance(place, Path):
        return place
    do = "Copy the photos into a folder, and split them there."
    raise DataError(for_messages(place), "is an address, and only a folder can be split", do=do)


def _table(division: "Division") -> "Table":
    """The images of each split, and the boxes of each class in it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from syndet_ray.data.splits.divide import boxes_by_class, images_without_boxes

    splits = division.cut.dataset.splits
    images = sum(map(len, splits.values()))
    table = Table(box=SIMPLE_HEAD, title="boxes (images)", title_justify="left")
    table.add_column("")
    for name in splits:
        table.add_column(name, justify="right")
    shares = [f"{len(source)} ({len(source) / images:.1%})" for source in splits.values()]
    table.add_row("images", *shares, end_section=True)
    counts = [boxes_by_class(source) for source in splits.values()]
    for name in division.cut.dataset.classes:
        cells = [f"{count[name].boxes} ({count[name].images})" for count in counts]
        table.add_row(name, *cells)
    empty = [images_without_boxes(source) for source in splits.values()]
    if any(empty):
        table.add_row("images without objects", *map(str, empty))
    return table


def _lines(division: "Division") -> list[str]:
    cut, index = division.cut, division.index
    lines = [f"note: {with_flags(note)}" for note in (*cut.dataset.notes, *division.warnings)]
    by = "" if index.by is None else f" by {index.by}"
    copies = "no near copies"
    if cut.near_copies:
        copies = f"{counted(cut.near_copies, 'image')} look like another and stay with it"
    lines.append(f"groups   {cut.groups}{by}; {copies}")
    if len(cut.largest) > 1:
        lines.append(
            f"largest  {len(cut.largest)} of {cut.images} images: {division.largest_words}"
        )
    lines.append(f"hash     {index.hash}")
    lines.append(f"file     {division.file}")
    return lines
