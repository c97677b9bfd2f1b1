"""Folding: frozen layers in their fastest form: norms multiplied into convolutions, weights
converted once.
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

# How far folding may move a feature, as a share of the largest: far above rounding, far below what
# a wrong fold does.
_FOLDING_ERROR = 1e-3
# How much further from float32 than the plain net a fold may be in bfloat16: of 19 backbones with
# random weights the furthest was 2.3 times as far, nearly all less than 1.5 times.
_REDUCED_ERROR = 3.0
# of its 8 bits of precision; allowed in addition, for a net that is hardly off at all
_BF16_ROUNDING = 2**-8


def folded(net: nn.Module, frozen: Collection[str], dtype: torch.dtype) -> nn.Module:
    """A copy of `net` whose frozen convolutions and batch norms are one, with weights in `dtype`.

    What is not frozen is shared with the net.

    frozen  names of modules
    """
    fold = _fold(net, frozen, "")
    _convert(fold, frozen, "", dtype)
    return fold


def same(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> bool:
    """Whether maps, float32 and of equal shapes, are equal up to rounding."""
    # where timm collects features by hooks, a copy of the net returns fewer
    if len(expected) != len(actual):
        return False
    pairs = zip(expected, actual, strict=True)
    return all(
        (fold_map - exact).abs().max() <= _FOLDING_ERROR * exact.abs().max()
        for exact, fold_map in pairs
    )


def as_near(
    expected: Sequence[Tensor], plain: Sequence[Tensor], converted: Sequence[Tensor]
) -> bool:
    """Whether the maps of a fold in bfloat16 are about as near to those in float32 as the maps of
    the plain net are.

    How near that is depends on the net: some with random weights turn a rounding error of 0.3 %
    into one of 30 %.

    expected   maps in float32
    plain      maps of the net in bfloat16
    converted  maps of the fold in bfloat16
    """
    for exact, plain_map, fold_map in zip(expected, plain, converted, strict=True):
        allowed = _REDUCED_ERROR * (plain_map - exact).norm() + _BF16_ROUNDING * exact.norm()
        near = bool((fold_map - exact).norm() <= allowed)  # False for what is not a number
        if not near:
            return False
    return True


def _fold(module: nn.Module, frozen: Collection[str], path: str) -> nn.Module:
    """A copy of `module` whose frozen convolutions and batch norms are one; what is not frozen is
    shared with it.
    """
    if path in frozen and not list(module.children()):
        return _plain(module)
    if not _reaches_into(path, frozen):
        return module  # itself: train() and eval() of the net would not reach a copy
    fold = copy.copy(module)
    fold._modules = dict(module._modules)
    convolution = ""  # the last child before this one, where it is a frozen convolution
    for name, child in module.named_children():
        child_path = _joined(path, name)
        if convolution and child_path in frozen and _follows(child, getattr(module, convolution)):
            fold._modules[convolution] = _fused(getattr(module, convolution), child)
            fold._modules[name] = _after_norm(child)
        else:
            fold._modules[name] = _fold(child, frozen, child_path)
        convolution = name if child_path in frozen and isinstance(child, nn.Conv2d) else ""
    return fold


def _joined(path: str, name: str) -> str:
    """The name of a child in the whole net."""
    return f"{path}.{name}" if path else name


def _reaches_into(path: str, frozen: Collection[str]) -> bool:
    """Whether the module of this name is frozen, or holds one that is."""
    return not path or path in frozen or any(name.startswith(f"{path}.") for name in frozen)


def _follows(norm: nn.Module, convolution: nn.Conv2d) -> TypeGuard[_BatchNorm]:
    """Whether `norm` may be the batch norm of the convolution that stands before it."""
    return isinstance(norm, _BatchNorm) and norm.num_features == convolution.out_channels


def _fused(convolution: nn.Conv2d, norm: _BatchNorm) -> nn.Conv2d:
    """A frozen convolution that does what both do in evaluation."""
    plain: Any = _plain(convolution).eval()
    return fuse_conv_bn_eval(plain, copy.deepcopy(norm).eval()).requires_grad_(False)


def _plain(module: nn.Module) -> nn.Module:
    """A copy of a module without children; of timm's convolutions that standardise their weights, a
    plain convolution.

    They are standardised here, once, in float32: bfloat16 would round them before the mean is
    subtracted, and after.
    """
    from timm.layers import Conv2dSame

    plain: Any = copy.deepcopy(module)
    if not _standardises(module):
        return plain
    gain = (plain.gain * plain.scale).flatten() if hasattr(plain, "gain") else None
    filters = plain.weight.reshape(1, plain.out_channels, -1)
    with torch.no_grad(), full(filters.device):
        weight = functional.batch_norm(
            filters, None, None, gain, training=True, momentum=0.0, eps=plain.eps
        )
    plain.weight = nn.Parameter(weight.reshape_as(plain.weight), requires_grad=False)
    plain.__class__ = Conv2dSame if getattr(plain, "same_pad", False) else nn.Conv2d
    return plain


def _standardises(module: nn.Module) -> bool:
    """Whether a module is one of timm's convolutions with weight standardisation (Qiao et al.

    2019, Brock et al. 2021).
    """
    from timm.layers import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame

    return isinstance(module, (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame))


def _after_norm(norm: nn.Module) -> nn.Module:
    """What is left of a batch norm once it is folded: timm's have an activation and a drop-out of
    their own.
    """
    steps = [getattr(norm, name, nn.Identity()) for name in ("drop", "act")]
    return nn.Sequential(*[step for step in steps if not isinstance(step, nn.Identity)])


def _convert(module: nn.Module, frozen: Collection[str], path: str, dtype: torch.dtype) -> None:
    """Converts the weights of frozen convolutions, so that no step has to, and spares them padded
    copies of their maps.
    """
    for name, child in module.named_children():
        child_path = _joined(path, name)
        if child_path in frozen and isinstance(child, nn.Conv2d) and _pads_unevenly(child):
            module._modules[name] = _UnevenPadding(child).to(dtype)
        elif child_path in frozen and isinstance(child, (nn.Conv2d, _UnevenPadding)):
            child.to(dtype)
        else:
            _convert(child, frozen, child_path, dtype)


def _pads_unevenly(convolution: nn.Module) -> bool:
    """Whether it pads as TensorFlow does, in a way that _UnevenPadding can take over."""
    from timm.layers import Conv2dSame

    if not isinstance(convolution, Conv2dSame):
        return False
    halves = convolution.stride == (2, 2) and convolution.dilation == (1, 1)
    return halves and convolution.kernel_size in ((3, 3), (5, 5))


class _UnevenPadding(nn.Module):
    """TensorFlow's padding of a convolution of stride 2, on maps of even size, without copying the
    map to pad it.

    TensorFlow pads one pixel less before the map than after it. So does an even padding without its
    first row and column.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = copy.deepcopy(convolution)
        self.convolution.__class__ = nn.Conv2d
        before = (convolution.kernel_size[0] - 2) // 2
        self.convolution.padding = (before + 2, before + 2)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2] // 2, x.shape[3] // 2
        return self.convolution(x)[:, :, 1 : height + 1, 1 : width + 1]
