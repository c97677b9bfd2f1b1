"""The verbs on a saved model: predict writes what is found in any image, evaluate scores it on
labelled ones.
"""

import io
import json
import re
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_detections import TINY, found
from PIL import ExifTags, Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console

from syndet_ray import cli
from syndet_ray.cli import scorecard, terminal
from syndet_ray.data import stand_in
from syndet_ray.data.decode import decode
from syndet_ray.data.images.unlabelled import find
from syndet_ray.data.read import read
from syndet_ray.deploy import evaluate as evaluating
from syndet_ray.deploy.finder import Finder, in_photo
from syndet_ray.deploy.output import new_folder
from syndet_ray.deploy.predict import PredictionSummary, predict_images
from syndet_ray.detection import export
from syndet_ray.detection.models import build, save_model
from syndet_ray.detection.score import Predictions
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.report.annotated import annotate_picture, color, text_px
from syndet_ray.report.fonts import lettering
from syndet_ray.report.words import STAND_IN
from syndet_ray.scenes.dice import CLASSES as DICE

CLASSES = ("small", "big")
SIDE = TINY.working_px


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("champion")
    save_model(folder, build(TINY, CLASSES, seed=0)[0], TINY, CLASSES)
    return str(folder)


@pytest.fixture
def photos(tmp_path):
    """A folder of three images; one of them lies on its side, and EXIF tells."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (64, SIDE, 3), np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(folder / "b.jpg", exif=exif)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels).convert("L").save(folder / "a.jpg")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def dataset(tmp_path, squares):
    """Writes pools by split as a COCO dataset; categories are the classes given."""

    def write(classes=CLASSES, objects=True, **counts):
        for split, count in (counts or {"test": 3}).items():
            pool, folder = squares(count), tmp_path / "data" / split
            folder.mkdir(parents=True)
            truth = export.coco_truth(pool)
            for image in truth["images"]:
                image["file_name"] += ".png"
                Image.fromarray(pool.image(image["id"] - 1)).save(folder / image["file_name"])
            truth["categories"] = [
                {"id": k, "name": name} for k, name in enumerate(classes, start=1)
            ]
            truth["annotations"] = [
                a for a in truth["annotations"] if objects and a["category_id"] <= len(classes)
            ]
            (folder / "_annotations.coco.json").write_text(json.dumps(truth))
        return tmp_path / "data"

    return write


def predicted(model, given, out, least=0.2):
    return predict_images(
        Finder.load(Path(model)), find(given), out, least=least, progress=lambda done, total: None
    )


def judged(model, data, split=None):
    data = read(data)
    chosen = data.split_to_score(split)
    finder = Finder.load(Path(model))
    return evaluating.evaluate_model(
        finder, data, chosen, model=str(model), progress=lambda what, done, total: None
    )


@pytest.fixture
def main(monkeypatch, tmp_path):
    """Runs the command line; returns its exit status."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["syndet_ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            cli.run()
        return done.value.code or 0

    return run


def test_a_folder_stands_for_its_images_and_every_file_counts_once(photos):
    files = find([photos / "b.jpg", photos, photos / "." / "a.png"])
    assert [file.path.name for file in files] == ["b.jpg", "a.jpg", "a.png"]
    assert [file.name for file in files] == ["b", "a", "a-2"]


def test_names_differ_whatever_their_case(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    given = [tmp_path / "x" / "a.png", tmp_path / "y" / "A.png", tmp_path / "y" / "a-2.png"]
    for path in given:
        path.touch()
    assert [file.name for file in find(given)] == ["a", "A-2", "a-2-2"]


def test_images_that_are_not_there_are_reported(tmp_path):
    with pytest.raises(DataError, match=r"nope: does not exist\."):
        find([tmp_path / "nope"])
    with pytest.raises(
        DataError, match=r"there are no images\. Looked for files that end in \.bmp"
    ):
        find([tmp_path])


SEEN = found(([1, 2, 30.126, 40], 1, 0.98765), ([5, 5, 20, 20], 0, 0.25))


def test_kitti_has_sixteen_fields_and_types_without_spaces():
    first, second = export.kitti(SEEN, ("a", "Big  Die")).splitlines()
    assert first == "bigdie -1 -1 -10 1.00 2.00 30.13 40.00 -1 -1 -1 -1000 -1000 -1000 -10 0.9877"
    assert len(second.split(" ")) == 16
    assert export.kitti(found(), CLASSES) == ""


def test_detections_are_named_and_a_least_score_is_included():
    kept = export.at_least(SEEN, 0.98765)
    assert export.detections(kept, CLASSES) == [
        {"class": "big", "score": 0.9877, "xyxy": [1, 2, 30.13, 40]}
    ]


def test_a_picture_shows_box_and_label_and_leaves_the_image_as_it_was():
    image = np.full((200, 300, 3), 128, np.uint8)
    drawn = np.asarray(annotate_picture(image, found(([50, 60, 90, 100], 1, 0.9)), CLASSES))
    assert (image == 128).all()
    assert tuple(drawn[80, 50]) == tuple(drawn[99, 70]) == tuple(drawn[80, 89]) == color(1)
    assert (drawn[65:95, 55:85] == 128).all()
    assert (drawn[45:59, 51:80] != 128).any()  # the label, above


@pytest.mark.parametrize(
    "box", [[0, 0, 300, 200], [-5, -5, 8, 8], [280, 180, 330, 240], [10, 10, 10.2, 10.2]]
)
def test_labels_stay_inside_the_picture(box):
    black = np.zeros((200, 300, 3), np.uint8)
    drawn = np.asarray(annotate_picture(black, found((box, 0, 0.5)), CLASSES))
    mask, _ = lettering("small 0.50", 11)
    ground = (drawn == color(0)).all(axis=-1)
    assert ground.sum() > 0.7 * mask.size  # the rest is ink
    assert (mask > 200).sum() > 50


def test_text_grows_with_the_picture_and_shrinks_with_what_was_found():
    none = np.zeros((0, 4))
    assert text_px((640, 640), none) == 14
    assert text_px((640, 640), np.array([[0, 0, 30, 36]])) == 12
    assert text_px((64, 64), none) == 11
    assert text_px((4000, 3000), np.array([[0, 0, 30, 36]])) == 38


def test_predict_writes_pictures_kitti_and_json(model, photos, tmp_path):
    applied = predicted(model, [photos], tmp_path / "out")
    assert applied.out == tmp_path / "out"
    assert applied.skipped == []
    names = {
        path.relative_to(applied.out).as_posix()
        for path in applied.out.rglob("*")
        if path.is_file()
    }
    of_each = {f"kitti/{name}.txt" for name in ("a", "a-2", "b")}
    assert (
        names
        == {"predictions.json", "annotated/a.jpg", "annotated/a-2.png", "annotated/b.jpg"} | of_each
    )
    images = json.loads((applied.out / "predictions.json").read_text())
    assert [(image["name"], image["width"], image["height"]) for image in images] == [
        ("a", 96, 64),
        ("a-2", 96, 64),
        ("b", 64, 96),
    ]
    with Image.open(applied.out / "annotated" / "b.jpg") as turned:
        assert turned.size == (64, 96)
    for image in images:
        scores = [one["score"] for one in image["detections"]]
        assert scores == sorted(scores, reverse=True)
        assert min(scores) >= 0.05
        lines = (applied.out / "kitti" / f"{image['name']}.txt").read_text().splitlines()
        assert len(lines) == sum(score >= 0.2 for score in scores) > 0
    assert sum(applied.counts.values()) == sum(
        one["score"] >= 0.2 for image in images for one in image["detections"]
    )


def test_nothing_is_overwritten(tmp_path):
    assert [new_folder(tmp_path / "p").name for _ in range(2)] == ["p", "p"]  # still empty
    (tmp_path / "p" / "x").touch()
    (tmp_path / "p-2").touch()
    assert new_folder(tmp_path / "p").name == "p-3"


def test_what_was_found_before_an_interruption_is_written(model, photos, tmp_path):
    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_images(
            Finder.load(Path(model)),
            find([photos]),
            tmp_path / "out",
            least=0.5,
            progress=interrupt,
        )
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 2


def test_an_image_that_cannot_be_read_is_skipped_and_reported(main, model, photos, capsys):
    (photos / "torn.png").write_bytes((photos / "a.png").read_bytes()[:200])
    (photos / "pointer.jpg").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4"
    )
    with Image.open(photos / "a.png") as opened:
        opened.convert("RGBA").save(photos / "d.png")
    assert main("predict", model, photos, "--score", "0") == 1
    said = capsys.readouterr().out
    assert "\n4 images (" in said
    assert "\n1 image with transparency: composed on white\n" in said
    assert "(it is a git-lfs pointer: run `git lfs pull`)\n" in said
    assert f"skipped {photos / 'torn.png'}: the image cannot be read (" in said
    assert main("predict", model, photos / "a.png") == 0
    assert "predictions-2: annotated/, kitti/, predictions.json" in capsys.readouterr().out


def test_names_that_pictures_cannot_show_are_reported_with_their_codes(tmp_path):
    in_no_font = "\U0010fffd"  # the last one for private use
    shown = Counter({in_no_font: 3, "cat": 2})
    *_, last = scorecard.summary_lines(PredictionSummary(out=tmp_path, least=0.5, counts=shown))
    assert f"{in_no_font} is U+10FFFD; install a font" in last


def test_the_word_stand_in_may_be_given_for_photos_and_the_output_names_it(
    main, monkeypatch, tmp_path, capsys
):
    """With two of its 80 test images."""
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    splits = {"test": stand_in.stand_in().splits["test"].select([0, 1])}
    two = replace(stand_in.stand_in(), splits=splits)
    monkeypatch.setattr(stand_in, "stand_in", lambda: two)
    (tmp_path / "photos" / "test").mkdir(parents=True)
    for name in ("000.jpg", "001.jpg"):
        shutil.copy(stand_in.FOLDER / "test" / name, tmp_path / "photos" / "test")
    monkeypatch.setattr(stand_in, "FOLDER", tmp_path / "photos")
    save_model(tmp_path / "dice", build(TINY, DICE, seed=0)[0], TINY, DICE)
    for verb in ("evaluate", "predict"):
        assert main(verb, tmp_path / "dice", "stand-in") == 0
        lines = capsys.readouterr().out.splitlines()
        assert any(line.startswith("2 images") for line in lines)
        assert STAND_IN in lines


def test_where_nothing_is_sure_enough_the_highest_confidence_is_reported(model, photos, tmp_path):
    applied = predicted(model, [photos], tmp_path / "out", least=1.0)
    assert not applied.counts
    images = json.loads((tmp_path / "out" / "predictions.json").read_text())
    highest = max(found["score"] for image in images for found in image["detections"])
    assert applied.highest == pytest.approx(highest, abs=1e-4)
    first = next(scorecard.summary_lines(applied))
    told = first.partition("; nothing with a confidence of 1 or more; the highest is ")[
        2
    ].removesuffix(", see --score")
    assert highest - 0.0011 < float(told) <= applied.highest
    nearly = replace(applied, least=0.5, highest=0.4996)
    assert "0.5 or more; the highest is 0.499," in next(scorecard.summary_lines(nearly))
    hardly = replace(applied, highest=0.0004)
    assert "the highest is below 0.001," in next(scorecard.summary_lines(hardly))
    none = replace(applied, highest=0.0)
    found = replace(applied, counts=Counter({"1": 2, "2": 3}))
    assert next(scorecard.summary_lines(found)).endswith("; 2: 3, 1: 2")
    assert next(scorecard.summary_lines(none)).endswith("; nothing")


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_must_be_a_share(model, photos, tmp_path, score):
    with pytest.raises(DefinitionError, match="`least`: must be from 0 to 1, got"):
        predicted(model, [photos], tmp_path / "out", least=score)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_used_is_reported_before_anything_is_written(
    main, model, photos, tmp_path, capsys
):
    (tmp_path / "file").touch()
    for arguments, told in {
        (model, tmp_path / "nope"): "nope: does not exist.",
        (tmp_path, photos): "holds no saved model",
        (
            model,
            photos,
            "--out",
            "file",
        ): "file: is a file, predictions need a folder. Give a new folder with --out.",
    }.items():
        assert main("predict", *arguments) == 1
        assert told in capsys.readouterr().err
    assert not (tmp_path / "predictions").exists()


def test_evaluate_says_and_writes_what_pycocotools_counts(
    main, model, dataset, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(evaluating, "RESAMPLES", 10)
    # the same names in another order: what was small is big
    data = dataset(classes=CLASSES[::-1], test=4)
    assert main("evaluate", model, data, "--out", "scores") == 0
    said = capsys.readouterr().out
    assert said.endswith("\nscores   scores: scores.json, predictions.json, truth.json, pictures\n")
    assert "4 images and 4 objects of " in said
    assert "no intervals: they need 10 or more images with an object, and there are 4" in said
    for words in (
        "mAP",
        "AP/big",
        "as the data tell it" if "told" in said else "estimated",
        "too few objects",
        "missed",
    ):
        assert words in said
    assert "is no test set any more" in said
    assert max(map(len, said.splitlines()[3:-1])) <= 100
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    truth = COCO(tmp_path / "scores" / "truth.json")
    evaluation = COCOeval(
        truth, truth.loadRes(str(tmp_path / "scores" / "predictions.json")), "bbox"
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert scores["metrics"]["mAP"]["value"] == pytest.approx(evaluation.stats[0])
    assert scores["metrics"]["mAP"]["interval"] is None
    assert scores["classes"] == list(CLASSES)
    assert np.sum(scores["confusion"]) >= 4
    assert (tmp_path / "scores" / "worst_and_best.png").exists()


def test_in_eighty_columns_no_number_and_no_word_of_a_score_is_cut(
    model, dataset, monkeypatch, tmp_path
):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    done = judged(model, dataset(test=24))
    console = Console(width=80, file=io.StringIO())
    console.print(scorecard.visibility_table(done), scorecard.errors_table(done))
    said = console.file.getvalue()
    rows = [" ".join(line.split()) for line in said.splitlines()]
    seen = next(row for row in rows if row.startswith("0.75-1.00"))
    assert re.fullmatch(r"0.75-1.00 24( 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]){2}", seen)
    gains = [row.split() for row in rows if re.search(r"[+]\d", row)]
    assert [name for name, _ in gains] == [
        "classification",
        "localisation",
        "both",
        "duplicate",
        "background",
        "missed",
    ]


def test_labels_are_aligned_by_name(model, dataset, monkeypatch):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    done = judged(model, dataset(classes=("big", "small")))
    sides = done.pool.xyxy[:, 2] - done.pool.xyxy[:, 0]
    assert done.pool.classes == CLASSES
    assert [CLASSES[label] for label in done.pool.labels] == [
        "big" if side == 20 else "small" for side in sides
    ]


def test_a_class_that_the_data_lack_is_reported_and_counts_nowhere(
    main, model, dataset, monkeypatch, capsys
):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    assert main("evaluate", model, dataset(classes=("small",), val=6)) == 0
    said = capsys.readouterr().out
    assert "the data have no class big: detections of it are not scored" in said
    assert "without an object, and so in no mean: big" in said
    assert "is no test set any more" not in said  # it was the validation set


def test_a_class_is_printed_as_it_is_called(dataset, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    classes = ("[b]", "$5 [/red]")
    save_model(tmp_path / "odd", build(TINY, classes, seed=0)[0], TINY, classes)
    done = judged(tmp_path / "odd", dataset(classes=classes))
    terminal.console().print(scorecard.scores_table(done))
    said = capsys.readouterr().out
    assert all(f"AP/{name} " in said for name in classes)
    assert evaluating.write(done, tmp_path / "out") == tmp_path / "out"


def test_data_that_cannot_be_scored_are_reported(model, dataset, tmp_path):
    data = dataset(classes=("small", "huge"))
    unknown = r"holds classes that the model does not know: huge \(\d boxes, the first: .*\)"
    with pytest.raises(DataError, match=rf"data, test: {unknown}\. .* small, big"):
        judged(model, data)
    with pytest.raises(DataError, match=r"has no split 'val'\. Choose with `split`: test\."):
        judged(model, data, "val")
    with pytest.raises(DataError, match="does not exist"):
        judged(model, tmp_path / "nope")


def test_boxes_of_unknown_classes_are_those_of_the_scored_split(model, dataset):
    data = dataset(classes=("$1", "猫", "none"), train=30, test=25)
    labelled = json.loads((data / "test" / "_annotations.coco.json").read_text())
    boxes = {k: [a for a in labelled["annotations"] if a["category_id"] == k] for k in (1, 2)}
    said = []
    for name, (first, *rest) in zip(("$1", "猫"), boxes.values(), strict=True):
        count = 1 + len(rest)
        image = labelled["images"][first["image_id"] - 1]["file_name"]
        said.append(f"{name} ({count} boxes, the first: test/{image}, annotation {first['id']})")
    assert any(len(of_class) >= 10 for of_class in boxes.values()), "many boxes are counted too"
    with pytest.raises(DataError, match="data, test: ") as refused:
        judged(model, data)
    assert f"does not know: {said[0]}, {said[1]}. Rename" in str(refused.value)


def test_without_a_test_split_several_need_a_choice(model, dataset):
    with pytest.raises(DataError, match=r"has no split 'test'\. Choose with `split`: train, val\."):
        judged(model, dataset(train=1, val=1))


def test_a_score_on_photos_called_train_says_so(model, dataset, monkeypatch):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    data = dataset(train=2, test=2)
    assert any("scored on train" in note for note in judged(model, data, "train").notes)
    assert not any("scored on train" in note for note in judged(model, data, "test").notes)


@pytest.mark.parametrize(
    ("given", "told"), [({"test": 0}, "holds no images"), ({"objects": False}, "holds no object")]
)
def test_empty_data_are_reported(model, dataset, given, told):
    with pytest.raises(DataError, match=told):
        judged(model, dataset(**given))


@pytest.mark.parametrize(("split", "is_noted"), [("train", True), ("test", False)])
def test_scores_on_photos_to_train_on_say_so(model, dataset, monkeypatch, split, is_noted):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    notes = judged(model, dataset(**{split: 1})).notes
    assert any(note.startswith("scored on train: ") for note in notes) == is_noted


def test_a_model_that_finds_nothing_scores_nothing(model, dataset, monkeypatch):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    nothing = Predictions(xyxy=np.zeros((0, 4)), labels=np.zeros(0, np.int64), scores=np.zeros(0))
    monkeypatch.setattr(evaluating, "predict", lambda model, pool, **_: [nothing] * len(pool))
    done = judged(model, dataset())
    assert done.evaluation.metrics["mAP"] == 0
    evaluating.write(done, done.data / "out")
    assert json.loads((done.data / "out" / "predictions.json").read_text()) == []


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model that sees photos at two thirds of the size of ours."""
    folder = tmp_path_factory.mktemp("small")
    detector = TINY.model_copy(update={"working_px": 64})
    save_model(folder, build(detector, CLASSES, seed=0)[0], detector, CLASSES)
    return str(folder)


def test_a_model_sees_photos_at_its_working_scale_and_answers_in_their_own_pixels(
    small, photos, tmp_path, monkeypatch
):
    """One prediction, the whole image: 64 px long to the model, 96 px to the reader."""
    seen = []

    def whole_image(model, pool, **_):
        seen.append(pool.image(0).shape)
        width, height = pool.sizes_wh[0].tolist()
        return [found(([0, 0, width, height], 1, 0.9))]

    monkeypatch.setattr("syndet_ray.deploy.finder.predict", whole_image)
    applied = predicted(small, [photos], tmp_path / "out")
    assert seen == [(43, 64, 3), (43, 64, 3), (64, 43, 3)], "b.jpg lies on its side"
    for image in applied.images:
        (one,) = image["detections"]
        assert one["xyxy"] == [0, 0, image["width"], image["height"]]
    assert [(image["width"], image["height"]) for image in applied.images] == [
        (96, 64),
        (96, 64),
        (64, 96),
    ]
    assert (
        (applied.out / "kitti" / "b.txt")
        .read_text()
        .startswith("big -1 -1 -10 0.00 0.00 64.00 96.00 ")
    )
    with Image.open(applied.out / "annotated" / "b.jpg") as turned:
        assert turned.size == (64, 96)


def test_predict_and_evaluate_find_the_same(small, dataset, monkeypatch):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    data = dataset(test=2)
    done = judged(small, data)
    assert done.pool.sizes_wh.tolist() == [[64, 64]] * 2
    finder = Finder.load(Path(small))
    for i, name in enumerate(("0.png", "1.png")):
        again = finder(data / "test" / name, name)
        expected = in_photo(done.pool, i, done.predictions[i])
        assert len(again.scores) > 0
        assert np.array_equal(again.scores, expected.scores)
        assert np.array_equal(again.xyxy, expected.xyxy)


def test_photos_have_one_hash_whichever_model_is_evaluated_on_them(
    model, small, dataset, monkeypatch
):
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    data = dataset(test=2)
    first, second = judged(model, data), judged(small, data)
    assert first.pool.sizes_wh.tolist() != second.pool.sizes_wh.tolist()
    photos = decode(read(data).splits["test"])
    assert evaluating.scores(first)["hash"] == evaluating.scores(second)["hash"] == photos.hash


def test_evaluate_writes_photos_own_pixels_and_pycocotools_counts_the_same_there(
    small, dataset, monkeypatch, tmp_path
):
    """Every object is found a pixel too far right at the working scale, which is a pixel and a half
    of the photo.
    """
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)
    shift = np.array([1, 0, 1, 0])

    def beside(model, pool, **_):
        boxes = [pool.boxes(i) for i in range(len(pool))]
        return [
            Predictions(xyxy=b.xyxy + shift, labels=b.labels, scores=np.full(len(b), 0.9))
            for b in boxes
        ]

    monkeypatch.setattr(evaluating, "predict", beside)
    data = dataset(test=4)
    done = judged(small, data)
    out = evaluating.write(done, tmp_path / "out")
    truth = json.loads((out / "truth.json").read_text())
    labelled = json.loads((data / "test" / "_annotations.coco.json").read_text())
    for written, given in zip(truth["annotations"], labelled["annotations"], strict=True):
        assert written["bbox"] == pytest.approx(given["bbox"])
    assert {(image["width"], image["height"]) for image in truth["images"]} == {(SIDE, SIDE)}
    predictions = json.loads((out / "predictions.json").read_text())
    for one, given in zip(predictions, labelled["annotations"], strict=True):
        assert one["bbox"] == pytest.approx(np.add(given["bbox"], [1.5, 0, 0, 0]))
    both = COCO(out / "truth.json")
    evaluation = COCOeval(both, both.loadRes(str(out / "predictions.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert done.evaluation.metrics["mAP"] == pytest.approx(evaluation.stats[0])
    assert 0.5 < evaluation.stats[0] < 1
