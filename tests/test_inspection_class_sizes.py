"""Size tells the class in one source and not in another: that is found, measured and said."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from scipy.stats import mannwhitneyu
from test_document import FACTS, closed
from test_inspection_statistics import quiet, scenes, written

from syndet_ray.boxes import Boxes
from syndet_ray.cli import facts
from syndet_ray.data.read import read
from syndet_ray.inspection import differences
from syndet_ray.inspection.class_sizes import LEAST_BOXES, size_tests
from syndet_ray.inspection.inspect import inspect
from syndet_ray.inspection.statistics import Measurements
from syndet_ray.report import inspection_page
from syndet_ray.spread import LEAST_IMAGES

SHARED = Path(__file__).parents[2] / "shared" / "data"
CLASSES = ("pawn", "rook", "king")


def measured(sizes, labels, image_of=None, *, classes=CLASSES, image_px=100):
    """Boxes of these sizes in pixels, one an image unless `image_of` says otherwise."""
    labels = np.asarray(labels)
    image_of = np.arange(len(labels)) if image_of is None else np.asarray(image_of)
    images = int(image_of.max()) + 1
    side = np.broadcast_to(np.asarray(image_px, float), images)
    return Measurements(
        classes=classes,
        images=images,
        crowds=0,
        values={
            "box_size": np.asarray(sizes, float),
            "image_width": side,
            "image_height": side / 2,
        },
        image_of=image_of,
        labels=labels,
        prints=(),
    )


def drawn(means, count=60, *, seed=0, spread=4.0, **given):
    """Boxes of classes whose sizes are normally distributed around a mean of their own."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(len(means)), count)
    sizes = np.asarray(means)[labels] + spread * rng.normal(size=len(labels))
    return measured(sizes, labels, **given)


def one_test(source):
    (test,) = size_tests(["made"], [source], 0)
    return test


def test_the_value_is_that_of_scipy_mean_over_pairs_of_classes():
    rng = np.random.default_rng(1)
    sizes, labels = rng.integers(10, 30, 90), rng.integers(0, 3, 90)
    told = []
    for one, other in combinations(range(3), 2):
        first, second = sizes[labels == one], sizes[labels == other]
        share = mannwhitneyu(first, second).statistic / (len(first) * len(second))
        told.append(max(share, 1 - share))
    assert one_test(measured(sizes, labels)).value == pytest.approx(np.mean(told))


def test_a_class_between_two_others_is_told_too():
    test = one_test(drawn([20, 40, 60]))
    assert test.value > 0.99 and test.tells and test.floor < 0.6
    assert 0.99 < test.low <= test.value <= test.high <= 1


def test_sizes_drawn_whatever_the_class_tell_nothing():
    claims = sum(one_test(drawn([40, 40, 40], seed=seed)).tells for seed in range(10))
    assert claims == 0


def test_a_size_is_a_share_of_its_image_as_at_one_working_scale():
    image_px = np.tile([100, 1000, 300], 20)
    labels = np.tile(np.arange(3), 20)
    test = one_test(measured(0.3 * image_px, labels, image_px=image_px))
    assert test.value == 0.5 and not test.tells


def test_boxes_of_one_image_are_no_independent_witnesses():
    """Each image shows one class at a scale of its own: a few images say nothing."""
    beyond = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image_of = np.repeat(np.arange(12), 20)
        labels = rng.permutation(np.tile(np.arange(2), 6))[image_of]
        sizes = rng.uniform(20, 80, 12)[image_of] + rng.normal(size=len(image_of))
        test = one_test(measured(sizes, labels, image_of, classes=("pawn", "king")))
        beyond += test.value > test.floor
    assert beyond <= 3


def test_the_difference_of_two_sources_has_an_interval_and_samples_of_one_rarely_differ():
    alike, apart = drawn([40, 40, 40]), drawn([34, 40, 46], seed=1)
    reference, other = size_tests(["real", "made"], [alike, apart], 0)
    assert reference.difference is None and other.difference.matters
    assert other.difference.value == pytest.approx(other.value - reference.value)
    assert 0 < other.difference.low < other.difference.value < other.difference.high
    pairs = [[drawn([38, 40, 42], seed=seed) for seed in (k, k + 100)] for k in range(10)]
    tests = [size_tests(["real", "made"], pair, 0)[1] for pair in pairs]
    assert not any(test.difference.matters for test in tests)


def test_classes_of_few_boxes_and_of_one_source_only_are_left_out():
    few = measured([10] * 20 + [50] * 20 + [90] * 4, [0] * 20 + [1] * 20 + [2] * (LEAST_BOXES - 1))
    assert one_test(few).classes == ("pawn", "rook")
    other = drawn([10, 50, 90], classes=("king", "queen", "pawn"))
    tests = size_tests(["real", "made"], [drawn([10, 50, 90]), other], 0)
    assert {test.classes for test in tests} == {("pawn", "king")}
    tests = size_tests(["real", "made"], [few, other], 0)
    assert [test.value for test in tests] == [None, None] and not tests[0].tells


def test_few_images_give_a_value_without_an_interval():
    few = measured([10, 20] * 20, [0, 1] * 20, np.repeat(np.arange(LEAST_IMAGES - 1), 5)[:40])
    reference, other = size_tests(["real", "made"], [few, drawn([40, 40, 40])], 0)
    assert reference.value == 1 and reference.low is None
    assert other.difference is None


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Scenes in which cats are small and dogs large, and photos in which size says nothing."""
    folder = tmp_path_factory.mktemp("sizes")
    rng = np.random.default_rng(0)

    def boxes(cat, dog):
        return Boxes.of([[5, 5, 5 + cat, 5 + cat], [40, 40, 40 + dog, 40 + dog]], [0, 1])

    real = [boxes(*rng.uniform(10, 40, 2)) for _ in range(20)]
    made = [boxes(rng.uniform(10, 20), rng.uniform(30, 40)) for _ in range(20)]
    paths = [
        written(folder / "photos", scenes(20, side=96), boxes=real),
        written(folder / "synthetic", scenes(20, 1, side=96), boxes=made),
    ]
    return inspect(paths, None, quiet)


def test_the_answer_says_where_size_tells_the_class(compared):
    sentence = differences.headline(compared)[1]
    assert sentence.startswith("Size tells the class in synthetic (1.00) but not in photos (0.")
    assert sentence.endswith("A detector that learns it from one errs on the other.")
    one, other = dict(differences.summary(compared))["size tells class"]
    assert other.startswith("1.00 (1.00 to 1.00), chance 0.") and one.startswith("0.")


def test_programs_and_tables_have_the_numbers(compared, tmp_path):
    found = facts.inspection_facts(compared, tmp_path, tmp_path)["size_tells_class"]
    schema = closed(tests=FACTS["data inspect"]["size_tells_class"])
    Draft202012Validator(schema).validate(json.loads(json.dumps({"tests": found})))
    assert [test["tells"] for test in found] == [False, True]
    assert found[0]["difference"] is None and found[1]["difference"]["matters"]
    table = inspection_page.tables(compared)["class_sizes"]
    assert table["source"] == ["photos", "synthetic"]
    assert table["difference"] == [None, found[1]["difference"]["value"]]


def test_a_single_source_has_its_value_and_no_sentence(compared):
    folder = compared.reference.record(0).image.parents[1]
    alone = inspect([str(folder)], None, quiet)
    assert not any("Size tells" in sentence for sentence in differences.headline(alone))
    ((value,),) = [cells for name, cells in differences.summary(alone) if name.startswith("size ")]
    assert value.startswith("0.")


@pytest.mark.parametrize(
    ("name", "tells", "least", "most"), [("chess", True, 0.8, 0.9), ("d6_dice", False, 0.5, 0.55)]
)
def test_size_tells_chess_pieces_and_not_the_numbers_of_dice(name, tells, least, most):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    source = read(folder).splits["train"]
    boxes = [record.boxes.select(~record.boxes.crowd) for record in source.records]
    sides = np.concatenate([of_image.xyxy[:, 2:] - of_image.xyxy[:, :2] for of_image in boxes])
    image_of = np.repeat(np.arange(len(boxes)), [len(of_image) for of_image in boxes])
    labels = np.concatenate([of_image.labels for of_image in boxes])
    sizes = np.sqrt(sides.prod(axis=1))
    test = one_test(measured(sizes, labels, image_of, classes=source.classes))
    assert test.tells is tells and least < test.value < most
