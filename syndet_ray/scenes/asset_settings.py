"""Asset settings: the assets.json of a folder of assets, its units, sizes, poses and colours.

unit is "metres", "millimetres" or "centimetres", the unit of the numbers in mesh files, or
"normalised": a mesh's longest side is size_m long, or without size_m all look equally large, so
that size does not tell the class. Without a unit meshes are normalised if size_m is given, and else
their unit is guessed (`units`). Cut-outs, which have no size of their own, are always normalised,
and beside meshes with a unit look as large as their median.
Meshes may have holes; if open is true, that is intended and not noted. pose is the pose in which
meshes lie: "rest", the default, "upright", "face_up" or "any" (`scene.poses`); up is the axis of
their files that points up: "y", the default of glTF and OBJ, or "z", that of PLY and STL. color,
such as "#e8dfc8", is that of meshes without a texture. All but open hold for all classes or by
class ({"size_m": {"apple": 0.08}}).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from syndet_ray.errors import DataError, nearest

SETTINGS_FILE = "assets.json"
SIZE_M = 0.05  # of an object that a hand can hold, where nothing else says it
# Bounds on sizes: outside of them the unit is wrong.
SMALLEST_M, LARGEST_M = 1e-4, 10.0
_Pose = Literal["rest", "upright", "face_up", "any"]
_Axis = Literal["y", "z"]
_HexColor = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
_Z_UP = (".ply", ".stl")  # of scanners and printers; the other formats say y, or are used so
_Unit = Literal["normalised", "metres", "millimetres", "centimetres"]
_UNITS = '"normalised", "metres", "millimetres" or "centimetres"'


class AssetSettings(BaseModel):
    """The settings in assets.json. `file` is its path, even if it does not exist."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    unit: _Unit | dict[str, _Unit] | None = None
    size_m: float | dict[str, float] = SIZE_M
    open: bool = False
    pose: _Pose | dict[str, _Pose] = "rest"
    up: _Axis | dict[str, _Axis] | None = None
    color: _HexColor | dict[str, _HexColor] | None = None
    _file: Path = PrivateAttr(default=Path(SETTINGS_FILE))

    @property
    def file(self) -> Path:
        return self._file

    def unit_of(self, name: str) -> str | None:
        """The unit of a class's meshes; None if it must be guessed."""
        unit = self.unit.get(name) if isinstance(self.unit, dict) else self.unit
        return "normalised" if unit is None and self.has_size else unit

    @property
    def has_size(self) -> bool:
        """True if size_m is given, and is no default."""
        return "size_m" in self.model_fields_set

    def size_of(self, name: str) -> float:
        return self.size_m.get(name, SIZE_M) if isinstance(self.size_m, dict) else self.size_m

    def pose_of(self, name: str) -> str:
        return self.pose.get(name, "rest") if isinstance(self.pose, dict) else self.pose

    def up_axis_of(self, name: str, file: Path) -> str:
        """The axis of a mesh file that points up."""
        usual = "z" if file.suffix.lower() in _Z_UP else "y"
        axis = self.up.get(name) if isinstance(self.up, dict) else self.up
        return axis or usual

    def color_of(self, name: str) -> str | None:
        return self.color.get(name) if isinstance(self.color, dict) else self.color

    @property
    def named_classes(self) -> Iterator[tuple[str, str]]:
        """The settings that hold by class, with the classes that they name."""
        for setting in ("unit", "size_m", "pose", "up", "color"):
            value = getattr(self, setting)
            for name in value if isinstance(value, dict) else ():
                yield setting, name


def read_settings(folder: Path, classes: tuple[str, ...], read: dict[str, Path]) -> AssetSettings:
    """The settings of a folder, with their defaults where it has none.

    classes  of its folders; none for surroundings
    read     receives the file, by a name

    Raises DataError for settings that are not allowed, such as those of a class that is no folder.
    """
    path = folder / SETTINGS_FILE
    settings = _parse(path) if path.is_file() else AssetSettings()
    settings._file = path.absolute()
    if not path.is_file():
        return settings
    read[f"{path.name} of {'classes' if classes else 'surroundings'}"] = path
    for setting, name in settings.named_classes:
        if name not in classes:
            rule = f"{setting} names a class that is no folder"
            raise DataError(path, rule, got=name, do=nearest(name, classes))
    sizes = settings.size_m.values() if isinstance(settings.size_m, dict) else [settings.size_m]
    for size in sizes:
        if not SMALLEST_M <= size <= LARGEST_M:
            rule = f"size_m must be {SMALLEST_M} to {LARGEST_M:.0f} metres"
            raise DataError(path, rule, got=size)
    return settings


def _parse(path: Path) -> AssetSettings:
    """The settings in an assets.json. Raises DataError for settings that are not allowed."""
    try:
        return AssetSettings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        do = f'It may hold "unit" ({_UNITS}), "size_m" (metres), "open", "pose", "up" and "color".'
        # Of settings that are a value or one by class, that which is nested deeper was meant.
        first = max(error.errors(), key=lambda details: len(details["loc"]))
        # the others name the type that was tried
        places = [str(part) for part in first["loc"] if not str(part).endswith(("]", "-str"))]
        if not places:
            rule = 'must be JSON such as {"unit": "metres"}: ' + first["msg"]
            raise DataError(path, rule, do=do) from None
        place = ".".join(places)
        raise DataError(path, f"{place}: {first['msg']}", got=first["input"], do=do) from None
