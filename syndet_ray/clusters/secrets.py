"""Secrets: passwords and tokens in a file for `ray up`, which every node would show."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from syndet_ray.clusters.commands import QUOTED, simple_commands
from syndet_ray.clusters.lines import Lines
from syndet_ray.errors import DefinitionError

# A value as it stands after the name of a variable or option. One that begins with a character of
# the first kind is another variable, a command, or a place for a value. It is looked at without
# being taken, because it may be a variable and its value: --env HF_TOKEN=...
_VALUE = r"""(?=\\?['"]?([^\s'"\\$`<{=*;|&-][^\s'"]*))"""
_NAMED = re.compile(
    r"(?<![\w$%{-])(?:(?:--)?([\w-]+)(?:=|[ \t]+=[ \t]+)"  # NAME=value, --name=value
    r"|--([\w-]+)[ \t]+"  # --name value
    rf"|configure set ([\w.-]+)[ \t]+){_VALUE}"  # aws configure set name value
)
_LITERAL = re.compile(r"[^\s$`<{*]\S*")  # no variable, and no place for a value
_MOUNTS = "file_mounts"  # its keys and values are paths
_WORDS = {"secret", "token", "password", "passwd", "pat", "apikey"}
_LAST_WORDS = _WORDS | {"key"}  # others name a file, a number or a kind of secret
_NAME_OF_SECRET = "secret"  # --secret=hf-token is the name of one in a store
_FILE = re.compile(r"[\w./-]+\.(?:txt|json|pem|key|yaml|yml)")
_NO_SECRETS = {"true", "false", "yes", "no", "on", "off", "none", "null", "0", "1"}
_COUNT = re.compile(r"[1-9]\d{0,6}")  # of tokens, as in MAX_TOKEN=4096
_PLACES = ("~", "/", "./", "id=", "file:", "s3:")  # where an option finds a secret
# of GitHub, Hugging Face and AWS: their tokens and keys begin like this
_TOKEN = re.compile(r"\b(?:gh[pousr]_|github_pat_|hf_)\w{16,}|\bAKIA[0-9A-Z]{16}\b")
# of an address, http://user:password@host
_IN_ADDRESS = re.compile(r"://[^\s/:@'\"<]*:[^\s/@'\"$<{]+@")
# What stands in quotes, or a program, whatever starts it, and the rest of its simple command. What
# grep and awk look for is no secret.
_PIECE = re.compile(
    rf"(?P<quoted>{QUOTED})"
    r"|(?:^|(?<=[\s`({]))(?:[^\s'\"]*/)?(?:[efpz]?grep|[gmn]?awk|(?P<sed>g?sed))"
    rf"""(?P<rest>\s(?:{QUOTED}|[^;|&\n)`'"\\])*)""",
    re.DOTALL,
)
# of sed, s/PATTERN/TEXT/ and /PATTERN/: only the text may hold a secret
_REPLACEMENT = re.compile(r"(?<!\w)s([/|#,@:!])(?:\\.|(?!\1).)*\1((?:\\.|(?!\1).)*)\1")
_ADDRESS = re.compile(r"""(?<=['"\s;{])/(?:\\.|[^/\s\\])*/""")
_DO_TAKE_OUT = "Take it out: give the nodes an instance profile, and the token in file_mounts."


def secret_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    """An error for each string of a file that holds a password or token itself.

    prepared  as for `rules.safety_errors`
    """
    earlier = set[tuple[str, str]]()
    for keys, text in _strings(prepared):
        key = keys[-1] if isinstance(keys[-1], str) else ""  # "" within a list
        if (key, text) in earlier:  # Ray copies commands to other lists
            continue
        earlier.add((key, text))
        name = ".".join(key for key in keys if isinstance(key, str))
        secrets = list(_secrets(text))
        if not secrets and keys[0] != _MOUNTS and _is_secret(key, text):
            secrets.append((f"the value of {key}", key))
        for secret, part in secrets:
            rule = f"{name} holds a secret, {secret}, which every node would show"
            yield DefinitionError(lines.place_of_text(text, part), rule, do=_DO_TAKE_OUT)


def _strings(value: Any, keys: Sequence[Any] = ()) -> Iterator[tuple[Sequence[Any], str]]:
    """Every string of a content, and the keys that lead to it."""
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(inner, (*keys, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _strings(inner, (*keys, index))


def _is_secret(key: str, text: str) -> bool:
    """True for a text that a mapping has for a key such as aws_secret_access_key."""
    is_literal = _LITERAL.fullmatch(text) is not None and text.lower() not in _NO_SECRETS
    return is_literal and _names_secret(key) and not _is_harmless(text)


def _secrets(text: str) -> Iterator[tuple[str, str]]:
    """The secrets of a string in words without their values, and the part of it that has each."""
    for match in _NAMED.finditer(_without_patterns(text)):
        variable, option, setting, word = match.groups()
        name, value = variable or option or setting, word.rstrip(";")
        is_count = _COUNT.fullmatch(value) and "token" in name.lower()
        if not _names_secret(name) or is_count or value.lower() in _NO_SECRETS:
            continue
        if not (match[0].startswith("-") and _is_harmless(value)):
            yield f"the value of {name}", name
    token = _TOKEN.search(text)
    if token:
        yield "a token or key", token[0]
    address = _IN_ADDRESS.search(text)
    if address:
        yield "the password of an address", address[0]


def _without_patterns(text: str) -> str:
    """The simple commands of a text, without what they look for in other texts."""
    return "\n".join(_PIECE.sub(_without_pattern, part) for part in simple_commands(text))


def _without_pattern(piece: re.Match[str]) -> str:
    if piece["quoted"]:  # perhaps commands of another shell, which end with the quote
        text = piece["quoted"]
        return text[0] + _without_patterns(text[1:-1]) + text[-1] if text[0] in "'\"" else text
    if piece["sed"] is None:
        return " "
    return _ADDRESS.sub(" ", _REPLACEMENT.sub(r" \2 ", piece["rest"]))


def _is_harmless(value: str) -> bool:
    """True for what an option may have that is no secret: a place, a file or a number."""
    is_file = _FILE.fullmatch(value) is not None
    return value.startswith(_PLACES) or is_file or value.isdecimal()


def _names_secret(name: str) -> bool:
    """True for names such as AWS_SECRET_ACCESS_KEY, HF_TOKEN and redis-password."""
    words = re.split(r"[_.-]", name.lower().replace("api_key", "apikey"))
    if name == _NAME_OF_SECRET:
        return False
    return not _WORDS.isdisjoint(words) and words[-1] in _LAST_WORDS
