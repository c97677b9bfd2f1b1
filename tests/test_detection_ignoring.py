"""Ignoring: what lies in an ignored region is no background to learn from; all else is learned as
torchvision does it.
"""

import numpy as np
import pytest
import torch
from made_models import ARCHITECTURES, made, target, train
from torchvision.models.detection._utils import Matcher

from syndet_ray import Training
from syndet_ray.boxes import Boxes
from syndet_ray.detection import ignoring
from syndet_ray.detection.augment import Augmenter
from syndet_ray.detection.ignoring import in_ignored

pytestmark = pytest.mark.usefixtures("one_thread")

ONE_STAGE = ("retinanet", "fcos")
IMAGE = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0))
OBJECT, REGION, OVER_OBJECT = [30, 30, 60, 60], [63, 1, 97, 97], [21, 21, 69, 69]
OVERRIDDEN = (
    ("IgnoringRPN", "compute_loss"),
    ("IgnoringRoIHeads", "assign_targets_to_proposals"),
    ("IgnoringRoIHeads", "forward"),
    ("IgnoringRetinaNetHead", "compute_loss"),
    ("IgnoringFCOSHead", "compute_loss"),
)


def seen(model, wanted):
    """The model's images, targets, features and anchors for IMAGE."""
    images, targets = model.transform([IMAGE], [wanted])
    features = model.backbone(images.tensors)
    generator = model.rpn.anchor_generator if hasattr(model, "rpn") else model.anchor_generator
    levels = model.rpn.levels if hasattr(model, "rpn") else features
    return (
        targets,
        [features[level].detach() for level in levels],
        generator(images, [features[k] for k in levels])[0],
    )


def one_stage(model, wanted):
    """Losses, the gradient of their sum at every anchor's logits, and the anchors."""
    targets, maps, anchors = seen(model, wanted)
    outputs = {name: found.detach().requires_grad_() for name, found in model.head(maps).items()}
    sizes = (
        [[found.shape[2] * found.shape[3] for found in maps]]
        if hasattr(model, "center_sampling_radius")
        else []
    )
    losses = model.compute_loss(targets, outputs, [anchors], *sizes)
    sum(losses.values()).backward()
    return losses, outputs["cls_logits"].grad[0], anchors


def inside_of(region, anchors, architecture):
    """Which anchors lie in the region; FCOS's by their centres."""
    if architecture == "fcos":
        x, y = ((anchors[:, :2] + anchors[:, 2:]) / 2).unbind(dim=1)
        return (x > region[0]) & (x < region[2]) & (y > region[1]) & (y < region[3])
    return in_ignored(anchors, torch.tensor([region]).float())


def plainly(monkeypatch):
    """From here on torchvision's own: ignored regions mean nothing."""
    for kind, method in OVERRIDDEN:
        monkeypatch.delattr(getattr(ignoring, kind), method)


def test_a_box_is_in_a_region_that_shares_more_than_half_of_the_smaller_of_them():
    regions = torch.tensor([[0.0, 0, 10, 10], [50, 50, 90, 90]])
    boxes = [
        [0, 0, 10, 10],
        [4, 0, 14, 10],
        [6, 0, 16, 10],
        [-100, -100, 100, 100],
        [60, 60, 64, 64],
        [10, 10, 20, 20],
    ]
    assert in_ignored(torch.tensor(boxes).float(), regions).tolist() == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]
    assert in_ignored(torch.tensor(boxes).float(), torch.zeros(0, 4)).tolist() == [False] * 6
    assert in_ignored(torch.zeros(0, 4), regions).shape == (0,)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_ignored_regions_losses_are_torchvisions(architecture, monkeypatch):
    def losses():
        return made(architecture=architecture)([IMAGE, IMAGE], [target([OBJECT], [1]), target()])

    ours = losses()
    plainly(monkeypatch)
    theirs = losses()
    assert ours.keys() == theirs.keys()
    for name, loss in theirs.items():
        torch.testing.assert_close(ours[name], loss, rtol=1e-6, atol=0, msg=name)


@pytest.mark.parametrize("architecture", ONE_STAGE)
@pytest.mark.parametrize("boxes", [[OBJECT], []])
def test_background_in_a_region_has_no_gradient(architecture, boxes):
    model = made(architecture=architecture)
    labels = [1] * len(boxes)
    _, expected, anchors = one_stage(model, target(boxes, labels))
    _, found, _ = one_stage(model, target(boxes, labels, [REGION]))
    inside = inside_of(REGION, anchors, architecture)
    assert 20 < inside.sum() < len(anchors) - 50
    assert (expected[inside] != 0).all()
    assert (found[inside] == 0).all()
    torch.testing.assert_close(found[~inside], expected[~inside], rtol=1e-5, atol=0)


@pytest.mark.parametrize("architecture", ONE_STAGE)
def test_what_is_matched_to_an_object_keeps_its_loss_in_a_region(architecture):
    model = made(architecture=architecture)
    losses, expected, anchors = one_stage(model, target([OBJECT], [1]))
    ignoring_it, found, _ = one_stage(model, target([OBJECT], [1], [OVER_OBJECT]))
    inside = inside_of(OVER_OBJECT, anchors, architecture)
    kept = inside & (found != 0).any(dim=1)
    assert 0 < kept.sum() < inside.sum()
    torch.testing.assert_close(found[kept], expected[kept], rtol=1e-5, atol=0)
    for name in set(losses) - {"classification"}:
        assert torch.equal(ignoring_it[name], losses[name]), "regressed as ever"
    assert 0 < ignoring_it["classification"] < losses["classification"]


@pytest.mark.parametrize("boxes", [[OBJECT], []])
def test_region_proposals_learn_nothing_in_a_region(boxes):
    model = made()
    model.rpn.fg_bg_sampler.batch_size_per_image = 10**6
    targets, maps, anchors = seen(model, target(boxes, [1] * len(boxes), [REGION, OVER_OBJECT]))
    labels = model.rpn.assign_targets_to_anchors([anchors], targets)[0][0]
    plain = super(type(model.rpn), model.rpn).assign_targets_to_anchors([anchors], targets)[0][0]
    inside = in_ignored(anchors, targets[0]["ignored"])
    assert (labels[inside & (plain == 0)] == -1).all()
    assert torch.equal(labels[plain != 0], plain[plain != 0]), "objects, and what is neither, stay"
    assert torch.equal(labels[~inside], plain[~inside])

    objectness = torch.zeros(len(anchors), 1, requires_grad=True)
    deltas = torch.zeros(len(anchors), 4)
    model.rpn.compute_loss(objectness, deltas, [labels], [deltas])[0].backward()
    assert torch.equal(objectness.grad[:, 0] == 0, labels == -1)


def test_the_second_stage_samples_no_background_in_a_region():
    model = made()
    model.roi_heads.fg_bg_sampler.batch_size_per_image = 10**6
    on_object, in_region, elsewhere = [31, 30, 61, 60], [70, 40, 90, 60], [0, 70, 20, 90]
    proposals = torch.tensor([on_object, in_region, elsewhere]).float()
    targets = [target([OBJECT], [2], [REGION, OVER_OBJECT])]
    found, _, labels, _ = model.roi_heads.select_training_samples([proposals], targets)
    assert found[0].tolist() == [on_object, elsewhere, OBJECT]
    assert labels[0].tolist() == [2, 0, 2]
    found, _, labels, _ = model.roi_heads.select_training_samples(
        [proposals], [target([], [], [REGION])]
    )
    assert found[0].tolist() == [on_object, elsewhere]
    assert labels[0].tolist() == [0, 0]


def test_statistics_of_the_second_stage_survive_a_batch_without_proposals():
    model = made()
    before = {name: tensor.clone() for name, tensor in model.roi_heads.state_dict().items()}
    model([IMAGE], [target([], [], [[-99, -99, 199, 199]])])
    for name, tensor in model.roi_heads.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_image_that_is_all_ignored_has_finite_losses_and_trains(architecture):
    model = made(architecture=architecture)
    losses = model([IMAGE], [target([], [], [[-99, -99, 199, 199]])])
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    assert len(train(model, 1)) == 1


@pytest.mark.parametrize("architecture", ONE_STAGE)
def test_what_a_crop_leaves_of_an_object_has_no_loss(architecture):
    """From the augmentation to the gradient: less than 30 % of an object is neither object nor
    background.
    """
    example = _cut_off()
    model = made(architecture=architecture)
    wanted = target(example.boxes.xyxy, example.boxes.labels + 1, example.ignored)
    _, gradient, anchors = one_stage(model, wanted)
    inside = inside_of(example.ignored[0].tolist(), anchors, architecture)
    background = inside & ~_matched(model, wanted)
    assert background.any()
    assert (gradient[background] == 0).all()
    assert (gradient[~inside].abs().sum(dim=1) > 0).mean(dtype=torch.float32) > 0.9


def _matched(model, wanted):
    kept = []
    compute = model.head.compute_loss
    model.head.compute_loss = lambda t, outputs, a, matched: (
        kept.append(matched[0].clone()) or compute(t, outputs, a, matched)
    )
    one_stage(model, wanted)
    model.head.compute_loss = compute
    return kept[0] != Matcher.BELOW_LOW_THRESHOLD


def _cut_off():
    """The first random crop that keeps one object and leaves a little of another, wide enough for a
    point of FCOS.
    """
    augment = Augmenter.of(Training(crop_px=96, scale_jitter=0))
    image = np.zeros((200, 200, 3), np.uint8)
    boxes = Boxes.of([[40, 40, 80, 80], [120, 40, 160, 80]], [0, 1], [1.0, 1.0])
    for seed in range(100):
        example = augment(image, boxes, np.random.default_rng(seed))
        if (
            len(example.boxes) == 1
            and len(example.ignored) == 1
            and np.ptp(example.ignored[0, ::2]) > 8
        ):
            return example
    raise AssertionError("no crop cuts an object off")
