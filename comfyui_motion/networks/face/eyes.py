"""The eyeball behind the lids: it stays while they slide over it, and turns under them with the
gaze.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...geometry.easing import ramp
from .raster import Array, Raster, corners
from .topology import EYES, Eye

IRIS_EDGE, GAZE_END = 1.0, 2.6  # radii of the iris: what turns with it whole, and where that ends
EDGE_ON = 0.2  # cosine between down and across the corners' line
SMALLEST = 0.05  # pixels: a gaze that moved less has not moved


@lru_cache
def openings() -> dict[str, Array]:
    """For each eye, which labels of a raster lie between its lids. T+1, bool"""
    return {
        side: np.array([False, *(set(map(int, t)) <= set(eye.outline) for t in corners())])
        for side, eye in EYES.items()
    }


def look(raster: Raster, rest: Array, posed: Array, linear: Array) -> None:
    """Put the eyeballs behind the lids of a raster. 478 3 twice, pixels, and how the head turned
    and grew, in the picture, 2 2
    """
    for side, eye in EYES.items():
        box = raster.round(posed[list(eye.outline), :2])
        rows, columns = np.nonzero(openings()[side][raster.label[box]])
        if len(rows):
            rows, columns = rows + box[0].start, columns + box[1].start
            pixels = np.stack([columns + raster.left, rows + raster.top], -1).astype(np.float32)
            seen = behind(pixels, eye, rest[:, :2], posed[:, :2], linear)
            raster.motion[rows, columns] = seen - pixels


def behind(pixels: Array, eye: Eye, rest: Array, posed: Array, linear: Array) -> Array:
    """Where in the source the eyeball's pixels come from. N 2 -> N 2"""
    there = frame(eye, rest)
    here = frame(eye, posed, linear @ there.down)
    place = here.inside(pixels)  # in eye widths: along, and down
    place[:, 1] = widened(place, here.inside(lids(eye, posed)), there.inside(lids(eye, rest)))
    found = there.outside(place)
    iris, rim = rest[eye.iris[0]], rest[list(eye.iris[1:])]
    went = there.outside(here.inside(posed[[eye.iris[0]]])) - iris
    if np.hypot(*went[0]) < SMALLEST:
        return found
    radius = np.linalg.norm(rim - iris, axis=1).mean() + 1e-6
    far = np.linalg.norm(found - (iris + went), axis=1) / radius
    return found - went * ramp(GAZE_END, IRIS_EDGE, far)[:, None]


class frame:
    """An eye's own axes: from corner to corner, and down, in widths of it; of one that turned away,
    down is where the head's turn took it (`down`, 2).
    """

    def __init__(self, eye: Eye, points: Array, down: Array | None = None) -> None:
        first, second = points[list(eye.ends)]
        self.middle = (first + second) / 2
        self.across = second - first
        level = np.array([-self.across[1], self.across[0]])
        self.down = level if down is None or edge_on(down, level) else down
        axes = np.stack([self.across, self.down])  # 2 2
        square = float(np.linalg.det(axes))
        self.back = np.linalg.inv(axes) if square > 1e-6 else np.zeros((2, 2))

    def inside(self, points: Array) -> Array:
        return (points - self.middle) @ self.back

    def outside(self, places: Array) -> Array:
        return self.middle + places[:, :1] * self.across + places[:, 1:] * self.down

    def taller(self, down: Array) -> float:
        """How long that is in units of its down."""
        return float(np.hypot(*down) / max(np.hypot(*self.down), 1e-6))


def edge_on(down: Array, level: Array) -> bool:
    """Whether an eye is seen so far from the side that its axes fall together."""
    return float(down @ level) < EDGE_ON * float(np.hypot(*down) * np.hypot(*level))


def lids(eye: Eye, points: Array) -> Array:
    """Upper, then lower, from left to right."""
    rows = [eye.upper, eye.lower]
    if eye.corners != eye.ends:
        rows = [row[::-1] for row in rows]
    return np.concatenate([points[list(row)] for row in rows])


def widened(place: Array, now: Array, rest: Array) -> Array:
    """How far down the eyeball is read: as it is, but where an eye is open wider than the source
    shows, drawn out to fill it. N
    """
    half = len(now) // 2
    middle = rest[:, 1].mean()
    down = place[:, 1]
    for sign, row in ((-1, slice(0, half)), (1, slice(half, None))):
        shown = np.interp(place[:, 0], rest[row, 0], sign * (rest[row, 1] - middle))
        wanted = np.interp(place[:, 0], now[row, 0], sign * (now[row, 1] - middle))
        less = np.clip(np.maximum(shown, 1e-3) / np.maximum(wanted, 1e-3), 0.3, 1)
        side = sign * (down - middle) > 0
        down = np.where(side, middle + (down - middle) * less, down)
    return down
