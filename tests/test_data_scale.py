"""The working scale is settled from objects: near 48 px where that is possible, and where the most
can be learned.
"""

import math
import re

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from syndet_ray.boxes import Boxes
from syndet_ray.data.record import Record
from syndet_ray.data.scale import (
    anchors,
    aspect_ratios,
    check_alike,
    check_crop,
    elongated_share,
    longest_shape,
    training_boxes_wh,
    working_scale,
    working_sizes,
)
from syndet_ray.definitions.recipe import Detector, Training
from syndet_ray.errors import DataError


def photo(wh, sides, name="a", crowd=None):
    """A photo with an object of each width and height, pixels."""
    xyxy = [[0, 0, *pair] for pair in sides]
    boxes = Boxes.of(xyxy, [0] * len(sides), crowd=crowd)
    return Record(image_id=name, image=b"", size_wh=wh, boxes=boxes, place=name)


def squares(wh, *sides):
    return photo(wh, [(side, side) for side in sides])


def settled(*records, working_px="auto", crop_px="auto"):
    return working_scale(records, working_px, crop_px, "photos")


def test_the_median_object_is_brought_to_its_best_size():
    """200 px of 4032: 48 px are at 968 px, of which 960 is the nearest multiple of 32."""
    scale = settled(squares((4032, 3024), 200, 200, 200))
    assert (scale.longest_px, scale.objects, scale.too_small, scale.too_large) == (960, 3, 0, 0)
    assert scale.object_px == pytest.approx((47.62, 47.62, 47.62), abs=0.01)


@pytest.mark.parametrize(
    ("native", "side", "longest"),
    [
        (500, 48, 500),
        (500, 53, 500),  # 453 px would be best, 0.906 of what it is
        (500, 54, 448),  # 444 px, 0.89
        (500, 44, 500),  # 545 px, 1.09 times
        (500, 43, 544),  # 558 px, 1.12 times
        (501, 48, 501),  # no multiple of 32, and stays so
        (320, 33, 320),  # a photo no larger than a crop stays up to 1.5 times: 465 px would be best
        (320, 31, 480),  # 495 px, 1.55 times
        (500, 12, 992),  # 2000 px would be best; twice is the most, as a multiple of 32
        (40, 10, 80 - 80 % 32),
        (20, 10, 64),  # the least that a recipe allows
    ],
)
def test_photos_near_their_best_size_stay_as_they_are_and_none_is_enlarged_beyond_twice(
    native, side, longest
):
    assert settled(squares((native, native // 2), side)).longest_px == longest


@pytest.mark.parametrize(
    ("native", "side", "longest"),
    [
        (1000, 12, 1984),  # a step of 32 below twice
        (1500, 12, 2048),
        (4032, 20, 4032),  # 9677 px would be best
    ],
)
def test_large_photos_are_not_enlarged_beyond_2048_px(native, side, longest):
    assert settled(squares((native, native // 2), side)).longest_px == longest


def test_what_is_done_to_photos_tells_their_own_size_too():
    scale = settled(squares((4000, 3000), 400, 400))
    assert (
        scale.words
        == "photos are brought from 4000 to 480 px on their longer side, where most objects are 48 px"
    )


@pytest.mark.parametrize(("ratio", "share"), [(1, 0.0), (11, 0.0), (12, 0.5)])
def test_boxes_that_no_anchor_is_long_enough_for_are_counted(ratio, share):
    boxes_wh = np.array([[10.0, 10.0 * ratio], [20.0, 20.0]])
    longest = longest_shape("auto")
    assert (
        elongated_share(boxes_wh, longest) == elongated_share(boxes_wh[:, ::-1], longest) == share
    )
    assert elongated_share(np.zeros((0, 2)), longest) == 0
    assert longest_shape((0.25, 2.0)) == 4


def test_large_and_small_photos_are_weighed_alike():
    """Objects count by their share of their own photo; the median photo is the one that may stay as
    it is.
    """
    scale = settled(squares((1000, 800), 96), squares((500, 400), 48), squares((500, 400), 48))
    assert scale.longest_px == 500
    assert scale.object_px == pytest.approx((48, 48, 48))


def test_the_scale_moves_to_where_more_objects_can_be_learned():
    """Most objects are 3/20 of the photo, which asks for 320 px; two fifths are 1/40, under 10 px
    there.
    """
    few_tiny = [800 * 3 / 20] * 6 + [800 / 40] * 4
    scale = settled(squares((800, 800), *few_tiny))
    assert scale.longest_px == round(320 * 2 ** (2 / 4) / 32) * 32 == 448
    assert scale.too_small == 0


def test_a_few_tiny_objects_do_not_move_it():
    scale = settled(squares((800, 800), *[120] * 199, 1))
    assert (scale.longest_px, scale.too_small) == (320, 1)
    assert scale.unlearnable_words == "1 of 200 objects cannot be learned: it is smaller than 10 px"


@pytest.mark.parametrize(
    ("native", "sides", "crop"),
    [
        ((320, 240), [40], 320),  # the whole photo
        ((330, 240), [40], 352),  # rounded up
        ((4032, 3024), [200], 384),
        ((1024, 1024), [40] * 60 + [300] * 40, 480),  # one and a half of the largest
        ((2048, 2048), [40] * 90 + [600] * 10, 768),  # what a step may cost
    ],
)
def test_the_crop_holds_the_largest_objects_with_what_is_around_them(native, sides, crop):
    working_px = "auto" if len(sides) == 1 else native[0]
    assert settled(squares(native, *sides), working_px=working_px).crop_px == crop


def test_what_is_given_as_a_number_stays():
    scale = settled(squares((4032, 3024), 200), working_px=1000, crop_px=256)
    assert (scale.longest_px, scale.crop_px, scale.auto_crop_px) == (1000, 256, 384)
    assert scale.object_px[1] == pytest.approx(200 * 1000 / 4032)


def test_crowds_are_no_objects():
    scale = working_scale(
        [photo((800, 800), [(120, 120), (790, 790)], crowd=[False, True])], "auto", "auto", "photos"
    )
    assert (scale.objects, scale.longest_px) == (1, 320)
    assert (
        len(training_boxes_wh([photo((800, 800), [(100, 50), (790, 790)], crowd=[False, True])]))
        == 1
    )


def test_without_a_box_photos_keep_their_size():
    scale = settled(photo((500, 300), []), photo((300, 480), []))
    assert (scale.longest_px, scale.crop_px, scale.object_px) == (480, 384, (0, 0, 0))
    assert (scale.objects, scale.too_small, scale.too_large) == (0, 0, 0)
    assert (
        scale.words
        == "photos are brought to 480 px on their longer side; no object is labelled on the training photos"
    )
    assert scale.unlearnable_words == ""


def test_the_scale_is_reported_in_a_sentence():
    sides = np.linspace(26, 56, 31)  # of which a tenth lies below 29 and above 53
    scale = settled(squares((640, 480), *sides), working_px=640)
    assert (
        scale.words
        == "photos are brought to 640 px on their longer side, where most objects are 29 to 53 px"
    )
    assert scale.unlearnable_words == ""


def test_too_many_objects_that_cannot_be_learned_are_named():
    small = squares((4000, 3000), *[40] * 3, *[400] * 7)
    with pytest.raises(DataError) as raised:
        settled(small, working_px=640)
    assert str(raised.value) == (
        "photos: at least 80% of the objects must be of a size that can be learned; they are 6 to 64 px where photos are "
        "640 px long, got '3 of 10 objects cannot be learned: they are smaller than 10 px'. Set detector.working_px to \"auto\"."
    )
    large = squares((1000, 1000), *[990] * 3, *[20] * 7)
    said = r"they are longer than 90% of the 384 px training crop.*set training\.crop_px for large ones"
    with pytest.raises(DataError, match=said):
        settled(large, crop_px=384)


def test_a_fifth_that_cannot_be_learned_is_not_too_many():
    scale = settled(squares((4000, 3000), *[40] * 2, *[400] * 8), working_px=640)
    assert scale.too_small == 2


def test_an_object_counts_once_though_it_is_thin_and_long():
    """0.1 px high and 600 px long: too small and too large."""
    scale = settled(photo((640, 640), [(600, 0.1), *[(40, 40)] * 9]), working_px=640)
    assert (scale.too_small, scale.too_large) == (1, 0)


def test_photos_of_wildly_different_sizes_are_named():
    records = [
        photo((100, 80), [], "thumbnail.jpg"),
        photo((400, 300), [], "b"),
        photo((1001, 700), [], "large.jpg"),
    ]
    with pytest.raises(DataError) as raised:
        settled(*records)
    assert str(raised.value) == (
        "photos: the longest side of a photo must be at most 10 times that of any other of its set, got "
        "{'thumbnail.jpg': (100, 80), 'large.jpg': (1001, 700)}. Crop the large ones, or take the small ones out."
    )
    check_alike(records[:2], "photos")
    check_alike([photo((100, 80), []), photo((1000, 10), [])], "photos")
    check_alike([], "photos")


def test_no_photos_at_all_are_reported():
    with pytest.raises(DataError, match="photos: holds no photos to train on"):
        settled()


@given(
    st.lists(st.tuples(st.integers(100, 999), st.integers(100, 999)), min_size=1, max_size=4),
    st.lists(st.floats(0.02, 0.9), min_size=1, max_size=30),
)
def test_settled_values_are_valid_settings_within_their_limits(sizes, shares):
    records = [
        photo(wh, [(share * wh[0], share * wh[1]) for share in shares], str(i))
        for i, wh in enumerate(sizes)
    ]
    try:
        scale = settled(*records)
    except DataError:  # sizes too far apart for any scale
        reject()
    longer = sorted(max(wh) for wh in sizes)
    native = longer[(len(longer) - 1) // 2]
    assert Detector(
        working_px=scale.longest_px, anchor_px=anchors(scale.object_px[0], scale.object_px[2])
    )
    assert Training(crop_px=scale.crop_px)
    assert 64 <= scale.longest_px <= 2 * native
    assert scale.longest_px == native or scale.longest_px % 32 == 0
    assert scale.crop_px <= 768 and scale.crop_px % 32 == 0
    assert scale.crop_px < scale.longest_px + 32
    assert list(scale.object_px) == sorted(scale.object_px)


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(64, 8192))
def test_the_longer_side_is_exact_and_the_other_rounded(width, height, longest_px):
    (sides,) = working_sizes(np.array([[width, height]]), longest_px).tolist()
    assert max(sides) == longest_px
    exact = min(width, height) * longest_px / max(width, height)
    assert abs(min(sides) - max(1, exact)) <= 0.5 or min(sides) == 1


def test_no_photos_have_no_sizes():
    assert working_sizes(np.zeros((0, 2), np.int64), 640).shape == (0, 2)


@pytest.mark.parametrize(
    ("low", "high", "sizes"),
    [
        (29, 53, (24, 33.94, 48, 67.88)),
        (24 * 1.1, 48 / 1.1, (24, 33.94, 48)),  # exact powers
        (40, 40, (33.94, 48)),
        (26.4, 24 / 1.1, (24, 33.94)),  # one would do; there are two
        (0, 0, (8.49, 12)),  # below what can be learned
        (12 * 1.1, 192 / 1.1, (12, 16.97, 24, 33.94, 48, 67.88, 96, 135.76, 192)),
    ],
)
def test_anchors_are_a_series_that_covers_the_sizes(low, high, sizes):
    assert anchors(low, high) == pytest.approx(sizes, abs=0.01)


@given(st.floats(10, 4000), st.floats(1, 30))
def test_every_size_has_an_anchor_nearby(low, factor):
    high = low * factor
    found = anchors(low, high)
    assert len(found) >= 2
    assert list(found) == sorted(set(found))
    for size in np.geomspace(low / 1.1, high * 1.1, 20):
        assert min(abs(math.log2(size / anchor)) for anchor in found) <= 0.25 + 1e-3


@pytest.mark.parametrize(
    ("ratios", "found"),
    [
        ([], (1.0,)),
        ([1.0], (1.0,)),
        ([1.5] * 10 + [1 / 1.5] * 10, (1.0,)),  # just within
        ([1.0] * 95 + [3.0] * 5, (1.0,)),
        ([1.0] * 85 + [2.0] * 15, (1.0, 2.0)),
        ([0.5] * 50 + [2.0] * 50, (0.5, 1.0, 2.0)),  # exact powers
        ([4.0] * 10, (4.0,)),
        ([9.0] * 50 + [0.1] * 50, (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)),
        ([25.0] * 10, (8.0,)),
        ([3.0] * 50 + [2.0] * 50, (2.0, 4.0)),
    ],
)
def test_aspect_ratios_cover_the_boxes(ratios, found):
    """Height / width: tall boxes have large ones."""
    boxes_wh = np.array([[10, 10 * ratio] for ratio in ratios]).reshape(-1, 2)
    assert aspect_ratios(boxes_wh, transposed=False) == found


def test_an_object_that_fills_its_photo_can_be_learned_where_crops_are_as_large():
    """Upright bottles of 120 x 590 px in photos of 480 x 640: nothing cuts them off."""
    bottles = [photo((480, 640), [(120, 590)])] * 4
    assert settled(*bottles).too_large == 0
    assert settled(*bottles, working_px=640).crop_px == 640


@pytest.mark.parametrize(
    ("sides", "crop_px", "advice"),
    [
        ([60] * 10, 64, "Set training.crop_px to 384, which fits them"),
        ([1500] * 10, 1024, "Set a larger crop, or a smaller detector.working_px"),
        ([1500] * 10, "auto", "Set a larger crop, or a smaller detector.working_px"),
    ],
)
def test_a_crop_that_is_too_small_is_refused_with_advice_that_helps(sides, crop_px, advice):
    photos = [squares((4000, 3000), *sides)]
    scale = working_scale(photos, 4000, 2048, "photos")
    value = '"auto" (768)' if crop_px == "auto" else crop_px
    with pytest.raises(
        DataError, match=re.escape(f"with training.crop_px {value} at least") + f".*{advice}"
    ):
        check_crop(photos, scale, crop_px, "photos")
