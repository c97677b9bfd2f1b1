"""The way to the head of a cluster: what is wrong with it is named, with what to do."""

import shutil
import tempfile
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from syndet_ray.cli import on_cluster
from syndet_ray.cli.on_cluster import _check_options, _check_versions, _option_words, _project_name
from syndet_ray.cli.options import with_flags
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.clusters.description import read_cluster_file
from syndet_ray.clusters.head import Head, find_head
from syndet_ray.errors import DefinitionError, MachineError

FILE = """
cluster_name: nobody-has-started-it
provider: {type: local, head_ip: 127.0.0.1, worker_ips: []}
auth: {ssh_user: nobody}
"""
RAY = metadata.version("ray")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where Ray keeps what it has read
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE)
    yield read_cluster_file(path)
    for state in Path("/tmp/ray").glob("cluster-nobody-has-started-it.*"):
        state.unlink()


@pytest.fixture
def head(tmp_path):
    """A head to which the connection breaks at once."""
    if shutil.which("ssh") is None or shutil.which("rsync") is None:
        pytest.skip("not installed: ssh or rsync")
    words = ("ssh", "-F", "none", "-o", "ProxyCommand=false", "-o", "LogLevel=ERROR")
    return Head(file=Path("cluster.yaml"), ssh=words, target="nobody@127.0.0.1")


def test_a_cluster_that_is_not_up_is_named_with_the_command_that_starts_it(file, head, capfd):
    with pytest.raises(MachineError) as refused:
        find_head(file)
    assert str(refused.value) == (
        f"cluster nobody-has-started-it of {file.path}: is not up. Start it: ray up {file.path}"
    )
    assert "".join(capfd.readouterr()) == "", "Ray prints nothing of its own"


def test_half_a_gpu_too_much_is_refused_before_anything_is_sent():
    display = SimpleNamespace(step=lambda text: nullcontext())
    options = SweepOptions(runs=None, gpus_per_trial=1.5)
    with pytest.raises(DefinitionError, match=r"^`gpus_per_trial`: must be a share of a GPU"):
        on_cluster._check_here(SimpleNamespace(definition=None), options, display)


def test_a_missing_program_is_named(file, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"this machine: has no ssh, through which .* Install"):
        find_head(file)


def test_a_head_in_a_container_is_refused(tmp_path, head):
    path = tmp_path / "docker.yaml"
    path.write_text(f"{FILE}docker: {{image: x, container_name: y}}\n")
    with pytest.raises(MachineError, match="runs Ray in containers") as refused:
        find_head(read_cluster_file(path))
    assert "start the sweep with `ray exec` and --address auto" in with_flags(str(refused.value))


@pytest.mark.parametrize("way", ["answer", "run", "send", "fetch"])
def test_a_head_that_cannot_be_reached_is_named(head, way, tmp_path):
    calls = {
        "answer": lambda: head.answer("true"),
        "run": lambda: head.run("true"),
        "send": lambda: head.send(tmp_path, "/nowhere"),
        "fetch": lambda: head.fetch("/nowhere", tmp_path, ()),
    }
    with pytest.raises(MachineError, match=r"the head of cluster.yaml: cannot be reached") as lost:
        calls[way]()
    assert "`ray up cluster.yaml` mends it" in str(lost.value)
    assert head.show("true", on_terminal=False) == 255


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"python": [3, 10, 4]}, "must have Python 3.11 or newer, got '3.10.4'"),
        ({"missing": ["ray", "torch"], "ray": ""}, "lacks ray, torch"),
        ({"ray": "2.9.1"}, f"must have Ray {RAY}, as this machine has, got '2.9.1'"),
    ],
)
def test_a_head_with_other_packages_is_refused(facts, rule):
    with pytest.raises(MachineError) as refused:
        _check_versions({"python": [3, 12, 1], "ray": RAY, "missing": []} | facts, "the head")
    assert str(refused.value).startswith(f"the head: {rule}. Install the packages of")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"address": "auto", "local": True},
            "`cluster`: says where to run, and so cannot be combined with `address` and",
        ),
        ({"tracking": "sqlite:///x.db"}, "`tracking`: must be the address of a server"),
    ],
)
def test_options_that_mean_another_place_are_refused(options, error):
    with pytest.raises(DefinitionError) as refused:
        _check_options(SweepOptions(runs=None, **options))
    assert str(refused.value).startswith(error)


def test_the_options_go_along():
    options = SweepOptions(
        runs=None, trials=3, gpus_per_trial=0.5, storage="s3://b/x", skip_bad=False, stream=True
    )
    assert " ".join(_option_words(options)) == (
        "--trials 3 --gpus-per-trial 0.5 --storage s3://b/x --stream --no-skip-bad"
    )


def test_a_folder_has_a_project_of_its_own(tmp_path, monkeypatch):
    names = []
    for name in ("a/my photos", "b/my photos"):
        (tmp_path / name).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        names.append(_project_name())
    assert len(set(names)) == 2
    assert all(name.startswith("my_photos-") for name in names)


def test_a_lost_connection_is_told_from_an_end():
    assert on_cluster._is_lost(255) and on_cluster._is_lost(-9)
    assert not on_cluster._is_lost(0) and not on_cluster._is_lost(10)
