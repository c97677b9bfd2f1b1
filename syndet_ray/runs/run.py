"""Run: all that was kept of a run, read once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.runs.occupancy import Period
from syndet_ray.runs.results import Picture, TestScores, Trial
from syndet_ray.wording import command_line

# How the last attempt at an unfinished run ended: it was stopped or failed, or its budget is
# spent.
Halt = Literal["interrupted", "spent"]


def _no_draws(model: int) -> Mapping[str, np.ndarray]:
    return {}


def _no_pictures(name: str) -> Sequence[Picture]:
    return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A run as it stood when it was read, see `RunFolder.read`. Code that only reads runs takes
    this value, not a folder.

    path       of its folder, as messages name it
    about      how it was made: seed, data hashes, versions, machine, MLflow ids
    trials     by number
    test       scores on the test set; None before it was opened
    elapsed_s  how long it was carried out, all attempts together
    halt       how it was left unfinished, see `halt_of`
    periods    the attempts at it, with the nodes that they had, see `runs.occupancy`

    Two functions that read when they are called, since the data are large:

    draws      (resamples,) of a model's scores on the test set, by metric; {} for a run of an
               earlier version. Resample r holds the same images for every model, of any run, that
               was scored on the same test set
    pictures   kept for the report under a name; empty if there are none
    """

    path: Path
    sweep: LoadedSweep
    about: Mapping[str, Any]
    trials: tuple[Trial, ...] = ()
    test: TestScores | None = None
    elapsed_s: float = 0.0
    halt: Halt | None = None
    periods: tuple[Period, ...] = ()
    draws: Callable[[int], Mapping[str, np.ndarray]] = _no_draws
    pictures: Callable[[str], Sequence[Picture]] = _no_pictures

    @property
    def stand_in(self) -> bool:
        """True when rendered images took the place of photos."""
        return bool(self.about.get("stand_in")) or (self.test is not None and self.test.stand_in)

    @property
    def has_synthetic(self) -> bool:
        """True if a recipe that was trained, or is to be, has synthetic images."""
        recipes = [*(trial.recipe for trial in self.trials), *self.sweep.fixed.values()]
        return any(recipe.mix.synthetic > 0 for recipe in recipes)


def resume_command(path: Path, about: Mapping[str, Any]) -> str:
    """Returns the command that resumes a run: one that was brought here from a cluster goes on
    there, where its photos and checkpoints are.

    about  what run.json keeps of the run
    """
    cluster = about.get("cluster")
    if cluster is None:
        return command_line("resume", path)
    # the head may know it by another name than this folder has
    path_there = path.with_name(about.get("name_there", path.name))
    return command_line("resume", path_there, "--cluster", cluster)


def continue_hint(path: Path, about: Mapping[str, Any]) -> str:
    """Returns "continue with: COMMAND", for the cluster of a run that was brought here."""
    return f"continue with: {resume_command(path, about)}"


def halt_of(about: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Halt | None:
    """Returns how a run was left unfinished, from its run.json and the events of its ledger.

    None if it is finished, or was not interrupted yet, or a later attempt has begun.
    """
    status: Halt | None = about.get("status")
    if status not in ("interrupted", "spent"):
        return None
    ended = about.get("finished", 0.0)
    attempts = [event["time"] for event in events if event["event"] == "attempt"]
    return None if any(began > ended for began in attempts) else status
