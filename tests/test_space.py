"""Parameters and spaces: simplex, conditions, grids, and where a recipe lies."""

import math
from collections import Counter
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syndet_ray import Choice, Float, Int, Mix, Recipe, Scenes, SearchSpace, Simplex
from syndet_ray.definitions.space_check import check_space
from syndet_ray.errors import DefinitionError

SOURCES = ("real", "sparse", "crowded", "other")
MIX = Mix(
    sources={
        "sparse": Scenes(changes={"scene.objects": 10}),
        "crowded": Scenes(changes={"scene.objects": 70}),
    }
)
STAGES = {
    "mix.switch_at": Float(low=0.1, high=0.9, when={"mix.schedule": "staged"}),
    "mix.schedule": Choice(values=("mixed", "staged")),
    "training.rate_after_switch": Float(
        low=0.1, high=1, log=True, when={"mix.schedule": ["staged"]}
    ),
}


def shares(draw):
    raw = np.array([draw(st.sampled_from([0, 0, 1, 2, 5, 0.3])) for _ in SOURCES], float)
    raw[draw(st.integers(0, 3))] += 1
    return dict(zip(SOURCES, (raw / raw.sum()).tolist(), strict=True))


@given(st.data())
def test_every_division_can_be_proposed_corners_and_faces_exactly(data):
    simplex, wanted = Simplex(sources=SOURCES), shares(data.draw)
    point = simplex.at(wanted)
    assert all(0 <= at <= 1 for at in point)
    returned = simplex.shares(point)
    assert returned == pytest.approx(wanted, abs=1e-9)
    if max(wanted.values()) == 1:
        assert returned == wanted, "a corner is reached exactly"


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_shares_are_a_division(point):
    shares = Simplex(sources=SOURCES).shares(point)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0


def drawn(simplex, count, seed=0):
    """(count, K) shares at even draws along the axes."""
    points = np.random.default_rng(seed).uniform(size=(count, len(simplex.sources) - 1))
    return np.array([list(simplex.shares(point).values()) for point in points])


@pytest.mark.parametrize("present", [(0, 1, 2, 3), (1, 3), (0, 1, 2)])
def test_even_draws_along_the_axes_are_even_draws_from_each_face(present):
    """Compared with exponentials divided by their sum, which are even (Devroye 1986)."""
    samples = drawn(Simplex(sources=SOURCES), 40_000)
    face = [source in present for source in range(4)]
    ours = samples[((samples > 0) == face).all(axis=1)][:, present]
    assert len(ours) > 800
    even = np.random.default_rng(1).exponential(size=(20_000, len(present)))
    even /= even.sum(axis=1, keepdims=True)
    # four standard errors of a mean of values from 0 to 1, or fewer
    spread = 4 / np.sqrt(len(ours))
    for moment in (1, 2, 3):
        assert (ours**moment).mean(axis=0) == pytest.approx(
            (even**moment).mean(axis=0), abs=0.3 * spread
        )
    for level in (0.1, 0.3, 0.6):
        assert (ours < level).mean(axis=0) == pytest.approx(
            (even < level).mean(axis=0), abs=0.5 * spread
        )
    assert np.corrcoef(ours.T) == pytest.approx(np.corrcoef(even.T), abs=spread)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_faces_of_one_size_are_equally_likely_whatever_the_order_of_the_sources(count):
    """Corners have the probability of a corner of the even simplex in which all others stay below
    the margin.
    """
    draws, sources = 20_000, SOURCES[:count]
    faces = Counter()
    for k, order in enumerate((sources, sources[::-1])):
        samples = drawn(Simplex(sources=order), draws, seed=k)
        faces.update(frozenset(np.compress(shares > 0, order).tolist()) for shares in samples)
    for size in range(1, count + 1):
        counts = [faces[frozenset(face)] for face in combinations(sources, size)]
        spread = 4 * np.sqrt(max(counts))
        assert counts == pytest.approx([np.mean(counts)] * len(counts), abs=spread), size
    margin = Simplex(sources=sources).margin
    expected = 2 * draws * math.factorial(count - 1) * margin ** (count - 1)
    corners = [faces[frozenset({source})] for source in sources]
    assert corners == pytest.approx([expected] * count, abs=4 * np.sqrt(expected))
    assert min(corners) > 50


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_same_division_stands_for_itself_in_every_order_of_the_sources(order):
    wanted = dict(zip(SOURCES, (0.5, 0.0, 0.5), strict=False))
    simplex = Simplex(sources=tuple(SOURCES[k] for k in order))
    assert simplex.shares(simplex.at(wanted)) == pytest.approx(wanted, abs=1e-12)
    assert simplex.shares(simplex.at(wanted))["sparse"] == 0


@pytest.mark.parametrize("count", [2, 7, 12])
def test_any_number_of_sources_can_be_divided(count):
    simplex = Simplex(sources=tuple(map(str, range(count))))
    for share in (0.0, 1e-6, 0.5, 1.0):
        rest = dict.fromkeys(simplex.sources[1:], (1 - share) / (count - 1))
        assert simplex.shares(simplex.at({"0": share} | rest)) == pytest.approx(
            {"0": share} | rest, abs=1e-12
        )


def test_a_simplex_sets_the_synthetic_share_and_its_parts():
    space = SearchSpace({"mix.shares": Simplex(sources=("real", "sparse", "crowded"))})
    recipe = Recipe(mix=MIX).replace(
        space.changes({"mix.shares/real": 0.5, "mix.shares/sparse": 0.5})
    )
    assert sum(recipe.mix.shares.values()) == pytest.approx(1)
    assert Recipe(mix=MIX).replace(space.changes(space.point(recipe))).mix.shares == pytest.approx(
        recipe.mix.shares
    )
    alone = Recipe(mix=MIX).replace(
        space.changes({"mix.shares/real": 1.0, "mix.shares/sparse": 0.3})
    )
    assert alone.mix.shares == {"real": 1.0, "sparse": 0.0, "crowded": 0.0}


def test_without_real_a_simplex_divides_the_synthetic_share():
    space = SearchSpace({"mix.shares": Simplex(sources=("sparse", "crowded"))})
    recipe = Recipe(mix=MIX).replace(
        {"mix.synthetic": 0.4} | space.changes({"mix.shares/sparse": 1.0})
    )
    assert recipe.mix.shares == pytest.approx({"real": 0.6, "sparse": 0.4, "crowded": 0.0})
    assert (
        Recipe(mix=MIX).replace({"mix.synthetic": 0.4} | space.changes(space.point(recipe)))
        == recipe
    )


def test_a_parameter_exists_only_where_its_condition_holds():
    space = SearchSpace(STAGES)
    check_space(space, Recipe())
    asked = []

    def choose(value):
        def one(name, axis):
            asked.append(name)
            return value if name == "mix.schedule" else 0.5

        return one

    assert space.suggest(choose("mixed")) == {"mix.schedule": "mixed"}
    assert space.suggest(choose("staged")).keys() == STAGES.keys()
    assert asked == ["mix.schedule", "mix.schedule", "mix.switch_at", "training.rate_after_switch"]
    assert space.point(Recipe()) == {"mix.schedule": "mixed"}
    staged = Recipe().replace({"mix.schedule": "staged", "mix.switch_at": 0.3})
    assert space.point(staged)["mix.switch_at"] == 0.3


def test_what_needs_another_setting_is_tried_with_it():
    poses = Choice(values=("any", "curriculum"), when={"scene.arrangement": "layers"})
    space = SearchSpace(
        {"scene.poses": poses, "scene.arrangement": Choice(values=("tray", "layers"))}
    )
    check_space(space, Recipe())
    assert len(space.grid()) == 3


def test_a_recipe_outside_the_space_has_no_point():
    space = SearchSpace(
        {"mix.synthetic": Float(low=0.2, high=0.8), "scene.objects": Choice(values=(10, 40))}
    )
    assert space.point(Recipe()) == {"mix.synthetic": 0.5, "scene.objects": 40}
    assert space.point(Recipe().replace({"mix.synthetic": 1.0})) is None
    assert space.point(Recipe().replace({"scene.objects": 41})) is None
    stepped = SearchSpace({"mix.synthetic": Float(low=0, high=1, step=0.25)})
    assert stepped.point(Recipe().replace({"mix.synthetic": 0.3})) is None
    assert stepped.point(Recipe().replace({"mix.synthetic": 0.75})) == {"mix.synthetic": 0.75}


def test_a_grid_has_every_point_once():
    space = SearchSpace(
        STAGES
        | {"mix.switch_at": Float(low=0.2, high=0.8, step=0.3, when={"mix.schedule": "staged"})}
        | {"training.rate_after_switch": Choice(values=(0.1, 1.0), when={"mix.schedule": "staged"})}
        | {"scene.objects": Int(low=10, high=30, step=10)}
    )
    grid = space.grid()
    assert len(grid) == 3 * (1 + 3 * 2) == len({repr(sorted(point.items())) for point in grid})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Simplex(sources=("real",)), "a simplex needs at least 2 sources, got ['real']"),
        (lambda: Simplex(sources=("real", "real")), "names each source once"),
        (lambda: Float(low=1, high=0), "low must be less than high, got low=1.0, high=0.0"),
        (lambda: Int(low=3, high=3), "low must be less than high, got low=3, high=3"),
        (lambda: Float(low=0, high=1, log=True), "a log range must start above 0, got low=0.0"),
        (
            lambda: SearchSpace({"mix.synthetic": Simplex(sources=("a", "b"))}),
            "shares of sources are varied as",
        ),
        (
            lambda: SearchSpace({"mix.shares": Float(low=0, high=1)}),
            "by a Simplex, and by nothing else",
        ),
        (
            lambda: SearchSpace(
                {"mix.switch_at": Float(low=0.1, high=0.9, when={"mix.shedule": "staged"})}
            ),
            "mix.switch_at: when: 'mix.shedule' is not a setting of a recipe. Did you mean 'mix.schedule'?",
        ),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"mix.shares": Simplex(sources=("real", "spars"))},
            "'spars' is no source of the recipe's mix. Did you mean",
        ),
        (
            {
                "mix.shares": Simplex(sources=("real", "sparse")),
                "mix.synthetic": Float(low=0, high=1),
            },
            "space: mix.synthetic is varied by mix.shares already. Leave one out.",
        ),
        ({"mix.switch_at": STAGES["mix.switch_at"]}, "mix.schedule is not varied by this sweep"),
        (
            STAGES | {"mix.schedule": Choice(values=("mixed", "annealed"))},
            "mix.switch_at: when: mix.schedule must be able to take the value, got 'staged'. Valid: annealed, mixed.",
        ),
        (
            STAGES | {"mix.switch_at": Float(low=0.1, high=0.9, when={"mix.schedule": "stagd"})},
            "mix.schedule must be able to take the value, got 'stagd'. Did you mean 'staged'?",
        ),
        (
            {
                "scene.hue": Float(low=0, high=1, when={"scene.distractors": 7}),
                "scene.distractors": Int(low=0, high=4),
            },
            "scene.hue: when: scene.distractors must be able to take the value, got 7. It is from 0 to 4 here.",
        ),
        (
            {"scene.blur": Float(low=0, high=1, when={"mix.shares": 0.5})}
            | {"mix.shares": Simplex(sources=("real", "sparse"))},
            "scene.blur: when: mix.shares cannot be a condition: it divides images, and has no values to name. Name",
        ),
        (
            {
                "scene.blur": Float(low=0, high=1, when={"scene.noise": 0.5}),
                "scene.noise": Float(low=0, high=1, when={"scene.blur": 0.5}),
            },
            "conditions of ['scene.blur', 'scene.noise'] wait for one another",
        ),
    ],
)
def test_a_space_that_does_not_fit_is_refused(space, message):
    with pytest.raises((DefinitionError, ValueError)) as caught:
        check_space(SearchSpace(space), Recipe(mix=MIX))
    assert message in str(caught.value)


@pytest.mark.parametrize("names", [("a", "a"), ("a", "b"), ("b", "a")])
def test_shares_and_what_they_mean_are_varied_by_one_parameter(names):
    shares = {"mix.shares": Simplex(sources=("real", "sparse"))}
    synthetic = {"mix.synthetic": Float(low=0, high=1)}
    spaces = dict.fromkeys(names, SearchSpace(shares | synthetic))
    if len(spaces) == 2:
        spaces = dict(zip(names, (SearchSpace(shares), SearchSpace(synthetic)), strict=True))
    with pytest.raises(
        DefinitionError,
        match=r"^space: mix\.synthetic is varied by mix\.shares already\. Leave one out\.$",
    ):
        SearchSpace.union(spaces)


def test_a_grid_of_what_has_no_end_is_refused():
    with pytest.raises(DefinitionError, match="must have finitely many values for a grid"):
        SearchSpace({"mix.synthetic": Float(low=0, high=1)}).grid()


def test_a_whole_number_among_the_choices_of_a_real_setting_is_reported_as_it_stands():
    space = SearchSpace({"mix.synthetic": Choice(values=(0, 0.5, 1))})
    assert repr(space.point(Recipe().replace({"mix.synthetic": 0.0}))) == "{'mix.synthetic': 0}"


@pytest.mark.parametrize("asked", ["imagnet", "resnet18"])
def test_weights_that_are_neither_a_name_nor_a_file_are_named_with_the_names_there_are(asked):
    rule = f"detector.weights: must be auto, imagenet, coco, none or the path of a .safetensors file, got '{asked}'"
    with pytest.raises(DefinitionError, match=rule) as error:
        Recipe().replace({"detector.weights": asked})
    assert asked != "imagnet" or str(error.value).endswith(" Did you mean 'imagenet'?")


def test_values_are_held_against_the_recipe_of_the_sweep():
    poses = SearchSpace({"scene.poses": Choice(values=("any", "curriculum"))})
    check_space(poses, Recipe().replace({"scene.arrangement": "layers"}))
    with pytest.raises(DefinitionError, match='poses "curriculum" needs arrangement "layers"'):
        check_space(poses, Recipe())
    sizes = SearchSpace({"scene.size_px": Choice(values=((20, 30), (100, 300)))})
    check_space(sizes, Recipe().replace({"scene.image_px": 640}))
    check_space(sizes, Recipe())  # as large as the training crops, of any size
    with pytest.raises(DefinitionError, match="size_px must be at most image_px, 256"):
        check_space(sizes, Recipe().replace({"scene.image_px": 256}))
    with pytest.raises(
        ValueError, match=r"mix\.synthetic: must be less than or equal to 1, got 1\.2"
    ):
        SearchSpace({"mix.synthetic": Float(low=0, high=1.2)})


def test_steps_lead_from_low_to_high():
    assert SearchSpace({"scene.blur": Float(low=0.1, high=0.7, step=0.1)}).grid()[-1] == {
        "scene.blur": 0.7
    }
    with pytest.raises(
        ValueError,
        match=r"whole steps must lead from low to high, got low=0\.0, high=1\.0, step=0\.3",
    ):
        Float(low=0, high=1, step=0.3)


def test_what_one_condition_asks_for_is_not_undone_by_another():
    sizes, blur = (
        Choice(values=(4, 8)),
        Choice(values=(0.1, 0.2), when={"training.batch_size": (4, 8)}),
    )
    both = Choice(
        values=((20.0, 30.0), (30.0, 40.0)),
        when={"training.batch_size": (8,), "scene.blur": (0.1,)},
    )
    space = SearchSpace({"training.batch_size": sizes, "scene.blur": blur, "scene.size_px": both})
    assert space.conditions_met("scene.size_px", Recipe()) == {
        "training.batch_size": 8,
        "scene.blur": 0.1,
    }


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_without_a_real_share_all_images_are_synthetic_to_the_last_digit(point):
    """12 digits of each share need not add up to 1: "no real images" was one of a million million."""
    shares = Simplex(sources=("real", "a", "b", "c")).shares(point)
    space = SearchSpace({"mix.shares": Simplex(sources=("real", "a", "b", "c"))})
    names = [f"mix.shares/{source}" for source in ("real", "a", "b")]
    changes = space.changes(dict(zip(names, point, strict=True)))
    assert (changes["mix.synthetic"] == 1.0) == (shares["real"] == 0)
    assert (changes["mix.synthetic"] == 0.0) == (shares["real"] == 1)


WEIGHTS = Choice(values=("none", "imagenet"))
FROZEN = (0, "all")


@pytest.mark.parametrize("order", [("scene.blur", "scene.noise"), ("scene.noise", "scene.blur")])
def test_conditions_of_conditions_are_met_together(order):
    """One exists with any weights, the other with ImageNet's alone, and random weights cannot be
    frozen.
    """
    weights = {"scene.blur": ("none", "imagenet"), "scene.noise": ("imagenet",)}
    varied = {
        path: Choice(values=(0.1, 0.2), when={"detector.weights": weights[path]}) for path in order
    }
    frozen = Choice(values=FROZEN, when=dict.fromkeys(order, (0.1,)))
    space = SearchSpace({"detector.weights": WEIGHTS, **varied, "detector.frozen_stages": frozen})
    recipe = Recipe().replace({"detector.weights": "none", "detector.frozen_stages": 0})
    met = {"detector.weights": "imagenet", "scene.blur": 0.1, "scene.noise": 0.1}
    assert space.conditions_met("detector.frozen_stages", recipe) == met
    check_space(space, recipe)


def test_a_condition_that_the_recipe_meets_counts_only_where_its_own_are_met():
    backbone = Choice(values=("resnet18", "resnet34"), when={"detector.weights": ("imagenet",)})
    frozen = Choice(values=FROZEN, when={"detector.backbone": ("resnet18",)})
    varied = {
        "detector.weights": WEIGHTS,
        "detector.backbone": backbone,
        "detector.frozen_stages": frozen,
    }
    changes = {
        "detector.weights": "none",
        "detector.backbone": "resnet18",
        "detector.frozen_stages": 0,
    }
    met = SearchSpace(varied).conditions_met("detector.frozen_stages", Recipe().replace(changes))
    assert met == {"detector.weights": "imagenet", "detector.backbone": "resnet18"}


def test_conditions_that_the_recipe_meets_leave_it_as_it_is():
    frozen = Choice(values=FROZEN, when={"detector.weights": ("none", "imagenet")})
    space = SearchSpace({"detector.weights": WEIGHTS, "detector.frozen_stages": frozen})
    recipe = Recipe().replace({"detector.weights": "imagenet", "detector.frozen_stages": "auto"})
    assert space.conditions_met("detector.frozen_stages", recipe) == {
        "detector.weights": "imagenet"
    }
    check_space(space, recipe)


def test_conditions_that_are_never_met_together_are_refused():
    blur = Choice(values=(0.1, 0.2), when={"training.batch_size": (4,)})
    noise = Choice(values=(0.1, 0.2), when={"training.batch_size": (8,), "scene.blur": (0.1,)})
    space = SearchSpace(
        {"training.batch_size": Choice(values=(4, 8)), "scene.blur": blur, "scene.noise": noise}
    )
    with pytest.raises(
        DefinitionError,
        match=r"scene\.noise: when: its conditions are never met together\. Drop one",
    ):
        check_space(space, Recipe())
