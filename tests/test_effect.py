"""Settings without effect: the table that says which, the scenes' own record of what they are made
from, and the scenes.
"""

import numpy as np
import pytest
from PIL import Image

from syndet_ray import Choice, Float, Int, Mix, Photos, Recipe, Scenes, SearchSpace, Simplex
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.effect import deciders, no_effect
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import field_paths
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.definitions.space_check import check_effects, check_space, effects_of_numbers
from syndet_ray.errors import DefinitionError, SyndetError
from syndet_ray.scenes.generate import draw_scene, library_of, stock_of
from syndet_ray.scenes.made_from import facts, made_from
from syndet_ray.scenes.paste import draw_pasted
from syndet_ray.scenes.stock import write_stock
from syndet_ray.workers.effective import check_settings

SHARE, UNIT = Float(low=0.2, high=0.8), Float(low=0.0, high=1.0)
TWO = Mix(sources={"a": Scenes(), "b": Scenes(changes={"scene.objects": 5})})
OF_SCENES = [
    name
    for name in SceneParameters.model_fields
    if name not in ("generator", "arrangement", "assets", "match")  # match acts before scenes
]
# Those on which other settings of scenes decide; all depend on the arrangement.
FOR_ALL = {"scene.arrangement", "scene.generator"}
DEPENDENT = [
    name
    for name in OF_SCENES
    if any(other.startswith("scene.") for other in deciders(f"scene.{name}") - FOR_ALL)
]


def refusal_of(check, *arguments):
    """The message of an error that a check raises; "" if it passes."""
    try:
        check(*arguments)
    except DefinitionError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def floors(tmp_path_factory):
    """A folder with an image for floors."""
    folder = tmp_path_factory.mktemp("floors")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(folder / "floor.png")
    return str(folder)


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """A folder with two classes of cubes."""
    folder = tmp_path_factory.mktemp("things")
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    faces = ["1 3 4 2", "5 6 8 7", "1 2 6 5", "3 7 8 4", "1 5 7 3", "2 4 8 6"]
    lines = [*(f"v {x} {y} {z}" for x, y, z in corners), *(f"f {face}" for face in faces)]
    for name in ("big", "small"):
        (folder / name).mkdir()
        (folder / name / "cube.obj").write_text("\n".join(lines))
    return str(folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with two classes of cut-outs, and one with what surrounds them."""
    folder = tmp_path_factory.mktemp("pictures")
    colors = np.random.default_rng(0).integers(0, 255, (3, 24, 24, 4), np.uint8)
    colors[:, 1:-1, 1:-1, 3] = 255
    colors[:, [0, -1], :, 3] = colors[:, :, [0, -1], 3] = 0
    for name, pixels in zip(("found/leaf", "found/nut", "around"), colors, strict=True):
        (folder / name).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / name / "one.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two folders of photos to paste on, and another one of cut-outs."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, count in (("few", 3), ("many", 7)):
        images = list(rng.integers(0, 255, (count, 96, 80, 3), np.uint8))
        boxes = [Boxes.of([[10, 20, 50, 60], [40, 50, 78, 94]], [0, 1])] * count
        pool = Pool.of("train", ("leaf", "nut"), images, boxes, list(map(str, range(count))))
        write_stock(pool, folder / name, "photos", cuts=False)
    pixels = rng.integers(0, 255, (24, 24, 4), np.uint8)
    pixels[0] = 0
    (folder / "cut" / "leaf").mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "cut" / "leaf" / "other.png")
    folders = {name: str(next((folder / name).iterdir())) for name in ("few", "many")}
    return folders | {"cut": str(folder / "cut")}


# Scenes in which different settings have an effect. Few objects: they are composed fast.
SCENES = {
    "tray": {},
    "tray of distractors": {"distractors": 1, "hue": 0.5},
    "layers": {"arrangement": "layers", "occluders": 0.5, "hue": 0.5},
    "objects of one size": {"size_px": (40, 40)},
    "plain floor": {"floor_texture": 0.0},
    "cubes": {"assets": "things"},
    "cubes in layers": {"assets": "things", "arrangement": "layers"},
    "cut-outs": {"assets": "found"},
    "cut-outs among shapes": {"assets": "found", "distractors": 1, "hue": 0.5},
    "cut-outs among cut-outs": {
        "assets": "found",
        "distractors": 1,
        "surroundings": "around",
        "hue": 0.5,
    },
    "cut-outs before cut-outs": {
        "assets": "found",
        "surroundings": "around",
        "arrangement": "layers",
    },
    "one object before clutter": {"objects": 1, "arrangement": "layers"},
    "paste": {"arrangement": "paste", "photos": "few", "cutouts": "found"},
}
# Another value for every setting, but for those that decide who draws what.
OTHER = {
    "backgrounds": "floors",
    "surroundings": "things/big",
    "photos": "many",
    "cutouts": "cut",
    "scale_range": (1.0, 1.5),
    "poses": "curriculum",
    "distractors": 2,
    "objects": 5,
    "size_px": (20, 60),
    "background_scale": (2.0, 3.0),
    "image_px": 128,
    "lamps": 4,
    "color_cast": (0.9, 1.2),
    "camera_tilt_deg": 55.0,
    "least_tilt_deg": 12.0,
    "crop": 0.0,
    "overlap": 0.0,
    "box_square": True,
    "box_padding": 0.3,
    "box_padding_spread": 0.3,
    "box_jitter": 0.2,
}


@pytest.fixture
def scene_of(floors, things, pictures, photos):
    return lambda settings: _scene_of(settings, floors, things, pictures, photos)


def _scene_of(settings, floors, things, pictures, photos):
    """Parameters of few objects, with the names of folders in place."""
    folders = {"things": things, "things/big": f"{things}/big", "floors": floors, **photos}
    folders |= {"found": str(pictures / "found"), "around": str(pictures / "around")}
    given = {"objects": 4, "image_px": 96, "backgrounds": "floors"} | settings
    return SceneParameters(
        **{name: folders.get(v, v) if isinstance(v, str) else v for name, v in given.items()}
    )


def other_value(name, parameters):
    """Another value; of a strength, one that differs from the present one."""
    if name == "proportions":
        return tuple((label, 1.5, 1.0) for label in library_of(parameters).classes)
    return OTHER.get(name, 0.9 if getattr(parameters, name) != 0.9 else 0.1)


def drawn(parameters, count):
    if parameters.pastes:
        stock = stock_of(parameters)
        return [draw_pasted(parameters, stock, seed=3, index=index) for index in range(count)]
    return [draw_scene(parameters, seed=3, index=index, count=count) for index in range(count)]


@pytest.mark.parametrize("kind", SCENES)
def test_scenes_are_made_from_what_changes_them_and_from_nothing_else(kind, scene_of):
    """A setting that the table says has no effect changes no scene, nor is it read; any other
    changes one.
    """
    parameters = scene_of(SCENES[kind])
    recipe = Recipe(scene=parameters)
    before, record = drawn(parameters, 2), made_from(parameters)
    for name in OF_SCENES if kind in ("tray", "layers", "paste") else DEPENDENT:
        changes = {name: other_value(name, parameters)}
        if name == "backgrounds":
            changes[name] = ""
        if name == "poses" and parameters.arrangement != "layers":
            continue  # a curriculum of others is refused
        changed = scene_of(SCENES[kind] | changes)
        is_changed = drawn(changed, 2) != before
        assert is_changed == (no_effect(f"scene.{name}", recipe, facts) is None), name
        assert is_changed == (name in record), name
        assert name not in record or record[name] == parameters.model_dump(mode="json")[name]


def test_a_program_from_outside_is_handed_every_setting():
    parameters = SceneParameters(generator="command:draw")
    assert made_from(parameters) == parameters.model_dump(mode="json")
    assert not any(no_effect(f"scene.{name}", Recipe(scene=parameters)) for name in OF_SCENES)


@pytest.mark.parametrize(
    ("path", "changes", "where"),
    [
        ("mix.synthetic", {"mix.schedule": "real_only"}, "mix.schedule is real_only"),
        (
            "mix.synthetic",
            {"mix.schedule": "staged", "mix.switch_at": 0.3},
            "mix.schedule is staged and mix.switch_at is 0.3",
        ),
        ("mix.switch_at", {"mix.schedule": "synthetic_only"}, "mix.schedule is synthetic_only"),
        ("mix.anneal", {"mix.schedule": "staged"}, "mix.schedule is staged"),
        ("training.momentum", {}, "training.optimizer is adamw"),
        ("training.rate_after_switch", {"mix.schedule": "annealed"}, "mix.schedule is annealed"),
        (
            "detector.backbone_rate",
            {"detector.frozen_stages": "all"},
            "detector.frozen_stages is all",
        ),
        ("detector.anchor_px", {"detector.architecture": "fcos"}, "detector.architecture is fcos"),
        ("scene.occluders", {}, "scene.arrangement is tray"),
        ("scene.scale_range", {}, "scene.arrangement is tray"),
        ("scene.blur", {"scene.arrangement": "paste"}, "scene.arrangement is paste"),
        ("scene.gloss", {"scene.arrangement": "paste"}, "scene.arrangement is paste"),
        ("scene.blur", {"mix.schedule": "real_only"}, "mix.schedule is real_only"),
        ("scene.object_shape", {"scene.assets": "cubes"}, "scene.assets is cubes"),
    ],
)
def test_a_setting_without_effect_is_known_with_what_leaves_it_so(path, changes, where):
    reason = no_effect(path, Recipe().replace(changes))
    assert (reason.where, reason.by_number) == (where, False)
    named = {name for name in field_paths() if name in where}
    assert named == reason.because_of <= deciders(path)


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("scene.blur", {"mix.synthetic": 0.0}),
        ("mix.real_images", {"mix.synthetic": 1.0}),
        ("mix.synthetic", {"mix.real_images": 0}),
        ("mix.anneal", {"mix.schedule": "annealed", "mix.synthetic": 1.0}),
        ("scene.hue", {}),
        ("scene.objects", {"mix.sources": TWO.sources, "mix.parts": {"a": 0.0, "b": 1.0}}),
    ],
)
def test_what_a_number_leaves_without_effect_is_distinguished(path, changes):
    assert no_effect(path, Recipe().replace(changes)).by_number


def test_sources_that_set_it_themselves_leave_a_setting_of_scenes_without_effect():
    both = Mix(
        sources={"a": Scenes(changes={"scene.arrangement": "layers"}), "b": Scenes(images=3)}
    )
    recipe = Recipe(mix=both)
    assert no_effect("scene.occluders", recipe) is None, "one of the two is of layers"
    assert no_effect("scene.camera_tilt_deg", recipe) is None, "the other lies in a tray"
    assert (
        "takes it from the recipe"
        in no_effect("scene.blur", Recipe(mix=Mix(sources={"a": Photos(folder="x")}))).where
    )
    mix = Mix(sources={"a": Scenes(images=3), "b": Photos(folder="x")})
    assert not no_effect("mix.synthetic_images", Recipe(mix=mix)).by_number


STAGES = Choice(values=("mixed", "staged"))
WHEN_STAGED = {"mix.schedule": "staged"}


@pytest.mark.parametrize(
    ("space", "changes", "message"),
    [
        (
            {"training.momentum": SHARE},
            {},
            "training.momentum: .* where training.optimizer is adamw. Change that in the recipe",
        ),
        (
            {"scene.occluders": UNIT, "mix.synthetic": SHARE},
            {},
            "scene.occluders: .* where scene.arrangement is tray. Change that in the recipe, or leave scene.occluders out",
        ),
        (
            {
                "scene.occluders": UNIT,
                "mix.synthetic": SHARE,
                "scene.arrangement": Choice(values=("tray", "layers")),
            },
            {},
            "scene.occluders: .* Name in its `when` the values of scene.arrangement under which it acts",
        ),
        (
            {"scene.occluders": UNIT, "scene.arrangement": Choice(values=("tray", "layers"))},
            {"mix.sources": {"a": Scenes(changes={"scene.arrangement": "tray"})}},
            "scene.occluders: .* Change that in the recipe",
        ),
        (
            {"mix.synthetic": SHARE},
            {"mix.schedule": "synthetic_only"},
            "mix.synthetic: .* mix.schedule is synthetic_only",
        ),
        (
            {"mix.synthetic": SHARE, "mix.schedule": Choice(values=("mixed", "real_only"))},
            {},
            "schedule is real_only",
        ),
        (
            {
                "mix.synthetic": SHARE,
                "mix.schedule": STAGES,
                "mix.switch_at": Float(low=0.1, high=0.9, when=WHEN_STAGED),
            },
            {},
            "mix.synthetic: .* where mix.schedule is staged and mix.switch_at is 0.5",
        ),
        (
            {"mix.schedule": STAGES, "mix.switch_at": SHARE},
            {},
            "mix.switch_at: .* where mix.schedule is mixed",
        ),
        (
            {"mix.schedule": STAGES},
            {"mix.synthetic": 1.0},
            "mix.schedule: .* where mix.schedule is mixed and mix.syn",
        ),
        (
            {"mix.anneal": Choice(values=("linear", "cosine"))},
            {},
            "mix.anneal: .* where mix.schedule is mixed",
        ),
        (
            {"mix.shares": Simplex(sources=("real", "a"))},
            {"mix.schedule": "real_only"},
            "mix.shares: .* is real_only",
        ),
        (
            {"mix.shares": Simplex(sources=("a", "b"))},
            {"mix.synthetic": 0.0},
            "mix.shares: .* mix.synthetic is 0.0",
        ),
        (
            {"scene.objects": Int(low=1, high=9)},
            {"mix.synthetic": 0.0},
            "scene.objects: .* where a has no share",
        ),
        (
            {"scene.hue": UNIT, "scene.distractors": Choice(values=(0, 6))},
            {},
            "tray and scene.distractors is 0",
        ),
        (
            {"scene.hue": UNIT, "scene.arrangement": Choice(values=("tray", "layers"))},
            {},
            "scene.hue: .* where scene.arrangement is tray and scene.distractors is 0",
        ),
        (
            {
                "mix.switch_at": Float(low=0.1, high=0.9, when={"training.optimizer": "sgd"}),
                "mix.schedule": STAGES,
            }
            | {"training.optimizer": Choice(values=("sgd", "adamw"))},
            {},
            "mix.switch_at: .* where mix.schedule is mixed",
        ),
    ],
)
def test_a_space_whose_trials_would_vary_what_has_no_effect_is_refused(space, changes, message):
    recipe = Recipe(mix=TWO).replace(changes)
    with pytest.raises(DefinitionError, match=message):
        check_space(SearchSpace(space), recipe)


@pytest.mark.parametrize(
    ("space", "changes"),
    [
        ({"training.momentum": SHARE}, {"training.optimizer": "sgd"}),
        ({"mix.schedule": Choice(values=("mixed", "real_only"))}, {"mix.synthetic": 1.0}),
        (
            {
                "mix.synthetic": Float(low=0, high=1),
                "scene.blur": UNIT,
                "mix.real_images": Choice(values=(2, 4)),
            },
            {},
        ),
        ({"mix.synthetic": SHARE, "mix.schedule": STAGES}, {}),
        (
            {
                "mix.schedule": STAGES,
                "training.rate_after_switch": Float(low=0.1, high=1, when=WHEN_STAGED),
            },
            {},
        ),
        ({"scene.hue": UNIT, "scene.distractors": Int(low=0, high=6)}, {}),
        (
            {
                "scene.hue": Float(low=0, high=1, when={"scene.distractors": 6}),
                "scene.distractors": Choice(values=(0, 6)),
            },
            {},
        ),
        (
            {
                "mix.shares": Simplex(sources=("real", "a", "b")),
                "scene.blur": UNIT,
                "scene.objects": Int(low=1, high=9),
            },
            {},
        ),
        ({"detector.backbone_rate": SHARE}, {}),  # how many stages are frozen is settled later
    ],
)
def test_a_space_may_vary_what_only_numbers_leave_without_effect(space, changes):
    recipe = Recipe(mix=TWO).replace(changes)
    assert refusal_of(check_space, SearchSpace(space), recipe) == ""


@pytest.mark.parametrize(
    ("space", "changes", "message"),
    [
        (
            {"scene.hue": UNIT, "scene.background_scale": Choice(values=((0.5, 1.0), (1.0, 2.0)))}
            | {"scene.distractors": Int(low=0, high=4), "mix.synthetic": Float(low=0, high=1)},
            {},
            {
                "scene.arrangement is tray and scene.distractors is 0": [
                    "scene.hue",
                    "scene.background_scale",
                ]
            },
        ),
        ({"scene.hue": UNIT, "scene.distractors": Int(low=1, high=4)}, {}, {}),
        (
            {
                "mix.shares": Simplex(sources=("real", "a", "b")),
                "scene.objects": Int(low=1, high=9),
            },
            {},
            {},
        ),
        (
            {"scene.overlap": UNIT, "scene.objects": Int(low=1, high=9)},
            {"scene.arrangement": "layers", "mix.sources": {"a": Scenes()}},
            {
                "scene.arrangement is layers and scene.objects is 1 and scene.distractors is 0": [
                    "scene.overlap"
                ]
            },
        ),
    ],
)
def test_what_a_number_leaves_without_effect_in_a_space_is_reported(space, changes, message):
    assert effects_of_numbers(SearchSpace(space), Recipe(mix=TWO).replace(changes)) == message


def test_gloss_of_cut_outs_is_refused_once_their_folder_was_read(scene_of):
    """Surroundings that are solid mirror, where there are any: that a number decides."""
    space = SearchSpace({"scene.gloss": UNIT})

    def recipe_of(settings):
        return Recipe(mix=TWO, scene=scene_of(settings))

    bare = recipe_of(SCENES["cut-outs"])
    check_space(space, bare)
    with pytest.raises(
        DefinitionError,
        match=r"gloss: .* where scene.arrangement is tray and scene.assets holds no mesh and",
    ):
        check_effects(space, bare, facts)
    alone = recipe_of(SCENES["cut-outs among cut-outs"])
    with pytest.raises(
        DefinitionError, match=r"scene.assets holds no mesh and scene.surroundings holds no mesh"
    ):
        check_effects(space, alone, facts)
    check_effects(space, recipe_of(SCENES["cut-outs among shapes"]), facts)
    varied = SearchSpace({"scene.gloss": UNIT, "scene.distractors": Int(low=0, high=9)})
    check_effects(varied, bare, facts)
    assets = Choice(values=("dice", bare.scene.assets))
    with pytest.raises(
        DefinitionError, match=r"Name in its `when` the values of scene.assets under which it acts"
    ):
        check_effects(SearchSpace({"scene.gloss": UNIT, "scene.assets": assets}), bare, facts)
    when = Float(low=0, high=1, when={"scene.assets": "dice"})
    check_effects(SearchSpace({"scene.gloss": when, "scene.assets": assets}), bare, facts)


def test_a_trial_that_varies_the_gloss_of_cut_outs_fails_and_one_without_distractors_by_chance_does_not(
    scene_of,
):
    proposed = Recipe(mix=Mix(synthetic=1.0), scene=scene_of(SCENES["cut-outs among cut-outs"]))
    with pytest.raises(
        SyndetError, match=r"scene.gloss: is searched, and nothing in this training acts on it"
    ):
        check_settings(proposed, {}, searched=["scene.gloss"])
    check_settings(
        proposed.replace({"scene.surroundings": "shapes", "scene.distractors": 0}),
        {},
        searched=["scene.gloss"],
    )


def test_a_variant_that_changes_only_what_has_no_effect_is_refused(scene_of):
    """It would be compared with what is the same recipe."""
    variants = {"full": {}, "grey clutter": {"scene.hue": 0.4}}
    sweep = LoadedSweep(question="?", trials=0, controls=(), variants=variants)
    with pytest.raises(
        DefinitionError,
        match=r"variants: grey clutter: is the sweep's own recipe: nothing acts on scene.hue",
    ):
        sweep.check_variants()
    matt = {"full": {}, "matt": {"scene.gloss": 0.0}}
    of_cut_outs = LoadedSweep(
        question="?", trials=0, variants=matt, recipe=Recipe(scene=scene_of(SCENES["cut-outs"]))
    )
    of_cut_outs.check_variants()
    with pytest.raises(
        DefinitionError,
        match=r"variants: matt: .* where scene.arrangement is tray and scene.assets holds",
    ):
        of_cut_outs.check_variants(facts)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scene.hue": 0.0},
        {"scene.distractors": 4, "scene.hue": 0.5},
        {"mix.schedule": "real_only", "scene.blur": 0.1},
        {"scene.gloss": 0.0},
    ],
)
def test_a_variant_that_changes_something_or_nothing_at_all_passes(changes):
    variants = {"full": {}, "other": changes}
    sweep = LoadedSweep(question="?", trials=0, controls=(), variants=variants)
    assert refusal_of(sweep.check_variants, facts) == ""
