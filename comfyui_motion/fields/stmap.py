"""STMaps and displacements: fields as compositors write and read them.

An STMap tells the source position of every pixel, 0 to 1 from edge to edge of the source: the
centre of pixel i of W lies at (i + 0.5) / W. v goes up, unless it is said to go down.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..field import MotionField, identity_grid
from ..shapes import check_shape, check_size

V = ("up", "down")
ORDERS = ("xy", "yx")
ROWS = 512  # converted at a time


def check_v(v: str) -> str:
    if v not in V:
        raise InputError(f"v must be up or down, and is {v!r}.")
    return v


def from_stmap(
    maps: Tensor,
    visible: Tensor | None = None,
    v: str = "up",
    order: str = "xy",
    size: tuple[int, int] | None = None,
) -> MotionField:
    """The field of an STMap. B 2 or more H W: the first two channels are the position.

    visible  B 1 H W in 0..1; None: all that is a number
    v        "up" or "down": which way the vertical coordinate grows
    order    "xy", or "yx" where the first channel is the vertical one
    size     (height, width) of the source the map was made for, where that is not the map's own
    What is not a number stays where it is, hidden. InputError.
    """
    if maps.ndim != 4 or maps.shape[1] < 2 or not maps.numel():
        raise InputError(
            "A map is B C H W with at least two channels, red and green; this one is"
            f" {' '.join(map(str, maps.shape))}."
        )
    if order not in ORDERS:
        raise InputError(f"order must be xy or yx, and is {order!r}.")
    height, width = check_size(size or tuple(maps.shape[-2:]))
    upwards = check_v(v) == "up"
    grid = maps.new_empty(len(maps), *maps.shape[-2:], 2, dtype=torch.float32)
    for top in range(0, maps.shape[2], ROWS):
        rows = slice(top, top + ROWS)
        part = grid[:, rows]
        position = maps[:, :2, rows].double()  # rounded once, at the end
        position = position.flip(1) if order == "yx" else position
        x, y = position.unbind(1)  # B h W each
        y = 1 - y if upwards else y
        part[..., 0], part[..., 1] = _centred(x, width), _centred(y, height)
    return field_of(grid, visible)


def _centred(position: Tensor, pixels: int) -> Tensor:
    """From edge to edge in 0..1 to from centre to centre in -1..1."""
    place = position * pixels - 0.5
    return 2 * place / (pixels - 1) - 1 if pixels > 1 else place


def field_of(grid: Tensor, visible: Tensor | None) -> MotionField:
    """A field that is hidden where its grid (B H W 2) is no number."""
    sound = grid.isfinite().all(-1)
    if not sound.all():
        still = identity_grid(grid.shape[1], grid.shape[2], grid)
        grid = torch.where(sound[..., None], grid, still)
        seen = sound[:, None].float()
        visible = seen if visible is None else visible.nan_to_num(0) * seen
    if visible is None:
        return MotionField(grid)
    check_shape("visible", visible, "B 1 H W")
    return MotionField(grid, (visible.float().nan_to_num(0).clamp(0, 1),))


def from_displacement(
    maps: Tensor,
    visible: Tensor | None = None,
    v: str = "up",
    order: str = "xy",
    reach: float | None = None,
) -> MotionField:
    """The field that reads each pixel from where it is plus the map's displacement.

    B 2 or more H W, in pixels of the map's own size; or, with `reach`, 0.5 for none and 0 and 1 for
    `reach` pixels either way, as 8- and 16-bit tools have it. Else as `from_stmap`.
    """
    if maps.ndim != 4 or maps.shape[1] < 2 or order not in ORDERS:
        raise InputError("A displacement is B C H W with at least two channels, in order xy or yx.")
    moved = maps[:, :2].float()
    moved = moved.flip(1) if order == "yx" else moved
    if reach is not None:
        if not reach > 0:
            raise InputError(f"reach is the largest displacement in pixels, above 0, not {reach}.")
        moved = (moved - 0.5) * (2 * reach)
    x, y = moved.unbind(1)
    y = -y if check_v(v) == "up" else y
    height, width = maps.shape[-2:]
    still = MotionField.identity(1, height, width).to_pixels(height, width)
    pixels = still + torch.stack([x, y], dim=-1)
    return field_of(MotionField.from_pixels(pixels).grid, visible)
