"""How the 478 points of a face mesh hang together.

Sides are the subject's own: `right` is on the left of a picture of somebody who faces it. Points
0 to 467 are the surface of MediaPipe's canonical face, 468 to 472 the right iris, 473 to 477 the
left one, each its middle and four points of its rim. The canonical face looks along +z, y upwards,
in centimetres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

_DATA = json.loads(Path(__file__).with_name("topology.json").read_text(encoding="utf-8"))

POINTS = 478
SURFACE = 468


@dataclass(frozen=True)
class Eye:
    """An eye's points, each row from the end towards the ear to the one towards the nose in the
    order of the others.
    """

    corners: tuple[int, int]  # outer, inner
    upper: tuple[int, ...]  # the lid's edge, without corners
    lower: tuple[int, ...]
    above: tuple[int, ...]  # the next row up, on the lid
    crease: tuple[int, ...]  # and the one after
    below: tuple[int, ...]  # the next row down
    iris: tuple[int, ...]  # middle, then rim

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Upper and lower points that meet when the eye shuts."""
        return tuple(zip(self.upper, self.lower, strict=True))

    @property
    def outline(self) -> tuple[int, ...]:
        """Round the opening."""
        return (self.corners[0], *self.upper, self.corners[1], *reversed(self.lower))

    @property
    def ends(self) -> tuple[int, int]:
        """The corners, from left to right in a picture of somebody who faces it."""
        first, second = self.corners
        return (first, second) if first == 33 else (second, first)


@dataclass(frozen=True)
class Lips:
    """The mouth's outlines, and pairs of inner points that meet when it shuts."""

    inner: tuple[int, ...]  # closed, from the right corner along the upper lip
    outer: tuple[int, ...]  # closed, from the right corner along the lower lip
    pairs: tuple[tuple[int, int], ...]  # upper, lower; from right to left

    @property
    def ends(self) -> tuple[int, int]:
        """The corners, from left to right in a picture of somebody who faces it."""
        return 61, 291


def _tuples(rows: list) -> tuple:
    return tuple(_tuples(row) if isinstance(row, list) else row for row in rows)


TRIANGLES: tuple[tuple[int, int, int], ...] = _tuples(_DATA["triangles"])  # 898 of the surface
# closed outlines: face
CONTOURS: dict[str, tuple[int, ...]] = {
    name: _tuples(points) for name, points in _DATA["contours"].items()
}
# "right_eye", "left_eye"
EYES = {
    side: Eye(**{name: _tuples(points) for name, points in eye.items()})
    for side, eye in _DATA["eyes"].items()
}
LIPS = Lips(**{name: _tuples(points) for name, points in _DATA["lips"].items()})
# the rows of points between the inner lips and the outer ones, each in the order of `LIPS.inner`:
# from the right corner along the upper lip, back along the lower one
LIP_ROWS: tuple[tuple[int, ...], ...] = (
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96),
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77),
)
LIP_POINTS = frozenset({*LIPS.inner, *LIPS.outer, *LIP_ROWS[0], *LIP_ROWS[1]})
# "right_brow", "left_brow"
BROWS: dict[str, tuple[int, ...]] = {
    side: _tuples(points) for side, points in _DATA["brows"].items()
}
NOSE: tuple[int, ...] = _tuples(_DATA["nose"])
RIGID: tuple[int, ...] = _tuples(_DATA["rigid"])  # points that expressions hardly move
# what the networks for lips and eyes place anew, in their order
REFINED: dict[str, tuple[int, ...]] = {
    name: _tuples(points) for name, points in _DATA["refined"].items()
}
IRISES = {side: eye.iris for side, eye in EYES.items()}


@lru_cache
def canonical() -> Tensor:
    """The canonical face's surface. 468 3, centimetres"""
    return torch.tensor(_DATA["vertices"])


@lru_cache
def triangles() -> Tensor:
    """898 3"""
    return torch.tensor(TRIANGLES)


@lru_cache
def mirror() -> Tensor:
    """Which point each becomes in a mirror. 478"""
    face = canonical()
    flipped = face * face.new_tensor([-1.0, 1.0, 1.0])
    surface = torch.cdist(flipped, face).argmin(1)
    right, left = (torch.tensor(eye.iris) for eye in (EYES["right_eye"], EYES["left_eye"]))
    crossed = [0, 3, 2, 1, 4]  # middle, ear or nose side, top, the other side, bottom
    return torch.cat([surface, left[crossed], right[crossed]])
