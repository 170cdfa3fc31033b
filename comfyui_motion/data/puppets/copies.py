"""A drawn pair seen again through a turned, zoomed, shifted, perhaps mirrored camera in another
light: drawing costs more than looking.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ... import Keypoints
from ..pairs import Pairs, Truth
from .paint import Random

TURN, ZOOM, SHIFT = 0.35, 0.3, 0.2  # radians, logarithm, half pictures: at most
IN_VIEW = 1.02


def seen_again(pairs: Pairs, random: Random, mirror: tuple[int, ...], mirrors: np.ndarray) -> Pairs:
    """Both frames of each pair through one camera, and the truth with them; of those that `mirrors`
    marks half are mirrored.

    Beyond the edges the scene is reflected, its motion too.

    A pixel p of the copy shows A p + b of the drawing; so a point q of the drawing is at A^-1 (q -
    b), and frames turn with A^-1.
    """
    assert pairs.truth is not None
    count, truth = len(pairs.source), pairs.truth
    angle, zoom = random.uniform(-TURN, TURN, count), np.exp(random.uniform(-ZOOM, ZOOM, count))
    flipped = torch.from_numpy((random.random(count) < 0.5) & mirrors)
    matrix = torch.tensor(
        np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * zoom,
        dtype=torch.float32,
    ).permute(2, 0, 1)
    reflection = torch.diag_embed(
        torch.stack([torch.where(flipped, -1.0, 1.0), torch.ones(count)], 1)
    )
    matrix = matrix @ reflection
    shift = torch.tensor(random.uniform(-SHIFT, SHIFT, (count, 2)), dtype=torch.float32)
    view = F.affine_grid(
        torch.cat([matrix, shift[:, :, None]], 2), list(pairs.source.shape), align_corners=True
    )
    light = develop(random, count)
    back = torch.linalg.inv(matrix)

    def points(position: Tensor) -> Tensor:
        return torch.einsum(
            "bij,b...j->b...i", back, position - shift.view(-1, *[1] * (position.ndim - 2), 2)
        )

    def joints(keypoints: Keypoints) -> Keypoints:
        assert keypoints.jacobian is not None
        position, frame = (
            points(keypoints.position),
            back[:, None] @ keypoints.jacobian @ reflection[:, None],
        )
        swapped = flipped[:, None, None]
        return Keypoints(
            torch.where(swapped, position[:, list(mirror)], position),
            torch.where(swapped[..., None], frame[:, list(mirror)], frame),
        )

    folded, sign, offset = fold(view)
    grid = F.grid_sample(
        truth.grid.permute(0, 3, 1, 2),
        folded,
        mode="nearest",
        padding_mode="border",
        align_corners=True,
    ).permute(0, 2, 3, 1)
    # grids jump at outlines, so they are read, not blended; this is what reading leaves out
    between = folded - nearest(folded, truth.grid.shape[1])
    grid = points(sign * (grid + between) + offset)
    visible = (
        F.grid_sample(truth.visible, folded, mode="nearest", align_corners=True)
        * (grid.abs() <= 1).all(-1)[:, None]
    )
    source, driving = joints(truth.source), joints(truth.driving)
    known = torch.where(flipped[:, None], truth.known[:, list(mirror)], truth.known)
    known = (
        known
        & (source.position.abs() < IN_VIEW).all(-1)
        & (driving.position.abs() < IN_VIEW).all(-1)
    )
    one, other = (
        light(F.grid_sample(frame, view, padding_mode="reflection", align_corners=True))
        for frame in (pairs.source, pairs.driving)
    )
    figure, subject = (
        F.grid_sample(maps, folded, mode="nearest", padding_mode="border", align_corners=True)
        for maps in (truth.figure, truth.subject)
    )
    return Pairs(one, other, Truth(grid, visible, source, driving, known, figure, subject))


def fold(view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Places beyond the picture's edges as the places they reflect: view = sign *
    folded + offset.
    """
    beyond = view.sign() * (view.abs() > 1)
    sign, offset = 1 - 2 * beyond.abs(), 2 * beyond
    return (view - offset) * sign, sign, offset


def nearest(view: Tensor, size: int) -> Tensor:
    """The pixel centre next to each place, as a place. B H W 2"""
    half = (size - 1) / 2
    return (((view + 1) * half).round().clamp(0, size - 1)) / half - 1


def develop(random: Random, count: int) -> Callable[[Tensor], Tensor]:
    """One light for both frames of a pair: gamma, gain and tint."""
    gamma = torch.tensor(
        np.exp(0.25 * random.standard_normal((count, 1, 1, 1))), dtype=torch.float32
    )
    gain = torch.tensor(
        1
        + 0.15 * random.standard_normal((count, 1, 1, 1))
        + 0.06 * random.standard_normal((count, 3, 1, 1)),
        dtype=torch.float32,
    )
    return lambda frames: (frames.clamp(1e-4, 1) ** gamma * gain).clamp(0, 1)
