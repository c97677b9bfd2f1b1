"""Measures: settings of scenes that were measured on photos, corrected and put into scenes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from syndet_ray.definitions.scene_parameters import LEAST_SIZE_PX, SceneParameters
from syndet_ray.definitions.value import definition_error
from syndet_ray.errors import DefinitionError

SIZE = "scene.size_px"
LEAST_TILT, MOST_TILT = "scene.least_tilt_deg", "scene.camera_tilt_deg"
# settings that layers do not have
OF_TRAY = ("poses", "least_tilt_deg", "camera_tilt_deg", "objects_spread")
_MOST_VALUE = 60  # characters of a value in a line for people; longer ones are in the sweep file


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A setting of a recipe, and the measure that it comes from, in words."""

    path: str
    value: Any
    words: str

    @property
    def name(self) -> str:
        """The setting's name among those of scenes."""
        return self.path.removeprefix("scene.")

    @property
    def line(self) -> str:
        """Name, value and measure, as a person reads them."""
        value = str(self.value)
        if len(value) > _MOST_VALUE:
            value = f"{len(self.value)} classes"
        return f"{self.name}: {value} ({self.words})"


def settings_for(measured: Iterable[Measured], scenes: SceneParameters) -> list[Measured]:
    """The measured settings that these scenes were not given, and that their arrangement has.

    An end of the range of tilts goes no further than the other end if that is given.
    """
    given = scenes.model_fields_set
    left_out = {*given, *OF_TRAY} if scenes.arrangement != "tray" else given
    items = []
    for item in measured:
        if item.path == LEAST_TILT and "camera_tilt_deg" in given:
            item = replace(item, value=min(item.value, scenes.camera_tilt_deg))
        if item.path == MOST_TILT and "least_tilt_deg" in given:
            item = replace(item, value=max(item.value, scenes.least_tilt_deg))
        if item.name not in left_out:
            items.append(item)
    return items


def scenes_with(base: SceneParameters, measured: Iterable[Measured]) -> SceneParameters:
    """Scenes with measured settings; nothing is open any more.

    Raises DefinitionError if what is given leaves no room for what is measured.
    """
    fields = {item.name: item.value for item in measured}
    try:
        return SceneParameters(**base.model_dump() | fields | {"match": "none"})
    except ValidationError as error:
        broken = definition_error("scene", error)
    do = "Other settings are measured on the photos: give those, too, or leave this one out."
    raise DefinitionError(broken.place, broken.rule, got=broken.got, do=do)


def within_image(most_px: float, measured: Iterable[Measured]) -> Iterator[Measured]:
    """The same, with no size of objects greater than that of the image.

    Objects that fill their photos are larger: a box shows a part of their longest side.
    """
    for item in measured:
        if item.path == SIZE and item.value[1] > most_px:
            low, high = (min(side_px, float(most_px)) for side_px in item.value)
            words = f"{item.words}; no more than the image, {most_px} px"
            item = replace(item, value=(low, high), words=words)
        yield item


def correct_sizes(measured: Iterable[Measured], size_ratio: float) -> Iterator[Measured]:
    """The same, with larger objects.

    size_ratio  sizes of boxes of photos, divided by those of rendered scenes
    """
    reason = f"times {size_ratio:.2f}, by which boxes of rendered scenes differ"
    for item in measured:
        if item.path == SIZE:
            low, high = (
                round(max(float(LEAST_SIZE_PX), side_px * size_ratio), 1) for side_px in item.value
            )
            item = replace(item, value=(low, high), words=f"{item.words}; {reason}")
        yield item
