"""Backbones: frozen is frozen, a folded net computes what the plain one does, and any family of
timm's is trained.
"""

import copy

import pytest
import timm.layers
import torch
from made_models import ARCHITECTURES, coco_detector, detector, made, train
from torch import nn

from syndet_ray.detection import backbones, folding
from syndet_ray.detection.backbones import timm_backbone
from syndet_ray.detection.models import build, load_model, save_model
from syndet_ray.detection.weights import load_weights
from syndet_ray.errors import DefinitionError

pytestmark = pytest.mark.usefixtures("one_thread")

BODY = "backbone.body.net."
CPU = torch.device("cpu")
IMAGE = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def backbone(name="test_efficientnet", frozen=2, fixed_norms=True, seed=0):
    """A backbone whose batch norms have statistics, weights and biases that tell them from none at
    all.
    """
    torch.manual_seed(seed)
    found = timm_backbone(name, frozen, fixed_norms=fixed_norms)
    for module in found.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    return found


def without_folding(monkeypatch, model):
    monkeypatch.setattr(model.body, "_fold_frozen", lambda device: model.body.net)
    model.body._fast.clear()
    return model


def is_folded(body):
    return body._fast[CPU] is not body.net


def copied(state):
    return {name: tensor.clone() for name, tensor in state.items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(("frozen", "first_trained"), [(2, "blocks.2."), ("all", None)])
def test_frozen_stages_stay_bit_identical(frozen, first_trained):
    model = made(frozen_stages=frozen)
    before = copied(model.state_dict())
    train(model, 3)
    moved = changed(before, model.state_dict())
    assert "rpn.head.cls_logits.weight" in moved
    of_body = {name.removeprefix(BODY) for name in moved if name.startswith(BODY)}
    names = [name.removeprefix(BODY) for name in before if name.startswith(BODY)]
    trained = (
        set()
        if first_trained is None
        else {name for name in names if name >= first_trained and "blocks" in name}
    )
    assert of_body == trained, "from nothing, also the statistics of trained batch norms move"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_statistics_that_came_with_weights_stay(architecture, tmp_path):
    save_model(
        tmp_path,
        made(architecture=architecture),
        detector(architecture=architecture),
        ("blue", "red"),
    )
    model = made(
        architecture=architecture, weights=str(tmp_path / "model.safetensors"), frozen_stages=1
    )
    before = copied(model.state_dict())
    train(model, 2)
    moved = {
        name.removeprefix(BODY)
        for name in changed(before, model.state_dict())
        if name.startswith(BODY)
    }
    assert not {name for name in moved if "running" in name or "num_batches" in name}
    assert {"blocks.1.0.conv_exp.weight", "blocks.1.0.bn1.weight"} <= moved
    assert not {name for name in moved if name.startswith(("conv_stem", "bn1", "blocks.0"))}


@pytest.mark.parametrize(
    ("name", "frozen", "trained"),
    [
        ("mobilenet_v3_large_fpn", ("0.", "1.", "2.", "3."), "4."),
        ("resnet50_fpn_v2", ("conv1", "bn1", "layer1"), "layer2"),
    ],
)
def test_torchvisions_own_are_frozen_too(name, frozen, trained):
    model, _ = build(coco_detector(name, frozen_stages=2), ("blue", "red"), seed=0)
    before = copied(model.state_dict())
    train(model, 1, side=64)
    moved = {
        name.removeprefix(BODY)
        for name in changed(before, model.state_dict())
        if name.startswith(BODY)
    }
    assert not {name for name in moved if name.startswith(frozen)}
    assert {name for name in moved if name.startswith(trained)}


def test_a_new_model_is_frozen_before_anyone_sets_its_mode():
    model = made(frozen_stages=2)
    net = model.backbone.body.net
    assert model.training
    assert not net.bn1.training
    assert net.blocks[3][0].bn1.training


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize(
    "name",
    [
        "tf_efficientnet_lite0",
        "resnet18",
        "mobilenetv3_small_100",
        "test_resnet",
        "test_convnext",
        "test_efficientnet_gn",
    ],
)
@pytest.mark.parametrize("frozen", [3, "all"])
def test_a_folded_net_gives_the_maps_of_the_plain_one(name, frozen):
    model = backbone(name, frozen).eval()
    with torch.no_grad():
        folded, plain = model.body(IMAGE), list(model.body.net(IMAGE))[-len(backbones.STRIDES) :]
    assert is_folded(model.body)
    for one, other in zip(folded.values(), plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * float(other.abs().max()))


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("fixed_norms", [True, False])
def test_trained_stages_get_the_gradients_of_the_plain_net(monkeypatch, fixed_norms):
    gradients = []
    for wrapped in (False, True):
        model = backbone(frozen=2, fixed_norms=fixed_norms).train()
        model = without_folding(monkeypatch, model) if wrapped else model
        sum(found.square().mean() for found in model(IMAGE).values()).backward()
        assert is_folded(model.body) is not wrapped
        gradients.append(
            {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        )
    folded, plain = gradients
    assert folded.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(
            folded[name], gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max())
        )


@pytest.mark.parametrize("first", [True, False])
def test_trained_batch_norms_hear_of_train_and_eval_whenever_the_fold_was_made(first):
    """A copy of them in the folded net would go on as when it was made."""
    model = backbone(frozen=2, fixed_norms=False).train(first)
    norm = model.body.net.blocks[3][0].bn1
    model(IMAGE)
    assert is_folded(model.body)
    for training in (True, False):
        before = norm.running_mean.clone()
        model.train(training)(IMAGE)
        assert torch.equal(before, norm.running_mean) is not training


def test_what_predicted_first_can_train_after():
    model = made(frozen_stages=2, architecture="retinanet").eval()
    with torch.inference_mode():
        model([IMAGE[0]])
    assert len(train(model, 1)) == 1


@pytest.mark.usefixtures("float32")
def test_the_fold_follows_other_weights():
    model, other = backbone(seed=0).eval(), backbone(seed=1).eval()
    with torch.no_grad():
        first = model(IMAGE)["0"]
        model.load_state_dict(other.state_dict())
        second, expected = model(IMAGE)["0"], other(IMAGE)["0"]
    assert not torch.equal(first, second)
    assert torch.equal(second, expected)


@pytest.mark.usefixtures("float32")
def test_a_copy_has_a_fold_of_its_own():
    model = backbone().eval()
    with torch.no_grad():
        expected = model(IMAGE)["0"]
        made_of_it = copy.deepcopy(model)
        assert not made_of_it.body._fast
        assert torch.equal(made_of_it(IMAGE)["0"], expected)
        made_of_it.load_state_dict(backbone(seed=1).state_dict())
        assert not torch.equal(made_of_it(IMAGE)["0"], expected)
        assert torch.equal(model(IMAGE)["0"], expected)


def test_the_state_has_no_trace_of_the_fold():
    model = backbone()
    before = list(model.state_dict()), len(list(model.parameters()))
    model(IMAGE)
    assert is_folded(model.body)
    assert (list(model.state_dict()), len(list(model.parameters()))) == before


class _NormBefore(nn.Module):
    """Uses its batch norm before its convolution, though it stands behind it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        return [self.conv(self.norm(x))]


@pytest.mark.usefixtures("float32")
def test_a_wrong_fold_is_noticed_and_not_used():
    net = _NormBefore()
    nn.init.uniform_(net.norm.running_var, 0.1, 0.5)
    nn.init.normal_(net.norm.running_mean)
    body = backbones.FeatureExtractor(net, ["norm"], [0], 1, fixed_norms=True).eval()
    assert torch.equal(body(IMAGE)["0"], net(IMAGE)[0])
    assert not is_folded(body)


def relative_error(found, expected):
    """Of the map that is furthest from what it should be, as a share of that map."""
    pairs = zip(found, expected, strict=True)
    return max(float((one.float() - other).norm() / other.norm()) for one, other in pairs)


def reduced_error(model, monkeypatch):
    """How far a folded body in bfloat16 is from the plain one in float32, and how far the plain one
    in bfloat16 is.
    """
    model.eval()
    monkeypatch.setattr("syndet_ray.detection.backbones.fast_bf16", lambda device: True)
    image, body, wanted = 4 * IMAGE - 2, model.body, slice(-4, None)
    with torch.no_grad():
        expected = body.net(image)[wanted]
        with torch.autocast("cpu", torch.bfloat16):
            folded, plain = body(image).values(), body.net(image)[wanted]
    assert is_folded(body)
    return relative_error(folded, expected), relative_error(plain, expected)


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_resnet", "resnet18", "test_nfnet", "nf_regnet_b0"]
)
def test_a_fold_in_bfloat16_is_right_to_two_hundredths(name, monkeypatch):
    """Weights that are standardised in bfloat16, as those of the last two were, are off by nearly
    three.
    """
    folded, _ = reduced_error(backbone(name, "all"), monkeypatch)
    assert folded < 0.022


@pytest.mark.parametrize("name", ["test_nfnet", "resnetv2_50x1_bit"])
def test_frozen_weights_are_standardised_in_float32(name, monkeypatch):
    """Autocast leaves trained ones in float32.

    Random weights of resnetv2 make .23 of any rounding, so that is no bound.
    """
    folded, plain = reduced_error(backbone(name, "all"), monkeypatch)
    assert folded == pytest.approx(plain, rel=0.05)


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize(
    "kind", ["StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"]
)
@pytest.mark.parametrize("norm", [True, False])
def test_standardised_weights_become_plain_ones(kind, norm):
    """Also where a batch norm follows, whose scale standardisation would undo."""
    torch.manual_seed(0)
    net = _Steps(
        getattr(timm.layers, kind)(3, 8, 3, stride=2), nn.BatchNorm2d(8) if norm else nn.ReLU()
    )
    if norm:
        nn.init.uniform_(net[1].running_var, 0.5, 2)
    if hasattr(net[0], "gain"):
        nn.init.uniform_(net[0].gain, 0.5, 2)
    body = backbones.FeatureExtractor(net, ["1"], [0], 1, fixed_norms=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(body(IMAGE)["0"], net(IMAGE)[0])
    assert is_folded(body)
    assert not [part for part in body._fast[CPU].modules() if folding._standardises(part)]


class _Steps(nn.Sequential):
    """A net with one map."""

    def forward(self, x):
        return [super().forward(x)]


class _StandardisesAnew(nn.Conv2d):
    """Takes the mean off its weights in whatever precision they have; a class that is unknown."""

    def forward(self, x):
        return nn.functional.conv2d(
            x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), padding=1, stride=2
        )


def test_a_fold_that_bfloat16_spoils_is_noticed_and_not_used(monkeypatch):
    """Its weights in bfloat16 are all 8: nothing is left of them. Autocast converts what is left of
    them in float32.
    """
    net = _Steps(_StandardisesAnew(3, 8, 3), nn.ReLU())
    nn.init.normal_(net[0].weight, mean=8, std=0.01)
    body = backbones.FeatureExtractor(net, ["1"], [0], 1, fixed_norms=True).eval()
    monkeypatch.setattr("syndet_ray.detection.backbones.fast_bf16", lambda device: True)
    with torch.no_grad():
        expected = net(IMAGE)
        with torch.autocast("cpu", torch.bfloat16):
            assert relative_error(body(IMAGE).values(), expected) < 0.01
    assert is_folded(body)


@pytest.mark.usefixtures("float32")
def test_a_norm_of_another_width_is_not_folded():
    net = _NormBefore()
    net.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    body = backbones.FeatureExtractor(net, ["norm"], [0], 1, fixed_norms=True).eval()
    assert torch.equal(body(IMAGE)["0"], net(IMAGE)[0])


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_resnet", "test_convnext", "test_byobnet", "resnet18"]
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_family_trains_is_saved_and_predicts(name, architecture, tmp_path):
    settings = detector(backbone=name, architecture=architecture, frozen_stages=1)
    model, _ = build(settings, ("blue", "red"), seed=0)
    assert torch.isfinite(torch.tensor(train(model, 1, side=64))).all()
    save_model(tmp_path, model, settings, ("blue", "red"))
    loaded = load_model(tmp_path).model
    with torch.inference_mode():
        expected, found = model.eval()([IMAGE[0]])[0], loaded([IMAGE[0]])[0]
    assert set(found["labels"].tolist()) <= {1, 2}
    for part in ("boxes", "labels", "scores"):
        assert torch.equal(found[part], expected[part])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "is not a backbone that timm knows, got 'resnet81'. Did you mean 'resnet"),
        (
            "zzz",
            r"is not a backbone that timm knows, got 'zzz'. timm.list_models\(\) lists their names.",
        ),
        (
            "test_vit",
            r"must give maps at strides 4, 8, 16, 32; test_vit has \[16, 16, 16\]. Use a convolutional",
        ),
        (
            "swin_tiny_patch4_window7_224",
            "must give maps at strides 4, 8, 16, 32 of images of any size, got 'swin",
        ),
        (
            "test_mambaout",
            "must give maps at strides 4, 8, 16, 32 of images of any size, got 'test_mambaout'",
        ),
        ("hrnet_w18_small", "must have stages that follow one another"),
    ],
)
def test_a_backbone_that_will_not_do_is_named(name, message):
    with pytest.raises(DefinitionError, match=f"^detector.backbone: {message}"):
        build(detector(backbone=name), ("blue", "red"), seed=0)


@pytest.mark.parametrize(
    ("name", "frozen", "stages"), [("test_efficientnet", 6, 5), ("test_convnext", 5, 4)]
)
def test_no_more_stages_are_frozen_than_there_are(name, frozen, stages):
    message = f"detector.frozen_stages: must be at most the number of stages of the backbone, {stages}, got {frozen}"
    with pytest.raises(DefinitionError, match=message):
        made(backbone=name, frozen_stages=frozen)


def test_torchvisions_detectors_have_an_architecture_of_their_own():
    with pytest.raises(
        DefinitionError, match="must be faster_rcnn with the backbone mobilenet_v3_large_fpn"
    ):
        build(coco_detector("mobilenet_v3_large_fpn", architecture="fcos"), ("blue", "red"), seed=0)


def test_building_leaves_the_random_numbers_of_others_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    model = made(backbone="tf_efficientnet_lite0", weights="imagenet", frozen_stages="all")
    load_weights(model, detector(), ("blue", "red"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("frozen", [5, 6])
def test_a_stage_without_anything_to_train_is_as_still_as_was_asked(frozen):
    """The last of VGG's six stages is a pooling."""
    backbone = timm_backbone("vgg11", frozen, fixed_norms=True)
    assert backbone.body.still_stages == frozen
