"""The subject of a picture told from its background, and what of it is in front of the rest: what
decides who hides whom.

MRAA's masks say which region moves each pixel of the driving frame; whether the source shows that
pixel depends on what lies there in the source, which nothing in the paper asks. A small network
says it of the source alone, given its regions, once for any number of frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..field import resize
from .layers.blocks import Hourglass, HourglassShape, Onward

DEPTH = 4  # halvings of its hourglass
# of the guided filter: its window, in pixels; the steps in which it is reckoned; variance of colour
# that counts as none
REACH, COARSER, EVEN = (
    33,
    4,
    1e-4,
)
SUREST = 5.0  # logits before it, so that no pixel outvotes all others of its colour
MAPS = 2  # the subject; and its front: a head before hair and shoulders, an arm before a trunk


def figure_shape(width: int) -> HourglassShape:
    return HourglassShape(width, 8 * width, DEPTH)


class Figure(nn.Module):
    """Features at the flow predictor's size, and a look at the picture at twice that for the
    outlines.
    """

    def __init__(self, channels: int, regions: int, width: int, depth: int) -> None:
        super().__init__()
        self.hourglass = Hourglass(channels + regions, figure_shape(width))
        self.narrow = nn.Conv2d(self.hourglass.out_channels, width, 1)
        self.look = nn.Conv2d(width + channels, width, 3, padding=1)
        self.look_on = nn.Sequential(*(Onward(width) for _ in range(depth)))
        self.judge = nn.Conv2d(width, MAPS, 3, padding=1)

    def forward(self, small: Tensor, heat: Tensor, fine: Tensor) -> Tensor:
        """Source B C h w, its regions' heatmaps B K h w, source B C H W -> B 2 H W in 0..1"""
        dtype = self.look.weight.dtype
        features = self.narrow(self.hourglass(torch.cat([small.to(dtype), heat.to(dtype)], dim=1)))
        features = resize(features, *fine.shape[-2:], align_corners=True)
        seen = self.look_on(F.relu(self.look(torch.cat([features, fine.to(dtype)], dim=1))))
        return torch.sigmoid(by_colour(self.judge(seen).float(), fine.float()))


def by_colour(logits: Tensor, picture: Tensor) -> Tensor:
    """Logits in whose outlines the picture's own show: round each pixel the affine function of
    colour that explains them best (He et al., Guided image filtering, 2013, eq. 4-8; reckoned at a
    quarter of the size, He and Sun, 2015). B M H W, B C H W -> B M H W
    """
    from kornia.filters import guided_blur

    return guided_blur(
        picture,
        SUREST * torch.tanh(logits / SUREST),
        REACH,
        EVEN,
        border_type="replicate",
        subsample=COARSER,
    )
