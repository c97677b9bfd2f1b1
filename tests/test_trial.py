"""A trial without Ray: rungs, resumption, and the check that the settings in force are those proposed."""

import shutil

import pytest
import torch

from syndet_ray import Detector, Mix, Recipe, Training
from syndet_ray.errors import NonFiniteLoss, SyndetError
from syndet_ray.tuning import trial as trials
from syndet_ray.tuning.trial import Task, check_effective, run_trial

RECIPE = Recipe(
    mix=Mix(synthetic=0.0),
    detector=Detector(name="fasterrcnn_tiny"),
    training=Training(images=12, batch_size=4, crop_px=96),
)


def run(squares, tmp_path, restore=None, recipe=RECIPE):
    """Runs a trial on real images alone; returns its reports and keeps its checkpoints under tmp_path."""
    reports = []

    def report(images, metrics, effective, folder):
        shutil.copytree(folder, tmp_path / str(images))
        reports.append((images, metrics, effective))

    task = Task(0, recipe.flat(), rungs=3, seed=1, cache=str(tmp_path / "cache"), threads=1)
    run_trial(task, squares(8), squares(3, seed=7), device=torch.device("cpu"), restore=restore, report=report)
    return reports


def test_a_trial_reports_at_every_rung_and_goes_on_from_any(squares, tmp_path):
    whole = run(squares, tmp_path)
    assert [images for images, _, _ in whole] == [4, 8, 12]
    assert {"val/mAP", "val/AP50", "val/AP/big", "train/loss", "images_per_second"} <= whole[0][1].keys()
    (tmp_path / "again").mkdir()
    rest = run(squares, tmp_path / "again", restore=tmp_path / "4")
    assert [images for images, _, _ in rest] == [8, 12]
    for (_, expected, _), (_, found, _) in zip(whole[1:], rest, strict=True):
        for name in ("val/mAP", "train/loss", "train/learning_rate"):
            assert found[name] == expected[name], name


def test_a_source_without_a_share_is_not_rendered(squares, tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "generate", lambda *_: pytest.fail("rendered scenes that nobody sees"))
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


@pytest.mark.parametrize(
    ("path", "value"), [("training.learning_rate", 0.5), ("training.batch_size", 3), ("mix.synthetic", 0.1)]
)
def test_a_setting_that_is_not_in_force_fails_the_trial(squares, tmp_path, monkeypatch, path, value):
    effective = trials.Trainer.effective.fget
    monkeypatch.setattr(trials.Trainer, "effective", property(lambda self: effective(self) | {path: value}))
    with pytest.raises(SyndetError, match=rf"trial: {path}: was proposed as .* but is not in force so, got {value}"):
        run(squares, tmp_path)


def test_equal_settings_pass_whatever_their_type():
    check_effective({"a": 0.1 + 0.2, "b": 3, "c": "x", "d": 1.0}, {"a": 0.3, "b": 3, "c": "x"})
