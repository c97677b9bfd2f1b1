"""What a sweep leaves to "auto" is settled once its photos and its machine are known."""

from dataclasses import replace

import numpy as np
import pytest
from made_detections import TINY, pool_of

from syndet_ray import Choice, Float, Recipe, SearchSpace
from syndet_ray.data.real import RealData
from syndet_ray.data.scale import WorkingScale
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Detector
from syndet_ray.detection.models import build, save_model
from syndet_ray.detection.weights_file import WeightsReport
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.search.task import Resources
from syndet_ray.tuning.settle import settled_sweep

SCALE = WorkingScale(
    longest_px=640,
    photo_px=640,
    crop_px=384,
    auto_crop_px=384,
    object_px=(29.0, 40.0, 53.0),
    objects=9,
    too_small=0,
    too_large=0,
)
POOLS = {"train": pool_of([([0, 0, 9, 9], 0)])}
BOXES_WH = np.array([[30.0, 30.0]] * 9)
DATA = RealData(pools=POOLS, path=None, scale=SCALE, anchor_px=(24.0, 33.94), boxes_wh=BOXES_WH)
CLASSES = POOLS["train"].classes
CPU = Resources(cpus=1, gpus=0.0, parallel=1)


def sweep(**changes):
    return LoadedSweep(
        question="?", trials=0, recipe=Recipe().replace(changes), variants={"plain": {}}
    )


@pytest.fixture
def built(monkeypatch):
    """Stands in for the building of models; keeps what was to be built."""
    made = []

    def build(detector, classes, seed):
        made.append(detector)
        return None, WeightsReport()

    monkeypatch.setattr("syndet_ray.detection.models.build", build)
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

    monkeypatch.setattr("syndet_ray.detection.settle.settled_detector", settle)
    return asked


def test_sizes_come_from_the_photos_and_the_rest_from_the_machine(detectors):
    notes = []
    settled = settled_sweep(sweep(), CPU, DATA, notes.append)
    detector, training = settled.recipe.detector, settled.recipe.training
    assert (detector.working_px, training.crop_px, settled.recipe.scene.image_px) == (640, 384, 427)
    assert (detector.anchor_px, detector.aspect_ratios) == ((24.0, 33.94), (1.0,))
    assert (detector.backbone, detector.weights, detector.frozen_stages) == (
        "small",
        "imagenet",
        "all",
    )
    assert notes == [
        "a note",
        "the detector is faster_rcnn on small, weights imagenet, all stages frozen; anchors 24, 34 px, height / width 1; "
        "training crops of 384 px",
        "anchors span 24 to 34 px, objects 29 to 53 px: the smallest or largest will hardly be found; "
        "set detector.anchor_px, or start from other weights",
    ]
    assert settled.variants == {"plain": {}}
    assert set(map(str, detectors)) == {str((Detector(), False))}
    assert settled.fixed["plain"].detector == detector
    assert settled.fixed["real_only"].training.crop_px == 384


def test_the_machine_is_described_with_its_gpu(detectors):
    settled_sweep(sweep(), replace(CPU, gpus=0.5), DATA, lambda words: None)
    assert {gpu for _, gpu in detectors} == {True}


def test_what_a_sweep_says_stays(detectors):
    given = {
        "detector.working_px": 800,
        "training.crop_px": 256,
        "detector.aspect_ratios": (0.5, 2.0),
    }
    recipe = settled_sweep(sweep(**given), CPU, DATA, lambda words: None).recipe
    assert {path: recipe.get(path) for path in given} == given
    assert recipe.detector.anchor_px == (24.0, 33.94)
    assert recipe.scene.image_px == 285, (
        "scenes fill the crop that the sweep asks for, and a tenth more of it"
    )


@pytest.mark.parametrize(("transpose", "ratios"), [(0.0, (2.0,)), (0.5, (0.5, 1.0, 2.0))])
def test_bottles_that_training_lays_down_have_anchors_for_it(detectors, transpose, ratios):
    bottles = replace(DATA, boxes_wh=np.array([[20.0, 40.0]] * 9))
    recipe = settled_sweep(
        sweep(**{"training.transpose": transpose}), CPU, bottles, lambda words: None
    ).recipe
    assert recipe.detector.aspect_ratios == ratios


def test_anchors_that_starting_weights_need_are_kept(monkeypatch, built):
    def settle(detector, gpu):
        chosen = {
            "backbone": "resnet50_fpn_v2",
            "weights": "coco",
            "frozen_stages": 2,
            "anchor_px": (32.0, 64.0),
        }
        return detector.model_copy(update=chosen), ""

    monkeypatch.setattr("syndet_ray.detection.settle.settled_detector", settle)
    notes = []
    recipe = settled_sweep(sweep(), CPU, DATA, notes.append).recipe
    assert (recipe.detector.anchor_px, recipe.detector.aspect_ratios) == ((32.0, 64.0), (1.0,))
    assert not [note for note in notes if "hardly be found" in note], "29 to 53 px are near enough"


def varied(recipe=(), **fields):
    """A sweep on the smallest detector, its recipe changed."""
    given = {f"detector.{name}": value for name, value in TINY.model_dump().items()} | dict(recipe)
    return LoadedSweep(question="?", **{"recipe": Recipe().replace(given), "trials": 0} | fields)


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
    settled_sweep(sweep, CPU, DATA, lambda words: None)
    assert built[0] == TINY.model_copy(update={"weights": "imagenet"})
    assert len(set(map(str, built))) == len(built)
    assert {detector.frozen_stages for detector in built} == {0, 3, "all"}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"recipe": {"detector.backbone": "resnet51"}, "variants": {"plain": {}}},
            DefinitionError,
            "is not a backbone that timm knows",
        ),
        (
            {
                "space": (
                    SearchSpace({"detector.weights": Choice(values=("none", "gone.safetensors"))}),
                ),
                "trials": 2,
            },
            DataError,
            r"gone\.safetensors: is not a readable",
        ),
    ],
)
def test_what_cannot_be_built_is_reported_before_anything_starts(given, error, message):
    with pytest.raises(error, match=message):
        settled_sweep(varied(**given), CPU, DATA, lambda words: None)


@pytest.mark.parametrize(
    ("recipe", "change", "settings"),
    [
        ({}, {"detector.weights": "none"}, {"frozen_stages": 0, "backbone": "small"}),
        (
            {"detector.anchor_px": (50.0, 60.0)},
            {"detector.anchor_px": "auto"},
            {"anchor_px": (24.0, 33.94)},
        ),
    ],
)
def test_a_variant_is_settled_by_itself(monkeypatch, built, recipe, change, settings):
    def settle(detector, gpu):
        random = detector.weights == "none"
        chosen = {
            "backbone": "small",
            "weights": "none" if random else "imagenet",
            "frozen_stages": 0 if random else 4,
        }
        return detector.model_copy(update=chosen), ""

    monkeypatch.setattr("syndet_ray.detection.settle.settled_detector", settle)
    asked = sweep(**recipe).replace({"variants": {"plain": {}, "other": change}})
    settled = settled_sweep(asked, CPU, DATA, lambda words: None)
    plain, other = settled.fixed["plain"].detector, settled.fixed["other"].detector
    assert settled.variants["plain"] == {}
    assert settled.variants["other"] == change | {
        f"detector.{name}": value
        for name, value in settings.items()
        if getattr(plain, name) != value
    }
    assert {name: getattr(other, name) for name in settings} == settings


@pytest.mark.parametrize("change", [{"training.crop_px": 512}, {"training.scale_jitter": 0.325}])
def test_scenes_are_as_large_for_all_as_the_most_demanding_variant_needs(detectors, change):
    asked = sweep().replace(
        {"variants": {"plain": {}, "demanding": change, "own": {"scene.image_px": 300}}}
    )
    fixed = settled_sweep(asked, CPU, DATA, lambda words: None).fixed
    sides = {name: recipe.scene.image_px for name, recipe in fixed.items()}
    assert sides == {
        "real_only": 569,
        "synthetic_only": 569,
        "plain": 569,
        "demanding": 569,
        "own": 300,
    }


def test_a_variant_that_sets_its_own_scenes_does_not_enlarge_those_of_others(detectors):
    large = {"training.crop_px": 512, "scene.image_px": 300}
    asked = sweep().replace({"variants": {"plain": {}, "large": large}})
    assert settled_sweep(asked, CPU, DATA, lambda words: None).fixed["plain"].scene.image_px == 427


def test_a_variant_may_leave_to_auto_what_the_recipe_leaves_to_it(detectors):
    open_too = {
        "training.crop_px": "auto",
        "detector.frozen_stages": "auto",
        "scene.image_px": "auto",
    }
    asked = sweep().replace({"variants": {"plain": {}, "open too": open_too}})
    fixed = settled_sweep(asked, CPU, DATA, lambda words: None).fixed
    assert fixed["open too"] == fixed["plain"]


def test_a_variant_may_go_back_to_the_crop_that_fits(detectors):
    asked = sweep(**{"training.crop_px": 256}).replace(
        {"variants": {"plain": {}, "fits": {"training.crop_px": "auto"}}}
    )
    data = replace(DATA, scale=replace(SCALE, crop_px=256))
    fixed = settled_sweep(asked, CPU, data, lambda words: None).fixed
    assert [fixed[name].training.crop_px for name in ("plain", "fits")] == [256, 384]


def test_scenes_are_as_large_as_the_greatest_crop_that_the_search_may_propose(built):
    space = SearchSpace({"training.crop_px": Choice(values=(256, 512, 320))})
    settled = settled_sweep(
        varied(space=(space,), trials=1, variants={"plain": {}}), CPU, DATA, lambda words: None
    )
    assert (settled.recipe.training.crop_px, settled.recipe.scene.image_px) == (384, 569)
    assert settled.variants == {"plain": {}}


@pytest.mark.parametrize(("jitter", "side"), [(0.0, 384), (0.5, 768), (0.9, 2048)])
def test_scenes_fill_the_crop_however_small_they_are_made(detectors, jitter, side):
    recipe = settled_sweep(
        sweep(**{"training.scale_jitter": jitter}), CPU, DATA, lambda words: None
    ).recipe
    assert recipe.scene.image_px == side


def test_a_source_of_scenes_takes_its_size_from_the_recipe(built):
    sources = {"own": {"kind": "scenes", "changes": {"scene.image_px": "auto"}}}
    with pytest.raises(DefinitionError, match=r"own: scene\.image_px: cannot be auto"):
        settled_sweep(
            varied({"mix.sources": sources}, variants={"plain": {}}), CPU, DATA, lambda words: None
        )


def test_a_search_is_held_against_what_was_settled(built):
    space = SearchSpace({"scene.size_px": Choice(values=((20.0, 30.0), (100.0, 430.0)))})
    with pytest.raises(
        DefinitionError, match=r"size_px must be at most image_px, 427, got 100\.0, 430\.0"
    ):
        settled_sweep(varied(space=(space,), trials=2), CPU, DATA, lambda words: None)


@pytest.mark.parametrize("path", ["detector.anchor_px", "training.crop_px", "scene.image_px"])
def test_a_search_proposes_nothing_that_would_have_to_be_settled(built, path):
    space = SearchSpace(
        {path: Choice(values=("auto", (30.0, 40.0, 50.0)) if "anchor" in path else ("auto", 256))}
    )
    with pytest.raises(DefinitionError, match=rf"{path}: cannot be auto in a search"):
        settled_sweep(varied(space=(space,), trials=2), CPU, DATA, lambda words: None)


SCHEDULES = Choice(values=("mixed", "staged"))
MOMENTUM = Float(low=0.5, high=0.9)


@pytest.mark.parametrize(
    ("space", "recipe", "message"),
    [
        (
            {"training.momentum": MOMENTUM},
            {},
            r"momentum: .* nothing acts on it where training\.optimizer is adamw\. Change that",
        ),
        (
            {"mix.schedule": SCHEDULES, "mix.switch_at": Float(low=0.1, high=0.9)},
            {},
            r"mix\.schedule is mixed",
        ),
        (
            {"detector.backbone_rate": MOMENTUM},
            {"detector.weights": "imagenet"},
            r"detector\.frozen_stages is all",
        ),
    ],
)
def test_a_search_for_what_nothing_would_act_on_is_refused(detectors, space, recipe, message):
    asked = LoadedSweep(
        question="?", recipe=Recipe().replace(recipe), space=(SearchSpace(space),), trials=2
    )
    with pytest.raises(DefinitionError, match=message):
        settled_sweep(asked, CPU, DATA, lambda words: None)


def test_a_search_may_name_the_values_under_which_a_setting_acts(built):
    staged = Float(low=0.1, high=0.9, when={"mix.schedule": "staged"})
    space = SearchSpace(
        {"mix.schedule": SCHEDULES, "mix.switch_at": staged, "training.momentum": MOMENTUM}
    )
    asked = varied({"training.optimizer": "sgd"}, space=(space,), trials=2)
    assert settled_sweep(asked, CPU, DATA, lambda words: None).parameters == asked.parameters


@pytest.fixture
def trained(tmp_path):
    """Saves a tiny detector of the given classes; returns the path of its file."""

    def save(classes):
        model, _ = build(TINY, classes, seed=0)
        save_model(tmp_path, model, TINY, classes)
        return str(tmp_path / "model.safetensors")

    return save


def notes_on_weights(**changes):
    """The notes on the starting weights of a sweep with these settings."""
    notes = []
    settled_sweep(varied(changes, variants={"plain": {}}), CPU, DATA, notes.append)
    return [note for note in notes if "loaded" in note]


def test_what_own_weights_bring_is_said(trained):
    path = trained(CLASSES)
    (words,) = notes_on_weights(**{"detector.weights": path})
    assert words.startswith(f"weights {path}: ")
    assert words.endswith(
        f" loaded, 0 skipped, 0 re-initialised parameters; the file knows {', '.join(CLASSES)}"
    )


def test_classes_that_own_weights_do_not_know_are_named(trained):
    path = trained(("ant", *CLASSES[1:]))
    (words,) = notes_on_weights(**{"detector.weights": path})
    assert words.endswith(
        f", except the rows of {CLASSES[0]}, which the file does not know: they begin at random"
    )


def test_named_weights_need_no_words(built):
    assert notes_on_weights() == []


def test_the_rate_of_a_backbone_that_is_frozen_by_number_is_not_searched(trained):
    stages = build(TINY, CLASSES, seed=0)[0].backbone.body.stages
    space = SearchSpace({"detector.backbone_rate": Float(low=0.01, high=1.0)})
    given = {"detector.weights": trained(CLASSES), "detector.frozen_stages": stages}
    asked = varied(given, space=(space,), trials=2)
    with pytest.raises(
        DefinitionError, match=rf"backbone_rate: .*with frozen_stages {stages} no parameter of the"
    ):
        settled_sweep(asked, CPU, DATA, lambda words: None)
    fewer = varied(given | {"detector.frozen_stages": stages - 1}, space=(space,), trials=2)
    assert settled_sweep(fewer, CPU, DATA, lambda words: None).parameters == fewer.parameters


def test_a_point_that_the_settled_recipe_does_not_allow_is_refused_before_a_run_begins(detectors):
    space = SearchSpace({"training.learning_rate": Float(low=1e-4, high=1e-3)})
    asked = LoadedSweep(
        question="?", space=(space,), trials=2, points=({"detector.weights": "none"},)
    )
    with pytest.raises(DefinitionError, match=r"points\[0\]: .*random weights cannot be frozen"):
        settled_sweep(asked, CPU, DATA, lambda words: None)


def test_values_that_exist_under_a_condition_are_tried_under_it(built):
    weights = Choice(values=("none", "imagenet"))
    frozen = Choice(values=(0, "all"), when={"detector.weights": "imagenet"})
    space = SearchSpace({"detector.weights": weights, "detector.frozen_stages": frozen})
    settled_sweep(varied(space=(space,), trials=2), CPU, DATA, lambda words: None)
    asked = {(detector.weights, detector.frozen_stages) for detector in built}
    assert asked == {("none", 0), ("imagenet", 0), ("imagenet", "all")}


def test_a_search_of_random_weights_is_refused_with_stages_that_are_frozen_then(detectors):
    space = SearchSpace({"detector.weights": Choice(values=("imagenet", "none"))})
    asked = LoadedSweep(question="?", space=(space,), trials=2)
    with pytest.raises(
        DefinitionError,
        match="random weights cannot be frozen: frozen_stages must be 0 or auto with weights none, got all",
    ):
        settled_sweep(asked, CPU, DATA, lambda words: None)


def test_a_point_outside_the_space_is_refused_before_a_run_begins(built):
    space = SearchSpace({"training.learning_rate": Float(low=1e-4, high=1e-3)})
    asked = varied(space=(space,), trials=2, points=({"training.learning_rate": 5e-3},))
    with pytest.raises(
        DefinitionError,
        match=r"points\[0\]: training\.learning_rate: must be from 0\.0001 to 0\.001, got 0",
    ):
        settled_sweep(asked, CPU, DATA, lambda words: None)
