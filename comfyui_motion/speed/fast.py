"""The blocks again, as a model that only runs (never trains) may compute them: the same numbers
with less work.

Norms that are constants are part of the convolutions, pictures are channels_last,
nearest-upsampling never happens, narrow outputs use whole vectors. `optimise` puts these in the
places of the blocks; every convolution takes what it is given in its own dtype, so that a model may
be of several. Nothing here has parameters of its own: tensors are taken from a block, shared with
it where they are unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.layers.blocks import (
    Antialias,
    Down,
    Res,
    Same,
    Up,
)

NARROW = 4  # a convolution with at most so many outputs leaves most of a vector unused
FEW = 32 * 32  # pixels over which a mean square less a squared mean is too coarse a variance
DEEP = 2**19  # weights of so many numbers take longer to lay out than to use, where maps are small


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this PyTorch, on this CPU, has oneDNN's packed convolutions in that dtype."""
    if not torch.backends.mkldnn.is_available() or not hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    ):
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


class Conv(nn.Module):
    """A convolution, in its weights' dtype and layout whatever comes."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.stride, self.padding, self.groups = stride, padding, groups
        self.packed: Tensor | None = None
        # packed, or found not worth it: at the first use, for the model may yet move to another
        # device
        self.settled = False

    @classmethod
    def of(cls, conv: nn.Conv2d | Conv) -> Conv:
        assert isinstance(conv.padding, tuple)
        # PyTorch's own say less of their length
        stride, padding = cast(tuple[int, int], conv.stride), cast(tuple[int, int], conv.padding)
        return Conv(conv.weight, conv.bias, stride, padding, conv.groups)

    def pack(self) -> None:
        """Lay a deep layer's weights out as the CPU's convolutions read them, which they otherwise
        do at every call.
        """
        if (
            self.weight.numel() >= DEEP
            and self.weight.is_cpu
            and self.groups == 1
            and can_pack(self.weight.dtype)
        ):
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight.data, self.padding, self.stride, (1, 1), 1, None
            )
            self.weight.data = self.weight.data.new_empty(0)

    def unpack(self) -> None:
        if self.packed is not None:
            self.weight.data, self.packed = self.packed.to_dense(), None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Conv:
        """Moved and cast as any module is, unpacked."""
        self.unpack()
        super()._apply(fn, recurse)
        self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)
        self.settled = False
        return self

    def settle(self) -> None:
        if not self.settled:
            self.pack()
            self.settled = True

    def forward(self, x: Tensor) -> Tensor:
        self.settle()
        if self.packed is not None:
            x = x.to(self.packed.dtype)
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.packed, self.bias, self.padding, self.stride, (1, 1), 1, "none", [], ""
            )
        return F.conv2d(
            x.to(self.weight.dtype),
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            groups=self.groups,
        )


class Conv3(nn.Module):
    """A convolution of volumes, with the norm that follows it folded in, in its weights' dtype."""

    def __init__(self, conv: nn.Conv3d, norm: nn.Module | None = None) -> None:
        super().__init__()
        weight, bias = conv.weight.double(), conv.bias
        bias = weight.new_zeros(len(weight)) if bias is None else bias.double()
        if norm is not None:
            scale, shift = scale_and_shift(norm)
            weight, bias = weight * scale[:, None, None, None, None], bias * scale + shift
        self.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=False)
        self.bias = nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False)
        self.padding = conv.padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(x.to(self.weight.dtype), self.weight, self.bias, padding=self.padding)


class PhaseConv3(nn.Module):
    """`PhaseConv` of volumes whose height and width were doubled, not their depth."""

    def __init__(self, conv: Conv3) -> None:
        super().__init__()
        self.conv, self.out = conv, len(conv.weight)
        weight = torch.einsum(
            "pya,qxb,oczab->pqoczyx", *(two_phases(conv.weight),) * 2, conv.weight.double()
        )
        self.conv.weight = nn.Parameter(weight.flatten(0, 2).to(conv.weight.dtype), False)
        self.conv.bias = nn.Parameter(conv.bias.repeat(4), False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        phases = self.conv(x).unflatten(1, (2, 2, self.out))  # B 2 2 out D H+1 W+1
        up = phases.new_empty(len(x), self.out, x.shape[2], 2 * height, 2 * width)
        for i in range(2):
            for j in range(2):
                up[..., i::2, j::2] = phases[:, i, j, :, :, i : i + height, j : j + width]
        return up


def two_phases(like: Tensor) -> Tensor:
    """Which taps of three each phase of a doubled row gives to which of two rows: the even one its
    left tap and the other two together. phase 2 3
    """
    first = torch.tensor([[1.0, 0, 0], [0, 1, 1]], dtype=torch.float64, device=like.device)
    return torch.stack([first, first.flip(0, 1)])


def folded(conv: nn.Conv2d | Conv, norm: nn.Module) -> Conv:
    """norm(conv(x)) as one convolution. An Identity folds into anything."""
    plain = Conv.of(conv)
    if isinstance(norm, nn.Identity):
        return plain
    scale, shift = scale_and_shift(norm)
    bias = shift if conv.bias is None else conv.bias.double() * scale + shift
    weight = conv.weight.double() * scale[:, None, None, None]
    return Conv(
        weight.to(conv.weight.dtype),
        bias.to(conv.weight.dtype),
        plain.stride,
        plain.padding,
        plain.groups,
    )


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A trained BatchNorm2d as x * scale + shift, in float64. C, C"""
    assert (
        isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
        and norm.running_mean is not None
        and norm.running_var is not None
    )
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    scale = scale if norm.weight is None else scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.double()


def average(x: Tensor) -> Tensor:
    """Over all pixels, in float32. B C H W -> B C 1 1

    Of channels_last maps PyTorch reduces slowly: columns are averaged by a matrix product instead,
    then what it gives, which rounds less.
    """
    batch, channels, height, width = x.shape
    columns = x.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
    weights = x.new_full((1, 1, height), 1 / height).expand(batch, -1, -1)
    return (
        torch.bmm(weights, columns).view(batch, width, channels).float().mean(1)[:, :, None, None]
    )


class InstanceReLU(nn.Module):
    """relu(instance norm(x)). Statistics in two readings that keep channels_last."""

    def __init__(self, norm: nn.InstanceNorm2d, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace  # written over what it is given
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] <= FEW:
            return (
                F.instance_norm(
                    x.float(),
                    None,
                    None,
                    self.weight.float(),
                    self.bias.float(),
                    True,
                    0.0,
                    self.eps,
                )
                .to(x.dtype)
                .relu_()
            )
        mean, power = average(x), average(x.square())  # B C 1 1
        scale = self.weight.float()[:, None, None] * torch.rsqrt(
            (power - mean.square()).clamp(min=0) + self.eps
        )
        shift = self.bias.float()[:, None, None] - mean * scale
        return torch.addcmul(
            shift.to(x.dtype), x, scale.to(x.dtype), out=x if self.inplace else None
        ).relu_()


class ScaleReLU(nn.Module):
    """relu(x * scale + shift), per channel: a batch norm that no convolution precedes."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        scale, shift = scale_and_shift(norm)
        self.register_buffer("scale", scale.float()[:, None, None])
        self.register_buffer("shift", shift.float()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift.to(x.dtype), x, self.scale.to(x.dtype)).relu_()


class ReLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu_()


def rectifier(norm: nn.Module) -> nn.Module:
    """relu after a norm that could not be folded, or after one that was."""
    return InstanceReLU(norm, inplace=True) if isinstance(norm, nn.InstanceNorm2d) else ReLU()


def joined(conv: nn.Conv2d, norm: nn.Module) -> Conv:
    return Conv.of(conv) if isinstance(norm, nn.InstanceNorm2d) else folded(conv, norm)


class FastSame(nn.Module):
    """Same and Down."""

    def __init__(self, block: Same) -> None:
        super().__init__()
        self.conv, self.relu = joined(block.conv, block.norm), rectifier(block.norm)
        self.halve = isinstance(block, Down)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        return F.avg_pool2d(x, 2) if self.halve else x


class PhaseConv(nn.Module):
    """A 3x3 convolution of the nearest-upsampled picture, from the picture itself.

    Of two neighbouring output pixels each sees two input pixels across, one of them with two of its
    taps: so each of the four phases is a 2x2 convolution with summed taps, 16 multiplications where
    36 were. All four are outputs of one convolution over shared windows.
    """

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self.out = conv.weight.shape[0]
        phases = two_phases(conv.weight)
        weight = torch.einsum("pya,qxb,ocab->pqocyx", phases, phases, conv.weight.double())
        bias = None if conv.bias is None else conv.bias.repeat(4)
        self.conv = Conv(weight.flatten(0, 2).to(conv.weight.dtype), bias, (1, 1), (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        phases = self.conv(x).unflatten(1, (2, 2, self.out))  # B 2 2 out H+1 W+1
        size = (len(x), self.out, 2 * height, 2 * width)
        up = torch.empty(size, dtype=phases.dtype, device=x.device, memory_format=memory_format(x))
        for i in range(2):
            for j in range(2):
                up[:, :, i::2, j::2] = phases[:, i, j, :, i : i + height, j : j + width]
        return up


def memory_format(x: Tensor) -> torch.memory_format:
    return (
        torch.channels_last
        if x.is_contiguous(memory_format=torch.channels_last)
        else torch.contiguous_format
    )


class FastUp(nn.Module):
    """Up."""

    def __init__(self, block: Up) -> None:
        super().__init__()
        self.conv, self.relu = PhaseConv(joined(block.conv, block.norm)), rectifier(block.norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))


class FastRes(nn.Module):
    """Res: its first norm precedes a ReLU, and stays; its second is part of the first
    convolution.
    """

    def __init__(self, block: Res) -> None:
        super().__init__()
        self.first = (
            InstanceReLU(block.norm1, inplace=False)
            if isinstance(block.norm1, nn.InstanceNorm2d)
            else ScaleReLU(block.norm1)
        )
        self.conv1, self.relu = joined(block.conv1, block.norm2), rectifier(block.norm2)
        self.conv2 = Conv.of(block.conv2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.relu(self.conv1(self.first(x)))).add_(x)


class WideConv(Conv):
    """A convolution to a few maps, as one that steps over squares of pixels and makes them all at
    once: whole vectors, not a part of them.

    It can still be joined with others by its weight and bias, which are the plain ones.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        plain = Conv.of(conv)
        super().__init__(plain.weight, plain.bias, plain.stride, plain.padding)
        out, channels, rows, columns = conv.weight.shape
        self.step = step = 4 if out == 1 else 2
        wide = conv.weight.new_zeros(out, step, step, channels, rows + step - 1, columns + step - 1)
        for i in range(step):
            for j in range(step):
                wide[:, i, j, :, i : i + rows, j : j + columns] = conv.weight
        bias = None if conv.bias is None else conv.bias.repeat_interleave(step * step)
        self.wide = Conv(wide.flatten(0, 2), bias, (step, step), self.padding)

    @staticmethod
    def takes(conv: nn.Conv2d) -> bool:
        return (
            conv.out_channels <= NARROW
            and conv.kernel_size == (7, 7)
            and conv.padding == (3, 3)
            and conv.stride == (1, 1)
            and conv.groups == 1
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % self.step or x.shape[3] % self.step:
            return super().forward(x)
        return F.pixel_shuffle(self.wide(x), self.step)


class FastAntialias(nn.Module):
    """Antialias: all channels as one picture each, as a dense convolution of one map is faster than
    a grouped one of three.
    """

    def __init__(self, block: Antialias) -> None:
        super().__init__()
        self.step, padding = block.step, block.weight.shape[-1] // 2
        self.conv = Conv(block.weight[:1], None, (block.step, block.step), (padding, padding))

    def forward(self, picture: Tensor) -> Tensor:
        batch, channels = picture.shape[:2]
        return self.conv(picture.reshape(batch * channels, 1, *picture.shape[2:])).view(
            batch, channels, *(n // self.step for n in picture.shape[2:])
        )
