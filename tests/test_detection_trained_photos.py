"""Photos that a model was trained on are known again, wherever they lie and however labelled."""

import json
import shutil

import numpy as np
import pytest
from made_detections import TINY
from test_data_mix_ups import photo, write
from test_detection_train import trainer
from test_predict import CLASSES, judged

from syndet_ray.data.convert import convert
from syndet_ray.data.decode import decode
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import read
from syndet_ray.deploy import evaluate as evaluating
from syndet_ray.detection.models import build, save_model
from syndet_ray.detection.trained_photos import (
    TRAINED_PHOTOS,
    count_trained,
    read_trained_photos,
    write_trained_photos,
)
from syndet_ray.errors import DataError


@pytest.fixture
def photos(tmp_path):
    """Three labelled photos in YOLO's format."""
    for i in range(3):
        photo(tmp_path / f"photos/images/{i}.png", i)
        write(tmp_path / f"photos/labels/{i}.txt", "0 .5 .5 .4 .4\n")
    write(tmp_path / "photos/classes.txt", "\n".join(CLASSES))
    return tmp_path / "photos"


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """Scores a model on photos; it was trained on the photos of these pools, None for no list."""
    monkeypatch.setattr(evaluating, "RESAMPLES", 2)

    def score(folder, *pools, has_list=True):
        model = tmp_path / "model"
        save_model(model, build(TINY, CLASSES, seed=0)[0], TINY, CLASSES)
        if has_list:
            write_trained_photos(model, pools)
        return judged(model, folder)

    return score


def decoded(folder):
    return decode(read(folder).splits["train"])


def test_photos_of_the_training_are_told_in_another_folder_and_format(photos, scored, tmp_path):
    pool = decoded(photos)
    convert(read(photos), tmp_path / "elsewhere", "coco")
    for path in (tmp_path / "elsewhere").rglob("*.json"):
        shutil.move(path, path.with_name("instances_test.json"))
    shutil.move(tmp_path / "elsewhere/images/train", tmp_path / "elsewhere/images/test")
    result = scored(tmp_path / "elsewhere", pool)
    assert (result.split, result.trained_on) == ("test", 3)
    assert result.notes[0].startswith("the model was trained on all photos, as the content of")
    assert evaluating.scores(result)["trained_on"] == 3


def test_some_photos_of_the_training_are_counted(photos, scored):
    pool = decoded(photos)
    photo(photos / "images/1.png", 99)
    result = scored(photos, pool.select([0]), pool.select([0, 1]))
    assert result.trained_on == 1
    assert result.notes[0].startswith("the model was trained on 1 of the 3 photos")


def test_nothing_is_said_of_a_model_without_a_list_or_of_new_photos(photos, scored):
    pool = decoded(photos)
    unknown, new = scored(photos, has_list=False), scored(photos, pool.select([]))
    assert (unknown.trained_on, new.trained_on) == (None, 0)
    assert not any("the model was trained on" in note for note in (*unknown.notes, *new.notes))


def test_scenes_and_images_that_were_no_files_are_no_photos(photos, tmp_path):
    pool = decoded(photos)
    drawn = Pool.of("scenes", CLASSES, [], [], [], synthetic=True)
    scenes = decode(read(photos).splits["train"].select([0]))
    object.__setattr__(scenes, "synthetic", True)
    write_trained_photos(tmp_path, [drawn, scenes])
    assert len(read_trained_photos(tmp_path)) == 0
    assert count_trained(drawn, read_trained_photos(tmp_path)) is None
    assert count_trained(pool, None) is None


def test_a_checkpoint_lists_the_photos_of_its_training(squares, photos, tmp_path):
    trainer(squares).save(tmp_path / "drawn")
    assert read_trained_photos(tmp_path / "drawn").tolist() == []
    pool = decoded(photos)
    pool.save(tmp_path / "pool")
    again = Pool.load(tmp_path / "pool")
    write_trained_photos(tmp_path, [again])
    assert read_trained_photos(tmp_path).tolist() == sorted(pool.contents.tolist())


@pytest.mark.parametrize(
    "content", [b"", b"x" * 99, np.lib.format.magic(1, 0), b"\x80\x04.", "floats", "endless"]
)
def test_a_damaged_list_is_named(tmp_path, content):
    file = tmp_path / TRAINED_PHOTOS
    if content == "floats":
        np.save(file, np.zeros(3))
    elif content == "endless":  # its header promises more than there is
        about = {"descr": "<u8", "fortran_order": False, "shape": (2**44,)}
        with file.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, about)
    else:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"photos\.npy: is not a list of the photos of a training"):
        read_trained_photos(tmp_path)


def test_the_scores_of_a_model_are_json_with_or_without_a_list(photos, scored):
    for has_list in (True, False):
        result = scored(photos, has_list=has_list)
        assert json.loads(json.dumps(evaluating.scores(result)))["trained_on"] == result.trained_on
