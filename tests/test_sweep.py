"""Definitions: what is accepted, what is refused, and in which words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from syndet_ray import Choice, Float, Int, Mix, Photos, Pruning, Recipe, Scenes, SearchSpace, Sweep
from syndet_ray.definitions import loader
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.recipe import Detector, field_paths
from syndet_ray.definitions.sweep import rung_images
from syndet_ray.definitions.value import definition_error
from syndet_ray.errors import DefinitionError, nearest


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty working folder with room for a user's own sweeps."""
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "search_spaces").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(home, body, name="mine", kind="sweeps"):
    path = home / kind / f"{name}.py"
    path.write_text("from syndet_ray import *\n\n" + body)
    return path


@pytest.mark.parametrize("name", sorted(loader.available()))
def test_every_sweep_that_comes_with_the_package_loads_and_survives_json(name):
    loaded = load(name)
    assert len(loaded.parameters) >= 1 or loaded.variants
    assert LoadedSweep.model_validate_json(loaded.model_dump_json()) == loaded


def test_a_loaded_sweep_is_a_type_with_one_merged_search_space():
    mine = SearchSpace({"mix.synthetic": Float(low=0, high=1)})
    loaded = load("mix")
    assert isinstance(loaded, LoadedSweep) and len(loaded.space) == 1
    assert LoadedSweep(question="?", space=mine).parameters == mine
    assert LoadedSweep(question="?", trials=0, variants={"a": {}}).parameters == SearchSpace({})
    assert type(loaded.replace({"seed": 3})) is LoadedSweep


@pytest.mark.parametrize(
    "space", [("mix",), (SearchSpace({}), SearchSpace({}))], ids=["name", "two"]
)
def test_a_sweep_that_is_not_loaded_has_no_search_space_yet(space):
    sweep = Sweep(question="?", space=space, trials=0, variants={"a": {}})
    assert not hasattr(sweep, "parameters"), "mypy refuses its use for the same reason"
    with pytest.raises(ValidationError, match="space"):
        LoadedSweep.model_validate(sweep.model_dump())


def test_a_file_of_a_run_has_the_same_json_as_before_there_was_a_type_of_its_own():
    sweep = Sweep(question="?", space=SearchSpace({"mix.synthetic": Float(low=0, high=1)}))
    loaded = LoadedSweep.model_validate_json(sweep.model_dump_json())
    assert loaded.model_dump_json() == sweep.model_dump_json()


def test_the_obstruction_sweep_asks_about_density_and_mix():
    parameters = dict(load("obstruction").parameters.items())
    assert parameters["scene.objects"] == Choice(values=(10, 40, 70, 100))
    assert "mix.synthetic" in parameters


def test_a_users_own_file_wins_over_the_packages(home):
    write(home, 'SWEEP = Sweep(question="mine?", space=("mix",), trials=3)', name="obstruction")
    assert load("obstruction").question == "mine?"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            'SWEEP = Sweep(question="?", space=("mix",), trails=3)',
            ["sweeps/mine.py:3", "trails", "Did you mean 'trials'"],
        ),
        (
            'SWEEP = Sweep(question="?", space=("mix",), recipe=Recipe(scene=SceneParameters(objcts=3)))',
            ["sweeps/mine.py:3", "objcts", "Did you mean 'objects'"],
        ),
        (
            'SWEEP = Sweep(question="?", space=("mix",), recipe={"scene": {"objcts": 3}})',
            ["sweeps/mine.py:3", "recipe.scene.objcts", "Did you mean 'objects'"],
        ),
        (
            'SWEEP = Sweep(question="?", space=("dnsity",))',
            ["sweeps/mine.py: space", "'dnsity'", "Did you mean 'density'"],
        ),
        (
            'SWEEP = Sweep(question="?", space=(SearchSpace({"mix.synthtic": Float(low=0, high=1)}),))',
            ["sweeps/mine.py:3", "recipe: mix.synthtic", "Did you mean 'mix.synthetic'"],
        ),
        (
            'SWEEP = Sweep(question="?", space=("mix",), pruning=Pruning(reduction_factor=1))',
            ["sweeps/mine.py:3: Pruning: reduction_factor", "greater than or equal to 2", "got 1"],
        ),
        (
            'SWEEP = Sweep(question="?", space=("mix",), trials=0)',
            ["a sweep needs trials of a space, or variants"],
        ),
        (
            'SWEEP = Sweep(question="?", trials=3)',
            ["trials must be 0 when there is no space", "got 3"],
        ),
        (
            'SWEEP = Sweep(question="?", trials=0, variants={"no blur": {"scene.blurr": 0}})',
            ["variants: no blur", "scene.blurr", "scene.blur"],
        ),
        (
            'SWEEP = Sweep(question="?", trials=0, variants={"best": {}})',
            ["'best' has another meaning"],
        ),
        (
            'SWEEP = Sweep(question="?", space=("mix",), rungs=9, recipe=Recipe(training=Training(images=8)))',
            ["rungs", "8", "9"],
        ),
        (
            'SWEEP = Sweep(question="?", space=("mix", SearchSpace({"mix.synthetic": Float(low=0, high=1)})))',
            ["mix.synthetic", "already varied by mix"],
        ),
        (
            'SWEEP = Sweep(question="?", space=SearchSpace({"training.learning_rate": Float(1e-4, 1e-2)}))',
            [
                "sweeps/mine.py:3: a value is given without its name. Write such as Float(low=1, high=4)."
            ],
        ),
        (
            'SWEEP = Sweep(question="?", space=SearchSpace({"training.learning_rate": Float(min=1e-4, max=1e-2)}))',
            ["sweeps/mine.py:3: Float: min: is not a field. Valid: high, log, low, step, when."],
        ),
        (
            'SWEEP = Sweep(question="?", space=SearchSpace({"scene.objects": Choice(values=(3,))}))',
            ["sweeps/mine.py:3: Choice: values: must have at least 2 items, got (3,)."],
        ),
        ("SWEEP = 3", ["sweeps/mine.py", "SWEEP = Sweep(...)", "'int'"]),
        (
            "SWEEP = Sweep(",
            ["sweeps/mine.py:3: is not valid Python (SyntaxError: '(' was never closed)."],
        ),
        (
            'SWEEP = Sweep(question="?" space=("mix",))',
            [
                "sweeps/mine.py:3: is not valid Python (SyntaxError: invalid syntax. Perhaps you forgot a comma?)"
            ],
        ),
        ("SWEEP = Sweeep()", ["sweeps/mine.py:3", "NameError", "Sweeep"]),
        (
            "import sys; sys.exit('set PHOTOS first')",
            ["sweeps/mine.py:3: cannot be read (SystemExit: set PHOTOS first)"],
        ),
        ("SPACE = 1", ["sweeps/mine.py: has no SWEEP", "Write SWEEP = Sweep(...)"]),
        ("SWEEP = 1", ["sweeps/mine.py: must hold one value SWEEP", "'int'"]),
    ],
)
def test_a_mistake_in_a_sweep_file_is_named(home, body, message):
    write(home, body)
    with pytest.raises(DefinitionError) as error:
        load("mine")
    for words in message:
        assert words in str(error.value)


@pytest.mark.parametrize(
    "body",
    [
        'SWEEP = Sweep(question="?", space=("mix",), trails=3)',
        'SWEEP = Sweep(question="?", space=("dnsity",))',
        'SWEEP = Sweep(question="?", space=("mix",), points={"mix.synthetic": 2.0})',
        "SWEEP = 3",
        "SWEEP = 1 / 0",
    ],
)
def test_an_error_shows_the_path_of_a_sweep_as_it_was_given(home, body):
    absolute = str(write(home, body).resolve())
    for path, place in (
        ("mine", "sweeps/mine.py:"),
        ("sweeps/mine.py", "sweeps/mine.py:"),
        ("./sweeps/../sweeps/mine.py", "sweeps/../sweeps/mine.py:"),
        (absolute, f"{absolute}:"),
    ):
        with pytest.raises(DefinitionError) as error:
            load(path)
        assert str(error.value).startswith(place)


@pytest.mark.parametrize(
    ("field", "alone"),
    [
        ("space", "SearchSpace({'mix.synthetic': Float(low=0, high=1)})"),
        ("space", "'mix'"),
        ("points", "{'mix.synthetic': 0.5}"),
        ("controls", "'real_only'"),
        ("objective", "'val/mAP'"),
    ],
)
def test_one_may_stand_without_the_comma_of_a_tuple(home, field, alone):
    others = (
        "" if field == "space" else "space=SearchSpace({'mix.synthetic': Float(low=0, high=1)}), "
    )
    write(home, f"SWEEP = Sweep(question='?', {others}{field}=({alone}))", name="alone")
    write(home, f"SWEEP = Sweep(question='?', {others}{field}=({alone},))", name="tuple")
    assert load("alone") == load("tuple")


def test_a_misspelt_sweep_and_a_missing_file_are_named(home):
    with pytest.raises(
        DefinitionError,
        match=r"sweeps/obstrction\.py: does not exist\. Did you mean 'obstruction'\?",
    ):
        load("obstrction")
    with pytest.raises(DefinitionError, match=r"\./nowhere\.py: is not a file"):
        load("./nowhere.py")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(low=1, high=1), "low must be less than high, got low=1.0, high=1.0"),
        (lambda: Float(low=2, high=1), "low must be less than high"),
        (lambda: Int(low=3, high=1), "low must be less than high, got low=3, high=1"),
        (lambda: Float(low=0, high=1, log=True), "a log range must start above 0"),
        (lambda: Float(low=0.1, high=1, log=True, step=0.1), "a log range takes no step"),
        (lambda: Choice(values=(1,)), "at least 2 items"),
        (
            lambda: SearchSpace({"scene.objects": Int(low=1, high=200)}),
            "less than or equal to 100, got 200",
        ),
        (
            lambda: SearchSpace({"detector.architecture": Choice(values=("faster_rcnn", "yolo"))}),
            "got 'yolo'",
        ),
    ],
)
def test_bounds_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_recipe_is_replaced_by_dotted_path():
    recipe = Recipe().replace({"mix.synthetic": 0.25, "scene.objects": 70})
    assert (recipe.mix.synthetic, recipe.scene.objects) == (0.25, 70)
    assert Recipe().mix.synthetic == 0.5, "the original is as it was"
    assert Recipe().replace(recipe.flat()) == recipe
    assert set(recipe.flat()) == set(field_paths())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mix.synthetic": 1.5}, "recipe: mix.synthetic: must be less than or equal to 1, got 1.5"),
        ({"scene.crop": 0.8}, "recipe: scene.crop: must be less than or equal to 0.75, got 0.8"),
        (
            {"mix.synthetics": 0.5},
            "recipe: mix.synthetics: is not a setting of a recipe. Did you mean 'mix.synthetic'?",
        ),
        ({"scene.size_px": (60.0, 50.0)}, "size_px must satisfy"),
        ({"training.learning_rate": float("nan")}, "training.learning_rate"),
    ],
)
def test_a_bad_setting_is_named(changes, message):
    with pytest.raises(DefinitionError) as error:
        Recipe().replace(changes)
    assert message in str(error.value)


@given(st.integers(1, 10_000), st.integers(1, 50))
def test_rungs_rise_to_the_last_image(total, rungs):
    images = rung_images(total, min(rungs, total))
    assert images[-1] == total
    assert all(a < b for a, b in zip((0, *images), images, strict=False))


def test_variants_are_recipes_of_their_own_each_repeated_under_its_own_name():
    sweep = Sweep(
        question="?",
        trials=0,
        controls=("real_only",),
        repeats=2,
        variants={"full": {}, "no blur": {"scene.blur": 0.0}},
    )
    assert list(sweep.fixed) == ["real_only", "full", "no blur", "full (2)", "no blur (2)"]
    assert sweep.fixed["no blur (2)"].scene.blur == 0
    assert sweep.fixed["full"] == sweep.recipe
    assert sweep.variant_kinds("no blur") == ("no blur", "no blur (2)")


SPACES_OF_SHARES = 'SearchSpace({"mix.synthetic": Float(low=0, high=1)})'
PARTS = {"sparse": 0.2, "web": 0.5, "crowded": 0.3}
SOURCES = {
    "sparse": Scenes(),
    "web": Photos(folder="web"),
    "crowded": Scenes(changes={"scene.objects": 70}),
}


@pytest.mark.parametrize(
    ("parts", "shares"),
    [
        ({}, {"sparse": 0.5, "crowded": 0.5}),
        (PARTS, {"sparse": 0.4, "crowded": 0.6}),
        ({"web": 1.0}, {"sparse": 0.5, "crowded": 0.5}),
    ],
)
def test_the_control_of_synthetic_images_alone_leaves_out_photos_of_others(parts, shares):
    recipe = Recipe(mix=Mix(sources=SOURCES, parts=parts))
    sweep = Sweep(question="?", recipe=recipe, trials=0, variants={"all": {}})
    assert sweep.fixed["synthetic_only"].mix.shares == pytest.approx({"real": 0, "web": 0} | shares)
    assert sweep.fixed["real_only"].mix.shares == {"real": 1, "sparse": 0, "web": 0, "crowded": 0}
    assert sweep.fixed["all"] == recipe


def test_a_control_of_synthetic_images_without_any_scenes_is_refused(home):
    recipe = 'Recipe(mix=Mix(sources={"web": Photos(folder="web")}))'
    body = f'SWEEP = Sweep(question="?", recipe={recipe}, variants={{"all": {{}}}}, trials=0, controls=CONTROLS)'
    path = write(home, body.replace(", controls=CONTROLS", ""))
    message = (
        r"synthetic_only needs synthetic images, .* are photos\. Write controls=\('real_only',\)"
    )
    with pytest.raises(DefinitionError, match=message):
        load(str(path))
    write(home, body.replace("CONTROLS", '("real_only",)'))
    assert list(load("mine").fixed) == ["real_only", "all"]


def test_an_earlier_run_with_a_control_of_photos_alone_can_be_read():
    recipe = Recipe(mix=Mix(sources={"web": Photos(folder="web")}))
    sweep = Sweep(question="?", recipe=recipe, trials=0, variants={"all": {}})
    again = Sweep.model_validate_json(sweep.model_dump_json())
    assert again.fixed["synthetic_only"].mix.shares == {"real": 0, "web": 1}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('trials=0, variants={"all": {}, "few": {"mix.synthetic": 0.02}}', "few"),
        (f'space={SPACES_OF_SHARES}, points={{"mix.synthetic": 0.02}}', r"points\[0\]"),
        (
            f'space={SPACES_OF_SHARES}, recipe=RECIPE.replace({{"mix.parts": {{"a": 0.99, "b": 0.01}}}})',
            "synthetic_only",
        ),
        (
            'recipe=RECIPE.replace({"mix.synthetic": 0.02}), space=SearchSpace({"scene.blur": Float(low=0, high=1)})',
            "recipe",
        ),
    ],
    ids=["variant", "point", "control", "all proposals"],
)
def test_a_share_of_less_than_one_image_is_refused_by_name(home, body, place):
    sources = 'mix=Mix(sources={"a": Scenes(), "b": Scenes(images=3)}, parts={"a": 1.0})'
    recipe = f"RECIPE = Recipe(training=Training(images=32), {sources})"
    default = "" if "recipe=" in body else "recipe=RECIPE, "
    path = write(home, f'{recipe}\nSWEEP = Sweep(question="?", {default}{body})')
    message = rf"mine\.py: {place}: mix: the share of .* must be none or at least one image of 32, got '0\.\d+ images'"
    with pytest.raises(DefinitionError, match=message):
        load(str(path))


def test_variants_whose_repeats_would_have_one_name_are_refused():
    with pytest.raises(ValueError, match=r"two of .* have one name"):
        Sweep(question="?", trials=0, repeats=2, variants={"a": {}, "a (2)": {}})


def test_files_that_a_sweep_names_are_absolute_once_it_is_loaded(home):
    (home / "models").mkdir()
    (home / "draw.py").write_text("")
    scene = 'scene=SceneParameters(assets="models", generator="command:python draw.py --fast")'
    space = 'SearchSpace({"scene.backgrounds": Choice(values=("", "photos"))})'
    variants = 'variants={"other": {"scene.surroundings": "things"}}'
    write(
        home, f'SWEEP = Sweep(question="?", recipe=Recipe({scene}), space=({space},), {variants})'
    )
    sweep = load("mine")
    assert sweep.recipe.scene.assets == str(home / "models")
    assert sweep.recipe.scene.generator == f"command:python {home / 'draw.py'} --fast"
    assert dict(sweep.parameters.items())["scene.backgrounds"].values == ("", str(home / "photos"))
    assert sweep.fixed["other"].scene.surroundings == str(home / "things")


def test_folders_of_sources_are_absolute_once_a_sweep_is_loaded(home):
    recipe = 'Recipe(mix=Mix(sources={"theirs": Photos(folder="theirs")}))'
    sources = '{"a": Photos(folder="others"), "b": Scenes(changes={"scene.assets": "models"})}'
    variants = f'{{"other": {{"mix.sources": {sources}}}}}'
    write(
        home,
        f'SWEEP = Sweep(question="?", trials=0, recipe={recipe}, controls=(), variants={variants})',
    )
    sweep = load("mine")
    assert sweep.recipe.mix.sources["theirs"].folder == str(home / "theirs")
    other = sweep.fixed["other"]
    assert other.mix.sources["a"].folder == str(home / "others")
    assert other.scenes()["b"][0].assets == str(home / "models")
    assert Sweep.model_validate_json(sweep.model_dump_json()).fixed == sweep.fixed


@pytest.mark.parametrize(
    ("pruning", "rungs", "first"),
    [
        ({}, 4, 2),
        ({"grace_rungs": 0}, 4, 1),
        ({"grace_rungs": 1}, 2, None),
        ({"patience": 1}, 4, 3),
        ({"name": "patient", "patience": 2}, 4, None),
        ({"name": "none"}, 4, None),
    ],
)
def test_where_trials_are_pruned_first_is_known_beforehand(pruning, rungs, first):
    sweep = Sweep(question="?", space=("mix",), rungs=rungs, pruning=Pruning(**pruning))
    assert sweep.first_pruned_rung == first


def test_several_goals_are_never_pruned():
    sweep = Sweep(question="?", space=("mix",), objective=("val/mAP", "real_images"))
    assert (sweep.first_pruned_rung, sweep.goals) == (None, ("maximize", "minimize"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": ("real_images",)}, "objective must begin with 'val/mAP'"),
        ({"objective": ("val/mAP", "val/mAP")}, "name each goal once"),
        ({"sampler": "nsga2"}, "sampler 'nsga2' is for several goals"),
        ({"points": ({"scene.objcts": 3},)}, "points[0]: recipe: scene.objcts: is not a setting"),
        ({"pruning": {"name": "patient"}}, "patience must be at least 1 for the patient pruner"),
        ({"recipe": Recipe(mix=Mix(real_images=0))}, "controls: real_only needs real images"),
    ],
)
def test_a_search_that_cannot_be_is_refused(fields, message):
    with pytest.raises(ValidationError) as caught:
        Sweep(question="?", space=("mix",), **fields)
    assert message in str(caught.value)


def test_trials_of_nothing_are_refused_however_they_are_asked_for():
    with pytest.raises(
        DefinitionError, match="trials must be 0 when there is no space to search, got 5"
    ):
        load("annotation_budget").replace({"trials": 5})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("flip", "Did you mean 'training.flip_horizontal' or 'training.flip_vertical'?"),
        ("blurr", "Did you mean 'scene.blur'?"),
        ("scene.objcts", "Did you mean 'scene.objects'?"),
        ("box_", "Valid: "),  # it begins four: too many to be a hint, and none is near
    ],
)
def test_a_hint_names_what_a_word_begins_or_is_like(name, hint):
    assert nearest(name, field_paths()).startswith(hint)


@pytest.mark.parametrize("frozen_stages", [1, "all"])
def test_random_weights_are_never_frozen(frozen_stages):
    recipe = Recipe().replace({"detector.weights": "none"})
    assert recipe.detector.frozen_stages == "auto"
    with pytest.raises(
        DefinitionError,
        match=f"frozen_stages must be 0 or auto with weights none, got {frozen_stages}",
    ):
        recipe.replace({"detector.frozen_stages": frozen_stages})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"working_px": "big"}, "f: working_px: must be a valid integer, .* or 'auto', got 'big'"),
        (
            {"working_px": 20},
            "f: working_px: must be greater than or equal to 64, or 'auto', got 20",
        ),
        (
            {"anchor_px": (0.5,)},
            "f: anchor_px.0: must be greater than or equal to 1, or 'auto', got 0.5",
        ),
        (
            {"frozen_stages": "al"},
            "f: frozen_stages: must be a valid integer, .* or 'auto' or 'all', got 'al'",
        ),
    ],
)
def test_an_error_about_a_kind_of_value_names_all_kinds_and_has_no_words_of_the_library(
    given, message
):
    with pytest.raises(ValidationError) as error:
        Detector(**given)
    assert re.match(message, str(definition_error("f", error.value)))


SPACES = {
    "share": 'SearchSpace({"mix.synthetic": Float(low=0.2, high=0.8, step=0.2)})',
    "objects": 'SearchSpace({"scene.objects": Int(low=10, high=50, step=20)})',
    "stages": 'SearchSpace({"mix.schedule": Choice(values=("mixed", "staged")), '
    '"training.final_rate": Float(low=0, high=1, when={"mix.schedule": "staged"})})',
    "shares": 'SearchSpace({"mix.shares": Simplex(sources=("real", "a"))})',
}
TWO_SOURCES = 'Recipe(mix=Mix(sources={"a": Scenes(), "b": Scenes(images=9)}))'


@pytest.mark.parametrize(
    ("space", "point", "message"),
    [
        (
            "share",
            {"mix.synthetic": 0.9},
            r"mix\.synthetic: must be from 0\.2 to 0\.8 in steps of 0\.2, got 0\.9",
        ),
        (
            "share",
            {"mix.synthetic": 0.5},
            r"mix\.synthetic: must be from 0\.2 to 0\.8 in steps of 0\.2, got 0\.5",
        ),
        (
            "objects",
            {"scene.objects": 40},
            r"scene\.objects: must be from 10 to 50 in steps of 20, got 40",
        ),
        (
            "objects",
            {"scene.objects": 30, "scene.blur": 0.9},
            r"scene\.blur: is not varied .* would be 0\.5, got 0\.9",
        ),
        (
            "objects",
            {"scene.objects": 30, "mix.synthetic": 0.9},
            r"mix\.synthetic: is not varied .* got 0\.9",
        ),
        (
            "stages",
            {"training.final_rate": 0.7},
            r"training\.final_rate: is not varied .* would be 0\.01, got 0\.7",
        ),
        (
            "stages",
            {"mix.schedule": "annealed"},
            r"mix\.schedule: must be one of 'mixed', 'staged', got 'annealed'",
        ),
        (
            "share",
            {"mix.synthetic": 0.6, "training.momentum": 0.5},
            r"training\.momentum: is not varied with .*, and nothing acts on it where training\.optimizer is adamw, got 0\.5\. "
            "Leave it out, or change what the setting depends on",
        ),
        (
            "shares",
            {"mix.parts": {"a": 0.5, "b": 0.5}},
            r"mix\.shares: must be divided among real, a alone, got .*'b': 0\.25}",
        ),
    ],
)
def test_a_point_outside_the_space_is_named_with_its_setting_and_value(home, space, point, message):
    points = [{"mix.parts": {"a": 1.0}} if space == "shares" else {}, point]
    recipe = (
        TWO_SOURCES
        if space == "shares"
        else "Recipe(mix=Mix(synthetic=0.4), scene=SceneParameters(objects=10))"
    )
    body = (
        f'SWEEP = Sweep(question="?", recipe={recipe}, space=({SPACES[space]},), points={points!r})'
    )
    path = write(home, body)
    advice = "" if "Leave it out" in message else r"\. Change the point, or widen the space"
    with pytest.raises(DefinitionError, match=rf"mine\.py: points\[1\]: {message}{advice}"):
        load(str(path))


@pytest.mark.parametrize(
    ("space", "point"),
    [
        ("share", {"mix.synthetic": 0.6000000000000001}),
        ("objects", {"scene.objects": 30, "scene.blur": 0.5, "training.momentum": 0.9}),
        ("stages", {"mix.schedule": "staged", "training.final_rate": 0.7}),
        ("shares", {"mix.synthetic": 0.01, "mix.parts": {"a": 1.0}}),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_point_is_proposed_as_it_stands(home, space, point):
    """A setting without effect may have the recipe's own value in it: adamw has no momentum."""
    recipe = TWO_SOURCES if space == "shares" else "Recipe(mix=Mix(synthetic=0.4))"
    write(
        home,
        f'SWEEP = Sweep(question="?", recipe={recipe}, space=({SPACES[space]},), points=({point!r},))',
    )
    sweep = load("mine")
    at = sweep.parameters.point(sweep.recipe.replace(point))
    proposed = sweep.recipe.replace(sweep.parameters.changes(at))
    asked = sweep.recipe.replace(point)
    assert proposed.mix.shares == pytest.approx(asked.mix.shares, abs=1e-12)
    assert {**proposed.flat(), "mix.synthetic": 0, "mix.parts": 0} == {
        **asked.flat(),
        "mix.synthetic": 0,
        "mix.parts": 0,
    }


def test_a_recipe_of_another_sweep_may_bring_what_nothing_acts_on(home):
    write(home, f'SWEEP = Sweep(question="?", space={SPACES["share"]})')
    point = {"mix.synthetic": 0.6, "training.momentum": 0.5}
    sweep = load("mine").replace({"points": (point,)})
    sweep.check_points()
    at = sweep.parameters.point(sweep.recipe.replace(point))
    proposed = sweep.recipe.replace(sweep.parameters.changes(at))
    assert proposed.mix.synthetic == 0.6
    assert proposed.training.momentum == sweep.recipe.training.momentum
    with pytest.raises(DefinitionError, match=r"points\[0\]: training.momentum"):
        sweep.check_points_act()  # as of a file, where it would be a mistake


def test_points_that_no_trial_is_left_for_are_refused(home):
    points = '({"mix.synthetic": 0.2}, {"mix.synthetic": 0.4})'
    write(
        home, f'SWEEP = Sweep(question="?", space=({SPACES["share"]},), trials=1, points={points})'
    )
    with pytest.raises(
        DefinitionError,
        match=r"points: must be at most as many .* proposed, 1, got 2\. Raise trials",
    ):
        load("mine")


def test_steps_are_as_exact_as_the_sampler_asks_at_every_scale():
    fine = Float(low=0, high=1e-6, step=1e-9)
    assert not fine.holds(5.05e-8)
    assert fine.holds(5e-8)
