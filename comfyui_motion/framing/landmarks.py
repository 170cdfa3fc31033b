"""What the 478 points of a face say of its head: where it is, how large, how it is posed.

Points are in pixels, N 478 3, depth growing away from the viewer; sides are the subject's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry.vectors import length
from .canvas import Box

POINTS = 478
RIGHT_EYE, LEFT_EYE = (33, 133), (263, 362)  # outer and inner corner
FOREHEAD, CHIN, CHEEKS = 10, 152, (234, 454)
LIPS = (13, 14)  # the middle of the opening, above and below
MOUTH = (61, 291)  # corners
LIDS = ((159, 145), (386, 374))  # upper and lower, right and left
BROWS = (105, 334)
# points that meet when faces are laid over one another: eyes, brows, nose, mouth, chin
CORE = (*RIGHT_EYE, *LEFT_EYE, 70, 107, 336, 300, 168, 4, *MOUTH, 0, 17, CHIN)
OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
CROWN = 0.38  # of the face's height: how far hair and skull reach beyond the forehead
EARS = 0.1  # of its width: how far ears reach beyond the cheeks


def core(points: Tensor) -> Tensor:
    """N 478 2+ -> N C 2"""
    return points[:, list(CORE), :2]


def size(points: Tensor) -> Tensor:
    """Of the core: the root mean square distance from its middle. N 478 2+ -> N"""
    some = core(points)
    return (some - some.mean(1, keepdim=True)).square().sum(-1).mean(1).sqrt().clamp(min=1e-3)


def head_box(points: Tensor) -> Box:
    """Round the head, hair and ears included, in all the pictures together. N 478 2+"""
    up = (points[:, FOREHEAD] - points[:, CHIN])[:, None, :2]
    across = (points[:, CHEEKS[1]] - points[:, CHEEKS[0]])[:, None, :2]
    face = points[:, list(OUTLINE), :2]
    ends = points[:, [FOREHEAD, *CHEEKS], :2] + torch.cat(
        [CROWN * up, -EARS * across, EARS * across], 1
    )
    temples = face[:, [6, -6]] + CROWN / 2 * up
    low, high = torch.cat([face, ends, temples], 1).flatten(0, 1).aminmax(dim=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def pose(points: Tensor) -> Tensor:
    """How a face is posed, whoever's it is; 1 is a clear difference. N 478 3 -> N 8

    Yaw, pitch, roll; how far mouth and eyes are open, corners of the mouth, its width, brows.
    """
    across = points[:, LEFT_EYE[0]] - points[:, RIGHT_EYE[0]]
    wide = length(across).clamp(min=1e-3)
    up = points[:, FOREHEAD] - points[:, CHIN]
    tall = length(up).clamp(min=1e-3)
    down = -up / tall[:, None]

    def apart(first: int, second: int) -> Tensor:
        return length(points[:, second] - points[:, first])

    def lower(first: Tensor, second: Tensor) -> Tensor:
        return ((second - first) * down).sum(-1)

    corners = points[:, list(MOUTH)].mean(1)
    brows = [
        lower(points[:, brow], points[:, list(eye)].mean(1))
        for brow, eye in zip(BROWS, (RIGHT_EYE, LEFT_EYE), strict=True)
    ]
    told = [
        (torch.atan2(across[:, 2], across[:, 0].abs()), 0.17),
        (torch.asin((up[:, 2] / tall).clamp(-1, 1)), 0.17),
        (torch.atan2(across[:, 1], across[:, 0]), 0.15),
        (apart(*LIPS) / wide, 0.1),
        (torch.stack([apart(*lids) for lids in LIDS]).sum(0) / wide, 0.08),
        (lower(corners, points[:, list(LIPS)].mean(1)) / wide, 0.08),
        (apart(*MOUTH) / wide, 0.12),
        (torch.stack(brows).sum(0) / wide, 0.1),
    ]
    return torch.stack([value / clear for value, clear in told], dim=1)
