"""Thin-plate splines: the smoothest map that takes control points to targets (Bookstein, 1989;
TPSMM, Zhao & Zhang, CVPR 2022, eq. 1-2).

    T(z) = A [z; 1] + sum_i w_i U(|z - c_i|^2),   U(r^2) = r^2 log(r^2 + 1e-9)

With a ridge on the system's whole diagonal, as the published networks have, the map comes near its
targets without meeting them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def radial(squared: Tensor) -> Tensor:
    """U, of squared distances."""
    return squared * torch.log(squared + 1e-9)


def squared_distances(points: Tensor, others: Tensor) -> Tensor:
    """... N 2, ... M 2 -> ... N M"""
    return (points[..., :, None, :] - others[..., None, :, :]).square().sum(-1)


def fit(control: Tensor, target: Tensor, ridge: float = 0.0) -> Tensor:
    """The spline's coefficients: N weights, then the affine part's columns for x, y and 1. ... N 2,
    ... N 2 -> ... N+3 2 in float32

    Solved in float64 where the device has it, as the system's condition number reaches thousands.
    """
    precise = torch.float32 if control.device.type == "mps" else torch.float64
    control, target = control.to(precise), target.to(precise)
    count = control.shape[-2]
    linear = torch.cat([control, torch.ones_like(control[..., :1])], dim=-1)  # ... N 3
    corner = linear.new_zeros(*linear.shape[:-2], 3, 3)
    bent = torch.cat([radial(squared_distances(control, control)), linear], dim=-1)
    flat = torch.cat([linear.transpose(-1, -2), corner], dim=-1)
    system = torch.cat([bent, flat], dim=-2) + ridge * torch.eye(
        count + 3, dtype=precise, device=control.device
    )
    right = torch.cat(
        [target, torch.zeros_like(target[..., :1, :]).expand(*target.shape[:-2], 3, 2)], dim=-2
    )
    linalg: Any = torch.linalg  # which has no types
    return linalg.solve_ex(system, right)[0].float()


def evaluate(coefficients: Tensor, bending: Tensor, grid: Tensor) -> Tensor:
    """The spline at every point of a grid, given `bending`, U of its distance to each control
    point. ... N+3 2, ... N H W, H W 2 -> ... H W 2
    """
    count = bending.shape[-3]
    weights, matrix, shift = torch.split(coefficients, [count, 2, 1], dim=-2)
    bent = torch.einsum("...nc,...nhw->...hwc", weights, bending)
    return bent + torch.einsum("...jc,hwj->...hwc", matrix, grid) + shift[..., None, :, :]
