"""Statistics of data: planted differences are found where they were planted, and nowhere else."""

import json
import warnings

import cv2
import numpy as np
import pytest
from format_samples import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from syndet_ray.boxes import Boxes
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Record, Source
from syndet_ray.data.write import write_dataset
from syndet_ray.errors import DataError
from syndet_ray.inspection.distance import (
    Sample,
    SortedSamples,
    class_distance,
    distance,
    total_variation,
)
from syndet_ray.inspection.duplicates import pairs, print_of
from syndet_ray.inspection.inspect import inspect, unique_names
from syndet_ray.inspection.statistics import STATISTICS, box_numbers, look, measure, noise

values = st.lists(st.integers(-50, 50), min_size=1, max_size=30).map(
    lambda found: np.array(found, float)
)


def scenes(count, seed=0, side=96):
    """Smooth, distinct pictures (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (count, 12, 12, 3), np.uint8)
    return [cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in coarse]


def pool_of(images, name="made", classes=("cat", "dog"), boxes=None, visibility=None):
    """A pool of images with two boxes each, or those given."""
    two = Boxes.of([[5, 5, 25, 30], [40, 50, 70, 80]], [0, 1], visibility)
    found = [two for _ in images] if boxes is None else boxes
    return Pool.of(name, classes, images, found, [f"{i}" for i in range(len(images))])


def sample(found, images=None):
    """One value an image."""
    return Sample(
        values=np.asarray(found, float), image_of=np.arange(len(found)), images=images or len(found)
    )


def written(folder, images, **given):
    write_dataset(pool_of(images, **given), folder)
    return str(folder)


def coco(folder, splits, classes=("cat", "dog")):
    """A COCO dataset of images by split, each with one box."""
    for split, images in splits.items():
        (folder / split).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(folder / split / f"{i}.png")
        content = {
            "images": [{"id": i, "file_name": f"{i}.png"} for i in range(len(images))],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 0, "bbox": [2, 2, 9, 9]}
                for i in range(len(images))
            ],
            "categories": [{"id": k, "name": name} for k, name in enumerate(classes)],
        }
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    return str(folder)


def quiet(*told):
    assert len(told) == 3


def by_name(found, source):
    return {one.statistic: one for one in found.distances if one.source == source}


def test_a_blurred_copy_is_less_sharp_and_has_less_noise():
    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    blurred = cv2.GaussianBlur(image, (0, 0), 2)
    assert look(blurred)["sharpness"] < look(image)["sharpness"] - 0.5
    assert look(blurred)["noise"] < look(image)["noise"] / 5


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0])
def test_the_noise_that_was_added_is_found_again(sigma):
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    grey = 60 + 0.3 * x + 0.2 * y + np.random.default_rng(1).normal(0, sigma, x.shape)
    assert noise(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)) == pytest.approx(
        sigma, rel=0.08
    )


def test_colours_are_what_they_are_called():
    grey, red, blue = (
        np.full((20, 20, 3), c, np.uint8) for c in ((128, 128, 128), (200, 60, 60), (60, 60, 200))
    )
    assert look(grey)["saturation"] == pytest.approx(0, abs=0.1)
    assert (look(grey)["hue_spread"], look(grey)["contrast"]) == (0, 0)
    assert look(red)["green_to_red"] > 30 and look(blue)["blue_to_yellow"] < -30
    assert look(red)["hue_spread"] == pytest.approx(0, abs=1e-3)
    assert look(np.hstack([red, blue]))["hue_spread"] > 0.1
    assert look(np.full((9, 9, 3), 255, np.uint8))["brightness"] == pytest.approx(100, abs=0.1)


def test_an_image_too_small_for_noise_says_nothing_of_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = look(np.full((2, 5, 3), 7, np.uint8))
    assert np.isnan(found["noise"]) and found["sharpness"] == 0


def test_boxes_are_reported_in_pixels_and_of_the_image():
    boxes = np.array([[0, 10, 40, 30], [30, 20, 50, 60], [90, 40, 100, 50.0]])
    found = box_numbers(boxes, np.array([100.0, 200.0]))
    assert found["box_width"].tolist() == [40, 20, 10]
    assert found["relative_height"].tolist() == [0.1, 0.2, 0.05]
    assert found["relative_size"] == pytest.approx(np.sqrt([0.04, 0.04, 0.005]))
    assert found["aspect_ratio"].tolist() == [1, -1, 0]
    assert (found["centre_x"].tolist(), found["centre_y"].tolist()) == (
        [0.2, 0.4, 0.95],
        [0.1, 0.2, 0.225],
    )
    assert found["overlaps"].tolist() == [1, 1, 0]
    assert (found["at_border"].tolist(), found["tiny"].tolist()) == ([1, 0, 1], [0, 0, 1])


def test_crowds_are_counted_and_no_objects(tmp_path):
    boxes = [Boxes.of([[0, 0, 9, 9], [0, 0, 50, 50]], [0, 1], None, [False, True]), Boxes.none()]
    path = written(tmp_path / "a", scenes(2), boxes=boxes)
    measured = inspect([path], None, quiet).reference.measurements
    assert (measured.images, measured.objects, measured.crowds, measured.empty) == (2, 1, 1, 1)
    assert measured.class_counts(("dog", "cat")).tolist() == [[0, 1], [0, 0]]
    assert measured.values["overlaps"].tolist() == [0]


@settings(deadline=None)
@given(values, values)
def test_distances_are_those_of_scipy_and_symmetric(one, two):
    moved, ks = SortedSamples.of(one, two).apart(np.ones(len(one)), np.ones(len(two)))
    assert moved == pytest.approx(stats.wasserstein_distance(one, two))
    assert ks == pytest.approx(
        max(abs(np.mean(one <= x) - np.mean(two <= x)) for x in [*one, *two])
    )
    assert SortedSamples.of(two, one).apart(np.ones(len(two)), np.ones(len(one))) == pytest.approx(
        (moved, ks)
    )
    assert moved >= 0 and 0 <= ks <= 1
    assert SortedSamples.of(one, one).apart(np.ones(len(one)), np.ones(len(one))) == (0, 0)


@given(*[st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any).map(np.array)] * 2)
def test_total_variation_is_symmetric_and_from_0_to_1(one, two):
    found = total_variation(one, two)
    assert found == pytest.approx(total_variation(two, one))
    assert 0 <= found <= 1 + 1e-12
    assert total_variation(one, one) == 0
    assert total_variation(np.array([1, 0]), np.array([0, 7])) == 1


@settings(max_examples=25, deadline=None)
@given(values, values)
def test_a_distance_is_never_negative_and_lies_in_its_interval(one, two):
    found = distance("b", "noise", sample(one), sample(two), 0)
    if found.low is not None:
        assert 0 <= found.low <= found.value <= found.high
    assert distance("a", "noise", sample(one), sample(one), 0).value == 0


def test_a_shift_by_one_deviation_is_a_distance_of_one():
    rng = np.random.default_rng(0)
    reference = rng.normal(5, 2, 400)
    found = distance("b", "noise", sample(reference), sample(reference + 2), 0)
    assert found.value == pytest.approx(1, rel=0.01)
    assert found.beyond_chance and found.low < 1 < found.high
    assert found.means == pytest.approx((reference.mean(), reference.mean() + 2))


@pytest.mark.parametrize("count", [30, 400])
def test_samples_of_one_distribution_stay_mostly_within_chance(count):
    rng = np.random.default_rng(0)
    found = [
        distance("b", "noise", sample(rng.normal(size=400)), sample(rng.normal(size=count)), k)
        for k in range(25)
    ]
    assert sum(one.beyond_chance for one in found) <= 5
    assert sum(one.low == 0 for one in found) >= 17


@pytest.mark.parametrize("images", [(40, 40), (100, 25), (25, 100)])
def test_a_rare_event_is_beyond_chance_where_fishers_exact_test_says_so(images):
    """An odd image size, of which the reference may hold none: it does not vary then."""
    first, second = images
    for in_first in (0, 1, 3):
        for in_second in range(0, second // 2, 3):
            odd, other = (
                np.where(np.arange(count) < events, 1280.0, 640.0)
                for count, events in ((first, in_first), (second, in_second))
            )
            table = [[in_first, first - in_first], [in_second, second - in_second]]
            p = stats.fisher_exact(table).pvalue
            found = distance("b", "image_width", sample(odd), sample(other), 0)
            if p < 0.01 or p > 0.2:  # in between, 200 divisions may say either
                assert found.beyond_chance == (p < 0.05), table


def test_two_samples_of_a_rare_event_are_rarely_called_beyond_chance():
    """Where an image in fifty is of an odd size; resamples of the reference called 26 in 100 pairs
    beyond chance.
    """
    rng = np.random.default_rng(0)
    pairs = [
        [sample(np.where(rng.random(40) < 0.02, 1280.0, 640.0)) for _ in range(2)]
        for _ in range(30)
    ]
    claims = sum(
        distance("b", "image_width", *pair, k).beyond_chance for k, pair in enumerate(pairs)
    )
    assert claims <= 2
    kinds = [
        [np.eye(2, dtype=int)[(rng.random(40) < 0.02).astype(int)] for _ in range(2)]
        for _ in range(30)
    ]
    assert sum(class_distance("b", *pair, k).beyond_chance for k, pair in enumerate(kinds)) <= 2


def test_where_hardly_an_image_has_an_object_nothing_is_beyond_chance():
    """Most divisions of such images at random have no object on one side."""
    one = Sample(values=np.array([3.0, 4.0]), image_of=np.array([0, 0]), images=400)
    other = Sample(values=np.array([9.0]), image_of=np.array([1]), images=2)
    found = distance("b", "box_size", one, other, 0)
    assert (found.floor, found.beyond_chance) == (np.inf, False)
    counts = np.zeros((400, 2), int)
    counts[0] = 1, 0
    found = class_distance("b", counts, np.array([[0, 0], [0, 1]]), 0)
    assert (found.floor, found.beyond_chance) == (np.inf, False)


def test_objects_of_one_image_count_as_one_draw():
    rng = np.random.default_rng(0)
    alone = Sample(values=rng.normal(size=200), image_of=np.arange(200), images=200)
    heaped = Sample(
        values=np.repeat(rng.normal(size=20), 10), image_of=np.repeat(np.arange(20), 10), images=20
    )
    floors = [
        distance(
            "b",
            "noise",
            one,
            Sample(values=one.values + 1, image_of=one.image_of, images=one.images),
            0,
        ).floor
        for one in (alone, heaped)
    ]
    assert floors[1] > 2 * floors[0]


def test_a_reference_that_does_not_vary_is_infinitely_far_from_what_differs():
    found = distance("b", "image_width", sample([640] * 8), sample([256] * 8), 0)
    assert (found.value, found.low, found.ks, found.floor, found.beyond_chance) == (
        np.inf,
        None,
        1,
        0,
        True,
    )
    few = distance("b", "image_width", sample([640] * 2), sample([256] * 2), 0)
    assert (few.value, few.floor, few.beyond_chance) == (np.inf, np.inf, False), (
        "one of three divisions is no less far apart"
    )
    assert distance("b", "image_width", sample([640, 640]), sample([640]), 0).value == 0
    assert (
        distance("b", "aspect_ratio", sample([0, 0.001]), sample([0, 0.002]), 0, fine=0.01).value
        == 0
    )


def test_what_cannot_be_compared_has_no_distance():
    nothing = Sample(values=np.zeros(0), image_of=np.zeros(0, int), images=3)
    assert distance("b", "box_size", sample([1, 2]), nothing, 0).value is None
    # one value has no deviation
    assert distance("b", "noise", sample([1]), sample([2, 3]), 0).value is None
    alone = distance("b", "noise", sample([1, 2]), sample([3]), 0)
    assert (alone.value, alone.low, alone.floor) == (3, None, None)
    assert not alone.beyond_chance, "nobody knows what chance would make of one image"
    assert not class_distance("b", np.array([[1, 0]]), np.array([[0, 1]]), 0).beyond_chance
    assert class_distance("b", np.zeros((2, 2)), np.ones((2, 2)), 0).value is None
    assert class_distance("b", np.ones((2, 2)), np.ones((1, 2)), 0).value == 0


def test_copies_are_found_and_other_pictures_are_not():
    images = scenes(30)
    encoded = cv2.imdecode(
        cv2.imencode(".jpg", images[3], [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR
    )
    smaller = cv2.resize(images[4], (60, 60), interpolation=cv2.INTER_AREA)
    brighter = np.clip(images[5] * 1.1, 0, 255).astype(np.uint8)
    prints = [print_of(image) for image in [*images, encoded, smaller, brighter, images[6]]]
    told = []
    found = pairs(prints, [0] * len(prints), progress=lambda *done: told.append(done))
    assert [(pair.first, pair.second, pair.exact) for pair in found] == [
        (3, 30, False), (4, 31, False), (5, 32, False), (6, 33, True)
    ]  # fmt: skip
    assert told[-1] == (34, 34)


def test_a_copy_is_reported_for_each_part_that_holds_one():
    image = scenes(1)[0]
    found = pairs([print_of(image)] * 4, [0, 0, 1, 2])
    assert [(pair.first, pair.second) for pair in found] == [(0, 1), (0, 2), (0, 3), (2, 3)]


def test_blank_pictures_are_the_same_only_where_all_is_the_same():
    blank = [np.full((40, 40, 3), level, np.uint8) for level in (10, 200, 10)]
    assert [
        (p.first, p.second, p.exact) for p in pairs([print_of(image) for image in blank], [0] * 3)
    ] == [(0, 2, True)]
    assert pairs([], []) == []


def test_a_brighter_copy_differs_in_brightness_and_not_in_sizes(tmp_path):
    images = scenes(24)
    brighter = [np.clip(image.astype(int) + 40, 0, 255).astype(np.uint8) for image in images]
    found = inspect(
        [written(tmp_path / "a", images), written(tmp_path / "b", brighter)], None, quiet
    )
    told = by_name(found, "b")
    assert told["brightness"].beyond_chance and told["brightness"].value > 1
    for name in (
        "image_width",
        "box_size",
        "relative_size",
        "objects_per_image",
        "aspect_ratio",
        "classes",
    ):
        assert told[name].value == 0, name
    assert [one.value for one in found.numeric_distances("b") if one.value is not None] == sorted(
        (one.value for one in found.numeric_distances("b") if one.value is not None), reverse=True
    )


def test_the_splits_of_one_folder_are_compared_and_a_shared_photo_is_reported(tmp_path):
    images = scenes(9)
    again = cv2.imdecode(
        cv2.imencode(".jpg", images[0], [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR
    )
    path = coco(
        tmp_path / "dice",
        {"train": [*images[:6], images[1]], "test": [*images[6:], images[2], again]},
    )
    found = inspect([path], None, quiet)
    assert [subject.name for subject in found.subjects] == ["dice train", "dice test"]
    told = [(t.first.image_id, t.second.image_id, t.exact, t.apart) for t in found.duplicates]
    assert told == [
        ("train/2.png", "test/3.png", True, True),
        ("train/0.png", "test/4.png", False, True),
        ("train/1.png", "train/6.png", True, False),
    ]
    assert all(pair.copy for pair in found.duplicates)
    assert [s.name for s in inspect([path], "test", quiet).subjects] == ["dice"]


def still_life(*corners, seed):
    """(240, 320, 3) what a fixed camera sees of discs at their corners on one ground, with the
    noise of its exposure.
    """
    ground = cv2.resize(scenes(1, 7)[0], (320, 240), interpolation=cv2.INTER_CUBIC)
    for x, y in corners:
        cv2.circle(ground, (x + 8, y + 8), 8, (90, 90, 90), -1)
    noise = np.random.default_rng(seed).normal(0, 2, ground.shape)
    return np.clip(ground + noise, 0, 255).astype(np.uint8)


def discs(*corners):
    return Boxes.of([(x, y, x + 16, y + 16) for x, y in corners], [0] * len(corners))


def test_photos_of_a_fixed_camera_are_twins_only_where_nothing_has_moved(tmp_path):
    """As `check` judges them.

    Of several that are alike one may show the same though it is not the likest.
    """
    there, elsewhere = (40, 60), (200, 150)
    saved = cv2.imdecode(cv2.imencode(".jpg", still_life(there, seed=0))[1], cv2.IMREAD_COLOR)
    first = written(tmp_path / "a", [still_life(there, seed=0)], boxes=[discs(there)])
    others = [still_life(elsewhere, seed=1), saved]
    second = written(tmp_path / "b", others, boxes=[discs(elsewhere), discs(there)])
    prints = [print_of(image) for image in (still_life(there, seed=0), *others)]
    assert len(pairs(prints, [0, 1, 1])) == 3, (
        "by their looks all are one, or nothing is shown here"
    )
    (pair,) = inspect([first, second], None, quiet).duplicates
    assert (pair.second.image_id, pair.exact, pair.copy) == ("images/000001.png", False, True)


def test_the_likest_image_that_shows_the_same_is_reported(tmp_path):
    noise = np.random.default_rng(0).integers(-3, 4, (4, 96, 96, 3))
    image = scenes(1)[0].astype(int)
    prints = [print_of((image + k * noise[k]).astype(np.uint8)) for k in (2, 1, 0)]
    assert [(p.first, p.second) for p in pairs(prints, [0, 0, 1])] == [(0, 1), (1, 2)]
    asked = []

    def show_the_same(i, j):
        asked.append((i, j))
        return j == 0

    assert [(p.first, p.second) for p in pairs(prints, [0, 0, 1], show_the_same)] == [
        (0, 1),
        (0, 2),
    ]
    assert asked == [(1, 0), (2, 1), (2, 0)]


def test_visibility_is_estimated_for_all_and_measured_where_it_is_given(tmp_path):
    paths = [
        written(tmp_path / "a", scenes(3)),
        written(tmp_path / "b", scenes(3, 1), visibility=[0.25, 1.0]),
    ]
    found = inspect(paths, None, quiet)
    kinds = [subject.measurements.visibility_kind for subject in found.subjects]
    assert kinds == ["estimated", "measured"]
    assert found.subjects[1].measurements.values["visibility_measured"][:2].tolist() == [0.25, 1]
    assert found.subjects[1].measurements.values["visibility_estimated"].tolist() == [1] * 6
    # never compared with what is estimated
    assert by_name(found, "b")["visibility_measured"].value is None
    assert by_name(found, "b")["visibility_estimated"].value == 0


def test_the_format_that_is_told_is_that_of_the_first_path(tmp_path):
    SAMPLES["CVAT"].write(tmp_path / "photos")
    paths = [str(tmp_path / "photos"), written(tmp_path / "rendered", scenes(3))]
    found = inspect(paths, None, quiet, LabelOptions(format="cvat"))
    assert [subject.name for subject in found.subjects] == ["photos", "rendered"]


def test_a_source_without_objects_has_no_statistics_of_objects(tmp_path):
    empty = written(tmp_path / "empty", scenes(3), boxes=[Boxes.none()] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = inspect([written(tmp_path / "a", scenes(3, 1)), empty], None, quiet)
        backwards = inspect([empty, str(tmp_path / "a")], None, quiet)
    objects = [statistic.name for statistic in STATISTICS if statistic.per == "object"]
    for told in (by_name(found, "empty"), by_name(backwards, "a")):
        assert all(told[name].value is None for name in [*objects, "classes"])
        assert told["brightness"].value is not None
    assert found.subjects[1].measurements.share("tiny") is None


def test_one_image_and_images_of_many_sizes_can_be_inspected(tmp_path):
    one = inspect([written(tmp_path / "one", scenes(1))], None, quiet)
    assert one.reference.measurements.images == 1 and one.distances == () and one.duplicates == ()
    many = written(tmp_path / "many", [scenes(1, side=side)[0] for side in (90, 120, 200)])
    found = inspect([many, str(tmp_path / "one")], None, quiet)
    assert by_name(found, "one")["image_width"].value > 0
    assert by_name(found, "one")["image_width"].low is None
    # one picture at four sizes: a chain of two in one source, and one across
    assert len(found.duplicates) == 3


def test_classes_that_differ_are_reported_and_compared_by_name(tmp_path):
    first = written(tmp_path / "a", scenes(3))
    second = written(tmp_path / "b", scenes(3, 1), classes=("dog", "bird"))
    found = inspect([first, second], None, quiet)
    assert found.notes == (
        "a: labels read as COCO",
        "b: labels read as COCO",
        "classes that a has and b has not: cat (3 boxes, the first: images/000000.png, annotation 0)",
        "classes that b has and a has not: bird (3 boxes, the first: images/000000.png, annotation 1)",
    )
    assert found.classes == ("cat", "dog", "bird")
    assert by_name(found, "b")["classes"].value == pytest.approx(0.5)


def test_boxes_of_classes_that_differ_are_those_of_the_split_that_is_inspected(tmp_path):
    first = coco(tmp_path / "a", {"train": scenes(3), "test": scenes(2, 1)})
    second = coco(tmp_path / "b", {"test": scenes(2, 2)}, classes=("bird", "dog"))
    found = inspect([first, second], "test", quiet)
    assert found.notes == (
        "a: labels read as COCO",
        "b: labels read as COCO",
        "classes that a has and b has not: cat (2 boxes, the first: test/0.png, annotation 0)",
        "classes that b has and a has not: bird (2 boxes, the first: test/0.png, annotation 0)",
    )


def test_names_are_as_long_as_it_takes(tmp_path):
    assert unique_names([tmp_path / "x/data", tmp_path / "y/data"]) == ["x/data", "y/data"]
    assert unique_names([tmp_path / "x/data", tmp_path / "y/other"]) == ["data", "other"]


def test_what_cannot_be_inspected_is_refused_by_name(tmp_path):
    (tmp_path / "nothing").mkdir()
    path = written(tmp_path / "a", scenes(2))
    none = coco(tmp_path / "none", {"train": []})
    for paths, split, said in (
        ([str(tmp_path / "nowhere")], None, "does not exist"),
        ([str(tmp_path / "nothing")], None, "holds no dataset of a known layout"),
        ([path, str(tmp_path / "nothing/../a")], None, "is given twice"),
        (["stand-in", "stand-in"], None, "is given twice"),
        ([path], "test", r"has no test split, got \['train'\]"),
        ([none], None, "holds no images"),
        ([path, none], None, "none: holds no images"),
    ):
        with pytest.raises(DataError, match=said):
            inspect(paths, split, quiet)


def test_progress_tells_every_image():
    records = tuple(
        Record(
            image_id=f"{i}",
            image=cv2.imencode(".png", image)[1].tobytes(),
            size_wh=image.shape[1::-1],
            boxes=Boxes.none(),
            place=f"image {i}",
        )
        for i, image in enumerate(scenes(3))
    )
    told = []
    measured = measure(
        Source(name="s", classes=("cat",), records=records), lambda *done: told.append(done)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert measured.objects == 0 and measured.empty == 3
