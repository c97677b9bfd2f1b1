"""Drawings: numbers are kept as what they are, and one that is none costs no figure."""

import csv
import json
from math import inf, nan

import altair as alt
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from syndet_ray.report.figures.drawing import Drawing, arrow, from_zero, records, save


def test_what_users_name_like_numbers_dates_or_nothing_stays_text():
    names = ["007", "null", "2020-01-01", "true", ""]
    assert arrow(("class",), [(name,) for name in names]).column("class").to_pylist() == names


def test_a_column_has_one_type_and_what_is_missing_is_missing():
    rows = [(1, 1, "1", True, None), (None, 0.5, 2, None, None), (np.int64(3), np.float32(0.25), None, False, None)]
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
    chart = alt.Chart(records(("name", "value"), rows)).mark_bar().encode(alt.X("name:N"), alt.Y("value:Q"))
    drawn = save(Drawing(chart, ("name", "value"), rows), tmp_path / "figure")
    (data,) = drawn.spec["datasets"].values()
    assert [row["value"] for row in data] == [0.5, None, None]
    json.dumps(drawn.spec, allow_nan=False)
    assert drawn.png.stat().st_size > 0
    assert [row[1] for row in csv.reader((tmp_path / "figure.csv").read_text().splitlines())] == [
        "value",
        "0.5",
        "nan",
        "inf",
    ]
    assert parquet.read_table(tmp_path / "figure.parquet")["name"].to_pylist() == ["a", "b", "c"]
    assert from_zero([nan, 0.5]) == from_zero([0.5])
