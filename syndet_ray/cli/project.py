"""Project: options that all commands of a folder share, from its syndet.toml."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syndet_ray.errors import DefinitionError, nearest_and_all

FILE = "syndet.toml"
# The keys: settings of recipes, and other options of the command line.
_MATERIALS = ("assets", "backgrounds", "generator")  # what scenes are made of
_OF_RECIPES = (*_MATERIALS, "synthetic", "set")
_PRICES = ("gpu-hour-price", "core-hour-price")
_OF_COMMANDS = ("real", "format", "skip-bad", "classes", "hold-out", "runs", "tracking", *_PRICES)
_KEYS = (*_OF_COMMANDS, *_OF_RECIPES)


@dataclass(frozen=True, kw_only=True)
class Project:
    """The options of a syndet.toml; paths are absolute.

    written   the values as they stand in the file, by key, without passwords
    options   values of options that are no settings of recipes, by their name in Python
    settings  settings of recipes by their dotted paths: those of `set`, and what the keys on scenes
              and synthetic images stand for
    """

    file: Path
    written: Mapping[str, Any]
    options: Mapping[str, Any]
    settings: Mapping[str, Any]

    def words(self, options: Iterable[str], settings: Iterable[str]) -> str:
        """The part of the file that a command takes, in one line: "syndet.toml: real photos, assets
        meshes, scene.blur=0.2"; "" if it takes nothing.

        options, settings  names of those that it takes
        """
        taken_options, taken_settings = set(options), set(settings)
        parts = []
        for key, value in self.written.items():
            path = _path_of(key)
            if key.replace("-", "_") in taken_options or path in taken_settings:
                parts.append(f"{key} {value}")
        if "set" in self.written:
            for path in _flat(self.written["set"]):
                if path in taken_settings:
                    parts.append(f"{path}={self.settings[path]}")
        return f"{self.file.name}: {', '.join(parts)}" if parts else ""

    def options_for(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options that a command has and was not given, by name.

        given  the command's options, None for one that was not given
        """
        return {
            name: value
            for name, value in self.options.items()
            if name in given and given[name] is None
        }

    def facts(self) -> dict[str, Any]:
        """The file and its content, for the record of a run."""
        return {"file": str(self.file), "content": dict(self.written)}


def read_project(folder: Path) -> Project | None:
    """The options in the syndet.toml of a folder; None if there is none.

    Raises DefinitionError with file and key for what is no TOML, for an unknown key, a value of
    another kind, and a path that does not exist.
    """
    file = folder / FILE
    content = _content(file)
    if content is None:
        return None
    for key in content:
        if key not in _KEYS:
            raise DefinitionError(
                f"{file.name}: {key}", "is no key", do=nearest_and_all(key, _KEYS)
            )
    _check_kinds(content, file.name)
    _check_one_kind_of_images(content, file.name)
    _check_places(content, folder, file.name)
    return Project(
        file=file.absolute(),
        written={key: _without_passwords(value) for key, value in content.items()},
        options=_options(content, folder),
        settings=_settings(content, folder, file.name),
    )


def project_text(
    photos: str, options: Mapping[str, Any], folders: Mapping[str, Path], root: Path
) -> str:
    """The content of a syndet.toml for photos and the materials of their scenes.

    photos   the place of the photos
    options  further keys and their values
    folders  by key; those within `root` are written relative to it
    """
    values = {"real": photos, **options}
    for key, folder in folders.items():
        inside = folder.is_absolute() and folder.is_relative_to(root)
        values[key] = str(folder.relative_to(root) if inside else folder)
    lines = ["# options of all commands in this folder; those of the command line win"]
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join([*lines, ""])


def _content(file: Path) -> dict[str, Any] | None:
    from syndet_ray.files import reading

    with reading(file):
        if not file.exists():
            return None
        if not file.is_file():
            raise DefinitionError(file.name, "is not a file", do="Rename the folder.")
        content = file.read_bytes()
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DefinitionError(file.name, "is not UTF-8", do="Save it as UTF-8.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        do = 'Write such as: real = "photos"'
        raise DefinitionError(file.name, f"is not valid TOML ({error})", do=do) from None


def _without_passwords(value: Any) -> Any:
    from syndet_ray.data.remote.address import for_messages

    return for_messages(value) if isinstance(value, str) and "://" in value else value


def _check_kinds(content: Mapping[str, Any], place: str) -> None:
    from syndet_ray.runs.prices import is_price

    for key, value in content.items():
        if key == "skip-bad":
            rule, is_kept = "must be true or false", isinstance(value, bool)
        elif key == "hold-out":
            rule, is_kept = "must be more than 0 and less than 1", _is_share(value)
        elif key in _PRICES:
            rule, is_kept = "must be a finite number of at least 0", is_price(value)
        elif key == "set":
            rule, is_kept = 'must be a table such as {"scene.blur" = 0.2}', isinstance(value, dict)
        else:
            rule, is_kept = "must be text in quotes", isinstance(value, str) and bool(value)
        if not is_kept:
            raise DefinitionError(f"{place}: {key}", rule, got=value)


def _is_share(value: object) -> bool:
    return isinstance(value, float) and 0 < value < 1


def _check_one_kind_of_images(content: Mapping[str, Any], place: str) -> None:
    others = [key for key in _MATERIALS if key in content]
    if "synthetic" in content and others:
        rule = f"takes the place of rendered scenes, and {', '.join(others)} is of scenes"
        do = "Leave one out; the command line can name it when it is needed."
        raise DefinitionError(f"{place}: synthetic", rule, do=do)


def _check_places(content: Mapping[str, Any], folder: Path, place: str) -> None:
    from syndet_ray.definitions.scene_parameters import BUILT_IN

    for key in ("real", "classes", "synthetic", "assets", "backgrounds"):
        value = content.get(key)
        if value is None or "://" in value or (key == "real" and value == _stand_in()):
            continue
        if key == "assets" and value in BUILT_IN:
            continue
        path = folder / Path(value).expanduser()
        if not path.exists():
            rule = f"does not exist: paths in {place} start from its folder"
            raise DefinitionError(f"{place}: {key}", rule, got=value, do="Correct it.")


def _stand_in() -> str:
    from syndet_ray.data.stand_in import STAND_IN

    return STAND_IN


def _options(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Values of options as the command line would have them."""
    from syndet_ray.tracking.address import server_address

    options: dict[str, Any] = {}
    for key, value in content.items():
        if key in _OF_RECIPES:
            continue
        if key in ("classes", "runs"):
            value = folder.absolute() / Path(value).expanduser()
        elif key == "real":
            value = _photo_place(value, folder)
        elif key == "tracking":
            value = server_address(value)
        options[key.replace("-", "_")] = value
    return options


def _photo_place(value: str, folder: Path) -> str:
    if "://" in value or value == _stand_in():
        return value
    return str(folder.absolute() / Path(value).expanduser())


def _settings(content: Mapping[str, Any], folder: Path, place: str) -> dict[str, Any]:
    """Settings of recipes, checked one by one, with absolute paths."""
    from syndet_ray.definitions.located import with_absolute_paths
    from syndet_ray.definitions.recipe import check_path, check_value

    values = {_path_of(key): value for key, value in content.items() if _path_of(key)}
    if "synthetic" in content:
        values[_path_of("synthetic")] = synthetic_source(content["synthetic"])
    values |= _flat(content.get("set", {}))
    settings = {}
    for path, value in values.items():
        try:
            check_path(path)
            check_value(path, value)
        except DefinitionError as error:
            where = f"{place}: {error.place}"
            raise DefinitionError(where, error.rule, got=error.got, do=error.do) from None
        settings[path] = with_absolute_paths(path, value, folder.absolute())
    return settings


def synthetic_source(folder: object) -> dict[str, Any]:
    """The sources of a mix whose synthetic images are a dataset made elsewhere, as in JSON."""
    return {"synthetic": {"kind": "synthetic", "folder": str(folder)}}


def _path_of(key: str) -> str:
    """The setting that a key stands for; "" if it stands for none."""
    if key in _MATERIALS:
        return f"scene.{key}"
    return "mix.sources" if key == "synthetic" else ""


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted paths; in TOML an unquoted scene.blur is a table within a table."""
    settings: dict[str, Any] = {}
    for name, value in table.items():
        if "." not in name and isinstance(value, dict):
            settings |= {f"{name}.{field}": inner for field, inner in value.items()}
        else:
            settings[name] = value
    return settings
