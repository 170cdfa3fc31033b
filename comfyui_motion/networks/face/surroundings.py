"""What moves with a face without being of it: hair, ears, neck, hat.

Forwards, a pixel outside the face goes with the head, the less the further it is from it and the
nearer to the body, and with the face's outline next to it. That is said on a lattice laid over the
source once; a frame costs no more than a few affine maps of it, and their inverse.

All in pixels of the motion field, 0 the centre of the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...field import identity_grid
from ...geometry.easing import ramp, smoothstep
from .pose import Similarity, facing
from .topology import CONTOURS

OUTLINE = CONTOURS["face"]
NODES = 72  # of the lattice along the longer side
ROUNDS = 8  # of the fixed point that inverts it


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Of one source's face, at the lattice's nodes."""

    nodes: Tensor  # N 3: where they are, with the depth they turn at
    head: Tensor  # N: how far each goes with the head
    outline: Tensor  # N O: how far each goes along with what each point of the outline does
    rows: int
    columns: int
    size: tuple[int, int]  # height and width of the motion field

    @staticmethod
    def of(points: Tensor, height: int, width: int) -> Surroundings:
        """Of a face (478 3) in a motion field of that size."""
        longest = max(height, width)
        rows, columns = (max(3, round(NODES * side / longest)) for side in (height, width))
        plane = (identity_grid(rows, columns, points, align_corners=False) + 1) / 2
        plane = (plane * plane.new_tensor([width, height]) - 0.5).reshape(-1, 2)
        ring = points[list(OUTLINE)]
        centre = ring.mean(0)
        up = facing(points[None]).rotation[0] @ points.new_tensor([0.0, -1.0, 0.0])
        radius, along, upwards = polar(plane, ring[:, :2] - centre[:2], centre[:2], up[:2])
        depth = along @ ring[:, 2]
        usual = ring[:, 2].mean()
        depth = usual + (depth - usual) * (1 - ramp(1.0, 1.5, radius))
        near = (1 - ramp(1.0, 1.6, radius))[:, None] * along
        return Surroundings(
            torch.cat([plane, depth[:, None]], dim=1),
            head_share(radius, upwards),
            near,
            rows,
            columns,
            (height, width),
        )

    def motion(self, head: Similarity, outline: Tensor) -> Tensor:
        """Where the frame's pixels come from, less where they are.

        The head's motion, and what the outline does besides (B O 2) -> B 2 rows columns
        """
        went = head.apply(self.nodes[None].expand(len(outline), -1, -1)) - self.nodes
        went = went[..., :2] * self.head[:, None] + self.outline @ outline
        forwards = went.unflatten(1, (self.rows, self.columns)).permute(0, 3, 1, 2)
        return inverse(forwards, self.size)


def polar(plane: Tensor, ring: Tensor, centre: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Seen from the face's middle: how far out each point is (1: on the outline), N; between which
    points of the outline, as weights, N O; how far upwards it lies, -1..1. N
    """
    away = plane - centre
    angle, theirs = (torch.atan2(p[:, 1], p[:, 0]) for p in (away, ring))
    order = theirs.argsort()
    steps = theirs[order]
    after = torch.searchsorted(steps, angle) % len(ring)
    before = (after - 1) % len(ring)
    span = (steps[after] - steps[before]) % (2 * math.pi)
    share = (((angle - steps[before]) % (2 * math.pi)) / span.clamp(min=1e-6)).clamp(0, 1)
    weight = torch.zeros(len(plane), len(ring), device=plane.device)
    weight.scatter_add_(1, order[before][:, None], (1 - share)[:, None])
    weight.scatter_add_(1, order[after][:, None], share[:, None])
    reach = weight @ ring.norm(dim=1)
    length = away.norm(dim=1)
    upwards = away @ (up / up.norm().clamp(min=1e-6)) / length.clamp(min=1e-6)
    return length / reach, weight, upwards


def head_share(radius: Tensor, upwards: Tensor) -> Tensor:
    """1 as far as the head is stiff, 0 where the body begins."""
    above = upwards.clamp(min=0)
    below = (-upwards).clamp(min=0)
    full = 1.22 + 0.35 * above - 0.2 * below
    none = 2.5 + 0.6 * above - 0.3 * below
    return 1 - smoothstep((radius - full) / (none - full))


def inverse(forwards: Tensor, size: tuple[int, int]) -> Tensor:
    """The way back of a displacement on a lattice over pictures of that size: z -> p - z where
    p + u(p) = z. B 2 r c
    """
    rows, columns = forwards.shape[-2:]
    still = identity_grid(rows, columns, forwards, align_corners=False)
    half = forwards.new_tensor([size[1], size[0]]) / 2
    step = (forwards / half[:, None, None]).contiguous()
    back = -step.permute(0, 2, 3, 1)
    for _ in range(ROUNDS):
        back = -F.grid_sample(
            step, still + back, padding_mode="border", align_corners=False
        ).permute(0, 2, 3, 1)
    return back.permute(0, 3, 1, 2) * half[:, None, None]
