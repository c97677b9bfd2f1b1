"""Models, augmentation and training: what is asked is what happens, and a restored trainer goes on bit-equal."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from syndet_ray import Detector, Mix, Recipe, Training
from syndet_ray.boxes import Boxes
from syndet_ray.detection.augment import augment
from syndet_ray.detection.models import build, load_model, save_model
from syndet_ray.detection.score import predict
from syndet_ray.detection.train import Trainer, rate_factor
from syndet_ray.errors import DataError, DefinitionError, MachineError, NonFiniteLoss

CPU = torch.device("cpu")
TINY = Detector(name="fasterrcnn_tiny")


def recipe(**training):
    given = {"images": 16, "batch_size": 4, "crop_px": 96} | training
    return Recipe(mix=Mix(synthetic=0.5), detector=TINY, training=Training(**given))


def trainer(squares, seed=1, **training):
    pools = {"real": squares(8), "synthetic": squares(6, seed=1, name="synthetic")}
    return Trainer(recipe(**training), pools, device=CPU, seed=seed)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_a_restored_trainer_goes_on_bit_equal(squares, tmp_path):
    whole = trainer(squares)
    whole.train_until(16)
    first = trainer(squares)
    first.train_until(8)
    first.save(tmp_path)
    torch.rand(100)  # another trial in the same process
    second = trainer(squares)
    second.load(tmp_path)
    assert second.images_seen == 8
    second.train_until(16)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_training_learns(squares):
    made = trainer(squares, images=160, learning_rate=2e-3, scale_jitter=0.1)
    early = made.train_until(32).metrics["train/loss"]
    late = made.train_until(160).metrics["train/loss"]
    assert late < 0.8 * early


def test_the_mix_is_what_was_asked_and_is_told(squares):
    made = trainer(squares)
    stats = made.train_until(14)
    assert made.images_seen == 14, "the last batch is shorter"
    assert made.effective["drawn"] == {"real": 7, "synthetic": 7}
    assert stats.metrics["realised/synthetic"] == 0.5


def test_effective_settings_are_read_off_what_trains(squares):
    made = trainer(squares, learning_rate=3e-3, weight_decay=0.2, optimizer="sgd")
    found = made.effective
    for path, value in made.recipe.flat().items():
        if path in found and path != "mix.synthetic_images":
            assert found[path] == value, path
    made._optimizer.param_groups[0]["initial_lr"] = 0.5
    assert made.effective["training.learning_rate"] == 0.5


def test_a_loss_that_is_not_finite_ends_training(squares):
    made = trainer(squares)
    with torch.no_grad():
        next(made.model.parameters()).fill_(float("nan"))
    with pytest.raises(
        NonFiniteLoss, match=r"training after 0 images: the loss must be finite, got .*nan.* Lower training"
    ):
        made.train_until(8)


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 64), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls_to_its_end(images, batch, warmup, final):
    training = Training(images=images, batch_size=batch, warmup=warmup, final_rate=final)
    seen = range(0, images, batch)
    factors = [rate_factor(i, training) for i in seen]
    assert all(0 < factor <= 1 for factor in factors) or final == 0
    border = round(warmup * images)
    rising = [f for i, f in zip(seen, factors, strict=True) if i < border]
    falling = [f for i, f in zip(seen, factors, strict=True) if i >= border]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert math.isclose(rate_factor(images, training), final, abs_tol=1e-9) or border == images


@pytest.mark.parametrize(("images", "batch", "warmup"), [(8, 8, 0.0), (8, 8, 0.5), (8, 16, 1.0)])
def test_one_single_batch_trains_at_the_full_rate(images, batch, warmup):
    assert rate_factor(0, Training(images=images, batch_size=batch, warmup=warmup)) == 1.0


def test_frozen_stages_do_not_move(squares):
    frozen = Detector(name="fasterrcnn_tiny", frozen_stages=2)
    made = Trainer(
        recipe().model_copy(update={"detector": frozen}),
        {"real": squares(4), "synthetic": squares(4)},
        device=CPU,
        seed=0,
    )
    before = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    made.train_until(8)
    moved = {name for name, p in made.model.named_parameters() if not torch.equal(p, before[name])}
    assert not any(name.startswith(("backbone.stages.0", "backbone.stages.1")) for name in moved)
    assert any(name.startswith("backbone.stages.2") for name in moved)


def test_a_saved_model_predicts_the_same(squares, tmp_path):
    model, _ = build(TINY, ("small", "big"), seed=3)
    save_model(tmp_path, model, TINY, ("small", "big"))
    again, classes = load_model(tmp_path)
    assert classes == ("small", "big")
    (a,), (b,) = predict(model, squares(1), device=CPU), predict(again, squares(1), device=CPU)
    np.testing.assert_array_equal(a.xyxy, b.xyxy)
    np.testing.assert_array_equal(a.scores, b.scores)


@pytest.mark.parametrize("name", ["fasterrcnn_tiny", "fasterrcnn_resnet50_fpn_v2"])
def test_images_are_taken_at_their_own_scale_in_training_and_after(name):
    model, _ = build(Detector(name=name), ("a",), seed=0)
    image = torch.zeros(3, 96, 160)
    for mode in (True, False):
        batch, _ = model.train(mode).transform([image])
        assert batch.image_sizes == [(96, 160)]
        assert batch.tensors.shape == (1, 3, 96, 160)


def test_weights_of_other_classes_are_carried_over_by_name(tmp_path):
    model, _ = build(TINY, ("x", "small", "big"), seed=3)
    save_model(tmp_path, model, TINY, ("x", "small", "big"))
    file = tmp_path / "model.safetensors"
    made, report = build(Detector(name="fasterrcnn_tiny", weights=str(file)), ("big", "new"), seed=4)
    old, new = (
        load_file(file)["roi_heads.box_predictor.cls_score.weight"],
        made.roi_heads.box_predictor.cls_score.weight,
    )
    assert torch.equal(new[1], old[3])
    assert torch.equal(new[0], old[0])
    assert report.reinitialised == ()
    assert len(report.loaded) == len(made.state_dict())


def test_weights_that_do_not_fit_are_reported(tmp_path):
    from safetensors.torch import save_file

    model, fresh = build(TINY, ("a",), seed=0)
    assert len(fresh.reinitialised) == len(model.state_dict())
    name = "backbone.stages.0.0.0.weight"
    save_file(
        {
            name: torch.zeros(1),
            "stranger": torch.zeros(2),
            "backbone.smooth.0.weight": model.state_dict()["backbone.smooth.0.weight"],
        },
        tmp_path / "w.safetensors",
    )
    _, report = build(Detector(name="fasterrcnn_tiny", weights=str(tmp_path / "w.safetensors")), ("a",), seed=0)
    assert report.loaded == ("backbone.smooth.0.weight",)
    assert set(report.skipped) == {name, "stranger"}
    assert name in report.reinitialised


def test_weights_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"nowhere\.safetensors: is not a readable"):
        build(Detector(name="fasterrcnn_tiny", weights="nowhere.safetensors"), ("a",), seed=0)
    with pytest.raises(DefinitionError, match="torchvision has no weights for fasterrcnn_tiny"):
        build(Detector(name="fasterrcnn_tiny", weights="torchvision"), ("a",), seed=0)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(
        MachineError, match=r"torchvision's weights cannot be fetched .*name the file in detector\.weights"
    ):
        build(Detector(name="fasterrcnn_resnet50_fpn_v2", weights="torchvision"), ("a",), seed=0)


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(DataError, match="is not a saved model"):
        load_model(tmp_path)


def test_resnet50_trains_a_step_and_predicts_at_the_photos_own_scale(squares):
    big = Recipe(
        mix=Mix(synthetic=0),
        detector=Detector(name="fasterrcnn_resnet50_fpn_v2", frozen_stages=3),
        training=Training(images=1, batch_size=1, crop_px=64),
    )
    made = Trainer(big, {"real": squares(1, side=64)}, device=CPU, seed=0)
    assert math.isfinite(made.train_until(1).metrics["train/loss"])
    (found,) = predict(made.model, squares(1, side=64), device=CPU)
    assert found.xyxy.max(initial=0) <= 64


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([64, 96, 160]), st.floats(0, 0.9))
def test_boxes_follow_their_objects_through_every_change(seed, side, jitter):
    rng = np.random.default_rng(seed)
    image = np.zeros((120, 100, 3), np.uint8)
    x, y = rng.integers(0, 70), rng.integers(0, 90)
    image[y : y + 24, x : x + 18] = 255
    boxes = Boxes.of([[x, y, x + 18, y + 24], [0, 0, 100, 120]], [1, 0], crowd=[False, True])
    crop, kept = augment(image, boxes, Training(crop_px=side, scale_jitter=jitter, color_jitter=0.0), rng)
    assert crop.shape == (side, side, 3)
    assert kept.labels.tolist() in ([], [1]), "crowds never train"
    bright = np.argwhere(crop.min(axis=2) > 200)
    if len(kept):
        (y1, x1), (y2, x2) = bright.min(axis=0), bright.max(axis=0) + 1
        np.testing.assert_allclose(kept.xyxy[0], [x1, y1, x2, y2], atol=1.6)


def test_colours_change_and_nothing_else(squares):
    pool = squares(1)
    plain, coloured = (
        augment(pool.image(0), pool.boxes(0), Training(crop_px=96, color_jitter=c), np.random.default_rng(5))
        for c in (0.0, 0.8)
    )
    np.testing.assert_array_equal(plain[1].xyxy, coloured[1].xyxy)
    assert (plain[0] != coloured[0]).mean() > 0.5
    again = augment(pool.image(0), pool.boxes(0), Training(crop_px=96, color_jitter=0.8), np.random.default_rng(5))
    np.testing.assert_array_equal(coloured[0], again[0])
