"""What "auto" becomes: a small frozen backbone without a GPU, COCO's ResNet-50 with one, never random weights."""

import pytest
from made_models import made

from syndet_ray.detection import settle, weights
from syndet_ray.detection.architectures import COCO_ANCHORS_PX, COCO_RATIOS
from syndet_ray.detection.settle import settled
from syndet_ray.errors import DefinitionError, MachineError
from syndet_ray.recipe import Detector

SMALL = ("tf_efficientnet_lite0", "imagenet", "all")
LARGE = ("resnet50_fpn_v2", "coco", 2)


def choice(detector):
    return detector.backbone, detector.weights, detector.frozen_stages


@pytest.fixture
def cached(monkeypatch):
    """Weights are on this machine; the detectors whose weights were looked for."""
    asked = []
    monkeypatch.setattr(settle, "available", lambda detector: asked.append(detector))
    return asked


@pytest.fixture
def missing(monkeypatch):
    error = MachineError("detector.weights", "cannot be fetched", do="Put them there.")
    monkeypatch.setattr(settle, "available", lambda detector: error)


def test_without_a_gpu_it_is_the_small_one_and_nothing_is_fetched(cached):
    detector, note = settled(Detector(), gpu=False)
    assert (choice(detector), note) == (SMALL, "")
    assert detector.anchor_px == detector.aspect_ratios == detector.working_px == "auto", "the photos decide"
    assert cached == []


def test_with_a_gpu_it_is_cocos_with_its_anchors(cached):
    detector, note = settled(Detector(), gpu=True)
    assert (choice(detector), note) == (LARGE, "")
    assert (detector.anchor_px, detector.aspect_ratios) == (COCO_ANCHORS_PX, COCO_RATIOS)
    assert cached == [detector]


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize("asked", ["auto", "imagenet"])
def test_where_its_weights_are_missing_the_small_one_takes_its_place_and_says_why(asked):
    detector, note = settled(Detector(weights=asked), gpu=True)
    assert choice(detector) == SMALL
    assert note == (
        "the backbone is tf_efficientnet_lite0: resnet50_fpn_v2 cannot be used "
        "(detector.weights: cannot be fetched. Put them there.)"
    )


@pytest.mark.usefixtures("cached")
def test_anchors_that_cocos_weights_do_not_fit_are_kept_and_the_small_one_takes_them():
    detector, note = settled(Detector(anchor_px=(24.0, 34.0)), gpu=True)
    assert (choice(detector), detector.anchor_px) == (SMALL, (24.0, 34.0))
    assert "detector.anchor_px: must be 5 numbers with the backbone resnet50_fpn_v2" in note


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize(("gpu", "backbone"), [(True, "resnet50_fpn_v2"), (False, "mobilenet_v3_large_fpn")])
def test_coco_weights_that_are_asked_for_are_not_swapped_for_others(gpu, backbone):
    detector, note = settled(Detector(weights="coco"), gpu=gpu)
    assert (choice(detector), note) == ((backbone, "coco", 2), "")


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"backbone": "resnet18"}, ("resnet18", "imagenet", "all")),
        ({"backbone": "resnet18", "weights": "none"}, ("resnet18", "none", 0)),
        ({"backbone": "resnet18", "weights": "none", "frozen_stages": 1}, ("resnet18", "none", 1)),
        ({"backbone": "resnet18", "frozen_stages": 0}, ("resnet18", "imagenet", 0)),
        ({"backbone": "mobilenet_v3_large_fpn"}, ("mobilenet_v3_large_fpn", "coco", 2)),
        ({"backbone": "resnet50_fpn_v2", "weights": "imagenet"}, ("resnet50_fpn_v2", "imagenet", 2)),
        ({"backbone": "resnet50_fpn_v2", "weights": "none"}, ("resnet50_fpn_v2", "none", 0)),
        ({"architecture": "fcos"}, SMALL),
        ({"architecture": "retinanet", "frozen_stages": 2}, ("tf_efficientnet_lite0", "imagenet", 2)),
        ({"weights": "none"}, ("tf_efficientnet_lite0", "none", 0)),
        ({"weights": "mine.safetensors"}, ("tf_efficientnet_lite0", "mine.safetensors", "all")),
    ],
)
def test_what_is_given_stays(given, expected, gpu):
    detector, note = settled(Detector(**given), gpu=gpu)
    assert (choice(detector), note) == (expected, "")
    assert {name: getattr(detector, name) for name in given} == given


@pytest.mark.usefixtures("cached")
def test_given_anchors_of_cocos_stay():
    given = Detector(backbone="resnet50_fpn_v2", anchor_px=(16, 32, 64, 128, 256))
    detector, _ = settled(given, gpu=True)
    assert detector.anchor_px == (16, 32, 64, 128, 256)
    assert detector.aspect_ratios == COCO_RATIOS


def test_available_says_what_is_wrong(monkeypatch):
    def refuse(asked):
        raise MachineError("detector.weights", "cannot be fetched", do="Put them there.")

    monkeypatch.setattr(weights, "_fetched", refuse)
    error = weights.available(Detector(backbone="resnet50_fpn_v2", weights="coco"))
    assert isinstance(error, MachineError)
    assert weights.available(Detector(backbone="tf_efficientnet_lite0", weights="imagenet")) is None


@pytest.mark.parametrize("setting", [{"anchor_px": (32.0, 64.0)}, {"aspect_ratios": (1.0,)}])
def test_cocos_detectors_have_as_many_anchors_as_their_weights(setting):
    sizes = {"anchor_px": COCO_ANCHORS_PX, "aspect_ratios": COCO_RATIOS} | setting
    with pytest.raises(
        DefinitionError, match=f"detector.{next(iter(setting))}: must be [35] numbers with the backbone"
    ):
        made(backbone="resnet50_fpn_v2", **sizes)
