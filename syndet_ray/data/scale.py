"""Scale: the size at which the detector sees photos, settled from the objects labelled on them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from syndet_ray.data.record import Record
from syndet_ray.definitions.scene_parameters import MOST_SCENE_PX
from syndet_ray.errors import DataError

# working sizes and crops are multiples of it: the stride of the coarsest feature maps
_STEP_PX = 32
_LEAST_WORKING_PX, _MOST_WORKING_PX = 64, 8192  # the range of a recipe's working_px

# Apparent size of the median object at which the default detector learns best. Smaller objects span
# too few cells of the feature maps to be distinguished, larger ones only cost time.
_BEST_OBJECT_PX = 48.0
# resampling costs sharpness, so photos this near to their best size stay as they are
_UNCHANGED_RANGE = (0.9, 1.1)
# upper end for photos no larger than a crop: enlarged, they would cost more to train on
_UNCHANGED_UP_TO = 1.5
_MOST_ENLARGED = 2.0  # enlarging further adds pixels and no detail
# large photos are not enlarged beyond it: 300 of them would take more than 3.8 GB
_MOST_ENLARGED_PX = 2048
# candidate scales around the best, in quarters of an octave, the nearest first
_SHIFTS = tuple(sorted(range(-8, 9), key=lambda k: (abs(k), k)))
# The scale does not change for a gain of fewer objects than this share: slivers of hidden objects,
# a few in a hundred in a pile, would always ask for a larger one.
_TIE_SHARE = 0.05

_LEAST_OBJECT_PX = 10.0  # a smaller object leaves a single cell of a feature map at stride 8
_MOST_OF_CROP = 0.9  # a longer object is nearly always cut by the crop
# share of the objects; beyond it a score says more about the scale than about a recipe
_MOST_UNLEARNABLE = 0.2
_LEARNABLE = (
    f"at least {1 - _MOST_UNLEARNABLE:.0%} of the objects must be of a size that can be learned"
)
# longest sides of two photos of one set; beyond it an object's relative size means nothing
_MOST_APART = 10.0

_LEAST_CROP_PX, _MOST_CROP_PX = 384, 768  # context around a small object; what a step may cost
_CROP_IN_OBJECTS = 1.5  # sides of the largest object: whole in the crop, with surroundings

# neighbouring anchors differ by a factor at which boxes still overlap well, see `anchors`
_FIRST_ANCHOR_PX, _ANCHOR_RATIO = 24.0, math.sqrt(2)
# the default scale jitter of training shows objects larger and smaller by this factor
_ANCHORS_REACH = 1.1
_NEARLY_SQUARE, _NEARLY_ALL = 1.5, 0.95  # longer / shorter side, and share of the boxes
_ROUNDING = 1e-9  # of a logarithm: a box of exactly 3 by 2 is nearly square
_MOST_ELONGATED = 3  # powers of 2: 8 times as high as wide, or as wide as high

_QUANTILES = (0.1, 0.5, 0.9)  # beyond are slivers of hidden objects, and labelling errors
_LARGEST = 0.98  # crops are made for nearly all: a larger object would never be seen whole


@dataclass(frozen=True, kw_only=True)
class WorkingScale:
    """The size at which the detector sees photos, and the sizes of their training objects at it.

    longest_px    longer side that photos are brought to
    photo_px      median of their longer sides before
    crop_px       side of the square that training cuts out of them
    auto_crop_px  the crop that "auto" stands for at this scale
    object_px     10 %, 50 % and 90 % quantiles of object sizes, the square root of a box's area, at
                  that scale; 0 without objects
    objects       the number of objects, crowds left out
    too_small     the number of objects smaller than 10 px
    too_large     the number of objects longer than nine tenths of a crop that is smaller than the
                  photo
    """

    longest_px: int
    photo_px: int
    crop_px: int
    auto_crop_px: int
    object_px: tuple[float, float, float]
    objects: int
    too_small: int
    too_large: int

    @property
    def words(self) -> str:
        """The change of the photos' size, in a sentence without its full stop."""
        origin = "" if self.photo_px == self.longest_px else f"from {self.photo_px} "
        photos = f"photos are brought {origin}to {self.longest_px} px on their longer side"
        if not self.objects:
            return f"{photos}; no object is labelled on the training photos"
        least, _, most = self.object_px
        return f"{photos}, where most objects are {range_words(least, most)}"

    @property
    def is_learnable(self) -> bool:
        """True if at most a fifth of the objects are too small or too large to be learned."""
        return self.unlearnable <= _MOST_UNLEARNABLE * self.objects

    @property
    def unlearnable(self) -> int:
        """The number of objects that are too small or too large to be learned."""
        return self.too_small + self.too_large

    @property
    def unlearnable_words(self) -> str:
        """The number of objects that cannot be learned, with reasons; "" if all can."""
        if not self.unlearnable:
            return ""
        small = f"smaller than {_LEAST_OBJECT_PX:.0f} px"
        large = f"longer than {_MOST_OF_CROP:.0%} of the {self.crop_px} px training crop"
        if self.too_small and self.too_large:
            reason = f"{self.too_small} {small} and {self.too_large} {large}"
        else:
            subject = "it is" if self.unlearnable == 1 else "they are"
            reason = f"{subject} {small if self.too_small else large}"
        return f"{self.unlearnable} of {self.objects} objects cannot be learned: {reason}"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Objects:
    """n labelled objects, in shares of their photo's longer side.

    sizes  (n,) float64, the square root of a box's area
    sides  (n,) float64, the longer side of a box
    """

    sizes: np.ndarray
    sides: np.ndarray


def working_sizes(photo_sizes_wh: np.ndarray, longest_px: int) -> np.ndarray:
    """(n, 2) int64 width and height of photos (n, 2) with their longer side at longest_px.

    No side is less than 1.
    """
    longer_sides = photo_sizes_wh.max(axis=1, keepdims=True, initial=1)
    sizes_wh = np.rint(photo_sizes_wh * longest_px / longer_sides)
    return np.maximum(1, sizes_wh).astype(np.int64)


def working_scale(
    records: Sequence[Record],
    working_px: int | Literal["auto"],
    crop_px: int | Literal["auto"],
    place: object,
) -> WorkingScale:
    """The scale for these training photos; sizes that are numbers stay as they are.

    "auto" brings the median object to 48 px. But photos that are nearly of that scale stay as they
    are, and photos are enlarged to at most twice their size or 2048 px. If objects differ much in
    size, the scale moves to one at which most can be learned.

    Raises DataError for no photos, for photos of very different sizes, and if more than a fifth of
    the objects are too small or too large to be learned. `place` names the dataset.
    """
    if not records:
        raise DataError(place, "holds no photos to train on")
    check_alike(records, place)
    objects = _objects(records)
    native_px = _median_longer_side(records)
    longest_px = _best_px(objects, native_px, crop_px) if working_px == "auto" else working_px
    scale = _scale_at(longest_px, native_px, objects, crop_px)
    _check_learnable(scale, working_px, place)
    return scale


def scale_of(records: Sequence[Record], scale: WorkingScale) -> WorkingScale:
    """The same scale and crop with the objects of other photos, such as the scored ones."""
    photo_px = _median_longer_side(records)
    return _scale_at(scale.longest_px, photo_px, _objects(records), scale.crop_px)


def scene_px(crop_px: int, scale_jitter: float) -> int:
    """The side of scenes, pixels, of which training sees all, after the strongest jitter too.

    It is no more than a scene may have.
    """
    return min(math.ceil(crop_px / (1 - scale_jitter)), MOST_SCENE_PX)


def check_crop(
    records: Sequence[Record], scale: WorkingScale, crop_px: int | Literal["auto"], place: object
) -> None:
    """Raises DataError if too few objects can be learned with another crop at that scale."""
    objects = _objects(records)
    cropped = _scale_at(scale.longest_px, scale.photo_px, objects, crop_px)
    if not cropped.is_learnable:
        value = f'"auto" ({cropped.crop_px})' if crop_px == "auto" else crop_px
        rule = f"with training.crop_px {value} {_LEARNABLE}"
        do = "Set a larger crop, or a smaller detector.working_px."
        if _scale_at(scale.longest_px, scale.photo_px, objects, scale.auto_crop_px).is_learnable:
            do = f"Set training.crop_px to {scale.auto_crop_px}, which fits them."
        raise DataError(place, rule, got=cropped.unlearnable_words, do=do)


def check_alike(records: Sequence[Record], place: object) -> None:
    """Raises DataError if the longest side of a photo is more than ten times that of another."""
    if not records:
        return
    smallest = min(records, key=lambda record: max(record.size_wh))
    largest = max(records, key=lambda record: max(record.size_wh))
    if max(largest.size_wh) > _MOST_APART * max(smallest.size_wh):
        rule = (
            f"the longest side of a photo must be at most {_MOST_APART:.0f} times "
            "that of any other of its set"
        )
        got = {record.image_id: record.size_wh for record in (smallest, largest)}
        raise DataError(place, rule, got=got, do="Crop the large ones, or take the small ones out.")


def training_boxes_wh(records: Sequence[Record]) -> np.ndarray:
    """(n, 2) float64 width and height of every object, crowds left out, in pixels of its photo."""
    objects = [record.boxes.xyxy[~record.boxes.crowd] for record in records]
    xyxy = np.concatenate([np.zeros((0, 4)), *objects])
    return xyxy[:, 2:] - xyxy[:, :2]


def anchors(least_px: float, most_px: float) -> tuple[float, ...]:
    """Anchor sizes for objects of least_px to most_px, smallest first; at least two.

    They are 24 px times powers of the square root of 2. Every size in the range, widened by the
    scale jitter, has an anchor within a factor of 2^(1/4), at which two concentric boxes still
    overlap by an IoU of 0.7. Sizes that are too small to be learned have none.
    """
    least = max(least_px, _LEAST_OBJECT_PX) / _ANCHORS_REACH
    most = max(most_px, _LEAST_OBJECT_PX) * _ANCHORS_REACH
    first, last = _anchor_power(least), _anchor_power(most)
    powers = range(first, max(last, first + 1) + 1)
    return tuple(round(_FIRST_ANCHOR_PX * _ANCHOR_RATIO**power, 2) for power in powers)


def aspect_ratios(boxes_wh: np.ndarray, *, transposed: bool) -> tuple[float, ...]:
    """Height / width of the anchors for boxes (n, 2), width and height.

    (1.0,) if nearly all boxes are nearly square, else powers of 2. Every ratio in the middle 80 %
    has an anchor within a factor of the square root of 2, unless it is beyond 8 either way.

    transposed  True if training swaps the axes of some images, so that every box is seen lying as
                well as standing
    """
    if not len(boxes_wh):
        return (1.0,)
    widths, heights = boxes_wh.T
    logs = np.log2(heights / widths)
    if transposed:
        logs = np.concatenate([logs, -logs])
    nearly_square = np.abs(logs) <= math.log2(_NEARLY_SQUARE) + _ROUNDING
    if nearly_square.mean() >= _NEARLY_ALL:
        return (1.0,)
    low, _, high = np.quantile(logs, _QUANTILES)
    first = _ratio_power(low)
    last = _ratio_power(high)
    return tuple(2.0**power for power in range(first, last + 1))


def longest_shape(aspect_ratios: tuple[float, ...] | Literal["auto"]) -> float:
    """Longer side / shorter side of the longest anchor of a detector."""
    if aspect_ratios == "auto":
        return 2.0**_MOST_ELONGATED
    return max(max(ratio, 1 / ratio) for ratio in aspect_ratios)


def badly_fitted(longest: float) -> float:
    """The longer side / shorter side from which on anchors of that shape fit a box badly."""
    return longest * math.sqrt(2)


def elongated_share(boxes_wh: np.ndarray, longest: float) -> float:
    """The share of boxes (n, 2) that anchors of that longest shape fit badly."""
    if not len(boxes_wh):
        return 0.0
    shapes = boxes_wh.max(axis=1) / boxes_wh.min(axis=1)
    return float((shapes > badly_fitted(longest)).mean())


def range_words(low_px: float, high_px: float) -> str:
    """ "29 to 53 px", or "40 px" if both are the same."""
    low, high = f"{low_px:.0f}", f"{high_px:.0f}"
    return f"{low} px" if low == high else f"{low} to {high} px"


def _anchor_power(size_px: float) -> int:
    return round(math.log(size_px / _FIRST_ANCHOR_PX, _ANCHOR_RATIO))


def _ratio_power(log_ratio: float) -> int:
    """The nearest power of 2 that anchors may have, as its exponent."""
    return int(np.clip(round(log_ratio), -_MOST_ELONGATED, _MOST_ELONGATED))


def _objects(records: Sequence[Record]) -> _Objects:
    boxes_wh = training_boxes_wh(records)
    counts = [np.count_nonzero(~record.boxes.crowd) for record in records]
    longer_sides = [max(record.size_wh) for record in records]
    longer_side_of_box = np.repeat(longer_sides, counts)
    shares = boxes_wh / longer_side_of_box[:, None]
    return _Objects(
        sizes=np.sqrt(shares.prod(axis=1)),
        sides=shares.max(axis=1, initial=0.0),
    )


def _median_longer_side(records: Sequence[Record]) -> int:
    """The median longer side of the photos, px.

    Of two it is the lower one: a mean of both would resample both.
    """
    longer_sides = sorted(max(record.size_wh) for record in records)
    return longer_sides[(len(longer_sides) - 1) // 2]


def _best_px(objects: _Objects, native_px: int, crop_px: int | Literal["auto"]) -> int:
    """The longer side at which most objects can be learned.

    Among nearly equal sides it is the nearest to that at which the median object is 48 px.
    """
    if not len(objects.sizes):
        return _within_limits(native_px)
    learnable: dict[int, int] = {}  # objects, by the longer side, the preferred side first
    for side_px in _candidate_sides(objects, native_px):
        scale = _scale_at(side_px, native_px, objects, crop_px)
        learnable[side_px] = scale.objects - scale.unlearnable
    enough = max(learnable.values()) - _TIE_SHARE * len(objects.sizes)
    return next(side_px for side_px, count in learnable.items() if count >= enough)


def _candidate_sides(objects: _Objects, native_px: int) -> list[int]:
    """Longer sides, px, to choose from; first that at which the median object is 48 px."""
    most_px = max(native_px, min(_MOST_ENLARGED * native_px, _MOST_ENLARGED_PX))
    first_px = min(_BEST_OBJECT_PX / float(np.median(objects.sizes)), most_px)
    low, high = _UNCHANGED_RANGE
    if native_px <= _LEAST_CROP_PX:
        high = _UNCHANGED_UP_TO
    if low * native_px <= first_px <= high * native_px:
        first_px = native_px
    # If photos keep their size, the first side is exact and need not be a multiple of 32.
    sides_px = [first_px if first_px == native_px else _round_down(first_px, most_px)]
    for shift in _SHIFTS[1:]:
        sides_px.append(_round_down(first_px * 2 ** (shift / 4), most_px))
    return [_within_limits(side_px) for side_px in sides_px]


def _scale_at(
    longest_px: int, photo_px: int, objects: _Objects, crop_px: int | Literal["auto"]
) -> WorkingScale:
    sizes_px = objects.sizes * longest_px
    sides_px = objects.sides * longest_px
    low, middle, high, largest_px = 0.0, 0.0, 0.0, 0.0
    if len(sizes_px):
        low, middle, high = np.quantile(sizes_px, _QUANTILES).tolist()
        largest_px = float(np.quantile(sides_px, _LARGEST))
    auto_crop = _crop(longest_px, largest_px)
    crop = auto_crop if crop_px == "auto" else crop_px
    cuts_photos = crop < longest_px  # a crop as large as the photo cuts nothing off
    most_px = _MOST_OF_CROP * crop if cuts_photos else np.inf
    is_small = sizes_px < _LEAST_OBJECT_PX
    is_large = sides_px > most_px
    return WorkingScale(
        longest_px=longest_px,
        photo_px=photo_px,
        crop_px=crop,
        auto_crop_px=auto_crop,
        object_px=(low, middle, high),
        objects=len(sizes_px),
        too_small=int(is_small.sum()),
        too_large=int((is_large & ~is_small).sum()),
    )


def _crop(longest_px: int, largest_object_px: float) -> int:
    """Side of the crop, px: the whole photo, unless objects with their surroundings need less."""
    needed = max(_LEAST_CROP_PX, _rounded_up(_CROP_IN_OBJECTS * largest_object_px))
    return min(_rounded_up(longest_px), needed, _MOST_CROP_PX)


def _check_learnable(scale: WorkingScale, working_px: int | Literal["auto"], place: object) -> None:
    """Raises DataError if more than a fifth of the objects cannot be learned."""
    if scale.is_learnable:
        return
    least, _, most = scale.object_px
    sizes = f"they are {range_words(least, most)} where photos are {scale.longest_px} px long"
    rule = f"{_LEARNABLE}; {sizes}"
    do = 'Set detector.working_px to "auto".'
    if working_px == "auto":
        do = (
            "Crop the photos nearer to small objects, or remove these objects; "
            "set training.crop_px for large ones."
        )
    raise DataError(place, rule, got=scale.unlearnable_words, do=do)


def _round_down(px: float, most_px: float) -> int:
    """The nearest multiple of 32 that is at most most_px."""
    most_steps = math.floor(most_px / _STEP_PX)
    return min(round(px / _STEP_PX), most_steps) * _STEP_PX


def _rounded_up(px: float) -> int:
    return math.ceil(px / _STEP_PX) * _STEP_PX


def _within_limits(px: float) -> int:
    return int(min(max(px, _LEAST_WORKING_PX), _MOST_WORKING_PX))
