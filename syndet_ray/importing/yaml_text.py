"""YAML text: reads settings with their lines, by PyYAML's safe loader.

Aliases are refused, because a few lines of them may stand for millions of values; so are mappings
that are nested too deeply, before PyYAML's recursion meets them.
"""

from pathlib import Path
from typing import Any

import yaml

from syndet_ray.errors import DefinitionError, first_line
from syndet_ray.importing.settings import MOST_DEPTH, ForeignSetting, Scalar, read_text
from syndet_ray.wording import printable


def read(file: Path) -> list[ForeignSetting]:
    """The settings of a file.

    Raises DefinitionError, with the line, where it is no YAML, or no mapping of settings.
    """
    content = read_text(file)
    try:
        _check_events(file, content)
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _no_yaml(file, error) from None
    if not isinstance(root, yaml.MappingNode):
        raise DefinitionError(printable(str(file)), "must be a mapping of settings")
    reader = _Reader(file)
    reader.add(root, (), group=0)
    return reader.settings


def _check_events(file: Path, content: str) -> None:
    """Raises DefinitionError for aliases, tags and deep nesting; events come one by one."""
    depth = 0
    for event in yaml.parse(content, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            rule = "aliases (*name) are not read"
            raise DefinitionError(_place(file, line), rule, do="Write the value out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if event.tag is not None:
                rule = "tags (!name) are not read"
                raise DefinitionError(_place(file, line), rule, do="Leave it out.")
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_DEPTH:
            rule = f"settings must not be nested in more than {MOST_DEPTH} others"
            raise DefinitionError(_place(file, line), rule)


class _Reader:
    def __init__(self, file: Path) -> None:
        self.settings: list[ForeignSetting] = []
        self._file = file
        self._groups = 0
        self._loader = yaml.SafeLoader("")

    def add(self, node: Any, keys: tuple[str, ...], group: int) -> None:
        """Adds the settings of a node. An empty mapping or list is a setting without a value."""
        if isinstance(node, yaml.MappingNode) and node.value:
            self._add_mapping(node, keys)
        elif isinstance(node, yaml.SequenceNode) and node.value:
            for item in node.value:
                self.add(item, keys, group)
        elif keys:
            line = node.start_mark.line + 1
            value = self._scalar(node) if isinstance(node, yaml.ScalarNode) else None
            self.settings.append(
                ForeignSetting(file=self._file, line=line, keys=keys, value=value, group=group)
            )
        else:
            raise DefinitionError(printable(str(self._file)), "has no settings")

    def _add_mapping(self, node: Any, keys: tuple[str, ...]) -> None:
        self._groups += 1
        group = self._groups
        names = set[str]()
        for key, value in node.value:
            place = _place(self._file, key.start_mark.line + 1)
            if not isinstance(key, yaml.ScalarNode):
                raise DefinitionError(place, "a key must be a word")
            if key.value in names:
                raise DefinitionError(place, "a key must be given once", got=key.value[:40])
            names.add(key.value)
            self.add(value, (*keys, key.value), group)

    def _scalar(self, node: Any) -> Scalar:
        """The value of a scalar, by the rules of `yaml.safe_load`; of a date its text."""
        place = _place(self._file, node.start_mark.line + 1)
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise DefinitionError(place, f"cannot be read ({first_line(error)})") from None
        return value if isinstance(value, (str, int, float, type(None))) else str(node.value)


def _no_yaml(file: Path, error: yaml.YAMLError) -> DefinitionError:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or first_line(error)
    place = (
        printable(str(file)) if mark is None else f"{_place(file, mark.line + 1)}:{mark.column + 1}"
    )
    return DefinitionError(place, f"is not valid YAML ({printable(reason)})")


def _place(file: Path, line: int) -> str:
    return f"{printable(str(file))}:{line}"
