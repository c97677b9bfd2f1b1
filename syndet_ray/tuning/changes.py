"""Changes: what is no longer as it was when a run began. Trials of before and after would not answer the same question."""

import hashlib
import json
from pathlib import Path
from typing import Any

from syndet_ray.errors import DefinitionError, SyndetError
from syndet_ray.recipe import NAMED_WEIGHTS
from syndet_ray.run_folder import RunFolder
from syndet_ray.sweep import Sweep, load
from syndet_ray.tuning import preflight
from syndet_ray.tuning.preflight import RealData

_WEIGHTS = "detector.weights"
_HASH_DIGITS = 12  # enough to tell two files apart, few enough to be read


def refuse(folder: RunFolder, data: RealData) -> None:
    """Raises DefinitionError with every difference, where there is one."""
    if "asked" in folder.about:
        changes = [*_of_the_sweep(folder), *_of_the_data(folder, data), *_of_the_weights(folder)]
    else:
        changes = ["it began with an earlier version, which recorded its sweep file and its data in another way"]
    changes += _of_packages(folder)
    if changes:
        do = "Start a new sweep, or go on with this one as it began with --force: its file is not read again."
        raise DefinitionError(folder.path, f"something has changed since this run began: {'; '.join(changes)}", do=do)


def weights_hashes(sweep: Sweep) -> dict[str, str]:
    """SHA-256 of each file that a recipe of the sweep may start from, by its path; "" where it cannot be read.

    Weights that have a name, such as COCO's, are left out: they are no files of the user's.
    """
    settings = [sweep.recipe.flat(), *sweep.variants.values(), *sweep.points]
    weights = {changes[_WEIGHTS] for changes in settings if _WEIGHTS in changes}
    weights |= set(sweep.parameters.samples(_WEIGHTS))
    return {path: _hash(path) for path in sorted(weights - set(NAMED_WEIGHTS))}


def _hash(path: str) -> str:
    """The SHA-256 of a file; "" where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _of_the_sweep(folder: RunFolder) -> list[str]:
    about = folder.about
    file = about["file"]
    if file is None or not Path(file).is_file():
        return []  # the resolved sweep lies in the run: its file may go
    try:
        now = load(file, Path(about["folder"])).replace(about["given"])
    except SyndetError as error:
        return [f"its sweep file is no longer valid ({error})"]
    then = Sweep.model_validate(about["asked"])
    return [f"{file}: {text}" for text in _differences(then, now)]


def _differences(then: Sweep, now: Sweep) -> list[str]:
    before, after = _flat(then), _flat(now)
    after["trials"] = before["trials"]  # may be extended, and a kill may fall between the two files that say so
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"{name} was {before.get(name)!r} and is {after.get(name)!r}" for name in changed]


def _flat(sweep: Sweep) -> dict[str, Any]:
    """Every field of a sweep by a name that a reader finds it under, as JSON holds it.

    A pair within a source's or a variant's changes is a tuple in the sweep's file, and a list in the run's JSON.
    """
    fields = sweep.model_dump(mode="json")
    del fields["recipe"]
    spaces = fields.pop("space")
    space = spaces[0] if spaces else {}
    recipe_fields = {f"recipe.{path}": value for path, value in sweep.recipe.flat().items()}
    space_fields = {f"space.{path}": value for path, value in space.items()}
    return json.loads(json.dumps(fields | recipe_fields | space_fields))


def _of_the_data(folder: RunFolder, data: RealData) -> list[str]:
    then, now = folder.about["real"]["hashes"], data.describe()["hashes"]
    changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return [f"the images or labels of {', '.join(changed)}"] if changed else []


def _of_the_weights(folder: RunFolder) -> list[str]:
    """Files that trials start from."""
    then = folder.about["weights"]
    now = {path: _hash(path) for path in then}
    return [_weights_words(path, then[path], now[path]) for path in then if now[path] != then[path]]


def _weights_words(path: str, then: str, now: str) -> str:
    if not now:
        return f"the starting weights {path} can no longer be read"
    return f"the SHA-256 of the starting weights {path} was {then[:_HASH_DIGITS]} and is {now[:_HASH_DIGITS]}"


def _of_packages(folder: RunFolder) -> list[str]:
    then, now = folder.about["versions"], preflight.versions()
    return [f"{name} was {then[name]} and is {now[name]}" for name in then if name in now and then[name] != now[name]]
