"""Which triangle of the mesh each pixel of a frame shows, and where in the source it comes from.

One affine map a triangle; nearer triangles lie over farther ones, skin over what is between the
lips and lids. Pixels are counted from the centre of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .topology import TRIANGLES
from .transfer import skin

Array = NDArray[Any]
FLAT = 0.5  # pixels of height: flatter triangles move as their middle does
# of cv2.remap, where one map says x and y: its stub asks for another all the same
NO_MAP = cast(Any, None)
BITS = 6  # of a pixel's fraction, as OpenCV draws


def both(x: float, y: float) -> Any:
    """One number for each of two channels, as cv2 takes it: its stubs ask for pictures alone."""
    return x, y, 0, 0


@dataclass(frozen=True, eq=False)
class Raster:
    """A box of a frame."""

    left: int
    top: int
    label: Array  # h w: 0 nothing, else the triangle's number + 1
    motion: Array  # h w 2: where in the source a pixel comes from, less where it is; 0 outside

    @property
    def box(self) -> tuple[slice, slice]:
        height, width = self.label.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def round(self, points: Array) -> tuple[slice, slice]:
        """Of its rows and columns those that hold what is drawn between some points. N 2"""
        low = np.floor(points.min(0)).astype(int) - [self.left + 1, self.top + 1]
        high = np.ceil(points.max(0)).astype(int) - [self.left - 2, self.top - 2]
        x, y = np.maximum([low, high], 0).T.tolist()
        return slice(*y), slice(*x)


def farthest(motion: Array) -> Array:
    """How far each pixel moves along x or y, whichever is more. h w 2 -> h w"""
    import cv2

    height, width = motion.shape[:2]
    away = cv2.absdiff(motion.reshape(height, 2 * width), cast(Any, 0))  # a number will do
    return np.maximum(away[:, ::2], away[:, 1::2])


@lru_cache
def corners() -> Array:
    return np.array(TRIANGLES)


@lru_cache
def solid() -> Array:
    return skin().numpy()


def draw(rest: Array, posed: Array, height: int, width: int, margin: int = 3) -> Raster:
    """The mesh at rest (478 3) as the source shows it, posed (478 3) over a frame of that size."""
    points = posed[:468, :2]
    low = np.floor(points.min(0)).astype(int) - margin
    high = np.ceil(points.max(0)).astype(int) + margin + 1
    low, high = np.clip(low, 0, [width, height]), np.clip(high, 0, [width, height])
    box = np.zeros((max(high[1] - low[1], 0), max(high[0] - low[0], 0)), np.int32)
    if min(box.shape) < 2:
        return Raster(0, 0, np.zeros((0, 0), np.int32), np.zeros((0, 0, 2), np.float32))
    triangles = posed[corners()]  # T 3 3
    label = paint(box, triangles, low)
    maps = affine(triangles[..., :2] - low, rest[corners()][..., :2] - low)
    return Raster(int(low[0]), int(low[1]), label, read(maps, label))


def paint(box: Array, triangles: Array, low: Array) -> Array:
    """Triangle numbers + 1, far to near: first what is turned away, then what is between lips and
    lids, then skin.
    """
    import cv2

    depth = triangles[..., 2].mean(1)
    order = np.lexsort((-depth, (1 + solid()) * ~turned(triangles)))
    pixels = np.round((triangles[..., :2] - low) * (1 << BITS)).astype(np.int32)
    for number in order.tolist():
        cv2.fillConvexPoly(box, pixels[number], number + 1, cv2.LINE_8, BITS)
    return box


def turned(triangles: Array) -> Array:
    """Which triangles, T 3 2 or more, show their back: they lie the other way round than most."""
    a, b = (triangles[:, i, :2] - triangles[:, 0, :2] for i in (1, 2))
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return area * np.median(area) < 0


def affine(posed: Array, rest: Array) -> Array:
    """What carries each posed triangle to where it was, less identity. T 3 2 twice -> T+1 6"""
    a, b = posed[:, 1] - posed[:, 0], posed[:, 2] - posed[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    longest = np.sqrt(np.max([(e**2).sum(-1) for e in (a, b, b - a)], axis=0))
    flat = np.abs(area) < FLAT * longest
    scale = 1 / np.where(flat, 1, area)
    across, down = rest[:, 1] - rest[:, 0], rest[:, 2] - rest[:, 0]
    u = np.stack([b[:, 1], -b[:, 0]], -1) * scale[:, None]
    v = np.stack([-a[:, 1], a[:, 0]], -1) * scale[:, None]
    linear = across[:, :, None] * u[:, None] + down[:, :, None] * v[:, None]  # T 2 2
    linear -= np.eye(2)
    linear[flat] = 0  # moved as a whole
    origin = np.where(flat[:, None], posed.mean(1), posed[:, 0])
    target = np.where(flat[:, None], rest.mean(1), rest[:, 0])
    shift = target - origin - np.einsum("tij,tj->ti", linear, origin)
    maps = np.concatenate([linear.reshape(-1, 4), shift], axis=1)
    return np.concatenate([np.zeros((1, 6)), maps]).astype(np.float32)


def read(maps: Array, label: Array) -> Array:
    """The maps of the labels, at each pixel. h w 2"""
    height, width = label.shape
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    a, b, c, d, e, f = (np.take(column, label) for column in np.ascontiguousarray(maps.T))
    return np.stack([a * x + b * y + e, c * x + d * y + f], axis=-1)
