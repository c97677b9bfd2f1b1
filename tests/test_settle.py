"""What a sweep leaves to "auto" is settled once its photos and its machine are known."""

from dataclasses import replace

import pytest
from made_detections import TINY, pool_of

from syndet_ray import Choice, Float, Recipe, SearchSpace, Sweep
from syndet_ray.data.scale import WorkingScale
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.recipe import Detector
from syndet_ray.tuning.preflight import RealData
from syndet_ray.tuning.settle import settled
from syndet_ray.tuning.task import Resources

SCALE = WorkingScale(longest_px=640, crop_px=384, object_px=(29.0, 40.0, 53.0), objects=9, too_small=0, too_large=0)
POOLS = {"train": pool_of([([0, 0, 9, 9], 0)])}
DATA = RealData(pools=POOLS, path=None, scale=SCALE, anchor_px=(24.0, 33.94), aspect_ratios=(1.0,))
CPU = Resources(cpus=1, gpus=0.0, parallel=1)


def sweep(**changes):
    return Sweep(question="?", trials=0, recipe=Recipe().replace(changes), variants={"plain": {}})


@pytest.fixture
def built(monkeypatch):
    """Stands in for the building of models; keeps what was to be built."""
    made = []
    monkeypatch.setattr("syndet_ray.detection.models.build", lambda detector, classes, seed: made.append(detector))
    return made


@pytest.fixture
def detectors(monkeypatch, built):
    """Stands in for the detector's own settling; keeps what it was asked, and says "a note"."""
    asked = []

    def settle(detector, gpu):
        asked.append((detector, gpu))
        return detector.model_copy(
            update={"backbone": "small", "weights": "imagenet", "frozen_stages": "all"}
        ), "a note"

    monkeypatch.setattr("syndet_ray.detection.settle.settled", settle)
    return asked


def test_sizes_come_from_the_photos_and_the_rest_from_the_machine(detectors):
    notes = []
    found = settled(sweep(), CPU, DATA, notes.append)
    detector, training = found.recipe.detector, found.recipe.training
    assert (detector.working_px, training.crop_px) == (640, 384)
    assert (detector.anchor_px, detector.aspect_ratios) == ((24.0, 33.94), (1.0,))
    assert (detector.backbone, detector.weights, detector.frozen_stages) == ("small", "imagenet", "all")
    assert notes == ["a note"]
    assert detectors == [(Detector(), False)]
    assert found.fixed["plain"].detector == detector
    assert found.fixed["real_only"].training.crop_px == 384


def test_the_machine_is_told_of_its_gpu(detectors):
    settled(sweep(), replace(CPU, gpus=0.5), DATA, lambda words: None)
    assert [gpu for _, gpu in detectors] == [True]


def test_what_a_sweep_says_stays(detectors):
    given = {"detector.working_px": 800, "training.crop_px": 256, "detector.aspect_ratios": (0.5, 2.0)}
    recipe = settled(sweep(**given), CPU, DATA, lambda words: None).recipe
    assert {path: recipe.get(path) for path in given} == given
    assert recipe.detector.anchor_px == (24.0, 33.94)


def test_anchors_that_starting_weights_need_are_kept(monkeypatch, built):
    def settle(detector, gpu):
        chosen = {"backbone": "resnet50_fpn_v2", "weights": "coco", "frozen_stages": 2, "anchor_px": (32.0, 64.0)}
        return detector.model_copy(update=chosen), ""

    monkeypatch.setattr("syndet_ray.detection.settle.settled", settle)
    notes = []
    recipe = settled(sweep(), CPU, DATA, notes.append).recipe
    assert (recipe.detector.anchor_px, recipe.detector.aspect_ratios, notes) == ((32.0, 64.0), (1.0,), [])


def varied(recipe=(), **fields):
    """A sweep on the smallest detector, its recipe changed."""
    given = {f"detector.{name}": value for name, value in TINY.model_dump().items()} | dict(recipe)
    return Sweep(question="?", **{"recipe": Recipe().replace(given), "trials": 0} | fields)


def test_every_detector_that_the_sweep_may_ask_for_is_built_once(built):
    space = SearchSpace(
        {
            "detector.frozen_stages": Choice(values=(0, 3)),
            "detector.backbone_rate": Float(low=0.1, high=1.0),
            "mix.synthetic": Float(low=0.0, high=1.0),
        }
    )
    variants = {"all": {"detector.frozen_stages": "all"}, "plain": {}}
    sweep = varied({"detector.weights": "imagenet"}, space=(space,), trials=2, variants=variants)
    settled(sweep, CPU, DATA, lambda words: None)
    assert built[0] == TINY.model_copy(update={"weights": "imagenet"})
    assert len(set(map(str, built))) == len(built)
    assert {detector.frozen_stages for detector in built} == {0, 3, "all"}


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            {"recipe": {"detector.backbone": "resnet51"}, "variants": {"plain": {}}},
            DefinitionError,
            "is not a backbone that timm knows",
        ),
        (
            {"space": (SearchSpace({"detector.weights": Choice(values=("none", "gone.safetensors"))}),), "trials": 2},
            DataError,
            r"gone\.safetensors: is not a readable",
        ),
    ],
)
def test_what_cannot_be_built_is_told_before_anything_starts(given, error, said):
    with pytest.raises(error, match=said):
        settled(varied(**given), CPU, DATA, lambda words: None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"detector.anchor_px": "auto"}, r"detector\.anchor_px: cannot be auto in a variant"),
        ({"training.crop_px": "auto"}, r"training\.crop_px: cannot be auto in a variant"),
        (
            {"detector.frozen_stages": 3},
            r"random weights cannot be frozen, got 'none'\. Set detector\.frozen_stages to 0",
        ),
    ],
)
def test_a_variant_that_undoes_what_was_settled_is_refused(built, change, said):
    with pytest.raises(DefinitionError, match=said):
        settled(varied(variants={"plain": {}, "other": change}), CPU, DATA, lambda words: None)
