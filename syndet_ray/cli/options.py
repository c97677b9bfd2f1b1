"""Options: what several verbs take, as the command line tells of it, and the exit statuses."""

from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED, FAILED, SPENT = 130, 1, 3


def _more_than_0(number: float | None) -> float | None:
    """What was given. Raises BadParameter, before anything is loaded, for 0 and less: a range of
    typer's includes its ends.
    """
    if number is not None and not number > 0:
        raise typer.BadParameter(f"{number:g} is not more than 0.")
    return number


Name = Annotated[
    str, typer.Argument(metavar="SWEEP", help="Name of a sweep, or the path of its file.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, under runs/.")]
RunAddress = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of a run, or its s3:// address.")
]
Real = Annotated[
    Path | None, typer.Option(help="Folder of real, labelled photos. Without it, a stand-in set.")
]
_AS_BEGUN = "Default: as the run began."
RealAgain = Annotated[
    Path | None, typer.Option("--real", help=f"Where the same photos lie now. {_AS_BEGUN}")
]
AddressAgain = Annotated[
    str | None, typer.Option("--address", help=f"Ray cluster to join. {_AS_BEGUN}")
]
TrackingAgain = Annotated[
    str | None, typer.Option("--tracking", help=f"MLflow server. {_AS_BEGUN}")
]
Runs = Annotated[Path, typer.Option(help="Folder for runs, rendered scenes and MLflow's store.")]
Parallel = Annotated[
    int | None, typer.Option(min=1, help="Trials at once. Default: one a core, or one a GPU.")
]
Trials = Annotated[
    int | None, typer.Option(min=1, help="Proposed recipes, instead of the sweep's own number.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Instead of the sweep's own seed.")]
Gpus = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Share of a GPU that a trial takes. Default: 1 where the cluster has any.",
    ),
]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to join, such as auto. Default: this machine alone.")
]
Storage = Annotated[
    str | None, typer.Option(help="s3://bucket/prefix for checkpoints and a copy of the run.")
]
TrackingUri = Annotated[
    str | None, typer.Option("--tracking", help="MLflow server. Default: sqlite under --runs.")
]
Hours = Annotated[
    float | None,
    typer.Option(
        callback=_more_than_0, help="Wall clock that the run may take in all, more than 0."
    ),
]
Images = Annotated[int | None, typer.Option(min=1, help="Images that all trials together may see.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Even where it cannot fit the budget, or something has changed."),
]
Local = Annotated[
    bool, typer.Option("--local", help="In this process, one trial at a time, without Ray.")
]
Board = Annotated[
    bool, typer.Option("--tensorboard", help="Write event files too, in the run's folder.")
]
NearCopies = Annotated[
    bool, typer.Option("--allow-near-copies", help="Even where a photo seems to be in two splits.")
]
Points = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Propose the best recipes of this run first.")
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="New folder, or an empty one.")]
Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of labelled photos.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Like scene.blur=0.2; may be given many times.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Scenes rendered at once. Default: one a core.")
]
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Run, champion, checkpoint, or models:/NAME@champion."),
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")]
