"""The files of a run that was sent to a cluster have the same path on all of its nodes."""

import os

import pytest

from syndet_ray.workers.nodes import own_files
from syndet_ray.workers.nodes.own_files import SENT_FOLDER, link_here, runtime_environment


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The working folder of a worker, as Ray has made it from the files of the run."""
    folder = tmp_path / "ray" / "_ray_pkg_1"
    folder.mkdir(parents=True)
    (folder / "mesh.glb").write_text("a mesh")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The path that the files have on the head, which this node lacks."""
    path = tmp_path / "home" / "syndet_projects" / "x" / "files"
    monkeypatch.setenv(SENT_FOLDER, str(path))
    return path


def test_a_node_finds_them_under_the_path_of_the_head(copy, files):
    link_here()
    assert (files / "mesh.glb").read_text() == "a mesh"
    link_here()
    assert files.readlink() == copy
    assert os.listdir(files.parent) == ["files"], "nothing else is left there"


def test_a_later_session_of_ray_has_them_elsewhere(copy, files, tmp_path, monkeypatch):
    link_here()
    later = tmp_path / "ray" / "_ray_pkg_2"
    copy.rename(later)
    monkeypatch.chdir(later)
    link_here()
    assert files.readlink() == later


def test_on_the_head_they_stay_what_they_are(copy, files):
    files.mkdir(parents=True)
    link_here()
    assert files.is_dir() and not files.is_symlink()


def test_ray_brings_them_where_there_are_any(files, monkeypatch):
    environment = runtime_environment()["runtime_env"]
    assert environment["working_dir"] == str(files)
    assert environment["env_vars"] == {SENT_FOLDER: str(files)}
    module, _, name = environment["worker_process_setup_hook"].rpartition(".")
    assert (module, getattr(own_files, name)) == (own_files.__name__, link_here)
    monkeypatch.delenv(SENT_FOLDER)
    assert runtime_environment() == {}
