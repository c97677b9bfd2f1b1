"""Backbones: features by timm or torchvision, some stages frozen, joined to a feature pyramid."""

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

from syndet_ray.detection.folding import as_exact, fold_frozen, maps_equal
from syndet_ray.detection.precision import fast_bf16, full, reduced_precision
from syndet_ray.errors import DefinitionError, nearest

# Strides of the maps that the pyramid is built from, as in torchvision's detectors.
STRIDES = (4, 8, 16, 32)
# Widths of the pyramid: torchvision's for backbones as wide as its own, a quarter for those made
# for phones: with a wide pyramid their training on a CPU core would take most of its time there.
_WIDE, _NARROW, _WIDE_FROM = 256, 64, 512
# Errors that timm raises for a backbone without feature maps; which one depends on the backbone.
_WITHOUT_MAPS = (RuntimeError, AttributeError, AssertionError, TypeError, KeyError)


class FeatureExtractor(nn.Module):
    """A backbone without its classifier; its first stages may be frozen.

    A stage ends where the stride doubles. Frozen stages never change: neither their parameters nor
    the running statistics of their batch norms. They are computed by a folded copy (batch norms
    multiplied into the convolutions before them), which is no part of the state. Raises
    DefinitionError for more frozen stages than there are.

    net            returns its maps as a list or a dict
    ends           the last module of each stage, by name
    used_maps      positions of the maps that the pyramid takes
    frozen_stages  from the image on
    fixed_norms    True if batch norms keep their first statistics in all stages: those of the few
                   images of a batch are worse than ImageNet's
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
        if frozen_stages > len(ends):
            rule = f"must be at most the number of stages of the backbone, {len(ends)}"
            raise DefinitionError("detector.frozen_stages", rule, got=frozen_stages)
        self.net = net
        self.stages, self.frozen_stages = len(ends), frozen_stages
        self._ends, self._used_maps = tuple(ends), tuple(used_maps)
        self._fixed_norms = fixed_norms
        self._frozen = self._until(frozen_stages)
        for name, module in net.named_modules():
            if name in self._frozen:
                module.requires_grad_(False)
        self._fast: dict[torch.device, Any] = {}  # the net with its frozen part folded
        self.register_load_state_dict_post_hook(lambda module, _: module._fast.clear())
        self.train()  # a new module is in training mode, also its frozen part

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        """Returns the used maps by number, finest first.

        x  (b, 3, h, w), h and w multiples of 32
        """
        if x.device not in self._fast:
            self._fast[x.device] = self._fold_frozen(x.device)
        maps = _maps(self._fast[x.device](x))
        used: OrderedDict[str, Tensor] = OrderedDict()
        for number, position in enumerate(self._used_maps):
            used[str(number)] = maps[position]
        return used

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """As nn.Module.train, but frozen modules and fixed norms stay in evaluation mode."""
        super().train(mode)
        for name, module in self.net.named_modules():
            is_fixed_norm = self._fixed_norms and isinstance(module, _BatchNorm)
            if name in self._frozen or is_fixed_norm:
                module.eval()
        return self

    @property
    def still_stages(self) -> int:
        """The number of stages, from the image on, whose parameters and batch norms do not change.

        Valid in training mode only: in evaluation no batch norm changes. A stage without parameters
        and batch norms, such as a pooling, counts as frozen if frozen_stages includes it.
        """
        changing = {name for name, module in self.net.named_modules() if _changes(module)}
        modules = [_modules_until(self.net, end) for end in self._ends]
        still = sum(changing.isdisjoint(names) for names in modules)
        beyond = self._until(still) - self._until(self.frozen_stages)
        if beyond and not any(_can_change(self.net.get_submodule(name)) for name in beyond):
            return self.frozen_stages
        return still

    def _until(self, stages: int) -> frozenset[str]:
        """Names of the modules of the first `stages` stages."""
        if stages == 0:
            return frozenset()
        return _modules_until(self.net, self._ends[stages - 1])

    def __deepcopy__(self, memo: dict[int, Any]) -> "FeatureExtractor":
        """A copy folds again, for it may be moved or get other weights."""
        clone = self.__class__.__new__(self.__class__)
        memo[id(self)] = clone
        clone.__dict__.update(copy.deepcopy(self.__dict__ | {"_fast": {}}, memo))
        return clone

    def _fold_frozen(self, device: torch.device) -> nn.Module:
        """The net with its frozen part folded; the net itself if that would change its maps."""
        if not self._frozen:
            return self.net
        exact = fold_frozen(self.net, self._frozen, torch.float32)
        expected = self._probe(self.net, full(device), device)
        if not maps_equal(expected, self._probe(exact, full(device), device)):
            return self.net
        if not fast_bf16(device):
            return exact
        converted = fold_frozen(self.net, self._frozen, torch.bfloat16)
        plain_maps = self._probe(self.net, reduced_precision(device), device)
        maps = self._probe(converted, reduced_precision(device), device)
        # If conversion spoils the maps, autocast converts the weights in every step, as it does
        # those of the plain net.
        return converted if as_exact(expected, plain_maps, maps) else exact

    def _probe(
        self, net: nn.Module, precision: AbstractContextManager[Any], device: torch.device
    ) -> list[Tensor]:
        """The maps, as float32, of the net or a folded copy of it in evaluation.

        For an image of 64 x 64 px, which gives the coarsest map 2 x 2 cells.
        """
        values = torch.linspace(-1, 1, 3 * 64 * 64, device=device)
        image = values.reshape(1, 3, 64, 64)
        training = self.training
        self.eval()
        with torch.no_grad(), precision:
            maps = _maps(net(image))
        self.train(training)
        return [features.float() for features in maps]


class Backbone(nn.Module):
    """A feature extractor (`body`) and a feature pyramid.

    Returns maps of one width as float32, by the name of their level, finest first.

    levels  names of the levels that the heads get
    name    of the network of the body, as a Detector names it
    """

    def __init__(
        self,
        body: FeatureExtractor,
        fpn: FeaturePyramidNetwork,
        out_channels: int,
        levels: Sequence[str],
        *,
        name: str,
    ) -> None:
        super().__init__()
        self.name = name
        self.body, self.fpn = body, fpn
        self.out_channels, self.levels = out_channels, tuple(levels)

    @property
    def wide(self) -> bool:
        """True if the pyramid is as wide as torchvision's own, as heads then should be."""
        return self.out_channels >= _WIDE

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        """x (b, 3, h, w), h and w multiples of 32."""
        with reduced_precision(x.device):
            maps = self.fpn(self.body(x.contiguous(memory_format=torch.channels_last)))
        # RoI align needs plain float32: converted in one step, because the copies take a
        # measurable part of a training step.
        plain = {"dtype": torch.float32, "memory_format": torch.contiguous_format}
        return OrderedDict((level, maps[level].to(**plain)) for level in self.levels)


def timm_backbone(name: str, frozen_stages: int | str, *, fixed_norms: bool) -> Backbone:
    """A backbone by timm's name, with random weights and a pyramid.

    The pyramid has the strides 4, 8, 16, 32 and 64 ("0" to "3", "pool"). Raises DefinitionError for
    a name that timm does not know, and a backbone that does not have the first four strides.
    """
    net = _features(name)
    info: Any = net.feature_info
    strides, channels = info.reduction(), info.channels()
    used_maps = [strides.index(stride) for stride in STRIDES]
    ends = [_name_in_net(net, end) for end in info.module_name()]
    frozen = len(ends) if frozen_stages == "all" else int(frozen_stages)
    body = FeatureExtractor(net, ends, used_maps, frozen, fixed_norms=fixed_norms)
    used_channels = [channels[position] for position in used_maps]
    is_wide = used_channels[-1] >= _WIDE_FROM
    width = _WIDE if is_wide else _NARROW
    fpn = FeaturePyramidNetwork(used_channels, width, extra_blocks=LastLevelMaxPool())
    return Backbone(body, fpn, width, ("0", "1", "2", "3", "pool"), name=name)


def check_backbone(name: str) -> None:
    """Raises DefinitionError, with the nearest names, unless timm knows the backbone."""
    import timm

    if not timm.is_model(name):
        rule = "is not a backbone that timm knows"
        raise DefinitionError("detector.backbone", rule, got=name, do=nearest_names(name))


def nearest_names(name: str) -> str:
    """A hint for a misspelt name of a backbone: timm has over a thousand, too many to list."""
    import timm

    hint = nearest(name, timm.list_models())
    if hint.startswith("Did you mean"):
        return hint
    return "timm.list_models() lists their names."


def _features(name: str) -> nn.Module:
    """timm's net that returns feature maps, with random weights.

    Raises DefinitionError if one of the four strides is missing.
    """
    import timm

    check_backbone(name)
    examples = "tf_efficientnet_lite0, resnet50 or convnext_tiny"
    do = f"Use a convolutional or hierarchical backbone, such as {examples}."
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
    """True if an oblong image gives maps of the shapes of feature_info.

    Some nets take one size only, or put channels last.
    """
    height, width = 64, 96  # multiples of 32 that differ
    info: Any = net.feature_info
    expected = []
    for channels, stride in zip(info.channels(), info.reduction(), strict=True):
        expected.append((channels, height // stride, width // stride))
    try:
        with torch.no_grad():
            maps = _maps(net.eval()(torch.zeros(1, 3, height, width)))
    except (RuntimeError, AssertionError):  # timm's errors for a size that does not suit the net
        return False
    return [tuple(features.shape[1:]) for features in maps] == expected


def _name_in_net(net: nn.Module, end: str) -> str:
    """The name in `net` of a module of the backbone that it was made from.

    Raises DefinitionError if there is no such module.
    """
    modules = dict(net.named_modules())
    names = [name for name in names_in_features(end) if name in modules]
    if not names:
        rule = "must have stages that follow one another: timm does not say where its stages end"
        raise DefinitionError("detector.backbone", rule, got=type(net).__name__)
    return names[0]


def names_in_features(name: str) -> tuple[str, ...]:
    """Possible names, in timm's net of features, of a module or tensor of the whole net.

    timm flattens some nets and wraps others.
    """
    return name, name.replace(".", "_", 1), f"model.{name}"


def _modules_until(net: nn.Module, end: str) -> frozenset[str]:
    """Names of all modules up to the end of the module `end`, without those that hold later ones.

    Modules stand in the order in which they are used: timm's own extraction of features relies on
    that too.
    """
    names = [name for name, _ in net.named_modules() if name]
    split = 0
    for position, name in enumerate(names, start=1):
        if name == end or name.startswith(f"{end}."):
            split = position
    assert split, f"{end} is no module of the net"
    first, later = names[:split], names[split:]
    return frozenset(name for name in first if not _holds_any(name, later))


def _holds_any(module: str, names: Sequence[str]) -> bool:
    """True if one of these modules is inside the module of that name."""
    return any(name.startswith(f"{module}.") for name in names)


def _changes(module: nn.Module) -> bool:
    """True if training changes the parameters or statistics of a module, without its children."""
    learns = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    return learns or (isinstance(module, _BatchNorm) and module.training)


def _can_change(module: nn.Module) -> bool:
    """True if a module, without its children, has parameters or statistics."""
    parameters = list(module.parameters(recurse=False))
    return isinstance(module, _BatchNorm) or bool(parameters)


def _maps(output: Any) -> list[Tensor]:
    return list(output.values()) if isinstance(output, dict) else list(output)
