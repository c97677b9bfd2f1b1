"""Made from: the settings that scenes are made from, recorded while a scene is composed."""

from functools import lru_cache
from typing import Any, cast

from syndet_ray.definitions.effect import OBJECTS_ARE_SOLID, SURROUNDINGS_ARE_SOLID
from syndet_ray.definitions.scene_parameters import COMMAND, SceneParameters
from syndet_ray.scenes.generate import compose, library_of, stock_of
from syndet_ray.scenes.paste import draw_pasted
from syndet_ray.scenes.scene import NO_CLASS


def made_from(parameters: SceneParameters) -> dict[str, Any]:
    """The settings that scenes with these parameters are made from, by name, as plain JSON values.

    For our own generators: those that are read while a scene is composed, and those that tell what
    the scene holds. A setting that is left out changes neither an image nor a label. An external
    program gets all settings, as its use of them is unknown. Raises DataError if a folder that
    they name holds no assets.
    """
    names = _names(parameters)
    settings = parameters.model_dump(mode="json")
    return {name: value for name, value in settings.items() if name in names}


def facts(parameters: SceneParameters) -> dict[str, bool]:
    """Facts about the folders that these parameters name, as `effect` needs them.

    Raises DataError.
    """
    if parameters.pastes:  # photos are not known before the run begins, and nothing is solid
        return {OBJECTS_ARE_SOLID: False, SURROUNDINGS_ARE_SOLID: False}
    library = library_of(parameters)
    return {
        OBJECTS_ARE_SOLID: library.has_solid_objects,
        SURROUNDINGS_ARE_SOLID: library.has_solid_surroundings,
    }


# the settings that properties of scene parameters read
_READ_BY = {"side_px": ("image_px",), "size_wh": ("image_px", "aspect")}


@lru_cache(maxsize=64)
def _names(parameters: SceneParameters) -> frozenset[str]:
    if parameters.generator.startswith(COMMAND):
        return frozenset(SceneParameters.model_fields)
    # A scene of few bodies is composed in milliseconds, and reads the same settings as one of many.
    fewest = {"objects": min(2, parameters.objects), "distractors": min(1, parameters.distractors)}
    small = parameters.model_copy(update=fewest)
    recorder = _Recorder(small)
    recorded = cast("SceneParameters", recorder)
    if parameters.pastes:
        draw_pasted(recorded, stock_of(small), seed=0, index=0)
        return frozenset({"generator", "arrangement", "photos", "cutouts"} | recorder.names)
    scene = compose(recorded, library_of(small), seed=0, index=0, count=1)
    names = {"generator", "assets"}
    if any(body.label == NO_CLASS for body in scene.bodies):
        names.add("surroundings")
    library = library_of(small)
    if library.has_solid_objects and not library.dice:
        names |= {"stretch", "profile", "proportions"}
    if scene.ground.texture_contrast > 0:
        names.add("backgrounds")  # also that there are none
    return frozenset(names | recorder.names)


class _Recorder:
    """Scene parameters that record the names of those that are read."""

    def __init__(self, parameters: SceneParameters) -> None:
        self._parameters, self.names = parameters, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.names.update(_READ_BY.get(name, (name,)))
        return getattr(self._parameters, name)
