"""Random smooth warps of pictures, known at every point: what a detector of keypoints must be
equivariant to (FOMM, section 3.1).

    T(z) = A [z; 1] + sum_i w_i U(z - c_i),   c_i on a regular grid of control points

with U(r) = d^2 log(d + 1e-6), d = |x| + |y| (FOMM, MRAA, co-part segmentation), or r^2 log(r^2 +
1e-9) of the Euclidean distance (TPSMM). Coordinates are corner-aligned, (x, y) in -1..1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .. import MotionField

MESH = 33  # the spline is evaluated on so many points a side; what lies between is bilinear


@dataclass(frozen=True)
class Warp:
    """How far warps go. The published recipes have noise alone; turns, stretches and shifts make
    far stronger ones.
    """

    noise: float = 0.05  # sigma of every number of A
    bend: float = 0.005  # sigma of the spline's weights
    points: int = 5  # control points a side
    euclidean: bool = False  # TPSMM's U
    turn: float = 0.0  # sigma of the angle, in radians
    stretch: float = 0.0  # sigma of the logarithm of each side's scale
    shift: float = 0.0  # sigma of the translation


@dataclass(frozen=True, eq=False)
class Transform:
    """B random warps."""

    affine: Tensor  # B 2 3
    weights: Tensor  # B N 2
    control: Tensor  # N 2
    euclidean: bool

    def __call__(self, points: Tensor) -> Tensor:
        """Where points go. B N 2 -> B N 2"""
        bend, _ = self._bending(points)
        return points @ self.affine[:, :, :2].mT + self.affine[:, None, :, 2] + bend @ self.weights

    def jacobian(self, points: Tensor) -> Tensor:
        """How surroundings turn and stretch there. B N 2 -> B N 2 2"""
        _, slope = self._bending(points)  # B N M 2
        return self.affine[:, None, :, :2] + torch.einsum("bmi,bnmj->bnij", self.weights, slope)

    def __len__(self) -> int:
        return len(self.affine)

    def __getitem__(self, part: slice) -> Transform:
        return replace(self, affine=self.affine[part], weights=self.weights[part])

    def warp(self, pictures: Tensor) -> Tensor:
        """What the pictures look like through it: the result at z is the picture at T(z), reflected
        beyond its edges. B C H W
        """
        line = torch.linspace(-1, 1, MESH, device=pictures.device)
        mesh = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).view(1, -1, 2)
        grid = self(mesh.expand(len(self), -1, -1)).unflatten(1, (MESH, MESH))
        return MotionField(grid).warp(pictures, "reflection")

    def _bending(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """U of the offset from every control point, and its gradient. B N 2 -> B N M, B N M 2"""
        offset = points[:, :, None] - self.control  # B N M 2
        if self.euclidean:
            squared = offset.square().sum(-1)
            log = torch.log(squared + 1e-9)
            return squared * log, (log + squared / (squared + 1e-9))[..., None] * 2 * offset
        distance = offset.abs().sum(-1)
        log = torch.log(distance + 1e-6)
        return (
            distance.square() * log,
            (2 * distance * log + distance.square() / (distance + 1e-6))[..., None] * offset.sign(),
        )


def random_transform(
    count: int, warp: Warp, generator: torch.Generator, device: torch.device | str = "cpu"
) -> Transform:
    """The same on every device: drawn on the CPU."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    turn, stretch = warp.turn * normal(count), torch.exp(warp.stretch * normal(count, 2))
    cosine, sine = turn.cos(), turn.sin()
    matrix = torch.stack([cosine, -sine, sine, cosine], dim=-1).view(-1, 2, 2) * stretch[:, None]
    affine = torch.cat([matrix, warp.shift * normal(count, 2, 1)], dim=2) + warp.noise * normal(
        count, 2, 3
    )
    line = torch.linspace(-1, 1, warp.points)
    control = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).view(-1, 2)
    weights = warp.bend * normal(count, len(control), 2)
    return Transform(affine.to(device), weights.to(device), control.to(device), warp.euclidean)
