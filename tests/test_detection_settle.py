"""What "auto" becomes: a small frozen backbone without a GPU, COCO's ResNet-50 with one, never
random weights.
"""

import pytest
import timm
from made_models import CLASSES, made
from made_models import detector as made_detector
from safetensors.torch import save_file

from syndet_ray.definitions.recipe import Detector
from syndet_ray.detection import settle
from syndet_ray.detection.architectures import COCO_ANCHORS_PX, COCO_RATIOS
from syndet_ray.detection.models import build, save_model
from syndet_ray.detection.settle import settled_detector
from syndet_ray.errors import DataError, DefinitionError, MachineError

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
    detector, note = settled_detector(Detector(), gpu=False)
    assert (choice(detector), note) == (SMALL, "")
    assert detector.anchor_px == detector.aspect_ratios == detector.working_px == "auto", (
        "the photos decide"
    )
    assert cached == []


def test_with_a_gpu_it_is_cocos_with_its_anchors(cached):
    detector, note = settled_detector(Detector(), gpu=True)
    assert (choice(detector), note) == (LARGE, "")
    assert (detector.anchor_px, detector.aspect_ratios) == (COCO_ANCHORS_PX, COCO_RATIOS)
    assert cached == [detector]


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize("asked", ["auto", "imagenet"])
def test_where_its_weights_are_missing_the_small_one_takes_its_place_and_says_why(asked):
    detector, note = settled_detector(Detector(weights=asked), gpu=True)
    assert choice(detector) == SMALL
    assert note == (
        "the backbone is tf_efficientnet_lite0: resnet50_fpn_v2 cannot be used "
        "(detector.weights: cannot be fetched. Put them there.)"
    )


@pytest.mark.usefixtures("cached")
def test_anchors_that_cocos_weights_do_not_fit_are_kept_and_the_small_one_takes_them():
    detector, note = settled_detector(Detector(anchor_px=(24.0, 34.0)), gpu=True)
    assert (choice(detector), detector.anchor_px) == (SMALL, (24.0, 34.0))
    assert "detector.anchor_px: must be 5 numbers with the backbone resnet50_fpn_v2" in note


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize(
    ("gpu", "backbone"), [(True, "resnet50_fpn_v2"), (False, "mobilenet_v3_large_fpn")]
)
def test_coco_weights_that_are_asked_for_are_not_swapped_for_others(gpu, backbone):
    detector, note = settled_detector(Detector(weights="coco"), gpu=gpu)
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
        (
            {"backbone": "resnet50_fpn_v2", "weights": "imagenet"},
            ("resnet50_fpn_v2", "imagenet", 2),
        ),
        ({"backbone": "resnet50_fpn_v2", "weights": "none"}, ("resnet50_fpn_v2", "none", 0)),
        ({"architecture": "fcos"}, SMALL),
        (
            {"architecture": "retinanet", "frozen_stages": 2},
            ("tf_efficientnet_lite0", "imagenet", 2),
        ),
        ({"weights": "none"}, ("tf_efficientnet_lite0", "none", 0)),
    ],
)
def test_what_is_given_stays(given, expected, gpu):
    detector, note = settled_detector(Detector(**given), gpu=gpu)
    assert (choice(detector), note) == (expected, "")
    assert {name: getattr(detector, name) for name in given} == given


@pytest.mark.usefixtures("cached")
def test_given_anchors_of_cocos_stay():
    given = Detector(backbone="resnet50_fpn_v2", anchor_px=(16, 32, 64, 128, 256))
    detector, _ = settled_detector(given, gpu=True)
    assert detector.anchor_px == (16, 32, 64, 128, 256)
    assert detector.aspect_ratios == COCO_RATIOS


TRAINED = {
    "backbone": "test_efficientnet",
    "anchor_px": (34.0, 48.0, 68.0),
    "aspect_ratios": (1.0, 2.0),
}


@pytest.fixture
def trained(tmp_path):
    """The file of a detector that was trained with anchors of its own."""
    save_model(tmp_path, made(**TRAINED), made_detector(**TRAINED), CLASSES)
    return str(tmp_path / "model.safetensors")


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize(
    "given", [{}, {"anchor_px": (24.0, 34.0, 48.0)}, {"aspect_ratios": (1.0,)}]
)
def test_a_saved_detector_goes_on_with_its_backbone_and_anchors(given, gpu, trained):
    detector, note = settled_detector(Detector(weights=trained, **given), gpu=gpu)
    assert (choice(detector), note) == (("test_efficientnet", trained, "all"), "")
    assert {name: getattr(detector, name) for name in TRAINED} == TRAINED | given
    assert detector.working_px == "auto", "the photos decide how large objects are"


def test_what_it_settles_is_what_its_weights_want(trained):
    detector, _ = settled_detector(Detector(weights=trained, working_px=320), gpu=False)
    _, report = build(detector, CLASSES, seed=0)
    assert report.reinitialised == report.skipped == ()


@pytest.mark.usefixtures("cached")
def test_a_saved_detector_of_torchvisions_goes_on_with_its_own_anchors(tmp_path):
    own = {"backbone": "mobilenet_v3_large_fpn", "anchor_px": (16.0, 32.0, 64.0, 128.0, 256.0)}
    save_model(
        tmp_path,
        made(**own, aspect_ratios=COCO_RATIOS),
        made_detector(**own, aspect_ratios=COCO_RATIOS),
        CLASSES,
    )
    detector, _ = settled_detector(Detector(weights=str(tmp_path / "model.safetensors")), gpu=True)
    assert (detector.backbone, detector.anchor_px) == tuple(own.values())
    assert detector.frozen_stages == 2


@pytest.mark.parametrize("gpu", [True, False])
def test_a_backbone_in_a_file_leaves_anchors_to_the_photos(gpu, tmp_path):
    path = str(tmp_path / "mine.safetensors")
    save_file(timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict(), path)
    detector, _ = settled_detector(Detector(weights=path), gpu=gpu)
    assert choice(detector) == ("tf_efficientnet_lite0", path, "all")
    assert detector.anchor_px == detector.aspect_ratios == "auto"


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"^gone\.safetensors: is not a readable .safetensors file"):
        settled_detector(Detector(weights="gone.safetensors"), gpu=False)


@pytest.mark.parametrize("setting", [{"anchor_px": (32.0, 64.0)}, {"aspect_ratios": (1.0,)}])
def test_cocos_detectors_have_as_many_anchors_as_their_weights(setting):
    sizes = {"anchor_px": COCO_ANCHORS_PX, "aspect_ratios": COCO_RATIOS} | setting
    with pytest.raises(
        DefinitionError,
        match=f"detector.{next(iter(setting))}: must be [35] numbers with the backbone",
    ):
        made(backbone="resnet50_fpn_v2", **sizes)
