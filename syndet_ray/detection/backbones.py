"""Backbones: image features by timm or torchvision, frozen as a recipe says, joined to a feature
pyramid by torchvision.
"""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from syndet_ray.detection.folding import as_near, folded, same
from syndet_ray.detection.precision import fast_bf16, full, reduced
from syndet_ray.errors import DefinitionError, nearest

# What the pyramid is built from: the four strides that torchvision's detectors use as well.
STRIDES = (4, 8, 16, 32)
# Widths of the pyramid: torchvision's for backbones as wide as its own, a quarter for those made
# for phones, whose training on a CPU core the pyramid would dominate.
_WIDE, _NARROW, _WIDE_FROM = 256, 64, 512
# What timm raises for a backbone that has no feature maps, by backbone.
_WITHOUT_MAPS = (RuntimeError, AttributeError, AssertionError, TypeError, KeyError)


class Body(nn.Module):
    """A backbone without its classifier, of which the first stages may be frozen. A stage ends
    where the stride doubles.

    Raises DefinitionError for more frozen stages than there are.

    Frozen stages never change: neither their parameters nor the running statistics of their batch
    norms. They are computed by a folded copy (batch norms multiplied into the convolutions before
    them), which is no part of the state.

    net            returns its maps as a list or a dict
    ends           the last module of each stage, by name
    used_maps      positions of the maps that the pyramid takes
    frozen_stages  from the image on
    fixed_norms    whether batch norms use the statistics they came with in all stages: those of the
                   few images of a batch are worse than ImageNet's
    """

    def __init__(
        self,
        net: nn.Module,
        ends: Sequence[str],
        used_maps: Sequence[int],
        frozen_stages: int,
        *,
        fixed_norms: bool,
    ) -> None:
        super().__init__()
        self.net, self.stages, self.frozen_stages = net, len(ends), frozen_stages
        self._ends, self._used_maps, self._fixed_norms = tuple(ends), tuple(used_maps), fixed_norms
        if frozen_stages > self.stages:
            rule = f"must be at most the number of stages of the backbone, {self.stages}"
            raise DefinitionError("detector.frozen_stages", rule, got=frozen_stages)
        self._frozen = (
            _modules_until(net, ends[frozen_stages - 1]) if frozen_stages else frozenset()
        )
        for name, module in net.named_modules():
            if name in self._frozen:
                module.requires_grad_(False)
        self._fast: dict[torch.device, Any] = {}
        self.register_load_state_dict_post_hook(lambda module, _: module._fast.clear())
        self.train()  # a new module is in training mode, also what is frozen

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        """x (b, 3, h, w), h and w multiples of 32; returns the maps that are used by number, finest
        first.
        """
        if x.device not in self._fast:
            self._fast[x.device] = self._folded(x.device)
        maps = _maps(self._fast[x.device](x))
        return OrderedDict(
            (str(number), maps[position]) for number, position in enumerate(self._used_maps)
        )

    def train(self, mode: bool = True) -> "Body":
        """As nn.Module.train, but what is frozen or fixed stays as in evaluation."""
        super().train(mode)
        for name, module in self.net.named_modules():
            if name in self._frozen or (self._fixed_norms and isinstance(module, _BatchNorm)):
                module.eval()
        return self

    @property
    def still_stages(self) -> int:
        """How many stages, from the image on, do not change, read off their parameters and batch
        norms.

        Valid in training mode only: in evaluation no batch norm changes. A stage without parameters
        and batch norms, such as a pooling, is frozen where frozen_stages says so.
        """
        changing = {name for name, module in self.net.named_modules() if _changes(module)}
        still = sum(not changing & _modules_until(self.net, end) for end in self._ends)
        beyond = self._until(still) - self._until(self.frozen_stages)
        if beyond and not any(_can_change(self.net.get_submodule(name)) for name in beyond):
            return self.frozen_stages
        return still

    def _until(self, stages: int) -> frozenset[str]:
        """Names of the modules of so many stages, from the image on."""
        return _modules_until(self.net, self._ends[stages - 1]) if stages else frozenset()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Body":
        """A copy folds anew, for it may be moved or get other weights."""
        clone = self.__class__.__new__(self.__class__)
        memo[id(self)] = clone
        clone.__dict__.update(copy.deepcopy(self.__dict__ | {"_fast": {}}, memo))
        return clone

    def _folded(self, device: torch.device) -> nn.Module:
        """The net with its frozen part folded; the net itself where that would change what it
        computes.
        """
        if not self._frozen:
            return self.net
        exact = folded(self.net, self._frozen, torch.float32)
        expected = self._probe(self.net, full(device), device)
        if not same(expected, self._probe(exact, full(device), device)):
            return self.net
        if not fast_bf16(device):
            return exact
        converted = folded(self.net, self._frozen, torch.bfloat16)
        plain_maps = self._probe(self.net, reduced(device), device)
        maps = self._probe(converted, reduced(device), device)
        # Where conversion spoils the maps, autocast converts weights in every step, as it does
        # those of the plain net.
        return converted if as_near(expected, plain_maps, maps) else exact

    def _probe(
        self, net: nn.Module, precision: AbstractContextManager[Any], device: torch.device
    ) -> list[Tensor]:
        """The maps, as float32, that the net or a folded copy of it returns in evaluation for an
        image of 64 x 64 px.
        """
        image = torch.linspace(-1, 1, 3 * 64 * 64, device=device).reshape(1, 3, 64, 64)
        training = self.training
        self.eval()
        with torch.no_grad(), precision:
            maps = _maps(net(image))
        self.train(training)
        return [features.float() for features in maps]


class Backbone(nn.Module):
    """A body and a feature pyramid: maps of one width, by the name of their level from the finest
    on, as float32.

    levels  names of those that are shown to the heads
    name    of the network that the body is, as a Detector names it
    """

    def __init__(
        self,
        body: Body,
        fpn: FeaturePyramidNetwork,
        out_channels: int,
        levels: Sequence[str],
        *,
        name: str,
    ) -> None:
        super().__init__()
        self.name = name
        self.body, self.fpn, self.out_channels, self.levels = body, fpn, out_channels, tuple(levels)

    @property
    def wide(self) -> bool:
        """Whether the pyramid is as wide as torchvision's own, and heads should be."""
        return self.out_channels >= _WIDE

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        """x (b, 3, h, w), h and w multiples of 32."""
        with reduced(x.device):
            maps = self.fpn(self.body(x.contiguous(memory_format=torch.channels_last)))
        # RoI align wants plain float32: converted in one step, for the copies show in the time of a
        # training step.
        plain = {"dtype": torch.float32, "memory_format": torch.contiguous_format}
        return OrderedDict((level, maps[level].to(**plain)) for level in self.levels)


def timm_backbone(name: str, frozen_stages: int | str, *, fixed_norms: bool) -> Backbone:
    """A backbone by timm's name, its weights random, with a pyramid of strides 4, 8, 16, 32 and 64
    ("0" to "3", "pool").

    Raises DefinitionError for a name that timm does not know, and a backbone that does not have the
    four strides.
    """
    net = _features(name)
    info: Any = net.feature_info
    strides, channels = info.reduction(), info.channels()
    used_maps = [strides.index(stride) for stride in STRIDES]
    ends = [_named(net, end) for end in info.module_name()]
    frozen = len(ends) if frozen_stages == "all" else int(frozen_stages)
    body = Body(net, ends, used_maps, frozen, fixed_norms=fixed_norms)
    used_channels = [channels[position] for position in used_maps]
    width = _WIDE if used_channels[-1] >= _WIDE_FROM else _NARROW
    fpn = FeaturePyramidNetwork(used_channels, width, extra_blocks=LastLevelMaxPool())
    return Backbone(body, fpn, width, ("0", "1", "2", "3", "pool"), name=name)


def check_backbone(name: str) -> None:
    """Raises DefinitionError, with the nearest names, unless timm knows the backbone."""
    import timm

    if not timm.is_model(name):
        raise DefinitionError(
            "detector.backbone",
            "is not a backbone that timm knows",
            got=name,
            do=nearest_names(name),
        )


def nearest_names(name: str) -> str:
    """A hint for a misspelt name of a backbone: timm has over a thousand, too many to list."""
    import timm

    hint = nearest(name, timm.list_models())
    return hint if hint.startswith("Did you mean") else "timm.list_models() lists their names."


def _features(name: str) -> nn.Module:
    """timm's net that returns feature maps, its weights random.

    Raises DefinitionError where the four strides are missing.
    """
    import timm

    check_backbone(name)
    do = "Use a convolutional or hierarchical backbone, such as tf_efficientnet_lite0, resnet50 or convnext_tiny."
    rule = f"must give maps at strides {', '.join(map(str, STRIDES))}"
    try:
        net = timm.create_model(name, pretrained=False, features_only=True)
    except _WITHOUT_MAPS:
        raise DefinitionError("detector.backbone", rule, got=name, do=do) from None
    info: Any = net.feature_info
    strides = info.reduction()
    if not set(STRIDES) <= set(strides):
        raise DefinitionError("detector.backbone", f"{rule}; {name} has {strides}", do=do)
    if not _maps_fit(net):
        raise DefinitionError("detector.backbone", f"{rule} of images of any size", got=name, do=do)
    return net


def _maps_fit(net: nn.Module) -> bool:
    """Whether an oblong image gives maps as feature_info says: some nets take one size only, or put
    channels last.
    """
    height, width = 64, 96
    info: Any = net.feature_info
    expected = [
        (channels, height // stride, width // stride)
        for channels, stride in zip(info.channels(), info.reduction(), strict=True)
    ]
    try:
        with torch.no_grad():
            maps = _maps(net.eval()(torch.zeros(1, 3, height, width)))
    except (RuntimeError, AssertionError):  # as timm says that the size does not suit it
        return False
    return [tuple(features.shape[1:]) for features in maps] == expected


def _named(net: nn.Module, end: str) -> str:
    """The name in `net` of a module of the backbone that it was made from.

    Raises DefinitionError where it is not there.
    """
    modules = dict(net.named_modules())
    names = [name for name in names_in_features(end) if name in modules]
    if not names:
        rule = "must have stages that follow one another: timm does not say where its stages end"
        raise DefinitionError("detector.backbone", rule, got=type(net).__name__)
    return names[0]


def names_in_features(name: str) -> tuple[str, ...]:
    """What a module or tensor of a whole net may be called in its features: timm flattens some nets
    and wraps others.
    """
    return name, name.replace(".", "_", 1), f"model.{name}"


def _modules_until(net: nn.Module, end: str) -> frozenset[str]:
    """The names of all modules up to the end of the module `end`, without those that hold later
    ones too.

    Modules stand in the order in which they are used: timm's own extraction of features rests on
    that.
    """
    names = [name for name, _ in net.named_modules() if name]
    positions = [
        position for position, name in enumerate(names) if name == end or name.startswith(f"{end}.")
    ]
    split = positions[-1] + 1
    first, later = names[:split], names[split:]
    return frozenset(name for name in first if not _holds_any(name, later))


def _holds_any(module: str, names: Sequence[str]) -> bool:
    """Whether one of these modules is inside the module of that name."""
    return any(name.startswith(f"{module}.") for name in names)


def _changes(module: nn.Module) -> bool:
    """Whether a training step changes a module itself, its children aside: its parameters, or its
    running statistics.
    """
    learns = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    return learns or (isinstance(module, _BatchNorm) and module.training)


def _can_change(module: nn.Module) -> bool:
    """Whether a module itself, its children aside, has anything that a training may change."""
    return isinstance(module, _BatchNorm) or any(True for _ in module.parameters(recurse=False))


def _maps(output: Any) -> list[Tensor]:
    return list(output.values()) if isinstance(output, dict) else list(output)
