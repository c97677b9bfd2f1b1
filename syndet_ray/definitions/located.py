"""Located: the files that settings name, as absolute paths."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from syndet_ray.definitions.program import path_in, words_of
from syndet_ray.definitions.python_module import module_of
from syndet_ray.definitions.recipe import NAMED_WEIGHTS
from syndet_ray.definitions.scene_parameters import BUILT_IN, COMMAND
from syndet_ray.definitions.value import Value
from syndet_ray.errors import DefinitionError

_FOLDERS = (
    *("scene.assets", "scene.surroundings", "scene.backgrounds"),
    *("scene.photos", "scene.cutouts"),
)
_PROGRAMS = ("scene.generator", "detector.program")
# settings whose values are text, even if it reads like a number, as a folder's name may
OF_FILES = (*_FOLDERS, *_PROGRAMS, "detector.weights")


def with_absolute_paths(path: str, value: Any, root: Path) -> Any:
    """A setting's value with the files that it names as absolute paths.

    It then means the same in any folder. Values that name no file are returned as they are.

    path  the setting, dotted
    root  the folder that relative paths start from

    Raises DefinitionError for a command that runs a module of that folder by its name.
    """
    if path == "mix.sources" and isinstance(value, Mapping):
        return {name: _located_source(source, root) for name, source in value.items()}
    if path == "detector.weights" and value not in NAMED_WEIGHTS:
        return _absolute(value, root)
    if path in _FOLDERS and value not in BUILT_IN:
        return _absolute(value, root)
    if path in _PROGRAMS and str(value).startswith(COMMAND):
        try:
            words = words_of(value, path)
        except DefinitionError:
            return value  # an error of the setting says what is wrong with it
        module = module_of(words)
        if module is not None:
            module.check_place(path, root)
        # the system looks for a program like "blender", whatever folders there are
        located = [_located_word(words[0], root, _is_program)]
        located += [_located_word(word, root, _is_file_or_folder) for word in words[1:]]
        if module is not None:  # a name like that of a folder is no path
            located[module.index] = words[module.index]
        return COMMAND + shlex.join(located)
    return value


def _located_word(word: str, root: Path, is_path: Callable[[str, Path], bool]) -> str:
    """A word of a command, with an absolute path if it names a file, also as --option=FILE.

    is_path  whether a text counts as a path, given the root
    """

    def is_named(text: str) -> bool:
        return bool(text) and is_path(text, root)

    option, path = path_in(word, is_named)
    # an absolute path may end with a slash, which a program may need: rsync, for one
    is_relative = is_named(path) and not os.path.isabs(path)
    return f"{option}{root / path}" if is_relative else word


def _is_program(text: str, root: Path) -> bool:
    """True for a file, and for a folder that Python runs."""
    # os.path: a program text among the words is no path, and may be too long for one
    return os.path.isfile(root / text) or os.path.isfile(root / text / "__main__.py")


def _is_file_or_folder(text: str, root: Path) -> bool:
    """True for a file, and for a folder written with a slash, unless it contains `root`.

    Without a slash "train" may be a subcommand; "./" and "../" would send the whole project.
    """
    contains_root = root.is_relative_to(os.path.normpath(root / text))
    is_folder = "/" in text and os.path.isdir(root / text) and not contains_root
    return _is_program(text, root) or is_folder


def located_changes(changes: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Changes of a recipe, by dotted path, with the files that they name as absolute paths."""
    return {path: with_absolute_paths(path, value, root) for path, value in changes.items()}


def _located_source(source: Any, root: Path) -> Any:
    """A source with absolute paths. What is none is returned as it is: the recipe says so."""
    # a value in the changes of a variant, a dictionary in JSON
    fields = source.model_dump() if isinstance(source, Value) else source
    if not isinstance(fields, Mapping):
        return fields
    folder, changes = fields.get("folder"), fields.get("changes")
    if folder is not None:
        return {**fields, "folder": _absolute(folder, root)}
    if isinstance(changes, Mapping):
        return {**fields, "changes": located_changes(changes, root)}
    return fields


def _absolute(path: Any, root: Path) -> Any:
    if not isinstance(path, str):  # the recipe says what is wrong with it
        return path
    return str(root / os.path.expanduser(path))  # "~x" stays if there is no such user
