"""Display names of settings, recipes, trials and scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import of_kind

from syndet_ray.definitions.mix import Mix, Photos, Scenes
from syndet_ray.definitions.parameter import Choice, Float, Int, Simplex
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.report import words
from syndet_ray.runs import names
from syndet_ray.runs.results import TestScores, Trial

DENSITIES = {
    "sparse": Scenes(changes={"scene.objects": 10}),
    "crowded": Scenes(changes={"scene.objects": 70}),
}
ALIKE = {"a": Scenes(), "b": Scenes(changes={"scene.blur": 0.0})}


def trial(changes=None, params=None, kind="search", of=None, **mix):
    recipe = Recipe(mix=Mix(**mix)).replace({**(changes or {}), **(params or {})})
    return Trial(number=3, **of_kind(kind), params=params or {}, recipe=recipe, of=of)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (trial(synthetic=0.4), "40 % synthetic at 40 objects per scene"),
        (trial({"scene.objects": 1}, synthetic=0.001), "< 1 % synthetic at 1 object per scene"),
        (trial(synthetic=0.0), "real images only"),
        (trial(schedule="real_only", real_images=1), "1 real image only"),
        (trial(schedule="real_only", real_images=0.1), "10 % of the real images only"),
        (trial({"scene.objects": 10}, synthetic=1.0), "synthetic images only at 10 objects per scene"),
        (trial(schedule="synthetic_only"), "synthetic images only at 40 objects per scene"),
        (trial(synthetic=0.57, schedule="staged"), "57 % synthetic at 40 objects per scene, staged"),
        (
            trial(schedule="staged", switch_at=0.6),
            "60 % synthetic at 40 objects per scene, staged: synthetic first, real after 60 %",
        ),
        (trial(synthetic=1.0, schedule="staged"), "synthetic images only at 40 objects per scene"),
        (trial(schedule="annealed", real_images=4), "50 % synthetic at 40 objects per scene, annealed, 4 real images"),
        (
            trial({"scene.arrangement": "paste", "scene.objects": 6, "scene.scale_range": (0.1, 2)}),
            "50 % synthetic with 6 pasted objects per photo, scaled by 0.1 to 2",
        ),
        (
            trial({"scene.arrangement": "paste", "scene.objects": 6}, {"scene.scale_range": (0.5, 2)}),
            "50 % synthetic with 6 pasted objects per photo, scaled by 0.5 to 2",
        ),
        (trial(real_images=0), "synthetic images only at 40 objects per scene"),
        (
            trial(synthetic=0.7, sources=DENSITIES, parts={"sparse": 5 / 7, "crowded": 2 / 7}),
            "30 % real, 50 % sparse, 20 % crowded",
        ),
        (trial(sources=DENSITIES, parts={"sparse": 0.0, "crowded": 1.0}), "50 % real, 50 % crowded at 70 objects per scene"),
        (trial(sources=ALIKE), "50 % real, 25 % a, 25 % b at 40 objects per scene"),
        (trial(sources={"theirs": Photos(folder="/x")}), "50 % real, 50 % theirs"),
    ],
)  # fmt: skip
def test_recipes_in_words(made, expected):
    assert names.recipe_words(made) == expected


def test_what_else_was_varied_follows_unless_it_has_no_effect():
    params = {
        "training.learning_rate": 0.0021234,
        "scene.blur": 0.5,
        "mix.synthetic": 0.4,
        "scene.objects": 10,
    }
    expected = "40 % synthetic at 10 objects per scene, learning rate 0.00212, blur 0.5"
    assert names.recipe_words(trial(params=params)) == expected
    assert (
        names.recipe_words(trial(params=params | {"mix.synthetic": 0.0}))
        == "real images only, learning rate 0.00212"
    )
    several = trial(params={"scene.objects": 20}, sources=DENSITIES | {"other": Scenes()})
    assert names.recipe_words(several).endswith("17 % other, 20 objects per scene")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"mix.synthetic": 0.7, "scene.objects": 10}, "70 % synthetic, 10 objects per scene"),
        ({"mix.schedule": "mixed", "mix.synthetic": 0.5}, "50 % synthetic"),
        ({"mix.schedule": "mixed"}, "mixed"),
        (
            {"mix.schedule": "staged", "mix.switch_at": 0.6},
            "staged: synthetic first, real after 60 %",
        ),
        ({"mix.switch_at": 0.6}, "real after 60 %"),
        ({"mix.schedule": "annealed", "mix.real_images": 4}, "annealed, 4 real images"),
        (
            {"mix.schedule": "real_only", "mix.real_images": "all"},
            "real images only, all real images",
        ),
        (
            {"mix.synthetic": 0.7, "mix.parts": {"sparse": 1.0, "crowded": 0.0}},
            "30 % real, 70 % sparse",
        ),
        ({"mix.synthetic": 0.0, "mix.parts": {}}, "real images only"),
        (
            {
                "mix.synthetic": 0.0,
                "mix.parts": {"a": 1.0},
                "mix.schedule": "staged",
                "mix.switch_at": 0.0,
            },
            "real images only",
        ),
        ({"mix.parts": {"sparse": 0.6, "crowded": 0.4}}, "synthetic of 60 % sparse, 40 % crowded"),
        ({"scene.size_px": (29.0, 53.0)}, "size px 29 to 53"),
        ({"scene.background_scale": [0.5, 1.5]}, "background scale 0.5 to 1.5"),
        ({"scene.box_square": True}, "box square"),
        ({"scene.box_square": False}, "no box square"),
        ({"scene.assets": "/home/someone/my/dice"}, "assets my/dice"),
        ({"scene.backgrounds": ""}, "backgrounds none"),
        (
            {
                "detector.architecture": "fcos",
                "detector.backbone": "resnet18",
                "detector.frozen_stages": "all",
            },
            "detector fcos, backbone resnet18, frozen stages all",
        ),
        (
            {"detector.weights": "/home/someone/my/w.safetensors"},
            "starting weights my/w.safetensors",
        ),
        ({"detector.backbone_rate": 0.1}, "backbone's factor on the learning rate 0.1"),
        (
            {"detector.working_px": 640, "detector.anchor_px": (24.0, 33.94)},
            "working px 640, anchor px 24/33.9",
        ),
        ({"detector.aspect_ratios": [0.5, 1.0, 2.0]}, "aspect ratios 0.5/1/2"),
        ({"training.crop_px": "auto"}, "crop px auto"),
        (
            {"training.flip_vertical": 0.5, "training.transpose": 0.0},
            "vertical flips 0.5, transpositions 0",
        ),
        ({"training.average": 0.05}, "averaging horizon 0.05"),
        ({"training.images": 400, "mix.synthetic_images": 1}, "400 images seen, 1 distinct scene"),
    ],
)
def test_settings_in_one_line(params, expected):
    assert names.settings(params) == expected
    assert (
        names.trial_words(Trial(number=0, role="search", params=params, recipe=Recipe()))
        == expected
    )


def test_trials_without_params_and_confirmations_say_what_they_are():
    assert names.trial_words(trial(kind="real_only", synthetic=0.0)) == "real only (control)"
    assert names.trial_words(trial(kind="no blur")) == "no blur"
    assert (
        names.trial_words(trial(kind="confirm", of=7, params={"mix.synthetic": 0.2}))
        == "repeats trial 7 with another seed: 20 % synthetic"
    )
    assert (
        names.trial_words(trial(kind="confirm", of=0, synthetic=0.0))
        == "repeats trial 0 with another seed: real images only"
    )


@given(
    st.sampled_from(["mixed", "staged", "annealed"]),
    st.floats(0, 1),
    st.one_of(st.just("all"), st.integers(1, 99)),
)
def test_every_mix_has_words_and_only_what_is_in_it_is(schedule, share, count):
    phrase = names.recipe_words(trial(schedule=schedule, synthetic=share, real_images=count))
    assert ("synthetic" in phrase) == (share > 0)
    assert ("real image" in phrase) == (share == 0 or (count != "all" and share < 1))
    assert (schedule in phrase) == (schedule != "mixed" and 0 < share < 1)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("mix.synthetic", 0.4, "40 %"),
        ("mix.switch_at", None, "n/a"),
        ("mix.parts", {"a": 0.25, "b": 0.75}, "25 % a, 75 % b"),
        ("mix.sources", {"a": {}, "b": {}}, "a, b"),
        ("scene.box_square", True, "yes"),
        ("scene.blur", 0.123456, "0.123"),
        ("scene.size_px", [29.0, 53.0], "29 to 53"),
        ("detector.anchor_px", [24.0, 33.94, 48.0], "24/33.9/48"),
        ("detector.aspect_ratios", (1.0,), "1"),
        ("detector.anchor_px", "auto", "auto"),
    ],
)
def test_values_under_the_name_of_their_setting(path, value, expected):
    assert names.setting_value(path, value) == expected


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (Float(low=0, high=1), "0 to 1"),
        (Float(low=1e-4, high=1e-2, log=True), "0.0001 to 0.01, on a log scale"),
        (Int(low=10, high=90, step=20), "10 to 90 in steps of 20"),
        (Choice(values=("a", "b", "c")), "a, b or c"),
        (Choice(values=((0.5, 1.5), (1.0, 2.0))), "0.5 to 1.5 or 1 to 2"),
        (Simplex(sources=("real", "sparse")), "any shares of real, sparse"),
        (
            Float(low=0, high=1, when={"mix.schedule": "staged"}),
            "0 to 1, where mix.schedule is staged",
        ),
    ],
)
def test_what_a_search_may_choose_from(parameter, expected):
    assert names.bounds(parameter) == expected


def test_seeds_and_openings_are_counted():
    assert [words.seeds(counts) for counts in ([3, 3], [1], [2, 3])] == [
        "3 seeds",
        "1 seed",
        "2 to 3 seeds",
    ]
    scores = [
        TestScores(source="t", stand_in=False, hash="", images=9, opened=0.0, rows=(), openings=n)
        for n in (1, 2)
    ]
    assert [names.openings(score) for score in scores] == ["opened once", "opened twice"]


def test_one_photo_is_not_photos():
    assert (
        names.test_set_name(
            TestScores(source="t", stand_in=False, hash="", images=1, opened=0.0, rows=())
        )
        == "1 real test photo"
    )
    assert (
        names.test_set_name(
            TestScores(source="t", stand_in=True, hash="", images=2, opened=0.0, rows=())
        )
        == "2 stand-in test images"
    )


@pytest.mark.parametrize(
    ("count", "expected"),
    [(4, "4 validation images: with so few"), (1, "1 validation image: "), (10, "")],
)
def test_a_choice_by_few_validation_images_is_noted(count, expected):
    sentence = words.few_validation_images({"real": {"counts": {"val": count}}})
    assert expected in sentence
    assert bool(sentence) == bool(expected)
