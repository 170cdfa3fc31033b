"""Points over time: less trembling, no delay; and what is shown where a face is not seen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...geometry.easing import smoothstep
from ...geometry.one_euro import OneEuro
from .find import eye_distance
from .topology import EYES, LIP_POINTS, POINTS

CUTOFF = 3.0  # Hz: what trembles faster is damped while a point rests
OPENING = 0.6  # Hz more for each percent of the eyes' distance that it moves in a second
CALM = 0.5  # of a stretch: its calmer frames tell how much points tremble
LEAST, MOST = 4e-4, 2.5e-3  # eye distances: no trembling is believed smaller, or larger
ALIKE, UNLIKE = 6.0, 9.0  # times that trembling: frames that are one pose, that are two
WINDOW = 16  # frames before and after that are compared with one
EASE = 8  # frames over which a pose that was held goes over into the one found again


def one_euro(points: Tensor, found: Tensor, cut: Tensor, rate: float) -> Tensor:
    """Every stretch in which the face is seen, by the One-Euro filter there and back, so that
    nothing lags (Casiez et al., CHI 2012). T 478 3, T, T
    """
    smooth = points.clone()
    for start, stop in stretches(found, cut):
        stretch = points[start:stop].double().numpy()
        apart = max(float(eye_distance(points[start:stop]).median()), 1e-3)
        there = _one_euro(stretch, apart, rate)
        back = _one_euro(stretch[::-1], apart, rate)[::-1]
        smooth[start:stop] = torch.from_numpy((there + back) / 2).float()
    return smooth


def settled(points: Tensor, found: Tensor, cut: Tensor) -> Tensor:
    """Lips, eyes and the rest of a face, each as the mean of the frames near by in which it cannot
    be told from trembling that it moved; so what rests is still (non-local means over time, after
    Buades, Coll and Morel, CVPR 2005). T 478 3, T, T
    """
    still = points.clone()
    for start, stop in stretches(found, cut):
        if stop - start > 1:
            stretch = points[start:stop]
            apart = eye_distance(stretch).median().clamp(min=1e-3)
            for ids in groups():
                still[start:stop, ids] = averaged(stretch[:, ids], float(apart))
    return still


def averaged(points: Tensor, apart: float) -> Tensor:
    """T K 3, with an eye distance in its units"""
    count, plane = len(points), points[..., :2] / apart
    limit = trembling(plane)
    away, weights = torch.zeros_like(points), torch.ones(count, 1, 1)
    for step in range(1, min(WINDOW, count - 1) + 1):
        far = (plane[step:] - plane[:-step]).square().sum(2).mean(1).sqrt() / limit
        share = ((UNLIKE - far) / (UNLIKE - ALIKE)).clamp(0, 1)[:, None, None]
        away[step:] += share * (points[:-step] - points[step:])
        away[:-step] += share * (points[step:] - points[:-step])
        weights[step:] += share
        weights[:-step] += share
    return points + away / weights


def trembling(plane: Tensor) -> float:
    """How far points move at random: what a straight line through three frames leaves of them, in
    the calmest. T K 2, in eye distances
    """
    if len(plane) < 3:
        return LEAST
    bent = plane[2:] - 2 * plane[1:-1] + plane[:-2]
    usual = (bent.square().sum(2).mean(1) / 6).sqrt()
    return float(usual.quantile(CALM).clamp(LEAST, MOST))


@lru_cache
def groups() -> tuple[list[int], ...]:
    """Points that move together: lips, each eye, all else."""
    parts = [set(LIP_POINTS)]
    parts += [{*e.outline, *e.above, *e.below, *e.crease, *e.iris} for e in EYES.values()]
    rest = set(range(POINTS)).difference(*parts)
    return tuple(sorted(part) for part in (*parts, rest))


def _one_euro(values: np.ndarray, apart: float, rate: float) -> np.ndarray:
    """T K 3"""
    filtered = steadied(values[0], apart)
    return np.stack([values[0], *(filtered.next(now, rate) for now in values[1:])])


def steadied(first: np.ndarray, apart: float) -> OneEuro[np.ndarray]:
    """The filter of a face's points, forward in time. K 3 in pixels, the eyes' distance in them"""

    def cutoff(speed: np.ndarray) -> np.ndarray:
        percent = 100 * np.linalg.norm(speed, axis=-1, keepdims=True) / apart
        return CUTOFF + OPENING * percent

    return OneEuro(first, cutoff)


def held(points: Tensor, found: Tensor, cut: Tensor) -> Tensor:
    """With the last pose where the face is not seen (the first where it was not yet), and eased
    from there into what is found again. T 478 3, T, T
    """
    filled = points.clone()
    runs = stretches(found, cut)
    shots = [0, *cut.nonzero().flatten().tolist(), len(found)]
    for begin, end in zip(shots, shots[1:], strict=False):
        inside = [run for run in runs if begin <= run[0] < end]
        if not inside:
            filled[begin:end] = nearest(filled, runs, begin)
            continue
        filled[begin : inside[0][0]] = points[inside[0][0]]
        for (_, lost), (again, stop) in zip(inside, [*inside[1:], (end, end)], strict=False):
            filled[lost:again] = filled[lost - 1]
            length = min(EASE, stop - again)
            steps = torch.arange(1, length + 1) / (length + 1)
            ease = smoothstep(steps)[:, None, None]
            rows = slice(again, again + length)
            filled[rows] = torch.lerp(filled[lost - 1].expand_as(points[rows]), points[rows], ease)
    return filled


def nearest(points: Tensor, runs: list[tuple[int, int]], at: int) -> Tensor:
    """The pose seen last before a frame, or first of all. 478 3"""
    before = [stop for _, stop in runs if stop <= at]
    return points[before[-1] - 1] if before else points[runs[0][0] if runs else at]


def stretches(found: Tensor, cut: Tensor) -> list[tuple[int, int]]:
    """Frames in a row of one shot in which the face is seen: first, one past the last."""
    runs: list[tuple[int, int]] = []
    for i, (there, new) in enumerate(zip(found.tolist(), cut.tolist(), strict=True)):
        if not there:
            continue
        if runs and runs[-1][1] == i and not new:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    return runs
