"""What comes to light while a subject moves and its picture at rest does not show: the dark of an
open mouth, teeth, lids, folds.

No warp of a still picture can make it. So it is carried over as light: how much brighter or darker
a frame is there than the reference, moved, would be. That is an expression ratio image (Liu, Shan
and Zhang, Expressive Expression Mapping with Ratio Images, SIGGRAPH 2001), kept to where motion
does not explain the frame, so that nothing else of the driver's looks comes along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...field import MotionField
from ...geometry.rows import resized_rows, strips
from ...keypoints import SHAPES, Keypoints
from . import tracking as flow_tracking

# grey levels left unexplained, averaged over a spot, that are nothing, and that are surely
# something new
LEAST, MOST = (
    0.03,
    0.09,
)
SPOT = 46  # spots are this part of the frame's width
# pixels: what moves less is a background, and what moves more beside it passes in front of it
STILL, PASSING = (
    0.25,
    4.0,
)
# limits of what is carried: a mouth is dark, or little brighter than the lips it opens
DARKER, BRIGHTER = (
    -2.5,
    0.35,
)
DARK = 0.03  # grey level below which ratios mean little


@dataclass(frozen=True, eq=False)
class FlowKeypoints(Keypoints):
    """The lattice, with what came to light in the frame it was found in."""

    shapes: ClassVar[Mapping[str, str]] = {**SHAPES, "light": "B 1 h w"}

    # B 1 h w over the frame: the natural logarithm of how much brighter it is than motion alone
    # explains
    light: Tensor | None = None

    def fainter(self, strength: float | Tensor) -> FlowKeypoints:
        """A performance of that strength shows as much less."""
        if self.light is None:
            return self
        mean = float(strength.float().mean()) if isinstance(strength, Tensor) else strength
        return replace(self, light=self.light * mean)


@dataclass(frozen=True, eq=False)
class FlowField(MotionField):
    """The motion, with the light that goes with it."""

    light: Tensor | None = None  # B 1 H W over the source


def came_to_light(
    reference: Tensor, frames: Tensor, moved: Tensor, size: tuple[int, int]
) -> Tensor:
    """The log ratio of each frame's brightness to the moved reference's, where motion does not
    explain it. B 1 h w, float16

    1 3 H W and B 3 H W in 0..1; `moved` from `flow_tracking.register`. A change of exposure counts
    for nothing, nor does what an outline uncovers of its background.
    """
    first, others = (
        F.interpolate(p, size=size, mode="bilinear", antialias=True).mean(1, keepdim=True)
        for p in (reference, frames)
    )
    warped = flow_tracking.warp(first, flow_tracking.to_pixels(moved, size))
    ratio = torch.log((others + DARK) / (warped + DARK))
    exposure = ratio.flatten(1).median(dim=1).values[:, None, None, None]
    left = spots((others * torch.exp(-exposure) - warped).abs(), max(3, size[1] // SPOT | 1))
    new = spots(((left - LEAST) / (MOST - LEAST)).clamp(0, 1) * (1 - outlines(moved, size)), 5)
    return ((ratio - exposure).clamp(DARKER, BRIGHTER) * new).half()


def outlines(moved: Tensor, size: tuple[int, int]) -> Tensor:
    """1 where something passes in front of what stays, found on the lattice. B 2 n n -> B 1 h w"""
    far = flow_tracking.to_pixels(moved, size).norm(dim=1, keepdim=True)
    near = max(3, moved.shape[-1] // 20 | 1)
    still = spots((far < STILL).float(), near)
    passing = F.max_pool2d(far, near, 1, near // 2)
    found = (4 * still).clamp(max=1) * (passing / PASSING - 0.5).clamp(0, 1)
    return F.interpolate(found, size=size, mode="bilinear", align_corners=True)


def spots(maps: Tensor, side: int) -> Tensor:
    """Means over `side` x `side` pixels, `side` odd, around each. B C h w"""
    return F.avg_pool2d(F.pad(maps, (side // 2,) * 4, mode="replicate"), side, 1)


def relight(frame: Tensor, light: Tensor) -> None:
    """A picture put under the light, which is brought to its size. 3 H W, 1 1 h w"""
    height, width = frame.shape[-2:]
    for rows in strips(height, width):
        frame[:, rows] *= resized_rows(light.float(), rows, height, width)[0].exp()
