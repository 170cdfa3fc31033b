"""What a frame needs and the source does not show: the background that somebody leaves behind, the
inside of a mouth, skin drawn out beyond what it can bear.

Whole regions with clean edges, to be inpainted or composited; no specks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np

from ...geometry.easing import ramp
from ...geometry.pixels import LARGE
from .mouth import Opening
from .raster import NO_MAP, Array, Raster, corners, farthest, solid
from .source import SourceFace

LAYERED = (0.4, 2.0)  # pixels of motion between which person and background part
LEFT = (0.2, 0.6)  # of the background in a pixel: between none and all hidden
DRAWN_OUT = (3.0, 5.0)  # times its area, a triangle of skin
SPECK = 4e-4  # of the picture: smaller regions are none
SMALLEST_MOUTH = 1e-4  # likewise an open mouth
CLOSE = 7  # pixels: regions so close together are one
EDGE = 1.5  # pixels: how far round the outline of a region is drawn
MOST_REGIONS = 3  # the mouth, and of skin drawn out the largest


def hiding(
    face: SourceFace,
    motion: Array,
    raster: Raster,
    posed: Array,
    opening: Opening,
    share: float,
) -> Array:
    """h w in 0..1 over half the motion field, 1 = hidden. `share`: how much of the mouth's inside
    shows, where it opens so
    """
    import cv2

    found = np.zeros(face.person.shape, np.float32)
    if face.layers is not None:
        found = whole_regions(left_behind(face.person, halved(motion)))
    inside = mouth_inside(opening, share, face.person.shape)
    if raster.label.size:
        wide = drawn_out(raster, face.rest, posed)
        if wide is not None:
            over = np.zeros(face.size, np.float32)
            over[raster.box] = wide
            most = MOST_REGIONS - (inside is not None)
            found = cv2.max(found, whole_regions(over[::2, ::2], most))
    return found if inside is None else cv2.max(found, inside)


def halved(motion: Array) -> Array:
    """The motion of every other pixel, in pixels twice as large. h w 2"""
    pairs = np.ascontiguousarray(motion).view(np.complex64)[..., 0]  # x and y go together
    return np.ascontiguousarray(pairs[::2, ::2])[..., None].view(np.float32) * np.float32(0.5)


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
    return places_of((slice(height), slice(width)))


def places_in(box: tuple[slice, slice], height: int, width: int) -> Array:
    """Those of a box; of a large picture only they are made."""
    return places(height, width)[box] if height * width <= LARGE else places_of(box)


def places_of(box: tuple[slice, slice]) -> Array:
    y, x = np.mgrid[box].astype(np.float32)
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


def mouth_inside(opening: Opening, share: float, size: tuple[int, int]) -> Array | None:
    """As far as the inside of the mouth is painted, `share`, over half the motion field; None where
    it is shut. h w
    """
    import cv2

    if share <= 0:
        return None
    found = np.zeros(size, np.float32)
    ring = opening.outline() / 2
    if cv2.contourArea(ring.astype(np.float32)) < SMALLEST_MOUTH * found.size:
        return None
    cv2.fillPoly(found, [np.round(ring * 64).astype(np.int32)], share, cv2.LINE_AA, 6)
    return found


def whole_regions(found: Array, most: int | None = None) -> Array:
    """The same as regions with clean, round edges: what lies close together as one, no thin lines
    and small spots; the largest only, where `most` says how many.
    """
    import cv2

    if cv2.countNonZero(found) == 0:
        return found
    shape = (found > 0.5).astype(np.uint8)
    shape = cv2.morphologyEx(shape, cv2.MORPH_CLOSE, disc(CLOSE))
    shape = cv2.morphologyEx(shape, cv2.MORPH_OPEN, disc(3))
    soft = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), EDGE)
    soft = ramp(0.25, 0.75, soft).astype(np.float32)
    solid = (soft > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    size = stats[:, cv2.CC_STAT_AREA]
    size[0] = 0
    large = size >= max(4, SPECK * found.size)
    if most is not None and count - 1 > most:
        large &= size >= np.sort(size)[-most]
    kept = cv2.dilate(large[cast(Array, labels)].astype(np.float32), disc(3))
    return soft * kept


@lru_cache(maxsize=4)
def disc(size: int) -> Array:
    import cv2

    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
