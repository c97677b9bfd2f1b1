"""Effective settings: each is read off the object that acts on it, so that a report follows whatever
training really does.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_detections import TINY
from safetensors.torch import save_file

from syndet_ray import Mix, Photos, Recipe, Scenes, Training
from syndet_ray.definitions.recipe import field_paths
from syndet_ray.detection.architectures import COCO_ANCHORS_PX, COCO_RATIOS
from syndet_ray.detection.average import Horizon
from syndet_ray.detection.effective import effective_detector
from syndet_ray.detection.models import build
from syndet_ray.detection.train import Trainer
from syndet_ray.detection.weights_file import copy_fitting
from syndet_ray.errors import SyndetError
from syndet_ray.workers.effective import check_settings

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SOURCES = {"ours": Scenes(), "few": Scenes(images=2), "theirs": Photos(folder="theirs")}
# A recipe in which every setting acts but those that exclude one another.
RECIPE = Recipe(
    mix=Mix(schedule="staged", switch_at=0.5, sources=SOURCES, real_images=8, synthetic_images=6),
    detector=TINY,
    training=Training(images=16, batch_size=4, crop_px=64, optimizer="sgd", average=0.25),
)
# What the trainer cannot tell: "mix.sources" is no value but a plan, whose pools are reported one
# by one, and the trial knows the scale of photos.
NOT_THE_TRAINERS = {"mix.sources", "detector.working_px", "detector.program"}
ANNEALED = {"mix.schedule": "annealed", "mix.switch_at": None}


@pytest.fixture
def trainer(squares, tmp_path):
    """Makes a trainer of the recipe above with some settings changed; what is frozen starts from a
    file of weights.
    """

    def make(changes=()):
        changes = dict(changes)
        if "detector.frozen_stages" in changes:
            changes.setdefault(
                "detector.weights",
                body_file(tmp_path, changes.get("detector.backbone", TINY.backbone)),
            )
        recipe = RECIPE.replace(changes)
        counts = {
            "real": recipe.mix.real_count(8),
            "ours": recipe.mix.synthetic_images,
            "few": 2,
            "theirs": 3,
        }
        pools = {
            name: squares(count, seed=k, name=name)
            for k, (name, count) in enumerate(counts.items())
        }
        return Trainer(recipe, pools, device=CPU, seed=1)

    return make


def body_file(folder, backbone=TINY.backbone):
    """A file of starting weights for a backbone, by default that of the recipe above."""
    tensors = build(TINY.model_copy(update={"backbone": backbone}), ("a",), seed=5)[0].state_dict()
    save_file(
        {name: tensor for name, tensor in tensors.items() if ".body." in name},
        folder / "body.safetensors",
    )
    return str(folder / "body.safetensors")


# Another value for every setting, and what it needs besides.
OTHER = {
    "mix.synthetic": (0.25, {"mix.switch_at": None}),
    "mix.schedule": ("mixed", {}),
    "mix.switch_at": (0.75, {}),
    "mix.anneal": ("cosine", ANNEALED),
    "mix.real_images": (3, {}),
    "mix.synthetic_images": (5, {}),
    "mix.parts": ({"ours": 0.25, "few": 0.75}, {}),
    "detector.architecture": ("retinanet", {}),
    "detector.backbone": ("test_resnet", {}),
    "detector.weights": (body_file, {}),
    "detector.frozen_stages": (2, {}),
    "detector.backbone_rate": (0.5, {}),
    "detector.anchor_px": ([10.0, 30.0, 60.0], {}),
    "detector.aspect_ratios": ([0.5, 1.0, 3.0], {}),
    "training.images": (24, {}),
    "training.batch_size": (3, {}),
    "training.optimizer": ("adamw", {}),
    "training.learning_rate": (3e-3, {}),
    "training.weight_decay": (0.2, {}),
    "training.momentum": (0.5, {}),
    "training.warmup": (0.5, {}),
    "training.rate_after_switch": (0.5, {}),
    "training.final_rate": (0.5, {}),
    "training.average": (0.5, {}),
    "training.crop_px": (96, {}),
    "training.scale_jitter": (0.5, {}),
    "training.flip_horizontal": (0.0, {}),
    "training.flip_vertical": (1.0, {}),
    "training.transpose": (1.0, {}),
    "training.color_jitter": (0.6, {}),
}


def test_another_value_of_every_setting_is_tried():
    assert (
        OTHER.keys()
        == {path for path in field_paths() if not path.startswith("scene.")} - NOT_THE_TRAINERS
    )


@pytest.mark.parametrize("path", OTHER)
def test_every_setting_is_reported_as_it_was_asked_for(trainer, tmp_path, path):
    value, beside = OTHER[path]
    value = value(tmp_path) if callable(value) else value
    made = trainer({**beside, path: value})
    effective = made.effective
    assert effective[path] == pytest.approx(value)
    assert effective[path] != RECIPE.get(path)
    assert json.loads(json.dumps(effective)) == effective, (
        "plain values: they cross processes, into a ledger"
    )
    check_settings(made.recipe, effective | {"real_images_there": 8}, searched=[path])


def test_starting_weights_are_reported_as_they_were_asked_for(trainer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body_file(tmp_path)
    made = trainer({"detector.weights": "./body.safetensors"})
    effective = made.effective | {"real_images_there": 8}
    assert Path(effective["detector.weights"]).resolve() == tmp_path / "body.safetensors"
    check_settings(made.recipe, effective, searched=["detector.weights"])


def augment_by(name):
    def change(made):
        made._feed.augmenter = replace(made._feed.augmenter, **{name: OTHER[f"training.{name}"][0]})

    return change


def pace_by(name):
    def change(made):
        made._rate = replace(made._rate, **{name: OTHER[f"training.{name}"][0]})

    return change


def plan_by(name, value):
    def change(made):
        made._mix = made._mix.model_copy(update={name: value})

    return change


def step_by(name, value):
    def change(made):
        for group in made._optimizer.param_groups:
            group[name] = value

    return change


def train_at_twice_the_rate(made):
    for group in made._optimizer.param_groups:
        group["initial_lr"] *= 2


def train_backbone_at_the_full_rate(made):
    rates = {group["name"]: group["initial_lr"] for group in made._optimizer.param_groups}
    for group in made._optimizer.param_groups:
        group["initial_lr"] = rates["weights"]


def freeze_a_stage(made):
    net = made._model.backbone.body.net
    for module in (net.conv_stem, net.bn1, net.blocks[0]):
        module.eval().requires_grad_(False)


def anchor_sizes(made):
    made._model.rpn.anchor_generator.sizes = ((24.0, 48.0),)


def anchor_ratios(made):
    made._model.rpn.anchor_generator.aspect_ratios = ((2.0,),)


def optimizer_of_another_kind(made):
    made._optimizer = torch.optim.Adam(made._optimizer.param_groups)


def other_model(**changes):
    def change(made):
        made._model, made.weights = build(TINY.model_copy(update=changes), made.classes, seed=0)

    return change


def fewer_images(source, count):
    def change(made):
        made._pools = made._pools | {source: made._pools[source].select(range(count))}

    return change


def mix_in_smaller_batches(made):
    made._mixer.batch_size = 3


def average_over_less(made):
    made._average.avg_fn = replace(made._average.horizon, share=0.1)


# How the object that acts on each setting may come to act otherwise, behind the recipe's back.
BEHIND = {
    "mix.synthetic": plan_by("synthetic", 0.7),
    "mix.schedule": plan_by("schedule", "mixed"),
    "mix.switch_at": plan_by("synthetic", 0.7),
    "mix.anneal": plan_by("anneal", "cosine"),
    "mix.real_images": fewer_images("real", 7),
    "mix.synthetic_images": fewer_images("ours", 5),
    "mix.parts": plan_by("parts", {"ours": 1.0}),
    "detector.architecture": other_model(architecture="fcos"),
    "detector.backbone": other_model(backbone="test_resnet"),
    "detector.weights": lambda made: setattr(
        made, "weights", replace(made.weights, source="imagenet")
    ),
    "detector.frozen_stages": freeze_a_stage,
    "detector.backbone_rate": train_backbone_at_the_full_rate,
    "detector.anchor_px": anchor_sizes,
    "detector.aspect_ratios": anchor_ratios,
    "training.images": pace_by("images"),
    "training.batch_size": mix_in_smaller_batches,
    "training.optimizer": optimizer_of_another_kind,
    "training.learning_rate": train_at_twice_the_rate,
    "training.weight_decay": step_by("weight_decay", 0.5),
    "training.momentum": step_by("momentum", 0.5),
    "training.warmup": pace_by("warmup"),
    "training.rate_after_switch": pace_by("rate_after_switch"),
    "training.final_rate": pace_by("final_rate"),
    "training.average": average_over_less,
    "training.crop_px": augment_by("crop_px"),
    "training.scale_jitter": augment_by("scale_jitter"),
    "training.flip_horizontal": augment_by("flip_horizontal"),
    "training.flip_vertical": augment_by("flip_vertical"),
    "training.transpose": augment_by("transpose"),
    "training.color_jitter": augment_by("color_jitter"),
}


@pytest.mark.parametrize("path", OTHER)
def test_what_acts_otherwise_than_proposed_is_found_out(trainer, path):
    changes = ANNEALED if path == "mix.anneal" else {}
    made = trainer(changes)
    proposed, there = made.recipe, {"real_images_there": 8}
    check_settings(proposed, made.effective | there)
    BEHIND[path](made)
    # the share of a staged training is when it switches
    named = {"mix.switch_at": "mix.synthetic"}.get(path, path)
    with pytest.raises(
        SyndetError,
        match=rf"trial: {named}: was proposed as .*, but the effective value differs, got ",
    ):
        check_settings(proposed, made.effective | there)


CHANGES_TRAINING = [
    *(f"training.{name}" for name in ("warmup", "final_rate", "rate_after_switch", "momentum")),
    *(f"training.{name}" for name in ("crop_px", "scale_jitter", "color_jitter")),
    *(f"training.{name}" for name in ("flip_horizontal", "flip_vertical", "transpose")),
]


@pytest.mark.parametrize("path", CHANGES_TRAINING)
def test_what_is_reported_is_what_acts(trainer, path):
    """An object that was changed behind the recipe's back trains as one does that a recipe asked
    for.
    """
    plain, asked, behind = trainer(), trainer({path: OTHER[path][0]}), trainer()
    BEHIND[path](behind)
    for made in (plain, asked, behind):
        made.train_until(12)
    weights = [made._model.state_dict() for made in (plain, asked, behind)]
    assert all(torch.equal(tensor, weights[2][name]) for name, tensor in weights[1].items())
    assert not all(torch.equal(tensor, weights[0][name]) for name, tensor in weights[1].items())


def test_what_nothing_acts_on_is_not_reported(trainer):
    assert "training.momentum" not in trainer({"training.optimizer": "adamw"}).effective
    assert "detector.backbone_rate" not in trainer({"detector.frozen_stages": "all"}).effective
    mixed = trainer({"mix.schedule": "mixed"}).effective
    assert not {"mix.switch_at", "mix.anneal", "training.rate_after_switch"} & mixed.keys()
    only_photos = trainer(
        {"mix.schedule": "mixed", "mix.synthetic": 1.0, "mix.parts": {"theirs": 1.0}}
    ).effective
    assert not {"mix.real_images", "mix.synthetic_images"} & only_photos.keys()
    fcos = trainer({"detector.architecture": "fcos"}).effective
    assert not {"detector.anchor_px", "detector.aspect_ratios"} & fcos.keys(), (
        "it has points in place of anchors"
    )


@pytest.mark.parametrize("searched", ["training.momentum", "training.rate_after_switch"])
def test_a_searched_setting_that_nothing_acts_on_is_refused(trainer, searched):
    made = trainer({"training.optimizer": "adamw", "mix.schedule": "mixed"})
    known = made.effective | {"real_images_there": 8}
    check_settings(made.recipe, known, searched=["training.learning_rate"])
    with pytest.raises(
        SyndetError,
        match=rf"trial: {searched}: is searched, and nothing in this training acts on it",
    ):
        check_settings(made.recipe, known, searched=["training.learning_rate", searched])


@pytest.mark.parametrize("frozen", ["all", 5])
def test_all_stages_may_be_asked_for_by_number_too(trainer, frozen):
    made = trainer({"detector.frozen_stages": frozen})
    assert made.effective["detector.frozen_stages"] == 5
    assert made.effective["backbone_stages"] == 5
    known = made.effective | {"real_images_there": 8}
    check_settings(made.recipe, known)
    wrong = made.recipe.replace({"detector.frozen_stages": 4})
    with pytest.raises(
        SyndetError,
        match=r"frozen_stages: was proposed as 4, but the effective value differs, got 5",
    ):
        check_settings(wrong, known)


def test_a_rate_of_the_backbone_is_not_missed_where_the_number_of_frozen_stages_is_all_that_it_has(
    trainer,
):
    """The `when` of a search names numbers of stages, whichever backbone is searched with them."""
    searched = ["detector.backbone_rate"]
    four = trainer({"detector.backbone": "test_convnext", "detector.frozen_stages": 4})
    check_settings(four.recipe, four.effective | {"real_images_there": 8}, searched=searched)
    every = trainer({"detector.backbone": "test_convnext", "detector.frozen_stages": "all"})
    with pytest.raises(
        SyndetError, match=r"backbone_rate: is searched, and nothing in this training acts on it"
    ):
        check_settings(every.recipe, every.effective | {"real_images_there": 8}, searched=searched)


@pytest.mark.parametrize("part", ["conv_stem", "bn1", "blocks"])
def test_a_stage_counts_as_frozen_only_where_nothing_of_it_changes(trainer, part):
    made = trainer({"detector.frozen_stages": 1})
    assert made.effective["detector.frozen_stages"] == 1
    getattr(made._model.backbone.body.net, part).requires_grad_(True)
    assert made.effective["detector.frozen_stages"] == 0


def test_running_statistics_that_follow_are_a_change_too(trainer):
    made = trainer({"detector.frozen_stages": 1})
    made._model.backbone.body.net.bn1.train()
    assert made.effective["detector.frozen_stages"] == 0


@pytest.mark.parametrize("backbone", ["resnet50_fpn_v2", "mobilenet_v3_large_fpn"])
def test_detectors_of_torchvision_tell_their_settings(backbone):
    """Mobilenet's has all sizes on each of its maps."""
    anchors = {"anchor_px": COCO_ANCHORS_PX, "aspect_ratios": COCO_RATIOS}
    detector = TINY.model_copy(update={"backbone": backbone, "frozen_stages": 2, **anchors})
    model, weights = build(detector, ("a",), seed=0)
    optimizer = torch.optim.SGD(
        [{"name": "weights", "params": model.parameters(), "initial_lr": 1.0}]
    )
    effective = effective_detector(model, weights, optimizer)
    assert effective == {
        "detector.architecture": "faster_rcnn",
        "detector.backbone": backbone,
        "detector.weights": "none",
        "detector.frozen_stages": 2,
        "detector.anchor_px": list(COCO_ANCHORS_PX),
        "detector.aspect_ratios": list(COCO_RATIOS),
    }


def test_weights_of_which_nothing_fits_are_none(tmp_path):
    """They cannot be had of a file, whose backbone must fit; this is reported of ImageNet's and
    COCO's.
    """
    model, _ = build(TINY, ("a",), seed=0)
    assert copy_fitting(model, {"stranger": torch.zeros(1)}, "imagenet").source == "none"
    name = "backbone.fpn.inner_blocks.0.0.bias"
    assert copy_fitting(model, {name: torch.zeros(64)}, "imagenet").source == "imagenet"


def test_an_average_looks_back_over_its_share_of_the_training():
    """0.25 of 16 images at 4 a step are one step: the average is the newest. 0.5 are two: half of
    each.
    """
    old, new = torch.zeros(1), torch.ones(1)
    for share, expected in {0.25: 1.0, 0.5: 0.5, 1.0: 0.25}.items():
        horizon = Horizon(share=share, images=16, batch_size=4)
        assert horizon(old, new, 100).item() == expected
    assert Horizon(share=1.0, images=16, batch_size=4)(old, new, 1).item() == 0.5, (
        "of two steps, the mean"
    )
