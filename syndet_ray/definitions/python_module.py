"""Python module: what the words of a command let a Python interpreter run with -m."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.errors import DefinitionError

INTERPRETER = re.compile(r"python[\d.]*")
# Options of the interpreter, of which several may be one word, the last of them -m, and its module.
_OPTIONS = re.compile(r"-(?P<flags>[bBdEhiIOPqRsSuvVx]*)(?P<m>m(?P<name>.*))?|-[WX].*|--.+")
_WITH_VALUE = ("-W", "-X")
_INSTALLED_ONLY = {"P", "I"}  # flags with which it looks for modules in no folder but its own ones
# Programs that start another one in the folder where they start, and options of theirs with a value
# as the next word. After any other option the word counts as a program, of which nothing is known.
_LAUNCHERS = {
    "env": ("-u", "--unset"),
    "nice": ("-n", "--adjustment"),
    "srun": (
        *("-A", "-G", "-J", "-N", "-c", "-n", "-p", "-q", "-t", "-w"),
        *("--account", "--cpus-per-task", "--gpus", "--gres", "--job-name", "--mem", "--nodes"),
        *("--ntasks", "--partition", "--qos", "--time"),
    ),
}
# options for another folder, and modules elsewhere
_OTHER_PLACE = re.compile(r"-\w*[CD].*|--c(?:h|ontainer).*|.*PYTHONPATH=.*")


@dataclass(frozen=True, kw_only=True)
class PythonModule:
    """A module that an interpreter runs.

    index         of the word that names it, among all words
    is_installed  whether the interpreter looks only where packages are installed
    keeps_folder  whether the interpreter surely starts in the folder where the command does
    """

    name: str
    index: int
    is_installed: bool
    keeps_folder: bool

    def check_place(self, setting: str, root: Path) -> None:
        """Raises DefinitionError for a module of a folder, unless it is to be an installed one.

        Trials start in other folders, where the interpreter would not find it, and a name leads to
        no file that could be sent to nodes.

        setting  the dotted setting that has the command
        root     the folder
        """
        parts = self.name.split(".")
        is_elsewhere = self.is_installed or not self.keeps_folder
        if is_elsewhere or not all(map(str.isidentifier, parts)):
            return
        path = "./" + "/".join(parts)
        if os.path.isfile(root / f"{path}.py"):
            path += ".py"
        elif not os.path.isfile(root / path / "__main__.py"):
            return
        rule = "must not run a module of this folder with -m, because trials start in other folders"
        do = f"Write python3 {path}, or python3 -P -m {self.name} if every node has it installed."
        raise DefinitionError(setting, rule, got=f"-m {self.name}", do=do)


def interpreter_index(words: Sequence[str]) -> int | None:
    """The index of the first word of a command that is a Python interpreter; None without one."""
    for index, word in enumerate(words):
        if INTERPRETER.fullmatch(Path(word).name):
            return index
    return None


def module_of(words: Sequence[str]) -> PythonModule | None:
    """The module that the first interpreter among the words of a command runs; None for others."""
    interpreter = interpreter_index(words)
    if interpreter is None:
        return None
    flags = set[str]()
    for index in range(interpreter + 1, len(words)):
        if words[index - 1] in _WITH_VALUE:
            continue
        options = _OPTIONS.fullmatch(words[index])
        if options is None:  # a script
            return None
        flags.update(options["flags"] or "")
        if options["m"] is None:
            continue
        if not options["name"]:  # the next word is the module
            index += 1
        name = options["name"] or next(iter(words[index : index + 1]), "")
        if not name:
            return None
        is_installed = not flags.isdisjoint(_INSTALLED_ONLY)
        keeps_folder = _keeps_folder(words[:interpreter])
        return PythonModule(
            name=name, index=index, is_installed=is_installed, keeps_folder=keeps_folder
        )
    return None


def _keeps_folder(words: Sequence[str]) -> bool:
    """True if the words before an interpreter are launchers, with options that keep the folder."""
    with_value: tuple[str, ...] = ()
    previous = ""
    for word in words:
        name = Path(word).name
        if _OTHER_PLACE.fullmatch(word):
            return False
        if name in _LAUNCHERS:
            with_value = _LAUNCHERS[name]
        elif not word.startswith("-") and "=" not in word and previous not in with_value:
            return False
        previous = word
    return True
