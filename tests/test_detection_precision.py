"""Precision: a caller may switch bfloat16 on for everything; logits, deltas, anchors, boxes and
scores stay float32.
"""

import numpy as np
import pytest
import torch
from made_models import ARCHITECTURES, coco_detector, made, target
from torch import nn

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.detection import precision
from syndet_ray.detection.models import build
from syndet_ray.detection.precision import ReducedSequential, full, reduced_precision
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import score

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
EIGHTY = tuple(f"class {number}" for number in range(80))
IMAGE = torch.rand(3, 320, 416, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[True, False], ids=["bfloat16", "float32"])
def fast_bf16(request, monkeypatch):
    """Both kinds of machine: those that are faster in bfloat16, and those that are not."""
    for module in ("backbones", "precision"):
        monkeypatch.setattr(
            f"syndet_ray.detection.{module}.fast_bf16", lambda device: request.param
        )
    return request.param


def everything_in_bf16():
    return torch.autocast("cpu", torch.bfloat16)


def eager(architecture, classes=EIGHTY):
    """A detector from nothing that finds many things of many classes: its class layers are no
    longer timid.
    """
    model = made(classes, architecture=architecture).eval()
    two_stage = architecture == "faster_rcnn"
    layer = (
        model.roi_heads.box_predictor.cls_score
        if two_stage
        else model.head.classification_head.cls_logits
    )
    torch.manual_seed(1)
    nn.init.normal_(layer.weight, std=0.5)
    nn.init.zeros_(layer.bias)
    if two_stage:
        model.roi_heads.score_thresh = 0.0
    if architecture == "fcos":
        # the sides of a box are cut off at 0
        nn.init.uniform_(model.head.regression_head.bbox_reg.bias, 1, 3)
    return model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_detections_do_not_depend_on_the_callers_precision(architecture):
    """Classes are kept apart by an offset of their boxes: rounded to bfloat16, they would suppress
    one another.
    """
    model = eager(architecture)
    with torch.inference_mode():
        expected = model([IMAGE])[0]
        with everything_in_bf16():
            found = model([IMAGE])[0]
    assert len(expected["labels"].unique()) > 10
    for part in ("boxes", "labels", "scores"):
        assert torch.equal(found[part], expected[part])


@pytest.mark.usefixtures("fast_bf16")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_boxes_are_float32_and_not_rounded(architecture):
    with torch.inference_mode(), everything_in_bf16():
        found = eager(architecture)([IMAGE])[0]
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    far = found["boxes"][(found["boxes"] > 256) & (found["boxes"] < 320)]
    assert len(far) > 100
    odd = far % 2 != 0
    assert odd.float().mean() > 0.9, "bfloat16 knows even numbers only beyond 256"


@pytest.mark.usefixtures("fast_bf16")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_heads_and_losses_are_float32(architecture):
    model = made(architecture=architecture)
    outputs = []
    heads = (
        [model.rpn.head, model.roi_heads.box_predictor]
        if architecture == "faster_rcnn"
        else [model.head]
    )
    for head in heads:
        head.register_forward_hook(lambda module, args, output: outputs.extend(_tensors(output)))
    with everything_in_bf16():
        losses = model([IMAGE], [target([[20, 20, 50, 50]], [1])])
    assert len(outputs) >= 2
    assert {tensor.dtype for tensor in [*outputs, *losses.values()]} == {torch.float32}


@pytest.mark.usefixtures("fast_bf16")
def test_heads_of_a_coco_detector_are_float32():
    model, _ = build(coco_detector("mobilenet_v3_large_fpn"), ("a", "b"), seed=0)
    outputs = []
    for head in (model.rpn.head, model.roi_heads.box_predictor):
        head.register_forward_hook(lambda module, args, output: outputs.extend(_tensors(output)))
    with everything_in_bf16(), torch.inference_mode():
        model.eval()([IMAGE])
    assert len(outputs) == 2 * 3 + 2, "of the levels of the pyramid, and of the regions"
    assert {tensor.dtype for tensor in outputs} == {torch.float32}


def _tensors(found):
    if isinstance(found, torch.Tensor):
        return [found]
    parts = found.values() if isinstance(found, dict) else found
    return [tensor for part in parts for tensor in _tensors(part)]


def test_the_backbone_is_reduced_where_that_is_faster(fast_bf16):
    model = made()
    inside = []
    model.backbone.body.register_forward_hook(
        lambda module, args, output: inside.extend(output.values())
    )
    maps = model.backbone(IMAGE[None])
    assert {tensor.dtype for tensor in inside} == {torch.bfloat16 if fast_bf16 else torch.float32}
    assert {tensor.dtype for tensor in maps.values()} == {torch.float32}


@pytest.mark.parametrize(("capability", "fast"), [(7, False), (8, True), (9, True)])
def test_gpus_that_emulate_bfloat16_compute_in_float32(capability, fast, monkeypatch):
    properties = type("Properties", (), {"major": capability})
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: properties)
    assert precision.fast_bf16(torch.device("cuda")) is fast


def test_parts_switch_the_callers_precision(fast_bf16):
    matrix = torch.eye(3)
    with everything_in_bf16():
        with full(CPU):
            assert (matrix @ matrix).dtype == torch.float32
            with reduced_precision(CPU):
                assert (matrix @ matrix).dtype == (torch.bfloat16 if fast_bf16 else torch.float32)
        layers = ReducedSequential(nn.Linear(3, 3))
        assert layers(matrix).dtype == torch.float32
    assert list(layers.state_dict()) == list(nn.Sequential(nn.Linear(3, 3)).state_dict())


# Objects of 40 px that lie on no grid, some of them side by side, in the strip of a photo of 4032
# px.
SQUARES = np.array(
    [
        [x, 11.25, x + 40, 51.25]
        for x in (3.5, 255.25, 300.5, 1111.75, 2047.5, 3001.25, 3041.5, 3990.5)
    ]
)
LABELS = np.arange(len(SQUARES)) % 2


class PerfectRegions(nn.Module):
    """In place of the region proposals: boxes a few pixels next to the truth."""

    def forward(self, images, features, targets=None):
        return [torch.from_numpy(SQUARES).float() + torch.tensor([3.0, -2.0, 5.0, 1.0])], {}


class PerfectPredictor(nn.Module):
    """In place of the last layers of the second stage: the right class, and the deltas to the true
    box.
    """

    def __init__(self, coder):
        super().__init__()
        self.coder = coder

    def forward(self, x):
        proposals = PerfectRegions()(None, None)[0][0]
        deltas = self.coder.encode([torch.from_numpy(SQUARES).float()], [proposals])[0]
        logits = nn.functional.one_hot(torch.from_numpy(LABELS) + 1, 3) * 20.0
        return product(logits), product(deltas.repeat(1, 3))


class PerfectHead(nn.Module):
    """In place of the head of a one-stage detector: at the anchor next to each object its class,
    and the exact deltas.
    """

    def __init__(self, model, encode):
        super().__init__()
        self.generator, self.encode = model.anchor_generator, encode

    def forward(self, features):
        image = torch.zeros(1, 3, features[0].shape[2] * 8, features[0].shape[3] * 8)
        images = type("Images", (), {"tensors": image, "image_sizes": [image.shape[2:]]})
        anchors = self.generator(images, features)[0].float()
        truth = torch.from_numpy(SQUARES).float()
        centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (truth, anchors)]
        nearest = torch.cdist(*centres).argmin(dim=1)
        logits, deltas = torch.full((len(anchors), 3), -20.0), torch.zeros(len(anchors), 4)
        logits[nearest, torch.from_numpy(LABELS) + 1] = 20.0
        deltas[nearest] = self.encode(truth, anchors[nearest])
        found = {"cls_logits": product(logits)[None], "bbox_regression": product(deltas)[None]}
        return found | {"bbox_ctrness": product(torch.full((len(anchors), 1), 20.0))[None]}


def product(x):
    """x by way of a matrix product, as the last layer of a head gives it: in bfloat16 if the
    caller asks for it.
    """
    return nn.functional.linear(x.float(), torch.eye(x.shape[1]))


def perfect(architecture):
    model = made(("a", "b"), architecture=architecture)
    if architecture == "faster_rcnn":
        model.rpn, model.roi_heads.box_predictor = (
            PerfectRegions(),
            PerfectPredictor(model.roi_heads.box_coder),
        )
    elif architecture == "retinanet":
        model.head = PerfectHead(model, model.box_coder.encode_single)
    else:
        model.head = PerfectHead(
            model, lambda boxes, anchors: model.box_coder.encode(anchors, boxes)
        )
    return model


@pytest.mark.usefixtures("fast_bf16")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_perfect_deltas_in_a_large_photo_score_one(architecture):
    photo = np.zeros((64, 4032, 3), np.uint8)
    pool = Pool.of(
        "real", ("a", "b"), [photo], [Boxes.of(SQUARES, LABELS, np.ones(len(SQUARES)))], ["strip"]
    )
    with everything_in_bf16():
        found = predict(perfect(architecture), pool, device=CPU)
    assert score(pool, found).metrics["mAP"] == pytest.approx(1.0)
    by_place = found[0].xyxy[np.argsort(found[0].xyxy[:, 0])]
    np.testing.assert_allclose(by_place, SQUARES, atol=0.01)
