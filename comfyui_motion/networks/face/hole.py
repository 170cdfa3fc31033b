"""The hole in a mouth.

Of a mouth that is pursed the mesh takes much of the lips for inside. So each driver's mouth is
looked at: where its lips end there is the hole. Only that is carried over, and the mesh's inner
lips go towards it, so that the other picture's own lips grow thick.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from ...geometry.easing import ramp
from .raster import NO_MAP, Array
from .topology import LIP_ROWS, LIPS

RED, LIGHT = (0.55, 0.9), (0.5, 0.8)  # redness, and light of the lips', of what is no lip, is lip
BLUR = 1.2  # samples: over which lips are told from the hole
ENDS = 0.15  # of a mouth's width, that is lip: from there a hole's end is round
TRIM = 0.42  # of a mouth, from each side: no more of it is taken for lip
AGAPE = (0.05, 0.12)  # of its width that a mouth is open: nothing of it is lip, all that looks so
BROUGHT = (
    0.6  # of their way to the hole, that inner lips go: the mesh sees holes larger than they are
)
ROUNDS = 3  # of fitting an edge
# rows of lips, each in the order of `LIPS.inner`, and how far they go along with it
ROWS_OF_LIPS = ((LIPS.inner, 1.0), (LIP_ROWS[0], 2 / 3), (LIP_ROWS[1], 1 / 3))


@dataclass(frozen=True, eq=False)
class Hole:
    """Of a mouth's opening, in shares of its width, and of the way from lip to lip."""

    left: float
    right: float
    top: Array  # columns of the opening: down to here there is lip
    bottom: Array  # and from here on

    @staticmethod
    def of(seen: Array, tone: float, gap: float) -> Hole | None:
        """Where no lip is; None where nothing of it is.

        seen  light in halves of the skin's, and redness: 2 rows columns
        tone  how light lips are in it
        gap   how far the mouth is open, in its widths
        """
        import cv2

        believed = float(ramp(*AGAPE, np.array(gap)))
        if believed == 0:
            return None
        columns = seen.shape[2]
        lip = ramp(*RED, seen[1]) * ramp(*LIGHT, seen[0] / max(tone, 0.02))
        lip = cv2.GaussianBlur(lip.astype(np.float32), (0, 0), BLUR)
        above, below = deep(lip), deep(lip[::-1])
        free = np.nonzero(above + below < 0.9)[0]
        first, last = (free[0], free[-1] + 1) if len(free) else (0, columns)
        left, right = (min(side / columns, TRIM) for side in (first, columns - last))
        top, bottom = (np.clip(evened(row, first, last), 0, TRIM) for row in (above, below))
        along = (np.arange(columns) + 0.5) / columns
        ends = rounded(along, left) + rounded(1 - along, right)
        more = (1 - top - bottom) / 2 * np.clip(ends, 0, 1)
        return Hole(
            left * believed,
            1 - right * believed,
            (top + more) * believed,
            1 - (bottom + more) * believed,
        )

    def at(self, along: Array) -> tuple[Array, Array, Array]:
        """Places along the hole, as places along the opening, and the hole's top and bottom
        there.
        """
        columns = len(self.top)
        across = self.left + along * (self.right - self.left)
        middles = (np.arange(columns) + 0.5) / columns
        top, bottom = (np.interp(across, middles, edge) for edge in (self.top, self.bottom))
        return across, top, bottom

    def read(self, seen: Array) -> Array:
        """What is in it. 2 rows columns -> 2 rows columns"""
        import cv2

        rows, columns = seen.shape[1:]
        across, top, bottom = self.at((np.arange(columns) + 0.5) / columns)
        down = top + (np.arange(rows) + 0.5)[:, None] / rows * (bottom - top)
        x = np.broadcast_to(across, down.shape) * columns - 0.5
        at = np.stack([x, down * rows - 0.5], -1).astype(np.float32)
        kind, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        return np.stack([cv2.remap(part, at, NO_MAP, kind, borderMode=border) for part in seen])

    def lips(self, along: Array) -> tuple[Array, Array]:
        """Where the mesh's inner lips go, along the opening and down; `along`: where they are. 20,
        in the order of `LIPS.inner`
        """
        across, top, bottom = self.at(along)
        half = len(along) // 2
        down = np.concatenate([top[: half + 1], bottom[half + 1 :]])
        down[[0, half]] = (top + bottom)[[0, half]] / 2
        was = np.concatenate([np.zeros(half + 1), np.ones(half - 1)])
        return along + BROUGHT * (across - along), was + BROUGHT * (down - was)


def deep(lip: Array) -> Array:
    """How far down each column there is lip, in shares of it. rows columns -> columns"""
    rows = len(lip)
    clear = lip < 0.5
    first = np.where(clear.any(0), clear.argmax(0), rows)
    before, here = (
        np.take_along_axis(lip, np.clip(first - i, 0, rows - 1)[None], 0)[0] for i in (1, 0)
    )
    part = np.clip((before - 0.5) / np.maximum(before - here, 1e-3), 0, 1)
    return np.where(first == 0, 0, np.minimum(first - 0.5 + part, rows)) / rows


def evened(edge: Array, first: int, last: int) -> Array:
    """An edge as a parabola, by its columns from `first` to `last`, little moved by those that
    stray. columns
    """
    basis = powers(len(edge))
    some, rows = basis[first:last], edge[first:last]
    fit, weight = np.zeros(3), np.ones(len(rows))
    for _ in range(ROUNDS):
        weighted = some.T * weight
        fit = np.linalg.solve(weighted @ some + 1e-6 * np.eye(3), weighted @ rows)
        off = np.abs(some @ fit - rows)
        weight = 1 / (1 + (off / (np.median(off) + 0.02)) ** 2) ** 2
    return basis[np.clip(np.arange(len(edge)), first, last - 1)] @ fit


@lru_cache
def powers(columns: int) -> Array:
    """1, x and its square over columns, x in -1..1. columns 3"""
    return np.linspace(-1, 1, columns)[:, None] ** np.arange(3)


def rounded(along: Array, start: float) -> Array:
    """How far top and bottom meet, near the start of a hole in lips, as in an ellipse."""
    share = np.clip((along - start) / max((1 - start) / 2, 1e-3), 0, 1)
    return ramp(0, ENDS, np.array(start)) * (1 - np.sqrt(np.clip(1 - (1 - share) ** 2, 0, 1)))


def brought(points: Tensor, went: Tensor) -> Tensor:
    """Faces with their inner lips moved so, and the rows of the lips with them. B 478 2 or 3, in
    pixels, B 20 2
    """
    points = points.clone()
    for row, share in ROWS_OF_LIPS:
        points[:, list(row), :2] += share * went.to(points)
    return points
