"""Changes: finds what has changed since a run began. Trials from before and after a change would
not answer the same question.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syndet_ray.data.real import RealData
from syndet_ray.definitions.given import with_given
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DefinitionError, SyndetError
from syndet_ray.runs import machine
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.ingredients import hash_or_nothing, scenes_hashes
from syndet_ray.runs.machine import commit_words

_HASH_DIGITS = 12  # enough to distinguish two files, few enough to read


def refuse(folder: RunFolder, data: RealData) -> None:
    """Raises DefinitionError with all differences, if there are any."""
    changes = _all_changes(folder, data)
    if changes:
        rule = f"something has changed since this run began: {'; '.join(changes)}"
        start = "Start a new sweep, or continue this one as it began"
        do = f"{start} with `force`: its file is not read again."
        raise DefinitionError(folder.path, rule, do=do)


def forced_notes(folder: RunFolder, data: RealData) -> list[str]:
    """A sentence for readers of the results of a run that goes on by force; [] without a change."""
    changes = _all_changes(folder, data)
    if not changes:
        return []
    return [f"the run was continued although something had changed: {'; '.join(changes)}"]


def _all_changes(folder: RunFolder, data: RealData) -> list[str]:
    if "asked" in folder.about:
        changes = [
            *_of_the_sweep(folder),
            *_of_the_data(folder, data),
            *_of_the_weights(folder),
            *_of_the_programs(folder),
            *_of_the_scenes(folder),
        ]
    else:
        version = "it began with an earlier version"
        changes = [f"{version}, which recorded its sweep file and its data in another way"]
    return [*changes, *_of_packages(folder)]


def code_notes(folder: RunFolder) -> list[str]:
    """A sentence for each part of the code that has another commit than when the run began.

    That alone is no reason to refuse: most commits change nothing that a trial depends on.
    """
    then, now = folder.about.get("code", {}), _code(folder)
    notes = []
    for name, before in then.items():
        if name in now and now[name] != before:
            notes.append(
                f"the code of {name} was {commit_words(before)} and is {commit_words(now[name])}"
            )
    return notes


def _code(folder: RunFolder) -> dict[str, dict[str, Any]]:
    file = folder.about.get("file")
    return machine.code(None if file is None else Path(file))


def _of_the_sweep(folder: RunFolder) -> list[str]:
    about = folder.about
    file = about["file"]
    if file is None or not Path(file).is_file():
        return []  # the run has the resolved sweep: its file may be deleted
    try:
        now = with_given(load(file, Path(about["folder"])), about["given"])
    except SyndetError as error:
        return [f"its sweep file is no longer valid ({error})"]
    then = LoadedSweep.model_validate(about["asked"])
    return [f"{file}: {text}" for text in _differences(then, now)]


def _differences(then: LoadedSweep, now: LoadedSweep) -> list[str]:
    before, after = _flat(then), _flat(now)
    # A run may be extended, and a kill may come between the two files that record it.
    after["trials"] = before["trials"]
    return [
        f"{name} was {before.get(name)!r} and is {after.get(name)!r}"
        for name in _changed_names(before, after)
    ]


def _changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names that have another value in the two, or are in only one of them."""
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def _flat(sweep: LoadedSweep) -> dict[str, Any]:
    """Every field of a sweep that results depend on, as in JSON, by the name that a reader knows.

    The question is left out: with another wording the run is the same. A pair in the changes of a
    source or a variant is a tuple in the sweep's file, and a list in the run's JSON.
    """
    fields = sweep.model_dump(mode="json")
    del fields["recipe"], fields["question"]
    spaces = fields.pop("space")
    space = spaces[0] if spaces else {}
    recipe_fields = {f"recipe.{path}": value for path, value in sweep.recipe.flat().items()}
    space_fields = {f"space.{path}": value for path, value in space.items()}
    return json.loads(json.dumps(fields | recipe_fields | space_fields))


def _of_the_data(folder: RunFolder, data: RealData) -> list[str]:
    changed = _changed_names(folder.about["real"]["hashes"], data.describe()["hashes"])
    if not changed:
        return []
    return [f"the images or labels of {', '.join(changed)}"]


def _of_the_weights(folder: RunFolder) -> list[str]:
    """Weights files that trials start from."""
    return _of_files(folder.about["weights"], "the starting weights")


def _of_the_programs(folder: RunFolder) -> list[str]:
    """Files of programs that train; runs of earlier versions have none."""
    return _of_files(folder.about.get("programs", {}), "the training program")


def _of_files(hashes: Mapping[str, str], kind: str) -> list[str]:
    """Files whose hashes have changed.

    hashes  of when the run began, by path
    kind    what the files are, in words
    """
    changes = []
    for path, before in hashes.items():
        now = hash_or_nothing(path)
        if now != before:
            changes.append(_hash_words(f"{kind} {path}", before, now))
    return changes


def _of_the_scenes(folder: RunFolder) -> list[str]:
    """Files that scenes are made of; runs of earlier versions did not record them."""
    then = folder.about.get("scenes", {})
    now = scenes_hashes(folder.sweep) if then else {}
    changes = []
    for place, before in then.items():
        if now.get(place) != before:
            changes.append(_hash_words(place, before, now.get(place, "")))
    return changes


def _hash_words(file: str, then: str, now: str) -> str:
    if not now:
        return f"{file} can no longer be read"
    return f"the SHA-256 of {file} was {then[:_HASH_DIGITS]} and is {now[:_HASH_DIGITS]}"


def _of_packages(folder: RunFolder) -> list[str]:
    now = machine.versions()
    changes = []
    for name, before in folder.about.get("versions", {}).items():
        if now.get(name) != before:
            changes.append(f"{name} was {before} and is {now.get(name, 'not installed')}")
    return changes
