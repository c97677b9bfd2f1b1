"""Program: a program of the user that a setting names, as "command:PROGRAM ARG..."."""

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from syndet_ray.definitions.python_module import interpreter_index, module_of
from syndet_ray.definitions.scene_parameters import COMMAND
from syndet_ray.errors import DefinitionError

# The variable that has the folder of what was sent to a cluster, on each of its nodes.
SENT_FOLDER = "SYNDET_RAY_FILES"
# beginnings of the settings that a training program carries out
PROGRAM_SETTINGS = ("detector.", "training.")


def words_of(command: str, setting: str) -> list[str]:
    """The program and its arguments of "command:PROGRAM ARG...", quoted as in a shell; no shell is
    started.

    setting  the dotted setting that names it, for errors

    Raises DefinitionError if there is none.
    """
    assert command.startswith(COMMAND), command
    try:
        words = shlex.split(command.removeprefix(COMMAND))
    except ValueError as error:
        raise DefinitionError(setting, f"cannot be split ({error})", got=command) from None
    if not words:
        rule = "must name a program: command:PROGRAM ARG..."
        raise DefinitionError(setting, rule, got=command)
    return words


def program_name(command: str) -> str:
    """The name of a program for readers: of the script, folder or module that an interpreter runs,
    if it runs one.
    """
    words = words_of(command, "program")
    scripts = [word for word in words[1:] if Path(word).suffix == ".py"]
    if scripts:
        return Path(scripts[0]).name
    module = module_of(words)
    if module is not None:
        return module.name
    interpreter = interpreter_index(words)
    arguments = [] if interpreter is None else words[interpreter + 1 :]
    folders = [word for word in arguments if os.path.isfile(Path(word, "__main__.py"))]
    return Path(folders[0] if folders else words[0]).name


def files_of(command: str, setting: str) -> list[str]:
    """The files that a program and its arguments name, also as --option=/FILE; none if a setting
    names no program. Of a folder that Python runs it is each module, also of the packages within.
    """
    if not command.startswith(COMMAND):
        return []
    files: list[str] = []
    for word in words_of(command, setting):
        _, path = path_in(word)
        if os.path.isfile(path):
            files.append(path)
        if os.path.isfile(Path(path, "__main__.py")):
            files += _modules(path)
    return files


def _is_absolute_path(text: str) -> bool:
    """True for an absolute path of a file or folder that exists here."""
    # os.path: a program text among the words is no path, and may be too long for one
    return text.startswith("/") and os.path.exists(text)


def path_in(word: str, is_path: Callable[[str], bool] = _is_absolute_path) -> tuple[str, str]:
    """Splits a word of a command into an option and a path: ("--config=", "/my.yaml").

    The path is the whole word, or what follows the first equals sign after which there is one: it
    may have equals signs itself. The option is "" for a word that is a path, or has none.
    """
    starts = [0, *(match.end() for match in re.finditer("=", word))]
    start = next((start for start in starts if is_path(word[start:])), 0)
    return word[:start], word[start:]


def _modules(root: str) -> list[str]:
    """The Python files of a folder and of the packages within; links to folders are left out."""
    modules: list[str] = []
    for folder, folders, names in os.walk(root):
        # no others: a folder of a program may hold a whole dataset
        folders[:] = [name for name in folders if Path(folder, name, "__init__.py").is_file()]
        modules += [str(Path(folder, name)) for name in names if name.endswith(".py")]
    return sorted(modules)
