"""What changed since a run began is named; what the run itself settled, and pairs as JSON has them, did not change."""

import pytest

from syndet_ray import Choice, Detector, Mix, Recipe, Scenes, SearchSpace, Sweep
from syndet_ray.run_folder import RunFolder
from syndet_ray.tuning.changes import _differences

PAIR = (40.0, 60.0)
WITH_PAIRS = Sweep(
    question="?",
    recipe=Recipe(mix=Mix(sources={"small": Scenes(changes={"scene.size_px": (20, 30)}), "other": Scenes()})),
    space=(SearchSpace({"scene.size_px": Choice(values=(PAIR, (50.0, 70.0)))}),),
    variants={"larger": {"scene.size_px": PAIR}},
    points=({"scene.size_px": PAIR},),
)


@pytest.fixture
def kept(tmp_path):
    """What a run that began with a sweep holds of it."""

    def make(sweep):
        return RunFolder.create(tmp_path / "run", sweep, {}).sweep

    return make


def test_pairs_are_what_they_were(kept):
    assert _differences(kept(WITH_PAIRS), WITH_PAIRS) == []


def test_another_pair_is_named(kept):
    now = WITH_PAIRS.replace({"variants": {"larger": {"scene.size_px": (40.0, 61.0)}}})
    (said,) = _differences(kept(WITH_PAIRS), now)
    assert said.startswith("variants was {'larger': {'scene.size_px': [40.0, 60.0]}} and is")


def settled(**changes):
    values = {"detector.working_px": 640, "detector.anchor_px": (24.0, 33.94), "detector.aspect_ratios": (1.0,)}
    values |= {"detector.backbone": "resnet18", "detector.frozen_stages": 2, "training.crop_px": 384}
    return WITH_PAIRS.model_copy(update={"recipe": WITH_PAIRS.recipe.replace(values | changes)})


def test_what_the_file_leaves_to_the_run_has_not_changed(kept):
    assert WITH_PAIRS.recipe.detector == Detector(), "all is auto"
    assert _differences(kept(settled()), WITH_PAIRS) == []


def test_a_number_in_place_of_what_was_settled_is_a_change(kept):
    began = kept(settled())
    now = WITH_PAIRS.model_copy(update={"recipe": WITH_PAIRS.recipe.replace({"detector.working_px": 800})})
    assert _differences(began, now) == ["recipe.detector.working_px was 640 and is 800"]
    assert _differences(began, settled(**{"detector.anchor_px": (24, 33.94)})) == []
    (said,) = _differences(began, settled(**{"detector.anchor_px": (24, 34)}))
    assert said == "recipe.detector.anchor_px was [24.0, 33.94] and is [24.0, 34.0]"
