"""Turns in space: as a matrix that multiplies rows, and as pitch, yaw and roll in degrees.

R = (Rz(roll) Ry(yaw) Rx(pitch))^T, as LivePortrait's networks learned it. Worked out in float64: in
float32 a turn to the side of nearly 90 degrees loses four digits on the way there and back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .vectors import length

linalg: Any = torch.linalg  # which has no types
LEVEL = 1e-7  # cosine of the yaw under which pitch and roll turn about one axis


def matrix(degrees: Tensor) -> Tensor:
    """... 3 (pitch, yaw, roll) -> ... 3 3"""
    pitch, yaw, roll = torch.deg2rad(degrees.double()).unbind(-1)
    (sp, cp), (sy, cy), (sr, cr) = ((a.sin(), a.cos()) for a in (pitch, yaw, roll))
    columns = torch.stack(
        [cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp]
        + [sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp]
        + [-sy, cy * sp, cy * cp],
        dim=-1,
    )
    return torch.unflatten(columns, -1, (3, 3)).mT.to(degrees.dtype)


def degrees(rotation: Tensor) -> Tensor:
    """The angles of a turn: yaw within 90 degrees either way. ... 3 3 -> ... 3

    Looking straight to the side, where only pitch and roll together are known, roll is 0.
    """
    m = rotation.double().mT
    level = torch.hypot(m[..., 0, 0], m[..., 1, 0])
    yaw = torch.atan2(-m[..., 2, 0], level)
    pitch, roll = torch.atan2(m[..., 2, 1], m[..., 2, 2]), torch.atan2(m[..., 1, 0], m[..., 0, 0])
    aside = level < LEVEL
    pitch = torch.where(aside, torch.atan2(-m[..., 1, 2], m[..., 1, 1]), pitch)
    roll = torch.where(aside, torch.zeros_like(roll), roll)
    return torch.rad2deg(torch.stack([pitch, yaw, roll], dim=-1)).to(rotation.dtype)


def nearest_rotation(matrices: Tensor) -> Tensor:
    """The turn nearest to each matrix in squares: of a mean of turns, their mean. ... 3 3"""
    u, _, v = linalg.svd(matrices.double())
    sign = linalg.det(u @ v)
    u = torch.cat([u[..., :2], u[..., 2:] * sign[..., None, None]], dim=-1)
    return (u @ v).to(matrices.dtype)


def power(rotation: Tensor, exponent: float) -> Tensor:
    """The same turn about the same axis, `exponent` times as far. ... 3 3"""
    if exponent == 1:
        return rotation
    m = rotation.double()
    # 2 sin(angle) axis
    skew = torch.stack(
        [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1
    )
    sine, cosine = length(skew) / 2, (m.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    angle = torch.atan2(sine, cosine)
    axis = torch.where(
        (sine > 1e-6)[..., None], skew / (2 * sine).clamp(min=1e-12)[..., None], _half_turn_axis(m)
    )
    return about(axis, angle * exponent).to(rotation.dtype)


def _half_turn_axis(m: Tensor) -> Tensor:
    """The axis of half a turn, where R = 2 a a^T - 1; of no turn any axis. ... 3"""
    outer = (m + torch.eye(3, dtype=m.dtype, device=m.device)) / 2
    longest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    column = outer.gather(-1, longest[..., None, None].expand(*outer.shape[:-1], 1))[..., 0]
    return column / length(column, keepdim=True).clamp(min=1e-12)


def about(axis: Tensor, angle: Tensor) -> Tensor:
    """A turn about an axis of length 1 by an angle in radians (Rodrigues). ... 3, ... -> ... 3 3"""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    cross = torch.unflatten(cross, -1, (3, 3))
    sine, cosine = angle.sin()[..., None, None], angle.cos()[..., None, None]
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return identity + sine * cross + (1 - cosine) * (cross @ cross)
