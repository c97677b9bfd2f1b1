"""Spellings: the ways in which systems and tools write the name of one file."""

import os
import re
import unicodedata
from collections.abc import Iterator
from itertools import takewhile
from urllib.parse import parse_qs, unquote, urlsplit

from syndet_ray.data.images.unlabelled import SUFFIXES

# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
_NOT_UPLOADED = re.compile(r"[^-\w.]")  # characters that it leaves out of such a name
_LONGEST_PART = 255  # bytes, of the name of a file or folder; systems raise for longer ones


def plain(name: str) -> str:
    """A name as it compares with others: in lower case, and é as one character.

    A Mac writes é as e and an accent (Unicode's NFD), other systems as one character (NFC).
    """
    lower = name.lower()
    return lower if lower.isascii() else unicodedata.normalize("NFC", lower)


def shared_end(one: str, other: str) -> int:
    """The number of last parts in which two paths agree, as `plain` compares them."""
    pairs = zip(reversed(plain(one).split("/")), reversed(plain(other).split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def is_possible(path: str) -> bool:
    """True if no part of a path is longer than file systems allow."""
    return all(len(part.encode(errors="replace")) <= _LONGEST_PART for part in path.split("/"))


def other_spellings(name: str) -> Iterator[str]:
    """The name as other systems and tools may mean it: Windows' \\, %20, a Mac's é, another case
    of the ending, a file of Label Studio's storage, an address.
    """
    local = local_part(name)
    spellings = [local, unquote(local)]
    for path in dict.fromkeys(spellings):  # "50%20off.jpg" may be the very name of a file
        spellings += _without_parents(path)
    forms = [unicodedata.normalize("NFC", unquote(local)), unicodedata.normalize("NFD", name)]
    for spelling in dict.fromkeys([*spellings, *forms]):
        if spelling != name:
            yield spelling
        stem, suffix = os.path.splitext(spelling)
        endings = {suffix.lower(), suffix.upper(), *SUFFIXES} - {suffix}
        for ending in sorted(endings) if suffix.lower() in SUFFIXES else []:
            yield stem + ending
    bases = base_names(name)
    if is_uploaded(bases[0]):  # an upload, whose folders exist in Label Studio alone
        yield from bases


def local_part(name: str) -> str:
    """The path in an address (file:, http:, /data/local-files/?d=...), with slashes."""
    with_slashes = name.replace("\\", "/")
    try:
        parts = urlsplit(with_slashes)
    except ValueError:  # //[x
        return with_slashes
    of_storage = parse_qs(parts.query).get("d")
    if of_storage:
        return of_storage[0]
    return parts.path if len(parts.scheme) > 1 else with_slashes


def _without_parents(path: str) -> Iterator[str]:
    """A path without its first folders, one after another: ../a/b.jpg, a/b.jpg."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for first in range(len(parts) - 1):
        yield "/".join(parts[first:])


def base_names(name: str) -> list[str]:
    """Base names that a name may mean, without the prefix of an upload last."""
    local = local_part(name)
    bases = [path.rsplit("/", 1)[-1] for path in (unquote(local), local)]
    bases += [without_upload_prefix(base) for base in bases]
    return list(dict.fromkeys(bases))


def as_uploaded(name: str) -> str:
    """The name that Label Studio gives a file that is uploaded, without its prefix."""
    return _NOT_UPLOADED.sub("", name.strip().replace(" ", "_"))


def without_upload_prefix(name: str) -> str:
    """The name of a file before it was uploaded to Label Studio."""
    return _UPLOADED.sub("", name, count=1)


def is_uploaded(name: str) -> bool:
    """True for a name that begins as Label Studio's of an uploaded file."""
    return _UPLOADED.match(name) is not None
