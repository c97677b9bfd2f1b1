"""Lines: where in a YAML file a value stands."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"  # of the key <<


class Lines:
    """The places of the values of a YAML file that has been read without an error."""

    def __init__(self, file: Path) -> None:
        self._file = file
        content = file.read_bytes()
        self._root = yaml.compose(content, Loader=yaml.SafeLoader)
        self._texts = content.decode(errors="replace").splitlines()

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

    def has(self, name: str) -> bool:
        """True if the file itself has the key `name`, and Ray has not filled it in."""
        return _entry(self._root, name) is not None

    def place_of_text(self, text: str, part: str) -> str:
        """Returns "FILE:LINE" of the first line of a string with a part of it, else of its first.

        "FILE" without a line for a string of Ray's defaults.
        """
        for node in _nodes(self._root):
            if isinstance(node, yaml.ScalarNode) and node.value == text:
                first, last = node.start_mark.line, node.end_mark.line
                for line, written in enumerate(self._texts[first : last + 1], start=first):
                    if part in written:
                        return f"{self._file}:{line + 1}"
                return f"{self._file}:{first + 1}"
        return str(self._file)

    def doubled_keys(self) -> Iterator[tuple[str, str, int]]:
        """Keys that a mapping has twice: place of the second one, key, line of the first one."""
        for node in _nodes(self._root):
            if not isinstance(node, yaml.MappingNode):
                continue
            first_lines = dict[tuple[str, str], int]()
            for name, _ in node.value:
                # several mappings may be merged into one
                if not isinstance(name, yaml.ScalarNode) or name.tag == _MERGE:
                    continue
                line, key = name.start_mark.line + 1, (name.tag, name.value)
                if key in first_lines:
                    yield f"{self._file}:{line}", name.value, first_lines[key]
                else:
                    first_lines[key] = line


def _nodes(root: Any) -> Iterator[Any]:
    """A node and all nodes in it, each once, also where an alias stands for it."""
    waiting, earlier = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in earlier:
            continue
        earlier.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        else:
            inner = node.value if isinstance(node, yaml.SequenceNode) else []
        waiting += reversed(inner)


def _entry(node: Any, key: Any) -> tuple[Any, Any] | None:
    """Returns the mark and the value of an entry of a mapping or list; None without such one."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == str(key):
                return name.start_mark, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark, node.value[key]
    return None
