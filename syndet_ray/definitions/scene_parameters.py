"""SceneParameters: what the generator of synthetic images may vary."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from syndet_ray.definitions.value import Value
from syndet_ray.errors import DefinitionError, nearest

BUILT_IN = ("", "dice", "shapes")  # values of assets, surroundings, backgrounds that are no folder
MOST_OBJECTS = 100  # in a scene, as in SynthDet
MOST_SCENE_PX = 2048  # side of a scene; a larger one takes minutes and gigabytes to render
COMMAND = "command:"  # the beginning of a generator that is a program
_RENDERERS = ("raycast", "blender")
_SIDE_WITHOUT_CROPS_PX = 256  # of scenes that are rendered to be looked at, not for a training
LEAST_SIZE_PX = 4  # width of an object; of smaller ones nothing can be recognized
# Width / height of images: photos of objects hardly ever have others.
LEAST_ASPECT, MOST_ASPECT = 0.25, 4
_LEAST_GAIN, _MOST_GAIN = 0.5, 2.0  # on a colour: beyond, no camera's white balance goes
_LEAST_SCALE, _MOST_SCALE = 0.05, 10  # of clutter, in objects' sizes: what a scene can still show
_LEAST_FACTOR, _MOST_FACTOR = 0.05, 4.0  # of scale_range, about those of Ghiasi et al. 2021

MOST_PROPORTION = 2.0  # factor on a mesh, either way: beyond, it is another thing
# Settings that may be measured on photos, see `inspection.scene_match`.
MEASURABLE = (
    "aspect",
    "image_px",
    "objects",
    "objects_spread",
    "size_px",
    "poses",
    "least_tilt_deg",
    "camera_tilt_deg",
    "proportions",
    "stretch",
    "profile",
    "noise",
    "object_color",
    "box_padding",
    "box_padding_spread",
    "box_jitter",
    "box_square",
    "brightness",
    "color_cast",
    "contrast",
    "blur",
    "jpeg",
)

Share = Annotated[float, Field(ge=0, le=1)]


def _generator_name(name: str) -> str:
    is_program = name.startswith(COMMAND) and bool(name.removeprefix(COMMAND).strip())
    if name not in _RENDERERS and not is_program:
        rule = f"must be raycast, blender or command:PROGRAM ARG..., got {name!r}"
        raise ValueError(f"{rule}. {nearest(name, _RENDERERS)}")
    return name


class SceneParameters(Value):
    """Parameters of the generator.

    Strengths go from 0 (off) to 1 (the full published range).
    """

    generator: Annotated[str, AfterValidator(_generator_name)] = Field(
        "raycast", description="raycast, blender or command:PROGRAM ARG..."
    )
    assets: str = Field(
        "dice", min_length=1, description="objects to detect: dice, or a folder of classes"
    )
    surroundings: str = Field(
        "shapes",
        description="distractors and clutter: shapes, a folder of meshes or cut-outs, or none",
    )
    backgrounds: str = Field(
        "", description="folder of images for floors; empty: only our own textures"
    )
    match: Literal["none", "photos"] = Field(
        "none",
        description="photos: what is not given is measured on the training photos when a sweep "
        "begins",
    )
    photos: str = Field(
        "",
        description="paste: folder of photos that a run prepares; empty: its own training photos",
    )
    cutouts: str = Field(
        "", description="paste: folder of cut-outs by class; empty: cut out of the photos"
    )
    arrangement: Literal["tray", "layers", "paste"] = Field(
        "tray",
        description="objects fall into a tray, lie in layers as in the paper, or are cut-outs "
        "pasted on training photos",
    )
    poses: Literal["auto", "rest", "upright", "face_up", "any", "curriculum"] = Field(
        "auto",
        description="tray: rest, as objects fall; upright; face_up, as they fall with their upper "
        "side up; any. layers: any, or curriculum, all in order, near to far. auto: as assets.json "
        "says, else rest and any",
    )

    objects: int = Field(40, ge=1, le=MOST_OBJECTS, description="number of objects in a scene")
    objects_spread: Share = Field(
        0.0,
        description="tray, paste: share by which scenes have fewer or more objects, 1: from 1 to "
        "twice",
    )
    distractors: int = Field(
        0, ge=0, le=100, description="number of unlabelled things among the objects"
    )
    occluders: Share = Field(
        0.0, description="layers: share of objects of which something covers 20 to 30 %"
    )
    overlap: Share = Field(
        0.3,
        description="layers, paste: maximum overlap of two objects, share of the smaller one's box",
    )
    crop: float = Field(
        0.5,
        ge=0,
        le=0.75,
        description="layers, paste: maximum share of an object that the border cuts off; "
        "at most 0.75, because the middle of the object is inside",
    )
    background_scale: tuple[float, float] = Field(
        (0.9, 1.5),
        description="minimum and maximum size of clutter and distractors, relative to the objects",
    )
    image_px: Annotated[int, Field(ge=64, le=MOST_SCENE_PX)] | Literal["auto"] = Field(
        "auto",
        description="longer side of the rendered image, pixels; "
        "auto: what the training crop needs, 256 outside of a sweep",
    )
    aspect: float = Field(
        1.0,
        ge=LEAST_ASPECT,
        le=MOST_ASPECT,
        description="width of the rendered image, divided by its height",
    )
    size_px: tuple[float, float] = Field(
        (29.0, 53.0), description="minimum and maximum width of an object, pixels"
    )
    scale_range: tuple[float, float] = Field(
        (0.8, 1.25),
        description="paste: minimum and maximum factor on the size of the photo and of each "
        "cut-out; 0.1 to 2 is large-scale jitter",
    )
    object_scale: Share = Field(
        0.5, description="tray, strength: sizes of the objects in a scene, up to 32 % either way"
    )

    lamps: int = Field(
        1, ge=1, le=4, description="maximum number of lamps; every scene has at least one"
    )
    light_color: Share = Field(
        0.5, description="strength: colour temperature and tint of lamps and sky, up to 30 %"
    )
    light_direction: Share = Field(
        0.5, description="strength: direction, softness and distance of the lamps"
    )
    light_intensity: Share = Field(
        0.5, description="strength: the lamps' share of all light, up to 0.4 either way"
    )
    hue: Share = Field(
        0.0,
        description="strength: hue of distractors, clutter and occluders, "
        "up to 180 degrees either way",
    )
    floor_color: Share = Field(0.5, description="strength: colour of floor, tray and table")
    floor_texture: Share = Field(
        0.5, description="strength: contrast of the floor's texture, up to 0.25 or a whole image"
    )
    object_color: Share = Field(
        0.5, description="strength: colours of dice and pips, tints of other objects"
    )
    object_shape: Share = Field(
        1.0, description="strength: rounding of dice, size and position of their pips"
    )
    stretch: Share = Field(
        0.0,
        description="strength: meshes also slimmer, wider, lower and taller, by up to a quarter",
    )
    profile: Share = Field(
        0.0,
        description="strength: meshes also thinner and thicker at some of their heights, by up to "
        "1.6 times either way",
    )
    proportions: tuple[tuple[str, float, float], ...] = Field(
        (),
        description="classes whose meshes are made wider and higher: class, factor across, factor "
        "along the axis that points up; 0.5 to 2",
    )
    gloss: Share = Field(
        1.0, description="maximum gloss of an object, 1 is a mirror; cut-outs have none"
    )
    camera_tilt_deg: float = Field(
        25.0, ge=0, le=85, description="tray: maximum angle between camera and vertical, degrees"
    )
    least_tilt_deg: float = Field(
        0.0, ge=0, le=85, description="tray: minimum angle between camera and vertical, degrees"
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
    brightness: float = Field(
        0.0, ge=-3, le=3, description="stops by which all images are brighter, about exposure"
    )
    color_cast: tuple[float, float] = Field(
        (1.0, 1.0), description="gains on red and blue of all images, about white_balance; 0.5 to 2"
    )
    contrast: float = Field(
        1.0, ge=0.5, le=3, description="slope of the tone curve at middle grey; 1: as rendered"
    )
    blur: Share = Field(
        0.5, description="strength: Gaussian blur of the sensor, sigma up to 1.5 px"
    )
    noise: Share = Field(
        0.5, description="strength: Gaussian noise of the sensor, sigma up to 0.06 of full scale"
    )
    jpeg: Share = Field(
        0.0, description="strength: JPEG compression, down to quality 30; 0 does not compress"
    )

    box_padding: float = Field(
        0.0, ge=-0.3, le=1, description="share by which boxes are wider than their objects"
    )
    box_padding_spread: float = Field(
        0.0, ge=0, le=0.5, description="standard deviation of the padding, share"
    )
    box_jitter: float = Field(
        0.0, ge=0, le=0.3, description="standard deviation of a box's position, share of its width"
    )
    box_square: bool = Field(False, description="boxes are square, as wide as the longer side")
    least_visibility: Share = Field(
        0.0, description="objects of which less is visible have no box; 0: all that have a pixel"
    )

    @model_validator(mode="after")
    def _sizes_in_order(self) -> "SceneParameters":
        low, high = self.size_px
        if not LEAST_SIZE_PX <= low <= high:
            rule = f"size_px must satisfy {LEAST_SIZE_PX} <= minimum <= maximum"
            raise ValueError(f"{rule}, got {low}, {high}")
        if self.image_px != "auto" and high > self.image_px:
            raise ValueError(
                f"size_px must be at most image_px, {self.image_px}, got {low}, {high}"
            )
        return self

    @model_validator(mode="after")
    def _arrangement_fits(self) -> "SceneParameters":
        if self.poses == "curriculum" and self.arrangement != "layers":
            rule = 'poses "curriculum" needs arrangement "layers"'
            raise ValueError(f"{rule}: what falls into a tray takes its own pose")
        if self.poses in ("rest", "upright", "face_up") and self.arrangement != "tray":
            rule = f'poses "{self.poses}" needs arrangement "tray"'
            raise ValueError(f"{rule}: layers have no floor")
        if not self.surroundings and (self.arrangement == "layers" or self.distractors):
            raise ValueError("layers and distractors need surroundings, got none")
        return self

    @model_validator(mode="after")
    def _matched_is_ours(self) -> "SceneParameters":
        if self.match == "photos" and self.generator.startswith(COMMAND):
            raise ValueError("match must be none for a generator that is a program, got photos")
        return self

    @model_validator(mode="after")
    def _tilts_in_order(self) -> "SceneParameters":
        if self.least_tilt_deg > self.camera_tilt_deg:
            bounds = f"{self.least_tilt_deg} and {self.camera_tilt_deg}"
            raise ValueError(f"least_tilt_deg must be at most camera_tilt_deg, got {bounds}")
        return self

    @model_validator(mode="after")
    def _gains_in_range(self) -> "SceneParameters":
        if not all(_LEAST_GAIN <= gain <= _MOST_GAIN for gain in self.color_cast):
            bounds = f"{_LEAST_GAIN} to {_MOST_GAIN}"
            red, blue = self.color_cast
            raise ValueError(f"color_cast must be two gains of {bounds}, got {red}, {blue}")
        return self

    @model_validator(mode="after")
    def _proportions_in_range(self) -> "SceneParameters":
        names = [name for name, _, _ in self.proportions]
        for name, *factors in self.proportions:
            if not all(1 / MOST_PROPORTION <= factor <= MOST_PROPORTION for factor in factors):
                bounds = f"{1 / MOST_PROPORTION:g} to {MOST_PROPORTION:g}"
                across, along = factors
                rule = f"proportions must be factors of {bounds}, got {across}, {along} for {name}"
                raise ValueError(rule)
            if names.count(name) > 1:
                raise ValueError(f"proportions must name a class once, got {name} again")
        return self

    @model_validator(mode="after")
    def _scales_in_order(self) -> "SceneParameters":
        low, high = self.background_scale
        if not _LEAST_SCALE <= low <= high <= _MOST_SCALE:
            bounds = f"{_LEAST_SCALE} <= minimum <= maximum <= {_MOST_SCALE}"
            raise ValueError(f"background_scale must satisfy {bounds}, got {low}, {high}")
        return self

    @model_validator(mode="after")
    def _scale_range_in_order(self) -> "SceneParameters":
        low, high = self.scale_range
        if not _LEAST_FACTOR <= low <= high <= _MOST_FACTOR:
            bounds = f"{_LEAST_FACTOR} <= minimum <= maximum <= {_MOST_FACTOR}"
            raise ValueError(f"scale_range must satisfy {bounds}, got {low}, {high}")
        return self

    @property
    def pastes(self) -> bool:
        """True if images are photos with cut-outs on them; a program makes what it likes."""
        return self.arrangement == "paste" and not self.generator.startswith(COMMAND)

    @property
    def side_px(self) -> int:
        """Longer side of the rendered image, pixels."""
        return _SIDE_WITHOUT_CROPS_PX if self.image_px == "auto" else self.image_px

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the rendered image, pixels."""
        shorter = max(1, round(self.side_px * min(self.aspect, 1 / self.aspect)))
        return (self.side_px, shorter) if self.aspect >= 1 else (shorter, self.side_px)

    def is_measured(self, name: str) -> bool:
        """True if a setting will be measured on photos: its value is not given."""
        is_open = name in MEASURABLE and name not in self.model_fields_set
        return self.match == "photos" and is_open

    def check_measured(self) -> None:
        """Raises DefinitionError for scenes that are like photos that were not measured."""
        if self.match == "photos":
            rule = "needs photos that are measured, which a sweep does when it begins"
            do = "`sweep` and `check` measure them; `init` writes a sweep with the values."
            raise DefinitionError("scene.match", rule, got=self.match, do=do)

    def settle(self) -> "SceneParameters":
        """The same with nothing left to "auto": equal scenes have equal parameters.

        Photos, which the run names, are not named where nothing is pasted on them. Raises
        DefinitionError for scenes that are like photos that were not measured.
        """
        self.check_measured()
        photos = self.photos if self.arrangement == "paste" else ""
        return self.model_copy(update={"image_px": self.side_px, "photos": photos})
