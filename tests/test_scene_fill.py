"""Scenes like photos: what was not given is measured on training photos, when a sweep begins."""

import json
import math
import shutil
from contextlib import nullcontext

import pytest
import trimesh
from made_photos import write_photos
from PIL import Image

from syndet_ray import Around, Choice, Float, Int, Recipe, SceneParameters, Scenes, SearchSpace
from syndet_ray.data.read import read
from syndet_ray.data.splits.subset import nested_subset
from syndet_ray.definitions.given import scene_defaults
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.scene_parameters import MEASURABLE, MOST_SCENE_PX
from syndet_ray.definitions.space_check import check_space
from syndet_ray.errors import DefinitionError
from syndet_ray.inspection.measures import Measured
from syndet_ray.inspection.scene_match import measured_scene
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.made_from import facts
from syndet_ray.tuning import scene_fill
from syndet_ray.tuning.photo_check import real_data
from syndet_ray.tuning.photo_subset import photos_to_measure
from syndet_ray.tuning.scene_fill import fill_scenes
from syndet_ray.tuning.settle import largest_scene_px
from syndet_ray.workers.render import scene_parameters

MATCH = {"scene.match": "photos"}
SPACE = SearchSpace({"mix.synthetic": Float(low=0.2, high=0.8)})


class Notes:
    """A display that keeps its notes."""

    def __init__(self):
        self.texts = []
        self.note = self.texts.append

    def progress(self, what, done, total):
        pass

    def step(self, what):
        return nullcontext()


def quiet(*_):
    pass


@pytest.fixture
def photos(tmp_path):
    splits = {"train": range(12), "val": [20, 21, 22], "test": [30, 31, 32]}
    return write_photos(
        # boxes too flat to look for outlines in them, which takes seconds
        tmp_path / "photos",
        names=CLASSES,
        size=(96, 64),
        box=(20, 20, 20, 10),
        **splits,
    )


def sweep_of(changes=MATCH, space=SPACE, variants=None, **given):
    recipe = Recipe().replace(changes)
    fields = {"question": "?", "recipe": recipe, "space": (space,), "variants": variants or {}}
    return LoadedSweep(**{"trials": 2, **fields, **given})


def fill(photos, sweep, cache=None):
    display = Notes()
    cache = photos.parent / "cache" if cache is None else cache
    filled = fill_scenes(sweep, real_data(photos, sweep, quiet), cache, display)
    return filled, display.texts


@pytest.fixture
def measured(monkeypatch):
    """Stands in for the measures, which take a minute; keeps the scenes that were measured."""
    bases = []

    def measure(photos, base, longest_px, seed, progress, seen_px, classes):
        bases.append(base)
        values = {"objects": 7, "blur": 0.4, "noise": 0.2, "size_px": (20.0, 30.0)}
        values |= {"poses": "upright", "least_tilt_deg": 20.0, "camera_tilt_deg": 40.0}
        items = [Measured(path=f"scene.{k}", value=v, words="measured") for k, v in values.items()]
        return [item for item in items if item.name not in base.model_fields_set]

    monkeypatch.setattr(scene_fill, "measured_scene", measure)
    return bases


def test_only_training_photos_are_looked_at(photos):
    sweep = sweep_of()
    data = real_data(photos, sweep, quiet)
    for split in ("val", "test"):
        shutil.rmtree(photos / split)
    filled = fill_scenes(sweep, data, photos / "cache", Notes())
    scene = filled.sweep.recipe.scene
    assert (scene.aspect, scene.objects, scene.match) == (1.5, 1, "none")
    assert scene.jpeg == 0, "they are PNG files"
    names = [item.name for item in filled.measured["dice, tray"]]
    assert set(names) <= set(MEASURABLE)


def test_other_test_photos_change_nothing_and_other_training_photos_do(photos, tmp_path):
    others = {}
    for split, box in {"test": (1, 1, 60, 10), "train": (1, 1, 60, 10)}.items():
        folder = shutil.copytree(photos, tmp_path / split)
        file = folder / split / "_annotations.coco.json"
        content = json.loads(file.read_text(encoding="utf-8"))
        for annotation in content["annotations"]:
            annotation["bbox"] = box
        file.write_text(json.dumps(content), encoding="utf-8")
        others[split] = fill(folder, sweep_of(), tmp_path / f"{split} cache")[0].sweep.recipe
    recipe = fill(photos, sweep_of())[0].sweep.recipe
    assert others["test"] == recipe != others["train"]


def test_scenes_of_few_photos_are_measured_on_these_alone(photos):
    sweep = sweep_of({**MATCH, "mix.real_images": 3})
    data = real_data(photos, sweep, quiet)
    seen = nested_subset(data.pools["train"], 3, sweep.seed).image_ids.tolist()
    for record in data.train.records:
        if record.image_id not in seen:
            record.image.unlink()
    display = Notes()
    fill_scenes(sweep, data, photos / "cache", display)
    assert "measured on 3 of 12 training photos, those of mix.real_images" in display.texts[0]


def test_other_numbers_of_photos_are_measured_again(photos, measured):
    for number in (3, 4, "all", 12):
        fill(photos, sweep_of({**MATCH, "mix.real_images": number}))
    assert len(measured) == 3, "12 are all"


@pytest.mark.parametrize(
    ("recipe", "given", "words"),
    [
        ({}, {}, "12 training photos"),
        ({"mix.real_images": 0.5}, {}, "6 of 12 training photos, those of mix.real_images"),
        ({}, {"space": Int(low=4, high=9)}, "4 of 12 training photos, the fewest of mix.real_im"),
        ({}, {"space": Choice(values=("all", 0.25))}, "3 of 12 training photos, the fewest of"),
        ({"mix.real_images": 8}, {"space": Around(low=0.5, high=1)}, "4 of 12 training photos"),
        ({}, {"variants": {"few": {"mix.real_images": 2}, "all": {}}}, "2 of 12 training photos"),
        # has no such scenes, or renders nothing
        (
            {"scene.match": "none", "mix.real_images": 2},
            {"variants": {"like": {**MATCH, "mix.real_images": 7}}},
            "7 of 12 training photos, those of mix.real_images",
        ),
        ({}, {"variants": {"few": {"mix.schedule": "real_only", "mix.real_images": 2}}}, "12 tra"),
        ({}, {"space": Choice(values=(0, 5))}, "5 of 12 training photos"),
        # `resume` may add trials
        ({}, {"space": Choice(values=("all", 5)), "trials": 0, "variants": {"a": {}}}, "5 of 12"),
    ],
)
def test_no_scene_shows_what_its_trial_may_not_see(photos, recipe, given, words):
    number = given.pop("space", None)
    space = SPACE if number is None else SearchSpace({"mix.real_images": number})
    controls = ("synthetic_only",) if "variants" not in given else ()
    sweep = sweep_of({**MATCH, **recipe}, space=space, controls=controls, **given)
    subset = photos_to_measure(sweep, real_data(photos, sweep, quiet))
    assert subset.words.startswith(words)
    assert subset.words.startswith(str(len(subset.source)))


def test_recipes_without_photos_leave_no_choice(photos):
    blur = SearchSpace({"scene.blur": Float(low=0.0, high=1.0)})
    none = {**MATCH, "mix.real_images": 0}
    sweep = sweep_of(none, space=blur, controls=("synthetic_only",))
    subset = photos_to_measure(sweep, real_data(photos, sweep, quiet))
    assert subset.words == "12 training photos, as mix.real_images 0 leaves none"


def test_photos_of_things_without_assets_tell_no_size(tmp_path):
    names, box = ("tree", "cone"), (20, 20, 20, 10)
    photos = write_photos(tmp_path / "photos", names=names, size=(96, 64), box=box, train=[0])
    (tmp_path / "meshes" / "cone").mkdir(parents=True)
    trimesh.creation.cone(0.3, 1.0).export(tmp_path / "meshes" / "cone" / "cone.stl")
    train, base = read(photos).splits["train"], SceneParameters(assets=str(tmp_path / "meshes"))
    measured = measured_scene(train, base, 96, 0, quiet, seen_px=96)
    settings = {item.name for item in measured}
    assert "aspect" in settings and "size_px" not in settings


def test_objects_that_fill_their_photos_are_as_large_as_the_image(photos):
    narrow = {**MATCH, "scene.box_padding": -0.3}
    large = write_photos(
        photos.parent / "large", names=CLASSES, size=(96, 64), box=(2, 2, 92, 60),
        train=range(12), val=[20, 21, 22], test=[30, 31, 32],
    )  # fmt: skip
    filled, notes = fill(large, sweep_of(narrow))
    scene = filled.sweep.recipe.scene
    assert scene.size_px == (scene.image_px, scene.image_px)
    assert any(f"no more than the image, {scene.image_px} px" in note for note in notes)


def test_scenes_of_large_crops_are_no_larger_than_scenes_may_be(photos, monkeypatch):
    large = {**MATCH, "training.crop_px": 2048, "training.scale_jitter": 0.2}
    sweep = sweep_of(large)
    recipes = [sweep.recipe, sweep.recipe.replace({"training.crop_px": "auto"})]
    assert largest_scene_px(recipes, sweep, 768) == MOST_SCENE_PX
    assert largest_scene_px(recipes[1:], sweep, 768) == 960
    jitter = SearchSpace({"training.scale_jitter": Float(low=0.1, high=0.5)})
    assert largest_scene_px(recipes[1:], sweep_of(space=jitter), 768) == 1536
    around = SearchSpace({"training.crop_px": Around(low=0.1, high=2.0)})
    of_crop = sweep_of({**MATCH, "training.crop_px": 320}, around)
    assert largest_scene_px([of_crop.recipe], of_crop, 768) == math.ceil(640 / 0.9)

    def measure(photos, base, longest_px, seed, progress, seen_px, classes):
        return [Measured(path="scene.image_px", value=seen_px, words="measured")]

    monkeypatch.setattr(scene_fill, "measured_scene", measure)
    assert fill(photos, sweep)[0].sweep.recipe.scene.image_px == MOST_SCENE_PX


def test_what_was_given_stays_even_if_it_is_the_default(photos, measured):
    given = {**MATCH, "scene.blur": 0.5, "scene.camera_tilt_deg": 10.0}
    assert SceneParameters().blur == 0.5
    filled, notes = fill(photos, sweep_of(given))
    scene = filled.sweep.recipe.scene
    assert (scene.blur, scene.camera_tilt_deg, scene.noise, scene.objects) == (0.5, 10.0, 0.2, 7)
    assert scene.least_tilt_deg == 10.0, "no further than the other end"
    assert "scene.noise: 0.2 (measured)" in notes
    assert "scene.blur: 0.5 (given, so that no measure takes its place)" in notes
    assert "scene.contrast: 1.0 (as it was: these photos do not tell it)" in notes
    assert "blur" in measured[0].model_fields_set


def test_a_file_and_changes_in_any_order_keep_what_was_given(tmp_path, monkeypatch):
    text = """from syndet_ray import Recipe, SceneParameters, Sweep
SWEEP = Sweep(
    question="?", recipe=Recipe(scene=SceneParameters(match="photos", blur=0.5)), space="mix"
)
"""
    (tmp_path / "one.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    changed = load("./one.py").replace({"trials": 3})
    scene = changed.recipe.replace({"scene.noise": 0.5, "training.images": 9}).scene
    assert not scene.is_measured("blur") and not scene.is_measured("noise")
    assert scene.is_measured("jpeg") and not scene.is_measured("lamps")
    assert not SceneParameters().is_measured("jpeg")


def test_changes_of_variants_and_sources_win(photos, measured):
    sources = {"near": Scenes(changes={"scene.objects": 3}), "far": Scenes()}
    variants = {"as measured": {}, "sharp": {"scene.blur": 0.0}, "by hand": {"scene.match": "none"}}
    filled, _ = fill(photos, sweep_of({**MATCH, "mix.sources": sources}, variants=variants))
    sweep = filled.sweep
    assert len(measured) == 1, "recipes with the same objects share their measures"
    recipes = sweep.fixed
    assert recipes["as measured"] == sweep.recipe
    assert (recipes["sharp"].scene.blur, recipes["sharp"].scene.noise) == (0.0, 0.2)
    assert recipes["by hand"].scene.noise == SceneParameters().noise
    scenes = sweep.recipe.scenes()
    assert (scenes["near"][0].objects, scenes["near"][0].noise) == (3, 0.2)
    assert (scenes["far"][0].objects, scenes["far"][0].noise) == (7, 0.2)
    by_hand = recipes["by hand"].scenes()
    assert (by_hand["near"][0].objects, by_hand["near"][0].noise) == (3, 0.5)


def test_what_is_given_to_one_variant_is_measured_for_the_next(photos, measured):
    layers = {"scene.arrangement": "layers", "scene.surroundings": "shapes"}
    variants = {"sharp": {**layers, "scene.blur": 0.0}, "as measured": layers}
    recipes = fill(photos, sweep_of(MATCH, variants=variants))[0].sweep.fixed
    assert (recipes["sharp"].scene.blur, recipes["as measured"].scene.blur) == (0.0, 0.4)
    assert [base.arrangement for base in measured] == ["tray", "layers"]


def test_no_measure_of_a_source_takes_the_place_of_a_proposal(photos, measured):
    like = {"mix.sources": {"like": Scenes(changes=MATCH)}}
    blur = SearchSpace({"scene.blur": Float(low=0.0, high=1.0)})
    sweep = fill(photos, sweep_of(like, space=blur))[0].sweep
    proposed = sweep.recipe.replace({"scene.blur": 0.1})
    scene, _ = proposed.scenes()["like"]
    assert (scene.blur, scene.noise) == (0.1, 0.2)


def test_pasted_images_have_nothing_to_measure(photos, measured):
    variants = {"pasted": {"scene.arrangement": "paste"}}
    sweep = fill(photos, sweep_of(MATCH, variants=variants))[0].sweep
    assert len(measured) == 1, "the scenes of the recipe"
    scene = sweep.fixed["pasted"].scene
    assert (scene.match, scene.noise) == ("none", SceneParameters().noise)


def test_one_source_alone_may_be_like_the_photos(photos, measured):
    sources = {"like": Scenes(changes=MATCH), "plain": Scenes()}
    sweep = fill(photos, sweep_of({"mix.sources": sources}))[0].sweep
    scenes = sweep.recipe.scenes()
    assert (scenes["like"][0].noise, scenes["plain"][0].noise) == (0.2, 0.5)


def test_what_a_search_proposes_leaves_out_what_would_not_fit(photos, measured):
    tilt = {"scene.camera_tilt_deg": Float(low=0.0, high=50.0)}
    sweep = fill(photos, sweep_of(space=SearchSpace(tilt)))[0].sweep
    assert (sweep.recipe.scene.least_tilt_deg, sweep.recipe.scene.camera_tilt_deg) == (0.0, 25.0)
    arrangement = {"scene.arrangement": Choice(values=("tray", "layers"))}
    sweep, notes = fill(photos, sweep_of(space=SearchSpace(arrangement)))
    assert sweep.sweep.recipe.scene.poses == "auto"
    assert (
        "scene.poses: auto (as it was: what the search proposes leaves no room for a measure)"
        in notes
    )


def test_meshes_without_colours_are_told(photos, measured, tmp_path):
    folder = tmp_path / "meshes"
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        trimesh.creation.box((1, 1, 1)).export(folder / name / "box.stl")
    _, notes = fill(photos, sweep_of({**MATCH, "scene.assets": str(folder)}))
    assert notes[-1].startswith(
        f"no file gives a colour for {', '.join(sorted(CLASSES))}: rendered"
    )
    assert str(folder / "assets.json") in notes[-1]
    assert "gives a colour" not in str(fill(photos, sweep_of())[1])


def test_the_same_photos_in_other_files_are_measured_again(photos, measured):
    """What was lost when a photo was compressed is read from its file, and no pixel tells it."""
    for suffix in ("JPEG", "PNG"):  # the second time, the pixels are the same
        for file in (photos / "train").glob("*.png"):
            with Image.open(file) as image:
                image.load()
            image.save(file, suffix)
        fill(photos, sweep_of())
    assert len(measured) == 2


def test_a_sweep_that_is_filled_is_not_measured_again(photos, measured):
    filled, _ = fill(photos, sweep_of())
    saved = LoadedSweep.model_validate_json(filled.sweep.model_dump_json())
    again, notes = fill(photos, saved)
    assert again.sweep == saved and not again.measured and not notes
    assert len(measured) == 1
    assert json.dumps(filled.record())


def test_the_same_photos_and_scenes_are_measured_once(photos, measured):
    first, _ = fill(photos, sweep_of())
    second, notes = fill(photos, sweep_of())
    assert second == first and "scene.size_px: (20.0, 30.0) (measured)" in notes
    assert len(measured) == 1
    for file in (photos.parent / "cache" / "measured").iterdir():
        file.write_text("[{", encoding="utf-8")
    assert fill(photos, sweep_of())[0] == first
    assert len(measured) == 2, "a damaged file is made again"
    fill(photos, sweep_of({**MATCH, "scene.gloss": 0.1}))
    fill(photos, sweep_of(seed=1))
    assert len(measured) == 4


def test_ranges_lie_around_what_was_measured(photos, measured):
    space = {
        "scene.blur": Around(low=-0.3, high=0.8, by="offset"),
        "scene.objects": Around(low=0.5, high=2),
        "scene.size_px": Around(low=0.64, high=1.44),
    }
    asked = sweep_of(space=SearchSpace(space))
    filled, notes = fill(photos, asked)
    parameters = dict(filled.sweep.parameters.items())
    assert (parameters["scene.blur"].low, parameters["scene.blur"].high) == (0.1, 1.0)
    objects = parameters["scene.objects"]
    assert (objects.kind, objects.low, objects.high, objects.log) == ("int", 4, 14, True)
    sizes = ((12.8, 19.2), (16.0, 24.0), (20.0, 30.0), (24.0, 36.0), (28.8, 43.2))
    assert parameters["scene.size_px"].values == sizes
    assert (
        "scene.blur is searched from 0.1 to 1, around its value 0.4: "
        "0.1 to 1.2 is cut to what it may be"
    ) in notes
    assert asked.parameters.point(filled.sweep.recipe) is not None


def test_a_range_is_cut_to_the_numbers_that_a_setting_may_have_beside_auto(photos, measured):
    crops = SearchSpace({"training.crop_px": Around(low=0.5, high=40)})
    filled, notes = fill(photos, sweep_of({"training.crop_px": 96}, crops))
    assert filled.sweep.parameters.samples("training.crop_px") == (64, 2048)
    assert any("is cut to what it may be" in note for note in notes)


def test_ends_of_a_range_of_tilts_do_not_pass_each_other(photos, measured):
    wide = Around(low=-30, high=30, by="offset")
    both = SearchSpace(dict.fromkeys(("scene.least_tilt_deg", "scene.camera_tilt_deg"), wide))
    filled, _ = fill(photos, sweep_of(space=both))
    bounds = [(item.low, item.high) for _, item in filled.sweep.parameters.items()]
    assert bounds == [(0, 30), (30, 70)], "measured are 20 and 40"
    least = SearchSpace({"scene.least_tilt_deg": wide})
    filled, notes = fill(photos, sweep_of(space=least))
    [(_, parameter)] = filled.sweep.parameters.items()
    assert (parameter.low, parameter.high) == (0, 40)
    assert notes[-1].endswith("-10 to 50 is cut to what it may be")


def test_pairs_that_no_recipe_may_have_are_left_out(photos, measured):
    sizes = SearchSpace({"scene.size_px": Around(low=0.25, high=4)})
    filled, notes = fill(photos, sweep_of({**MATCH, "scene.image_px": 64}, space=sizes))
    [(_, parameter)] = filled.sweep.parameters.items()
    assert parameter.values == ((5.0, 7.5), (10.0, 15.0), (20.0, 30.0), (40.0, 60.0))
    assert notes[-1].endswith("(20.0, 30.0); a rule forbids 1 of 5 pairs")
    alone = sweep_of({"scene.size_px": (4, 64), "scene.image_px": 64}, space=sizes)
    with pytest.raises(DefinitionError, match=r"size_px: has no other pair around its value"):
        scene_fill.with_ranges(alone, quiet)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"scene.size_px": Around(low=-9, high=9, by="offset")}, r"size_px: is a pair, and can"),
        ({"scene.brightness": Around(low=0.5, high=2)}, r"brightness: may be measured below 0"),
        ({"scene.proportions": Around(low=0.5, high=2)}, r"proportions: .* a pair of numbers"),
        (
            {
                "scene.least_tilt_deg": Around(low=0.5, high=2),
                "scene.camera_tilt_deg": Float(low=0, high=80),
            },
            r"least_tilt_deg: .* not measured where scene\.camera_tilt_deg is searched\. Search b",
        ),
    ],
)
def test_what_cannot_be_searched_around_any_measure_is_refused_before(space, message):
    with pytest.raises(DefinitionError, match=message):
        check_space(SearchSpace(space), Recipe().replace(MATCH))


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"scene.match": "photos"}, r"points\[0\]: scene\.match: cannot be changed by a point"),
        ({"scene.blur": 0.5}, r"scene\.blur: is measured on the photos.*, got 0\.5\. Leave it out"),
        ({"scene.gloss": 0.5}, r"scene\.gloss: is not varied"),
    ],
)
def test_points_that_decide_what_is_measured_are_refused_before(point, message):
    with pytest.raises(DefinitionError, match=message):
        sweep_of(points=({"mix.synthetic": 0.5, **point},)).check()
    scene = {**MATCH, "scene.blur": 0.5}
    sweep_of(scene, points=({"mix.synthetic": 0.5, "scene.blur": 0.5},)).check()


@pytest.mark.parametrize(
    ("path", "around", "recipe", "message"),
    [
        ("scene.poses", {}, {}, r"must be a number or a pair of numbers, got 'auto'"),
        ("training.crop_px", {}, {}, r"must be a number or a pair of numbers, got 'auto'"),
        ("scene.box_square", {}, {}, r"must be a number or a pair of numbers, got False"),
        ("scene.brightness", {}, {}, r'must be above 0, got 0\.0\. Write by="offset"'),
        ("scene.size_px", {"low": -1, "high": 1, "by": "offset"}, {}, r"by factors alone"),
        ("scene.objects", {"low": 0.99, "high": 1.01}, {}, r"has no range around its value 40"),
        (
            "training.learning_rate",
            {"low": -1, "high": 1, "by": "offset"},
            {},
            r"training\.learning_rate: must be greater than 0, got -0\.999",
        ),
    ],
)
def test_values_without_a_range_around_them_are_refused_by_name(path, around, recipe, message):
    parameter = Around(**{"low": 0.5, "high": 2, **around})
    sweep = sweep_of(recipe, space=SearchSpace({path: parameter}))
    with pytest.raises(DefinitionError, match=message):
        scene_fill.with_ranges(sweep, quiet)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"low": 2, "high": 3}, r"must lie around 1, got low=2, high=3"),
        ({"low": -0.5, "high": 2}, r"factors must be above 0"),
        ({"low": 1, "high": 2, "by": "offset"}, r"must lie around 0"),
    ],
)
def test_a_range_encloses_the_value(fields, message):
    with pytest.raises(ValueError, match=message):
        Around(**fields)


def test_programs_renders_and_searches_have_nothing_to_match():
    with pytest.raises(DefinitionError, match=r"match must be none for a generator"):
        Recipe().replace({**MATCH, "scene.generator": "command:true"})
    with pytest.raises(DefinitionError, match=r"scene\.match: needs photos that are measured"):
        scene_parameters(["scene.match=photos"])
    assert scene_defaults({**MATCH, "scene.blur": 0.1}, {}, facts) == {"scene.blur": 0.1}
    with pytest.raises(ValueError, match=r"scene\.match: cannot be searched: photos are measured"):
        SearchSpace({"scene.match": Choice(values=("none", "photos"))})
