"""Points followed through a field, and vectors from frame to frame.

A point of the source is, in every frame, where the field's inverse has it. So nothing adds up, and
vectors from one frame to the next sum to the way a point goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..field import MotionField, resize_grid, sample
from ..geometry.pixels import from_pixels, to_pixels
from ..keypoints import Keypoints
from ..shapes import check_shape, check_size
from .inverse import invert, plain, solve, visible_map

ROWS = 256  # of a frame, at a time: memory stays flat at any size
SURE = 0.5  # visible from here on


class Tracks(NamedTuple):
    """Where points are in every frame: what ComfyUI calls TRACKS, by its own names."""

    track_path: Tensor  # T N 2, in pixels, (x, y), 0 = centre of the first
    track_visibility: Tensor  # T N bool


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame's field, and its inverse: points and pixels of others are found in it."""

    field: MotionField  # of one frame, plain
    inverse: MotionField

    @staticmethod
    def of(field: MotionField) -> Frame:
        field = plain(field)
        return Frame(field, invert(field))

    def find(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Where the source's places are seen in the frame, 1 h w 2 in -1..1 units, and how surely.
        1 h w in 0..1
        """
        start = sample(self.inverse.grid.movedim(-1, 1), source, True, "border").movedim(1, -1)
        place, astray = solve(self.field, source, start)
        shown = sample(self.inverse.occlusion[-1], source, True, "zeros")[:, 0]
        return place, shown * (2 - 2 * astray).clamp(0, 1)


@torch.no_grad()
def tracks(
    field: MotionField, points: Tensor | Keypoints, size: tuple[int, int] | None = None
) -> Tracks:
    """Points of the source followed through the frames: path T N 2 in pixels, and visibility T N.

    points  N 2 in pixels of the source, (x, y), 0 = centre of the first; or keypoints of a picture
    size    (height, width) of the pictures the pixels are of; None: of the field's picture where it
            knows one, or its own
    A point is hidden where the frame shows it not, or it has left it. InputError for other shapes.
    """
    field = plain(field)
    height, width = check_size(size) if size else field.picture_size
    targets = _targets(points, height, width).to(field.grid.device)
    paths: list[Tensor] = []
    seen: list[Tensor] = []
    for i in range(len(field)):
        place, sure = Frame.of(field[i]).find(targets[None, None])
        paths.append(to_pixels(place[0, 0].cpu(), height, width))
        inside = (place[0, 0].abs() <= 1 + 1e-4).all(-1)
        seen.append(((sure[0, 0] > SURE) & inside).cpu())
    return Tracks(torch.stack(paths), torch.stack(seen))


def _targets(points: Tensor | Keypoints, height: int, width: int) -> Tensor:
    """N 2 in -1..1 units"""
    if isinstance(points, Keypoints):
        if len(points) != 1:
            raise InputError(
                f"Points to follow are those of one picture, the source; these are of"
                f" {len(points)}."
            )
        return points.position[0].float().cpu()
    try:
        points = torch.as_tensor(points, dtype=torch.float32).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            "Points to follow are N 2 numbers, (x, y) in pixels of the source, or Keypoints; these"
            f" are a {type(points).__name__} of something else."
        ) from error
    check_shape("points", points, "N 2")
    if not points.isfinite().all():
        raise InputError("Some points to follow are nowhere (not a number).")
    return from_pixels(points, height, width)


@torch.no_grad()
def vectors(frame: Frame, other: Frame, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each pixel's point is in another frame, less where it is here: 2 height width in
    pixels, (x, y), y down; 0 where it is not known. And where it is known. height width bool
    """
    moved = frame.field.grid.new_zeros(2, height, width)
    known = torch.zeros(height, width, dtype=torch.bool, device=moved.device)
    span = moved.new_tensor([max(width - 1, 1), max(height - 1, 1)])
    source = resize_grid(frame.field.grid, height, width, align_corners=True)
    still = resize_grid(
        MotionField.identity(1, *frame.field.size, moved).grid, height, width, align_corners=True
    )
    seen = visible_map(frame.field, (height, width))[:, 0]
    for top in range(0, height, ROWS):
        rows = slice(top, top + ROWS)
        place, sure = other.find(source[:, rows])
        told = (sure * seen[:, rows])[0] > SURE
        told &= (place[0].abs() <= 1 + 1e-4).all(-1)
        step = ((place[0] - still[0, rows]) / 2 * span) * told[..., None]
        moved[:, rows], known[rows] = step.movedim(-1, 0), told
    return moved, known


def spread_points(height: int, width: int, count: int, mask: Tensor | None = None) -> Tensor:
    """About `count` points evenly over a picture, or over what a mask h w marks of it. N 2 in
    pixels

    InputError where the mask marks nothing.
    """
    if count < 1:
        raise InputError(f"There is at least one point to follow, not {count}.")
    marked = torch.ones(height, width) if mask is None else mask
    share = float((marked > 0.5).float().mean())
    if not share:
        raise InputError("The mask marks nothing to follow; paint over the subject.")
    step = (marked.numel() * share / count) ** 0.5
    kept = marked.new_zeros(0, 2)
    for _ in range(12):  # thin masks take fewer than their area says
        points = _lattice(marked.shape[0], marked.shape[1], step)
        kept = points[marked[points[:, 1].round().long(), points[:, 0].round().long()] > 0.5]
        if len(kept) >= 0.9 * count or step < 1:
            break
        step *= 0.9
    if not len(kept):
        rows, columns = (marked > 0.5).nonzero(as_tuple=True)
        kept = torch.stack([columns, rows], dim=-1)[:1].float()
    return kept * torch.tensor([width / marked.shape[1], height / marked.shape[0]])


def _lattice(height: int, width: int, step: float) -> Tensor:
    rows, columns = (max(1, round(side / step)) for side in (height, width))
    y, x = (
        (torch.arange(n, dtype=torch.float32) + 0.5) * (side / n) - 0.5
        for n, side in ((rows, height), (columns, width))
    )
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
