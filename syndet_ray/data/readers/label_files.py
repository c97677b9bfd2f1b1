"""Label files: the files of a dataset that match a pattern, without hidden ones and links out."""

import os
from functools import cache
from pathlib import Path

from syndet_ray.data.images.mistaken import check_pointer
from syndet_ray.data.readers.image_files import is_hidden


def label_files(folder: Path, *patterns: str) -> list[Path]:
    """The files in a folder that match one of the patterns, once each, sorted by their paths.

    Left out are hidden files and folders (a Mac puts `._train.json` and `__MACOSX` into archives)
    and files outside the folder to which links lead.
    """
    real_root = os.path.realpath(folder)
    real_folder = cache(os.path.realpath)
    depth = len(folder.parts)
    matches = {str(path): path for pattern in patterns for path in folder.glob(pattern)}
    paths = []
    for _, path in sorted(matches.items()):
        if any(map(is_hidden, path.parts[depth:])):
            continue
        real = os.path.join(real_folder(path.parent), path.name)
        if os.path.islink(real):
            real = os.path.realpath(real)
        if real.startswith(real_root + os.sep) and os.path.isfile(real):
            paths.append(path)
    return paths


def begins_with(path: Path, character: bytes) -> bool:
    """True for a text file whose first character, after blanks and byte order marks, is this one.

    It tells a JSON list from a JSON object before the whole file is read. Raises DataError for a
    file that git-lfs did not fetch: it may be any format's.
    """
    check_pointer(path)
    with path.open("rb") as file:
        head = file.read(64)
    marks_and_blanks = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"
    return head.lstrip(marks_and_blanks)[:1] == character
