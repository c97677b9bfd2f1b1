"""Recipe and its parts: everything one trial needs besides data."""

import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from syndet_ray.errors import DefinitionError, SyndetError, nearest

REAL = "real"  # the source that is the user's photos
BUILT_IN = ("", "dice", "shapes")  # values of settings of scenes that name no folder
_A_WHOLE_IMAGE = 1 - 1e-9  # but for rounding: shares are sums and products
Share = Annotated[float, Field(ge=0, le=1)]


class Value(BaseModel):
    """A frozen, keyword-only definition that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scenes(Value):
    """A source of rendered scenes that differ in some settings from those of the recipe."""

    kind: Literal["scenes"] = "scenes"
    changes: dict[str, Any] = Field({}, description='such as {"scene.objects": 70}')
    images: int | None = Field(
        None, ge=1, description="number of distinct scenes; none: as mix.synthetic_images"
    )

    def overrides(self, path: str) -> bool:
        """Whether it has a value of its own for a setting by dotted path: one of scene, or
        mix.synthetic_images.
        """
        if path == "mix.synthetic_images":
            return self.images is not None
        return path in self.changes


class Photos(Value):
    """A source that is a dataset of its own, such as somebody else's photos; its training split is
    drawn from.
    """

    kind: Literal["photos"] = "photos"
    folder: str = Field(min_length=1, description="folder of labelled images, of the same classes")


Schedule = Literal["mixed", "staged", "annealed", "real_only", "synthetic_only"]


def _count_or_share(asked: int | float | str) -> int | float | str:
    if isinstance(asked, float) and not 0 < asked < 1:
        raise ValueError(f"must be a whole number, a share between 0 and 1, or 'all', got {asked}")
    return asked


class Mix(Value):
    """What the batches are made of, and when. "real" are the user's photos; all other sources count
    as synthetic.

    `synthetic` says how much of all that a detector sees is synthetic, `schedule` when it sees it.
    Where schedule, switch_at or real_images leave no choice, they set `synthetic`.
    """

    synthetic: Share = Field(
        0.5, description="share of all images seen that is synthetic; the rest is real"
    )
    schedule: Schedule = Field(
        "mixed",
        description="in every batch alike; synthetic first, then real; ever less synthetic; only one of the two",
    )
    switch_at: Share | None = Field(
        None,
        description="staged: share of the training after which real follows; none: as `synthetic` asks",
    )
    anneal: Literal["linear", "cosine"] = Field(
        "linear", description="annealed: how the synthetic share falls"
    )
    real_images: Annotated[int | float | Literal["all"], AfterValidator(_count_or_share)] = Field(
        "all",
        description="how many of the real training images are used, or which share; fewer are a part of more",
    )
    synthetic_images: int = Field(
        200, ge=1, description="number of distinct scenes that are rendered"
    )
    sources: dict[str, Annotated[Scenes | Photos, Field(discriminator="kind")]] = Field(
        {"synthetic": Scenes()},
        min_length=1,
        description="what the synthetic share is made of, by name",
    )
    parts: dict[str, Share] = Field(
        {}, description="how the synthetic share is divided among the sources; none given: evenly"
    )

    @model_validator(mode="before")
    @classmethod
    def _settled(cls, given: Any) -> Any:
        """`synthetic` as the other settings settle it."""
        if not isinstance(given, dict):
            return given
        schedule, switch_at = given.get("schedule"), given.get("switch_at")
        if schedule == "real_only":
            return given | {"synthetic": 0.0}
        if schedule == "synthetic_only" or given.get("real_images") == 0:
            return given | {"synthetic": 1.0}
        return (
            given | {"synthetic": switch_at}
            if schedule == "staged" and switch_at is not None
            else given
        )

    @model_validator(mode="after")
    def _sources_agree(self) -> "Mix":
        if REAL in self.sources:
            raise ValueError(
                f"sources: {REAL!r} are the photos that a sweep is given; choose another name"
            )
        for name in self.parts:
            if name not in self.sources:
                raise ValueError(f"parts: {name!r} is no source. {nearest(name, self.sources)}")
        if self.parts and abs(sum(self.parts.values()) - 1) > 1e-6:
            raise ValueError(f"parts must sum to 1, got {self.parts}")
        least = 1 if self.schedule == "real_only" else 0
        if isinstance(self.real_images, int) and self.real_images < least:
            raise ValueError(
                f"real_images must be at least {least} or 'all', got {self.real_images}"
            )
        return self

    def real_count(self, there: int) -> int:
        """How many real images are used of `there`: of a share, rounded, at least one."""
        if self.real_images == "all":
            return there
        share = self.real_images if isinstance(self.real_images, float) else None
        return int(self.real_images) if share is None else max(1, round(share * there))

    @property
    def shares(self) -> dict[str, float]:
        """The share of each source in all that a training sees; "real" first. They sum to 1."""
        parts = self.parts or dict.fromkeys(self.sources, 1.0)
        whole = sum(parts.values())  # 1, but for rounding, which a million images would show
        return {REAL: 1 - self.synthetic} | {
            name: self.synthetic * (parts.get(name, 0.0) / whole) for name in self.sources
        }

    @property
    def others_photos(self) -> list[str]:
        """The sources of others' photos that have a share."""
        shares = self.shares
        return [
            name
            for name, source in self.sources.items()
            if isinstance(source, Photos) and shares[name] > 0
        ]

    def parts_of_scenes(self) -> dict[str, float]:
        """The parts of the synthetic share where others' photos have none of it; {} where there are
        no scenes.

        Scenes keep their parts in proportion; where these are 0, they are even.
        """
        scenes = [name for name, source in self.sources.items() if isinstance(source, Scenes)]
        parts = {name: self.parts.get(name, 0.0) for name in scenes}
        if not any(parts.values()):
            parts = dict.fromkeys(scenes, 1.0)
        whole = sum(parts.values())
        return {name: parts.get(name, 0.0) / whole for name in self.sources} if scenes else {}


MOST_SCENE_PX = 2048  # side of a scene; a rendering of more takes minutes and gigabytes
_SIDE_WITHOUT_CROPS_PX = 256  # scenes rendered for their own sake, not for a training


class SceneParameters(Value):
    """What the generator may vary. Strengths go from 0 (off) to 1 (the full published range)."""

    generator: str = Field(
        "raycast",
        pattern=r"^(raycast|blender|command:.*\S.*)$",
        description="raycast, blender or command:PROGRAM ARG...",
    )
    assets: str = Field(
        "dice", min_length=1, description="what is to be found: dice, or a folder of classes"
    )
    surroundings: str = Field(
        "shapes", description="distractors, clutter: shapes, a folder of meshes, cut-outs, or none"
    )
    backgrounds: str = Field(
        "", description="folder of images for floors; none: our own textures alone"
    )
    arrangement: Literal["tray", "layers"] = Field(
        "tray", description="fallen into a tray, or in layers as in the paper"
    )
    poses: Literal["random", "curriculum"] = Field(
        "random", description="layers: at random, or all in order, near to far"
    )

    objects: int = Field(40, ge=1, le=100, description="objects per scene, on the same tray")
    distractors: int = Field(0, ge=0, le=100, description="unlabelled things among the objects")
    occluders: Share = Field(
        0.0, description="layers: share of objects that something covers by 20 to 30 %"
    )
    overlap: Share = Field(
        0.3, description="layers: greatest overlap of two objects, share of the smaller one's box"
    )
    crop: float = Field(
        0.5,
        ge=0,
        le=0.75,
        description="layers: greatest share of an object that the border cuts off; at most .75, for its middle is inside",
    )
    background_scale: tuple[float, float] = Field(
        (0.9, 1.5), description="clutter's and distractors' size, in objects' sizes"
    )
    image_px: Annotated[int, Field(ge=64, le=MOST_SCENE_PX)] | Literal["auto"] = Field(
        "auto",
        description="width and height of the rendered image, pixels; auto: as the training crop needs, 256 outside of a sweep",
    )
    size_px: tuple[float, float] = Field(
        (29.0, 53.0), description="least and greatest width of an object, pixels"
    )
    object_scale: Share = Field(
        0.5, description="tray, strength: sizes of one scene's objects, up to 32 % either way"
    )

    lamps: int = Field(
        1, ge=1, le=4, description="greatest number of lamps; each scene has one or more"
    )
    light_color: Share = Field(
        0.5, description="strength: colour temperature and tint of lamps and sky, up to 30 %"
    )
    light_direction: Share = Field(
        0.5, description="strength: direction, softness and nearness of the lamps"
    )
    light_intensity: Share = Field(
        0.5, description="strength: the lamps' share of all light, up to 0.4 either way"
    )
    hue: Share = Field(
        0.0,
        description="strength: hue of distractors, clutter and occluders, up to 180 degrees either way",
    )
    floor_color: Share = Field(0.5, description="strength: colour of floor, tray and table")
    floor_texture: Share = Field(
        0.5, description="strength: contrast of the floor's texture, up to 0.25 or a whole image"
    )
    object_color: Share = Field(
        0.5, description="strength: colours of dice and pips, tints of other objects"
    )
    object_shape: Share = Field(
        1.0, description="strength: rounding of dice, size and place of their pips"
    )
    gloss: Share = Field(
        1.0, description="greatest share of a mirror that an object is; cut-outs are none"
    )
    camera_tilt_deg: float = Field(
        25.0, ge=0, le=60, description="tray: greatest angle of the camera off the vertical"
    )
    camera_height: Share = Field(
        0.5, description="strength: distance, by up to 4 times; focal length keeps the size"
    )
    focal_length: Share = Field(
        0.0, description="strength: zoom beyond size_px, by up to a quarter either way"
    )
    exposure: Share = Field(0.25, description="strength: brightness, up to one stop either way")
    white_balance: Share = Field(
        0.0, description="strength: gains on red and blue, up to 25 % either way"
    )
    blur: Share = Field(
        0.5, description="strength: Gaussian blur of the sensor, sigma up to 1.5 px"
    )
    noise: Share = Field(
        0.5, description="strength: Gaussian noise of the sensor, sigma up to 0.06 of full scale"
    )
    jpeg: Share = Field(
        0.0, description="strength: JPEG compression, down to quality 30; 0 is none at all"
    )

    box_padding: float = Field(
        0.0, ge=-0.3, le=1, description="by which boxes are wider than objects, share"
    )
    box_padding_spread: float = Field(
        0.0, ge=0, le=0.5, description="standard deviation of the padding, share"
    )
    box_jitter: float = Field(
        0.0, ge=0, le=0.3, description="standard deviation of a box's place, share of its width"
    )
    box_square: bool = Field(False, description="boxes are square, as wide as the longer side")

    @model_validator(mode="after")
    def _ranges_in_order(self) -> "SceneParameters":
        low, high = self.size_px
        if not 4 <= low <= high:
            raise ValueError(f"size_px must satisfy 4 <= least <= greatest, got {low}, {high}")
        if self.image_px != "auto" and high > self.image_px:
            raise ValueError(
                f"size_px must be at most image_px, {self.image_px}, got {low}, {high}"
            )
        if self.poses == "curriculum" and self.arrangement != "layers":
            raise ValueError(
                'poses "curriculum" needs arrangement "layers": what falls into a tray picks its own pose'
            )
        if not self.surroundings and (self.arrangement == "layers" or self.distractors):
            raise ValueError("layers and distractors need surroundings, got none")
        low, high = self.background_scale
        if not 0.05 <= low <= high <= 10:
            raise ValueError(
                f"background_scale must satisfy 0.05 <= least <= greatest <= 10, got {low}, {high}"
            )
        return self

    @property
    def side_px(self) -> int:
        """Width and height of the rendered image, pixels."""
        return _SIDE_WITHOUT_CROPS_PX if self.image_px == "auto" else self.image_px

    def settled(self) -> "SceneParameters":
        """The same with nothing left to "auto": equal scenes have equal parameters."""
        return self.model_copy(update={"image_px": self.side_px})


NAMED_WEIGHTS = ("auto", "imagenet", "coco", "none")  # all else is a file
Architecture = Literal["faster_rcnn", "retinanet", "fcos"]
Pixels = Annotated[float, Field(ge=1, le=8192)]
AspectRatio = Annotated[float, Field(ge=0.05, le=20)]


class Detector(Value):
    """Which model, from which starting weights, and at which scale it sees photos.

    "auto" is settled once a sweep knows its photos and its machine; the run records what it became.
    """

    architecture: Architecture = Field(
        "faster_rcnn", description="torchvision's Faster R-CNN, RetinaNet or FCOS"
    )
    backbone: str = Field(
        "auto",
        min_length=1,
        description="timm's name of a backbone, or resnet50_fpn_v2, mobilenet_v3_large_fpn: torchvision's COCO detectors",
    )
    weights: str = Field(
        "auto",
        min_length=1,
        description="auto, imagenet, coco, none, or the path of a .safetensors file",
    )
    frozen_stages: Annotated[int, Field(ge=0)] | Literal["auto", "all"] = Field(
        "auto",
        description="backbone stages, from the image on, that do not train; auto: as the weights suggest",
    )
    backbone_rate: float = Field(
        0.1, gt=0, le=10, description="factor on the learning rate of the backbone"
    )
    working_px: Annotated[int, Field(ge=64, le=8192)] | Literal["auto"] = Field(
        "auto", description="longer side that photos are brought to; auto: from the training boxes"
    )
    anchor_px: Annotated[tuple[Pixels, ...], Field(min_length=1)] | Literal["auto"] = Field(
        "auto",
        description="anchor sizes at the working scale, smallest first; auto: from the training boxes",
    )
    aspect_ratios: Annotated[tuple[AspectRatio, ...], Field(min_length=1)] | Literal["auto"] = (
        Field("auto", description="height / width of the anchors; auto: from the training boxes")
    )

    @field_validator("weights")
    @classmethod
    def _named_or_a_file(cls, weights: str) -> str:
        # A file without a suffix differs from a misspelt name by its folder: ./it
        is_a_word = Path(weights).name == weights and not Path(weights).suffix
        if is_a_word and weights not in NAMED_WEIGHTS:
            rule = f"must be {', '.join(NAMED_WEIGHTS)} or the path of a .safetensors file, got {weights!r}"
            raise ValueError(f"{rule}. {nearest(weights, NAMED_WEIGHTS)}")
        return weights


class Training(Value):
    """How the detector is trained. Lengths are images seen, never epochs."""

    images: int = Field(4000, ge=1, description="training length, images seen")
    batch_size: int = Field(4, ge=1, le=512, description="images per step")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(
        1e-3, gt=0, le=10, description="peak learning rate, after the warm-up"
    )
    weight_decay: float = Field(
        0.05, ge=0, le=1, description="decoupled for adamw, L2 for sgd; not on biases or norms"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    warmup: Share = Field(
        0.05, description="share of the images over which the rate rises linearly from 0"
    )
    rate_after_switch: float = Field(
        1.0, gt=0, le=10, description="staged: factor on the rate once real images follow"
    )
    final_rate: Share = Field(
        0.01, description="rate at the end as a share of the peak, reached by a cosine"
    )
    average: Share = Field(
        0.0,
        description="horizon of the moving average of the weights, as a share of the images; 0 is none",
    )
    crop_px: Annotated[int, Field(ge=64, le=2048)] | Literal["auto"] = Field(
        "auto",
        description="side of the random square crop at the working scale; auto: from the training boxes",
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

    @model_validator(mode="after")
    def _sources_can_be_drawn(self) -> "Recipe":
        for name, source in self.mix.sources.items():
            if isinstance(source, Scenes):
                try:
                    self._scene_of(source)
                except SyndetError as error:
                    raise ValueError(f"mix.sources: {name}: {error}") from None
        return self

    @model_validator(mode="after")
    def _nothing_random_is_frozen(self) -> "Recipe":
        frozen_stages = self.detector.frozen_stages
        if self.detector.weights == "none" and frozen_stages not in (0, "auto"):
            rule = f"frozen_stages must be 0 or auto beside weights none, got {frozen_stages}"
            raise ValueError(f"detector: random weights cannot be frozen: {rule}")
        return self

    def check_shares(self) -> None:
        """Raises DefinitionError where a source has a share of the training's images that is less
        than one image.

        A training would then be that of another recipe, in which the source has no share.
        """
        total = self.training.images
        for name, share in self.mix.shares.items():
            if 0 < share * total < _A_WHOLE_IMAGE:
                rule = f"the share of {name!r} must be none or at least one image of {total}"
                raise DefinitionError(
                    "mix", rule, got=f"{share * total:.2g} images", do="Raise training.images."
                )

    def scenes(self) -> dict[str, tuple[SceneParameters, int]]:
        """Parameters and number of the scenes that training needs, by source; a source without a
        share needs none.
        """
        shares = self.mix.shares
        return {
            name: (self._scene_of(source), source.images or self.mix.synthetic_images)
            for name, source in self.mix.sources.items()
            if isinstance(source, Scenes) and shares[name] > 0
        }

    def _scene_of(self, source: Scenes) -> SceneParameters:
        for path in source.changes:
            check_path(path)
            if not path.startswith("scene."):
                raise DefinitionError(path, "is not a setting of scenes")
        changes = {path.removeprefix("scene."): value for path, value in source.changes.items()}
        try:
            return SceneParameters.model_validate(self.scene.model_dump() | changes)
        except ValidationError as error:
            raise definition_error("scene", error) from None

    def replace(self, changes: Mapping[str, Any]) -> "Recipe":
        """A copy with dotted fields changed: `recipe.replace({"mix.synthetic": 0.5})`.

        Raises DefinitionError for a field that does not exist or a value that breaks the field's
        rule.
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
        """Every setting by its dotted path, as plain values."""
        return {
            f"{part}.{field}": value
            for part, held in self.model_dump().items()
            for field, value in held.items()
        }


def located(path: str, value: Any, root: Path) -> Any:
    """A setting's value with the files that it names as absolute paths, so that it means the same
    in any folder.

    root is the folder that relative paths start from. Settings that name no file are returned as
    they are.
    """
    if path == "mix.sources":
        return {name: _source_located(source, root) for name, source in value.items()}
    if path == "detector.weights" and value not in NAMED_WEIGHTS:
        return str(root / Path(value).expanduser())
    if (
        path in ("scene.assets", "scene.surroundings", "scene.backgrounds")
        and value not in BUILT_IN
    ):
        return str(root / Path(value).expanduser())
    if path == "scene.generator" and str(value).startswith("command:"):
        words = shlex.split(value.removeprefix("command:"))
        return "command:" + shlex.join(
            str(root / word) if (root / word).is_file() else word for word in words
        )
    return value


def _source_located(given: Any, root: Path) -> dict[str, Any]:
    # as in a variant's changes, or as in JSON
    source = given.model_dump() if isinstance(given, Value) else given
    if source["kind"] == "photos":
        return {**source, "folder": str(root / Path(source["folder"]).expanduser())}
    return {
        **source,
        "changes": {path: located(path, value, root) for path, value in source["changes"].items()},
    }


def field_paths() -> Iterator[str]:
    """The dotted path of every setting of a recipe, in order."""
    for part, info in Recipe.model_fields.items():
        assert isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        for field in info.annotation.model_fields:
            yield f"{part}.{field}"


def check_path(path: str) -> None:
    """Raises DefinitionError, with the nearest valid path, unless a recipe has this setting."""
    if path not in _settings():
        raise DefinitionError(
            f"recipe.{path}", "is not a setting of a recipe", do=nearest(path, _settings())
        )


@cache
def _settings() -> tuple[str, ...]:
    return tuple(field_paths())


def check_value(path: str, value: Any) -> None:
    """Raises DefinitionError unless a setting may have this value in some recipe: by its own rule,
    not beside others.
    """
    part, field = path.split(".")
    info = Recipe.model_fields[part].annotation.model_fields[field]  # type: ignore[union-attr]
    rule: Any = Annotated[info.annotation, info]
    try:
        TypeAdapter(rule).validate_python(value)
    except ValidationError as error:
        raise definition_error(f"recipe: {path}", error) from None


# What pydantic calls the kinds of a value such as "a number or auto", and how the longer names
# begin: they are no fields.
_KINDS_OF_VALUES = {
    "constrained-int",
    "constrained-float",
    "constrained-str",
    "int",
    "float",
    "str",
    "bool",
}
_BEGINNINGS_OF_KINDS = ("tuple[", "list[", "dict[", "literal[")


def definition_error(place: object, error: ValidationError) -> DefinitionError:
    """The first broken rule of a pydantic error, in the user's words."""
    # A misspelt name is missing too, and that it is none says more.
    first, *others = sorted(
        error.errors(include_url=False), key=lambda broken: broken["type"] != "extra_forbidden"
    )
    steps = _fields(first["loc"])
    field = ".".join(map(str, steps))
    at = f"{place}: {field}" if field else str(place)
    if first["type"] == "extra_forbidden":
        return DefinitionError(
            at,
            "is not a field",
            do=nearest(str(first["loc"][-1]), _siblings(error.title, first["loc"])),
        )
    if first["type"] == "value_error":
        return DefinitionError(at, str(first["ctx"]["error"]).rstrip("."))
    if first["type"] == "missing":
        return DefinitionError(at, "is missing")
    if first["type"] == "too_short":
        return DefinitionError(
            at, f"must have at least {first['ctx']['min_length']} items", got=first["input"]
        )
    rule = first["msg"].replace("Input should be", "must be")
    for other in others:
        path = _fields(other["loc"])
        # another kind of value that it may have
        if other["type"] == "literal_error" and steps[: len(path)] == path:
            rule += f", or {other['ctx']['expected']}"
    return DefinitionError(at, rule, got=first["input"])


def _fields(path: tuple[int | str, ...]) -> list[int | str]:
    """The fields and positions on the way to an error, without the kinds of values that pydantic
    tried.
    """
    fields = []
    for step in path:
        is_kind = isinstance(step, str) and (
            step in _KINDS_OF_VALUES or step.startswith(_BEGINNINGS_OF_KINDS)
        )
        if not is_kind:
            fields.append(step)
    return fields


def _siblings(title: str, path: tuple[int | str, ...]) -> list[str]:
    """Field names valid where an unknown one stood.

    `title` is the model's name, as pydantic reports it.
    """
    model: Any = {kind.__name__: kind for kind in _kinds(Value)}[title]
    for step in path[:-1]:
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    # which a class writes itself, for JSON
    return [name for name in model.model_fields if name != "kind"]


def _kinds(base: type[Value]) -> Iterator[type[Value]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)
