"""Recipe and its parts: everything one trial needs besides data."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from syndet_ray.errors import DefinitionError, nearest

Share = Annotated[float, Field(ge=0, le=1)]


class Value(BaseModel):
    """A frozen, keyword-only definition that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Mix(Value):
    """What the batches are made of."""

    synthetic: Share = Field(0.5, description="share of every batch that is synthetic; the rest is real")
    synthetic_images: int = Field(200, ge=1, description="number of distinct scenes that are rendered")


class SceneParameters(Value):
    """What the generator may vary. Strengths go from 0 (off) to 1 (the full published range)."""

    generator: str = Field(
        "raycast",
        pattern=r"^(raycast|blender|command:.*\S.*)$",
        description="raycast, blender or command:PROGRAM ARG...",
    )
    assets: str = Field("dice", min_length=1, description="what is to be found: dice, or a folder of classes")
    surroundings: str = Field(
        "shapes", description="distractors, clutter: shapes, a folder of meshes, cut-outs, or none"
    )
    backgrounds: str = Field("", description="folder of images for floors; none: our own textures alone")
    arrangement: Literal["tray", "layers"] = Field(
        "tray", description="fallen into a tray, or in layers as in the paper"
    )
    poses: Literal["random", "curriculum"] = Field(
        "random", description="layers: at random, or all in order, near to far"
    )

    objects: int = Field(40, ge=1, le=100, description="objects per scene, on the same tray")
    distractors: int = Field(0, ge=0, le=100, description="unlabelled things among the objects")
    occluders: Share = Field(0.0, description="layers: share of objects that something covers by 20 to 30 %")
    overlap: Share = Field(0.3, description="layers: greatest overlap of two objects, share of the smaller one's box")
    crop: Share = Field(0.5, description="layers: greatest share of an object that the image's border cuts off")
    background_scale: tuple[float, float] = Field(
        (0.9, 1.5), description="clutter's and distractors' size, in objects' sizes"
    )
    image_px: int = Field(256, ge=64, le=2048, description="width and height of the rendered image, pixels")
    size_px: tuple[float, float] = Field((29.0, 53.0), description="least and greatest width of an object, pixels")
    object_scale: Share = Field(0.5, description="tray, strength: sizes of one scene's objects, up to 32 % either way")

    lamps: int = Field(1, ge=1, le=4, description="greatest number of lamps; each scene has one or more")
    light_color: Share = Field(0.5, description="strength: colour temperature and tint of lamps and sky, up to 30 %")
    light_direction: Share = Field(0.5, description="strength: direction, softness and nearness of the lamps")
    light_intensity: Share = Field(0.5, description="strength: the lamps' share of all light, up to 0.4 either way")
    hue: Share = Field(
        0.0, description="strength: hue of distractors, clutter and occluders, up to 180 degrees either way"
    )
    floor_color: Share = Field(0.5, description="strength: colour of floor, tray and table")
    floor_texture: Share = Field(
        0.5, description="strength: contrast of the floor's texture, up to 0.25 or a whole image"
    )
    object_color: Share = Field(0.5, description="strength: colours of dice and pips, tints of other objects")
    object_shape: Share = Field(1.0, description="strength: rounding of dice, size and place of their pips")
    gloss: Share = Field(1.0, description="greatest share of a mirror that an object is")
    camera_tilt_deg: float = Field(25.0, ge=0, le=60, description="tray: greatest angle of the camera off the vertical")
    camera_height: Share = Field(0.5, description="strength: distance, by up to 4 times; focal length keeps the size")
    focal_length: Share = Field(0.0, description="strength: zoom beyond size_px, by up to a quarter either way")
    exposure: Share = Field(0.25, description="strength: brightness, up to one stop either way")
    white_balance: Share = Field(0.0, description="strength: gains on red and blue, up to 25 % either way")
    blur: Share = Field(0.5, description="strength: Gaussian blur of the sensor, sigma up to 1.5 px")
    noise: Share = Field(0.5, description="strength: Gaussian noise of the sensor, sigma up to 0.06 of full scale")
    jpeg: Share = Field(0.0, description="strength: JPEG compression, down to quality 30; 0 is none at all")

    box_padding: float = Field(0.0, ge=-0.3, le=1, description="by which boxes are wider than objects, share")
    box_padding_spread: float = Field(0.0, ge=0, le=0.5, description="standard deviation of the padding, share")
    box_jitter: float = Field(0.0, ge=0, le=0.3, description="standard deviation of a box's place, share of its width")
    box_square: bool = Field(False, description="boxes are square, as wide as the longer side")

    @model_validator(mode="after")
    def _ranges_in_order(self) -> "SceneParameters":
        low, high = self.size_px
        if not 4 <= low <= high <= self.image_px:
            raise ValueError(f"size_px must satisfy 4 <= least <= greatest <= image_px, got {low}, {high}")
        if self.poses == "curriculum" and self.arrangement != "layers":
            raise ValueError('poses "curriculum" needs arrangement "layers": what falls into a tray picks its own pose')
        if not self.surroundings and (self.arrangement == "layers" or self.distractors):
            raise ValueError("layers and distractors need surroundings, got none")
        low, high = self.background_scale
        if not 0.05 <= low <= high <= 10:
            raise ValueError(f"background_scale must satisfy 0.05 <= least <= greatest <= 10, got {low}, {high}")
        return self


class Detector(Value):
    """Which model, from which starting weights."""

    name: Literal["auto", "fasterrcnn_tiny", "fasterrcnn_resnet50_fpn_v2"] = Field(
        "auto", description="auto: fasterrcnn_tiny without a GPU, fasterrcnn_resnet50_fpn_v2 with one"
    )
    weights: str = Field("none", description="none, the path of a .safetensors file, or torchvision")
    frozen_stages: int = Field(0, ge=0, le=5, description="backbone stages, from the image on, that do not train")


class Training(Value):
    """How the detector is trained. Lengths are images seen, never epochs."""

    images: int = Field(4000, ge=1, description="training length, images seen")
    batch_size: int = Field(4, ge=1, le=512, description="images per step")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0, le=10, description="peak learning rate, after the warm-up")
    weight_decay: float = Field(0.05, ge=0, le=1, description="decoupled for adamw, L2 for sgd; not on biases or norms")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    warmup: Share = Field(0.05, description="share of the images over which the rate rises linearly from 0")
    final_rate: Share = Field(0.01, description="rate at the end as a share of the peak, reached by a cosine")
    crop_px: int = Field(256, ge=64, le=2048, description="side of the random square crop, pixels")
    scale_jitter: float = Field(
        0.1, ge=0, le=0.9, description="images are resized by a factor in 1 ± this before the crop"
    )
    flip: Share = Field(0.5, description="probability of each of: horizontal flip, vertical flip, transposition")
    color_jitter: Share = Field(0.1, description="strength of brightness, contrast and saturation changes")


class Recipe(Value):
    """Everything one trial needs besides data and a seed."""

    mix: Mix = Mix()
    scene: SceneParameters = SceneParameters()
    detector: Detector = Detector()
    training: Training = Training()

    def replace(self, changes: Mapping[str, Any]) -> "Recipe":
        """A copy with dotted fields changed: `recipe.replace({"mix.synthetic": 0.5})`.

        Raises DefinitionError for a field that does not exist or a value that breaks the field's rule.
        """
        parts = self.model_dump()
        for path, value in changes.items():
            check_path(path)
            part, field = path.split(".")
            parts[part][field] = value
        try:
            return Recipe.model_validate(parts)
        except ValidationError as error:
            raise definition_error("recipe", error) from None

    def get(self, path: str) -> Any:
        """The value of a dotted field."""
        check_path(path)
        part, field = path.split(".")
        return getattr(getattr(self, part), field)

    def flat(self) -> dict[str, Any]:
        """Every setting by its dotted path."""
        return {path: self.get(path) for path in field_paths()}


def located(path: str, value: Any, root: Path) -> Any:
    """A setting's value with the files that it names as absolute paths, so that it means the same in any folder.

    root is the folder that relative paths start from. Settings that name no file are returned as they are.
    """
    if path in ("scene.assets", "scene.surroundings", "scene.backgrounds") and value not in ("", "dice", "shapes"):
        return str(root / Path(value).expanduser())
    if path == "scene.generator" and str(value).startswith("command:"):
        words = shlex.split(value.removeprefix("command:"))
        return "command:" + shlex.join(str(root / word) if (root / word).is_file() else word for word in words)
    return value


def field_paths() -> Iterator[str]:
    """The dotted path of every setting of a recipe, in order."""
    for part, info in Recipe.model_fields.items():
        assert isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        for field in info.annotation.model_fields:
            yield f"{part}.{field}"


def check_path(path: str) -> None:
    """Raises DefinitionError, with the nearest valid path, unless a recipe has this setting."""
    if path not in (valid := list(field_paths())):
        raise DefinitionError(f"recipe.{path}", "is not a setting of a recipe", do=nearest(path, valid))


def definition_error(place: object, error: ValidationError) -> DefinitionError:
    """The first broken rule of a pydantic error, in the user's words."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    at = f"{place}: {field}" if field else str(place)
    if first["type"] == "extra_forbidden":
        return DefinitionError(
            at, "is not a field", do=nearest(str(first["loc"][-1]), _siblings(error.title, first["loc"]))
        )
    if first["type"] == "value_error":
        return DefinitionError(at, str(first["ctx"]["error"]).rstrip("."))
    if first["type"] == "missing":
        return DefinitionError(at, "is missing")
    rule = first["msg"].replace("Input should be", "must be")
    return DefinitionError(at, rule, got=first["input"])


def _siblings(title: str, path: tuple[int | str, ...]) -> list[str]:
    """Field names valid where an unknown one stood. `title` is the model's name, as pydantic reports it."""
    model: Any = {kind.__name__: kind for kind in _kinds(Value)}[title]
    for step in path[:-1]:
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _kinds(base: type[Value]) -> Iterator[type[Value]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)
