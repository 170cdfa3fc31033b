"""Masks made hard, larger, soft-edged. B 1 H W in 0..1"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def shaped(maps: Tensor, threshold: float = 0.0, grow: int = 0, feather: float = 0.0) -> Tensor:
    """A soft mask made hard at the threshold (0: left soft), grown by so many pixels, and feathered
    over so many, in that order.
    """
    if threshold > 0:
        maps = (maps >= threshold).to(maps.dtype)
    if grow:
        maps = grown(maps, grow) if grow > 0 else 1 - grown(1 - maps, -grow)
    return blurred(maps, feather / 2) if feather > 0 else maps


def grown(maps: Tensor, pixels: int) -> Tensor:
    """The largest value within so many pixels, along rows and then along columns; the edge goes on
    as it is.
    """
    rows = F.max_pool2d(
        F.pad(maps, (pixels, pixels, 0, 0), mode="replicate"), (1, 2 * pixels + 1), stride=1
    )
    return F.max_pool2d(
        F.pad(rows, (0, 0, pixels, pixels), mode="replicate"), (2 * pixels + 1, 1), stride=1
    )


def closed(maps: Tensor, frames: int) -> Tensor:
    """Gaps in time of up to so many frames are closed, and nothing else: the largest of
    neighbouring frames, then the smallest of those. T 1 H W
    """
    before, after = frames // 2, frames - frames // 2
    return _least(_most(maps, before, after), after, before)


def _most(maps: Tensor, before: int, after: int) -> Tensor:
    """The largest value of each pixel from so many frames before to so many after."""
    result, last = maps.clone(), len(maps) - 1
    for i in range(len(maps)):
        result[i] = maps[max(i - before, 0) : min(i + after, last) + 1].amax(0)
    return result


def _least(maps: Tensor, before: int, after: int) -> Tensor:
    return 1 - _most(1 - maps, before, after)


def blurred(maps: Tensor, sigma: float) -> Tensor:
    from kornia.filters import gaussian_blur2d

    size = 2 * max(1, round(3 * sigma)) + 1
    return gaussian_blur2d(maps, (size, size), (sigma, sigma), border_type="replicate").clamp(0, 1)
