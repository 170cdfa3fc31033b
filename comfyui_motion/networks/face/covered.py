"""Whether something is held before a mouth: a hand, a cup, a microphone, a mask, a scarf.

The mesh places lips on whatever is there. But lips differ from the skin above and below them all
along the mouth, and their colour is near the skin's. A cup shows a colour that no face has; a
finger nothing in the middle; a palm nothing at all, and there the mesh's lips wander when it looks
from elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .find import look
from .mouth import patch, read
from .networks import SeesFaces
from .pose import fit_head
from .raster import Array
from .region import Region, cut_out
from .topology import EYES, LIPS, Eye

SHOWN = (50, 280, 101, 330, 118, 347, 151, 9, 6, 197)  # skin that is seen above whatever it is
COLUMNS = 64  # of the picture of a mouth that is looked at
SKIN, LIP, INSIDE = 12, 8, 4  # its rows: skin above and below, each lip, what is between them
ABOVE, BELOW = 0.28, 0.34  # mouth widths of skin that are looked at
NEAR = 5  # rows of skin next to the lips
MIDDLE = slice(10, 54)  # columns: towards the corners lips are thin
CENTRE = slice(20, 44)  # columns in which a finger is looked for
FINGER = 9  # columns that it covers at least
FLOOR = 0.04  # of a channel: below, colours mean little
STRANGE = 0.25  # logarithms of channels' ratios from the skin's: no face has lips so far off
EDGES = (  # of the lips, from one corner to the other
    (*LIPS.outer[:1], *LIPS.outer[:9:-1]),
    LIPS.inner[:11],
    (*LIPS.inner[:1], *LIPS.inner[:9:-1]),
    LIPS.outer[:11],
)
OF_EYES, OF_SKIN = 0.3, 0.1  # of the eyes' contrast, of the skin's lightness: what lips have
ELSEWHERE = (  # from where the mesh looks: see `Region.moved`
    *((0.0, 0.0, 1.0, 0.0), (0.04, 0.02, 1.0, 0.05), (-0.04, 0.03, 1.05, -0.05)),
    *((0.02, -0.04, 0.95, 0.08), (-0.03, -0.03, 1.1, -0.1), (0.05, -0.02, 0.9, 0.0)),
    *((0.0, 0.05, 1.0, 0.12), (-0.05, 0.0, 1.05, -0.12)),
)
STRAY = 0.02  # eye distances: how far lips wander that are not there
NONE = 0.75  # what wandering lips and faint ones, as logarithms, come to where there are none
GAP = 0.13  # of the contrast on either side, that a finger leaves


def covered(networks: SeesFaces, picture: Tensor, points: Tensor) -> bool:
    """Whether something is held before a mouth.

    1 3 H W in 0..1, 478 3 in pixels, 0 the first one's centre
    """
    signs = Signs.of(*cut_out(picture[0], points[:, :2]))
    if signs.strange > STRANGE or signs.parted < GAP:
        return True
    if signs.faint >= 1:
        return False
    return math.log(stray(networks, picture, points) / STRAY) - math.log(signs.faint) / 2 > NONE


@dataclass(frozen=True, eq=False)
class Signs:
    """What a picture shows where the mesh has placed lips."""

    contrast: Array  # COLUMNS: how far lips and the line between them are from the skin around
    eyes: float  # likewise of the eyes
    skin: float  # its lightness, 0..100
    lips: Array  # 2: their colour, less the skin's
    below: Array  # 2: likewise what is under them
    spread: float  # how far the skin's own colours lie apart

    @staticmethod
    def of(picture: Array, points: Array) -> Signs:
        """H W 3 in 0..1, 478 2 in its pixels"""
        import cv2

        seen = cv2.GaussianBlur(mouth_of(picture, points), (0, 0), 0.6)
        radius = max(1, round(0.05 * float(np.hypot(*(points[33] - points[263])))))
        face = np.concatenate([patch(picture, points[i], radius) for i in SHOWN])
        tone, tones = np.median(perceived(face[None])[0], axis=0), hue(face)
        usual = np.median(tones, axis=0)
        lips = np.delete(seen[SKIN:-SKIN], range(LIP, LIP + INSIDE), axis=0)
        lips, below = (
            np.median(hue(part[:, MIDDLE].reshape(-1, 3)), axis=0) - usual
            for part in (lips, seen[-SKIN:])
        )
        return Signs(
            contrast(perceived(seen)),
            max(eye_contrast(picture, points, eye, tone) for eye in EYES.values()),
            float(tone[0]),
            lips,
            below,
            float(np.median(np.linalg.norm(tones - usual, axis=-1))),
        )

    @property
    def faint(self) -> float:
        """How little there is of lips, in 0..1: 1 is enough."""
        usual = float(np.median(self.contrast[MIDDLE]))
        by_eyes = usual / (OF_EYES * max(self.eyes, 1e-3))
        by_skin = usual / (OF_SKIN * max(self.skin, 1e-3))
        return max(by_eyes * by_skin, 1e-6) if max(by_eyes, by_skin) < 1 else 1.0

    @property
    def strange(self) -> float:
        """How far from any skin lips and what is under them are, where both are of one colour."""
        far = min(float(np.linalg.norm(part)) for part in (self.lips, self.below))
        alike = np.linalg.norm(self.lips - self.below) < 0.5 * far
        return far - self.spread if alike else 0.0

    @property
    def parted(self) -> float:
        """How much there is of lips in the middle, against either side."""
        least, beside = middle_of(self.contrast)
        return least / beside if beside > OF_SKIN * self.skin else 1.0


def stray(networks: SeesFaces, picture: Tensor, points: Tensor) -> float:
    """How far the mesh's lips wander over a face when it looks from elsewhere, in eye distances."""
    at = Region.of_points(points)
    seen = torch.cat([look(networks, picture, at.moved(*place))[0] for place in ELSEWHERE])
    seen = fit_head(seen, seen[:1]).apply(seen)[:, [*LIPS.inner, *LIPS.outer], :2]
    apart = float((points[33] - points[263]).norm())
    far = float((seen - seen.mean(0)).square().sum(-1).mean().sqrt())
    return max(far / max(apart, 1e-6), 1e-6)


def mouth_of(picture: Array, points: Array) -> Array:
    """A mouth with its lips spread out: skin, lip, what is between them, lip, skin.

    H W 3, 478 2 -> rows COLUMNS 3
    """
    import cv2

    across = points[291] - points[61]
    width = max(float(np.hypot(*across)), 1e-6)
    down = np.array([-across[1], across[0]]) / width
    top, upper, lower, bottom = (spread(points[list(row)]) for row in EDGES)
    edges = [top - ABOVE * width * down, top, upper, lower, bottom, bottom + BELOW * width * down]
    counts = (SKIN, LIP, INSIDE, LIP, SKIN)
    parts = [
        first + np.linspace(0, 1, count)[:, None, None] * (second - first)
        for first, second, count in zip(edges, edges[1:], counts, strict=False)
    ]
    at = np.concatenate(parts).astype(np.float32)
    sigma = 0.4 * width / COLUMNS if width > 1.5 * COLUMNS else 0.0
    near, corner = around(picture, at, round(4 * sigma) + 2)
    if sigma:
        near = cv2.GaussianBlur(near, (0, 0), sigma)
    return read(near, at - corner)


def around(picture: Array, at: Array, room: int) -> tuple[Array, Array]:
    """The part of a picture round some places, and its corner. H W 3, ... 2 -> h w 3, 2"""
    last = np.array(picture.shape[1::-1]) - 1
    low, high = at.reshape(-1, 2).min(0), at.reshape(-1, 2).max(0)
    first = np.clip(np.floor(low) - room, 0, last).astype(int)
    end = np.clip(np.ceil(high) + room, first, last).astype(int) + 1
    part = picture[first[1] : end[1], first[0] : end[0]]
    return np.ascontiguousarray(part), first.astype(np.float32)


def spread(curve: Array) -> Array:
    """Points along it, one for each column. N 2 -> COLUMNS 2"""
    at, known = np.linspace(0, len(curve) - 1, COLUMNS), np.arange(len(curve))
    return np.stack([np.interp(at, known, curve[:, axis]) for axis in (0, 1)], axis=-1)


def contrast(seen: Array, line: bool = True) -> Array:
    """How far each column's lips are from the skin above and below; with `line`, how dark the line
    between them is, too. rows COLUMNS 3 -> COLUMNS
    """
    above, below = seen[SKIN - NEAR : SKIN - 1].mean(0), seen[1 - SKIN : NEAR - SKIN].mean(0)
    lips = seen[SKIN:-SKIN]
    down = ((np.arange(len(lips)) + 0.5) / len(lips))[:, None, None]
    unlike = np.linalg.norm(lips - (above * (1 - down) + below * down), axis=-1)
    light, after = lips[..., 0], LIP + INSIDE
    if not line:
        return np.concatenate([unlike[:LIP], unlike[after:]]).mean(0)
    either = np.minimum(light[LIP - 4 : LIP - 1].mean(0), light[after + 1 : after + 4].mean(0))
    return unlike.mean(0) + np.maximum(either - light[LIP - 2 : after + 2].min(0), 0)


def middle_of(contrast: Array) -> tuple[float, float]:
    """The least contrast in the middle of a mouth, and the lesser of both sides' greatest."""
    import cv2

    smooth = cv2.blur(contrast[None].astype(np.float32), (FINGER, 1))[0]
    at = CENTRE.start + int(smooth[CENTRE].argmin())
    beside = min(smooth[MIDDLE.start : at].max(), smooth[at : MIDDLE.stop].max())
    return float(smooth[at]), float(beside)


def eye_contrast(picture: Array, points: Array, eye: Eye, skin: Array) -> float:
    """How far what is between an eye's lids is from the skin."""
    upper, lower = points[list(eye.upper)], points[list(eye.lower)]
    places = np.concatenate([upper, lower, points[list(eye.iris[:1])], (upper + lower) / 2])
    radius = round(0.012 * float(np.hypot(*(points[33] - points[263]))))
    seen = np.stack([patch(picture, at, radius).mean(0) for at in places])
    return float(np.median(np.linalg.norm(perceived(seen[None])[0] - skin, axis=-1)))


def perceived(colours: Array) -> Array:
    """CIE L*a*b*. H W 3 in 0..1"""
    import cv2

    return cv2.cvtColor(np.ascontiguousarray(colours, dtype=np.float32), cv2.COLOR_RGB2LAB)


def hue(colours: Array) -> Array:
    """Red and blue against green, as logarithms: what no shadow changes. N 3 -> N 2"""
    red, green, blue = np.log(colours + FLOOR).T
    return np.stack([red - green, blue - green], axis=-1)
