"""Head facts: a script that the head of a cluster runs to say what it has. It needs Python alone.

It is sent as text, since the head need not have this package, so names of files and the beginning
of the answer are written out here: see `submission`, and `ANSWER` in `head`. Its
argument is the folder of all projects, relative to the home folder.

A head may have an older Python, and must be able to say so: all here runs with Python 3.6, which
does not look into an annotation that is text.
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

_NEEDED = ("ray", "torch", "torchvision", "timm", "optuna", "mlflow", "pydantic", "typer", "rich")


def submissions(root: Path) -> "list[dict[str, Any]]":
    """Submissions, oldest first: folder, run ("" if there is none yet), process, and its start."""
    runs = {}
    for file in root.glob("*/runs/*/run.json"):
        folder = _record(file).get("folder")
        if isinstance(folder, str):
            runs[folder] = str(file.parent)
    items = []
    for file in root.glob("*/submitted/*/process.json"):
        record = _record(file)
        if "pid" in record:
            # a process knows its folder without links, such as that of a home folder elsewhere
            files = str((file.parent / "files").resolve())
            items.append({"folder": str(file.parent), "run": runs.get(files, ""), **record})
    return sorted(items, key=lambda submission: submission["began"])


def _record(file: Path) -> "dict[str, Any]":
    """The content of a record, and when it "began" to be; {} for one that is damaged, or is being
    deleted: others are not.
    """
    try:
        began = file.stat().st_mtime
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {"began": began, **content} if isinstance(content, dict) else {}


def sent_paths(root: Path) -> "list[str]":
    """Paths of sent files, also of submissions that were never started, oldest first: code, folders
    of definitions, and items.
    """
    paths = []  # type: list[Path]
    for pattern in ("files/*", "files/given/*/*", "data/*/*"):
        paths += root.glob(f"*/submitted/*/{pattern}")
    paths.sort(key=lambda path: _submission_of(path).stat().st_ctime)
    return [str(path) for path in paths]


def _submission_of(path: Path) -> Path:
    """The folder of the submission to which a path belongs."""
    return next(parent for parent in path.parents if parent.parent.name == "submitted")


def _version_of_ray() -> str:
    """The version of Ray; "" if there is none, or Python is too old to know."""
    try:
        from importlib import metadata

        return metadata.version("ray")
    except ImportError:
        return ""


def facts(projects: str) -> "dict[str, Any]":
    """Facts about this machine."""
    # a process there finds its files without links, and two names of a file would be two values
    root = (Path.home() / projects).resolve()
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    return {
        "python": list(sys.version_info[:3]),
        "ray": _version_of_ray(),
        "missing": missing,
        "root": str(root),
        "free": shutil.disk_usage(Path.home()).free,
        "submissions": submissions(root),
        "sent": sent_paths(root),
    }


if __name__ == "__main__":
    print("\nsyndet_ray answers: " + json.dumps(facts(sys.argv[1])), flush=True)
