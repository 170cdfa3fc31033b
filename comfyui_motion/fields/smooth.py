"""Fields smoothed in time, each shot by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import InputError
from ..field import MotionField, identity_grid, resize
from ..geometry.one_euro import OneEuro
from ..geometry.vectors import length
from ..shapes import as_lists
from .inverse import plain

LEAP = 0.1  # half-pictures, on average over the frame: less is no cut
JUMP = 6  # times what usually changes from frame to frame: less is no cut
METHODS = ("gaussian", "one-euro")
Smoother = Callable[[Tensor], Tensor]  # T ... -> T ...


@torch.no_grad()
def smooth_field(
    field: MotionField,
    method: str = "gaussian",
    sigma: float = 1.0,
    min_cutoff: float = 1.0,
    beta: float = 0.5,
    fps: float = 25.0,
    cuts: Iterable[int] | None = None,
) -> MotionField:
    """The field without its trembling, with its occlusion; across a cut nothing is mixed.

    "gaussian"  an average over `sigma` frames to either side; 0 changes nothing
    "one-euro"  little motion is smoothed below `min_cutoff` Hz, fast motion less, by `beta` Hz for
                each hundredth of the picture a second (Casiez et al., CHI 2012); there and back in
                time, so that it does not lag
    cuts        the first frame of each new shot; None: they are found. InputError.
    """
    if method not in METHODS:
        raise InputError(f"method must be {' or '.join(METHODS)}, and is {method!r}.")
    if sigma < 0 or min_cutoff <= 0 or beta < 0 or fps <= 0:
        raise InputError(
            "sigma and beta are 0 or more, min_cutoff and fps above 0; they are"
            f" {sigma}, {beta}, {min_cutoff} and {fps}."
        )
    field = plain(field)
    if method == "gaussian" and sigma == 0:
        return field
    starts = find_cuts(field) if cuts is None else _checked(cuts, len(field))
    still = identity_grid(*field.size, field.grid)

    def smoothed(values: Tensor) -> Tensor:
        if method == "gaussian":
            return gaussian(values, sigma)
        return there_and_back(values, min_cutoff, beta, fps)

    moved = by_shot(field.grid - still, starts, smoothed)
    seen = tuple(by_shot(level, starts, smoothed).clamp(0, 1) for level in field.occlusion)
    return replace(field, grid=still + moved, occlusion=seen)


@torch.no_grad()
def find_cuts(field: MotionField) -> list[int]:
    """The frames before which the motion leaps, as it does where a clip is cut."""
    if len(field) < 3:
        return []
    small = field.grid.movedim(-1, 1)
    small = resize(small, *(min(side, 64) for side in field.size))
    change = torch.stack(
        [
            length((after - before).movedim(0, -1)).mean()
            for before, after in zip(small, small[1:], strict=False)
        ]
    )
    least = max(LEAP, JUMP * float(change.median()))
    return [i + 1 for i, leap in enumerate(as_lists(change)) if leap > least]


def _checked(cuts: Iterable[int], total: int) -> list[int]:
    cuts = sorted(set(cuts))
    if any(not 0 < cut < total for cut in cuts):
        raise InputError(f"Cuts are frames from 1 to {total - 1}, and are {cuts}.")
    return cuts


def by_shot(values: Tensor, starts: list[int], smoothed: Smoother) -> Tensor:
    """Each shot smoothed by itself; `starts` are the first frames of all but the first. T ..."""
    edges = [0, *starts, len(values)]
    return torch.cat([smoothed(values[a:b]) for a, b in zip(edges, edges[1:], strict=False)])


def gaussian(values: Tensor, sigma: float) -> Tensor:
    """Averaged over time, the ends repeated; no more held than the clip and its result. T ..."""
    radius, last = max(1, round(3 * sigma)), len(values) - 1
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    result = torch.zeros_like(values)
    for i in range(len(values)):
        for offset, weight in zip(range(-radius, radius + 1), weights, strict=True):
            result[i].add_(values[min(max(i + offset, 0), last)], alpha=weight / sum(weights))
    return result


def there_and_back(values: Tensor, min_cutoff: float, beta: float, fps: float) -> Tensor:
    """One-Euro forwards and backwards, and the mean of both: no delay. T ..."""
    there = one_euro(values, min_cutoff, beta, fps)
    return (there + one_euro(values.flip(0), min_cutoff, beta, fps).flip(0)) / 2


def one_euro(values: Tensor, min_cutoff: float, beta: float, fps: float) -> Tensor:
    """Forward in time; speed counts in hundredths of half a picture a second. T ..."""
    filtered = OneEuro(values[0], lambda speed: min_cutoff + beta * 100 * speed.abs())
    result = torch.empty_like(values)
    result[0] = values[0]
    for i in range(1, len(values)):
        result[i] = filtered.next(values[i], fps)
    return result
