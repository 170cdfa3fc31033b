"""The blocks these networks share, with tensor names as their authors saved them.

Pictures and features are B C H W. `Same`, `Down`, `Up`, `Res` and the hourglass are those of FOMM's
appendix (Siarohin et al., 2019), the body is Johnson et al.'s (2016). Nothing here knows a family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...field import identity_grid


@dataclass(frozen=True)
class HourglassShape:
    """How wide an hourglass starts, the widest it gets, how many levels it has.

    Level i has min(limit, width * 2^i) channels.
    """

    width: int
    limit: int
    depth: int

    def channels(self, level: int) -> int:
        return min(self.limit, self.width * 2**level)


@dataclass(frozen=True)
class BodyShape:
    """A generator's body: widths as an hourglass', `downs` halvings, `residuals` blocks at the
    bottom.
    """

    width: int
    limit: int
    downs: int
    residuals: int

    def channels(self, level: int) -> int:
        return min(self.limit, self.width * 2**level)


def normalisation(kind: str, channels: int) -> nn.Module:
    """ "batch": BatchNorm2d.

    "instance": InstanceNorm2d with weights and without running statistics.
    """
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels, affine=True)


class Precise(nn.Module):
    """A network that stays float32 when the model around it is cast to a narrower dtype.

    For what finds keypoints and motions: small beside a generator, while its rounding, a pixel or
    two, moves the whole picture.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Precise:
        def widened(tensor: Tensor) -> Tensor:
            cast = fn(tensor)
            return (
                tensor.to(cast.device, torch.float32)
                if cast.dtype in (torch.float16, torch.bfloat16)
                else cast
            )

        return super()._apply(widened, recurse)


class Same(nn.Module):
    """Convolution, norm, ReLU at one size."""

    def __init__(self, into: int, out: int, kernel: int, norm: str = "batch") -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, kernel, padding=kernel // 2)
        self.norm = normalisation(norm, out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Down(Same):
    """Same, then half the size."""

    def __init__(self, into: int, out: int, norm: str = "batch") -> None:
        super().__init__(into, out, 3, norm)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward(x), 2)


class Up(Same):
    """Twice the size (nearest), then Same."""

    def __init__(self, into: int, out: int, norm: str = "batch") -> None:
        super().__init__(into, out, 3, norm)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


class Res(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x))))))"""

    def __init__(self, channels: int, norm: str = "batch") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = normalisation(norm, channels)
        self.norm2 = normalisation(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class Encoder(nn.Module):
    """The left half of an hourglass: every map from the input down."""

    def __init__(self, into: int, shape: HourglassShape, norm: str = "batch") -> None:
        super().__init__()
        widths = [into] + [shape.channels(i + 1) for i in range(shape.depth)]
        self.down_blocks = nn.ModuleList(
            Down(a, b, norm) for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [x]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return maps


class Decoder(nn.Module):
    """The right half: up, and the map of that size from the left beside it. Every map is kept,
    coarse to fine.

    `extra` channels come with every map from the left.
    """

    def __init__(
        self, into: int, shape: HourglassShape, norm: str = "batch", extra: int = 0
    ) -> None:
        super().__init__()
        last = shape.depth - 1
        self.up_blocks = nn.ModuleList(
            Up((1 if i == last else 2) * shape.channels(i + 1) + extra, shape.channels(i), norm)
            for i in reversed(range(shape.depth))
        )
        self.out_channels = [2 * shape.channels(i) + extra for i in range(last, 0, -1)] + [
            shape.width + into + extra
        ]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        skips = list(maps)
        decoded = [skips.pop()]
        for block in self.up_blocks:
            decoded.append(torch.cat([block(decoded[-1]), skips.pop()], dim=1))
        return decoded


class Hourglass(nn.Module):
    """Down and up again with skips. B into H W -> B width+into H W"""

    def __init__(self, into: int, shape: HourglassShape, norm: str = "batch") -> None:
        super().__init__()
        self.encoder = Encoder(into, shape, norm)
        self.decoder = Decoder(into, shape, norm)
        self.out_channels = self.decoder.out_channels[-1]

    def levels(self, x: Tensor) -> list[Tensor]:
        """The deepest map, then every decoder map, coarse to fine."""
        return self.decoder(self.encoder(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.levels(x)[-1]


def size_multiple(downs: int, *hourglasses: tuple[float, HourglassShape]) -> int:
    """What heights and widths must be multiples of, for a body of so many halvings and hourglasses
    that work at those scales.
    """
    return math.lcm(2**downs, *(round(1 / scale) * 2**shape.depth for scale, shape in hourglasses))


def smallest_size(multiple: int, scale: float, head_padding: int) -> int:
    """The least such multiple whose map at that scale a 7 x 7 head of that padding fits on."""
    return math.ceil(max(7 - 2 * head_padding, 1) / scale / multiple) * multiple


class Antialias(nn.Module):
    """A Gaussian blur, then every 1/scale-th pixel from the first on.

    Its kernel is a saved buffer [`weight`]; scale 1 has none.
    """

    weight: Tensor

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.step = round(1 / scale)
        if self.step > 1:
            self.register_buffer(
                "weight", gaussian_kernel((self.step - 1) / 2).expand(channels, 1, -1, -1).clone()
            )

    def forward(self, picture: Tensor) -> Tensor:
        if self.step == 1:
            return picture
        return F.conv2d(
            picture,
            self.weight,
            padding=self.weight.shape[-1] // 2,
            stride=self.step,
            groups=picture.shape[1],
        )


def gaussian_kernel(sigma: float) -> Tensor:
    """Normalised to sum 1. 2 round(4 sigma) + 1 square"""
    radius = round(4 * sigma)
    line = torch.exp(
        -(torch.arange(-radius, radius + 1, dtype=torch.float32) ** 2) / (2 * sigma**2)
    )
    kernel = line[:, None] * line
    return kernel / kernel.sum()


class Body(nn.Module):
    """first, down_blocks, bottleneck, up_blocks, final: the generator of FOMM, MRAA and co-part
    segmentation.
    """

    def __init__(self, channels: int, shape: BodyShape) -> None:
        super().__init__()
        widths = [shape.channels(i) for i in range(shape.downs + 1)]
        self.first = Same(channels, shape.width, 7)
        self.down_blocks = nn.ModuleList(
            Down(a, b) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.bottleneck = nn.Sequential()
        for i in range(shape.residuals):
            self.bottleneck.add_module(f"r{i}", Res(widths[-1]))
        self.up_blocks = nn.ModuleList(
            Up(b, a) for a, b in reversed(list(zip(widths, widths[1:], strict=False)))
        )
        self.final = nn.Conv2d(shape.width, channels, 7, padding=3)

    def encode(self, picture: Tensor) -> tuple[Tensor, ...]:
        """The maps after `first` and every down block, fine to coarse."""
        maps = [self.first(picture)]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return tuple(maps)

    def decode(self, features: Tensor) -> Tensor:
        """From the coarsest map to a picture. Float32 in 0..1"""
        x = self.bottleneck(features)
        for block in self.up_blocks:
            x = block(x)
        return torch.sigmoid(self.final(x).float())


def start_at(layer: nn.Conv2d | nn.Linear, numbers: list[float]) -> None:
    """Before training the layer gives these numbers, whatever it sees."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(numbers))


def together(x: Tensor, *heads: nn.Module | None) -> list[Tensor]:
    """What several convolutions of one shape make of the same features, computed as one: narrow
    ones waste most of a vector. Absent ones are left out.
    """
    there: list[Any] = [head for head in heads if head is not None]
    weight, bias = (
        torch.cat([head.weight for head in there]),
        torch.cat([head.bias for head in there]),
    )
    maps = F.conv2d(x.to(weight.dtype), weight, bias, padding=there[0].padding)
    return list(maps.split([len(head.weight) for head in there], dim=1))


def soft_argmax(heat: Tensor) -> Tensor:
    """The expected position under each map. B K H W, each map summing to 1 -> B K 2"""
    return torch.einsum("bkhw,hwc->bkc", heat, identity_grid(heat.shape[2], heat.shape[3], heat))


def spatial_softmax(logits: Tensor, temperature: float) -> Tensor:
    """In float32, over all pixels of each map. B K H W"""
    flat = rearrange(logits.float(), "b k h w -> b k (h w)") / temperature
    return flat.softmax(dim=2).view(logits.shape)


def gaussian_heatmap(position: Tensor, height: int, width: int, variance: float) -> Tensor:
    """exp(-|z - position|^2 / 2 variance). B K 2 -> B K H W"""
    offset = identity_grid(height, width, position) - position[:, :, None, None]  # B K H W 2
    return torch.exp(-0.5 * offset.square().sum(-1) / variance)


def interleave(heat: Tensor, warped: Tensor) -> Tensor:
    """Each keypoint's heatmap followed by its warped source. B K H W, B K C H W -> B K*(1+C) H W"""
    return rearrange(torch.cat([heat[:, :, None], warped], dim=2), "b k c h w -> b (k c) h w")


# Reading a configuration off tensor shapes
# ---------------------------------------------------------------------------------------


def count_blocks(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered blocks `prefix` has ("...down_blocks." or "...bottleneck.r")."""
    numbers = {name[len(prefix) :].split(".")[0] for name in tensors if name.startswith(prefix)}
    return len({n for n in numbers if n.isdigit()})


def hourglass_shape(
    tensors: Mapping[str, Tensor], prefix: str, encoder: str = "encoder", decoder: str = "decoder"
) -> HourglassShape:
    """Of the hourglass whose tensors begin with `prefix` ("kp_detector.predictor.").

    Where the cap is never reached, it is the widest seen.
    """
    depth = count_blocks(tensors, f"{prefix}{encoder}.down_blocks.")
    widths = [
        tensors[f"{prefix}{encoder}.down_blocks.{i}.conv.weight"].shape[0] for i in range(depth)
    ]
    ups = [tensors[f"{prefix}{decoder}.up_blocks.{i}.conv.weight"].shape[0] for i in range(depth)]
    return HourglassShape(width=ups[-1], limit=max(widths + ups), depth=depth)


def encoder_shape(tensors: Mapping[str, Tensor], prefix: str) -> HourglassShape:
    """Of an encoder alone, whose first level has twice the width, unless that is the limit."""
    depth = count_blocks(tensors, f"{prefix}down_blocks.")
    widths = [tensors[f"{prefix}down_blocks.{i}.conv.weight"].shape[0] for i in range(depth)]
    return (
        HourglassShape((widths[0] + 1) // 2, max(widths), depth)
        if widths
        else HourglassShape(0, 0, 0)
    )


def body_shape(tensors: Mapping[str, Tensor], prefix: str) -> BodyShape:
    """Of the body whose tensors begin with `prefix` ("generator.")."""
    downs = count_blocks(tensors, f"{prefix}down_blocks.")
    width = tensors[f"{prefix}first.conv.weight"].shape[0]
    widths = [tensors[f"{prefix}down_blocks.{i}.conv.weight"].shape[0] for i in range(downs)]
    return BodyShape(
        width, max([width, *widths]), downs, count_blocks(tensors, f"{prefix}bottleneck.r")
    )


def blur_scale(tensors: Mapping[str, Tensor], name: str) -> float:
    """The scale of an Antialias from its saved kernel: the one whose kernel has that size; 1 where
    there is none.
    """
    if name not in tensors:
        return 1.0
    size = tensors[name].shape[-1]
    return next(1 / step for step in range(2, 65) if 2 * round(4 * (step - 1) / 2) + 1 == size)
