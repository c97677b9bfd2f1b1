"""Escapes: names without forbidden characters, from which the names can be read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syndet_ray.escapes import escape, unescape
from syndet_ray.tracking.valid_names import registered_name, safe_name

NAMES = st.text(st.sampled_from("ab_x2e5f/.:%$ 可'"), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("lr#2", "lr_x23_2"),
        ("snake_case", "snake_case"),
        ("lr_x23_2", "lr_x5f_x23_2"),
        ("zoom_x2", "zoom_x2"),
        ("size_x2_lr", "size_x2_lr"),  # codes have two digits and more
        ("_x2e#", "_x5f_x2e_x23_"),
        ("##", "_x23__x23_"),
        ("", ""),
    ],
)
def test_a_forbidden_character_and_what_looks_like_an_escape_become_codes(name, escaped):
    assert escape(name, "#") == escaped
    assert unescape(escaped) == name


@given(NAMES)
def test_every_name_can_be_read_back(name):
    escaped = escape(name, r"[/.:%$' ]")
    assert not re.search(r"[/.:%$' ]", escaped)
    assert unescape(escaped) == name


@given(NAMES)
def test_names_that_mlflow_was_given_can_be_read_back(name):
    assert unescape(safe_name(name)) == name
    assert unescape(registered_name(f"syndet_ray-{name}")) == f"syndet_ray-{name}"


@pytest.mark.parametrize(
    "text", ["run_xffffffff_a", "_xffffff_", "_x110000_", "_x_", "_xg_", "x2e_"]
)
def test_text_that_is_no_code_stays_as_it_is(text):
    assert unescape(text) == text
