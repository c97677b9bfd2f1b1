"""Folding: frozen layers as they are computed fastest: norms multiplied into convolutions, weights converted once."""

import copy
from collections.abc import Collection, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from syndet_ray.detection.precision import full

# How far folding may move a feature, as a share of the largest: far above rounding, far below what a wrong fold does.
_FOLDING_ERROR = 1e-3
# How much further from float32 than the plain net a fold may be in bfloat16: of 19 backbones with random weights the
# furthest was 2.3 times as far, nearly all less than 1.5 times. The second allows for a net that is hardly off at all.
_REDUCED_ERROR, _BF16_ROUNDING = 3.0, 2**-8


def folded(net: nn.Module, frozen: Collection[str], dtype: torch.dtype) -> nn.Module:
    """A copy of `net` whose frozen convolutions and batch norms are one, with weights in `dtype`.

    What is not frozen is shared with the net.

    frozen  names of modules
    """
    made = _fold(net, frozen, "")
    _quick(made, frozen, "", dtype)
    return made


def same(expected: Sequence[Tensor], found: Sequence[Tensor]) -> bool:
    """Whether maps are equal up to rounding in float32."""
    if len(expected) != len(found):  # timm's features by hooks are not to be copied
        return False
    pairs = zip(expected, found, strict=True)
    return all((a - b).abs().max() <= _FOLDING_ERROR * a.abs().max() for a, b in pairs)


def as_near(expected: Sequence[Tensor], plain: Sequence[Tensor], found: Sequence[Tensor]) -> bool:
    """Whether a fold is about as near in bfloat16 to what float32 gives as the plain net is.

    How far that is depends on the net: of a rounding error of 0.3 % some with random weights make 30 %.
    """
    for exact, one, other in zip(expected, plain, found, strict=True):
        allowed = _REDUCED_ERROR * (one - exact).norm() + _BF16_ROUNDING * exact.norm()
        if not (other - exact).norm() <= allowed:  # nor where it is no number
            return False
    return True


def _fold(module: nn.Module, frozen: Collection[str], path: str) -> nn.Module:
    """A copy of `module` whose frozen convolutions and batch norms are one; what is not frozen is shared with it."""
    if path in frozen and not list(module.children()):
        return _plain(module)
    if not _reaches_into(path, frozen):
        return module  # itself, for a copy would not hear of train() and eval()
    made = copy.copy(module)
    made._modules = dict(module._modules)
    convolution = ""  # the last child before this one, where it is a frozen convolution
    for name, child in module.named_children():
        at = f"{path}.{name}" if path else name
        if convolution and at in frozen and _follows(child, getattr(module, convolution)):
            made._modules[convolution] = _fused(getattr(module, convolution), child)
            made._modules[name] = _after_norm(child)
        else:
            made._modules[name] = _fold(child, frozen, at)
        convolution = name if at in frozen and isinstance(child, nn.Conv2d) else ""
    return made


def _reaches_into(path: str, frozen: Collection[str]) -> bool:
    """Whether the module of this name is frozen, or holds one that is."""
    return not path or path in frozen or any(name.startswith(f"{path}.") for name in frozen)


def _follows(norm: nn.Module, convolution: nn.Conv2d) -> TypeGuard[_BatchNorm]:
    """Whether `norm` may be the batch norm of the convolution that stands before it."""
    return isinstance(norm, _BatchNorm) and norm.num_features == convolution.out_channels


def _fused(convolution: nn.Conv2d, norm: _BatchNorm) -> nn.Conv2d:
    plain: Any = _plain(convolution).eval()
    return fuse_conv_bn_eval(plain, copy.deepcopy(norm).eval()).requires_grad_(False)


def _plain(module: nn.Module) -> nn.Module:
    """A copy of a module without children, which is a plain convolution where timm's would standardise its weights.

    They are standardised here, once, in float32: bfloat16 would round them before the mean is taken off, and after.
    """
    from timm.layers import Conv2dSame

    made: Any = copy.deepcopy(module)
    if not _standardises(module):
        return made
    gain = (made.gain * made.scale).flatten() if hasattr(made, "gain") else None
    filters = made.weight.reshape(1, made.out_channels, -1)
    with torch.no_grad(), full(filters.device):
        weight = functional.batch_norm(filters, None, None, gain, training=True, momentum=0.0, eps=made.eps)
    made.weight = nn.Parameter(weight.reshape_as(made.weight), requires_grad=False)
    made.__class__ = Conv2dSame if getattr(made, "same_pad", False) else nn.Conv2d
    return made


def _standardises(module: nn.Module) -> bool:
    """Whether it is one of timm's convolutions with weight standardisation (Qiao et al. 2019, Brock et al. 2021)."""
    from timm.layers import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame

    return isinstance(module, (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame))


def _after_norm(norm: nn.Module) -> nn.Module:
    """What timm's batch norms do besides norming: their activation."""
    steps = [getattr(norm, name, nn.Identity()) for name in ("drop", "act")]
    return nn.Sequential(*[step for step in steps if not isinstance(step, nn.Identity)])


def _quick(module: nn.Module, frozen: Collection[str], path: str, dtype: torch.dtype) -> None:
    """Frozen convolutions with their weights in `dtype`, so that no step has to convert them, and without padded copies."""
    for name, child in module.named_children():
        at = f"{path}.{name}" if path else name
        if at in frozen and isinstance(child, nn.Conv2d) and _pads_unevenly(child):
            module._modules[name] = _UnevenPadding(child).to(dtype)
        elif at in frozen and isinstance(child, (nn.Conv2d, _UnevenPadding)):
            child.to(dtype)
        else:
            _quick(child, frozen, at, dtype)


def _pads_unevenly(convolution: nn.Module) -> bool:
    from timm.layers import Conv2dSame

    if not isinstance(convolution, Conv2dSame):
        return False
    return (
        convolution.dilation == (1, 1) and convolution.kernel_size in ((3, 3), (5, 5)) and convolution.stride == (2, 2)
    )


class _UnevenPadding(nn.Module):
    """TensorFlow's padding of a convolution of stride 2, on maps of even size, without copying the map to pad it.

    It pads one pixel less before the map than after it. So does an even padding whose first row and column are left out.
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
