"""Assignments: settings of a recipe as text, such as "scene.blur=0.2"."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from syndet_ray.definitions.located import with_absolute_paths
from syndet_ray.definitions.recipe import check_path
from syndet_ray.errors import DefinitionError


def settings_of(texts: Iterable[str], root: Path) -> dict[str, Any]:
    """The values of settings by their dotted paths; a value is JSON or text.

    root  the folder that relative paths in values start from

    Raises DefinitionError for a text without "=", and for a setting that no recipe has.
    """
    settings = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise DefinitionError("`settings`", "must read like scene.blur=0.2", got=text)
        check_path(path)
        settings[path] = with_absolute_paths(path, _value(value), root)
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
