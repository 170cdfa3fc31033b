"""How deep a face is where it turns into sight.

The mesh's rim runs steeply into the depth, over a few pixels of the picture. A head that turns
would draw these out over half a cheek, as streaks. So the side that comes into sight is taken for
flatter: what is seen of it, and the ear and hair beside it, share the room. The other side hides as
it does.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry.easing import ramp
from .pose import Similarity
from .topology import CONTOURS, SURFACE
from .transfer import neighbours

STEEP = 0.8  # pixels of depth a pixel of the picture: no steeper
ROWS = 5  # of points from the outline inwards; farther in a face is as deep as it is
OUTWARDS = 0.5  # cosine to the way outwards, from which a side is in sight


@lru_cache
def rows() -> Tensor:
    """How many points each lies inwards from the outline, `ROWS` at most. 468"""
    beside = neighbours() > 0
    row = torch.full((SURFACE,), ROWS)
    row[list(CONTOURS["face"])] = 0
    for number in range(1, ROWS):
        row[(row == ROWS) & beside[row == number - 1].any(0)] = number
    return row


@lru_cache
def outwards() -> tuple[Tensor, ...]:
    """The rim from within to the outline: which points lie beside each in the row before; then in
    its own row, for some have no others. 468 468, bool
    """
    row, beside = rows(), neighbours() > 0
    each = [(row[:, None] == n) & (row == n + m) & beside for n in range(ROWS) for m in (0, 1)]
    return tuple(reversed(each))


def nearer(points: Tensor) -> Tensor:
    """How much nearer to the viewer each point of a face is taken to be: at its rim no deeper than
    it is, and no further behind the next point within than `STEEP` allows. 478 3 -> 478, at most 0
    """
    plane, depth = points[:SURFACE, :2], points[:SURFACE, 2]
    allowed = STEEP * torch.cdist(plane, plane)
    made = depth.clone()
    for beside in outwards():
        least = torch.where(beside, made + allowed, torch.inf).amin(1)
        made = torch.minimum(made, least)
    return F.pad(made - depth, (0, len(points) - SURFACE))


def shifts(head: Similarity, nearer: Tensor, away: Tensor) -> Tensor:
    """What a flatter relief does to points of heads so turned, in the picture. B N 2

    nearer  as above, N
    away    where each point lies from the face's middle, N 2
    """
    towards = head.rotation[:, None, :2, 2] * head.scale[:, None, None]  # B 1 2
    outwards = (towards * away).sum(-1) / (towards.norm(dim=-1) * away.norm(dim=-1) + 1e-9)
    return (nearer * ramp(0.0, OUTWARDS, outwards))[..., None] * towards
