"""Models, augmentation and training: what is asked is what happens, and a restored trainer goes on
bit-equal.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_detections import TINY
from safetensors.torch import load_file, save_file

from syndet_ray import Mix, Photos, Recipe, Scenes, Training
from syndet_ray.boxes import Boxes
from syndet_ray.detection.architectures import COCO_ANCHORS_PX, COCO_RATIOS
from syndet_ray.detection.augment import Augmenter
from syndet_ray.detection.models import build, load_model, save_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.rate import RateSchedule
from syndet_ray.detection.train import Trainer
from syndet_ray.errors import DataError, DefinitionError, MachineError, NonFiniteLoss, SyndetError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
# As a sweep settles torchvision's detectors, without fetching their weights.
RESNET50 = TINY.model_copy(
    update={
        "backbone": "resnet50_fpn_v2",
        "anchor_px": COCO_ANCHORS_PX,
        "aspect_ratios": COCO_RATIOS,
    }
)


def recipe(**training):
    given = {"images": 16, "batch_size": 4, "crop_px": 96} | training
    return Recipe(mix=Mix(synthetic=0.5), detector=TINY, training=Training(**given))


def trainer(squares, seed=1, mix=None, detector=TINY, restore=None, **training):
    """A trainer of the recipe above, or of another mix; every source of it has a few pictures of
    its own.
    """
    made = recipe(**training).replace({f"mix.{name}": value for name, value in (mix or {}).items()})
    made = made.model_copy(update={"detector": detector})
    pools = {"real": squares(8)} | {
        name: squares(6, seed=k, name=name) for k, name in enumerate(made.mix.sources, start=1)
    }
    return Trainer(made, pools, device=CPU, seed=seed, restore=restore)


def drawn_in_order(made, images):
    """The (source, index) of every image that a trainer draws until so many are seen."""
    found, draw = [], made._mixer.draw

    def noted(shares, count):
        found.extend(batch := draw(shares, count))
        return batch

    made._mixer.draw = noted
    made.train_until(images)
    return found


THREE = {
    "ours": Scenes(),
    "crowded": Scenes(changes={"scene.objects": 70}),
    "theirs": Photos(folder="theirs"),
}


@pytest.mark.parametrize(
    "mix",
    [
        {},
        {"schedule": "staged", "switch_at": 0.55},  # in the middle of a batch, after the restart
        {"schedule": "staged", "switch_at": 0.5},  # with the restart
        {"schedule": "annealed", "synthetic": 0.6, "anneal": "cosine", "sources": THREE},
    ],
)
def test_a_restored_trainer_goes_on_bit_equal(squares, tmp_path, mix):
    given = {"mix": mix, "rate_after_switch": 0.5}
    whole = trainer(squares, **given)
    whole.train_until(16)
    first = trainer(squares, **given)
    first.train_until(8)
    first.save(tmp_path)
    torch.rand(100)  # another trial in the same process
    second = trainer(squares, **given, restore=tmp_path)
    assert second.images_seen == 8
    second.train_until(16)
    assert second.effective == whole.effective
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def clocked(stats):
    """Metrics that two trainings may share."""
    return {name: value for name, value in stats.metrics.items() if name != "images_per_second"}


def test_a_trainer_saved_between_two_steps_goes_on_bit_equal(squares, tmp_path):
    """With the same means of the losses, which began before it was saved."""
    given = {"images": 20, "batch_size": 2, "crop_px": 64, "average": 0.5}
    whole = trainer(squares, **given)
    expected = [clocked(whole.train_until(images)) for images in (10, 20)]
    first = trainer(squares, **given)

    def save(images_seen):
        if images_seen in (4, 14):
            first.save(tmp_path / str(images_seen))

    first.train_until(10, on_step=save)
    first.train_until(20, on_step=save)
    second = trainer(squares, **given, restore=tmp_path / "4")
    assert second.images_seen == 4
    assert [clocked(second.train_until(images)) for images in (10, 20)] == expected
    third = trainer(squares, **given, restore=tmp_path / "14")
    assert clocked(third.train_until(20)) == expected[1]
    for made in (second, third):
        assert made.effective == whole.effective
        for name, tensor in whole.model.state_dict().items():
            assert torch.equal(tensor, made.model.state_dict()[name]), name


@pytest.fixture
def started_from_a_file(squares, tmp_path):
    """Makes trainers of a detector that starts from the backbone in a file, its first stages
    frozen; and the file.
    """
    file = tmp_path / "body.safetensors"
    body = {
        name: tensor
        for name, tensor in build(TINY, ("a",), seed=5)[0].state_dict().items()
        if ".body." in name
    }
    save_file(body | {"stranger": torch.zeros(2)}, file)
    detector = TINY.model_copy(update={"weights": str(file), "frozen_stages": 2})

    def make(restore=None):
        return trainer(squares, detector=detector, average=0.25, restore=restore)

    return make, file


def test_a_trainer_is_restored_without_the_file_of_its_starting_weights(
    started_from_a_file, tmp_path
):
    make, file = started_from_a_file
    whole = make()
    whole.train_until(16)
    first = make()
    first.train_until(8)
    first.save(tmp_path / "8")
    file.unlink()
    generator = torch.get_rng_state()
    second = make(restore=tmp_path / "8")
    assert torch.equal(torch.get_rng_state(), generator), (
        "another trial in the process may draw from it"
    )
    assert second.weights == first.weights
    assert second.weights.skipped == ("stranger",)
    second.train_until(16)
    assert second.effective == whole.effective
    assert second.effective["detector.weights"] == str(file)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    second.save(tmp_path / "16")
    third = make(restore=tmp_path / "16")
    assert third.weights == first.weights, "a trial may be interrupted more than once"


def test_a_checkpoint_that_does_not_say_what_was_loaded_needs_the_file(
    started_from_a_file, tmp_path
):
    make, file = started_from_a_file
    first = make()
    first.train_until(8)
    first.save(tmp_path / "8")
    state = json.loads((tmp_path / "8" / "trainer.json").read_text())
    del state["weights"]  # as earlier versions wrote it
    (tmp_path / "8" / "trainer.json").write_text(json.dumps(state))
    second = make(restore=tmp_path / "8")
    assert second.weights == first.weights
    assert second.images_seen == 8
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    file.unlink()
    with pytest.raises(DataError, match=r"body\.safetensors: is not a readable"):
        make(restore=tmp_path / "8")


def test_training_learns(squares):
    made = trainer(squares, images=160, learning_rate=2e-3, scale_jitter=0.1)
    early = made.train_until(32).metrics["train/loss"]
    late = made.train_until(160).metrics["train/loss"]
    assert late < 0.8 * early


def test_the_mix_is_what_was_asked_and_is_reported(squares):
    made = trainer(squares)
    stats = made.train_until(14)
    assert made.images_seen == 14, "the last batch is shorter"
    assert made.effective["drawn"] == {"real": 7, "synthetic": 7}
    assert stats.metrics["realised/synthetic"] == 0.5


@pytest.mark.parametrize(
    ("mix", "after"),
    [
        ({"schedule": "mixed", "synthetic": 0.75}, {6: 4.5, 13: 9.75, 20: 15}),
        ({"schedule": "staged", "switch_at": 0.35}, {6: 6, 7: 7, 13: 7, 20: 7}),
        ({"schedule": "annealed", "synthetic": 0.5}, {6: 5.1, 13: 8.775, 20: 10}),
        ({"schedule": "annealed", "synthetic": 0.75}, {20: 15}),
        ({"schedule": "real_only"}, {6: 0, 20: 0}),
        ({"schedule": "synthetic_only"}, {6: 6, 20: 20}),
    ],
)
def test_every_schedule_draws_what_it_plans(squares, mix, after):
    """after: the synthetic images that are planned after so many."""
    made = trainer(squares, mix=mix, images=20, batch_size=4, crop_px=64)
    for images, planned in after.items():
        metrics = made.train_until(images).metrics
        drawn = made.effective["drawn"].get("synthetic", 0)
        assert abs(drawn - planned) < 1
        assert made.effective["planned"].get("synthetic", 0) == pytest.approx(planned)
        assert metrics["realised/synthetic"] == drawn / images
        assert metrics.keys() & {"realised/real", "realised/theirs"} == set()
    assert drawn == planned, "nothing is left over at the end"


def test_staged_shows_all_that_is_synthetic_before_anything_real(squares):
    made = trainer(
        squares,
        mix={"schedule": "staged", "switch_at": 0.5, "sources": THREE},
        images=24,
        crop_px=64,
    )
    shown = [source for source, _ in drawn_in_order(made, 24)]
    assert set(shown[:12]) == set(THREE)
    assert shown[12:] == ["real"] * 12
    assert made.effective["drawn"] == {"real": 12, "ours": 4, "crowded": 4, "theirs": 4}
    assert made.effective["switch_at"] == 0.5


def test_each_of_several_synthetic_sources_is_reported(squares):
    parts = {"ours": 0.5, "crowded": 0.5}
    made = trainer(squares, mix={"sources": THREE, "parts": parts})
    metrics = made.train_until(16).metrics
    found = {name: value for name, value in metrics.items() if name.startswith("realised/")}
    assert found == {"realised/synthetic": 0.5, "realised/ours": 0.25, "realised/crowded": 0.25}
    assert made.effective["pools"].keys() == {"real", "ours", "crowded"}, "theirs has no share"
    assert made.effective["real_images"] == 8


@pytest.mark.parametrize("lost", ["real", "ours"])
def test_a_source_with_a_share_needs_images_and_one_without_needs_none(squares, lost):
    made = recipe().replace({"mix.sources": THREE, "mix.parts": {"ours": 1.0}})
    pools = {"real": squares(4), "ours": squares(4)}
    Trainer(made, pools, device=CPU, seed=0)
    with pytest.raises(SyndetError, match=rf"mix: {lost} has a share but no images, got 0\.5"):
        Trainer(made, pools | {lost: squares(0)}, device=CPU, seed=0)
    del pools[lost]
    with pytest.raises(SyndetError, match=rf"mix: {lost} has a share but no images"):
        Trainer(made, pools, device=CPU, seed=0)


def test_a_curriculum_is_shown_in_order_with_a_source_that_is_not(squares):
    near_to_far = Scenes(changes={"scene.arrangement": "layers", "scene.poses": "curriculum"})
    made = trainer(
        squares,
        mix={"sources": {"lesson": near_to_far, "plain": Scenes()}, "synthetic": 1.0},
        images=24,
    )
    shown = drawn_in_order(made, 24)
    assert [index for source, index in shown if source == "lesson"] == [*range(6), *range(6)]
    assert [index for source, index in shown if source == "plain"][:6] != list(range(6))


@pytest.mark.parametrize(
    ("optimizer", "more"), [("sgd", {"momentum": 0.8}), ("adamw", {"betas": [0.9, 0.999]})]
)
def test_effective_tells_of_every_group_of_parameters(squares, optimizer, more):
    made = trainer(
        squares, learning_rate=3e-3, weight_decay=0.2, momentum=0.8, optimizer=optimizer, warmup=0.5
    )
    made.train_until(6)
    found = made.effective
    groups = found["optimizer"]
    assert found["rate_set_at"] == 4, "the last step began there"
    slow = 3e-3 * made.recipe.detector.backbone_rate
    expected = {
        "weights": (3e-3, 0.2),
        "biases_and_norms": (3e-3, 0.0),
        "backbone_weights": (slow, 0.2),
        "backbone_biases_and_norms": (slow, 0.0),
    }
    assert groups.keys() == expected.keys()
    for name, (rate, decay) in expected.items():
        about = dict(groups[name])
        about.pop("parameters")
        assert about == {"lr": rate, "initial_lr": rate, "weight_decay": decay, **more}
    assert sum(group["parameters"] for group in groups.values()) == found["trainable_parameters"]
    assert (found["real_images"], found["device"], found["seed"], found["switch_at"]) == (
        8,
        "cpu",
        1,
        None,
    )


def test_a_loss_that_is_not_finite_ends_training(squares):
    made = trainer(squares)
    with torch.no_grad():
        next(made.model.parameters()).fill_(float("nan"))
    with pytest.raises(
        NonFiniteLoss,
        match=r"training after 0 images: the loss must be finite, got .*nan.* Lower training",
    ):
        made.train_until(8)


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 64), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls_to_its_end(images, batch, warmup, final):
    rate = RateSchedule(images=images, batch_size=batch, warmup=warmup, final_rate=final)
    seen = range(0, images, batch)
    factors = [rate.factor(i) for i in seen]
    assert all(0 < factor <= 1 for factor in factors) or final == 0
    border = round(warmup * images)
    rising = [f for i, f in zip(seen, factors, strict=True) if i < border]
    falling = [f for i, f in zip(seen, factors, strict=True) if i >= border]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert math.isclose(rate.factor(images), final, abs_tol=1e-9) or border == images


@settings(deadline=None)
@given(
    st.integers(1, 500), st.integers(1, 64), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 10)
)
def test_the_rate_changes_by_its_factor_at_the_switch_and_nowhere_else(
    images, batch, warmup, switch, factor
):
    plain = RateSchedule(images=images, batch_size=batch, warmup=warmup, final_rate=0.01)
    switched, without_stages = (
        replace(plain, rate_after_switch=factor, switch=moment) for moment in (switch, 1.0)
    )
    for seen in range(images + 1):
        after = switch < 1 and seen >= switch * images
        if abs(seen - switch * images) > 1e-3 or seen == switch * images:
            expected = plain.factor(seen) * (factor if after else 1)
            assert math.isclose(switched.factor(seen), expected)
        assert without_stages.factor(seen) == plain.factor(seen), (
            "a training without stages has no switch"
        )


def test_the_rate_after_the_switch_reaches_the_optimizer(squares):
    flat = {"warmup": 0.0, "final_rate": 1.0, "learning_rate": 1e-3, "rate_after_switch": 0.1}
    made = trainer(squares, mix={"schedule": "staged", "switch_at": 0.5}, **flat)
    for images, rate in {4: 1e-3, 8: 1e-3, 12: 1e-4, 16: 1e-4}.items():
        made.train_until(images)
        for name, group in made.effective["optimizer"].items():
            assert group["lr"] == pytest.approx(
                rate * (0.1 if name.startswith("backbone_") else 1)
            ), name
        assert made.effective["training.learning_rate"] == 1e-3, "the peak"


@pytest.mark.parametrize(("images", "batch", "warmup"), [(8, 8, 0.0), (8, 8, 0.5), (8, 16, 1.0)])
def test_one_single_batch_trains_at_the_full_rate(images, batch, warmup):
    assert (
        RateSchedule(images=images, batch_size=batch, warmup=warmup, final_rate=0.01).factor(0)
        == 1.0
    )


# What test_efficientnet is made of, stage by stage: each ends where the stride doubles.
STAGES = (
    ("conv_stem.", "bn1.", "blocks.0."),
    ("blocks.1.",),
    ("blocks.2.",),
    ("blocks.3.",),
    ("blocks.4.",),
)


def trained_with_frozen(squares, stages):
    """A trainer of 8 images, the first stages frozen; and which parameters and which running
    statistics moved.
    """
    detector = TINY.model_copy(update={"frozen_stages": stages})
    pools = {"real": squares(4), "synthetic": squares(4)}
    made = Trainer(recipe().model_copy(update={"detector": detector}), pools, device=CPU, seed=0)
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    made.train_until(8)
    return made, {
        name
        for name, tensor in made.model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }


def of_stages(stages):
    return tuple(f"backbone.body.net.{module}" for stage in stages for module in stage)


@pytest.mark.parametrize("count", [1, 2])
def test_frozen_stages_do_not_move(squares, count):
    made, moved = trained_with_frozen(squares, count)
    frozen = of_stages(STAGES[:count])
    assert not any(name.startswith(frozen) for name in moved), (
        "neither parameters nor running statistics"
    )
    later = {name for name in made.model.state_dict() if name.startswith(of_stages(STAGES[count:]))}
    assert later <= moved
    assert made.effective["detector.frozen_stages"] == count
    trained = [
        p.numel() for name, p in made.model.named_parameters() if not name.startswith(frozen)
    ]
    assert made.effective["trainable_parameters"] == sum(trained)


@pytest.mark.parametrize("count", [5, "all"])
def test_a_backbone_that_is_frozen_as_a_whole_has_no_group_of_its_own(squares, count):
    made, moved = trained_with_frozen(squares, count)
    assert not any(name.startswith("backbone.body.") for name in moved)
    assert any(name.startswith("backbone.fpn.") for name in moved)
    assert made.effective["optimizer"].keys() == {"weights", "biases_and_norms"}
    assert made.effective["detector.frozen_stages"] == 5


def test_more_frozen_stages_than_there_are_is_refused():
    with pytest.raises(
        DefinitionError, match=r"detector\.frozen_stages: must be at most .* the backbone, 5, got 6"
    ):
        build(TINY.model_copy(update={"frozen_stages": 6}), ("a",), seed=0)


def test_a_saved_model_predicts_the_same(squares, tmp_path):
    model, _ = build(TINY, ("small", "big"), seed=3)
    save_model(tmp_path, model, TINY, ("small", "big"))
    again = load_model(tmp_path)
    assert (again.classes, again.detector) == (("small", "big"), TINY)
    (a,), (b,) = (
        predict(model, squares(1), device=CPU),
        predict(again.model, squares(1), device=CPU),
    )
    np.testing.assert_array_equal(a.xyxy, b.xyxy)
    np.testing.assert_array_equal(a.scores, b.scores)


@pytest.mark.parametrize("detector", [TINY, RESNET50], ids=lambda detector: detector.backbone)
def test_images_are_taken_at_their_own_scale_in_training_and_after(detector):
    model, _ = build(detector, ("a",), seed=0)
    image = torch.zeros(3, 96, 160)
    for mode in (True, False):
        batch, _ = model.train(mode).transform([image])
        assert batch.image_sizes == [(96, 160)]
        assert batch.tensors.shape == (1, 3, 96, 160)


def starting_from(weights, detector=TINY):
    return detector.model_copy(update={"weights": str(weights)})


def test_weights_of_other_classes_are_carried_over_by_name(tmp_path):
    model, _ = build(TINY, ("x", "small", "big"), seed=3)
    save_model(tmp_path, model, TINY, ("x", "small", "big"))
    file = tmp_path / "model.safetensors"
    made, report = build(starting_from(file), ("big", "new"), seed=4)
    old, new = (
        load_file(file)["roi_heads.box_predictor.cls_score.weight"],
        made.roi_heads.box_predictor.cls_score.weight,
    )
    assert torch.equal(new[1], old[3])
    assert torch.equal(new[0], old[0])
    assert report.reinitialised == ()
    assert len(report.loaded) == len(made.state_dict())


def test_weights_that_do_not_fit_are_reported(tmp_path):
    model, fresh = build(TINY, ("a",), seed=0)
    assert len(fresh.reinitialised) == len(model.state_dict())
    name, file = "backbone.fpn.inner_blocks.0.0.weight", tmp_path / "w.safetensors"
    body = {
        key: value for key, value in model.state_dict().items() if key.startswith("backbone.body.")
    }
    save_file(body | {name: torch.zeros(1), "stranger": torch.zeros(2)}, file)
    made, report = build(starting_from(file), ("a",), seed=1)
    assert report.loaded == tuple(sorted(body))
    assert set(report.skipped) == {name, "stranger"}
    assert set(report.reinitialised) == made.state_dict().keys() - body.keys()
    for key, value in body.items():
        assert torch.equal(made.state_dict()[key], value), key


def test_weights_that_lack_a_part_of_the_backbone_are_refused(tmp_path):
    file = tmp_path / "w.safetensors"
    body = {
        key: value
        for key, value in build(TINY, ("a",), seed=0)[0].state_dict().items()
        if ".body." in key
    }
    key = "backbone.body.net.blocks.0.0.conv.weight"
    for wrong in (
        body | {key: torch.zeros(1)},
        {name: value for name, value in body.items() if name != key},
    ):
        save_file(wrong, file)
        with pytest.raises(
            DataError,
            match=r"must hold the backbone test_efficientnet, .* blocks\.0\.0\.conv\.weight",
        ):
            build(starting_from(file), ("a",), seed=0)


def test_weights_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"nowhere\.safetensors: is not a readable"):
        build(starting_from("nowhere.safetensors"), ("a",), seed=0)
    with pytest.raises(
        DefinitionError,
        match=r"there are no COCO weights for test_efficientnet, got 'coco'\. Use imag",
    ):
        build(starting_from("coco"), ("a",), seed=0)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for weights in ("coco", "imagenet"):
        with pytest.raises(
            MachineError,
            match=r"torchvision's weights are not cached and cannot be fetched .*put it into",
        ):
            build(starting_from(weights, RESNET50), ("a",), seed=0)


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(DataError, match="is not a saved model"):
        load_model(tmp_path)


def test_a_model_of_a_version_that_fitted_a_box_for_each_class_is_reported_in_a_line(tmp_path):
    save_model(tmp_path, build(TINY, ("a",), seed=0)[0], TINY, ("a",))
    file = tmp_path / "model.safetensors"
    tensors = {
        name.replace("predictor.box.", "predictor.bbox_pred."): value
        for name, value in load_file(file).items()
    }
    save_file(tensors, file)
    said = rf"{tmp_path}: holds weights of another detector than it describes, .* earlier versions saved them\. Train it again"
    with pytest.raises(DataError, match=said):
        load_model(tmp_path)


MISFITS = [
    (
        "detector.anchor_px",
        (24.0,),
        r"rpn\.head\.cls_logits\.weight is \(1, 64, 1, 1\) here, \(2, 64, 1, 1\) there",
    ),
    ("detector.architecture", "fcos", r"\S+ is \(.*\) here, missing there"),
    ("detector.frozen_stages", 2, r"the optimizer's group backbone_weights is \d+ here, \d+ there"),
    (
        "detector.frozen_stages",
        "all",
        r"the optimizer's group backbone_weights is missing here, \d+ there",
    ),
]


@pytest.mark.parametrize("average", [0.0, 0.25])
@pytest.mark.parametrize(("path", "value", "difference"), MISFITS)
def test_a_checkpoint_of_a_detector_with_other_parameters_is_refused(
    squares, tmp_path, monkeypatch, path, value, difference, average
):
    trainer(squares, average=average).save(tmp_path)
    other = TINY.model_copy(update={path.removeprefix("detector."): value})
    monkeypatch.setattr(
        torch.nn.Module, "load_state_dict", lambda *_: pytest.fail("loaded what does not fit")
    )
    rule = rf"{tmp_path}: does not fit this detector, whose parameters are others \({difference}\): another version or an"
    with pytest.raises(DataError, match=rf"{rule}.*\. Start a new sweep, or go on with"):
        trainer(squares, detector=other, average=average, restore=tmp_path)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error"), ValueError()],
)
@pytest.mark.parametrize("module", [torch.nn.Module, torch.optim.Optimizer])
def test_whatever_else_goes_wrong_while_a_checkpoint_is_loaded_passes(
    squares, tmp_path, monkeypatch, module, error
):
    """A device without memory for a moment is no reason to call the checkpoint unfit, and so to end
    the trial for good.
    """
    trainer(squares).save(tmp_path)

    def fail(*_):
        raise error

    monkeypatch.setattr(module, "load_state_dict", fail)
    with pytest.raises(type(error)) as raised:
        trainer(squares, restore=tmp_path)
    assert raised.value is error


def test_resnet50_trains_a_step_and_predicts_at_the_photos_own_scale(squares):
    frozen = RESNET50.model_copy(update={"frozen_stages": 3})
    plain = Recipe(mix=Mix(synthetic=0), training=Training(images=1, batch_size=1, crop_px=64))
    # no recipe freezes random weights, and others are 170 MB here
    big = plain.model_copy(update={"detector": frozen})
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
    turns = {"flip_horizontal": 0.5, "flip_vertical": 0.5, "transpose": 0.5}
    training = Training(crop_px=side, scale_jitter=jitter, color_jitter=0.0, **turns)
    made = Augmenter.of(training)(image, boxes, rng)
    crop, kept = made.image, made.boxes
    assert crop.shape == (side, side, 3)
    assert kept.labels.tolist() in ([], [1]), "crowds never train"
    assert 1 <= len(made.ignored) <= 2 - len(kept), (
        "the crowd, and what is left of an object that is cut off"
    )
    bright = np.argwhere(crop.min(axis=2) > 200)
    if len(kept):
        (y1, x1), (y2, x2) = bright.min(axis=0), bright.max(axis=0) + 1
        np.testing.assert_allclose(kept.xyxy[0], [x1, y1, x2, y2], atol=1.6)


def test_colours_change_and_nothing_else(squares):
    pool = squares(1)
    plain, coloured, again = (
        Augmenter.of(Training(crop_px=96, color_jitter=c))(
            pool.image(0), pool.boxes(0), np.random.default_rng(5)
        )
        for c in (0.0, 0.8, 0.8)
    )
    np.testing.assert_array_equal(plain.boxes.xyxy, coloured.boxes.xyxy)
    assert (plain.image != coloured.image).mean() > 0.5
    np.testing.assert_array_equal(coloured.image, again.image)


def test_a_crop_and_its_boxes_are_enlarged_alike():
    """A white square, enlarged by up to 1.5: its middle in the picture is that of its box, to a
    tenth of a pixel.
    """
    image = np.zeros((300, 300, 3), np.uint8)
    image[140:160, 140:160] = 255
    rng = np.random.default_rng(1)
    augment = Augmenter.of(
        Training(crop_px=120, scale_jitter=0.5, color_jitter=0, flip_horizontal=0)
    )
    compared = 0
    for _ in range(40):
        made = augment(image, Boxes.of([[140, 140, 160, 160]], [0]), rng)
        box = made.boxes.xyxy[0] if len(made.boxes) else np.zeros(4)
        enlarged = (box[2:] - box[:2] > 20).all()
        if not enlarged or box.min() < 1 or box.max() > 119:
            continue
        brightness, edges = made.image[..., 0].astype(float), np.arange(120) + 0.5
        middle = (
            np.array([brightness.sum(axis=0) @ edges, brightness.sum(axis=1) @ edges])
            / brightness.sum()
        )
        np.testing.assert_allclose(middle, (box[:2] + box[2:]) / 2, atol=0.1)
        compared += 1
    assert compared > 5


NO_FACTS = {
    "a list": "[1, 2]",
    "a number": "7",
    "a huge number": "9" * 5000,
    "nothing": "null",
    "nested": "[" * 100_000,
    "nested objects": '{"a":' * 100_000,
    "large": " " * (10 * 2**20 + 1),
    "binary": "\0\1\2",
    "classes are a text": '{"detector": {}, "classes": "cat"}',
    "no classes": '{"detector": {}, "classes": []}',
    "classes are numbers": '{"detector": {}, "classes": [1, 2]}',
    "equal classes": '{"detector": {}, "classes": ["a", "a"]}',
    "detector is a list": '{"detector": [], "classes": ["a"]}',
}


@pytest.mark.parametrize("text", NO_FACTS.values(), ids=NO_FACTS)
def test_a_model_json_of_something_else_is_no_model(tmp_path, text):
    (tmp_path / "model.json").write_text(text, encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="is not a saved model") as error:
        load_model(tmp_path)
    assert len(str(error.value)) < 1000
