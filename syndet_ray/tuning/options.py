"""Options: how a run is carried out, where its sweep came from, and how it ended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from syndet_ray.errors import MachineError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.prices import Prices
from syndet_ray.search.search import Budget

# How a run ended: resume continues one that was interrupted, or whose budget is spent; it failed if
# no trial finished.
Status = Literal["finished", "interrupted", "spent", "failed"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of how a run is carried out. They change nothing about what the sweep asks.

    runs               folder of the runs, the cache and, by default, MLflow's store
    real               real photos: a folder, or an s3:// or https:// address as text; None takes
                       the stand-in set
    parallel           trials at once; None takes as many as cores or GPUs allow
    gpus_per_trial     GPUs of each trial, a share of one or a whole number; None takes one if there
                       is any
    address            a running Ray cluster; None starts one on this machine
    storage            s3:// address for checkpoints and a copy of the run; None keeps all under
                       runs
    tracking           MLflow server; None takes sqlite under runs
    hours              wall clock that the whole run may take; None sets no limit
    images             images that all its trials together may see; None sets no limit
    local              trains in this process, one trial after another, without Ray
    gpu_hour_price     of one GPU; the report and `check` then say what the run costs
    core_hour_price    of one core, in the same currency
    tensorboard        writes event files too, in the run's folder
    allow_near_copies  accepts photos that look the same in two splits; they are refused otherwise
    format             the format of the photos' labels; None recognizes it
    skip_bad           leaves out labels and photos that cannot be used; they are refused otherwise
    classes_file       the file of new names of classes, for commands that messages propose; None if
                       there is none, or the sweep itself names them
    hold_out           share of the training photos that becomes the missing test split; None if the
                       photos have one
    stream             decodes photos each time they are needed, as is done anyway if they do not
                       fit into memory
    """

    runs: Path
    real: Path | str | None = None
    parallel: int | None = None
    gpus_per_trial: float | None = None
    address: str | None = None
    storage: str | None = None
    tracking: str | None = None
    hours: float | None = None
    images: int | None = None
    gpu_hour_price: float | None = None
    core_hour_price: float | None = None
    local: bool = False
    tensorboard: bool = False
    allow_near_copies: bool = False
    format: str | None = None
    skip_bad: bool = False
    classes_file: Path | None = None
    hold_out: float | None = None
    stream: bool = False

    @property
    def cache(self) -> Path:
        return self.runs.resolve() / "cache"

    @property
    def prices(self) -> Prices:
        """Raises DefinitionError for a number that is no price."""
        return Prices(gpu_hour_price=self.gpu_hour_price, core_hour_price=self.core_hour_price)

    @property
    def budget(self) -> Budget:
        hours = math.inf if self.hours is None else self.hours
        images = math.inf if self.images is None else self.images
        return Budget(hours, images)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The source of a run's sweep: its file, and the settings that replaced those of the file.

    given         settings from the command line, by name
    command       the words of the command line; empty for a run that was started from Python
    project       the folder's syndet.toml, as the run found it: what it says that the command line
                  does not is in `given` and in the options of the run
    file_origins  where each file that another machine has sent here comes from, by its path here;
                  None for a sweep of this machine
    """

    name: str
    file: Path | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    command: Sequence[str] = ()
    project: Mapping[str, Any] = field(default_factory=dict)
    file_origins: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a run.

    why          the limit of the budget that is reached, in words; of use if it is "spent"
    trials_url   page that shows its trials in a browser; "" if MLflow's store is a file, which no
                 server shows yet
    unwritten    the part of the run that MLflow lacks, and how to complete it; None if it lacks
                 nothing
    is_reported  True if the report shows the run as it ended; False if it could not be written,
                 which a note said
    """

    folder: RunFolder
    status: Status
    why: str = ""
    trials_url: str = ""
    unwritten: MachineError | None = None
    is_reported: bool = True
