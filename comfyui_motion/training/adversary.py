"""A discriminator that looks at patches, at two sizes (FOMM, supplementary; Isola et al., 2017;
Wang et al., 2018).
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


class Patches(nn.Module):
    """Strided 4x4 convolutions with instance norm, and a score for each patch."""

    def __init__(self, channels: int, width: int, limit: int, downs: int) -> None:
        super().__init__()
        widths = [min(limit, width * 2**i) for i in range(downs)]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1)
            for a, b in zip([channels, *widths], widths, strict=False)
        )
        self.norms = nn.ModuleList(
            [nn.Identity(), *(nn.InstanceNorm2d(b, affine=True) for b in widths[1:])]
        )
        self.score = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        maps = [pictures]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            maps.append(F.leaky_relu(norm(conv(maps[-1])), 0.2))
        return maps[1:], self.score(maps[-1])


class Discriminator(nn.Module):
    """Its maps, for feature matching, and its scores, at each of two sizes."""

    def __init__(self, channels: int, size: int, width: int = 64, limit: int = 512) -> None:
        super().__init__()
        # two pixels are left at the smaller size: a norm needs more than one
        downs = max(1, min(4, int(math.log2(size)) - 2))
        self.whole = Patches(channels, width, limit, downs)
        self.smaller = Patches(channels, width, limit, downs)

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        full, half = self.whole(pictures), self.smaller(F.avg_pool2d(pictures, 2))
        return [*full[0], *half[0]], [full[1], half[1]]
