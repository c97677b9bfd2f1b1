"""Class map: new names of classes, as a file that a person writes: rename, merge, drop."""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from syndet_ray.errors import DataError
from syndet_ray.files import reading

ClassMap = Mapping[str, str | None]

_FORM = "Write a line for each class, `old name: new name`, or `old name:` to drop it."
_UNSEEN = ("Zs", "Zl", "Zp", "Cc", "Cf")  # Unicode's categories of spaces, controls and formats
_MOST_BYTES = 1 << 20  # a file of names; a larger one is another file


def read_class_map(path: Path) -> dict[str, str | None]:
    """New names of classes by their old ones, None for a class that is dropped.

    Raises DataError for a file that is no such map. Numbers are names too: 1 is "1".
    """
    with reading(path):
        if not path.is_file():
            rule = "is a folder" if path.is_dir() else "does not exist"
            raise DataError(path, rule, do="Give a YAML file of class names.")
        content = path.read_bytes()
    if len(content) > _MOST_BYTES:
        raise DataError(path, "is too large for a map of class names", do=_FORM)
    try:
        root = yaml.compose(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except RecursionError:
        raise DataError(path, "is nested too deep for a map of class names", do=_FORM) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(path, f"is not YAML ({error})", do=_FORM) from None
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise DataError(path, "must be a map of class names", do=_FORM)
    names: dict[str, str | None] = {}
    for key, value in root.value:
        place = f"{path}, line {key.start_mark.line + 1}"
        old = _name(place, key)
        if old is None:
            raise DataError(place, "must begin with the name of a class", do=_FORM)
        if old in names:
            raise DataError(place, "every class must occur once", got=old, do=_FORM)
        new = names[old] = _name(place, value)
        if new is not None and is_blank(new):
            raise DataError(place, "a new name must have a character to be seen", got=new, do=_FORM)
    return names


def repeatable_names(names: ClassMap) -> dict[str, str | None]:
    """The same new names, but for those that the map would change again: such classes keep theirs.

    To what has these names, such as cut-outs, `names` can be applied as to the data: a class that
    is swapped with another would get its old name back.
    """
    return {old: new if names.get(new or "", new) == new else old for old, new in names.items()}


def map_line(old: str, new: str) -> str:
    """The line of such a file that gives a class a new name: `White King: white-king`."""
    width = 4 * (len(old) + len(new)) + 100  # however much is escaped, it stays one line
    # what does not print, such as a second kind of line break, is escaped
    prints = (old + new).isprintable()
    return yaml.safe_dump({old: new}, allow_unicode=prints, width=width).removesuffix("\n")


def is_blank(name: str) -> bool:
    """True for a name without a character that can be seen."""
    return all(unicodedata.category(letter) in _UNSEEN for letter in name)


def _name(place: str, node: Any) -> str | None:
    """The text of a scalar as it is written; None for nothing, null and ~."""
    if not isinstance(node, yaml.ScalarNode):
        raise DataError(place, "must be a name, not a list or a map", do=_FORM)
    if node.tag == "tag:yaml.org,2002:null":
        return None
    text: str = node.value
    return text
