"""Throwing pixels to where they go: the way from a map that reads to one that writes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .pixels import identity_grid


def splat(moved: Tensor, finer: int = 2, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The way back, thrown to where each pixel goes, bilinearly. Displacements in -1..1 units.

    B 2 H W -> B 2 H W, and how much fell on each pixel, at most 1. B 1 H W

    `finer` times as many places as pixels along each side are thrown. `weight`, B 1 H W in 0..1:
    how far each pixel counts.
    """
    height, width = moved.shape[-2:]
    size = (finer * (height - 1) + 1, finer * (width - 1) + 1)
    moved = F.interpolate(moved, size=size, mode="bilinear", align_corners=True)
    place = (identity_grid(*size, like=moved).permute(2, 0, 1) + moved + 1).flatten(2)  # B 2 N
    place = place * (moved.new_tensor([width - 1, height - 1])[:, None] / 2)
    if weight is None:
        amount = torch.ones_like(place[:, :1])
    else:
        amount = F.interpolate(weight, size=size, mode="bilinear", align_corners=True).flatten(2)
    values = torch.cat([-moved.flatten(2), torch.ones_like(amount)], dim=1)  # B 3 N
    total = values.new_zeros(len(moved), 3, height * width)
    corner = place.floor()
    for offset in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x, y = (corner + corner.new_tensor(offset)[:, None]).unbind(1)
        share = (1 - (x - place[:, 0]).abs()) * (1 - (y - place[:, 1]).abs())
        share = share * ((x >= 0) & (x < width) & (y >= 0) & (y < height)) * amount[:, 0]
        index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
        total.scatter_add_(2, index.long()[:, None].expand(-1, 3, -1), values * share[:, None])
    back, fallen = total[:, :2], total[:, 2:]
    maps = (back / fallen.clamp(min=1e-6), (fallen / finer**2).clamp(max=1))
    back, fallen = (torch.unflatten(each, 2, (height, width)) for each in maps)
    return back, fallen


def fill(maps: Tensor, weight: Tensor, below: float = 0.01) -> Tensor:
    """Where the weight is small, what is around, by pulling to coarser levels and pushing back.

    B C h w, B 1 h w -> B C h w
    """
    if min(maps.shape[-2:]) <= 2:
        return (
            (maps * weight).sum((2, 3), keepdim=True)
            / weight.sum((2, 3), keepdim=True).clamp(min=1e-9)
        ).expand_as(maps)
    share = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = F.avg_pool2d(maps * weight, 2, ceil_mode=True, count_include_pad=False) / share.clamp(
        min=1e-9
    )
    coarse = F.interpolate(
        fill(coarse, (4 * share).clamp(max=1), below), size=maps.shape[-2:], mode="bilinear"
    )
    return (maps * weight + coarse * below) / (weight + below)
