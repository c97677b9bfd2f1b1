"""Architectures: anchors stand where they should, no label is made up, and each of the three
learns.
"""

import numpy as np
import pytest
import torch
from made_models import ARCHITECTURES, CLASSES, coco_detector, made, picture, target, train
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from syndet_ray.detection.heads import Anchors, anchors_by_level, padded_side
from syndet_ray.detection.models import build

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((24.0,), {1: (24.0,)}),
        ((15.0, 16.0, 47.0, 48.0), {0: (15.0,), 1: (16.0, 47.0), 2: (48.0,)}),
        ((95.0, 96.0), {2: (95.0,), 3: (96.0,)}),
        ((1.0, 5000.0), {0: (1.0,), 4: (5000.0,)}),
    ],
)
def test_larger_anchors_stand_further_apart(sizes, expected):
    assert anchors_by_level(sizes, 5) == expected


def test_every_map_has_as_many_anchors_and_those_that_were_asked_for_are_known():
    anchors = Anchors([(15.0,), (16.0, 20.0, 47.0), (48.0,)], (1.0,), (4, 8, 16))
    root = 2**0.5
    continued = [(15.0, 15 * root, 30.0), (16.0, 20.0, 47.0), (48.0, 48 * root, 96.0)]
    assert [pytest.approx(sizes) for sizes in continued] == list(anchors.sizes)
    assert anchors.sizes_px == (15.0, 16.0, 20.0, 47.0, 48.0)
    assert Anchors([(32.0, 64.0)] * 3, (1.0,), (32, 32, 64)).sizes_px == (32.0, 64.0), (
        "the same on each map"
    )


def test_images_are_padded_to_the_greatest_stride():
    assert [padded_side(side) for side in (1, 32, 33, 640)] == [32, 32, 64, 640]


@pytest.mark.parametrize("side", [96, 128, 160])
def test_anchors_are_as_far_apart_as_the_cells_of_their_map(side):
    """Of the coarsest map too, which is rounded up: torchvision has them 48 px apart in an image of
    96 px.
    """
    model = made(anchor_px=(12.0, 200.0))
    image = torch.zeros(1, 3, side, side)
    maps = model.backbone(image)
    fine, coarse = (maps[level] for level in model.rpn.levels)
    anchors = model.rpn.anchor_generator(ImageList(image, [(side, side)]), [fine, coarse])[0]
    centres = (anchors[:, 0] + anchors[:, 2]) / 2
    count = fine.shape[3] ** 2
    assert centres[:count].unique().tolist() == list(range(0, side, 4))
    assert centres[count:].unique().tolist() == list(range(0, side, 64))


@pytest.mark.parametrize(
    ("name", "strides"),
    [("mobilenet_v3_large_fpn", (32, 32, 64)), ("resnet50_fpn_v2", (4, 8, 16, 32, 64))],
)
def test_strides_of_cocos_detectors_are_those_of_their_maps(name, strides):
    model, _ = build(coco_detector(name), CLASSES, seed=0)
    with torch.no_grad():
        maps = model.eval().backbone(torch.zeros(1, 3, 128, 128))
    assert tuple(128 // maps[level].shape[3] for level in model.rpn.levels) == strides
    assert model.rpn.anchor_generator._strides_px == strides


@pytest.mark.parametrize("side", [64, 66, 96, 100])
def test_regions_are_cut_at_the_scale_of_their_maps(side):
    """Also where the first image that a model sees is much smaller than its frame: torchvision
    keeps what it sees there.
    """
    model = made().eval()
    with torch.inference_mode():
        model([torch.zeros(3, side, side)])
    assert model.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]


@pytest.mark.parametrize("size", [10, 30, 60, 90, 150, 250])
def test_fcos_has_points_for_objects_between_its_anchor_sizes(size):
    """An object is matched on the level that is made for its size: none may be left out between two
    of them.
    """
    model = made(architecture="fcos", anchor_px=(12.0, 200.0))
    objects = []
    compute = model.head.compute_loss
    model.head.compute_loss = lambda *given: objects.append(given[3][0]) or compute(*given)
    model([torch.zeros(3, 288, 288)], [target([[20, 20, 20 + size, 20 + size]], [1])])
    assert (objects[0] >= 0).sum() >= 4


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
def test_no_object_is_background(architecture):
    """Label 0 has a score in torchvision's one-stage detectors; nothing of ours may come out under
    it.
    """
    model = made(architecture=architecture).eval()
    model.score_thresh = 0.001
    with torch.inference_mode():
        found = model([torch.rand(3, 96, 96)])[0]
    assert set(found["labels"].tolist()) == {1, 2}


def test_a_narrow_head_passes_signals_on_as_a_wide_one_does():
    torch.manual_seed(0)
    model = made(architecture="retinanet")
    maps = torch.randn(1, model.backbone.out_channels, 16, 16)
    wide = torch.randn(1, 256, 16, 16)
    plain = type(model.head).__base__(256, 2, 3)
    ours, theirs = (
        float(head.classification_head.conv(x).detach().std())
        for head, x in ((model.head, maps), (plain, wide))
    )
    assert 0.5 < ours / theirs < 2


def share_found(model, count=20):
    """The share of squares of unseen pictures that one of the best two boxes of their class covers."""
    rng = np.random.default_rng(99)
    hits = []
    with torch.inference_mode():
        for _ in range(count):
            image, truth = picture(rng)
            found = model.eval()([image])[0]
            for box, label in zip(truth["boxes"], truth["labels"], strict=True):
                best = found["boxes"][found["labels"] == label][:2]
                hits.append(bool((box_iou(box[None], best) > 0.5).any()))
    return sum(hits) / len(hits)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_learns_to_find_squares(architecture):
    model = made(
        architecture=architecture,
        backbone="tf_efficientnet_lite0",
        weights="imagenet",
        frozen_stages="all",
        anchor_px=(20.0, 28.0, 40.0),
    )
    losses = train(model, 50, rate=2e-3, count=4)
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert share_found(model) > 0.75


def test_a_light_head_has_one_box_for_all_classes():
    predictor = made(classes=("a", "b", "c")).roi_heads.box_predictor
    scores, deltas = predictor(torch.randn(5, 256))
    assert (scores.shape, deltas.shape) == ((5, 4), (5, 16))
    boxes = deltas.reshape(5, 4, 4)
    assert torch.equal(boxes, boxes[:, :1].expand(-1, 4, -1))
    assert boxes.std() > 0
