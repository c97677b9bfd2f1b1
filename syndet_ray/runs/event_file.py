"""Event file: events of a run, one a line of JSON, in a file that grows while others read it."""

import errno
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syndet_ray.files import reading
from syndet_ray.runs.unreadable import damaged_file


class Tail:
    """Reads the events of a file, each once. The last line counts when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = self._lines = 0

    def new_events(self) -> list[dict[str, Any]]:
        """Returns the events that have come since the last call; [] while there is no file.

        Raises DataError for a line that is no JSON, and MachineError if the system refuses to read
        the file.
        """
        with reading(self._path):
            if not self._path.exists():
                return []
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = whole_lines(file.read())
        first_line = self._lines + 1
        self._offset += len(content)
        self._lines += content.count(b"\n")
        return list(events_of(content, self._path, first_line))


def events_of(content: bytes, path: Path, first_line: int = 1) -> Iterator[dict[str, Any]]:
    """Yields the events of a file's content; a last line without its end does not count.

    Raises DataError for another line that is no JSON.

    path, first_line  where the content is, for that error
    """
    lines = content.split(b"\n")[:-1]
    for number, line in enumerate(lines, start=first_line):
        try:
            yield event_of(line)
        except ValueError as error:
            raise damaged_file(f"{path}, line {number}", error) from None


def event_of(line: bytes) -> dict[str, Any]:
    """Returns the event of a line. All events share the strings of its names: with a hundred
    settings a trial, the names take more memory than the values.
    """
    return json.loads(line.decode("utf-8"), object_pairs_hook=_with_shared_names)


def _with_shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(name): value for name, value in pairs}


def whole_lines(content: bytes) -> bytes:
    """Returns content without a last line that has no end."""
    return content[: content.rfind(b"\n") + 1]


def mend_lines(path: Path) -> None:
    """Cuts off a last line that has no end, if there is a file."""
    if path.exists():
        os.truncate(path, len(whole_lines(path.read_bytes())))


def append_whole(path: Path, lines: bytes) -> None:
    """Appends lines, or nothing of them: half a line, left by a full disk, would make the file
    unreadable.
    """
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            written = file.write(lines)
            if written != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except BaseException:
            os.truncate(path, size)
            raise
