"""How deep a face is where it turns into sight.

The mesh's rim runs steeply into the depth, over a few pixels of the picture. A head that turns
would draw these out over half a cheek, as streaks. So the side that comes into sight is taken for
flatter: what is seen of it, and the ear and hair beside it, share the room. The other side hides as
it does.

So drawn, a head looks less turned than it is: by a tenth for the flatter side, and by as much again
since a picture has no more to show of the other. It is drawn turned by so much more.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry.easing import ramp
from .pose import Similarity, angles, turned
from .surface import neighbours
from .topology import CONTOURS, SURFACE

STEEP = 0.8  # pixels of depth a pixel of the picture: no steeper
ROWS = 5  # of points from the outline inwards; farther in a face is as deep as it is
MORE, HALVED = 0.2, 40.0  # of small turns, that is added; degrees, from which it is half as much
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


def further(points: Tensor, head: Similarity) -> tuple[Tensor, Similarity]:
    """Heads that are seen turned as far as these are, and their points. B 478 3, what carries the
    face at rest onto each
    """
    yaw, pitch, _ = angles(head.rotation).unbind(1)
    share = MORE / (1 + (yaw.square() + pitch.square()) / HALVED**2)
    more = turned(share * yaw, share * pitch, torch.zeros_like(yaw))
    middle = points[:, :SURFACE].mean(1)
    went = more - torch.eye(3, device=points.device)
    added = (points - middle[:, None]) @ went.transpose(1, 2)
    shift = head.shift + (went @ (head.shift - middle)[..., None])[..., 0]
    return points + added, Similarity(head.scale, more @ head.rotation, shift)
