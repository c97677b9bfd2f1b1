"""What changed since a run began is named; what the run itself settled, and pairs as JSON has them, did not change."""

import pytest

from syndet_ray import Choice, Mix, Recipe, Scenes, SearchSpace, Sweep
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


def changed(**settings):
    return WITH_PAIRS.model_copy(update={"recipe": WITH_PAIRS.recipe.replace(settings)})


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ("auto", 640, "was 'auto' and is 640"),
        (640, "auto", "was 640 and is 'auto'"),
        (640, 800, "was 640 and is 800"),
    ],
)
def test_a_setting_that_is_no_longer_left_to_the_run_has_changed_and_so_has_one_that_now_is(kept, then, now, said):
    path = "detector.working_px"
    began = kept(changed(**{path: then}))
    assert _differences(began, changed(**{path: then})) == []
    assert _differences(began, changed(**{path: now})) == [f"recipe.{path} {said}"]


def test_numbers_are_equal_however_they_are_written(kept):
    began = kept(changed(**{"detector.anchor_px": (24.0, 33.94)}))
    assert _differences(began, changed(**{"detector.anchor_px": (24, 33.94)})) == []
    (said,) = _differences(began, changed(**{"detector.anchor_px": (24, 34)}))
    assert said == "recipe.detector.anchor_px was [24.0, 33.94] and is [24.0, 34.0]"
