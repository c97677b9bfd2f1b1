"""What a sweep's scenes are made of, and its photos, are looked at before anything is trained."""

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import trimesh
from made_photos import write_photos
from PIL import Image

from syndet_ray import Choice, Float, Int, Photos, Scenes, SearchSpace, Simplex, Synthetic
from syndet_ray.cli import listing
from syndet_ray.data.cutouts import cut_out
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.splits.divide import split_photos
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.runs.results import TestScores
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.tuning.class_check import asset_classes, check_assets
from syndet_ray.tuning.photo_check import real_data


def sweep_of(scene=None, space=None, mix=None, **given):
    changes = {f"scene.{name}": value for name, value in (scene or {}).items()}
    changes |= {f"mix.{name}": value for name, value in (mix or {}).items()}
    return LoadedSweep(
        question="?",
        recipe=Recipe().replace(changes),
        space=(SearchSpace(space or {"mix.synthetic": Choice(values=(0.0, 1.0))}),),
        **given,
    )


@pytest.fixture
def photos(tmp_path):
    """The user's own photos: 6 to train on, 2 to validate, 2 to test."""
    return write_photos(tmp_path / "ours", train=[1, 2, 3, 4, 5, 6], val=[7, 8], test=[9, 10])


def drawing_from(folder, **given):
    """A sweep whose synthetic share is made of other people's photos alone."""
    mix = {"sources": {"theirs": Photos(folder=str(folder))}} | given.pop("mix", {})
    return sweep_of(mix=mix, **{"controls": ("real_only",), **given})


def quiet(*_):
    pass


def decodes_nothing(step, *_):
    """A progress that fails once photos are decoded."""
    assert not step.startswith("decoding"), step


@pytest.fixture
def models(tmp_path):
    """A folder of two classes, a mesh each."""
    for name, solid in {
        "box": trimesh.creation.box(),
        "ball": trimesh.creation.icosphere(1),
    }.items():
        (tmp_path / name).mkdir()
        solid.export(tmp_path / name / "model.ply")
    return tmp_path


def check_assets_of(sweep, classes, place, boxes=None):
    check_assets(asset_classes(sweep), classes, place, boxes)


def test_dice_have_their_classes_in_any_order_and_their_surroundings_none():
    sweep = sweep_of()
    assert asset_classes(sweep) == {"the built-in dice": CLASSES}
    check_assets_of(sweep, tuple(reversed(CLASSES)), "photos")


def test_assets_of_other_classes_than_the_photos_are_named(models):
    with pytest.raises(
        DataError,
        match=r"photos.*(ball|box).*Add a folder of meshes .*`init` without `assets` .*give `classes`",
    ):
        check_assets_of(sweep_of({"assets": str(models)}), CLASSES, "photos")
    check_assets_of(sweep_of({"assets": str(models)}), ("box", "ball"), "photos")


def test_assets_of_classes_that_no_photo_shows_can_be_left_out(models):
    sweep = sweep_of({"assets": str(models)})
    with pytest.raises(
        DataError,
        match=r"found ball only in the assets .*Label photos of .* drop it with .* `ball: null`",
    ):
        check_assets_of(sweep, ("box",), "photos")
    check_assets_of(sweep.replace({"classes": {"ball": None}}), ("box",), "photos")


def test_every_folder_that_the_search_may_choose_is_looked_at(models):
    space = {"scene.assets": Choice(values=("dice", str(models / "nowhere")))}
    with pytest.raises(DataError, match="nowhere"):
        check_assets_of(sweep_of(space=space), CLASSES, "photos")


def test_a_background_that_is_no_image_is_named_before_anything_runs(tmp_path):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "fine.png")
    check_assets_of(sweep_of({"backgrounds": str(tmp_path)}), CLASSES, "photos")
    (other := tmp_path / "other").mkdir()
    (other / "torn.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"torn\.png"):
        check_assets_of(sweep_of({"backgrounds": str(other)}), CLASSES, "photos")


def test_the_classes_of_a_program_are_known_only_when_it_has_run(models):
    sweep = sweep_of({"assets": str(models), "generator": "command:true"})
    assert asset_classes(sweep) == {}, "no class that the photos would have to have"


def test_generators_that_cannot_be_started_are_named_variants_included(monkeypatch):
    with pytest.raises(MachineError, match=r"program that is not installed.*no-such-program"):
        check_assets_of(
            sweep_of({"generator": "command:no-such-program --fast"}), CLASSES, "photos"
        )
    sweep = LoadedSweep(question="?", trials=0, variants={"traced": {"scene.generator": "blender"}})
    monkeypatch.setenv("SYNDET_BLENDER_PYTHON", "/no/such/python")
    with pytest.raises(MachineError, match="/no/such/python"):
        check_assets_of(sweep, CLASSES, "photos")


def test_folders_of_variants_are_looked_at():
    sweep = LoadedSweep(
        question="?", trials=0, variants={"other": {"scene.surroundings": "/no/such/folder"}}
    )
    with pytest.raises(DataError, match="/no/such/folder"):
        check_assets_of(sweep, CLASSES, "photos")


def test_what_sources_of_scenes_are_made_of_is_looked_at():
    with pytest.raises(DataError, match="/no/such/folder"):
        check_assets_of(
            sweep_of(
                mix={"sources": {"odd": Scenes(changes={"scene.surroundings": "/no/such/folder"})}}
            ),
            CLASSES,
            "p",
        )
    sources = {
        "plain": Scenes(),
        "odd": Scenes(changes={"scene.generator": "command:no-such-program"}),
    }
    with pytest.raises(MachineError, match="no-such-program"):
        check_assets_of(sweep_of(mix={"sources": sources}), CLASSES, "photos")
    variants = {"other": {"mix.sources": sources}}
    with pytest.raises(MachineError, match="no-such-program"):
        check_assets_of(LoadedSweep(question="?", trials=0, variants=variants), CLASSES, "photos")


def test_a_source_is_checked_with_all_that_the_search_may_add_to_its_own_changes(models):
    sources = {"solids": Scenes(changes={"scene.assets": str(models)})}
    space = {"scene.backgrounds": Choice(values=("", str(models / "nowhere")))}
    with pytest.raises(DataError, match="nowhere"):
        check_assets_of(sweep_of(space=space, mix={"sources": sources}), ("box", "ball"), "photos")
    space = {"scene.assets": Choice(values=("dice", "/no/such/folder"))}
    check_assets_of(sweep_of(space=space, mix={"sources": sources}), ("box", "ball"), "photos")


def test_scenes_that_no_source_draws_are_no_objection(models):
    """The recipe's own scene shows dice, whose classes are others: but no source renders it."""
    solids = {"solids": Scenes(changes={"scene.assets": str(models)})}
    check_assets_of(sweep_of(mix={"sources": solids}), ("box", "ball"), "photos")
    with pytest.raises(DataError, match=r"photos.*(ball|box)"):
        check_assets_of(
            sweep_of(mix={"sources": solids | {"dice": Scenes()}}), ("box", "ball"), "photos"
        )
    variants = {"real": {"mix.schedule": "real_only"}, "solids": {"scene.assets": str(models)}}
    check_assets_of(
        LoadedSweep(question="?", trials=0, controls=(), variants=variants),
        ("box", "ball"),
        "photos",
    )


def test_what_has_no_effect_with_the_assets_is_refused_before_anything_is_decoded(photos, tmp_path):
    """Only their folder shows that they are cut-outs, which reflect nothing."""
    for name in ("cat", "dog"):
        (tmp_path / "things" / name).mkdir(parents=True)
        picture = Image.new("RGBA", (8, 8))
        picture.paste("red", (1, 1, 7, 7))
        picture.save(tmp_path / "things" / name / "one.png")
    scene = {"assets": str(tmp_path / "things")}
    message = (
        r"scene.gloss: is searched, and nothing acts on it where .* scene.assets holds no mesh"
    )
    with pytest.raises(DefinitionError, match=message):
        real_data(
            photos,
            sweep_of(scene, {"scene.gloss": Float(low=0, high=1)}),
            decodes_nothing,
        )
    variants = {"full": {}, "matt": {"scene.gloss": 0.0}}
    with pytest.raises(DefinitionError, match=r"variants: matt: is the sweep's own recipe"):
        real_data(photos, sweep_of(scene, variants=variants), decodes_nothing)


def test_others_photos_are_decoded_and_described(photos, tmp_path):
    theirs = write_photos(tmp_path / "theirs", names=("dog", "cat"), train=[20, 21, 22], test=[23])
    sentence = []
    data = real_data(
        photos, drawing_from(theirs), lambda what, done, total: sentence.append((what, done, total))
    )
    assert list(data.others) == [str(theirs)]
    assert len(data.others[str(theirs)]) == 3, "the training split alone"
    assert ("decoding theirs", 3, 3) in sentence
    description = json.loads(json.dumps(data.describe()))
    assert description["counts"] == {"train": 6, "val": 2, "test": 2}
    assert description["others"] == {"counts": {str(theirs): 3}, "objects": {str(theirs): 3}}
    assert description["hashes"][str(theirs)] == data.others[str(theirs)].hash


def test_regions_to_ignore_are_no_objects_of_a_description(photos):
    labels = photos / "train" / "_annotations.coco.json"
    content = json.loads(labels.read_bytes())
    content["annotations"][0]["ignore"] = 1
    labels.write_text(json.dumps(content), encoding="utf-8")
    description = real_data(photos, photos_alone(), quiet).describe()
    assert sum(description["objects"].values()) == sum(description["counts"].values()) - 1


def test_others_photos_of_variants_are_decoded_too_each_folder_once(photos, tmp_path):
    first, second = (
        write_photos(tmp_path / name, train=[k])
        for k, name in enumerate(("first", "second"), start=30)
    )
    twice = {"a": Photos(folder=str(first)), "b": Photos(folder=str(first))}
    variants = {"second": {"mix.sources": {"c": Photos(folder=str(second))}}}
    data = real_data(
        photos, sweep_of(mix={"sources": twice}, variants=variants, controls=()), quiet
    )
    assert list(data.others) == [str(first), str(second)]


def test_an_image_of_others_that_is_to_be_scored_is_named(photos, tmp_path):
    theirs = write_photos(tmp_path / "theirs", train=[20, 8])
    with pytest.raises(
        DataError,
        match=r"theirs: image .*train-1.png.* is also .*val-1.png.* of val, by its pixels",
    ):
        real_data(photos, drawing_from(theirs), quiet)
    with pytest.raises(DataError, match="of test, by its pixels"):
        real_data(photos, drawing_from(write_photos(tmp_path / "more", train=[9])), quiet)
    shared = write_photos(tmp_path / "shared", train=[1, 2, 20])
    assert len(real_data(photos, drawing_from(shared), quiet).others) == 1, (
        "what trains may be there twice"
    )


def saved_again(image, path):
    Image.open(image).save(path, quality=92)


def rename(split, names):
    """Gives the images of a split other names, in their order."""
    file = split / "_annotations.coco.json"
    content = json.loads(file.read_text())
    for image, name in zip(content["images"], names, strict=True):
        (split / image["file_name"]).rename(split / name)
        image["file_name"] = name
    file.write_text(json.dumps(content))


def test_a_photo_of_val_that_trains_saved_again_is_refused_unless_that_is_allowed(photos):
    rename(photos / "train", [f"{k}.jpg" for k in range(6)])
    saved_again(photos / "val/val-1.png", photos / "train/3.jpg")
    with pytest.raises(
        DataError,
        match=r"ours, val: image 'val/val-1.png' is also 'train/3.jpg' of train, saved again",
    ):
        real_data(photos, photos_alone(), quiet)
    data = real_data(photos, photos_alone(), quiet, allow_near_copies=True)
    message = "ours, val: near copies are allowed: image 'val/val-1.png' is also 'train/3.jpg' of train, saved again"
    notes = [note for note in data.describe()["notes"] if message in note]
    assert len(notes) == 1 and notes[0] in data.notes
    assert data.describe()["near_copies"] == {"val": 1}


def test_scored_photos_that_are_also_elsewhere_are_counted_once_by_their_split(photos, tmp_path):
    """A photo of test also trains, and is one of others' photos twice; so is another, once."""
    rename(photos / "train", [f"{k}.jpg" for k in range(6)])
    saved_again(photos / "test/test-0.png", photos / "train/2.jpg")
    theirs = write_photos(tmp_path / "theirs", train=[20, 21, 22, 23])
    rename(theirs / "train", [f"{k}.jpg" for k in range(4)])
    for original, copy in (
        ("test/test-0.png", "0.jpg"),
        ("test/test-0.png", "1.jpg"),
        ("test/test-1.png", "2.jpg"),
    ):
        saved_again(photos / original, theirs / "train" / copy)
    data = real_data(photos, drawing_from(theirs), quiet, allow_near_copies=True)
    assert data.near_copies == {"test": 2}
    assert sum("near copies are allowed" in note for note in data.notes) == 2
    apart = write_photos(tmp_path / "apart", train=[1, 2], val=[3], test=[4])
    assert real_data(apart, photos_alone(), quiet, allow_near_copies=True).near_copies == {}


def test_a_photo_of_test_in_any_other_split_is_refused(photos, tmp_path):
    rename(photos / "val", ["0.jpg", "1.jpg"])
    saved_again(photos / "test/test-0.png", photos / "val/1.jpg")
    with pytest.raises(
        DataError, match=r"ours, test: image 'test/test-0.png' is also 'val/1.jpg' of val"
    ):
        real_data(photos, photos_alone(), quiet)
    other = write_photos(tmp_path / "other", train=[1, 2], val=[3], test=[4])
    rename(other / "train", ["a_jpg.rf.1a.jpg", "b_jpg.rf.2b.jpg"])
    rename(other / "test", ["b_jpg.rf.3c.jpg"])
    with pytest.raises(
        DataError,
        match=r"b_jpg.rf.3c.jpg' is also 'train/b_jpg.rf.2b.jpg' of train, made of the same",
    ):
        real_data(other, photos_alone(), quiet)


@pytest.mark.parametrize("seed", range(3))
def test_no_photo_lies_on_both_sides_of_a_val_that_is_cut(tmp_path, seed):
    """Three images each of four photos that Roboflow made, and two photos that were saved twice."""
    folder = write_photos(tmp_path / "ours", train=[*range(12), 20, 21, 22, 23], test=[30, 31])
    made = [f"{photo}_jpg.rf.{photo}{version}.jpg" for photo in range(4) for version in "abc"]
    rename(folder / "train", [*made, "x.png", "x (1).jpg", "y.png", "y-small.jpg"])
    for original, copy in (("x.png", "x (1).jpg"), ("y.png", "y-small.jpg")):
        saved_again(folder / "train" / original, folder / "train" / copy)
    data = real_data(folder, photos_alone().replace({"seed": seed}), quiet)
    photos = {
        split: {name[6] for name in data.pools[split].image_ids.tolist()}
        for split in ("train", "val")
    }
    assert photos["train"] | photos["val"] == set("0123xy")
    assert not photos["train"] & photos["val"]
    assert len(data.pools["val"]) in (2, 3, 4)
    assert list(data.pools) == ["train", "val", "test"]
    pixels = sum(pool.sizes_wh.prod(axis=1).sum() for pool in data.pools.values())
    assert data.memory_bytes == 3 * pixels, "the pixels that val and train share count once"
    (note,) = [note for note in data.notes if " of 16 images cut from train" in note]
    assert note.endswith("; images of one photo are kept together")


def test_others_photos_that_cannot_be_used_are_named_before_anything_is_decoded(photos, tmp_path):
    def refused(folder, words):
        with pytest.raises(DataError, match=words):
            real_data(photos, drawing_from(folder), decodes_nothing)

    refused(tmp_path / "nowhere", "nowhere: does not exist")
    refused(
        write_photos(tmp_path / "held", test=[40]),
        "held: must have a train split with images in it, has test",
    )
    strange = write_photos(tmp_path / "strange", names=("cat", "fox"), train=[41, 42])
    refused(
        strange,
        r"strange: .* dog \(\d boxes, .*\) only in the real data; fox \(1 box: .*\) only in these photos",
    )
    sources = {"renders": Synthetic(folder=str(strange))}
    sweep = sweep_of(mix={"sources": sources}, controls=("synthetic_only",))
    with pytest.raises(DataError, match=r"fox \(1 box: .*\) only in this synthetic dataset"):
        real_data(photos, sweep, decodes_nothing)


@pytest.mark.parametrize(
    "given",
    [
        {"mix": {"real_images": 7}},
        {"space": {"mix.real_images": Int(low=1, high=7)}},
        {"space": {"mix.real_images": Choice(values=("all", 7))}},
        {"variants": {"many": {"mix.real_images": 7}}},
    ],
)
def test_more_real_images_than_there_are_is_refused_before_anything_is_decoded(photos, given):
    with pytest.raises(
        DataError, match="must be at most the number of real training images, 6, got 7"
    ):
        real_data(photos, sweep_of(**given), decodes_nothing)


def test_more_real_images_than_the_stand_in_has_is_refused():
    with pytest.raises(
        DataError, match=r"must be at most the number of real training images, \d+, got 99999"
    ):
        real_data(None, sweep_of(mix={"real_images": 99999}), quiet)


def photos_alone(**changes):
    """A sweep that trains on photos and renders nothing, its recipe changed."""
    variants = {"real": {"mix.schedule": "real_only"}}
    return LoadedSweep(
        question="?", trials=0, controls=(), recipe=Recipe().replace(changes), variants=variants
    )


@pytest.fixture
def large(tmp_path):
    """Photos of 600 x 450 px, each with an object of 60 x 60, which is 48 at 480 px."""
    splits = {"train": [1, 2, 3], "val": [4], "test": [5]}
    return write_photos(tmp_path / "large", size=(600, 450), box=(30, 45, 60, 60), **splits)


def test_all_photos_are_decoded_at_one_scale_settled_from_those_that_train(large, tmp_path):
    theirs = write_photos(tmp_path / "theirs", size=(900, 1200), train=[20])
    data = real_data(large, drawing_from(theirs), quiet)
    scale = data.scale
    assert (scale.longest_px, scale.crop_px, scale.objects, scale.too_small, scale.too_large) == (
        480,
        384,
        3,
        0,
        0,
    )
    assert scale.object_px == pytest.approx((48, 48, 48))
    assert data.anchor_px == (48.0, 67.88)
    assert data.boxes_wh.shape == (data.scale.objects, 2)
    for pool in data.pools.values():
        assert set(map(tuple, pool.sizes_wh.tolist())) == {(480, 360)}
        assert set(map(tuple, pool.photo_sizes_wh.tolist())) == {(600, 450)}
        assert pool.boxes(0).xyxy[0] == pytest.approx(np.array([30, 45, 90, 105]) * 0.8)
    assert data.others[str(theirs)].sizes_wh.tolist() == [[360, 480]]


def test_the_scale_is_described_and_listed_with_what_it_costs(large):
    data = real_data(large, photos_alone(), quiet)
    sentence = (
        "photos are brought from 600 to 480 px on their longer side, where most objects are 48 px"
    )
    memory = "decoded, they take 3 MB of memory"  # 5 photos of 480 x 360 px
    described = json.loads(json.dumps(data.describe()))
    assert described["notes"][:2] == [sentence, memory]
    assert described["scale"]["longest_px"] == 480
    assert described["scale"]["anchor_px"] == [48.0, 67.88]
    assert described["scale"]["bytes"] == 5 * 480 * 360 * 3
    lines = [line.strip() for line in listing.data_lines(data)]
    assert sentence in lines and memory in lines


def test_a_scale_that_the_recipe_names_is_taken(large):
    data = real_data(
        large, photos_alone(**{"detector.working_px": 150, "training.crop_px": 96}), quiet
    )
    assert (data.scale.longest_px, data.scale.crop_px) == (150, 96)
    assert data.pools["val"].sizes_wh.tolist() == [[150, 112]]


def test_objects_that_cannot_be_learned_at_the_named_scale_are_refused_before_anything_is_decoded(
    large,
):
    tiny = photos_alone(**{"detector.working_px": 64})
    with pytest.raises(
        DataError,
        match=r"large, train: .*3 of 3 objects cannot be learned: they are smaller than 10 px",
    ):
        real_data(large, tiny, decodes_nothing)


@pytest.mark.parametrize(
    "given",
    [
        {"trials": 0, "variants": {"wide": {}, "narrow": {"training.crop_px": 64}}},
        {"trials": 2, "space": {"training.crop_px": Choice(values=(64, 384))}},
    ],
)
def test_a_crop_into_which_the_objects_do_not_fit_is_refused_before_anything_is_decoded(
    large, tmp_path, given
):
    """Objects are 60 px at the scale that is asked for."""
    theirs = write_photos(tmp_path / "theirs", size=(600, 450), box=(30, 45, 60, 60), train=[20])
    sweep = drawing_from(theirs, **given)
    sweep = sweep.replace({"recipe": sweep.recipe.replace({"detector.working_px": 600})})
    message = r"large, train: with training\.crop_px 64 at least 80% .*got '3 of 3 .*Set training\.crop_px to 384"
    with pytest.raises(DataError, match=message):
        real_data(large, sweep, decodes_nothing)


def about_sizes(notes):
    """The notes without those on their format and on how few photos there are, which are true of
    all these small datasets.
    """
    of_all = "labels read as COCO"
    return tuple(note for note in notes if ": only " not in note and note != of_all)


def test_splits_of_too_few_photos_to_tell_recipes_apart_are_noted(tmp_path):
    photos = write_photos(
        tmp_path / "few",
        size=(60, 45),
        box=(5, 5, 30, 30),
        names=("cat",),
        train=[1],
        val=range(2, 11),
        test=[20],
    )
    few = [note for note in real_data(photos, photos_alone(), quiet).notes if ": only " in note]
    assert few == [
        "val: only 9 photos: with so few, chance decides as much as quality which recipe scores best; label at least 10",
        "test: only 1 photo: so few cannot tell recipes apart, and the answer will recommend none; label at least 10",
    ]


def test_splits_of_too_few_photos_that_were_cut_from_train_say_what_helps(tmp_path):
    photos = write_photos(
        tmp_path / "few", size=(60, 45), box=(5, 5, 30, 30), names=("cat",), train=range(20)
    )
    data = real_data(photos, photos_alone(), quiet, hold_out=0.2)
    few = [note for note in data.notes if ": only " in note]
    assert few == [
        "val: only 3 photos, cut from train: with so few, chance decides as much as quality which recipe scores best; label more photos for train (50 give a val of 10), or choose a larger val with `data split`",
        "test: only 4 photos, cut from train: so few cannot tell recipes apart, and the answer will recommend none; label more photos, or take a larger share with `hold_out`",
    ]


def test_classes_and_variants_that_pictures_cannot_show_are_noted(tmp_path):
    in_no_font = "\U0010fffd"  # the last one for private use
    photos = write_photos(
        tmp_path / "few",
        names=("cat", in_no_font),
        size=(60, 45),
        box=(5, 5, 30, 30),
        train=[1, 2],
        val=[3],
        test=[4],
    )
    variants = {f"v{in_no_font}": {"mix.schedule": "real_only"}}
    sweep = LoadedSweep(question="?", trials=0, controls=(), variants=variants)
    notes = [note for note in real_data(photos, sweep, quiet).notes if "font" in note]
    assert len(notes) == 1
    assert f"{in_no_font} is U+10FFFD, v{in_no_font} is vU+10FFFD; install a font" in notes[0]


def test_photos_without_an_object_do_not_count_as_enough(tmp_path):
    photos = write_photos(
        tmp_path / "few",
        size=(60, 45),
        box=(5, 5, 30, 30),
        names=("cat",),
        train=[1],
        val=range(2, 12),
        test=range(20, 32),
    )
    file = photos / "test" / "_annotations.coco.json"
    content = json.loads(file.read_text())
    content["annotations"] = content["annotations"][:3]
    file.write_text(json.dumps(content))
    data = real_data(photos, photos_alone(), quiet)
    (few,) = [note for note in data.notes if ": only " in note]
    assert few.startswith("test: only 3 photos with an object: so few cannot tell recipes apart")
    assert data.describe()["with_objects"]["test"] == 3
    scores = TestScores(
        source="real",
        stand_in=False,
        hash="",
        images=12,
        opened=0.0,
        rows=(),
        with_objects=data.pools["test"].images_with_objects,
    )
    assert scores.is_too_small
    assert not replace(scores, with_objects=None).is_too_small, "of a run that did not count them"


def test_ten_photos_are_not_too_few(tmp_path):
    val, test = range(2, 12), range(20, 30)
    photos = write_photos(
        tmp_path / "ten",
        size=(60, 45),
        box=(5, 5, 30, 30),
        names=("cat",),
        train=[1],
        val=val,
        test=test,
    )
    assert not [
        note for note in real_data(photos, photos_alone(), quiet).notes if ": only " in note
    ]


@pytest.mark.parametrize(
    ("side", "noted"), [(60, False), (430, False), (440, True), (13, False), (12, True)]
)
def test_objects_of_photos_that_are_scored_are_counted_at_the_scale_of_those_that_train(
    large, tmp_path, side, noted
):
    """10 px at 480 px are 12.5 px of these photos; crops are 384 px."""
    val = write_photos(tmp_path / "other", size=(600, 450), box=(0, 0, side, side), val=[4])
    shutil.rmtree(large / "val")
    shutil.move(val / "val", large)
    notes = [
        note for note in real_data(large, photos_alone(), quiet).notes if note.startswith("val: ")
    ]
    assert bool(about_sizes(notes)) == noted


@pytest.mark.parametrize(
    ("changes", "noted"),
    [
        ({}, "11.3"),
        ({"detector.architecture": "fcos"}, None),
        ({"detector.aspect_ratios": (12.0,)}, None),
        ({"detector.aspect_ratios": (0.5, 1.0, 2.0)}, "2.83"),
    ],
)
def test_elongated_objects_are_noted_where_anchors_fit_them_badly(tmp_path, changes, noted):
    photos = write_photos(
        tmp_path / "long",
        size=(600, 450),
        box=(30, 45, 300, 24),
        names=("cat",),
        train=[1],
        val=[2],
        test=[3],
    )
    words = (
        f"100% of the objects are more than {noted} times as long as wide: anchors fit them badly"
    )
    notes = about_sizes(real_data(photos, photos_alone(**changes), quiet).notes)
    assert notes == ((words,) if noted else ())


@pytest.mark.parametrize(("ratios", "noted"), [((12.0,), False), ("auto", True)])
def test_elongated_objects_are_noted_of_the_recipes_that_train_alone(tmp_path, ratios, noted):
    """Nothing trains the sweep's own recipe, which leaves its anchors to auto."""
    photos = write_photos(
        tmp_path / "long",
        size=(600, 450),
        box=(30, 45, 300, 24),
        names=("cat",),
        train=[1],
        val=[2],
        test=[3],
    )
    real_only = {"mix.schedule": "real_only"}
    variants = {
        "fcos": real_only | {"detector.architecture": "fcos"},
        "long": real_only | {"detector.aspect_ratios": ratios},
    }
    sweep = photos_alone().replace({"variants": variants, "controls": ()})
    assert bool(about_sizes(real_data(photos, sweep, quiet).notes)) == noted


@pytest.mark.parametrize("crop_px", ["auto", 1024])
def test_a_crop_that_a_variant_leaves_to_auto_is_checked_too(tmp_path, crop_px):
    """Objects of 1500 px fit into a crop of 2048 px, and into none that "auto" may choose."""
    box = (30, 45, 1500, 1500)
    photos = write_photos(
        tmp_path / "wide", size=(3000, 2000), box=box, names=("cat",), train=[1], val=[2], test=[3]
    )
    sweep = photos_alone(**{"detector.working_px": 3000, "training.crop_px": 2048})
    sweep = sweep.replace(
        {"variants": {"narrow": {"mix.schedule": "real_only", "training.crop_px": crop_px}}}
    )
    with pytest.raises(
        DataError, match=r"with training\.crop_px .* at least 80% .*Set a larger crop"
    ):
        real_data(photos, sweep, decodes_nothing)


def test_guessed_units_are_reported(models, tmp_path_factory):
    splits = {"train": [1, 2, 3, 4], "val": [5, 6], "test": [7, 8]}
    folder = tmp_path_factory.mktemp("ours")
    ours = write_photos(
        folder, names=("box", "ball"), size=(600, 450), box=(9, 9, 60, 60), **splits
    )
    words = "no unit is given for meshes: they are taken as metres ("

    def is_told(**scene):
        notes = real_data(ours, sweep_of({"assets": str(models), **scene}), quiet).notes
        return any(note.startswith(words) for note in notes)

    assert is_told()
    assert not is_told(generator="command:true"), (
        "the sizes that a program renders are not known here"
    )


def test_a_search_that_shows_photos_alone_needs_no_scenes_of_their_classes(large):
    space = (SearchSpace({"training.learning_rate": Float(low=1e-4, high=1e-3)}),)
    sweep = LoadedSweep(
        question="?",
        recipe=Recipe().replace({"mix.schedule": "real_only"}),
        space=space,
        controls=(),
        trials=2,
    )
    assert real_data(large, sweep, quiet).pools["train"].classes == ("cat", "dog")
    few = r"cat \(4 boxes, the first: .*\), dog \(1 box: train/train-1\.png, annotation 1\)"
    with pytest.raises(DataError, match=f"found {few} only in the real data; five, four"):
        real_data(large, sweep.replace({"recipe": Recipe()}), quiet)


def test_photos_alone_of_any_classes_are_enough_for_one_of_the_sweeps(tmp_path):
    folder = write_photos(tmp_path / "photos", train=range(60), val=[60], test=[70])
    file = folder / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text())
    content["categories"].append({"id": 9, "name": "bishop"})
    content["annotations"][0]["category_id"] = 9
    content["categories"].append({"id": 10, "name": "Dog"})
    content["annotations"][1]["category_id"] = 10
    file.write_text(json.dumps(content))
    data = real_data(folder, load("photos_alone"), quiet, allow_near_copies=True)
    assert data.pools["train"].classes == ("cat", "dog", "bishop", "Dog")
    slip = "perhaps slips in labelling, drop or rename them with `classes`: Dog (1 box: "
    assert [note for note in data.notes if note.startswith(slip) and ", bishop (1 box: " in note]
    spelling = "probably one class: Dog and dog; to merge them, write the line `Dog: dog` into a "
    assert [note for note in data.notes if note.startswith(spelling)]


def test_a_search_of_the_working_scale_is_refused(large):
    space = {"detector.working_px": Int(low=320, high=640)}
    with pytest.raises(
        DefinitionError,
        match=r"detector\.working_px: cannot be searched: photos are decoded once\.",
    ):
        real_data(large, sweep_of(space=space), decodes_nothing)
    for given in (
        {"variants": {"finer": {"detector.working_px": 640}}},
        {"points": ({"detector.working_px": 640},)},
    ):
        with pytest.raises(
            DefinitionError, match=r"detector\.working_px: cannot differ between recipes"
        ):
            real_data(large, sweep_of(**given), quiet)


def test_photos_that_do_not_fit_into_memory_are_streamed_with_a_note(large, monkeypatch):
    whole = real_data(large, photos_alone(), quiet)
    assert not whole.is_streamed and whole.streamed_files == []
    asked = real_data(large, photos_alone(), quiet, stream=True)
    monkeypatch.setattr("syndet_ray.data.memory.available_bytes", lambda: 4_000_000)
    data = real_data(large, photos_alone(), quiet)
    sentence = "photos are not kept in memory, but decoded each time they are needed"
    why = "they would take 3 MB, more than 60% of the 4 MB available; 46% of them are kept"
    kept = [bool(pool.pixels.decoded.size) for pool in data.pools.values()]
    assert (kept, asked.pools["train"].pixels.decoded.size) == ([True, False, False], 0)
    assert data.notes == (f"{sentence}: {why}", *whole.notes)
    assert asked.notes == (f"{sentence}: as asked", *whole.notes)
    assert (whole.streaming, asked.streaming) == ((), asked.notes[:1])
    for streamed in (asked, data):
        described = streamed.describe()
        assert described["streamed"] and not whole.describe()["streamed"]
        assert "decoded, they would take 3 MB of memory" in described["notes"]
        assert described["hashes"] == whole.describe()["hashes"]
        assert len(streamed.streamed_files) == 5


def test_a_val_that_is_cut_by_looks_is_the_same_from_streamed_photos(tmp_path):
    folder = write_photos(tmp_path / "ours", train=[1, 2, 2, 3, 4, 4, 5], test=[9])
    theirs = write_photos(tmp_path / "theirs", train=[20, 21])
    sweep = drawing_from(theirs)
    ours, same = (real_data(folder, sweep, quiet, stream=stream) for stream in (True, False))
    for split, pool in same.pools.items():
        assert ours.pools[split].image_ids.tolist() == pool.image_ids.tolist()
    assert ours.describe()["hashes"] == same.describe()["hashes"]
    assert ours.others[str(theirs)].is_streamed


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_photos_of_wildly_different_sizes_in_one_split_are_named(large, split):
    Image.new("RGB", (59, 40)).save(large / split / "thumbnail.png")
    path = large / split / "_annotations.coco.json"
    content = json.loads(path.read_text())
    content["images"].append({"id": 99, "file_name": "thumbnail.png"})
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"large: .*{split}/thumbnail.png': \(59, 40\)"):
        real_data(large, photos_alone(), quiet)


@pytest.mark.parametrize(
    ("scene", "space", "noted"),
    [
        ({"size_px": (29.0, 53.0)}, None, False),
        ({"size_px": (60.0, 90.0)}, None, True),
        ({"size_px": (10.0, 20.0)}, None, True),
        (
            {"size_px": (60.0, 90.0)},
            {"scene.size_px": Choice(values=((60.0, 90.0), (30.0, 50.0)))},
            False,
        ),
    ],
)
def test_rendered_objects_of_another_size_than_photographed_ones_are_noted(scene, space, noted):
    """The stand-in's dice are about 29 to 53 px wide, in photos that stay as they are."""
    data = real_data(None, sweep_of(scene, space), quiet)
    assert data.scale.longest_px == 256
    words = [note for note in data.notes if "on rendered scenes" in note]
    assert len(words) == noted
    if noted:
        low, high = scene["size_px"]
        assert words[0].startswith(
            f"objects are {low:.0f} to {high:.0f} px large on rendered scenes and "
        )


def test_photos_alone_have_no_scenes_to_agree_with():
    assert not real_data(None, photos_alone(**{"scene.size_px": (100.0, 200.0)}), quiet).notes


def without_labels(folder, split):
    """Removes every label of a split from the dataset in a folder; returns the folder."""
    path = folder / split / "_annotations.coco.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    return folder


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train", "a detector would learn that there are none"),
        ("val", "recipes cannot be compared on it"),
        ("test", "no score can be computed"),
    ],
)
def test_a_split_without_a_labelled_object_is_refused_before_anything_is_decoded(
    large, split, message
):
    photos = without_labels(large, split)
    count = {"train": "3 photos", "val": "1 photo", "test": "1 photo"}[split]
    words = rf"large, {split}: holds no labelled object on {count}, so that {message}\. Label objects on its photos, or "
    with pytest.raises(DataError, match=words):
        real_data(photos, photos_alone(), decodes_nothing)


def test_others_photos_without_a_labelled_object_are_refused(photos, tmp_path):
    theirs = without_labels(write_photos(tmp_path / "theirs", train=[20]), "train")
    with pytest.raises(
        DataError, match="theirs, train: holds no labelled object: nothing can be learned from it"
    ):
        real_data(photos, drawing_from(theirs), decodes_nothing)


SYNTHETIC_ONLY = {"mix.schedule": "synthetic_only"}


@pytest.fixture
def bare(tmp_path):
    """Photos of which those to train on have no labels."""
    photos = write_photos(
        tmp_path / "bare", size=(300, 200), names=("cat",), train=[1], val=[2], test=[3]
    )
    return without_labels(photos, "train")


@pytest.fixture
def theirs(tmp_path):
    return write_photos(tmp_path / "theirs", size=(300, 200), box=(30, 45, 60, 60), train=[4])


@pytest.mark.parametrize(
    "given",
    [
        {"controls": ("real_only",), "trials": 0, "variants": {"theirs": SYNTHETIC_ONLY}},
        {"controls": (), "trials": 0, "variants": {"half": {"mix.synthetic": 0.5}}},
        {"controls": (), "trials": 4, "space": {"mix.synthetic": Float(low=0.9, high=1)}},
        {
            "controls": (),
            "trials": 4,
            "mix": {"schedule": "staged", "switch_at": 1.0},
            "space": {"mix.switch_at": Float(low=0.2, high=1)},
        },
        {
            "controls": (),
            "trials": 4,
            "mix": {"synthetic": 1.0},
            "space": {"mix.shares": Simplex(sources=("real", "theirs"))},
        },
        {
            "controls": (),
            "trials": 4,
            "mix": {"schedule": "synthetic_only"},
            "space": {
                "mix.shares": Simplex(sources=("real", "theirs")),
                "mix.schedule": Choice(values=("mixed", "synthetic_only")),
            },
        },
    ],
)
def test_photos_without_labels_are_refused_where_a_recipe_would_train_on_them(bare, theirs, given):
    with pytest.raises(DataError, match="bare, train: holds no labelled object"):
        real_data(bare, drawing_from(theirs, **given), quiet)


@pytest.mark.parametrize(
    "given",
    [
        {"trials": 0, "variants": {"theirs": SYNTHETIC_ONLY}},
        {
            "trials": 4,
            "mix": {"schedule": "synthetic_only"},
            "space": {"training.warmup": Float(low=0, high=1)},
        },
        {
            "trials": 4,
            "mix": {"synthetic": 1.0},
            "space": {"training.warmup": Float(low=0, high=1)},
        },
    ],
)
def test_photos_without_labels_pass_where_no_recipe_trains_on_them(bare, theirs, given):
    data = real_data(bare, drawing_from(theirs, controls=(), **given), quiet)
    assert data.scale.longest_px == 300
    assert data.anchor_px == (24.0, 33.94, 48.0, 67.88)


def test_a_missing_test_split_is_held_out_alike_whatever_the_seed(tmp_path):
    folder = write_photos(tmp_path / "heap", train=range(20))
    with pytest.raises(
        DataError, match=r"must have a test split, .* give `hold_out` 0.2, or write"
    ):
        real_data(folder, photos_alone(), quiet)
    first, second = (
        real_data(folder, photos_alone().replace({"seed": seed}), quiet, hold_out=0.2)
        for seed in (1, 2)
    )
    assert {name: len(pool) for name, pool in first.pools.items()} == {
        "train": 13,
        "val": 3,
        "test": 4,
    }
    about, other = first.describe(), second.describe()
    assert about["test_hash"] == other["test_hash"]
    assert about["hashes"]["test"] == other["hashes"]["test"]
    assert about["split_hash"] != other["split_hash"]  # val depends on the seed
    assert any("test: 4 of 20 images held out of train" in note for note in first.notes)


def test_photos_held_out_are_the_same_whatever_classes_a_run_has(tmp_path):
    folder = write_photos(tmp_path / "heap", names=("cat", "dog", "hare"), train=range(21))
    expected = split_photos(folder, {"test": 0.2}, 0, quiet, out=tmp_path / "split.json")
    maps = ({}, {"hare": None}, {"hare": "cat"}, {"cat": "hare", "hare": "cat"})
    for classes in maps:
        sweep = photos_alone().replace({"classes": classes})
        labels = LabelOptions(classes=classes)
        data = real_data(folder, sweep, quiet, labels=labels, hold_out=0.2)
        assert data.image_ids["test"] == expected.index.images["test"], classes
    digits = data.describe()["test_hash"][:12]
    assert any(note.endswith(f"hash of the split {digits}") for note in data.notes)


def test_a_slip_in_labelling_that_train_lacks_is_left_out_and_not_fatal(tmp_path):
    folder = write_photos(
        tmp_path / "photos", names=("cat",), train=range(70), val=[80], test=range(90, 93)
    )
    labels = folder / "test" / "_annotations.coco.json"
    content = json.loads(labels.read_bytes())
    content["categories"].append({"id": 7, "name": "cta"})
    content["annotations"][0]["category_id"] = 7
    labels.write_text(json.dumps(content), encoding="utf-8")
    data = real_data(folder, photos_alone(), quiet)
    assert data.pools["train"].classes == data.pools["test"].classes == ("cat",)
    assert "left out, since train has no box of them: cta" in data.notes
    for annotation in content["annotations"]:
        annotation["category_id"] = 7  # 3 boxes of 74 are no slip
    labels.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"photos: train holds no box of cta \(3 boxes, "):
        real_data(folder, photos_alone(), quiet)


def test_cutouts_of_photos_that_are_held_out_are_refused(tmp_path):
    folder = write_photos(tmp_path / "heap", size=(64, 48), box=(16, 12, 30, 24), train=range(8))
    masks = tmp_path / "masks" / "train"
    masks.mkdir(parents=True)
    mask = Image.new("L", (64, 48))
    mask.paste(255, (18, 14, 44, 34))
    for k in range(8):
        mask.save(masks / f"train-{k}.png")
    cut = partial(cut_out, folder, per_class=8, seed=0, masks=tmp_path / "masks")
    cut(tmp_path / "assets")
    sweep = sweep_of(scene={"assets": str(tmp_path / "assets")})
    with pytest.raises(
        DataError, match=r"has parts of 2 photos \(train_train-.* of the test split"
    ):
        real_data(folder, sweep, quiet, hold_out=0.25)
    split_photos(folder, {"test": 0.25}, 0, quiet)
    cut(tmp_path / "others")
    sweep = sweep_of(scene={"assets": str(tmp_path / "others")})
    data = real_data(folder, sweep, quiet)
    assert len(data.pools["test"]) == 2
    [note] = [note for note in data.notes if "of the validation split" in note]
    assert "others has parts of 1 photo (train_train-" in note
    (folder / "syndet_split.json").unlink()
    split_photos(folder, {"test": 0.25, "val": 0.25}, 0, quiet)
    cut(tmp_path / "of train")
    sweep = sweep_of(scene={"assets": str(tmp_path / "of train")})
    notes = real_data(folder, sweep, quiet).notes
    assert not any("parts of" in note for note in notes)


def test_a_split_index_is_what_a_run_uses_and_records(tmp_path):
    folder = write_photos(tmp_path / "heap", train=range(20))
    division = split_photos(folder, {"test": 0.2, "val": 0.1}, 0, quiet)
    data = real_data(folder, photos_alone(), quiet)
    assert data.image_ids == division.index.images
    assert data.describe()["split_hash"] == division.index.hash
    with pytest.raises(DataError, match="has a test split already, of 4 images"):
        real_data(folder, photos_alone(), quiet, hold_out=0.2)
