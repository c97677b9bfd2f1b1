"""Champions: where a saved model lies: in a folder, in a run, or in MLflow's registry."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from syndet_ray.data.storage import fetched, holds, inside
from syndet_ray.errors import DataError, MachineError, nearest
from syndet_ray.tracking.backup import KEPT

REGISTERED = "models:/"
_WEIGHTS = "model.safetensors"
# In a store, where the weights may lie: in the folder itself, in a run's, and in that of a run
# beside its checkpoints.
_PLACES = ("", "champion", f"{KEPT}/champion")
_KINDS = "Give a run or its champion/, a checkpoint, or models:/NAME@champion."


@contextmanager
def found(model: str, runs: Path, tracking: str | None) -> Iterator[Path]:
    """A folder of this machine with model.safetensors and model.json, for as long as it is needed.

    model     the folder itself, a run that has a champion, an s3:// address of either, or the
              address of a registered
              model: models:/NAME@ALIAS or models:/NAME/VERSION
    tracking  MLflow's store; None for the one under `runs`

    Raises DataError where there is no such model, and MachineError for a store that is not there:
    none is made.
    """
    if model.startswith(REGISTERED):
        with tempfile.TemporaryDirectory(prefix="syndet-") as folder:
            yield saved_in(_downloaded(model, _store(runs, tracking), folder), model)
    elif "://" in model:
        with fetched(_stored(model)) as copy:
            yield saved_in(copy, model)
    else:
        yield saved_in(Path(model), model)


def saved_in(path: Path, place: str) -> Path:
    """The folder with the weights: `path`, the champion in it, or where the file of weights itself
    lies.
    """
    for folder in (path, path / "champion", path.parent):
        if (folder / _WEIGHTS).is_file() and (folder != path.parent or path.name == _WEIGHTS):
            return folder
    if not path.exists():
        raise DataError(place, "does not exist", do=_KINDS)
    if (path / "sweep.json").is_file():
        raise _unfinished(place)
    raise _empty(place)


def _stored(address: str) -> str:
    """The folder with the weights, in or under an address of S3. Raises as `found` does; nothing is
    fetched to find out.
    """
    for place in (inside(address, name) for name in _PLACES):
        if holds(place, _WEIGHTS):
            return place
    if holds(address, f"{KEPT}/sweep.json"):
        raise _unfinished(address)
    raise _empty(address)


def _empty(place: str) -> DataError:
    return DataError(
        place, f"holds no saved model (no {_WEIGHTS}, here or in champion/)", do=_KINDS
    )


def _unfinished(place: str) -> DataError:
    do = "Finish it with resume, or give one of its checkpoints."
    return DataError(place, "is a run without a champion", do=do)


def _store(runs: Path, tracking: str | None) -> str:
    """The address of an MLflow store that is there. MLflow would make one that is not."""
    uri = tracking or f"sqlite:///{runs.resolve() / 'mlflow.db'}"
    file = _local_file(uri)
    if file is not None and not file.exists():
        do = "Say with `runs` where the runs lie, or with `tracking` which store it is."
        raise MachineError(file, "there is no MLflow store", do=do)
    return uri


def _local_file(uri: str) -> Path | None:
    """Where a store on this machine lies; None for a server or a database server."""
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    return None if "://" in uri else Path(uri)


def _downloaded(model: str, uri: str, folder: str) -> Path:
    """A copy in `folder` of what the registry has under an address."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # read when it downloads
    import mlflow
    from mlflow.exceptions import MlflowException

    from syndet_ray.tracking.server import mask
    from syndet_ray.tracking.store import check_store

    check_store(uri)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)  # the registry looks an address up there, whatever it is given
    try:
        return Path(mlflow.artifacts.download_artifacts(model, dst_path=folder))
    except (MlflowException, OSError) as error:
        rule = mask(f"cannot be had from MLflow's store {uri} ({_first_line(error)})")
        raise DataError(model, rule, do=_hint(model, uri)) from None
    finally:
        mlflow.set_tracking_uri(before)


def _first_line(error: Exception) -> str:
    """What an exception says first; the name of its kind where it says nothing."""
    return next(
        (line.rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__
    )


def _hint(model: str, uri: str) -> str:
    """The registered model that was probably meant, and what of it there is."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        known = {one.name: one for one in MlflowClient(uri).search_registered_models()}
    except MlflowException:
        return ""
    name = model.removeprefix(REGISTERED).partition("@")[0].partition("/")[0]
    if name not in known:
        return nearest(name, known) if known else "No model is registered there."
    there = [f"{name}@{alias}" for alias in known[name].aliases] + [
        f"{name}/{v.version}" for v in known[name].latest_versions
    ]
    return f"There are {', '.join(there)}." if there else f"{name} has no version."
