"""Commands: what the shell commands of a file for `ray up` set, start and install.

They are read by their words, as they stand in the file; what variables of a shell hold is unknown.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

_CONTINUED = re.compile(r"\\\n\s*")  # a line that the shell joins with the next one
QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*"|\\."""
# Options before a program. Those of sudo and exec with a value may have it as the next word, which
# (?>...) never takes for the program: "ray" in sudo -u ray is a user.
OPTIONS = (
    r"(?>(?:(?:-[ABEHKNPSVbeiklnsv]*[aCDghprRtTUu]\s+\S+"
    r"|--(?:ch(?:dir|root)|close-from|command-timeout|group|host|other-user|prompt|role|type|user)"
    r"\s+\S+|-\S+)\s+)*)"
)
# what bash -c and the like run, in quotes
_INNER = re.compile(rf"(\b(?:[a-z]*sh|su)\s(?:[^\s'\";|&]+\s+)*?-\w*c\s+)({QUOTED})", re.DOTALL)
_COMMENT = r"(?<!\S)#[^\n]*"  # it may hold an apostrophe
_REDIRECTED = r"[<>]+[&|]|&>"  # as in 2>&1
# a piece of a command that ends none, or the end of one
_PIECE = re.compile(rf"{QUOTED}|{_COMMENT}|{_REDIRECTED}|(?P<end>[;|&\n]+)|.", re.DOTALL)
# not an option, and no value such as $OTHER
_VARIABLE = re.compile(r"(?<![\w$.-])([A-Za-z_]\w*)=['\"]?([^\s;|&'\"$`()\\]+)(?=[\s;|&'\")\\]|$)")
_OTHER_STORE = re.compile(r"AWS_ENDPOINT_URL|--endpoint-url|MLFLOW_S3_ENDPOINT_URL")
_REDIRECTION = re.compile(r"(?:\d*|&)[<>]+")  # the beginning of >FILE or 2>&1, all of > before FILE
# options may stand before the word, with or without a value
_INSTALL = re.compile(r"\bpip[\d.]*\s+(?:-\S+\s+(?:[^-\s]\S*\s+)??)*?install\s+(.*)")
# options of pip and of uv with a value that is no package
_WITH_VALUE = (
    *("-c", "--constraint", "-f", "--find-links", "-i", "--index", "--index-url"),
    *("--extra-index-url", "-p", "--python", "--prefix", "--progress-bar", "--target", "-t"),
)
# options with a file or folder that may bring any package, such as -r FILE, -qrFILE, --editable=.
_WITH_FILE = re.compile(r"(?:-[hnqvIU]*[er]|--(?:editable|requirements?|group)(?:=|$))(.*)")


def commands(prepared: Mapping[str, Any], group: str = "_commands") -> Iterator[tuple[str, str]]:
    """The shell commands of a description, each once, with the name of the list where it stands.

    Ray copies those for all nodes to the lists for heads and for workers.

    group  the end of the names of the lists
    """
    earlier = set[str]()
    for name, texts in prepared.items():
        if name.endswith(group) and isinstance(texts, list):
            for text in texts:
                if isinstance(text, str) and text not in earlier:
                    earlier.add(text)
                    yield name, text


def uses_another_store(prepared: Mapping[str, Any]) -> bool:
    """True if the commands lead to a store that speaks S3 and is not Amazon's."""
    return any(_OTHER_STORE.search(command) for _, command in commands(prepared))


def simple_commands(command: str) -> list[str]:
    """Splits a command of the shell into its simple commands, in their order, as texts.

    Those that it gives to another shell in quotes, as to bash -c, count as its own.
    """
    text = _INNER.sub(_without_quotes, _CONTINUED.sub(" ", command))
    parts = [""]
    for piece in _PIECE.finditer(text):
        if piece["end"]:
            parts.append("")
        else:
            parts[-1] += piece[0]
    return parts


def _without_quotes(match: re.Match[str]) -> str:
    """The match of `_INNER`, with its last word as a shell reads it."""
    start, word = match.groups()
    text = word[1:-1]
    return start + (re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if word[0] == '"' else text)


def variables(command: str) -> list[tuple[str, str]]:
    """The variables that a command sets to a value that it names, as pairs of name and value."""
    return _VARIABLE.findall(command)


def option_values(command: str, *options: str) -> list[str]:
    """The values of an option, which has one name or several, in a command."""
    names = "|".join(map(re.escape, options))
    return re.findall(rf"(?<![\w-])(?:{names})[ =]+['\"]?([^\s'\"]+)", command)


def constraint_files(command: str) -> list[str]:
    """The files with versions that pip must keep to."""
    return option_values(command, "-c", "--constraint")


def packages(command: str) -> list[str]:
    """Packages, files and addresses of packages that a command installs with pip or uv.

    A file or folder of an option has a slash, which its name in the command may lack, or is ".".
    """
    installs = map(_INSTALL.search, simple_commands(command))
    return list(chain.from_iterable(_requirements(install[1]) for install in installs if install))


def _requirements(words: str) -> Iterator[str]:
    """The arguments of pip that are no options, and the files and folders of options."""
    try:
        arguments = iter(shlex.split(words))
    except ValueError:  # a quote of the command around it
        arguments = iter(words.replace("'", " ").replace('"', " ").split())
    for argument in arguments:
        if argument in _WITH_VALUE or _REDIRECTION.fullmatch(argument):
            next(arguments, None)
        elif with_file := _WITH_FILE.fullmatch(argument):
            file = with_file[1] or next(arguments, "")
            yield file if "/" in file or file == "." else f"./{file}"
        elif not argument.startswith("-") and not _REDIRECTION.match(argument):
            yield argument
