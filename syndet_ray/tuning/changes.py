"""Changes: what is no longer as it was when a run began. Trials of before and after would not
answer the same question.
"""

import json
from pathlib import Path
from typing import Any

from syndet_ray.data.real import RealData
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DefinitionError, SyndetError
from syndet_ray.runs import machine
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.machine import commit_words
from syndet_ray.workers.ingredients import hash_or_nothing, scenes_hashes

_HASH_DIGITS = 12  # enough to tell two files apart, few enough to be read


def refuse(folder: RunFolder, data: RealData) -> None:
    """Raises DefinitionError with every difference, where there is one."""
    if "asked" in folder.about:
        changes = [
            *_of_the_sweep(folder),
            *_of_the_data(folder, data),
            *_of_the_weights(folder),
            *_of_the_scenes(folder),
        ]
    else:
        changes = [
            "it began with an earlier version, which recorded its sweep file and its data in another way"
        ]
    changes += _of_packages(folder)
    if changes:
        do = "Start a new sweep, or go on with this one as it began with `force`: its file is not read again."
        raise DefinitionError(
            folder.path, f"something has changed since this run began: {'; '.join(changes)}", do=do
        )


def code_notes(folder: RunFolder) -> list[str]:
    """Where the code of a run lies at another commit than when the run began, in words.

    That alone is no reason to refuse: most commits change nothing that a trial depends on.
    """
    then, now = folder.about.get("code", {}), _code(folder)
    both = [name for name in then if name in now and then[name] != now[name]]
    return [
        f"the code of {name} was {commit_words(then[name])} and is {commit_words(now[name])}"
        for name in both
    ]


def _code(folder: RunFolder) -> dict[str, dict[str, Any]]:
    file = folder.about.get("file")
    return machine.code(None if file is None else Path(file))


def _of_the_sweep(folder: RunFolder) -> list[str]:
    about = folder.about
    file = about["file"]
    if file is None or not Path(file).is_file():
        return []  # the resolved sweep lies in the run: its file may go
    try:
        now = load(file, Path(about["folder"])).replace(about["given"])
    except SyndetError as error:
        return [f"its sweep file is no longer valid ({error})"]
    then = LoadedSweep.model_validate(about["asked"])
    return [f"{file}: {text}" for text in _differences(then, now)]


def _differences(then: LoadedSweep, now: LoadedSweep) -> list[str]:
    before, after = _flat(then), _flat(now)
    # may be extended, and a kill may fall between the two files that say so
    after["trials"] = before["trials"]
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"{name} was {before.get(name)!r} and is {after.get(name)!r}" for name in changed]


def _flat(sweep: LoadedSweep) -> dict[str, Any]:
    """Every field of a sweep by a name that a reader finds it under, as JSON holds it.

    A pair within a source's or a variant's changes is a tuple in the sweep's file, and a list in
    the run's JSON.
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
    now = {path: hash_or_nothing(path) for path in then}
    return [
        _hash_words(f"the starting weights {path}", then[path], now[path])
        for path in then
        if now[path] != then[path]
    ]


def _of_the_scenes(folder: RunFolder) -> list[str]:
    """Files that scenes are made of; runs of earlier versions have not recorded them."""
    then = folder.about.get("scenes", {})
    now = scenes_hashes(folder.sweep) if then else {}
    changed = [place for place in then if now.get(place) != then[place]]
    return [_hash_words(place, then[place], now.get(place, "")) for place in changed]


def _hash_words(what: str, then: str, now: str) -> str:
    if not now:
        return f"{what} can no longer be read"
    return f"the SHA-256 of {what} was {then[:_HASH_DIGITS]} and is {now[:_HASH_DIGITS]}"


def _of_packages(folder: RunFolder) -> list[str]:
    then, now = folder.about["versions"], machine.versions()
    changed = [name for name in then if now.get(name) != then[name]]
    return [f"{name} was {then[name]} and is {now.get(name, 'not installed')}" for name in changed]
