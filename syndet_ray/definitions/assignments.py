"""Assignments: settings of a recipe as text, such as "scene.blur=0.2"."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from syndet_ray.definitions.located import OF_FILES, with_absolute_paths
from syndet_ray.definitions.recipe import check_path
from syndet_ray.errors import DefinitionError

# names of several settings that stand for one of them, as in a Recipe
_SHORT = {"detector": "detector.program"}


def settings_of(texts: Iterable[str], root: Path) -> dict[str, Any]:
    """The values of settings by their dotted paths; a value is JSON, several numbers, or text.

    root  the folder that relative paths in values start from

    Raises DefinitionError for a text without "=", and for a setting that no recipe has.
    """
    settings = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise DefinitionError("`settings`", "must read like scene.blur=0.2", got=text)
        path = _SHORT.get(path, path)
        check_path(path)
        parsed = _value(value)
        if path in OF_FILES and not isinstance(parsed, str):
            parsed = value
        settings[path] = with_absolute_paths(path, parsed, root)
    return settings


def _value(text: str) -> Any:
    # a pair may be typed as it is printed, (50, 80), or as 50,80
    inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    for words in (text, f"[{inner}]" if "," in inner else text):
        try:
            return json.loads(words)
        except ValueError:
            continue
    return text
