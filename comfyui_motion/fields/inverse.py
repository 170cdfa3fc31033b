"""Fields turned round: where in each frame a point of the source is.

A field reads: frame to source. Its inverse reads source to frame. What falls on a source pixel is
thrown there for a start, and improved by Newton's method until the field leads back.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..field import MotionField, check_field, identity_grid, resize, sample
from ..geometry.scatter import fill, splat
from ..geometry.vectors import length
from ..keypoints import FARTHEST

ASTRAY = 0.5  # pixels: where the way there and back ends further off, it was not found
SQUEEZED = 1 / 8  # of the usual area: what has less of the frame is torn, or folded away
DAMPING = 1e-3  # of Newton's steps where the field is flat
ROUNDS, ENOUGH = 6, 1e-4  # steps, and pixels within which none more is needed
LEAP = 4  # pixels: no step is longer


@torch.no_grad()
def invert(field: MotionField) -> MotionField:
    """The field that undoes this one: for every pixel of the source, where it is in each frame.

    Of the field's own size. Its occlusion says which pixels of the source the frame shows, 1 =
    shown: what is covered, folded away, squeezed to nothing or outside the frame is hidden. So a
    frame warped by it becomes the source as far as it can be seen.
    """
    field = plain(field)
    return MotionField.join(_inverse(field[i]) for i in range(len(field)))


def plain(field: MotionField) -> MotionField:
    """Any family's field as one of the source's own pixels, corner-aligned, in float32, with its
    finest occlusion; coordinates that are no numbers, or beyond all pictures, stay where they are,
    hidden.
    """
    field = check_field(field).of_source().straightened()
    grid, visible = field.grid.float(), field.occlusion[-1:]
    lost = ~(grid.abs() <= FARTHEST).all(-1)  # nor is what is no number
    if lost.any():
        grid = torch.where(lost[..., None], identity_grid(*field.size, grid), grid)
        seen = (~lost[:, None]).float()
        visible = (seen * resize(visible[0].float(), *field.size) if visible else seen,)
    visible = tuple(level.float() for level in visible)
    return MotionField(grid, visible, picture=field.picture)


def visible_map(field: MotionField, size: tuple[int, int] | None = None) -> Tensor:
    """What each pixel shows of the source, at that size or the field's own: less too where it reads
    beyond the source's edge, half by half a pixel, nothing from a whole one on. B 1 H W in 0..1
    """
    field = field if size is None else field.resize(*size)
    beyond = ((field.grid.abs() - 1) / cell(field)).amax(-1)[:, None]  # in pixels
    inside = (1 - beyond).clamp(0, 1)
    if not field.occlusion:
        return inside
    return resize(field.occlusion[-1], *field.size).clamp(0, 1) * inside


def cell(field: MotionField) -> Tensor:
    """From one pixel of the field to the next, (x, y)."""
    height, width = field.size
    return 2 / field.grid.new_tensor([max(width - 1, 1), max(height - 1, 1)])


def _inverse(field: MotionField) -> MotionField:
    """Of a field of one frame."""
    still = identity_grid(*field.size, field.grid)
    if min(field.size) < 2:
        return MotionField(2 * still - field.grid, (visible_map(field),), picture=field.picture)
    moved, seen = (field.grid - still).permute(0, 3, 1, 2), visible_map(field)
    fallen, weight = splat(moved, _fineness(field), seen + 1e-3)
    start = still + fill(fallen, weight).permute(0, 2, 3, 1)
    places, _ = solve(field, still[None], start)
    shown = sample(seen, places, True, "zeros")
    error = length((MotionField(places).compose(field).grid - still) / cell(field))
    found = (2 - error / (ASTRAY / 2)).clamp(0, 1)[:, None]
    visible = ((shown * found * _open(weight)).clamp(0, 1),)  # reading rounds
    return MotionField(places, visible, picture=field.picture)


def _fineness(field: MotionField) -> int:
    """How many places of a pixel to throw so that they fall on every pixel of the source."""
    steps = [(length(field.grid.diff(dim=axis)) / cell(field).min()).flatten() for axis in (1, 2)]
    steep = torch.cat(steps)
    return int(steep[:: len(steep) // 100_000 + 1].quantile(0.9).ceil().clamp(2, 6))


def _open(weight: Tensor) -> Tensor:
    """0 where much less of the frame falls than usual: torn or squeezed. B 1 H W"""
    near = F.avg_pool2d(F.pad(weight, (2, 2, 2, 2), mode="replicate"), 5, 1)
    some = weight[weight > 0.01]
    usual = some.median() if len(some) else weight.new_ones(())
    return (near / usual / SQUEEZED - 1).clamp(0, 1)


def solve(field: MotionField, targets: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Where in the frame of a field of one frame the source's `targets` are seen, looked for from
    `start`. 1 h w 2 twice -> 1 h w 2, and how many of the field's pixels the field leads past them
    from there. 1 h w

    Gauss-Newton with damping on f(y) = target; every point keeps the best place it was at.
    """
    maps, size = _with_slopes(field), cell(field)
    best = start.clone(memory_format=torch.contiguous_format)
    least = torch.full_like(best[..., 0], torch.inf)
    places, fars = best.view(-1, 2), least.view(-1)
    place, sought = start.reshape(-1, 2), targets.reshape(-1, 2)
    left = torch.arange(len(place), device=place.device)  # those that are not found yet
    for _ in range(ROUNDS + 1):
        slope, missing = _missing(maps, sought, place)
        far = length(missing / size)
        better = far < fars[left]
        places[left[better]], fars[left[better]] = place[better], far[better]
        on = fars[left] >= ENOUGH
        left, place, sought, better = left[on], place[on], sought[on], better[on]
        if not len(left):
            break
        onwards, back = _newton(slope[on], missing[on]), 0.5 * (places[left] - place)
        step = torch.where(better[..., None], onwards, back)
        place = place + torch.minimum(torch.maximum(step, -LEAP * size), LEAP * size)
    return best, least


def _missing(maps: Tensor, targets: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """How steep a field is at those places, and how far short of the targets it leads from there.
    N 2 2, N 2
    """
    here = sample(maps, place[None, None], True, "border")[0, :, 0].T
    slope = torch.unflatten(here[..., 2:], -1, (2, 2))
    edge = place - place.clamp(-1, 1)  # beyond its edge a field goes on as steep as it ended
    return slope, targets - here[..., :2] - (slope @ edge[..., None])[..., 0]


def _newton(slope: Tensor, missing: Tensor) -> Tensor:
    """The damped step that makes up for what is missing. ... 2 2, ... 2 -> ... 2"""
    (a, b), (c, d) = (row.unbind(-1) for row in slope.unbind(-2))
    x, y = missing.unbind(-1)
    p, q = a * x + c * y, b * x + d * y  # J^T missing
    xx, xy, yy = a * a + c * c + DAMPING, a * b + c * d, b * b + d * d + DAMPING
    area = xx * yy - xy * xy
    return torch.stack([(yy * p - xy * q) / area, (xx * q - xy * p) / area], dim=-1)


def _with_slopes(field: MotionField) -> Tensor:
    """A field of one frame and its derivatives. 1 6 H W: x, y, dx/dx, dx/dy, dy/dx, dy/dy"""
    grid = field.grid.permute(0, 3, 1, 2)
    across, down = cell(field)
    along, below = _slope(grid, 3, across), _slope(grid, 2, down)
    slopes = torch.stack([along, below], dim=2).flatten(1, 2)  # x: along, below; y: along, below
    return torch.cat([grid, slopes], dim=1)


def _slope(grid: Tensor, axis: int, step: Tensor) -> Tensor:
    """The derivative along columns (2) or rows (3); along a single one as without motion.
    1 2 H W
    """
    if grid.shape[axis] < 2:
        still = grid.new_tensor([float(axis == 3), float(axis == 2)])
        return still[:, None, None].expand_as(grid)
    return torch.gradient(grid, dim=axis)[0] / step
