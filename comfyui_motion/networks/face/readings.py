"""What a face does, read off its points: how far mouth and lids are open, how the head
is turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .pose import angles, facing
from .topology import EYES, LIPS

MIDDLE = slice(3, 6)  # of the lips' nine pairs: where a mouth opens most


@dataclass(frozen=True, eq=False)
class Readings:
    """Of one face in T pictures."""

    mouth: Tensor  # T: between the lips, in distances of the eyes' outer corners
    lids: Tensor  # T 2: between the lids, right and left, in widths of the eye
    angles: Tensor  # T 3: yaw, pitch, roll in degrees; to the picture's right, down, clockwise
    found: Tensor  # T: where the face is seen

    @staticmethod
    def of(points: Tensor, found: Tensor) -> Readings:
        """Points in pixels, T 478 3."""
        apart = between(points, *(EYES[side].corners[0] for side in ("right_eye", "left_eye")))
        mouth = torch.stack([between(points, *pair) for pair in LIPS.pairs[MIDDLE]]).mean(0)
        lids = [
            torch.stack([between(points, *pair) for pair in eye.pairs]).mean(0)
            / between(points, *eye.corners).clamp(min=1e-3)
            for eye in (EYES["right_eye"], EYES["left_eye"])
        ]
        turned = angles(facing(points).rotation)
        return Readings(mouth / apart.clamp(min=1e-3), torch.stack(lids, dim=1), turned, found)


def between(points: Tensor, first: int, second: int) -> Tensor:
    """The distance of two points in space. T"""
    return (points[:, first] - points[:, second]).norm(dim=-1)
