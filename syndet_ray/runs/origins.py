"""Origins: a run that was sent to a cluster, in words of the machine that has sent it.

Its user can change the files there, and the next sweep sends them again.
"""

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from syndet_ray.definitions.scene_parameters import COMMAND

_UNNAMED_FILE = "FILE"  # a run does not know its cluster's file before it is brought home


def add_relative_paths(origins: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Returns {path there: path elsewhere} with the relative paths too, by which a sweep names what
    nodes get. Absolute paths are first, as they may end with a relative one.

    folder  there, in which the run works
    """
    relative = {}
    for place, source in origins.items():
        path = Path(place)
        if path.is_relative_to(folder):
            relative[str(path.relative_to(folder))] = source
    return {**origins, **relative}


def origins_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Returns where the paths of a run come from; {} for a run that was not sent.

    about  what run.json keeps of the run
    """
    origins = about.get("file_origins")
    return add_relative_paths(origins, Path(about["folder"])) if origins else {}


def replace_paths(origins: Mapping[str, str], text: str) -> str:
    """Returns a text with the paths of the machine that has sent the files. The words of a command
    are quoted again, since paths there may have blanks.
    """
    if text.startswith(COMMAND):
        with suppress(ValueError):  # no words of a shell
            words = shlex.split(text.removeprefix(COMMAND))
            return COMMAND + shlex.join(replace_paths(origins, word) for word in words)
    for place, source in origins.items():
        text = text.replace(place, source)
    return text


def command_of(about: Mapping[str, Any]) -> str | None:
    """Returns the command that started a run, "" if Python did; None if run.json does not have it.

    For a run that was sent it is one that sends it again, from the folder of its sweep; the recipes
    of --points, which the command was given, are left out.
    """
    command: str | None = about.get("command")
    if not command or about.get("file_origins") is None:
        return command
    origins = origins_of(about)
    words = [_replace_in_word(origins, word) for word in shlex.split(command)]
    file = about.get("cluster") or _UNNAMED_FILE
    # the command of the head says where the sweep runs there
    sweep_command = _replace_option(words, "--address", ["--cluster", file])
    sweep_command = _replace_option(sweep_command, "--runs", [])
    # of a copy that was sent for this command alone; the run has the recipes
    sweep_command = _replace_option(sweep_command, "--points", [])
    return shlex.join(sweep_command)


def _replace_in_word(origins: Mapping[str, str], word: str) -> str:
    """A word of a command line, such as --real=/PATH or detector.program=command:PROGRAM."""
    setting, command, words = word.partition(COMMAND)
    return replace_paths(origins, setting) + replace_paths(origins, command + words)


def _replace_option(words: list[str], option: str, others: list[str]) -> list[str]:
    """Returns a command line with other words in the place of an option and its value."""
    if option not in words:
        return words
    at = words.index(option)
    return [*words[:at], *others, *words[at + 2 :]]
