"""Tail: reads a file of JSON lines while another process appends to it."""

import json
from pathlib import Path
from typing import Any

from syndet_ray.files import reading
from syndet_ray.runs.unreadable import damaged_file


class Tail:
    """Reads the events of a file, each once. The last line counts when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

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
                content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        try:
            return [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise damaged_file(self._path, error) from None
