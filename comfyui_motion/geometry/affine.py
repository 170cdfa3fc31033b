"""Regions as affine frames: where a region is, and the axes along which it extends (MRAA, Siarohin
et al., CVPR 2021, section 3.2).

A region's frame A is 2x2; its covariance is A A^T. Matrices act on (x, y) columns. Everything here
is float32, in closed form, and runs on any device without waiting for it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .pixels import identity_grid

# determinants closer to zero than this count as this: a region of a single pixel then gives finite
# numbers
TINY = 1e-20
# singular values below this count as this; its square root is far below any tolerance, and has a
# gradient
SMALLEST = 1e-12


def moments(heat: Tensor, grid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and covariance of each map (MRAA, eq. 3-4).

    B K H W, each summing to 1 -> B K 2, B K 2 2
    """
    if grid is None:
        grid = identity_grid(heat.shape[2], heat.shape[3], heat)
    mean = torch.einsum("bkhw,hwc->bkc", heat, grid)
    x, y = (grid - mean[:, :, None, None]).unbind(-1)  # B K H W each
    a, b, d = ((heat * product).sum((2, 3)) for product in (x * x, x * y, y * y))
    return mean, stack(a, b, b, d)


def stack(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """[[a, b], [c, d]]. Four of any shape -> ... 2 2"""
    return torch.unflatten(torch.stack([a, b, c, d], dim=-1), -1, (2, 2))


def entries(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a, b, c, d of [[a, b], [c, d]]."""
    return matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 1, 0], matrices[..., 1, 1]


def principal_axes(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """U and the singular values of symmetric matrices, descending, with the signs that LAPACK gives
    U. ... 2 2 -> ... 2 2, ... 2

    With b off the diagonal within about 1e-7 of zero, yet not zero, LAPACK's signs are arbitrary.
    """
    a, b, _, d = entries(covariance)
    diagonal = b == 0  # then there is no angle, nor a gradient for it
    angle = torch.atan2(2 * torch.where(diagonal, torch.ones_like(b), b), a - d) / 2
    sine, cosine = torch.sin(angle), torch.cos(angle)
    sign = torch.where((b > 0) & (a * d - b * b > a * a + b * b), 1.0, -1.0)
    upright = (a >= d).to(a.dtype)
    sine = torch.where(diagonal, 1 - upright, sign * sine)
    cosine = torch.where(diagonal, upright, sign * cosine)
    axes = stack(cosine, sine, sine, torch.where(diagonal, upright, -cosine))
    radius = (((a - d) / 2).square() + b * b).clamp(min=SMALLEST**2).sqrt()
    middle = (a + d) / 2
    return axes, torch.stack([middle + radius, middle - radius], dim=-1).clamp(min=SMALLEST)


def principal_frame(covariance: Tensor) -> Tensor:
    """U diag(sqrt(singular values)): the frame whose A A^T is the covariance
    (MRAA, eq. 5). ... 2 2
    """
    axes, values = principal_axes(covariance)
    return axes * values.sqrt()[..., None, :]


def inverse(matrices: Tensor, least: float = TINY) -> Tensor:
    """Of 2x2 matrices, in closed form: nothing waits for the device. ... 2 2

    Determinants nearer to zero than `least` count as that: where a matrix is singular the result is
    large, not infinite.
    """
    a, b, c, d = entries(matrices)
    determinant = a * d - b * c
    tiny = torch.where(determinant < 0, -least, least)
    return (
        stack(d, -b, -c, a)
        / torch.where(determinant.abs() < least, tiny, determinant)[..., None, None]
    )


def between(source: Tensor, driving: Tensor, revert_axis_swap: bool) -> Tensor:
    """A_source A_driving^-1: what carries a driving region onto the source's. B K 2 2

    Principal axes have no direction, so that a region may seem to turn by half a turn. Reverted,
    the product's first entry is never negative.
    """
    product = source @ inverse(driving)
    return product * half_turn(product) if revert_axis_swap else product


def half_turn(product: Tensor) -> Tensor:
    """-1 where a product of frames turns by more than a quarter, else 1. ... 2 2 -> ... 1 1"""
    return torch.where(product[..., :1, :1] < 0, -1.0, 1.0)


def region_heatmap(mean: Tensor, covariance: Tensor, height: int, width: int) -> Tensor:
    """exp(-(z - mean)^T covariance^-1 (z - mean) / 2). B K 2, B K 2 2 -> B K H W"""
    x, y = (identity_grid(height, width, mean) - mean[:, :, None, None]).unbind(-1)  # B K H W each
    a, b, c, d = (entry[:, :, None, None] for entry in entries(inverse(covariance)))
    distance = a * x * x + (b + c) * x * y + d * y * y
    return torch.exp(-0.5 * distance.clamp(min=0))


def affine_motion(
    matrix: Tensor, source: Tensor, driving: Tensor, height: int, width: int
) -> Tensor:
    """z -> source + matrix (z - driving). B K 2 2, B K 2, B K 2 -> B K H W 2"""
    offset = identity_grid(height, width, driving) - driving[:, :, None, None]
    return source[:, :, None, None] + torch.einsum("bkij,bkhwj->bkhwi", matrix, offset)


def homography_motion(matrix: Tensor, height: int, width: int) -> Tensor:
    """z -> the homography applied to it. B 3 3 -> B H W 2"""
    from kornia.geometry.linalg import transform_points

    grid = identity_grid(height, width, matrix).flatten(0, 1)[None]  # 1 N 2
    moved: Tensor = transform_points(matrix, grid.expand(len(matrix), -1, -1))
    return torch.unflatten(moved, 1, (height, width))


def homography(numbers: Tensor) -> Tensor:
    """From what a background predictor's last layer gives: a shift, two rows, or two rows and the
    third's first two. B 2|6|8 -> B 3 3
    """
    count = numbers.shape[1]
    matrix = torch.eye(3, device=numbers.device).flatten().repeat(len(numbers), 1)  # B 9
    if count == 2:
        parts = [matrix[:, :2], numbers[:, :1], matrix[:, 3:5], numbers[:, 1:], matrix[:, 6:]]
    else:
        parts = [numbers, matrix[:, count:]]
    return torch.cat(parts, dim=1).view(-1, 3, 3)
