"""Lines: where in a YAML file a value stands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


class Lines:
    """The places of the values of a YAML file that has been read without an error."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._root = yaml.compose(file.read_bytes(), Loader=yaml.SafeLoader)

    def place(self, keys: Sequence[Any], name: str | None = None) -> str:
        """Returns "FILE:LINE" of the value that these keys lead to, or of its key `name`.

        Where the file lacks it, because Ray has filled it in, it is the line of what is around it;
        "FILE" without a line for the file as a whole.
        """
        node, line = self._root, None
        for key in (*keys, *([] if name is None else [name])):
            entry = _entry(node, key)
            if entry is None:
                break
            mark, node = entry
            line = mark.line + 1
        return str(self._file) if line is None else f"{self._file}:{line}"


def _entry(node: Any, key: Any) -> tuple[Any, Any] | None:
    """Returns the mark and the value of an entry of a mapping or list; None without such one."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == str(key):
                return name.start_mark, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark, node.value[key]
    return None
