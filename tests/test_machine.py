"""What a run is carried out with: packages, GPUs and the commits of its code, as far as something
tells of them.
"""

import os
import subprocess

import syndet_ray
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.runs import machine
from syndet_ray.runs.results import Trial
from syndet_ray.tuning.packages import Packages


def program(folder, name, text):
    """Puts a program first on the path."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_packages_that_are_not_installed_have_no_version(monkeypatch):
    monkeypatch.setattr(machine, "_PACKAGES", ("numpy", "no-such-package"))
    assert machine.versions().keys() == {"syndet_ray", "numpy"}


def test_gpus_and_their_driver_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    line = "NVIDIA H100 80GB HBM3, 580.95.05"
    program(
        tmp_path,
        "nvidia-smi",
        f'test "$1" = --query-gpu=name,driver_version && echo "{line}" && echo "{line}"',
    )
    facts = machine.machine()
    assert (facts["gpus"], facts["driver"]) == ("2 NVIDIA H100 80GB HBM3", "580.95.05")


def test_a_driver_that_fails_or_does_not_answer_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "gpus" not in machine.machine(), "there is none"
    program(tmp_path, "nvidia-smi", 'echo "NVIDIA H100, 580.95"; exit 9')
    assert "gpus" not in machine.machine()
    monkeypatch.setattr(machine, "_PATIENCE_S", 0.01)
    program(tmp_path, "nvidia-smi", 'echo "NVIDIA H100, 580.95"; exec /bin/sleep 10')
    assert "gpus" not in machine.machine()


def test_the_commit_is_that_of_a_checkout_that_tracks_the_file(tmp_path, monkeypatch):
    def git(*arguments):
        settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(
            ["git", "-C", tmp_path, *settings, *arguments], check=True, capture_output=True
        )

    package = tmp_path / "syndet_ray" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.setattr(syndet_ray, "__file__", str(package))
    assert machine.code(None) == {}, "no checkout"
    git("init", "-q")
    git("commit", "-qm", "one", "--allow-empty")
    assert machine.code(None) == {}, "installed inside of a checkout that does not track it"
    git("add", ".")
    git("commit", "-qm", "two")
    commit = (
        tmp_path / ".git/refs/heads" / (tmp_path / ".git/HEAD").read_text().split("/")[-1].strip()
    ).read_text()
    assert machine.code(package) == {
        name: {"commit": commit.strip(), "dirty": False} for name in ("syndet_ray", "sweep")
    }
    (tmp_path / "notes.txt").write_text("not tracked")
    assert not machine.code(None)["syndet_ray"]["dirty"]
    package.write_text("changed")
    assert machine.code(None)["syndet_ray"]["dirty"]


def trained_on(host, versions, state="RUNNING"):
    return Trial(
        number=0,
        role="search",
        params={},
        recipe=Recipe(),
        state=state,
        effective={"machine/host": host, "machine/versions": versions},
    )


def test_nodes_with_other_packages_are_noted_once(monkeypatch):
    monkeypatch.setattr(
        machine, "versions", lambda: {"torch": "2.9.0", "scipy": "1.16", "embreex": "4.4"}
    )
    machine.worker.cache_clear()
    notes = []
    nodes = Packages(notes.append)
    nodes.update(trained_on("gpu-1", machine.worker()["versions"]))
    nodes.update(Trial(number=1, role="search", params={}, recipe=Recipe()))
    assert notes == []
    for host in ("gpu-2", "gpu-2", "gpu-3"):
        nodes.update(trained_on(host, "torch 2.8.0, scipy 1.16, trimesh 5.2"))
    nodes.update(trained_on("gpu-4", "torch 2.7.0", "COMPLETE"))
    words = "embreex is missing (4.4 here), torch 2.8.0 (2.9.0 here), trimesh 5.2 (none here)"
    assert notes == [
        f"gpu-{k} trains with other packages than this machine has: {words}" for k in (2, 3)
    ]
    machine.worker.cache_clear()
