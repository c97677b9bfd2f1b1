"""Record: what run.json keeps of how a run was made, and how it ended."""

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syndet_ray.data.real import RealData
from syndet_ray.data.remote.address import for_record, photo_place, without_queries
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.ingredients import program_hashes, scenes_hashes, weights_hashes
from syndet_ray.runs.machine import environment
from syndet_ray.tracking.address import kept_address, mask
from syndet_ray.tuning.options import Options, Origin, Status


def description(
    origin: Origin, asked: LoadedSweep, options: Options, data: RealData
) -> dict[str, Any]:
    """The record of a new run."""
    return {
        "name": origin.name,
        "file": None if origin.file is None else str(origin.file.resolve()),
        "folder": str(Path.cwd()),
        "file_origins": None if origin.file_origins is None else dict(origin.file_origins),
        "given": dict(origin.given),
        "project": dict(origin.project),
        "command": mask(shlex.join(without_queries(origin.command))),
        "started": time.time(),
        "asked": asked.model_dump(mode="json"),  # sweep.json has it settled
        "seed": asked.seed,
        "options": plain_options(options),
        "real": data.describe(),
        "weights": weights_hashes(asked),
        "programs": program_hashes(asked),
        "scenes": scenes_hashes(asked),
        "stand_in": data.stand_in,
        "classes": data.pools["train"].classes,
        **environment(origin.file),
    }


def plain_options(options: Options) -> dict[str, Any]:
    """The options as run.json keeps them, without a password."""
    plain = {}
    for key, value in vars(options).items():
        plain[key] = str(value.resolve()) if isinstance(value, Path) else value
    tracking = None if options.tracking is None else mask(options.tracking)
    real = None if options.real is None else for_record(options.real)
    return plain | {"tracking": tracking, "real": real}


def saved_options(saved: Mapping[str, Any]) -> Options:
    """The options that `plain_options` wrote, and those that were given in their place."""
    real = None if saved["real"] is None else photo_place(saved["real"])
    tracking = None if saved["tracking"] is None else kept_address(saved["tracking"])
    classes_file = None if saved.get("classes_file") is None else Path(saved["classes_file"])
    kept = {"runs": Path(saved["runs"]), "real": real, "tracking": tracking}
    return Options(**{**saved, **kept, "classes_file": classes_file})


def record_environment(folder: RunFolder) -> None:
    """Records the code, packages and machine of this attempt if the last attempt had others."""
    about = folder.about
    file = about.get("file")
    now = environment(None if file is None else Path(file))
    resumed = about.get("resumed", [])
    before = resumed[-1] if resumed else about
    if any(before.get(name) != facts for name, facts in now.items()):
        folder.describe(about | {"resumed": [*resumed, {"time": time.time(), **now}]})


def record_end(folder: RunFolder, status: Status) -> None:
    """Records in the run's folder how the run ended."""
    folder.describe(folder.about | {"finished": time.time(), "status": status})
