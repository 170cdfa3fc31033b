"""What a frame needs and the source does not show: the background that somebody leaves behind, the
inside of a mouth, skin drawn out beyond what it can bear.

Whole regions with clean edges, to be inpainted or composited; no specks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np

from ...geometry.easing import ramp
from .mouth import Opening
from .mouth import shown as shown_of
from .raster import NO_MAP, Array, Raster, corners, farthest, solid
from .source import SourceFace

LAYERED = (0.4, 2.0)  # pixels of motion between which person and background part
LEFT = (0.2, 0.6)  # of the background in a pixel: between none and all hidden
DRAWN_OUT = (3.0, 5.0)  # times its area, a triangle of skin
SPECK = 2e-4  # of the picture: smaller regions are none


def hiding(face: SourceFace, motion: Array, raster: Raster, rest: Array, posed: Array) -> Array:
    """h w in 0..1 over half the motion field, 1 = hidden"""
    import cv2

    found = np.zeros(face.person.shape, np.float32)
    if face.layers is not None:
        found = left_behind(face.person, np.ascontiguousarray(motion[::2, ::2]) / 2)
    if raster.label.size:
        wide = drawn_out(raster, rest, posed)
        if wide is not None:
            whole = np.zeros(face.size, np.float32)
            whole[raster.box] = wide
            found = np.maximum(found, whole[::2, ::2])
    inside = mouth_inside(face, posed)
    found = without_specks(found)
    return found if inside is None else cv2.max(found, inside)


def left_behind(person: Array, motion: Array) -> Array:
    """Where somebody stood and nobody stands. h w"""
    import cv2

    now = cv2.remap(
        person,
        motion + places(*person.shape),
        NO_MAP,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    far = farthest(motion)
    bare = (1 - now) * person * ramp(LAYERED[0] / 2, LAYERED[1] / 2, far)
    return ramp(*LEFT, bare).astype(np.float32)


@lru_cache(maxsize=16)
def places(height: int, width: int) -> Array:
    """Where each pixel is. h w 2: x, y"""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.ascontiguousarray(np.stack([x, y], axis=-1))


def drawn_out(raster: Raster, rest: Array, posed: Array) -> Array | None:
    """Skin that turns into sight, or is pulled wide; None where there is none. h w"""
    import cv2

    now, then = (areas(points) for points in (posed, rest))
    wider = np.abs(now) / np.maximum(np.abs(then), 1e-3)
    usual = np.median(wider)
    share = ramp(*DRAWN_OUT, wider / max(usual, 1e-3)) * solid() * (np.abs(now) > 2)
    if not share.any():
        return None
    found = np.concatenate([[0], share]).astype(np.float32)[raster.label]
    return ramp(0.4, 0.7, cv2.GaussianBlur(found, (0, 0), 2)).astype(np.float32)


def areas(points: Array) -> Array:
    triangles = points[corners()][..., :2]
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def mouth_inside(face: SourceFace, posed: Array) -> Array | None:
    """As far as the inside of the mouth is painted; None where it is shut. h w"""
    import cv2

    opening = Opening.of(posed[:, :2])
    width = float(np.hypot(*(posed[61] - posed[291])[:2]))
    share = shown_of(opening, face.mouth, width, face.mouth_width)
    if share <= 0:
        return None
    found = np.zeros(face.person.shape, np.float32)
    edges = opening.places(2, 40) / 2
    ring = np.concatenate([edges[0], edges[1, ::-1]])
    cv2.fillPoly(found, [np.round(ring * 64).astype(np.int32)], share, cv2.LINE_AA, 6)
    return found


def without_specks(found: Array) -> Array:
    """The same without thin lines and small spots."""
    import cv2

    if cv2.countNonZero(found) == 0:
        return found
    solid_part = cv2.morphologyEx((found > 0.3).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid_part, connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= max(4, SPECK * found.size)
    large[0] = False
    kept = cv2.dilate(large[cast(Array, labels)].astype(np.uint8), np.ones((3, 3)), iterations=2)
    return found * kept
