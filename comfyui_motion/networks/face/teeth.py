"""The teeth that a picture shows: they stay with the skull, and lips move over them.

What lies between the lips of a smile goes neither up with a lip nor apart with the corners. Where a
mouth opens further than the picture shows, its inside is painted, and they are left out of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...geometry.easing import ramp
from .mouth import GREY, Opening, Painted, Tones, read, redness
from .pose import Similarity
from .raster import NO_MAP, Array, Raster, corners
from .topology import LIPS

OPEN = 0.06  # of its width that a mouth is open at rest, or there is nothing to see in it
PALE = (0.95, 0.65)  # redness, of the lips': no tooth, a tooth
LIGHT = (0.2, 0.4)  # light, of the skin's: no tooth, a tooth
BRIGHT = 0.6  # of the skin's: some of the upper half is as light, or there are no upper teeth
LEAST = 0.12  # of an opening that is teeth, or they are none
BREADTH = 0.55  # of an opening's width, that teeth take up, or they are too few to open it on
BLUR = 1.2  # samples: over which teeth are told from what is not
GAP = 7  # samples: what is dark over no more lies between teeth of one jaw
GUMS = 0.5  # of the way from lip to lip: teeth that begin further down are of the lower jaw
EDGE = 0.12  # of the way from lip to lip: over which they end at the lower one
CORNER = 0.3  # of its width, from where on towards a corner its inside goes along with that
SIDES = 0.04  # of the picture's own: over which teeth end at a corner
WIDER = 0.03  # widths that a corner goes beyond the picture's own: all goes along with it
MIDDLE = np.linspace(0.3, 0.7, 9)  # along a mouth: where it is seen how far a lip bares teeth
LONGER = 0.25  # of how far a mouth is open: teeth look longer by no more, then they rise
NARROW = (0.65, 0.85)  # of its width in the picture: a mouth shows nothing of that, and all of it
BROADER = 1.3  # a mouth that is drawn wider draws its teeth wider by no more
LOWER = (0.005, 0.03)  # widths that a lower lip lies below the picture's: its inside shows there
BESIDES = (0.15, 0.8)  # pixels that lips move besides the head: teeth go with them, with the skull


def shown(picture: Array, points: Array, tones: Tones) -> Array | None:
    """Where a mouth at rest shows teeth, from lip to lip, in 0..1; None where it shows none.

    H W 3 in 0..1, 478 2 in its pixels -> ROWS COLUMNS
    """
    import cv2

    opening = Opening.of(points)
    if opening.gap < OPEN:
        return None
    seen = read(picture, opening.places().astype(np.float32))
    grey = np.array(GREY, np.float32)
    light = seen @ grey / max(float(tones.skin @ grey), 0.05)
    red = redness(seen) / max(float(redness(tones.lips)), 0.05)
    if float((ramp(*PALE, red) * (light > BRIGHT))[: len(light) // 2].mean()) < LEAST:
        return None
    tooth = (ramp(*PALE, red) * ramp(*LIGHT, light)).astype(np.float32)
    tooth = cv2.GaussianBlur(tooth, (0, 0), BLUR, borderType=cv2.BORDER_REPLICATE)
    upper = of_upper_jaw(tooth)
    if float(upper.mean()) < LEAST or float((upper.max(0) > 0.5).mean()) < BREADTH:
        return None
    down = ((np.arange(len(upper)) + 0.5) / len(upper))[:, None]
    return (upper * ramp(0, EDGE, 1 - down)).astype(np.float32)


def of_upper_jaw(tooth: Array) -> Array:
    """Those that reach down from the upper lip or its gums, with what is dark between them.

    rows columns
    """
    import cv2

    closed = cv2.morphologyEx(tooth, cv2.MORPH_CLOSE, np.ones((GAP, GAP)))
    first = (closed > 0.5).argmax(0)
    row = np.arange(len(tooth))[:, None]
    closed[(row < first) & (first < GUMS * len(tooth))] = 1
    reached = ramp(0.2, 0.45, np.minimum.accumulate(closed, axis=0))
    return cv2.GaussianBlur(reached, (0, 0), 0.7, borderType=cv2.BORDER_REPLICATE)


@lru_cache
def between_lips() -> Array:
    """Which labels of a raster lie there. T+1, bool"""
    return np.array([False, *(set(map(int, t)) <= set(LIPS.inner) for t in corners())])


def to_source(head: Similarity, i: int, depth: float) -> Array:
    """What carries a head's places in a frame, so deep, onto those in the source. 2 3, pixels"""
    turn = (head.scale[i] * head.rotation[i]).double().numpy()
    shift = turn[:2, 2] * depth + head.shift[i, :2].double().numpy()
    back = np.linalg.inv(turn[:2, :2])
    return np.c_[back, -back @ shift]


@dataclass(frozen=True, eq=False)
class Window:
    """A mouth in a frame, through which a picture's own teeth are seen."""

    now: Opening  # in the frame
    rest: Opening  # in the picture
    back: Array  # 2 3: from pixels of the one to those of the other, with the skull

    def carried(self, points: Array) -> Array:
        """With the skull. N 2 -> N 2"""
        return points @ self.back[:, :2].T + self.back[:, 2]

    def places(self, points: Array) -> tuple[Array, Array]:
        """Where in the picture's own opening the frame's places lie: along it, and down from lip to
        lip; teeth rise with a lip that bares more than the picture shows. ... 2 -> ... twice
        """
        along, down = self.rest.inside(self.carried(points))
        along = 0.5 + (along - 0.5) / min(1 + sum(self.wider()), BROADER)
        upper, lower = self.rest.edges(along)
        tall = np.maximum(lower - upper, 1e-6)
        bared = self.bared()
        longer = min(bared, LONGER * self.rest.gap)
        deep = upper + down * tall + bared - longer
        deep = lower - (lower - deep) * tall / (tall + longer)
        return along, (deep - upper) / tall

    def bared(self) -> float:
        """How far the upper lip lies above where it is in the picture, in widths of its mouth."""
        return max(0.0, -self.lip(0.0))

    def below(self) -> float:
        """How far the lower lip lies below where it is in the picture."""
        return max(0.0, self.lip(1.0) - float(self.tall(MIDDLE).mean()))

    def lip(self, down: float) -> float:
        """How far below the upper lip in the picture one of the frame's lies, by its middle."""
        lip = self.carried(self.now.each(MIDDLE, np.full_like(MIDDLE, down)))
        along, deep = self.rest.inside(lip)
        return float((deep * self.tall(along)).mean())

    def tall(self, along: Array) -> Array:
        """How far the picture's lips are apart."""
        upper, lower = self.rest.edges(along)
        return np.maximum(lower - upper, 1e-6)

    def shows(self) -> float:
        """How much of the picture's own inside is to be seen: a mouth much narrower, as in an O, is
        another than the picture's.
        """
        first, last = self.corners()
        wide = np.hypot(*(last - first)) / max(self.rest.width, 1e-6)
        return float(ramp(*NARROW, np.array(wide)))

    def corners(self) -> Array:
        """Where the frame's lie in the picture, with the skull. 2 2"""
        return self.carried(np.stack([self.now.start, self.now.start + self.now.across]))

    def wider(self) -> tuple[float, float]:
        """How far each corner lies beyond the picture's own, in widths of its mouth."""
        first, last = self.rest.inside(self.corners())[0].tolist()
        return max(-first, 0.0), max(last - 1, 0.0)


def hold(raster: Raster, window: Window, besides: float) -> None:
    """Teeth with the skull in a raster, from within the source's own opening; towards corners that
    are drawn wider with these. `besides`: how far lips move besides the head, in pixels
    """
    rows, columns = np.nonzero(between_lips()[raster.label])
    share = float(ramp(*BESIDES, np.array(besides)))
    if not share or not len(rows):
        return
    here = np.stack([columns + raster.left, rows + raster.top], -1).astype(np.float64)
    along, down = window.places(here)
    there = window.rest.each(along.clip(0, 1), down.clip(0, 1))
    across = window.now.inside(here)[0]
    with_corner = np.zeros_like(across)
    for out, wider in zip((across, 1 - across), window.wider(), strict=True):
        with_corner += ramp(0, WIDER, np.array(wider)) * ramp(CORNER, 0, out)
    share = share * window.shows() * (1 - with_corner.clip(0, 1))[:, None]
    motion = raster.motion[rows, columns]
    raster.motion[rows, columns] = motion + share * (there - here - motion)


def spared(painted: Painted, told: float, teeth: Array, window: Window) -> Painted:
    """A painted mouth, as far as it is to show, without what the picture's own teeth show; and all
    of it below what the picture shows.
    """
    import cv2

    rows, columns = painted.box
    y, x = np.mgrid[rows, columns].astype(np.float64)
    along, down = window.places(np.stack([x, y], -1))
    at = np.stack([along * teeth.shape[1] - 0.5, down * teeth.shape[0] - 0.5], -1)
    own = cv2.remap(
        teeth, at.astype(np.float32), NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    own = own * ramp(0, SIDES, np.minimum(along, 1 - along))
    below = ramp(*LOWER, np.array(window.below())) * ramp(0.9, 1.05, down)
    shows = window.shows()
    share = np.maximum(max(told, 1 - shows), below) * (1 - shows * own)
    share = share.astype(np.float32)
    return replace(painted, share=painted.share * torch.from_numpy(share)[..., None])


def in_units(back: Array, size: tuple[int, int]) -> Tensor:
    """The same between places in -1..1 of a picture of that size. 2 3"""
    half = (np.array(size[::-1]) - 1) / 2
    linear = back[:, :2] * half / half[:, None]
    shift = (back[:, :2] @ half + back[:, 2]) / half - 1
    return torch.from_numpy(np.c_[linear, shift]).float()


def in_pixels(back: Tensor, frame: tuple[int, int], size: tuple[int, int]) -> Array:
    """The same from pixels of a frame to those of a picture of that size. 2 3"""
    ours, theirs = ((np.array(s[::-1]) - 1) / 2 for s in (frame, size))
    told = back.double().numpy()
    linear = told[:, :2] / ours * theirs[:, None]
    shift = (told[:, 2] + 1 - told[:, :2].sum(1)) * theirs
    return np.c_[linear, shift]
