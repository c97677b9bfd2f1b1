"""Own files: brings the files of a run that was sent to a cluster to each of its nodes.

The run's code, sweep, assets and weights lie in a folder of the head, which the environment names.
Ray copies it to each node that gets a worker, into a folder of its own; a link there gives it the
path that it has on the head, so paths in a recipe mean the same everywhere.
"""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from syndet_ray.definitions.program import SENT_FOLDER

_HOOK = "syndet_ray.workers.nodes.own_files.link_here"


def is_sent() -> bool:
    """True in the driver and the workers of a run that another machine has sent to this cluster."""
    return SENT_FOLDER in os.environ


def runtime_environment() -> dict[str, Any]:
    """Arguments of ray.init() that bring the folder to the nodes; none if there is no folder."""
    folder = os.environ.get(SENT_FOLDER)
    if folder is None:
        return {}
    return {
        "runtime_env": {
            "working_dir": folder,
            "env_vars": {SENT_FOLDER: folder},
            "worker_process_setup_hook": _HOOK,
        }
    }


def link_here() -> None:
    """Gives the working folder of this worker the path that the folder has on the head.

    Does nothing on the head itself, where the folder is.
    """
    folder = Path(os.environ[SENT_FOLDER])
    if folder.is_dir() and not folder.is_symlink():
        return
    copy = Path.cwd()
    if folder.is_symlink() and folder.resolve() == copy:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    link = folder.with_name(f"{folder.name}-{uuid4().hex}")
    link.symlink_to(copy)
    link.replace(folder)  # whole, because other workers begin at the same time
