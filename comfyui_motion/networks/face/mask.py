"""Which pixels of a picture are people: a MobileNetV3-like network that goes down to a sixteenth
and back up, with what it passed on the way.

MediaPipe's selfie segmentation; the blocks are those of Howard et al., Searching for MobileNetV3,
2019.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Pointwise, SameConv, depthwise

SIDE = 256


def mean(maps: Tensor) -> Tensor:
    """Over the whole picture. B C h w -> B C 1 1"""
    return maps.mean((2, 3), keepdim=True)


class Gate(nn.Module):
    """How much of each channel counts, by its mean over the picture (Hu et al., 2018)."""

    def __init__(self, channels: int, between: int) -> None:
        super().__init__()
        self.squeeze = Pointwise(channels, between)
        self.excite = Pointwise(between, channels)

    def forward(self, maps: Tensor) -> Tensor:
        return self.excite(F.relu(self.squeeze(mean(maps)))).sigmoid()


class Inverted(nn.Module):
    """Widened, filtered channel by channel, gated, narrowed; beside the input where that fits."""

    def __init__(
        self,
        inputs: int,
        between: int,
        outputs: int,
        kernel: int,
        activation: type[nn.Module],
        gate: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.widen = Pointwise(inputs, between)
        self.depthwise = depthwise(between, kernel, stride)
        self.gate = Gate(between, gate) if gate else None
        self.narrow = Pointwise(between, outputs)
        self.activation = activation()
        self.beside = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        wide = self.activation(self.depthwise(self.activation(self.widen(maps))))
        wide = wide if self.gate is None else wide * self.gate(wide)
        return maps + self.narrow(wide) if self.beside else self.narrow(wide)


class Overview(nn.Module):
    """Every pixel, as the whole picture allows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pixel = Pointwise(inputs, outputs)
        self.picture = Pointwise(inputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.pixel(maps)) * self.picture(mean(maps)).sigmoid()


class Up(nn.Module):
    """To twice the size, with what was there on the way down, as far as the two together let it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.narrow = Pointwise(inputs, outputs)
        self.gate = Gate(outputs, outputs)
        self.mix = Pointwise(outputs, outputs)
        self.depthwise = depthwise(outputs, 3)

    def forward(self, maps: Tensor, passed: Tensor) -> Tensor:
        grown = F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
        grown = self.narrow(grown)
        mixed = F.relu(self.mix(passed * self.gate(passed + grown) + grown))
        return mixed + F.relu(self.depthwise(mixed))


class PersonMask(nn.Module):
    """B 3 256 256 in 0..1 -> B 1 256 256, 1 = person."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv(3, 16, 3, stride=2), nn.Hardswish())
        self.quarter = Inverted(16, 16, 16, 3, nn.ReLU, gate=8, stride=2)
        self.eighth = nn.Sequential(
            Inverted(16, 72, 24, 3, nn.ReLU, stride=2), Inverted(24, 88, 24, 3, nn.ReLU)
        )
        self.sixteenth = nn.Sequential(
            Inverted(24, 96, 32, 5, nn.Hardswish, gate=24, stride=2),
            Inverted(32, 128, 32, 5, nn.Hardswish, gate=32),
            Inverted(32, 128, 32, 5, nn.Hardswish, gate=32),
            Inverted(32, 96, 32, 5, nn.Hardswish, gate=24),
            Inverted(32, 96, 32, 5, nn.Hardswish, gate=24),
        )
        self.overview = Overview(32, 128)
        self.to_eighth = Up(128, 24)
        self.to_quarter = Up(24, 16)
        self.to_half = Up(16, 16)
        self.head = nn.ConvTranspose2d(16, 1, 2, stride=2)

    def forward(self, pictures: Tensor) -> Tensor:
        half = self.stem(pictures)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        maps = self.overview(self.sixteenth(eighth))
        maps = self.to_eighth(maps, eighth)
        maps = self.to_quarter(maps, quarter)
        maps = self.to_half(maps, half)
        return self.head(maps).sigmoid()
