"""The blocks of three dimensions: those of FOMM's appendix with depth, which is never halved.

Volumes are B C D H W. Names of tensors are the published ones.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Down3(nn.Module):
    """Convolution, norm, ReLU, then half the height and width."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(into, out, 3, padding=1)
        self.norm = nn.BatchNorm3d(out)

    def forward(self, x: Tensor) -> Tensor:
        return halved(F.relu(self.norm(self.conv(x))))


def halved(volumes: Tensor) -> Tensor:
    """Every plane by itself: pooled as pictures, in any dtype. B C D H W -> B C D H/2 W/2"""
    return F.avg_pool2d(volumes.flatten(1, 2), 2).unflatten(1, volumes.shape[1:3])


class Up3(nn.Module):
    """Twice the height and width (nearest), then convolution, norm, ReLU."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(into, out, 3, padding=1)
        self.norm = nn.BatchNorm3d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(F.interpolate(x, scale_factor=(1, 2, 2)))))

    def faster(self, fast: Any) -> nn.Module:
        """As a model that only runs may compute it; `fast` is speed.fast."""
        return nn.Sequential(fast.PhaseConv3(fast.Conv3(self.conv, self.norm)), nn.ReLU())


class Res3(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x))))))"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class Encoder3(nn.Module):
    """The left half of the hourglass: every volume from the input down."""

    def __init__(self, into: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(
            Down3(a, b) for a, b in zip((into, *widths), widths, strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        volumes = [x]
        for block in self.down_blocks:
            volumes.append(block(volumes[-1]))
        return volumes


class Decoder3(nn.Module):
    """The right half: up, and the volume of that size from the left beside it, mixed at the end."""

    def __init__(self, into: int, downs: tuple[int, ...], ups: tuple[int, ...]) -> None:
        super().__init__()
        beside = (*downs[-2::-1], into)  # what each up block's result stands beside
        taken = (downs[-1], *(up + skip for up, skip in zip(ups, beside, strict=True)))
        self.up_blocks = nn.ModuleList(Up3(a, b) for a, b in zip(taken, ups, strict=False))
        self.out_channels = taken[-1]
        self.conv = nn.Conv3d(self.out_channels, self.out_channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(self.out_channels)

    def forward(self, volumes: list[Tensor]) -> Tensor:
        skips = list(volumes)
        x = skips.pop()
        for block in self.up_blocks:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return F.relu(self.norm(self.conv(x)))


class Hourglass3(nn.Module):
    """Down and up again with skips. B into D H W -> B ups[-1]+into D H W"""

    def __init__(self, into: int, downs: tuple[int, ...], ups: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = Encoder3(into, downs)
        self.decoder = Decoder3(into, downs, ups)
        self.out_channels = self.decoder.out_channels

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))
