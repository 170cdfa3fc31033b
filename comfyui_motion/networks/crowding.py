"""Where two driving pixels come from one place of the source, all but the nearest of them are
hidden there: what a field alone says about occlusion, after the range maps of Wang et al.
(Occlusion Aware Unsupervised Learning of Optical Flow, CVPR 2018, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..field import sample
from .layers.blocks import start_at

MOST = 4.0  # beyond it, how often a place is claimed says no more


class Crowding(nn.Module):
    """What to add to the logits of visibility, from features of the motion network and from who
    else claims each pixel's place.

    Untrained, it adds nothing.
    """

    def __init__(self, features: int, motions: int, channels: int, width: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(features + motions + 2 * channels + 4, width, 3, padding=1)
        self.judge = nn.Conv2d(width, 1, 3, padding=1)
        start_at(self.judge, [0.0])

    def forward(
        self, features: Tensor, mask: Tensor, grid: Tensor, small: Tensor, align_corners: bool
    ) -> Tensor:
        """Features B F h w, contributions B K+1 h w, field B h w 2, source B C h w -> B 1 h w"""
        with torch.no_grad():
            seen = sample(small, grid, align_corners)
            small = small.expand_as(seen)
            claims = claimed(grid, 1 - mask[:, :1])
        known = [features, mask, claims, seen, small]
        dtype = self.look.weight.dtype
        return self.judge(
            torch.relu(self.look(torch.cat([maps.to(dtype) for maps in known], dim=1)))
        )


def claimed(grid: Tensor, moving: Tensor) -> Tensor:
    """How much of the driving frame comes from where each pixel comes from, how much of that
    `moving`, the area each stands for, and how far outside the source it comes from, in pixels.

    Where nothing else comes from there the first is 1, whatever the magnification. Grid B h w 2
    (corners are -1 and 1), moving B 1 h w in 0..1 -> B 4 h w in 0..4
    """
    grid = torch.nan_to_num(grid.detach().float())
    area = stretch(grid)
    landed = read(splat(torch.cat([torch.ones_like(moving), moving], dim=1).float(), grid), grid)
    pixels = grid.new_tensor([grid.shape[2] - 1, grid.shape[1] - 1]) / 2
    outside = ((grid.abs() - 1).clamp(min=0) * pixels).amax(-1)[:, None]
    return torch.cat([landed * area, area, outside], dim=1).clamp(max=MOST)


def stretch(grid: Tensor) -> Tensor:
    """Pixels of the source for each of the driving frame: |det dT/dz|. B h w 2 -> B 1 h w"""
    height, width = grid.shape[1:3]
    pixels = grid * (grid.new_tensor([width - 1, height - 1]) / 2)
    across, down = (torch.gradient(pixels, dim=axis)[0] for axis in (2, 1))
    return (across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]).abs()[:, None]


def splat(maps: Tensor, grid: Tensor) -> Tensor:
    """Each pixel's values laid down where it comes from, shared among the four pixels there; round
    the source lies a border of one pixel, which takes what comes from outside. B C h w -> B C h+2
    w+2
    """
    batch, channels, height, width = maps.shape
    size = grid.new_tensor([width, height])
    place = torch.minimum(((grid + 1) * ((size - 1) / 2)).clamp(min=-1), size)
    low = torch.minimum(place.floor(), size - 1)
    (right, lower), (x, y) = (place - low).unbind(-1), (low.long() + 1).unbind(-1)
    first = y * (width + 2) + x
    index = torch.stack([first, first + 1, first + width + 2, first + width + 3], dim=1)  # B 4 h w
    weight = torch.stack(
        [(1 - right) * (1 - lower), right * (1 - lower), (1 - right) * lower, right * lower], dim=1
    )
    laid = maps.new_zeros(batch, channels, (height + 2) * (width + 2))
    laid.scatter_add_(
        2,
        index.flatten(1)[:, None].expand(-1, channels, -1),
        (maps[:, :, None] * weight[:, None]).flatten(2),
    )
    return laid.unflatten(2, (height + 2, width + 2))


def read(laid: Tensor, grid: Tensor) -> Tensor:
    """What `splat` laid where each pixel comes from. B C h+2 w+2 -> B C h w"""
    size = grid.new_tensor([grid.shape[2], grid.shape[1]])
    return sample(laid, grid * ((size - 1) / (size + 1)), True, "border")
