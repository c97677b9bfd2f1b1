"""Recipe and its parts: everything one trial needs besides data."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from syndet_ray.definitions.mix import Mix, Scenes
from syndet_ray.definitions.program import words_of
from syndet_ray.definitions.scene_parameters import COMMAND, SceneParameters, Share
from syndet_ray.definitions.value import Value, definition_error
from syndet_ray.errors import DefinitionError, SyndetError, nearest

_A_WHOLE_IMAGE = 1 - 1e-9  # but for rounding: shares are sums and products

NAMED_WEIGHTS = ("auto", "imagenet", "coco", "none")  # any other value names a file
Architecture = Literal["faster_rcnn", "retinanet", "fcos"]
Pixels = Annotated[float, Field(ge=1, le=8192)]
AspectRatio = Annotated[float, Field(ge=0.05, le=20)]


class Detector(Value):
    """The model, its starting weights, and the scale at which it sees photos.

    "auto" is settled when photos and machine of a sweep are known; the run records its value.
    """

    architecture: Architecture = Field(
        "faster_rcnn", description="torchvision's Faster R-CNN, RetinaNet or FCOS"
    )
    backbone: str = Field(
        "auto",
        min_length=1,
        description="timm's name of a backbone, or torchvision's COCO detectors: "
        "resnet50_fpn_v2, mobilenet_v3_large_fpn",
    )
    weights: str = Field(
        "auto",
        min_length=1,
        description="auto, imagenet, coco, none, or the path of a .safetensors file",
    )
    frozen_stages: Annotated[int, Field(ge=0)] | Literal["auto", "all"] = Field(
        "auto",
        description="number of backbone stages, counted from the image, that are not trained; "
        "auto: as the weights suggest",
    )
    backbone_rate: float = Field(
        0.1, gt=0, le=10, description="factor on the learning rate of the backbone"
    )
    working_px: Annotated[int, Field(ge=64, le=8192)] | Literal["auto"] = Field(
        "auto", description="longer side that photos are resized to; auto: from the training boxes"
    )
    anchor_px: Annotated[tuple[Pixels, ...], Field(min_length=1)] | Literal["auto"] = Field(
        "auto",
        description="anchor sizes at the working scale, smallest first; "
        "auto: from the training boxes",
    )
    aspect_ratios: Annotated[tuple[AspectRatio, ...], Field(min_length=1)] | Literal["auto"] = (
        Field("auto", description="height / width of the anchors; auto: from the training boxes")
    )
    program: str = Field(
        "",
        description="command:PROGRAM ARG..., which trains in place of our detectors; empty: ours",
    )

    @field_validator("weights")
    @classmethod
    def _named_or_a_file(cls, weights: str) -> str:
        # a file without a suffix needs a folder (./file), or it would look like a misspelt name
        is_word = Path(weights).name == weights and not Path(weights).suffix
        if is_word and weights not in NAMED_WEIGHTS:
            rule = f"must be {', '.join(NAMED_WEIGHTS)} or the path of a .safetensors file"
            raise ValueError(f"{rule}, got {weights!r}. {nearest(weights, NAMED_WEIGHTS)}")
        return weights

    @field_validator("program")
    @classmethod
    def _is_a_command(cls, program: str) -> str:
        if program and not program.startswith(COMMAND):
            raise ValueError(f"must be command:PROGRAM ARG..., or empty for ours, got {program!r}")
        if program:
            words_of(program, "detector.program")
        return program


class Training(Value):
    """Settings of the training. Lengths are images seen, never epochs."""

    images: int = Field(4000, ge=1, description="training length, images seen")
    batch_size: int = Field(4, ge=1, le=512, description="images per step")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="adamw or sgd")
    learning_rate: float = Field(
        1e-3, gt=0, le=10, description="peak learning rate, after the warm-up"
    )
    weight_decay: float = Field(
        0.05, ge=0, le=1, description="decoupled for adamw, L2 for sgd; not on biases or norms"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    warmup: Share = Field(
        0.05, description="share of the images during which the rate rises linearly from 0"
    )
    rate_after_switch: float = Field(
        1.0, gt=0, le=10, description="staged: factor on the rate from the first real images on"
    )
    final_rate: Share = Field(
        0.01, description="rate at the end as a share of the peak, reached by a cosine"
    )
    average: Share = Field(
        0.0,
        description="horizon of the moving average of the weights, as a share of the images; "
        "0: no average",
    )
    crop_px: Annotated[int, Field(ge=64, le=2048)] | Literal["auto"] = Field(
        "auto",
        description="side of the random square crop at the working scale, pixels; "
        "auto: from the training boxes",
    )
    scale_jitter: float = Field(
        0.1, ge=0, le=0.9, description="images are resized by a factor in 1 ± this before the crop"
    )
    flip_horizontal: Share = Field(0.5, description="probability of a left-right flip")
    flip_vertical: Share = Field(
        0.0, description="probability of an upside-down flip: for photos from above"
    )
    transpose: Share = Field(
        0.0, description="probability of swapping the axes: for photos from above"
    )
    color_jitter: Share = Field(
        0.1, description="strength of brightness, contrast and saturation changes"
    )


class Recipe(Value):
    """Everything one trial needs besides data and a seed."""

    mix: Mix = Mix()
    scene: SceneParameters = SceneParameters()
    detector: Detector = Detector()
    training: Training = Training()

    @field_validator("detector", mode="before")
    @classmethod
    def _program_alone(cls, detector: Any) -> Any:
        # detector="command:..." is short for Detector(program="command:...")
        return {"program": detector} if isinstance(detector, str) else detector

    @model_validator(mode="after")
    def _sources_can_be_rendered(self) -> "Recipe":
        for name, source in self.mix.sources.items():
            if isinstance(source, Scenes):
                try:
                    self.scene_of(source)
                except SyndetError as error:
                    raise ValueError(f"mix.sources: {name}: {error}") from None
        return self

    @model_validator(mode="after")
    def _nothing_random_is_frozen(self) -> "Recipe":
        frozen_stages = self.detector.frozen_stages
        if self.detector.weights == "none" and frozen_stages not in (0, "auto"):
            rule = f"frozen_stages must be 0 or auto with weights none, got {frozen_stages}"
            raise ValueError(f"detector: random weights cannot be frozen: {rule}")
        return self

    def check_shares(self) -> None:
        """Raises DefinitionError when the share of a source is less than one image.

        The training would be that of another recipe, in which the source has no share.
        """
        total = self.training.images
        for name, share in self.mix.shares.items():
            if 0 < share * total < _A_WHOLE_IMAGE:
                rule = f"the share of {name!r} must be none or at least one image of {total}"
                count = f"{share * total:.2g} images"
                raise DefinitionError("mix", rule, got=count, do="Raise training.images.")

    def is_measured(self, path: str) -> bool:
        """True if the value of a setting is not known before photos are measured."""
        part, field = path.split(".")
        return part == "scene" and self.scene.is_measured(field)

    def scenes(self) -> dict[str, tuple[SceneParameters, int]]:
        """Parameters and number of the scenes that the training needs, by source.

        A source without a share needs none.
        """
        shares = self.mix.shares
        scenes = {}
        for name, source in self.mix.sources.items():
            if isinstance(source, Scenes) and shares[name] > 0:
                images = source.images or self.mix.synthetic_images
                scenes[name] = self.scene_of(source), images
        return scenes

    def scene_of(self, source: Scenes) -> SceneParameters:
        """The parameters of a source's scenes. Raises DefinitionError for changes that break a
        rule.
        """
        changes = {}
        for path, value in source.changes.items():
            check_path(path)
            if not path.startswith("scene."):
                raise DefinitionError(path, "is not a setting of scenes")
            changes[path.removeprefix("scene.")] = value
        try:
            return SceneParameters.model_validate(_given_settings(self.scene) | changes)
        except ValidationError as error:
            raise definition_error("scene", error) from None

    def replace(self, changes: Mapping[str, Any]) -> "Recipe":
        """A copy with dotted fields changed: `recipe.replace({"mix.synthetic": 0.5})`.

        The copy knows which settings of its scene were given, see `SceneParameters.is_measured`.
        Raises DefinitionError for a field that does not exist, or a value that breaks its rule.
        """
        parts = self.model_dump() | {"scene": _given_settings(self.scene)}
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
        """Every setting by its dotted path, as plain values."""
        settings = {}
        for part, fields in self.model_dump().items():
            for field, value in fields.items():
                settings[f"{part}.{field}"] = value
        return settings


def _given_settings(scene: SceneParameters) -> dict[str, Any]:
    """The settings of a scene that were given; the others have their defaults."""
    return scene.model_dump(exclude_unset=True)


def field_paths() -> Iterator[str]:
    """The dotted path of every setting of a recipe, in order."""
    for part, info in Recipe.model_fields.items():
        assert isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        for field in info.annotation.model_fields:
            yield f"{part}.{field}"


def check_path(path: str) -> None:
    """Raises DefinitionError, with the nearest valid path, unless a recipe has this setting."""
    if path not in _settings():
        rule, hint = "is not a setting of a recipe", nearest(path, _settings())
        raise DefinitionError(f"recipe: {path}", rule, do=hint)


@cache
def _settings() -> tuple[str, ...]:
    return tuple(field_paths())


def check_value(path: str, value: Any) -> None:
    """Raises DefinitionError unless a setting may have this value in some recipe.

    Its own rule decides, not the values of other settings.
    """
    part, field = path.split(".")
    info = Recipe.model_fields[part].annotation.model_fields[field]  # type: ignore[union-attr]
    rule: Any = Annotated[info.annotation, info]
    try:
        TypeAdapter(rule).validate_python(value)
    except ValidationError as error:
        raise definition_error(f"recipe: {path}", error) from None
