"""Literals: values as Python source, as `ruff format` writes them.

Whatever a foreign file holds, the result is a literal: Python's repr makes it, and only its quotes
are changed.
"""

from collections.abc import Iterator
from typing import Any

_WIDTH = 88  # of a line: what `ruff format` joins in a folder without settings of its own


def literal(value: Any) -> str:
    """A value as source in one line.

    value  text, a number, a flag, None, or a tuple, list or dictionary of these
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (tuple, list)):
        items = [literal(item) for item in value]
        if isinstance(value, list):
            return f"[{', '.join(items)}]"
        return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
    if isinstance(value, dict):
        pairs = [f"{literal(key)}: {literal(item)}" for key, item in value.items()]
        return f"{{{', '.join(pairs)}}}"
    assert value is None or isinstance(value, (bool, int, float)), type(value)
    return repr(value)


def entry(beginning: str, value: Any, *, indent: int) -> Iterator[str]:
    """Lines of a value with its name, such as `rate=0.1,`; a long tuple has a line for each item.

    beginning  the name, with the sign that follows it
    """
    margin = " " * indent
    line = f"{margin}{beginning}{literal(value)},"
    if len(line) <= _WIDTH or not isinstance(value, tuple) or len(value) < 2:
        yield line
        return
    yield f"{margin}{beginning}("
    for item in value:
        yield f"{margin}    {literal(item)},"
    yield f"{margin}),"


def _text(value: str) -> str:
    """A text in double quotes, unless it has more of these than of single ones."""
    source = repr(value)
    if source[0] == '"' or value.count('"') > value.count("'"):
        return source
    body = source[1:-1].replace("\\'", "'").replace('"', '\\"')
    return f'"{body}"'
