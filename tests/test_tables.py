"""A table is shown as one where its cells have room, and as a block for each row elsewhere."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from syndet_ray.cli.tables import print_table


def shown(width, names=("基线 (best)", "control"), **columns):
    """The lines that a terminal of this width shows of a table of scores."""
    table = Table(title="On the same photos", title_justify="left")
    table.add_column("")
    for name, options in columns.items():
        table.add_column(name, justify="right", **options)
    for name in names:
        cells = ["0.250 [0.20, 0.30]", "", "12"][: len(columns)]
        table.add_row(name, *cells, style="bold" if "best" in name else "")
    console = Console(file=io.StringIO(), width=width)
    print_table(console, table)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("no_wrap", [True, False])
def test_numbers_are_whole_in_any_width(no_wrap):
    columns = {"mAP": {"no_wrap": no_wrap}, "AP50": {}, "seeds": {}}
    wide = shown(100, **columns)
    assert wide[1].startswith("┏")
    assert "基线 (best) │ 0.250 [0.20, 0.30] │" in wide[4]
    assert shown(28, **columns) == [
        "On the same photos",
        "基线 (best)",
        "  mAP: 0.250 [0.20, 0.30]",
        "  seeds: 12",
        "control",
        "  mAP: 0.250 [0.20, 0.30]",
        "  seeds: 12",
        "",
    ]
    for width in range(20, 100):
        text = "\n".join(shown(width, **columns))
        assert "…" not in text
        assert text.count("12") == text.count("0.250") == text.count("0.30]") == 2


def test_a_name_of_wide_letters_takes_two_columns_each():
    lines = shown(60, names=("一二三四", "one"), mAP={"no_wrap": True})
    assert len({line.rindex("│") + 4 * ("一" in line) for line in lines[4:6]}) == 1


def test_columns_of_single_letters_are_no_table():
    lines = shown(24, names=("a recipe with a long name",), mAP={"no_wrap": True})
    assert lines[1].strip() == "a recipe with a long"
    assert "  mAP: 0.250 [0.20," in lines[3]


def test_what_the_cells_themselves_leave_out_is_no_reason():
    assert shown(60, names=("a long na…",), mAP={})[1].startswith("┏")
