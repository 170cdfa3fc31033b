"""How a head is turned, how large it is and where: similarities in space between faces.

Points are rows, (x, y, z): x right, y down, z into the picture, all in pixels of one picture. A
similarity carries p to scale p R^T + shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .topology import RIGID, canonical

ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Similarity:
    """Of each of B faces."""

    scale: Tensor  # B
    rotation: Tensor  # B 3 3
    shift: Tensor  # B 3

    def apply(self, points: Tensor) -> Tensor:
        """B K 3"""
        return self.turn(points) * self.scale[:, None, None] + self.shift[:, None]

    def turn(self, points: Tensor) -> Tensor:
        return points @ self.rotation.transpose(1, 2)

    def undo(self, points: Tensor) -> Tensor:
        """The way back. B K 3"""
        return self.unturn(points - self.shift[:, None]) / self.scale[:, None, None]

    def unturn(self, points: Tensor) -> Tensor:
        return points @ self.rotation


@lru_cache
def model_face() -> Tensor:
    """The canonical face as it looks at the viewer of a picture. 468 3"""
    return canonical() * torch.tensor([1.0, -1.0, -1.0])


@lru_cache
def rigid() -> Tensor:
    return torch.tensor(RIGID)


def procrustes(start: Tensor, end: Tensor, weight: Tensor) -> Similarity:
    """The similarity that carries B K 3 nearest to B K 3, each point as far as it weighs (Umeyama,
    Least-squares estimation of transformation parameters, PAMI 1991).
    """
    weight = (weight / weight.sum(1, keepdim=True))[..., None]
    first, second = (start * weight).sum(1), (end * weight).sum(1)
    a, b = start - first[:, None], end - second[:, None]
    left, spread, right = torch.linalg.svd((b * weight).transpose(1, 2) @ a)
    sign = torch.ones_like(spread)
    sign[:, 2] = torch.linalg.det(left @ right).sign()
    turn = (left * sign[:, None]) @ right
    scale = (spread * sign).sum(1) / (a.square() * weight).sum((1, 2)).clamp(min=1e-12)
    shift = second - scale[:, None] * (turn @ first[..., None])[..., 0]
    return Similarity(scale, turn, shift)


def fit_head(start: Tensor, end: Tensor) -> Similarity:
    """Of the parts of a face that no expression moves; what disagrees counts little.

    B 478 3, 1 or B 478 3 -> B
    """
    start, end = torch.broadcast_tensors(start, end)
    ids = rigid().to(start.device)
    a, b = start[:, ids], end[:, ids]
    weight = torch.ones_like(a[..., 0])
    for _ in range(ROUNDS):
        found = procrustes(a, b, weight)
        off = (found.apply(a) - b).norm(dim=-1)
        usual = off.median(1, keepdim=True).values + 1e-6 * eye_distance(end)[:, None] + 1e-9
        weight = 1 / (1 + (off / usual).square())
    return found


def facing(points: Tensor) -> Similarity:
    """What carries the canonical face onto each of these. B 478 3 -> B"""
    face = model_face().to(points)
    return fit_head(
        torch.nn.functional.pad(face, (0, 0, 0, points.shape[1] - len(face)))[None], points
    )


def eye_distance(points: Tensor) -> Tensor:
    """Between the eyes' outer corners. B K 3 -> B"""
    return (points[:, 33] - points[:, 263]).norm(dim=-1)


def angles(rotation: Tensor) -> Tensor:
    """Yaw, pitch, roll in degrees. B 3 3 -> B 3

    Positive: to the picture's right, down, clockwise.
    """
    yaw = torch.atan2(-rotation[:, 0, 2], rotation[:, 2, 2])
    pitch = torch.asin(-rotation[:, 1, 2].clamp(-1, 1))
    roll = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return torch.rad2deg(torch.stack([yaw, pitch, roll], dim=1))


def turned(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """The rotation of those angles, in degrees: yaw first, then pitch, then roll. B -> B 3 3"""
    y, p, r = (torch.deg2rad(angle) for angle in (yaw, pitch, roll))
    nothing, one = torch.zeros_like(y), torch.ones_like(y)
    rows = [
        [y.cos(), nothing, -y.sin(), nothing, one, nothing, y.sin(), nothing, y.cos()],
        [one, nothing, nothing, nothing, p.cos(), -p.sin(), nothing, p.sin(), p.cos()],
        [r.cos(), -r.sin(), nothing, r.sin(), r.cos(), nothing, nothing, nothing, one],
    ]
    about_y, about_x, about_z = (torch.stack(row, dim=-1).unflatten(-1, (3, 3)) for row in rows)
    return about_z @ about_x @ about_y


def looking(rotation: Tensor) -> Tensor:
    """Where a head looks, as yaw and pitch, and how far it is rolled about that line; in degrees.
    B 3 3 -> B 3
    """
    roll = torch.rad2deg(torch.atan2(rotation[:, 1, 0], rotation[:, 1, 1]))
    return torch.cat([angles(rotation)[:, :2], roll[:, None]], dim=1)


def looks(looks_at: Tensor) -> Tensor:
    """The rotation of a head that looks so, see `looking`. B 3 -> B 3 3"""
    yaw, pitch, roll = looks_at.unbind(1)
    still = torch.zeros_like(yaw)
    return turned(yaw, still, still) @ turned(still, pitch, still) @ turned(still, still, roll)


def as_far(start: Tensor, end: Tensor, other: Tensor) -> Tensor:
    """The turn by which another head comes to look and roll as far from where it is as one that
    turns from `start` to `end`; their own turn would roll one that looks elsewhere, and the like.

    B 3 3 each -> B 3 3
    """
    change = looking(end) - looking(start)
    change = (change + 180) % 360 - 180
    return looks(looking(other) + change) @ other.transpose(1, 2)


def part_of(rotation: Tensor, share: Tensor) -> Tensor:
    """The same turn, so far along: 0 none, 1 all of it. B 3 3, B -> B 3 3 (Rodrigues)"""
    cosine = ((rotation.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2).clamp(-1, 1)
    axis = torch.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        dim=-1,
    )
    length = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(length[:, 0] / 2, cosine) * share
    x, y, z = (axis / length.clamp(min=1e-12)).unbind(-1)
    nothing = torch.zeros_like(x)
    cross = torch.stack([nothing, -z, y, z, nothing, -x, -y, x, nothing], -1).unflatten(-1, (3, 3))
    sine, rest = angle.sin()[:, None, None], (1 - angle.cos())[:, None, None]
    return torch.eye(3, device=x.device) + sine * cross + rest * cross @ cross
