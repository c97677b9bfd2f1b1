"""Look match: brightness, colours, contrast and sharpness of scenes like those of photos.

Scenes are rendered, and the insides of their boxes compared with those of the photos, class by
class: the same things are in both, so that what differs comes from light and camera.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.images import picture
from syndet_ray.data.record import Source
from syndet_ray.data.scale import working_sizes
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.inspection.class_sizes import LEAST_BOXES
from syndet_ray.inspection.statistics import noise
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes.generate import compose, render
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.meshes import is_plain
from syndet_ray.scenes.scene import NO_CLASS
from syndet_ray.scenes.sensor import DISPLAY_POWER, MOST_BLUR_PX, with_contrast
from syndet_ray.seeds import generator
from syndet_ray.spread import TO_DEVIATION

_SCENES, _PHOTOS = 24, 60  # looked at
_BLURRED_SCENES = 8  # in which sharpness is compared: it differs little from scene to scene
_PATCH_PX = 16  # side to which the insides of boxes are scaled, so that each counts alike
_LEAST_PX = 8  # side of a box: smaller ones hold hardly a pixel of the object alone
_MIDDLE = slice(4, 12)  # of a patch, in which there is little but the object
_DARKEST = 1 / 255  # added to values, so that black has a logarithm
_QUANTILES = np.linspace(0.02, 0.98, 25)  # of values; beyond are glints and pixels of noise
# the range in which tones are sought: beyond, objects differ from photos in more than light
_MOST_STOPS, _MOST_GAIN, _CONTRASTS = 2.0, 2.0, (0.6, 2.5)
_SIGMAS_PX = np.linspace(0, MOST_BLUR_PX, 11)  # of blurs that are tried
_FINE_PX, _COARSE_PX = 1.0, 2.0  # sigmas between which details count as fine, and as coarse

# an image (h, w, 3) uint8 RGB and its boxes in pixels
Labelled = tuple[np.ndarray, Boxes]


@dataclass(frozen=True, eq=False, kw_only=True)
class BoxLooks:
    """The looks of n boxes on m images.

    patches    (n, 16, 16, 3) values inside each box, 0 to 1
    classes    (n,) names
    fineness   (n,) contrast of details of a pixel, divided by that of two pixels
    longer_px  (n,) longer sides
    noises     (m,) grey levels, 0 to 255
    """

    patches: np.ndarray
    classes: np.ndarray
    fineness: np.ndarray
    longer_px: np.ndarray
    noises: np.ndarray

    def typical(self, values: np.ndarray, classes: Sequence[str]) -> float:
        """The mean over classes of the medians of values (n,), such as `fineness`."""
        return float(np.mean([np.median(values[self.classes == name]) for name in classes]))

    def tones(self, classes: Sequence[str]) -> np.ndarray:
        """(classes, 25, 3) quantiles of the values of each channel in the boxes of each class."""
        tones = []
        for name in classes:
            pixels = self.patches[self.classes == name].reshape(-1, 3)
            tones.append(np.quantile(pixels, _QUANTILES, axis=0))
        return np.stack(tones)

    @property
    def color_spread(self) -> float | None:
        """The standard deviation of colours of objects of one class: of the natural logarithms of
        red and of blue light, divided by green; the median over classes.

        None without a class of five boxes.
        """
        spreads = []
        for name in np.unique(self.classes).tolist():
            if _is_frequent(name, self):
                middles = self.patches[self.classes == name][:, _MIDDLE, _MIDDLE].mean(axis=(1, 2))
                logarithms = DISPLAY_POWER * np.log(middles + _DARKEST)
                casts = logarithms[:, [0, 2]] - logarithms[:, 1:2]
                deviations = np.abs(casts - np.median(casts, axis=0))
                spreads.append(TO_DEVIATION * np.median(deviations, axis=0))
        return float(np.median(spreads)) if spreads else None


@dataclass(frozen=True, kw_only=True)
class LookMatch:
    """Settings with which objects of scenes look like those of photos.

    brightness     stops
    color_cast     gains on red and blue
    contrast       slope of the tone curve at middle grey
    blur_px        standard deviation of a blur
    size_ratio     longer sides of boxes of photos, divided by those of scenes
    distance       mean difference of values, 0 to 255, with these settings
    at_first       the same without them
    boxes          number of boxes of photos that were compared
    colored_boxes  number of those whose tones were compared: a red mug whose mesh is white says
                   nothing about the light, so classes with meshes without colours are compared only
                   if there are no others
    """

    brightness: float
    color_cast: tuple[float, float]
    contrast: float
    blur_px: float
    size_ratio: float
    distance: float
    at_first: float
    boxes: int
    colored_boxes: int


def looks_of_photos(
    photos: Source, longest_px: int, seed: int, progress: NamedProgress
) -> BoxLooks:
    """The looks of up to 60 photos in random order, at the size that training sees them.

    longest_px  the longer side to which photos are brought
    """
    return _looks(_scaled_photos(photos, longest_px, seed, progress), photos.classes)


def match_look(
    in_photos: BoxLooks,
    parameters: SceneParameters,
    library: Library,
    seed: int,
    progress: NamedProgress,
    *,
    names: Sequence[str] | None = None,
) -> LookMatch | None:
    """The settings of a camera that bring scenes near photos; None where no class has five boxes in
    both.

    parameters  of the scenes; what their camera does to the look is left out
    names       those that photos have for the library's classes; None if they are the same
    """
    names = library.classes if names is None else names
    named = [name for name in dict.fromkeys(names) if _is_frequent(name, in_photos)]
    if not named:
        return None
    images = list(_scenes(_without_camera(parameters), library, seed, progress))
    in_scenes = _looks(images, names)
    shared = [name for name in named if _is_frequent(name, in_scenes)]
    if not shared:
        return None
    plain = plain_classes(library, names)
    colored = [name for name in shared if name not in plain] or shared
    tones, wanted = in_scenes.tones(colored), in_photos.tones(colored)
    stops, contrast = _tone_curve(tones, wanted)
    red, green, blue = stops.tolist()
    gains = np.clip(2.0 ** np.array([red - green, blue - green]), 1 / _MOST_GAIN, _MOST_GAIN)
    curved = _apply_curve(tones, stops, contrast)
    longer_in_photos = in_photos.typical(in_photos.longer_px, shared)
    longer_in_scenes = in_scenes.typical(in_scenes.longer_px, shared)
    fineness = in_photos.typical(in_photos.fineness, shared)
    return LookMatch(
        brightness=green,
        color_cast=(float(gains[0]), float(gains[1])),
        contrast=contrast,
        blur_px=_blur_px(images[:_BLURRED_SCENES], fineness),
        size_ratio=longer_in_photos / longer_in_scenes,
        distance=255 * float(np.abs(curved - wanted).mean()),
        at_first=255 * float(np.abs(tones - wanted).mean()),
        boxes=int(np.isin(in_photos.classes, shared).sum()),
        colored_boxes=int(np.isin(in_photos.classes, colored).sum()),
    )


def plain_classes(library: Library, names: Sequence[str]) -> list[str]:
    """The classes with a mesh whose file gives no colour, in alphabetical order.

    names  those that photos have for the library's classes
    """
    plain = set()
    for asset in library.assets.values():
        if asset.label != NO_CLASS and is_plain(asset.mesh):
            plain.add(names[asset.label])
    return sorted(plain)


def _without_camera(parameters: SceneParameters) -> SceneParameters:
    neutral = {"brightness": 0.0, "color_cast": (1.0, 1.0), "contrast": 1.0}
    constant = dict.fromkeys(("exposure", "white_balance", "blur", "noise", "jpeg"), 0.0)
    return parameters.model_copy(update=neutral | constant)


def _scaled_photos(
    photos: Source, longest_px: int, seed: int, progress: NamedProgress
) -> Iterator[Labelled]:
    order = generator(seed, "look match").permutation(len(photos.records))[:_PHOTOS]
    for done, i in enumerate(order.tolist(), start=1):
        record = photos.records[i]
        size_wh = working_sizes(np.array([record.size_wh], np.int64), longest_px)[0]
        rgb = picture.pixels(record.image, record.place)
        scaled = cv2.resize(rgb, size_wh.tolist(), interpolation=cv2.INTER_AREA)
        factors = np.tile(size_wh / np.array(record.size_wh), 2)
        yield scaled, replace(record.boxes, xyxy=record.boxes.xyxy * factors)
        progress("measuring photos", done, len(order))


def _scenes(
    parameters: SceneParameters, library: Library, seed: int, progress: NamedProgress
) -> Iterator[Labelled]:
    for index in range(_SCENES):
        yield render(compose(parameters, library, seed, index, _SCENES), library)
        progress("rendering scenes", index + 1, _SCENES)


def _looks(images: Iterable[Labelled], classes: Sequence[str]) -> BoxLooks:
    patches, names, longer_px, noises = [], [], [], []
    fineness: list[float] = []
    for rgb, boxes in images:
        noises.append(noise(rgb))
        fineness += _fineness(rgb, boxes)
        for k, inside in _insides(boxes):
            patch = cv2.resize(rgb[inside], (_PATCH_PX, _PATCH_PX), interpolation=cv2.INTER_AREA)
            patches.append(patch / np.float32(255))
            names.append(classes[boxes.labels[k]])
            longer_px.append((boxes.xyxy[k, 2:] - boxes.xyxy[k, :2]).max())
    return BoxLooks(
        patches=np.array(patches, np.float32).reshape(-1, _PATCH_PX, _PATCH_PX, 3),
        classes=np.array(names, dtype=str),
        fineness=np.array(fineness, np.float64),
        longer_px=np.array(longer_px, np.float64),
        noises=np.array(noises, np.float64),
    )


def _insides(boxes: Boxes) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """The position of each box that is large enough, and the rows and columns of its inside."""
    sides = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
    for k in np.flatnonzero((sides.min(axis=1) >= _LEAST_PX) & ~boxes.crowd).tolist():
        x1, y1, x2, y2 = boxes.xyxy[k].round().astype(int).clip(0).tolist()
        yield k, (slice(y1, y2), slice(x1, x2))


def _fineness(rgb: np.ndarray, boxes: Boxes) -> list[float]:
    """The contrast of fine details in each of these boxes, divided by that of coarse ones."""
    fine, coarse = _details(rgb)
    fineness = []
    for _, inside in _insides(boxes):
        fineness.append(float(fine[inside].mean() / max(coarse[inside].mean(), 1e-6)))
    return fineness


def _details(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) grey levels of fine and of coarse details."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), _FINE_PX)
    smoother = cv2.GaussianBlur(smooth, (0, 0), _COARSE_PX)
    return np.abs(grey - smooth), np.abs(smooth - smoother)


def _is_frequent(name: str, looks: BoxLooks) -> bool:
    return int((looks.classes == name).sum()) >= LEAST_BOXES


def _tone_curve(tones: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, float]:
    """Stops (3,) of red, green and blue, and the contrast, that bring tones nearest to others."""
    from scipy.optimize import least_squares  # type: ignore[import-untyped]

    def differences(curve: np.ndarray) -> np.ndarray:
        return (_apply_curve(tones, curve[:3], curve[3]) - wanted).ravel()

    least = [-_MOST_STOPS] * 3 + [_CONTRASTS[0]]
    most = [_MOST_STOPS] * 3 + [_CONTRASTS[1]]
    curve = least_squares(differences, [0.0, 0.0, 0.0, 1.0], bounds=(least, most)).x
    return curve[:3], float(curve[3])


def _apply_curve(tones: np.ndarray, stops: np.ndarray, contrast: float) -> np.ndarray:
    """Tones (..., 3) after an exposure by stops (3,), and a contrast."""
    exposed = np.clip(tones * 2 ** (stops / DISPLAY_POWER), 0, 1)
    return with_contrast(exposed.reshape(-1, 3), contrast).reshape(tones.shape)


def _blur_px(images: Sequence[Labelled], fineness: float) -> float:
    """The blur with which scenes have that fineness, between those that are tried."""
    blurred_fineness = []
    for sigma in _SIGMAS_PX.tolist():
        of_boxes: list[float] = []
        for rgb, boxes in images:
            of_boxes += _fineness(_blur(rgb, sigma), boxes)
        blurred_fineness.append(np.median(of_boxes))
    falling = np.minimum.accumulate(blurred_fineness)
    return float(np.interp(-fineness, -falling, _SIGMAS_PX))


def _blur(rgb: np.ndarray, sigma_px: float) -> np.ndarray:
    return cv2.GaussianBlur(rgb, (0, 0), sigma_px) if sigma_px > 0 else rgb
