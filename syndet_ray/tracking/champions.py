"""Champions: finds a saved model in a folder, in a run, or in MLflow's registry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syndet_ray.data.storage import holds, inside, local_copy
from syndet_ray.errors import DataError, MachineError, nearest
from syndet_ray.files import reading, temporary_folder
from syndet_ray.tracking.backup import COPY
from syndet_ray.wording import command_line

REGISTERED = "models:/"
_WEIGHTS = "model.safetensors"
_KEY_FILES = (_WEIGHTS, "program.json")  # one of them is in every saved model
# Folders under an S3 address that may hold the weights: the address itself, the champion of a
# run's folder, and the champion of the copy of a run, which lies next to its checkpoints.
_PLACES = ("", "champion", f"{COPY}/champion")
_IN_THE_RUN = "The folder of the run has the model, too: give that."
_KINDS = "Give a run or its champion/, a checkpoint, or models:/NAME@champion."


@contextmanager
def model_folder(model: str, runs: Path, tracking: str | None) -> Iterator[Path]:
    """Gives a local folder with model.safetensors and model.json, until the block ends.

    model     the folder itself, a run that has a champion, an s3:// address of either, or the
              address of a registered model: models:/NAME@ALIAS or models:/NAME/VERSION
    tracking  MLflow's store; None for the one under `runs`

    Raises DataError if there is no such model, and MachineError if the store does not exist; no
    store is made.
    """
    if model.startswith(REGISTERED):
        with temporary_folder() as folder:
            yield saved_in(_download(model, _store(runs, tracking), folder), model)
    elif "://" in model:
        with local_copy(_stored_folder(model)) as copy:
            yield saved_in(copy, model)
    else:
        with reading(Path(model)):
            saved = saved_in(Path(model), model)
        yield saved


def saved_in(path: Path, place: str) -> Path:
    """Returns the folder with the weights: `path` or the champion in it.

    path   a folder, or the file of weights itself, whose folder is returned
    place  the name of the model in errors
    """
    if path.name == _WEIGHTS and path.is_file():
        return path.parent
    for folder in (path, path / "champion"):
        if any((folder / name).is_file() for name in _KEY_FILES):
            return folder
    if not path.exists():
        raise DataError(place, "does not exist", do=_KINDS)
    if (path / "sweep.json").is_file():
        raise _unfinished_error(place)
    raise _empty(place)


def _stored_folder(address: str) -> str:
    """Returns the folder with the weights, at or under an S3 address; nothing is fetched for this.

    Raises as `model_folder` does.
    """
    for name in _PLACES:
        place = inside(address, name)
        if any(holds(place, file) for file in _KEY_FILES):
            return place
    if holds(address, f"{COPY}/sweep.json"):
        raise _unfinished_error(address)
    raise _empty(address)


def _empty(place: str) -> DataError:
    return DataError(
        place, f"holds no saved model (no {_WEIGHTS}, here or in champion/)", do=_KINDS
    )


def _unfinished_error(place: str) -> DataError:
    do = f"Finish it: {command_line('resume', place)}, or give one of its checkpoints."
    return DataError(place, "is a run without a champion", do=do)


def _store(runs: Path, tracking: str | None) -> str:
    """Returns the address of an MLflow store that exists; MLflow would make a missing one."""
    from syndet_ray.tracking.store import store_address, store_file

    uri = tracking or store_address(runs)
    file = store_file(uri)
    with reading(runs):
        is_missing = file is not None and not file.exists()
    if is_missing:
        do = "Give the folder of the runs with `runs`, or the store with `tracking`."
        raise MachineError(file, "there is no MLflow store", do=do)
    return uri


def _download(model: str, uri: str, folder: Path) -> Path:
    """Downloads a registered model into `folder`, and returns its path."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # read when it downloads
    import mlflow
    from mlflow.exceptions import MlflowException

    from syndet_ray.tracking.address import mask
    from syndet_ray.tracking.store import global_store, readable_store, reason

    with readable_store(uri) as store:
        try:
            with global_store(store):
                return Path(mlflow.artifacts.download_artifacts(model, dst_path=str(folder)))
        except (MlflowException, OSError) as error:
            rule = f"cannot be fetched from MLflow's store {mask(uri)} ({reason(error)})"
            raise DataError(model, rule, do=_hint(model, store)) from None


def _hint(model: str, uri: str) -> str:
    """Returns the registered model that was probably meant, and its aliases and versions."""
    from mlflow.exceptions import MlflowException

    from syndet_ray.tracking.store import store_client

    try:
        registered = {entry.name: entry for entry in store_client(uri).search_registered_models()}
    except MlflowException:
        return ""
    name = model.removeprefix(REGISTERED).partition("@")[0].partition("/")[0]
    if not registered:
        return f"No model is registered there. {_IN_THE_RUN}"
    if name not in registered:
        return f"{nearest(name, registered)} {_IN_THE_RUN}"
    aliases = [f"{name}@{alias}" for alias in registered[name].aliases]
    versions = [f"{name}/{version.version}" for version in registered[name].latest_versions]
    if not aliases and not versions:
        return f"{name} has no version."
    return f"There are {', '.join(aliases + versions)}."
