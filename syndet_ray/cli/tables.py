"""Tables: a table on the terminal, or a block of lines for each row where it has no room."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CUT = "…"  # Rich ends a word with it that does not fit its column
# Of the terminal: a longer word is a name or a path, and may continue on the next line. A shorter
# one may be a number, which must stay whole.
_LONG_WORD = 1 / 3


def print_table(console: Console, table: Table) -> None:
    """Prints a table.

    Where the terminal is too narrow for its cells, each row is a block, with a line for each of its
    columns.
    """
    if _has_room(console, table):
        console.print(table)
        return
    if table.title:
        console.print(table.title, style="table.title")
    for line in _blocks(table):
        console.print(line, overflow="fold")
    console.print()


def _has_room(console: Console, table: Table) -> bool:
    """True if no word of the table is cut, and no short one is broken."""
    lines = console.render_lines(table, pad=False)
    text = "".join(segment.text for line in lines for segment in line)
    cells = [str(cell) for column in table.columns for cell in (column.header, *column.cells)]
    if text.count(_CUT) > sum(cell.count(_CUT) for cell in cells):
        return False
    words = {word for cell in cells for word in cell.split()}
    return all(word in text for word in words if cell_len(word) <= console.width * _LONG_WORD)


def _blocks(table: Table) -> Iterator[Text]:
    headers = [_one_line(str(column.header)) for column in table.columns]
    columns = [list(column.cells) for column in table.columns]
    for row, cells in zip(table.rows, zip_longest(*columns, fillvalue=""), strict=True):
        yield from _block(headers, [_one_line(str(cell)) for cell in cells], str(row.style or ""))


def _block(headers: Sequence[str], cells: Sequence[str], style: str) -> Iterator[Text]:
    """The row's name, and below it its other columns as far as they have a value."""
    yield Text(f"{headers[0]} {cells[0]}".strip(), style)
    for header, cell in zip(headers[1:], cells[1:], strict=True):
        if cell:
            yield Text(f"  {header}: {cell}", style)


def _one_line(text: str) -> str:
    return " ".join(text.split())
