"""Settings of another tool's file: each with its line, and what is left when some are taken."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from syndet_ray.errors import DefinitionError
from syndet_ray.files import reading
from syndet_ray.wording import printable

Scalar = str | int | float | bool | None

MOST_DEPTH = 50  # of nested settings; those of the tools that we read have less than ten levels
_MOST_BYTES = 1 << 20  # the largest file of settings that was seen has 8 kB
_MOST_SHOWN = 60  # characters of a value: the rest is in the file
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SECRETS = ("enc_key", "model_key")


@dataclass(frozen=True, kw_only=True)
class ForeignSetting:
    """One value of a file.

    keys   from the outermost to its own; equal for the values of a list
    group  number of the message or mapping that holds it, in the order of the file
    """

    file: Path
    line: int
    keys: tuple[str, ...]
    value: Scalar
    group: int

    @property
    def path(self) -> str:
        """The dotted key."""
        return ".".join(map(printable, self.keys))

    @property
    def place(self) -> str:
        """File, line and key, for an error."""
        return f"{printable(str(self.file))}:{self.line}: {self.path}"

    @property
    def where(self) -> str:
        """File and line in short; with the folders of a spec of Tao-Runner: all have one name."""
        is_spec = self.file.name == "train.txt"
        file = "/".join(self.file.parts[-3:]) if is_spec else self.file.name
        return f"{printable(file)}:{self.line}"

    @property
    def words(self) -> str:
        """Key and value for a person; the value of a key that decrypts models is not shown."""
        if self.keys[-1] in _SECRETS:
            return f"{self.path} (not shown)"
        return f"{self.path} = {short_value(self.value)}"

    def refuse(self, rule: str, do: str = "") -> NoReturn:
        """Raises DefinitionError with the place and the value."""
        got = self.value if self.value is None or isinstance(self.value, bool) else str(self.value)
        if isinstance(got, str) and len(got) > _MOST_SHOWN:
            got = f"{got[:_MOST_SHOWN]}..."
        raise DefinitionError(self.place, rule, got=got, do=do)


class Settings:
    """The settings of a file, or of a section of it.

    A setting is taken by its dotted path. Those that are not taken are `left`.
    """

    def __init__(self, settings: Sequence[ForeignSetting], depth: int = 0) -> None:
        self._depth = depth
        self._by_path: dict[str, list[ForeignSetting]] = {}
        for setting in settings:
            path = ".".join(setting.keys[depth:])
            self._by_path.setdefault(path, []).append(setting)
        self._taken = set[str]()

    def __contains__(self, path: str) -> bool:
        return any(_is_below(other, path) for other in self._by_path)

    def all(self, path: str) -> list[ForeignSetting]:
        """Takes all values of a path, in the order of the file."""
        self._taken.add(path)
        return self._by_path.get(path, [])

    def one(self, path: str) -> ForeignSetting | None:
        """Takes the only value of a path; None if there is none.

        Raises DefinitionError for several.
        """
        settings = self.all(path)
        if len(settings) > 1:
            settings[1].refuse(f"must be given once, and line {settings[0].line} has it too")
        return settings[0] if settings else None

    def groups(self, path: str) -> list[dict[str, ForeignSetting]]:
        """Takes repeated messages, such as entries of a map; values of each by their last key."""
        by_group: dict[int, dict[str, ForeignSetting]] = {}
        for setting in self._take_below(path):
            by_group.setdefault(setting.group, {})[setting.keys[-1]] = setting
        return [by_group[group] for group in sorted(by_group)]

    def sections(self, path: str) -> dict[str, "Settings"]:
        """Takes the mappings below a key, by their names.

        Raises DefinitionError for a value where a mapping must be.
        """
        depth = self._depth + path.count(".") + 1
        by_name: dict[str, list[ForeignSetting]] = {}
        for setting in self._take_below(path):
            if len(setting.keys) < depth + 2:
                setting.refuse("must have settings below it")
            by_name.setdefault(setting.keys[depth], []).append(setting)
        return {name: Settings(settings, depth + 1) for name, settings in by_name.items()}

    def _take_below(self, path: str) -> list[ForeignSetting]:
        settings = []
        for other, group in self._by_path.items():
            if _is_below(other, path):
                self._taken.add(other)
                settings += group
        return settings

    @property
    def left(self) -> list[tuple[str, ForeignSetting]]:
        """Settings that were not taken, with their path in this section."""
        pairs = []
        for path, settings in self._by_path.items():
            if path not in self._taken:
                pairs += [(path, setting) for setting in settings]
        return pairs

    @property
    def first(self) -> ForeignSetting:
        """The first setting; every file and section has one."""
        return next(iter(self._by_path.values()))[0]


def _is_below(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.")


def read_text(file: Path) -> str:
    """The text of a file of settings.

    Raises DefinitionError for a file that is empty, too large or no text, MachineError for one that
    may not be read.
    """
    place = printable(str(file))
    with reading(file):
        if not file.is_file():
            rule = "is not a file" if file.exists() else "does not exist"
            raise DefinitionError(place, rule, do="Check the path.")
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DefinitionError(place, "is larger than 1 MB, which no file of settings is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DefinitionError(place, "is not a text file in UTF-8") from None
    if "\0" in text:
        raise DefinitionError(place, "is not a text file: it has a zero byte")
    if not text.strip():
        raise DefinitionError(place, "is empty")
    return text


def number(setting: ForeignSetting, *, least: float = -math.inf, most: float = math.inf) -> float:
    """The value as a finite number.

    Text that reads as one counts: YAML 1.1 takes 2e-4, without a point, for text.
    """
    value = setting.value
    if isinstance(value, bool) or value is None:
        setting.refuse("must be a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        setting.refuse("must be a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        setting.refuse("must be a finite number")
    if not least <= result <= most:
        limits = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
        setting.refuse(f"must be {limits}")
    return result


def whole(setting: ForeignSetting, *, least: int, most: int = 10**9) -> int:
    """The value as a whole number."""
    result = number(setting, least=least, most=most)
    if result != int(result):
        setting.refuse("must be a whole number")
    return int(result)


def text(setting: ForeignSetting) -> str:
    """The value as text."""
    if not isinstance(setting.value, str):
        setting.refuse("must be text")
    return setting.value


def flag(setting: ForeignSetting) -> bool:
    """The value as true or false."""
    if not isinstance(setting.value, bool):
        setting.refuse("must be true or false")
    return setting.value


def choice(setting: ForeignSetting, names: Mapping[str, str]) -> str | None:
    """The meaning of a text by its names, in any case; None for a text that is not among them."""
    return names.get(text(setting).strip().lower())


def short_value(value: Scalar) -> str:
    """A value for a person, in one short line."""
    words = printable(str(value))
    if len(words) > _MOST_SHOWN:
        words = f"{words[:_MOST_SHOWN]}..."
    return f'"{words}"' if isinstance(value, str) else words
