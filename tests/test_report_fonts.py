"""Every name can be read in every picture: in a font of this machine, or as its code points."""

import warnings

import altair as alt
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from made_detections import found
from matplotlib import font_manager
from matplotlib.text import Text
from PIL import Image

from syndet_ray.report import fonts
from syndet_ray.report.annotated import annotate_picture, color
from syndet_ray.report.figures import plot, sheets
from syndet_ray.runs.results import Picture

DICE = "骰子"


def new_font(path, letters, family):
    """A font in which every one of the letters is a bar as high as the line."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (700, 800), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    order = [".notdef", *(f"uni{ord(letter):04X}" for letter in letters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap({ord(letter): f"uni{ord(letter):04X}" for letter in letters})
    builder.setupGlyf(dict.fromkeys(order, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(order, (800, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def installed(monkeypatch):
    """Makes fonts the only ones of this machine beside matplotlib's own; none at first."""
    own = font_manager.findfont(fonts.BASE)
    files = []

    def install(*paths):
        files.extend(paths)
        fonts._all_fonts.cache_clear()
        fonts._choice.cache_clear()

    manager = font_manager.fontManager
    entries = [entry for entry in manager.ttflist if entry.fname == own]
    monkeypatch.setattr(manager, "ttflist", entries)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: files)
    install()
    yield install
    install()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("die $5\n#1", "die $5\n#1"),
        ("Würfel Ωμέγα кубик", "Würfel Ωμέγα кубик"),
        ("عربى שלום", "عربى שלום"),  # matplotlib's font has them
        (DICE, "U+9AB0 U+5B50"),
        ("赤 die", "U+8D64 die"),
        ("주사위", "U+C8FC U+C0AC U+C704"),
        ("ลูก", "U+0E25 U+0E39 U+0E01"),
        ("👩‍🚀️ 7", "U+1F469 U+1F680 7"),
    ],
)
def test_what_no_font_has_is_shown_as_its_code_points(installed, name, shown):
    assert fonts.readable(name) == shown
    assert fonts.families(name) == [fonts.BASE]


def test_a_new_font_of_the_system_is_used_and_the_plainest_of_several(installed, tmp_path):
    installed(
        new_font(tmp_path / "a.ttf", DICE, "A Serif"),
        new_font(tmp_path / "b.ttf", DICE, "B Sans"),
        new_font(tmp_path / "c.ttf", DICE[0], "C Sans"),
        new_font(tmp_path / "d.ttf", "ลูก", "D Sans"),
    )
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    installed(str(tmp_path / "broken.ttf"))
    assert fonts.readable(f"{DICE} ลูก 赤") == f"{DICE} ลูก U+8D64"
    assert fonts.families(DICE) == [fonts.BASE, "B Sans"]
    assert sorted(fonts.families(f"{DICE} ลูก")) == ["B Sans", "D Sans", fonts.BASE]
    assert fonts.families("die") == [fonts.BASE]


@pytest.mark.parametrize(
    ("names", "package"),
    [
        ([DICE], "fonts-noto-cjk"),
        (["ひらがな"], "fonts-noto-cjk"),
        (["주사위", "🐶"], "fonts-noto-cjk"),
        (["ลูก"], "fonts-noto-core"),
        (["हिन्दी"], "fonts-noto-core"),
        (["🐶"], "fonts-symbola"),
    ],
)
def test_the_note_names_the_package_that_helps(installed, names, package):
    (note,) = fonts.missing_notes(["die", *names])
    assert note.endswith(f"such as the package {package}")
    assert f"{names[0]} is {fonts.readable(names[0])}" in note


def test_the_note_is_short_and_there_is_none_without_need(installed):
    assert fonts.missing_notes(["die", "Würfel", "שלום"]) == []
    names = [chr(ord("骰") + k) for k in range(40)]
    (note,) = fonts.missing_notes(names)
    assert "骲 is U+9AB2, and 37 more; " in note


def test_the_label_of_a_box_has_the_letters_of_both_fonts(installed, tmp_path):
    latin, _ = fonts.lettering("die", 20)
    codes, _ = fonts.lettering(DICE, 20)
    installed(new_font(tmp_path / "b.ttf", DICE, "B Sans"))
    letters, below = fonts.lettering(DICE, 20)
    both, _ = fonts.lettering(f"{DICE}die", 20)
    assert below == 0
    assert letters.any(axis=1).sum() == 16  # 800 of 1000 units
    assert codes.shape[1] > 2 * letters.shape[1]
    assert both.shape[1] == pytest.approx(letters.shape[1] + latin.shape[1], abs=6)
    black = np.zeros((100, 200, 3), np.uint8)
    drawn = np.asarray(annotate_picture(black, found(([40, 50, 90, 90], 0, 0.5)), (DICE,)))
    above_the_box = drawn[:50]
    assert (above_the_box == color(0)).all(axis=-1).sum() > letters.size / 4  # the label's ground


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["hit: 31", "false alarm: 17", "missed (true box): 12", "found (true box): 12"], 4),
        (["ลูกเต๋าสีแดง", DICE, "one"], 1),
        (["a die with the number four", "two", "three", "four", "five", "six", "seven"], 2),
    ],
)
def test_a_legend_is_as_wide_as_the_sheet_at_most(installed, names, columns):
    handles = [sheets._line("red", "-", name) for name in names]
    figure = sheets._sheet([], dict, handles)
    for text in figure.findobj(Text):
        text.set_text(fonts.readable(text.get_text()))
    (legend,) = figure.legends
    figure.draw_without_rendering()
    extent = legend.get_window_extent()
    assert sheets._legend_columns(handles) == columns
    assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1
    assert extent.y0 >= 0 and extent.y1 <= figure.bbox.y1


@pytest.mark.parametrize("with_font", [True, False])
def test_a_sheet_shows_each_name_without_a_warning(installed, tmp_path, with_font):
    if with_font:
        installed(new_font(tmp_path / "b.ttf", DICE, "B Sans"))
    box = np.array([[10, 20, 50, 60]], np.float32)
    picture = Picture(
        image=np.zeros((80, 80, 3), np.uint8),
        xyxy=box,
        names=(DICE,),
        scores=(0.9,),
        truth=box,
        truth_names=(DICE,),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sheets.write_over_truth({DICE: [picture]}, tmp_path / "sheet")
    with Image.open(tmp_path / "sheet.png") as sheet:
        title = np.asarray(sheet.convert("L"))[:60]
    ink = (title < 128).sum()
    assert ink > 0
    rows = (tmp_path / "sheet.csv").read_text(encoding="utf-8").splitlines()
    assert all(DICE in row for row in rows[1:])


def test_the_picture_of_a_chart_has_codes_and_the_page_has_the_name(installed, tmp_path):
    values = [{"class": DICE, "n": 3}, {"class": "die", "n": 2}]
    bars = alt.Chart(alt.InlineData(values=values)).mark_bar()
    chart = bars.encode(y="class:N", x="n:Q", color=plot.colors({DICE: "red", "die": "blue"}))
    saved = plot.save(plot.Plot(figure=chart, header=("class",), rows=[(DICE,)]), tmp_path / "n")
    with_codes = plot._map_leaves(plot._still(saved.spec), plot._readable)
    assert DICE in str(saved.spec)
    assert DICE not in str(with_codes)
    assert str(with_codes).count("U+9AB0 U+5B50") == str(saved.spec).count(DICE)
