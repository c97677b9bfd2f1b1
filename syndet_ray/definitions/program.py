"""Program: a program of the user that a setting names, as "command:PROGRAM ARG..."."""

import shlex
from pathlib import Path

from syndet_ray.definitions.scene_parameters import COMMAND
from syndet_ray.errors import DefinitionError


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
    """The name of a program for readers: of the script, if an interpreter runs one."""
    first, *others = words_of(command, "program")
    scripts = [word for word in others if Path(word).suffix == ".py"]
    return Path(scripts[0] if scripts else first).name


def files_of(command: str, setting: str) -> list[str]:
    """The files that a program and its arguments name, also as --option=/FILE; none if a setting
    names no program.
    """
    if not command.startswith(COMMAND):
        return []
    names: list[str] = []
    for word in words_of(command, setting):
        _, equals, value = word.rpartition("=")
        names += [word, value] if equals and value.startswith("/") else [word]
    return [name for name in names if Path(name).is_file()]
