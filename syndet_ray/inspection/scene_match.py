"""Scene match: settings of scenes that look like photos, measured on their training photos."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from syndet_ray.data.class_map import ClassMap
from syndet_ray.data.record import Source
from syndet_ray.data.scale import working_sizes
from syndet_ray.definitions.scene_parameters import (
    LEAST_ASPECT,
    LEAST_SIZE_PX,
    MOST_ASPECT,
    MOST_OBJECTS,
    SceneParameters,
)
from syndet_ray.errors import DataError
from syndet_ray.inspection import label_style
from syndet_ray.inspection.crowding import match_crowding
from syndet_ray.inspection.jpeg_match import JpegMatch, match_jpeg
from syndet_ray.inspection.look_match import BoxLooks, LookMatch, looks_of_photos, match_look
from syndet_ray.inspection.measures import (
    LEAST_TILT,
    MOST_TILT,
    SIZE,
    Measured,
    correct_sizes,
    scenes_with,
    settings_for,
    within_image,
)
from syndet_ray.inspection.pose_match import PoseMatch, match_again, match_poses
from syndet_ray.inspection.proportions import Factors, match_proportions
from syndet_ray.inspection.whole_boxes import WholeBoxes
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes.generate import library_of
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.scene import NO_CLASS
from syndet_ray.scenes.sensor import MOST_BLUR_PX, MOST_NOISE
from syndet_ray.scenes.stretch import with_proportions
from syndet_ray.wording import counted

_SIZES = (0.1, 0.9)  # quantiles of objects' sizes that scenes span
# Strengths of stretch and profile: where nothing is known of shapes, and where proportions are
# measured, and what is left is design (docs/results.md, "Scenes of your own objects").
_UNKNOWN_SHAPES, _OTHER_SHAPES = (1.0, 0.0), (0.4, 1.0)
_PADDING, _OBJECTS = "scene.box_padding", "scene.objects"
_EQUAL_ASPECTS = 0.01  # a smaller range comes from sizes in whole pixels
_NEARLY_WHOLE = 0.99  # a photo that is scaled by more is as it was
# standard deviation of the logarithm of a ratio of two channels of a tint, at strength 1: of two
# uniform numbers of 0.5 to 1
_MOST_TINT = 0.28


def measured_scene(
    photos: Source,
    base: SceneParameters,
    longest_px: int,
    seed: int,
    progress: NamedProgress,
    *,
    seen_px: int,
    classes: ClassMap = MappingProxyType({}),
) -> list[Measured]:
    """Settings of scenes like these photos, at the size that training sees them.

    photos      the training split: validation and test photos decide nothing
    base        scenes of the same objects, before anything is measured; settings that were given
                (`model_fields_set`) are not measured, and the others fit them
    longest_px  the longer side to which photos are brought
    seen_px     the side of a square, pixels, of which training sees all; no more than scenes have
    classes     new names that photos already have, of classes of the assets

    What cannot be told from these photos is left out. Raises DataError for assets that cannot be
    used, and DefinitionError if what is given leaves no room for what is measured.
    """
    if not photos.class_counts().any():
        rule = "holds no labelled object, so that nothing about scenes can be measured"
        raise DataError(photos.name, rule, do="Label its objects.")
    meshes = _match_meshes(photos, base, seed, classes)
    library, names = meshes.library, meshes.names
    sizes_wh = np.array([record.size_wh for record in photos.records], np.int64).reshape(-1, 2)
    scales = (working_sizes(sizes_wh, longest_px) / sizes_wh).mean(axis=1)
    style = list(_label_style(photos, seed, progress))
    lengths = _relative_lengths(photos, library, names)
    padding = _padding(style, base)
    side_px = min(longest_px, seen_px)
    if "image_px" in base.model_fields_set:
        if base.image_px == "auto":  # in the sweep it is what training sees
            base = base.model_copy(update={"image_px": seen_px})
        side_px = base.side_px
    looks = looks_of_photos(photos, longest_px, seed, progress)
    measured = [
        *_image(sizes_wh, longest_px, side_px),
        *_counts(photos),
        *within_image(side_px, _sizes(photos, scales, lengths, meshes.match, padding)),
        *_poses(meshes.match),
        *_shapes(library, meshes.factors),
        *_noise(looks),
        *_jpeg(match_jpeg(photos, scales, seed)),
        *_object_color(looks, library),
        *style,
    ]
    settings = settings_for(measured, base)
    scenes = scenes_with(base, settings)
    look = match_look(looks, scenes, library_of(scenes), seed, progress, names=names)
    if look is not None:
        corrected = correct_sizes(settings, look.size_ratio)
        settings = [*within_image(side_px, corrected), *settings_for(_camera(look), base)]
    return list(_crowd(settings, photos, base, seed, progress))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Meshes:
    """The meshes of scenes, compared with the objects of photos.

    library  in the proportions of the photos
    names    those that photos have for the library's classes
    match    None where boxes do not tell poses
    factors  by which proportions differ; None where boxes do not tell, or where they are given
    """

    library: Library
    names: Sequence[str]
    match: PoseMatch | None
    factors: Factors | None


def _match_meshes(photos: Source, base: SceneParameters, seed: int, classes: ClassMap) -> _Meshes:
    """Poses, and then proportions of meshes. Raises DataError for assets that cannot be used."""
    library = library_of(base)
    names = [classes.get(name, name) or "" for name in library.classes]
    boxes = WholeBoxes.of(photos)
    match = match_poses(boxes, library, seed, names)
    factors = None
    if match is not None and "proportions" not in base.model_fields_set:
        factors = match_proportions(boxes, library, match, seed, names)
    if match is not None and factors:
        library = with_proportions(library, _triples(factors))
        distance, length = match_again(boxes, library, match, seed, names)
        match = replace(match, distance=distance, length=length)
    return _Meshes(library=library, names=names, match=match, factors=factors)


def _crowd(
    measured: Sequence[Measured],
    photos: Source,
    base: SceneParameters,
    seed: int,
    progress: NamedProgress,
) -> Iterator[Measured]:
    """The same, with more objects if those of photos cover one another more.

    In layers objects overlap as `overlap` says.
    """
    for item in measured:
        if item.path == _OBJECTS and base.arrangement == "tray":
            scenes = scenes_with(base, measured)
            crowding = match_crowding(photos, scenes, library_of(scenes), seed, progress)
            if crowding is not None:
                words = (
                    f"{item.words}, is {item.value}: in scenes so many cover "
                    f"{crowding.in_scenes:.0%} of one another's boxes, in photos "
                    f"{crowding.in_photos:.0%}, so there are more"
                )
                item = replace(item, value=crowding.objects, words=words)
        yield item


def _padding(style: Iterable[Measured], base: SceneParameters) -> float:
    """The share by which boxes are wider than objects: as it was given, else as measured."""
    if "box_padding" in base.model_fields_set:
        return base.box_padding
    return next((item.value for item in style if item.path == _PADDING), 0.0)


def _image(sizes_wh: np.ndarray, longest_px: int, side_px: int) -> Iterator[Measured]:
    """Size and aspect of what training sees of photos at a time.

    Scenes as large as larger photos would cost more to render, and show fewer objects in each crop.

    side_px  the longer side of scenes
    """
    aspects = sizes_wh[:, 0] / sizes_wh[:, 1]
    aspect = float(np.clip(np.median(aspects), LEAST_ASPECT, MOST_ASPECT))
    words = f"half of the photos are wider than {aspect:.2f} times their height, half are not"
    if np.ptp(aspects) < _EQUAL_ASPECTS:
        words = "of all photos"
    size_words = "the longer side to which photos are brought"
    if longest_px > side_px:
        width_px, height_px = longest_px * min(1, aspect), longest_px * min(1, 1 / aspect)
        aspect = min(width_px, side_px) / min(height_px, side_px)
        words = f"of what a square of {side_px} px shows of photos {longest_px} px long"
        size_words = f"the side of a square that training sees of photos {longest_px} px long"
    yield Measured(path="scene.aspect", value=round(aspect, 3), words=words)
    yield Measured(path="scene.image_px", value=side_px, words=size_words)


def _counts(photos: Source) -> Iterator[Measured]:
    """Objects in an image, and how much their number differs from image to image."""
    counts = []
    for record in photos.records:
        if count := int((~record.boxes.crowd).sum()):
            counts.append(count)
    mean, deviation = float(np.mean(counts)), float(np.std(counts))
    count = int(np.clip(round(mean), 1, MOST_OBJECTS))
    words = f"the mean of photos with objects, which have {min(counts)} to {max(counts)}"
    yield Measured(path=_OBJECTS, value=count, words=words)
    # scenes have every number between two bounds as often: their standard deviation is half of the
    # range, divided by the root of 3
    spread = min(1.0, math.sqrt(3) * deviation / mean)
    words = f"the standard deviation of these numbers is {deviation:.1f}"
    yield Measured(path="scene.objects_spread", value=round(spread, 2), words=words)


def _sizes(
    photos: Source,
    scales: np.ndarray,
    lengths: np.ndarray,
    match: PoseMatch | None,
    padding: float,
) -> Iterator[Measured]:
    """The size of an object of median length, of which a box shows a part.

    lengths  (classes,) of their assets
    padding  the share by which boxes are wider than what is seen of objects

    Where meshes keep their lengths, most differences in size are those between classes: what is
    left varies from scene to scene.
    """
    sides_px, sizes_px = [], []
    for record, scale in zip(photos.records, scales.tolist(), strict=True):
        boxes = record.boxes.select(~record.boxes.crowd)
        longer_px = (boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).max(axis=1) * scale
        sides_px += longer_px.tolist()
        sizes_px += (longer_px / lengths[boxes.labels]).tolist()
    shown = (1 + padding) * (match.length if match is not None else 1.0)
    sizes = np.array(sizes_px) / shown
    sizes = sizes[np.isfinite(sizes)]
    if not len(sizes):  # photos show none of the classes that have assets
        return
    low, high = np.maximum(LEAST_SIZE_PX, np.quantile(sizes, _SIZES)).tolist()
    least, most = np.quantile(sides_px, _SIZES).tolist()
    words = f"longer sides of eight boxes of ten are {least:.0f} to {most:.0f} px"
    if np.ptp(lengths[np.isfinite(lengths)]) > 0:
        words += ", each divided by the length of its class"
    if match is not None:
        words += f", {match.length:.2f} of an object's longest side on average"
    if padding:
        words += f"; boxes are wider than objects by {padding:.0%}"
    yield Measured(path=SIZE, value=(round(low, 1), round(high, 1)), words=words)


def _relative_lengths(photos: Source, library: Library, names: Sequence[str]) -> np.ndarray:
    """(classes,) mean lengths of the assets of each class of the photos, in the library's unit.

    NaN for a class without assets, 1 for all if no class has any.

    names  those that photos have for the library's classes
    """
    lengths = np.full(len(photos.classes), np.nan)
    for k, name in enumerate(photos.classes):
        lengths_m = []
        for asset in library.assets.values():
            if asset.label != NO_CLASS and names[asset.label] == name:
                lengths_m.append(asset.length_m)
        if lengths_m:
            lengths[k] = np.mean(lengths_m)
    return lengths / library.unit_m if np.isfinite(lengths).any() else np.ones_like(lengths)


def _poses(match: PoseMatch | None) -> Iterator[Measured]:
    if match is None:
        return
    off, off_at_rest = np.exp([match.distance, match.at_rest]).tolist()
    words = f"fits the shapes of {match.boxes} boxes best: off by a factor of {off:.2f}"
    if match.poses != "rest":
        words += f", objects that rest as they fall by {off_at_rest:.2f}"
    yield Measured(path="scene.poses", value=match.poses, words=words)
    least, most = match.tilt_deg
    words = "the tilt at which shapes fit best, 10 degrees either way"
    yield Measured(path=LEAST_TILT, value=least, words=words)
    yield Measured(path=MOST_TILT, value=most, words=words)


def _shapes(library: Library, factors: Factors | None) -> Iterator[Measured]:
    """Proportions of meshes, and how much of their shapes is left to chance."""
    if library.dice or not library.has_solid_objects:
        return
    if factors is None:
        stretch, profile = _UNKNOWN_SHAPES
        words = "boxes do not tell whether meshes have the photos' shapes: stretched ones show, too"
    elif factors:
        stretch, profile = _OTHER_SHAPES
        yield Measured(
            path="scene.proportions", value=_triples(factors), words=_factor_words(factors)
        )
        words = "meshes have other proportions than what photos show, and so perhaps other profiles"
    else:
        stretch, profile = 0.0, 0.0
        words = "boxes of all classes have the sizes and shapes of their meshes within 5%"
    yield Measured(path="scene.stretch", value=stretch, words=words)
    yield Measured(path="scene.profile", value=profile, words=words)


def _triples(factors: Factors) -> tuple[tuple[str, float, float], ...]:
    return tuple((name, across, along) for name, (across, along) in sorted(factors.items()))


def _factor_words(factors: Factors) -> str:
    """The class that differs most from its mesh."""
    name = max(factors, key=lambda name: np.abs(np.log(factors[name])).max())
    across, along = factors[name]
    return (
        "width and height of objects beside one another, in those of their meshes, by the boxes of "
        f"each class: {name} is {across:.2f} times as wide and {along:.2f} times as high"
    )


def _noise(looks: BoxLooks) -> Iterator[Measured]:
    median = float(np.median(looks.noises))
    # Scenes have noise from none to twice the mean.
    strength = min(1.0, 2 * median / 255 / MOST_NOISE)
    words = f"the median photo has noise of {median:.1f} of 255 levels"
    yield Measured(path="scene.noise", value=round(strength, 2), words=words)


def _jpeg(match: JpegMatch) -> Iterator[Measured]:
    words = "photos are no JPEG files"
    if match.quality is not None:
        words = (
            f"the median of {counted(match.jpegs, 'JPEG photo')} has quality {match.quality:.0f}"
        )
        if match.scale < _NEARLY_WHOLE:
            words += f", and {match.at_size:.0f} once it is {match.scale:.0%} as large"
        if match.strength == 0:
            words += ": nothing of its blocks is left"
        if match.jpegs < match.photos:
            words += f"; {counted(match.photos - match.jpegs, 'photo')} are no JPEG files"
    yield Measured(path="scene.jpeg", value=round(match.strength, 2), words=words)


def _object_color(looks: BoxLooks, library: Library) -> Iterator[Measured]:
    """Differences of colour within a class; none for the built-in dice: they have many."""
    spread = looks.color_spread
    if library.dice or spread is None:
        return
    words = f"colours of objects of one class differ by {spread:.0%}, by light and camera too"
    strength = round(min(1.0, spread / _MOST_TINT), 2)
    yield Measured(path="scene.object_color", value=strength, words=words)


def _label_style(photos: Source, seed: int, progress: NamedProgress) -> Iterator[Measured]:
    def show(done: int, total: int) -> None:
        progress("measuring boxes", done, total)

    try:
        style = label_style.measure(photos, seed=seed, progress=show)
    except DataError:  # too few objects stand alone: boxes are then exact
        return
    words = f"measured on {counted(style.objects, 'object')} that stand alone"
    for path, value in style.settings().items():
        yield Measured(path=path, value=value, words=words)


def _camera(match: LookMatch) -> Iterator[Measured]:
    compared = f"compared inside {match.boxes} boxes"
    words = (
        f"tones compared inside {match.colored_boxes} boxes: "
        f"off by {match.distance:.0f} of 255 levels, "
        f"by {match.at_first:.0f} without brightness, color_cast and contrast"
    )
    yield Measured(path="scene.brightness", value=round(match.brightness, 2), words=words)
    red, blue = match.color_cast
    words = "gains on red and blue, from the same tones"
    yield Measured(path="scene.color_cast", value=(round(red, 2), round(blue, 2)), words=words)
    words = "from the same tones"
    yield Measured(path="scene.contrast", value=round(match.contrast, 2), words=words)
    # Scenes have blur from none to twice the mean.
    strength = min(1.0, 2 * match.blur_px / MOST_BLUR_PX)
    words = f"details {compared}: scenes blurred by {match.blur_px:.2f} px are as sharp"
    yield Measured(path="scene.blur", value=round(strength, 2), words=words)
