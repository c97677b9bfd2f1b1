"""Folder names: a folder for any name, and the name back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syndet_ray.folder_names import folder_for, name_of


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("soda/can", "soda_x2f_can"),
        ("soda_can", "soda_can"),
        ("soda_x2f_can", "soda_x5f_x2f_can"),
        ("_cup", "_x5f_cup"),
        (".cup", "_x2e_cup"),
        ("..", "_x2e_."),
        ("/", "_x2f_"),
        ("a: 50 %", "a: 50 %"),
        ("可_口", "可_口"),
    ],
)
def test_a_name_has_a_folder_that_tells_it(name, folder):
    assert folder_for(name) == folder
    assert name_of(folder) == name


@given(st.text(st.sampled_from("ab_x2f5e./\0 可"), min_size=1, max_size=20))
def test_every_name_can_be_read_back(name):
    folder = folder_for(name)
    assert name_of(folder) == name
    assert not folder.startswith(".")
    assert not {"/", "\0"} & set(folder)


@pytest.mark.parametrize("folder", ["part_x4_", "_cup", "a_xd800_", "a_xffffff_", "a_xffffffffff_"])
def test_a_folder_of_a_person_has_its_own_name(folder):
    assert name_of(folder) == folder
