"""Two eyes of one face.

On statues and drawings the mesh may see one eye as it is and the other nearly shut. Where they look
alike in the picture, mirrored, they are alike: the narrow one has the outline of the other.
"""

from __future__ import annotations

import numpy as np

from .mouth import GREY
from .raster import NO_MAP, Array
from .topology import EYES, SURFACE, mirror

NARROW = 0.7  # of the other eye's opening: an eye that is narrower is doubted
ALIKE = 0.4  # correlation of two eyes' pictures, one of them mirrored, of eyes that are alike
REACH, SIDE = 1.0, 48  # round an eye, in its widths; of the picture of it that is compared


def mirrored(points: Array) -> Array:
    """Where each point's mirror image would have it, by all the others. K 2 -> K 2

    The similarity that turns a face over onto itself.
    """
    there = points[mirror().numpy()[: len(points)]]
    middle, centre = there.mean(0), points.mean(0)
    away, target = (there - middle) * [-1, 1], points - centre
    a = (away * target).sum()
    b = (away[:, 0] * target[:, 1] - away[:, 1] * target[:, 0]).sum()
    turn = np.array([[a, -b], [b, a]]) / max((away**2).sum(), 1e-9)
    return away @ turn.T + centre


def evened(picture: Array, points: Array, moved: Array) -> Array:
    """How far points move (468 2), with the outline of an eye that is misread taken from the
    other. H W 3 in 0..1, 478 3 in its pixels
    """
    here = points[:SURFACE, :2] + moved
    gaps = {side: opening(here, side) for side in EYES}
    narrow = min(gaps, key=lambda side: gaps[side])
    wide = next(side for side in EYES if side != narrow)
    if gaps[narrow] > NARROW * gaps[wide]:
        return moved
    there = mirrored(here)
    if likeness(picture, here, there, list(EYES[narrow].outline)) < ALIKE:
        return moved
    moved = moved.copy()
    ids = list(EYES[narrow].outline)
    moved[ids] = there[ids] - points[ids, :2]
    return moved


def opening(points: Array, side: str) -> float:
    """Between an eye's lids, in its widths."""
    eye = EYES[side]
    gaps = [np.hypot(*(points[low] - points[high])) for high, low in eye.pairs]
    return float(np.mean(gaps) / max(np.hypot(*(points[eye.ends[1]] - points[eye.ends[0]])), 1e-6))


def likeness(picture: Array, here: Array, there: Array, ids: list[int]) -> float:
    """How alike the picture is where an eye's mirror image would lie, and round the other eye."""
    import cv2

    other = mirror().numpy()[ids]
    width = float(np.ptp(there[ids][:, 0]))
    steps = np.linspace(-REACH, REACH, SIDE) * width
    x, y = np.meshgrid(steps, steps * 0.6)
    seen = []
    for middle, side in ((there[ids].mean(0), 1), (here[other].mean(0), -1)):
        at = np.stack([middle[0] + side * x, middle[1] + y], -1).astype(np.float32)
        cut = cv2.remap(picture, at, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        light = cv2.GaussianBlur(cut @ np.array(GREY, np.float32), (0, 0), 1.5)
        seen.append((light - cv2.GaussianBlur(light, (0, 0), SIDE / 5)).ravel())
    return float(np.corrcoef(seen)[0, 1])
