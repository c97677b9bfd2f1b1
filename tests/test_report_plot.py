"""Plots: numbers keep their type, and a value that is no number costs no figure."""

import csv
import json
from math import inf, nan

import altair as alt
import numpy as np
import pyarrow as pa
import pytest
import vl_convert
from made_runs import TRIALS, made_run
from pyarrow import parquet

from syndet_ray.report.figures import importance, learning, plot
from syndet_ray.report.figures.plot import Plot, arrow, from_zero, records, save


def test_what_users_name_like_numbers_dates_or_nothing_stays_text():
    names = ["007", "null", "2020-01-01", "true", ""]
    assert arrow(("class",), [(name,) for name in names]).column("class").to_pylist() == names


def test_a_column_has_one_type_and_what_is_missing_is_missing():
    rows = [
        (1, 1, "1", True, None),
        (None, 0.5, 2, None, None),
        (np.int64(3), np.float32(0.25), None, False, None),
    ]
    table = arrow(("a", "b", "c", "d", "e"), rows)
    assert table.to_pydict() == {
        "a": [1, None, 3],
        "b": [1.0, 0.5, 0.25],
        "c": ["1", "2", None],
        "d": [True, None, False],
        "e": [None] * 3,
    }
    assert table.schema.types[:4] == [pa.int64(), pa.float64(), pa.string(), pa.bool_()]
    assert arrow(("a", "b"), []).num_rows == 0


def test_what_is_no_number_costs_no_figure(tmp_path):
    rows = [("a", 0.5), ("b", nan), ("c", inf)]
    chart = (
        alt.Chart(records(("name", "value"), rows))
        .mark_bar()
        .encode(alt.X("name:N"), alt.Y("value:Q"))
    )
    saved = save(Plot(figure=chart, header=("name", "value"), rows=rows), tmp_path / "figure")
    (data,) = saved.spec["datasets"].values()
    assert [row["value"] for row in data] == [0.5, None, None]
    json.dumps(saved.spec, allow_nan=False)
    assert saved.png.stat().st_size > 0
    assert [row[1] for row in csv.reader((tmp_path / "figure.csv").read_text().splitlines())] == [
        "value",
        "0.5",
        "nan",
        "inf",
    ]
    assert parquet.read_table(tmp_path / "figure.parquet")["name"].to_pylist() == ["a", "b", "c"]
    assert from_zero([nan, 0.5]) == from_zero([0.5])


@pytest.mark.parametrize(
    "figure", [importance.parallel_coordinates, learning.learning_curves], ids=["lines", "curves"]
)
def test_no_line_of_a_picture_takes_a_canvas_of_its_own(figure):
    """A line that is cut to a frame, or transparent as a whole, is composed on one as large as the
    picture: 10 to 20 ms.
    """
    canvases = []
    for count in (2, 12):
        trials = [TRIALS[2], TRIALS[5]] * (count // 2)
        spec = plot.specification(figure(made_run(trials).read()).figure)
        svg = vl_convert.vegalite_to_svg(json.dumps(plot._still(spec)))
        assert svg.count("line mark") > count
        canvases.append(svg.count(" clip-path=") + svg.count(' opacity="0.'))
    assert canvases[0] == canvases[1]


def test_a_chart_can_still_be_zoomed_and_pointed_at():
    run = made_run()
    curves = plot.specification(learning.learning_curves(run.read()).figure)
    lines = plot.specification(importance.parallel_coordinates(run.read()).figure)
    assert [param["name"] for param in curves["params"] if param.get("bind") == "scales"] == [
        "zoom"
    ]
    assert [param["name"] for param in lines["params"]] == ["hover"]
    assert not any({"filter": "false"} in layer.get("transform", []) for layer in lines["layer"])
