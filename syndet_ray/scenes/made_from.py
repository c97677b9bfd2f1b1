"""Made from: which settings scenes are made from, noted as a scene is composed."""

from functools import lru_cache
from typing import Any, cast

from syndet_ray.definitions.effect import OBJECTS_ARE_SOLID, SURROUNDINGS_ARE_SOLID
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import command
from syndet_ray.scenes.generate import compose, library_of
from syndet_ray.scenes.scene import NO_CLASS


def made_from(parameters: SceneParameters) -> dict[str, Any]:
    """The settings that scenes with these parameters are made from, by name, as plain JSON values.

    Of our own generators: those that are read as a scene is composed, and what the scene holds. A
    setting that is left out changes neither a picture nor a label. A program from outside is handed
    all of them, and what it makes of them nobody here knows. Raises DataError where a folder that
    they name is no set of assets.
    """
    names = _names(parameters)
    return {
        name: value for name, value in parameters.model_dump(mode="json").items() if name in names
    }


def facts(parameters: SceneParameters) -> dict[str, bool]:
    """What the folders say that scenes with these parameters are made of, as `effect` asks for it.

    Raises DataError.
    """
    library = library_of(parameters)
    return {
        OBJECTS_ARE_SOLID: library.has_solid_objects,
        SURROUNDINGS_ARE_SOLID: library.has_solid_surroundings,
    }


@lru_cache(maxsize=64)
def _names(parameters: SceneParameters) -> frozenset[str]:
    if parameters.generator.startswith(command.PREFIX):
        return frozenset(SceneParameters.model_fields)
    # A scene of little is composed in milliseconds, and reads what one of much reads.
    fewest = {"objects": min(2, parameters.objects), "distractors": min(1, parameters.distractors)}
    little = parameters.model_copy(update=fewest)
    library, noted = library_of(little), _Noted(little)
    scene = compose(cast("SceneParameters", noted), library, seed=0, index=0, count=1)
    names = {"generator", "assets"}
    if any(body.label == NO_CLASS for body in scene.bodies):
        names.add("surroundings")
    if scene.ground.texture_contrast > 0:
        names.add("backgrounds")  # that there are none, too
    return frozenset(names | noted.names)


class _Noted:
    """Scene parameters that note by name which of them are read."""

    def __init__(self, parameters: SceneParameters) -> None:
        self._parameters, self.names = parameters, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.names.add("image_px" if name == "side_px" else name)
        return getattr(self._parameters, name)
