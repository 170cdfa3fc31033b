"""Where a picture's own lips part.

The mesh places the line between shut lips near the drawn one, not on it. Lips that open there would
take pieces of that dark line along; so both inner lips are brought onto it.
"""

from __future__ import annotations

import numpy as np

from .mouth import GREY
from .raster import NO_MAP, Array
from .topology import LIPS, SURFACE

SHUT = 0.05  # mouth widths between the inner lips: open further, they are left where they are
REACH = 0.6  # of the lips' height above and below, that is searched
STEPS = 33
DARKER = 0.03  # grey levels that the line is darker than the lips


def parted(picture: Array, points: Array) -> Array:
    """How far each point of the surface moves so that the inner lips meet where the picture's do.

    H W 3 in 0..1, 478 3 in its pixels -> 468 2
    """
    moved = np.zeros((SURFACE, 2))
    upper, lower = (np.array(row) for row in zip(*LIPS.pairs, strict=True))
    width = np.hypot(*(points[61] - points[291])[:2])
    if np.hypot(*(points[lower] - points[upper])[:, :2].T).max() > SHUT * max(width, 1e-6):
        return moved
    middle = (points[upper, :2] + points[lower, :2]) / 2  # 9 2
    down = np.array([[0, 1], [-1, 0]]) @ (points[291] - points[61])[:2] / max(width, 1e-6)
    down = down if down @ (points[17] - points[0])[:2] > 0 else -down
    high, low = (abs(float((points[i, :2] - middle.mean(0)) @ down)) for i in (0, 17))
    share = np.linspace(-1, 1, STEPS)
    away = REACH * np.where(share < 0, high * share, low * share)
    found = darkest(picture, middle[:, None] + away[None, :, None] * down, share, away)
    if found is not None:
        moved[upper] = moved[lower] = found[:, None] * down
    return moved


def darkest(picture: Array, at: Array, share: Array, away: Array) -> Array | None:
    """How far down the darkest line runs across all columns; None where there is none clear.

    P STEPS 2 -> P
    """
    import cv2

    places = at.astype(np.float32)
    seen = cv2.remap(picture, places, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    light = seen @ np.array(GREY, np.float32)
    light = cv2.GaussianBlur(light, (0, 0), sigmaX=1.0, sigmaY=0.5)
    cost = light + 0.05 * share**2
    row = cost.argmin(1)
    beside = np.median(light, axis=1)
    if float(np.median(beside - light[np.arange(len(row)), row])) < DARKER:
        return None
    x = np.linspace(-1, 1, len(row))
    curve = np.polynomial.polynomial.polyfit(x, away[row], 2)
    for _ in range(3):
        off = np.abs(np.polynomial.polynomial.polyval(x, curve) - away[row])
        weight = 1 / (1 + (off / (np.median(off) + 0.3)) ** 2)
        curve = np.polynomial.polynomial.polyfit(x, away[row], 2, w=weight)
    return np.polynomial.polynomial.polyval(x, curve)
