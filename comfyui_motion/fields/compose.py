"""Fields joined, masked, weakened: what is made of fields without looking at pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import InputError
from ..field import MotionField, identity_grid, resize, sample
from ..shapes import check_shape
from .inverse import cell, plain


@torch.no_grad()
def compose(first: MotionField, then: MotionField) -> MotionField:
    """The field that moves a picture by `first` and the result by `then`, in one reading of it.

    Of `then`'s size; either may have one frame for all of the other's. A pixel is visible as far as
    it is visible to both, and `then` does not read beyond what `first` made. InputError for other
    lengths.
    """
    first, then = plain(first), plain(then)
    length = max(len(first), len(then))
    if {len(first), len(then)} - {1, length}:
        raise InputError(
            f"Fields of {len(first)} and of {len(then)} frames do not compose: give as many of"
            " both, or a single frame of one."
        )
    pairs = ((first[i % len(first)], then[i % len(then)]) for i in range(length))
    return MotionField.join(_composed(*pair) for pair in pairs)


def _composed(first: MotionField, then: MotionField) -> MotionField:
    both = then.compose(first)
    beyond = ((then.grid.abs() - 1) / cell(first)).amax(-1)[:, None]  # in pixels
    inside = (1 - beyond).clamp(0, 1)  # half by half a pixel, nothing from a whole one on
    seen = [resize(level, *then.size) for level in both.occlusion]
    occlusion = (seen[0].clamp(0, 1) * inside if seen else inside,)  # reading rounds
    return replace(both, occlusion=occlusion, picture=then.picture or first.picture)


@torch.no_grad()
def mask_field(
    field: MotionField, mask: Tensor, drawn_on: str = "source", keep_occlusion: bool = False
) -> MotionField:
    """Motion where the mask is 1, none where it is 0, and so much of it in between.

    mask      1 1 h w or B 1 h w in 0..1, of any size
    drawn_on  "source": the mask lies on the still source, and goes along with it; "frame": it lies
              on the frames, and stays
    What no longer moves is visible, unless `keep_occlusion`. InputError for other lengths.
    """
    check_shape("mask", mask, "B 1 H W")
    if drawn_on not in ("source", "frame"):
        raise InputError(f'drawn_on must be "source" or "frame", and is {drawn_on!r}.')
    field = plain(field)
    if len(mask) not in (1, len(field)):
        raise InputError(
            f"A field of {len(field)} frames takes one mask or {len(field)}, not {len(mask)}."
        )
    mask = mask.to(field.grid).clamp(0, 1)
    if drawn_on == "source":
        share = torch.cat(
            [
                sample(mask[i % len(mask)][None], field.grid[i : i + 1], True, "border")
                for i in range(len(field))
            ]
        )
    else:
        share = resize(mask, *field.size).expand(len(field), -1, -1, -1)
    return _share(field, share, keep_occlusion)


@torch.no_grad()
def strengthen(field: MotionField, strength: float | Sequence[float] | Tensor) -> MotionField:
    """The field with its motion so many times as large: one number, or one for each frame.

    0 is no motion, below 0 it goes the other way. What is hidden is so as far as it moves, and no
    more hidden where it moves further. InputError for other counts, and for what is no number.
    """
    field = plain(field)
    values = torch.as_tensor(strength, dtype=torch.float32).flatten()
    if len(values) not in (1, len(field)) or not values.isfinite().all():
        raise InputError(
            f"The strength of a field of {len(field)} frames is one number or {len(field)}, and"
            f" {len(values)} came,"
            f" {'not all finite' if len(values) in (1, len(field)) else 'too few or too many'}."
        )
    return _share(field, values.to(field.grid.device).view(-1, 1, 1, 1), keep_occlusion=False)


def _share(field: MotionField, share: Tensor, keep_occlusion: bool) -> MotionField:
    """So much of the motion. share: B 1 H W, or one that spreads to it"""
    still = identity_grid(*field.size, field.grid)
    grid = still + (field.grid - still) * share.movedim(1, -1)
    if keep_occlusion or not field.occlusion:
        return replace(field, grid=grid)
    hidden = (1 - resize(field.occlusion[-1], *field.size)) * share.abs().clamp(max=1)
    return replace(field, grid=grid, occlusion=(1 - hidden,))
