"""A trial without Ray: rungs, resumption, and the check that the effective settings are those
proposed.
"""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from made_detections import TINY

from syndet_ray import Mix, Photos, Recipe, Scenes, Training
from syndet_ray.data.splits.subset import nested_subset
from syndet_ray.definitions.effect import no_effect
from syndet_ray.definitions.recipe import field_paths
from syndet_ray.detection.augment import Augmenter
from syndet_ray.errors import DataError, NonFiniteLoss, SyndetError
from syndet_ray.metrics import CPU_CORES, RSS, RSS_PEAK, SCENES_WAIT
from syndet_ray.runs.results import Trial
from syndet_ray.search.task import RunSettings, Task
from syndet_ray.workers import trial as trials
from syndet_ray.workers.effective import check_effective, effective_scenes, parameters_hash
from syndet_ray.workers.trial import run_trial, training_data

RECIPE = Recipe(
    mix=Mix(synthetic=0.0),
    detector=TINY,
    training=Training(images=12, batch_size=4, crop_px=96),
)


# Six sources in all: two sets of scenes with the same parameters, one that follows the mix in how
# many there are, one without a share, and other people's photos, whose classes stand in another
# order.
MANY = RECIPE.replace(
    {
        "mix.sources": {
            "ours": Scenes(images=5),
            "again": Scenes(images=5),
            "crowded": Scenes(changes={"scene.objects": 70}),
            "idle": Scenes(changes={"scene.objects": 10}),
            "theirs": Photos(folder="their/photos"),
        },
        "mix.parts": {"ours": 0.25, "again": 0.25, "crowded": 0.25, "theirs": 0.25},
        "mix.synthetic": 0.6,
        "mix.synthetic_images": 7,
        "mix.real_images": 3,
    }
)


def task(tmp_path, recipe, searched=()):
    cache = str(tmp_path / "cache")
    trial = Trial(number=0, role="search", params=dict.fromkeys(searched), recipe=recipe)
    return Task(trial=trial, run=RunSettings(rungs=3, seed=1, cache=cache), threads=1)


def reordered(pool):
    """The same pictures and objects, with the classes listed the other way round."""
    return replace(pool, classes=pool.classes[::-1], labels=1 - pool.labels)


@pytest.fixture
def rendered(squares):
    return generator_of(squares)


def generator_of(squares):
    """Takes the place of the generator; `asked` holds what it was asked for."""

    def scenes(parameters, count, seed, cache):
        scenes.asked.append((parameters.objects, count, seed))
        return squares(count, seed=parameters.objects, name="synthetic")

    scenes.asked = []
    return scenes


def run(squares, tmp_path, restore=None, recipe=RECIPE, searched=(), val=None, **given):
    """Runs a trial; returns its reports and keeps its checkpoints under tmp_path."""
    reports = []

    def report(images, metrics, effective, folder):
        shutil.copytree(folder, tmp_path / str(images))
        reports.append((images, metrics, effective))

    made, val, device = (
        task(tmp_path, recipe, searched),
        val or squares(3, seed=7),
        torch.device("cpu"),
    )
    run_trial(made, squares(8), val, device=device, restore=restore, report=report, **given)
    return reports


def test_a_trial_reports_at_every_rung_and_goes_on_from_any(squares, tmp_path):
    whole = run(squares, tmp_path)
    assert [images for images, _, _ in whole] == [4, 8, 12]
    assert {"val/mAP", "val/AP50", "val/AP/big", "train/loss", "images_per_second"} <= whole[0][
        1
    ].keys()
    assert {CPU_CORES, RSS, RSS_PEAK} <= whole[0][1].keys() and whole[0][2][SCENES_WAIT] >= 0
    kinds = [{name for name in metrics if name.startswith("val/error/")} for _, metrics, _ in whole]
    assert [len(found) for found in kinds] == [0, 0, 6], (
        "what each kind of error costs is told once, at the end"
    )
    (tmp_path / "again").mkdir()
    rest = run(squares, tmp_path / "again", restore=tmp_path / "4")
    assert [images for images, _, _ in rest] == [8, 12]
    for (_, expected, _), (_, found, _) in zip(whole[1:], rest, strict=True):
        for name in ("val/mAP", "train/loss", "train/learning_rate"):
            assert found[name] == expected[name], name


def test_a_source_without_a_share_is_not_rendered(squares, tmp_path, monkeypatch):
    monkeypatch.setattr(
        trials, "generate", lambda *_: pytest.fail("rendered scenes that nobody sees")
    )
    assert run(squares, tmp_path)


def test_training_that_diverges_says_so(squares, tmp_path, monkeypatch):
    build = trials.Trainer.__init__

    def poisoned(self, *args, **kwargs):
        build(self, *args, **kwargs)
        with torch.no_grad():
            next(self.model.parameters()).fill_(float("inf"))

    monkeypatch.setattr(trials.Trainer, "__init__", poisoned)
    with pytest.raises(NonFiniteLoss, match="the loss must be finite"):
        run(squares, tmp_path)


def test_every_source_with_a_share_is_rendered_or_taken_from_others(squares, tmp_path, rendered):
    others = {"their/photos": reordered(squares(4, seed=9))}
    data = training_data(task(tmp_path, MANY), squares(8), others, rendered)
    assert list(data.pools) == ["real", "ours", "again", "crowded", "theirs"]
    assert {name: len(pool) for name, pool in data.pools.items()} == {
        "real": 3,
        "ours": 5,
        "again": 5,
        "crowded": 7,
        "theirs": 4,
    }
    assert rendered.asked == [(40, 5, 1), (40, 5, 1), (70, 7, 1)]
    assert data.scenes["ours"] == data.scenes["again"] != data.scenes["crowded"]
    assert data.pools["theirs"].hash == squares(4, seed=9).hash, (
        "classes are put in the order of the photos"
    )
    assert data.pools["real"].hash == nested_subset(squares(8), 3, seed=1).hash


@pytest.mark.parametrize(
    "changes", [{"mix.real_images": 0}, {"mix.synthetic": 1.0}, {"mix.schedule": "synthetic_only"}]
)
def test_real_images_without_a_share_are_not_taken(squares, tmp_path, rendered, changes):
    recipe = RECIPE.replace(changes)
    data = training_data(task(tmp_path, recipe), squares(8), {}, rendered)
    assert list(data.pools) == ["synthetic"]


def test_sources_that_do_not_fit_the_photos_are_named(squares, tmp_path, rendered):
    recipe = RECIPE.replace(
        {"mix.synthetic": 1.0, "mix.sources": {"theirs": Photos(folder="their/photos")}}
    )
    strange = replace(squares(4), classes=("small", "huge"))
    with pytest.raises(
        DataError,
        match=r"their/photos: .*big only in the real data; huge only in the synthetic data",
    ):
        training_data(task(tmp_path, recipe), squares(8), {"their/photos": strange}, rendered)
    recipe = RECIPE.replace({"mix.real_images": 9})
    with pytest.raises(
        DataError, match="must be at most the number of real training images, 8, got 9"
    ):
        training_data(task(tmp_path, recipe), squares(8), {}, rendered)


@pytest.mark.parametrize(("asked", "count"), [(3, 3), (0.5, 4), (0.01, 1), ("all", 8)])
def test_as_many_real_images_are_used_as_were_asked_for_and_fewer_are_a_part_of_more(
    squares, tmp_path, rendered, asked, count
):
    recipe = RECIPE.replace({"mix.real_images": asked})
    real = training_data(task(tmp_path, recipe), squares(8), {}, rendered).pools["real"]
    assert len(real) == count
    assert set(real.image_ids) <= set(squares(8).image_ids)


@pytest.mark.parametrize("schedule", ["mixed", "staged", "annealed"])
def test_a_trial_of_many_sources_tells_what_it_did_with_each(squares, tmp_path, rendered, schedule):
    recipe = MANY.replace({"mix.schedule": schedule, "training.rate_after_switch": 0.1})
    reports = run(
        squares,
        tmp_path,
        recipe=recipe,
        scenes=rendered,
        others={"their/photos": squares(4, seed=9)},
    )
    (_, metrics, effective) = reports[-1]
    assert json.loads(json.dumps(effective)) == effective
    assert effective["planned"] == {
        "real": 4.8,
        "ours": 1.8,
        "again": 1.8,
        "crowded": 1.8,
        "theirs": 1.8,
    }
    assert all(
        abs(effective["drawn"][name] - planned) < 1
        for name, planned in effective["planned"].items()
    )
    assert (effective["real_images"], effective["real_images_there"]) == (3, 8)
    assert effective["scenes"]["ours"] == parameters_hash(recipe.scene)
    assert f"torch {torch.__version__.partition('+')[0]}" in effective["machine"]["versions"]
    assert effective["scenes"].keys() == {"ours", "again", "crowded"}
    assert effective["mix.synthetic"] == pytest.approx(0.6)
    assert metrics["realised/synthetic"] == pytest.approx(1 - effective["drawn"]["real"] / 12)


@pytest.mark.parametrize(
    ("path", "value"),
    [("training.learning_rate", 0.5), ("training.batch_size", 3), ("mix.synthetic", 0.1)],
)
def test_a_setting_that_is_not_effective_fails_the_trial(
    squares, tmp_path, monkeypatch, path, value
):
    effective = trials.Trainer.effective.fget
    monkeypatch.setattr(
        trials.Trainer, "effective", property(lambda self: effective(self) | {path: value})
    )
    with pytest.raises(
        SyndetError,
        match=rf"trial: {path}: was proposed as .*, but the effective value differs, got {value}",
    ):
        run(squares, tmp_path)


def never(*_):
    pytest.fail("reported a training that is not what was proposed")


def test_an_object_that_acts_otherwise_than_the_recipe_says_fails_the_trial(
    squares, tmp_path, monkeypatch
):
    asked = Augmenter.of
    monkeypatch.setattr(
        Augmenter, "of", lambda training: replace(asked(training), flip_horizontal=0.0)
    )
    made, device = task(tmp_path, RECIPE), torch.device("cpu")
    with pytest.raises(
        SyndetError, match=r"trial: training\.flip_horizontal: was proposed as 0\.5, .*, got 0\.0"
    ):
        run_trial(made, squares(8), squares(3), device=device, restore=None, report=never)


@pytest.mark.parametrize("where", ["validation", "training", "other photos"])
def test_photos_at_another_scale_fail_the_trial(squares, tmp_path, rendered, where):
    sides = {
        place: 64 if place == where else 96 for place in ("validation", "training", "other photos")
    }
    pools = {place: squares(8, seed=9, side=side) for place, side in sides.items()}
    made, device, others = (
        task(tmp_path, MANY),
        torch.device("cpu"),
        {"their/photos": pools["other photos"]},
    )
    rule = r"trial: detector\.working_px: was proposed as 96, but the effective value differs, got \[64, 96\]"
    with pytest.raises(SyndetError, match=rule):
        run_trial(
            made, pools["training"], pools["validation"], others=others, scenes=rendered,
            device=device, restore=None, report=never,
        )  # fmt: skip


def test_a_searched_setting_that_nothing_acts_on_fails_the_trial_before_it_trains(
    squares, tmp_path, monkeypatch
):
    monkeypatch.setattr(trials.Trainer, "train_until", never)
    with pytest.raises(SyndetError) as raised:
        run(squares, tmp_path, searched=["training.learning_rate", "training.momentum"])
    assert str(raised.value) == (
        "trial: training.momentum: is searched, and nothing in this training acts on it, got 0.9. "
        "Take it out of the space, or name in its `when` the values of other settings under which it acts."
    )


@pytest.mark.parametrize("searched", ["scene.occluders", "scene.object_shape"])
def test_a_searched_setting_that_no_scene_is_made_from_fails_the_trial(
    squares, tmp_path, rendered, monkeypatch, searched
):
    """As the table of settings has it, and where the table does not know it."""
    monkeypatch.setattr(trials.Trainer, "train_until", never)
    monkeypatch.setattr(
        "syndet_ray.workers.effective.made_from", lambda parameters: {"objects": parameters.objects}
    )
    recipe = RECIPE.replace({"mix.synthetic": 0.5, "mix.synthetic_images": 4})
    with pytest.raises(
        SyndetError,
        match=rf"trial: {searched}: is searched, and nothing in this training acts on it",
    ):
        run(squares, tmp_path, recipe=recipe, scenes=rendered, searched=["scene.objects", searched])


def test_a_share_that_the_schedule_settles_is_not_searched(squares, tmp_path):
    recipe = RECIPE.replace({"mix.schedule": "real_only"})
    with pytest.raises(
        SyndetError,
        match=r"trial: mix\.synthetic: is searched, and nothing in this training acts on it",
    ):
        run(squares, tmp_path, recipe=recipe, searched=["mix.synthetic"])


@pytest.mark.parametrize(
    ("share", "searched"),
    [
        (0.0, ["scene.objects", "mix.synthetic_images", "mix.parts"]),
        (1.0, ["mix.real_images", "mix.switch_at", "training.rate_after_switch"]),
    ],
)
def test_settings_of_what_a_search_gives_no_share_are_not_missed(
    squares, tmp_path, rendered, share, searched
):
    recipe = RECIPE.replace(
        {"mix.synthetic": share, "mix.synthetic_images": 4, "mix.schedule": "staged"}
    )
    reports = run(
        squares, tmp_path, recipe=recipe, scenes=rendered, searched=["mix.synthetic", *searched]
    )
    assert len(reports) == 3


def test_a_setting_of_scenes_that_every_source_changes_is_refused_where_it_is_searched(
    squares, tmp_path, rendered
):
    sources = {
        "sparse": Scenes(changes={"scene.objects": 10}),
        "crowded": Scenes(changes={"scene.objects": 70}),
    }
    recipe = RECIPE.replace(
        {"mix.synthetic": 0.5, "mix.sources": sources, "mix.synthetic_images": 4}
    )
    run(squares, tmp_path, recipe=recipe, scenes=rendered, searched=["scene.blur"])
    with pytest.raises(
        SyndetError,
        match=r"trial: scene\.objects: is searched, and nothing in this training acts on",
    ):
        run(squares, tmp_path, recipe=recipe, scenes=rendered, searched=["scene.objects"])


@pytest.mark.parametrize("searched", ["scene.objects", "mix.synthetic_images"])
def test_a_setting_of_scenes_is_not_missed_where_those_that_follow_it_have_no_share(
    squares, tmp_path, rendered, searched
):
    sources = {"plain": Scenes(), "crowded": Scenes(changes={"scene.objects": 70}, images=4)}
    shares = {"mix.synthetic": 0.5, "mix.parts": {"plain": 0.0, "crowded": 1.0}}
    recipe = RECIPE.replace({"mix.sources": sources, **shares})
    assert (
        len(
            run(squares, tmp_path, recipe=recipe, scenes=rendered, searched=["mix.parts", searched])
        )
        == 3
    )


def test_settings_of_scenes_are_those_that_they_are_made_from():
    sources = {"crowded": Scenes(changes={"scene.objects": 70}), "plain": Scenes()}
    recipe = RECIPE.replace(
        {"mix.synthetic": 0.5, "mix.sources": sources, "scene.size_px": (30, 40)}
    )
    given = {name: parameters for name, (parameters, _) in recipe.scenes().items()}
    found = effective_scenes(recipe.mix, given)
    assert found["scene.objects"] == recipe.scene.objects, "of the source that does not change it"
    assert found["scene.size_px"] == [30, 40]
    of_scenes = {path for path in field_paths() if path.startswith("scene.")}
    of_scenes.remove("scene.match")  # measured before any trial
    assert of_scenes - found.keys() == {
        path for path in of_scenes if no_effect(path, recipe) is not None
    }
    assert not {"scene.occluders", "scene.hue"} & found.keys(), (
        "of layers, and of distractors, which these scenes lack"
    )
    blurred = {
        name: parameters.model_copy(update={"blur": 0.9}) for name, parameters in given.items()
    }
    assert effective_scenes(recipe.mix, blurred)["scene.blur"] == 0.9


@pytest.fixture(scope="module")
def effective(squares, tmp_path_factory):
    """What a trial of many sources, trained with momentum, reported as effective after all of its 12
    images.
    """
    recipe = MANY.replace({"training.optimizer": "sgd", "mix.schedule": "staged"})
    others, scenes = {"their/photos": squares(4, seed=9)}, generator_of(squares)
    reports = run(
        squares, tmp_path_factory.mktemp("effective"), recipe=recipe, scenes=scenes, others=others
    )
    check_effective(recipe, reports[-1][2])
    return recipe, reports[-1][2]


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (
            "drawn/real",
            0,
            r"trial: mix: real must be 4\.80 of 12 images, with a difference of less than 4, got 0",
        ),
        ("drawn/ours", 6, r"trial: mix: ours must be 1\.80 of 12 images"),
        (
            "pools/idle",
            {"images": 7},
            r"trial: mix\.sources: .*, but the effective value differs, got \[.*'idle'",
        ),
        (
            "pools/crowded/images",
            6,
            r"trial: mix\.sources\.crowded\.images: was proposed as 7, .*, got 6",
        ),
        ("scenes/crowded", "0" * 16, r"trial: mix\.sources\.crowded\.changes: .* got '0000"),
        ("scenes", {}, r"trial: mix\.sources\.ours\.changes: .*, got None"),
        (
            "mix.real_images",
            8,
            r"trial: mix\.real_images: was proposed as 3, but the effective value differs, got 8",
        ),
        ("mix.schedule", "mixed", r"trial: mix\.schedule: was proposed as 'staged'"),
        (
            "optimizer/weights/lr",
            1e-4,
            r"trial: training\.learning_rate \(weights, after 8 images\)",
        ),
        (
            "optimizer/biases_and_norms/initial_lr",
            1e-4,
            r"trial: training\.learning_rate \(biases_and_norms\): was proposed as 0\.001",
        ),
        (
            "optimizer/biases_and_norms/weight_decay",
            0.05,
            r"trial: training\.weight_decay \(biases_and_norms\): was proposed as 0\.0",
        ),
        (
            "optimizer/backbone_weights/initial_lr",
            1e-3,
            r"trial: training\.learning_rate \(backbone_weights\): was proposed as 0\.0001",
        ),
        (
            "optimizer/backbone_weights/lr",
            1e-3,
            r"trial: training\.learning_rate \(backbone_weights, after 8 images\)",
        ),
        (
            "optimizer/backbone_weights/weight_decay",
            0,
            r"trial: training\.weight_decay \(backbone_weights\)",
        ),
        (
            "optimizer/backbone_biases_and_norms/weight_decay",
            0.05,
            r"training\.weight_decay \(backbone_biases_and_norms",
        ),
        (
            "detector.backbone",
            "resnet18",
            r"trial: detector\.backbone: was proposed as 'test_efficientnet'",
        ),
        (
            "detector.frozen_stages",
            2,
            r"trial: detector\.frozen_stages: was proposed as 0, .*, got 2",
        ),
        (
            "optimizer/weights/momentum",
            0.5,
            r"trial: training\.momentum \(weights\): was proposed as 0\.9",
        ),
        ("training.momentum", 0.5, r"trial: training\.momentum: was proposed as 0\.9"),
        (
            "training.crop_px",
            64,
            r"trial: training\.crop_px: was proposed as 96, but the effective value differs, got 64",
        ),
        ("detector.working_px", 64, r"trial: detector\.working_px: was proposed as 96"),
        (
            "scene.blur",
            0.4,
            r"trial: scene\.blur: was proposed as 0\.5, but the effective value differs, got 0\.4",
        ),
    ],
)
def test_whatever_strays_from_what_was_proposed_is_named(effective, at, value, said):
    proposed, found = effective
    found = json.loads(json.dumps(found))
    *folder, last = at.split("/")
    place = found
    for step in folder:
        place = place[step]
    place[last] = value
    with pytest.raises(SyndetError, match=said):
        check_effective(proposed, found)


def test_every_setting_is_reported_but_those_that_another_one_excludes(effective):
    proposed, found = effective
    without_effect = {path for path in field_paths() if no_effect(path, proposed) is not None}
    assert {"mix.anneal", "scene.poses", "scene.hue"} <= without_effect
    # Sources are reported one by one, a staged training whose switch is not set switches as its
    # share says, and scenes are matched before any trial.
    not_reported = {"mix.sources", "mix.switch_at", "scene.match"}
    assert set(field_paths()) - found.keys() == not_reported | without_effect
    check_effective(proposed, found, searched=[path for path in field_paths() if path in found])


def test_the_rate_after_the_switch_is_held_to_what_was_proposed(effective):
    proposed, found = effective
    faster = {"training.rate_after_switch": 0.5}
    rule = r"trial: training\.learning_rate \(weights, after 8 images\): was proposed as"
    with pytest.raises(SyndetError, match=rule):
        check_effective(proposed.replace(faster), found | faster)


def test_two_sources_are_held_to_less_than_one_image(squares, tmp_path, rendered):
    recipe = RECIPE.replace({"mix.synthetic": 0.5, "mix.synthetic_images": 4})
    found = run(squares, tmp_path, recipe=recipe, scenes=rendered)[-1][2]
    assert found["drawn"] == {"real": 6, "synthetic": 6}
    with pytest.raises(
        SyndetError,
        match=r"real must be 6\.00 of 12 images, with a difference of less than 1, got 7",
    ):
        check_effective(recipe, found | {"drawn": {"real": 7, "synthetic": 5}})


def test_equal_settings_pass_whatever_their_type(effective):
    proposed, found = effective
    sources, parts_asked = (proposed.flat()[f"mix.{name}"] for name in ("sources", "parts"))
    parts = {name: part + 1e-12 for name, part in reversed(parts_asked.items())}
    as_read_back = {
        "mix.sources": json.loads(json.dumps(sources)),
        "scene.size_px": [29, 53.0],
        "mix.parts": parts,
    }
    check_effective(proposed, found | as_read_back)
    with pytest.raises(SyndetError, match=r"mix\.parts"):
        check_effective(proposed, found | {"mix.parts": parts | {"ours": 0.3}})
    with pytest.raises(SyndetError, match=r"scene\.size_px"):
        check_effective(proposed, found | {"scene.size_px": [29.0]})
