"""What the three face networks are built from.

They were trained in TensorFlow, whose "same" padding puts the odd pixel right and below; so does
`SameConv`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SameConv(nn.Conv2d):
    """A convolution whose output is the input's size over the stride, rounded up."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        even = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding=even, groups=groups)

    def forward(self, maps: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return super().forward(maps)
        return super().forward(F.pad(maps, self.margins(*maps.shape[-2:])))

    def faster(self, _: Any) -> SameConv:
        """As it is: no faster form pads like it (see `optimise`)."""
        return self

    def margins(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, right, above, below."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        across, down = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (width, height)
        )
        return across // 2, across - across // 2, down // 2, down - down // 2


def depthwise(channels: int, kernel: int, stride: int = 1) -> SameConv:
    """Every channel by itself."""
    return SameConv(channels, channels, kernel, stride, groups=channels)


class Pointwise(nn.Conv2d):
    """Every pixel by itself: a matrix product, where the channels of a pixel lie side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        if not maps.is_contiguous(memory_format=torch.channels_last):
            return super().forward(maps)
        made = F.linear(maps.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return made.permute(0, 3, 1, 2)

    def faster(self, _: Any) -> Pointwise:
        """As it is (see `optimise`)."""
        return self


class BlazeBlock(nn.Module):
    """A depthwise and a pointwise convolution beside the input, which is halved with the stride and
    given empty channels where there are more after than before (BlazeFace, fig. 1).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: Callable[[int], nn.Module],
        kernel: int = 3,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.depthwise = depthwise(inputs, kernel, stride)
        self.pointwise = Pointwise(inputs, outputs)
        self.activation = activation(outputs)
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        kept = F.max_pool2d(maps, 2) if self.stride == 2 else maps
        made = self.pointwise(self.depthwise(maps))
        (made if made.shape == kept.shape else made[:, : kept.shape[1]]).add_(kept)
        return self.activation(made)
