"""Pictures: the galleries hold the best and the worst, and what training showed is shown without
rendering all of it again.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import SWEEP, made_run

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.detection.score import Predictions
from syndet_ray.runs.pictures import (
    best_and_worst,
    labelled_picture,
    predicted_picture,
    show_training,
)
from syndet_ray.runs.results import Picture, Trial
from syndet_ray.scenes import generate as generating
from syndet_ray.scenes.generate import generate

IMAGE = np.zeros((50, 50, 3), np.uint8)


def picture(hits, missed, alarms):
    """One with so many objects found, missed, and false alarms."""
    boxes = np.array(
        [[12.0 * k, 0, 12 * k + 10, 10] for k in range(hits + missed + alarms)]
    ).reshape(-1, 4)
    truth = boxes[: hits + missed]
    predictions = np.concatenate([boxes[:hits], boxes[hits + missed :]])
    return Picture(
        image=IMAGE,
        xyxy=predictions,
        names=("a",) * len(predictions),
        scores=(0.9,) * len(predictions),
        truth=truth,
        truth_names=("a",) * len(truth),
    )


def shape(pictures):
    return [(len(p.xyxy), len(p.truth_names)) for p in pictures]


def test_the_best_agree_with_the_truth_and_the_worst_do_not():
    every = [
        picture(1, 1, 0),
        picture(3, 0, 0),
        picture(0, 2, 1),
        picture(1, 0, 0),
        picture(2, 1, 3),
    ]
    best, worst = best_and_worst(every, count=2)
    assert shape(best) == [(3, 3), (1, 1)], "among equals the one with more to see"
    assert shape(worst) == [(1, 2), (5, 3)], "the worst first"


def test_a_picture_with_nothing_in_it_is_in_no_gallery_and_one_with_a_false_alarm_alone_is_among_the_worst():
    best, worst = best_and_worst([picture(0, 0, 0), picture(0, 0, 1), picture(2, 0, 0)])
    assert (shape(best), shape(worst)) == ([(2, 2)], [(1, 0)])


def test_no_picture_is_in_both_galleries():
    every = [picture(k % 4, k % 3, k % 2) for k in range(1, 9)]
    best, worst = best_and_worst(every, count=6)
    assert not {id(p) for p in best} & {id(p) for p in worst}
    assert (len(best), len(worst)) == (4, 4)
    assert best_and_worst([]) == ([], [])


def test_what_is_ignored_in_scores_is_neither_missed_nor_a_false_alarm_in_pictures():
    crowd = [25, 25, 50, 50]
    boxes = Boxes.of([[5, 5, 15, 15], crowd], labels=[0, 0], crowd=[False, True])
    pool = Pool.of("real", ("a", "b"), [IMAGE], [boxes], ["1"])
    predictions = Predictions(
        xyxy=np.array([[5, 5, 15, 15], [30, 30, 40, 40], [30, 30, 40, 40], [20, 0, 30, 10]], float),
        labels=np.array([0, 0, 1, 0]),
        scores=np.full(4, 0.9),
    )
    shown = predicted_picture(pool, 0, predictions)
    assert labelled_picture(pool, 0).names == shown.truth_names == ("a",)
    assert shown.names == ("a", "b", "a"), "the crowd is one of class a"
    assert shown.xyxy[2].tolist() == [20, 0, 30, 10], "a false alarm outside of the crowd"


def test_a_prediction_that_hits_an_object_within_a_crowd_is_shown():
    boxes = Boxes.of([[5, 5, 15, 15], [0, 0, 50, 50]], labels=[0, 0], crowd=[False, True])
    pool = Pool.of("real", ("a",), [IMAGE], [boxes], ["1"])
    hit = Predictions(
        xyxy=np.array([[5.0, 5, 15, 15]]), labels=np.zeros(1, int), scores=np.full(1, 0.9)
    )
    assert predicted_picture(pool, 0, hit).names == ("a",)


SMALL = {
    "scene.objects": 2,
    "scene.image_px": 64,
    "scene.size_px": (16, 20),
    "mix.synthetic_images": 20,
}
SHOWN = [0, 2, 5, 7, 10, 12, 15, 17]  # of twenty scenes


def trained_on(**changes):
    """A trial of a recipe with small scenes."""
    return Trial(number=2, role="search", params={}, recipe=SWEEP.recipe.replace(SMALL | changes))


@pytest.fixture
def show(tmp_path, squares):
    """Shows what a trial was trained on; returns the synthetic pictures, and what was noted."""
    folder = made_run().write(tmp_path / "run")

    def call(trial, **given):
        notes = []
        show_training(folder, trial, squares(3), tmp_path / "cache", notes.append, **given)
        assert len(folder.pictures("real")) == 3
        return folder.pictures("synthetic"), notes

    return call


def whole_set(trial, cache):
    recipe = trial.recipe
    ((parameters, count),) = recipe.scenes().values()
    return generate(parameters, count, SWEEP.seed, cache)


def same(pictures, pool, indices):
    assert len(pictures) == len(indices)
    for shown, i in zip(pictures, indices, strict=True):
        np.testing.assert_array_equal(shown.image, pool.image(i))
        np.testing.assert_allclose(shown.xyxy, pool.boxes(i).xyxy, atol=0.01)


def test_a_set_that_is_there_is_not_rendered_again(show, tmp_path, monkeypatch):
    trial = trained_on()
    pool = whole_set(trial, tmp_path / "cache")
    monkeypatch.setattr(generating, "draw_scene", lambda *_: pytest.fail("rendered again"))
    pictures, notes = show(trial)
    assert notes == []
    same(pictures, pool, SHOWN)


def test_of_a_set_that_is_not_there_only_what_is_shown_is_rendered(show, tmp_path, monkeypatch):
    trial, drawn = trained_on(), []
    original = generating.draw_scene

    def noted(parameters, seed, index, count):
        drawn.append(index)
        return original(parameters, seed, index, count)

    with monkeypatch.context() as patched:
        patched.setattr(generating, "draw_scene", noted)
        pictures, notes = show(trial)
    assert (notes, drawn) == ([], SHOWN)
    same(pictures, whole_set(trial, tmp_path / "elsewhere"), SHOWN)


def test_what_cannot_be_rendered_is_noted_and_the_rest_is_shown(show, tmp_path):
    program = f"command:{sys.executable} {Path(__file__).parents[1] / 'benchmarks' / 'command_generator.py'}"
    sources = {
        "theirs": {"kind": "scenes", "changes": {"scene.generator": program}},
        "lost": {"kind": "scenes", "changes": {"scene.assets": str(tmp_path / "gone")}},
        "ours": {"kind": "scenes"},
    }
    pictures, notes = show(trained_on(**{"mix.sources": sources}))
    assert len(pictures) == 2
    assert notes == [
        f"the report does not show the scenes of theirs: {tmp_path / 'cache'}: does not hold what {program} made.",
        f"the report does not show the scenes of lost: {tmp_path / 'gone'}: does not exist. "
        "Give a folder, or a built-in name.",
    ]


def test_a_synthetic_dataset_made_elsewhere_is_shown(show, squares, tmp_path):
    sources = {"synthetic": {"kind": "synthetic", "folder": "bought"}}
    trial = trained_on(**{"mix.sources": sources, "mix.synthetic": 0.5})
    bought = squares(4)
    pictures, notes = show(trial, others={"bought": bought, "more photos": squares(2)})
    assert notes == [] and not (tmp_path / "cache").exists()
    same(pictures, bought, range(4))


def test_a_set_that_is_damaged_and_a_disk_that_is_full_end_no_run(show, tmp_path, monkeypatch):
    trial = trained_on()
    whole_set(trial, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*/pixels.npy")
    file.write_bytes(b"half")
    pictures, (note,) = show(trial)
    assert pictures == []
    assert "the scenes of synthetic: " in note
    assert "is not a readable pool" in note
    shutil.rmtree(file.parent)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Pool, "image", full)
    _, notes = show(trial)
    assert all("No space left on device" in note for note in notes)
    assert len(notes) == 2
