"""YAML files of other tools: plain values only, without deep nesting and growing aliases."""

from pathlib import Path
from typing import Any

from syndet_ray.errors import DataError

_MOST_BYTES = 10_000_000  # ten thousand names of classes take 0.2 MB
_DEEPEST = 20  # levels; dataset files have about three
_MOST_ALIASES = 10  # more can stand for gigabytes in a few lines


def load_yaml(path: Path, of: str = "a dataset", aliases: int = _MOST_ALIASES) -> Any:
    """The content of a YAML file. Raises DataError.

    of       what it is the file of, for messages
    aliases  at most so many may stand in it
    """
    import yaml

    if path.is_dir():
        raise DataError(path, "is a folder, not a YAML file", do="Rename the folder.")
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(path, f"is too large for the YAML file of {of}")
    content = path.read_bytes()
    # tags such as !!int with a text that is none raise errors of many kinds
    errors = (ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError)
    try:
        _check(path, content, of, aliases)
        value = yaml.safe_load(content)
        _check_end(path, value)
        return value
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        raise DataError(f"{path}{line}", f"is not valid YAML ({str(problem)[:100]})") from None
    except errors:
        raise DataError(path, "is not valid YAML (a value of no known kind)") from None


def _check(path: Path, content: bytes, of: str, most_aliases: int) -> None:
    import yaml

    blocks = (yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken)
    starts = (*blocks, yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)
    ends = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
    depth = aliases = 0
    for token in yaml.scan(content, Loader=yaml.SafeLoader):
        depth += isinstance(token, starts) - isinstance(token, ends)
        aliases += isinstance(token, yaml.AliasToken)
        if depth > _DEEPEST:
            raise DataError(path, f"is nested too deep for the YAML file of {of}")
        if aliases > most_aliases:
            raise DataError(path, f"must hold at most {most_aliases} aliases (*name)")


def _check_end(path: Path, value: Any, outer: tuple[Any, ...] = ()) -> None:
    """Raises DataError for a list or mapping that contains itself.

    outer  the lists and mappings that the value is in
    """
    if not isinstance(value, list | dict):
        return
    if any(value is container for container in outer):
        rule = "has an alias (*name) within the value that it stands for, which so has no end"
        raise DataError(path, rule, do="Write out what is meant in place of the alias.")
    for inner in value.values() if isinstance(value, dict) else value:
        _check_end(path, inner, (*outer, value))


def yaml_or_none(path: Path) -> Any:
    """The content of a YAML file; None for a file that is none."""
    try:
        return load_yaml(path)
    except DataError:
        return None
