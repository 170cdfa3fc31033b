"""Large pictures some rows at a time, so that what lies between picture and frame does not grow
with them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .pixels import along, identity_grid

STRIP = 1 << 20  # pixels at a time


def strips(height: int, width: int, pixels: int = STRIP) -> Iterator[slice]:
    """The rows of a picture from top to bottom, about so many pixels at a time."""
    rows = max(1, pixels // max(width, 1))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def identity_rows(rows: slice, height: int, width: int, like: Tensor) -> Tensor:
    """Some rows of `identity_grid(height, width)`. h W 2"""
    if rows == slice(0, height):
        return identity_grid(height, width, like)
    x, y = (along(count, like.device, True) for count in (width, height))
    return torch.stack(torch.meshgrid(x, y[rows], indexing="xy"), dim=-1)


def resized_rows(maps: Tensor, rows: slice, height: int, width: int) -> Tensor:
    """Some rows of maps that are resized bilinearly to height x width, corners on corners.

    B C h w -> B C rows width
    """
    if maps.shape[-2:] == (height, width):
        return maps[..., rows, :]
    if rows == slice(0, height):
        return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=True)
    last = maps.shape[2] - 1
    place = torch.arange(rows.start, rows.stop, device=maps.device) * (last / max(height - 1, 1))
    above = place.long().clamp(max=last)
    below = (above + 1).clamp(max=last)
    share = (place - above).to(maps.dtype)[:, None]
    part = torch.lerp(maps[..., above, :], maps[..., below, :], share)
    return F.interpolate(part, size=(part.shape[2], width), mode="bilinear", align_corners=True)
