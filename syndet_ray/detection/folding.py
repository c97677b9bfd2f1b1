"""Folding: frozen layers in their fastest form, norms multiplied into convolutions.

Their weights are converted to the precision of the computation only once.
"""

import copy
from collections.abc import Collection, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from syndet_ray.detection.precision import full

# How far folding may move a feature, as a share of the largest: far above rounding, far below the
# effect of a wrong fold.
_FOLDING_ERROR = 1e-3
# How much further from float32 than the plain net a fold may be in bfloat16: of 19 backbones with
# random weights the furthest was 2.3 times as far, nearly all less than 1.5 times.
_REDUCED_ERROR = 3.0
# of its 8 bits of precision; allowed in addition, for a net that is hardly off at all
_BF16_ROUNDING = 2**-8


def fold_frozen(net: nn.Module, frozen: Collection[str], dtype: torch.dtype) -> nn.Module:
    """A copy of `net` whose frozen convolutions and batch norms are one, with weights in `dtype`.

    What is not frozen is shared with the net.

    frozen  names of modules
    """
    fold = _fold(net, frozen, "")
    _convert(fold, frozen, "", dtype)
    return fold


def maps_equal(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> bool:
    """True if maps, float32 and of equal shapes, are equal up to rounding."""
    # if timm collects features by hooks, a copy of the net returns fewer
    if len(expected) != len(actual):
        return False
    for exact, fold_map in zip(expected, actual, strict=True):
        error = (fold_map - exact).abs().max()
        is_equal = bool(error <= _FOLDING_ERROR * exact.abs().max())  # False for NaN
        if not is_equal:
            return False
    return True


def as_exact(
    expected: Sequence[Tensor], plain: Sequence[Tensor], converted: Sequence[Tensor]
) -> bool:
    """True if the maps of a fold in bfloat16 are about as exact as those of the plain net.

    The error of the plain net depends on the net: some with random weights turn a rounding error of
    0.3 % into one of 30 %.

    expected   maps in float32
    plain      maps of the net in bfloat16
    converted  maps of the fold in bfloat16
    """
    for exact, plain_map, fold_map in zip(expected, plain, converted, strict=True):
        plain_error = (plain_map - exact).norm()
        fold_error = (fold_map - exact).norm()
        allowed = _REDUCED_ERROR * plain_error + _BF16_ROUNDING * exact.norm()
        is_near = bool(fold_error <= allowed)  # False for NaN
        if not is_near:
            return False
    return True


def _fold(module: nn.Module, frozen: Collection[str], path: str) -> nn.Module:
    """A copy of `module` whose frozen convolutions and batch norms are one.

    What is not frozen is shared with it.

    path  name of the module in the whole net
    """
    if path in frozen and not list(module.children()):
        return _plain(module)
    if not _reaches_into(path, frozen):
        return module  # itself: train() and eval() of the net would not reach a copy
    fold = copy.copy(module)
    fold._modules = dict(module._modules)
    before = ""  # name of the child before this one, if that is a frozen convolution
    for name, child in module.named_children():
        child_path = _join_names(path, name)
        is_frozen = child_path in frozen
        if before and is_frozen and _follows(child, getattr(module, before)):
            fold._modules[before] = _fuse(getattr(module, before), child)
            fold._modules[name] = after_norm(child)
        else:
            fold._modules[name] = _fold(child, frozen, child_path)
        before = name if is_frozen and isinstance(child, nn.Conv2d) else ""
    return fold


def _join_names(path: str, name: str) -> str:
    """The name of a child in the whole net."""
    return f"{path}.{name}" if path else name


def _reaches_into(path: str, frozen: Collection[str]) -> bool:
    """True if the module of this name is frozen, or holds one that is."""
    if not path or path in frozen:
        return True
    return any(name.startswith(f"{path}.") for name in frozen)


def _follows(norm: nn.Module, convolution: nn.Conv2d) -> TypeGuard[_BatchNorm]:
    """True if `norm` may be the batch norm of the convolution that stands before it."""
    return isinstance(norm, _BatchNorm) and norm.num_features == convolution.out_channels


def _fuse(convolution: nn.Conv2d, norm: _BatchNorm) -> nn.Conv2d:
    """A frozen convolution that does what both do in evaluation."""
    plain: Any = _plain(convolution).eval()
    return fuse_conv_bn_eval(plain, copy.deepcopy(norm).eval()).requires_grad_(False)


def _plain(module: nn.Module) -> nn.Module:
    """A copy of a module without children, with weights that are already standardised.

    timm's convolutions that standardise their weights become plain ones. Their weights are
    standardised here, once, in float32: bfloat16 would round them before the mean is subtracted,
    and after.
    """
    from timm.layers import Conv2dSame

    plain: Any = copy.deepcopy(module)
    if not _standardises(module):
        return plain
    gain = None
    if hasattr(plain, "gain"):
        gain = (plain.gain * plain.scale).flatten()
    filters = plain.weight.reshape(1, plain.out_channels, -1)
    with torch.no_grad(), full(filters.device):
        weight = functional.batch_norm(
            filters, None, None, gain, training=True, momentum=0.0, eps=plain.eps
        )
    plain.weight = nn.Parameter(weight.reshape_as(plain.weight), requires_grad=False)
    plain.__class__ = Conv2dSame if getattr(plain, "same_pad", False) else nn.Conv2d
    return plain


def _standardises(module: nn.Module) -> bool:
    """True for timm's convolutions with weight standardisation.

    Qiao et al. 2019, Brock et al. 2021.
    """
    from timm.layers import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame

    return isinstance(module, (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame))


def after_norm(norm: nn.Module) -> nn.Module:
    """The rest of a batch norm that is folded: timm's have a drop-out and an activation."""
    steps = [getattr(norm, name, nn.Identity()) for name in ("drop", "act")]
    active = [step for step in steps if not isinstance(step, nn.Identity)]
    return nn.Sequential(*active)


def _convert(module: nn.Module, frozen: Collection[str], path: str, dtype: torch.dtype) -> None:
    """Converts the weights of frozen convolutions once, so that no step has to.

    Convolutions with TensorFlow's padding become an `_UnevenPadding`, which copies no map.
    """
    for name, child in module.named_children():
        child_path = _join_names(path, name)
        is_convolution = isinstance(child, nn.Conv2d | _UnevenPadding)
        if child_path in frozen and _pads_unevenly(child):
            module._modules[name] = _UnevenPadding(child).to(dtype)
        elif child_path in frozen and is_convolution:
            child.to(dtype)
        else:
            _convert(child, frozen, child_path, dtype)


def _pads_unevenly(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """True for a convolution with TensorFlow's padding that _UnevenPadding can do as well."""
    from timm.layers import Conv2dSame

    if not isinstance(module, Conv2dSame):
        return False
    halves = module.stride == (2, 2) and module.dilation == (1, 1)
    return halves and module.kernel_size in ((3, 3), (5, 5))


class _UnevenPadding(nn.Module):
    """TensorFlow's padding of a convolution of stride 2, without a padded copy of the map.

    For maps of even size. TensorFlow pads one pixel less before the map than after it. An even
    padding gives the same result without its first row and column.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = copy.deepcopy(convolution)
        self.convolution.__class__ = nn.Conv2d
        before = (convolution.kernel_size[0] - 2) // 2
        self.convolution.padding = (before + 2, before + 2)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2] // 2, x.shape[3] // 2
        features = self.convolution(x)
        return features[:, :, 1 : height + 1, 1 : width + 1]
