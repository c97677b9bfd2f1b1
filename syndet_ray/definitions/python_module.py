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


@dataclass(frozen=True, kw_only=True)
class PythonModule:
    """A module that an interpreter runs.

    index         of the word that names it, among all words
    is_installed  whether the interpreter looks only where packages are installed
    """

    name: str
    index: int
    is_installed: bool

    def check_place(self, setting: str, root: Path) -> None:
        """Raises DefinitionError for a module of a folder, unless it is to be an installed one.

        Trials start in other folders, where the interpreter would not find it, and a name leads to
        no file that could be sent to nodes.

        setting  the dotted setting that has the command
        root     the folder
        """
        parts = self.name.split(".")
        if self.is_installed or not all(map(str.isidentifier, parts)):
            return
        path = "./" + "/".join(parts)
        if os.path.isfile(root / f"{path}.py"):
            path += ".py"
        elif not os.path.isfile(root / path / "__main__.py"):
            return
        rule = "must not run a module of this folder with -m, because trials start in other folders"
        do = f"Write python3 {path}, or python3 -P -m {self.name} if every node has it installed."
        raise DefinitionError(setting, rule, got=f"-m {self.name}", do=do)


def module_of(words: Sequence[str]) -> PythonModule | None:
    """The module that the first interpreter among the words of a command runs; None for others."""
    names = [Path(word).name for word in words]
    interpreters = [index for index, name in enumerate(names) if INTERPRETER.fullmatch(name)]
    if not interpreters:
        return None
    flags = set[str]()
    for index in range(interpreters[0] + 1, len(words)):
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
        return PythonModule(name=name, index=index, is_installed=is_installed)
    return None
