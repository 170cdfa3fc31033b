"""A model that only runs, faster: `optimise(model, mode)` is a copy that answers the same verbs.
The model itself is left as it is.

    "float32"   the same numbers to within rounding (1e-4)
    "bfloat16"  convolutions in bfloat16; keypoints, softmaxes, inverses, splines and fields in
                float32: PSNR above 40 dB
    "float16"   the same in float16, for GPUs; CPUs are slower with it than without

Which networks stay float32 in the half modes is decided by what their error does to the picture:
see `half`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from ..errors import InputError
from ..model import MotionModel
from ..networks.layers.blocks import (
    Antialias,
    Res,
    Same,
    Up,
)
from ..networks.layers.resnet import Basic, ResNet18
from . import fast
from .winograd import WinogradConv

MODES = ("float32", "bfloat16", "float16")


def optimise(model: MotionModel, mode: str = "float32") -> MotionModel:
    """A faster copy, in eval mode.

    Tensors that need no change are shared with the model. Raises InputError for an unknown mode.
    """
    if mode not in MODES:
        raise InputError(f"An optimised model is {', '.join(MODES)}, not {mode!r}.")
    model.settle()
    quick = _share(model).eval().requires_grad_(False)
    with torch.no_grad():
        replace(quick)
        lay_out(quick, getattr(torch, mode))
    quick.takes, quick.keeps = torch.float32, None if mode == "float32" else getattr(torch, mode)
    return quick


def _share(model: MotionModel) -> MotionModel:
    """A copy of the modules, not of their tensors."""
    return copy.deepcopy(
        model,
        {
            id(t): nn.Parameter(t, False) if isinstance(t, nn.Parameter) else t
            for t in _tensors(model)
        },
    )


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def replaced(network: nn.Module) -> nn.Module:
    """A copy of a network, its blocks by their fast forms."""
    quick = copy.deepcopy(network)
    with torch.no_grad():
        replace(quick)
    return quick


def replace(module: nn.Module) -> None:
    """Every block by its fast form, every convolution by one that takes any dtype, all the way
    down.
    """
    for name, child in module.named_children():
        quick = faster(child)
        if quick is None:
            replace(child)
        else:
            setattr(module, name, quick)


def faster(module: nn.Module) -> nn.Module | None:
    """The fast form of a block; None where there is none, and its children are to be looked at."""
    if isinstance(module, Up):
        return fast.FastUp(module)
    if isinstance(module, Same):
        return fast.FastSame(module)
    if isinstance(module, Res):
        return fast.FastRes(module)
    if isinstance(module, Antialias) and module.step > 1:
        return fast.FastAntialias(module)
    if isinstance(module, nn.Conv3d):
        return fast.Conv3(module)
    own = getattr(module, "faster", None)
    if own is not None:  # a family's own block
        return own(fast)
    if isinstance(module, nn.Conv2d):
        return fast.WideConv(module) if fast.WideConv.takes(module) else fast.Conv.of(module)
    fold(module)
    return None


def fold(module: nn.Module) -> None:
    """Batch norms that directly follow a convolution, into it: in a sequence, in ResNet's blocks,
    in blocks of a `conv` and a `norm`.
    """
    pairs: list[tuple[str, str]] = []
    if isinstance(module, nn.Sequential):
        names = list(module._modules)
        pairs = list(zip(names, names[1:], strict=False))
    elif isinstance(module, Basic | ResNet18):
        pairs = [("conv1", "bn1"), ("conv2", "bn2")]
    elif hasattr(module, "conv") and hasattr(module, "norm"):
        pairs = [("conv", "norm")]
    for conv, norm in pairs:
        before, after = getattr(module, conv, None), getattr(module, norm, None)
        if isinstance(before, nn.Conv3d) and isinstance(after, nn.BatchNorm3d):
            setattr(module, conv, fast.Conv3(before, after))
            setattr(module, norm, nn.Identity())
        if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
            setattr(module, conv, fast.folded(before, after))
            setattr(module, norm, nn.Identity())


def half(model: MotionModel, name: str, dtype: torch.dtype) -> bool:
    """Whether the module of that name may round so.

    Keypoints never: their errors move the whole picture. bfloat16 also rounds fields too coarsely
    (FOMM: 37 dB), and what is encoded once a source gains no time; what paints keeps 48 dB. float16
    rounds eight times finer.
    """
    networks = model.finding if dtype == torch.float16 else model.painting
    within = any(name == network or name.startswith(f"{network}.") for network in networks)
    return within != (dtype == torch.float16)


def lay_out(model: MotionModel, dtype: torch.dtype) -> None:
    """Convolutions channels_last, and in the dtype where they may be."""
    for name, module in model.named_modules():
        if isinstance(module, fast.Conv3):
            module.to(dtype if half(model, name, dtype) else torch.float32)
        if isinstance(module, fast.Conv):
            to = dtype if half(model, name, dtype) else torch.float32
            module.weight.data = module.weight.data.to(to).contiguous(
                memory_format=torch.channels_last
            )
            if module.bias is not None:
                module.bias.data = module.bias.data.to(to)
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            if (
                type(module) is fast.Conv
                and isinstance(parent, fast.FastRes)
                and WinogradConv.takes(module)
            ):
                setattr(parent, name, WinogradConv.of(module))
