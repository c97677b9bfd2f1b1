"""Scene match: settings of scenes that look like photos, measured on their training photos."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from syndet_ray.data.images import picture
from syndet_ray.data.record import Source
from syndet_ray.data.scale import working_sizes
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DataError
from syndet_ray.inspection import label_style
from syndet_ray.inspection.pose_match import PoseMatch, match_poses
from syndet_ray.inspection.statistics import noise
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes.library import Library
from syndet_ray.seeds import generator
from syndet_ray.wording import counted

_SIZES = (0.1, 0.9)  # quantiles of objects' sizes that scenes span
_MOST_PHOTOS = 60  # whose noise is measured
_PADDING = "scene.box_padding"
_MOST_NOISE = 0.06  # standard deviation at strength 1, as a share of full scale


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A setting of a recipe, and the measure that it comes from, in words."""

    path: str
    value: Any
    words: str


def measured_scene(
    photos: Source, longest_px: int, library: Library, seed: int, progress: NamedProgress
) -> list[Measured]:
    """Settings of scenes like these photos, at the size that training sees them.

    photos      the training split: validation and test photos decide nothing
    longest_px  the longer side to which photos are brought

    What cannot be told from these photos is left out.
    """
    sizes_wh = np.array([record.size_wh for record in photos.records], np.int64).reshape(-1, 2)
    scales = (working_sizes(sizes_wh, longest_px) / sizes_wh).mean(axis=1)
    match = match_poses(photos, library, seed)
    style = list(_label_style(photos, seed, progress))
    padding = next((item.value for item in style if item.path == _PADDING), 0.0)
    return [
        *_image(sizes_wh, longest_px),
        *_objects(photos, scales, match, padding),
        *_poses(match),
        *_noise(photos, longest_px, seed, progress),
        *style,
    ]


def _image(sizes_wh: np.ndarray, longest_px: int) -> Iterator[Measured]:
    aspects = sizes_wh[:, 0] / sizes_wh[:, 1]
    aspect = float(np.clip(np.median(aspects), 0.25, 4))
    words = f"half of the photos are wider than {aspect:.2f} times their height, half are not"
    if np.ptp(aspects) < 0.01:
        words = "of all photos"
    yield Measured(path="scene.aspect", value=round(aspect, 3), words=words)
    words = "the longer side to which photos are brought"
    yield Measured(path="scene.image_px", value=longest_px, words=words)


def _objects(
    photos: Source, scales: np.ndarray, match: PoseMatch | None, padding: float
) -> Iterator[Measured]:
    """Objects in an image, and their sizes: those of the meshes, of which a box shows a part.

    padding  the share by which boxes are wider than what is seen of objects
    """
    counts, sides_px = [], []
    for record, scale in zip(photos.records, scales.tolist(), strict=True):
        xyxy = record.boxes.xyxy[~record.boxes.crowd]
        counts.append(len(xyxy))
        sides_px += ((xyxy[:, 2:] - xyxy[:, :2]).max(axis=1) * scale).tolist()
    with_objects = [count for count in counts if count]
    count = int(np.clip(round(float(np.mean(with_objects))), 1, 100))
    words = f"the mean of photos with objects, which have {min(with_objects)} to {max(counts)}"
    yield Measured(path="scene.objects", value=count, words=words)
    least, most = np.quantile(sides_px, _SIZES).tolist()
    length = (1 + padding) * (match.length if match is not None else 1.0)
    low, high = max(4.0, least / length), max(4.0, most / length)
    words = f"longer sides of eight boxes of ten are {least:.0f} to {most:.0f} px"
    if match is not None:
        words += f", {match.length:.2f} of an object's longest side on average"
    if padding:
        words += f"; boxes are wider than objects by {padding:.0%}"
    yield Measured(path="scene.size_px", value=(round(low, 1), round(high, 1)), words=words)


def _poses(match: PoseMatch | None) -> Iterator[Measured]:
    if match is None:
        return
    off, off_at_rest = np.exp([match.distance, match.at_rest]).tolist()
    words = (
        f"fits the shapes of {match.boxes} boxes best: off by a factor of {off:.2f}, "
        f"objects that rest as they fall by {off_at_rest:.2f}"
    )
    yield Measured(path="scene.poses", value=match.poses, words=words)
    least, most = match.tilt_deg
    words = "the tilt at which shapes fit best, 10 degrees either way"
    yield Measured(path="scene.least_tilt_deg", value=least, words=words)
    yield Measured(path="scene.camera_tilt_deg", value=most, words=words)


def _noise(
    photos: Source, longest_px: int, seed: int, progress: NamedProgress
) -> Iterator[Measured]:
    order = generator(seed, "scene match").permutation(len(photos.records))[:_MOST_PHOTOS]
    levels = []
    for done, i in enumerate(order.tolist(), start=1):
        record = photos.records[i]
        size_wh = working_sizes(np.array([record.size_wh], np.int64), longest_px)[0]
        rgb = picture.pixels(record.image, record.place)
        scaled = cv2.resize(rgb, size_wh.tolist(), interpolation=cv2.INTER_AREA)
        levels.append(noise(scaled))
        progress("measuring photos", done, len(order))
    median = float(np.median(levels))
    # Scenes have noise from none to twice the mean.
    strength = min(1.0, 2 * median / 255 / _MOST_NOISE)
    words = f"the median photo has noise of {median:.1f} of 255 levels"
    yield Measured(path="scene.noise", value=round(strength, 2), words=words)


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


def scene_of(measured: list[Measured], assets: str) -> SceneParameters:
    """Scene parameters with measured settings. Raises DefinitionError if they break a rule."""
    fields = {item.path.removeprefix("scene."): item.value for item in measured}
    return SceneParameters(assets=assets, **fields)
