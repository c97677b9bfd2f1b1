"""Run: all that was kept of a run, read once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.runs.results import Picture, TestScores, Trial


def _none_kept(model: int) -> Mapping[str, np.ndarray]:
    return {}


def _no_pictures(name: str) -> Sequence[Picture]:
    return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A run as it stood when it was read, see `RunFolder.read`. Whoever only looks at runs takes
    this, and no folder.

    path       of its folder, as it is named to people
    about      how it was made: seed, data hashes, versions, machine, MLflow ids
    trials     by number
    test       scores on the test set; None before it was opened
    elapsed_s  how long it was carried out, all attempts together

    Read when they are asked for, since they are large:

    draws      (resamples,) of a model's scores on the test set, by metric; none of an older run.
               Resample r holds the same images for every model, of whichever run, that met the same
               test set
    pictures   kept for the report under a name; none where there are none
    """

    path: Path
    sweep: LoadedSweep
    about: Mapping[str, Any]
    trials: tuple[Trial, ...] = ()
    test: TestScores | None = None
    elapsed_s: float = 0.0
    draws: Callable[[int], Mapping[str, np.ndarray]] = _none_kept
    pictures: Callable[[str], Sequence[Picture]] = _no_pictures

    @property
    def stand_in(self) -> bool:
        """Whether rendered images took the place of photos."""
        return bool(self.about.get("stand_in")) or (self.test is not None and self.test.stand_in)
