"""Head facts: a script that the head of a cluster runs to say what it has. It needs Python alone.

It is sent as text, since the head need not have this package, so names of files and the beginning
of the answer are written out here: see `submission` and `bundle`, and `ANSWER` in `head`. Its
argument is the folder of all projects, relative to the home folder.
"""

from __future__ import annotations  # a head may have an older Python, which it must be able to say

import importlib.metadata
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

_NEEDED = ("ray", "torch", "torchvision", "timm", "optuna", "mlflow", "pydantic", "typer", "rich")


def submissions(root: Path) -> list[dict[str, Any]]:
    """Submissions, oldest first: folder, run ("" if there is none yet), process, and its start."""
    runs = {}
    for record in root.glob("*/runs/*/run.json"):
        try:
            folder = json.loads(record.read_text(encoding="utf-8"))["folder"]
        except (OSError, ValueError, KeyError):
            continue
        runs[folder] = record.parent
    items = []
    for record in root.glob("*/submitted/*/process.json"):
        files = str(record.parent / "files")
        run = runs.get(files)
        try:
            item = {
                "folder": str(record.parent),
                "run": "" if run is None else str(run),
                "began": record.stat().st_mtime,
                **json.loads(record.read_text(encoding="utf-8")),
            }
        except (OSError, ValueError):  # it is being deleted, or damaged: others are not
            continue
        items.append(item)
    return sorted(items, key=lambda submission: submission["began"])


def sent_paths(root: Path) -> list[str]:
    """Paths of sent files, also of submissions that were never started, oldest first: code, folders
    of definitions, and items.
    """
    paths = list[Path]()
    for pattern in ("files/*", "files/given/*/*", "data/*/*"):
        paths += root.glob(f"*/submitted/*/{pattern}")
    paths.sort(key=lambda path: _submission_of(path).stat().st_ctime)
    return [str(path) for path in paths]


def _submission_of(path: Path) -> Path:
    """The folder of the submission to which a path belongs."""
    return next(parent for parent in path.parents if parent.parent.name == "submitted")


def facts(projects: str) -> dict[str, Any]:
    """Facts about this machine."""
    root = Path.home() / projects
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    ray = "" if "ray" in missing else importlib.metadata.version("ray")
    return {
        "python": list(sys.version_info[:3]),
        "ray": ray,
        "missing": missing,
        "root": str(root),
        "free": shutil.disk_usage(Path.home()).free,
        "submissions": submissions(root),
        "sent": sent_paths(root),
    }


if __name__ == "__main__":
    print("\nsyndet_ray answers: " + json.dumps(facts(sys.argv[1])), flush=True)
