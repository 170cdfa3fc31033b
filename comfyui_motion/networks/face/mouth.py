"""The inside of a mouth: taken from the driver as light and redness, painted in the picture's own
colours; or made up, where there is no driver.

A mouth's opening is spanned by two numbers: along its width, and down from lip to lip. So teeth lie
between the other mouth's lips as they lay between the driver's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry.easing import ramp, smoothstep
from .hole import Hole
from .raster import NO_MAP, Array
from .topology import LIPS

ROWS, COLUMNS = 32, 64  # of what is kept of a mouth
STEPS = 96  # along a mouth, of its lips' curves
CHEEKS = (50, 280, 205, 425, 101, 330, 118, 347, 151, 9)
GREY = (0.299, 0.587, 0.114)
FINENESS = 127  # steps of light and redness that are kept
SHOWN = (0.02, 0.06)  # mouth widths opened beyond the source's own: nothing shows, all shows
SOFT = 0.012  # mouth widths: of the painted edge
DEEP = 0.12  # of a driver's dark mouth that is left in pictures, whose light is seldom a camera's
LIT = (0.15, 0.85)  # light of what is deep in a mouth, and of what is shown as it is
BARED, TEETH = (0.6, 0.75), 0.5  # a mouth's mean light: no teeth, all teeth; so much less dark then
FLOOR = 0.04  # light against skin: no mouth is darker, in the hue of flesh, a tongue's side lighter
FLESH = (1.9, 0.65, 0.6)  # light of a mouth's depth by channel, where lips are not grey
GREYISH = (0.05, 0.15)  # how far a lip's channels lie apart: grey, of a colour
DARK = (0.45, 0.15)  # light: what is lighter in a mouth is as red as seen, what is darker as lips
RIM = (0.08, 0.3)  # of its width, of its gap: so deep in a mouth its lips' inside shows at most
SHADED = 0.45  # of the picture's lips' colour, where that begins
TOOTH = 0.33  # radians of their arch, that a made-up tooth is wide
SHADOW = 0.55  # of that, where a lip hangs over teeth
BLOOD = (1.1, 0.976, 0.904)  # of the hue of any skin that teeth do not have
TINTED = 0.55  # of what is left of it they have
THIN, AGAPE = (0.1, 0.35), (0.3, 0.5)  # of the gap: where an open mouth ends; of its width: is open
LIP_LIGHT = 0.7  # of lips and tongue against skin


@dataclass(frozen=True, eq=False)
class Opening:
    """Where one mouth opens, in pixels: corners and curves."""

    start: Array  # 2
    across: Array  # 2: to the other corner
    upper: Array  # STEPS: how far down, in widths
    lower: Array

    @staticmethod
    def of(points: Array) -> Opening:
        """478 2, or the 20 points of the inner lips."""
        inner = points if len(points) == len(LIPS.inner) else points[list(LIPS.inner)]
        upper, lower = inner[:11], np.concatenate([inner[:1], inner[:9:-1]])
        across = inner[10] - inner[0]
        square = max(float(across @ across), 1e-6)
        down = np.array([-across[1], across[0]])
        rows = [smooth(curve) - inner[0] for curve in (upper, lower)]
        rows = [np.stack([row @ across, row @ down], -1) / square for row in rows]
        ring = np.concatenate([rows[0], rows[1][::-1]])
        low, high = ring[:, 0].min(), ring[:, 0].max()
        at = np.linspace(low, high, STEPS)
        top, bottom = spans(ring, at)
        wide = high - low
        return Opening(inner[0] + low * across, wide * across, top / wide, bottom / wide)

    @property
    def width(self) -> float:
        return float(np.hypot(*self.across))

    @property
    def gap(self) -> float:
        """The greatest, in widths."""
        return float((self.lower - self.upper).max())

    def places(self, rows: int = ROWS, columns: int = COLUMNS) -> Array:
        """Where the samples of a mouth lie. rows columns 2"""
        return self.at((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)

    def outline(self, columns: int = 40) -> Array:
        """Along the upper lip and back along the lower one. N 2"""
        upper, lower = self.at(np.linspace(0, 1, columns), np.array([0.0, 1.0]))
        return np.concatenate([upper, lower[::-1]])

    def inside(self, points: Array) -> tuple[Array, Array]:
        """Where points lie in it: along its width, and down from lip to lip; 0..1 is inside it.

        ... 2 -> ... twice
        """
        square = max(float(self.across @ self.across), 1e-6)
        away = points - self.start
        along = away @ self.across / square
        deep = away @ np.array([-self.across[1], self.across[0]]) / square
        upper, lower = self.edges(along)
        return along, (deep - upper) / np.maximum(lower - upper, 1e-6)

    def edges(self, along: Array) -> tuple[Array, Array]:
        """How far down the upper lip lies there, and the lower one, in widths. ... -> ... twice"""
        at = np.linspace(0, 1, STEPS)
        return np.interp(along, at, self.upper), np.interp(along, at, self.lower)

    def to_hole(self, inner: Array, hole: Hole | None) -> Array:
        """How far the mesh's inner lips (20 2) go towards where lips end. 20 2"""
        if hole is None:
            return np.zeros_like(inner)
        along, _ = self.inside(inner)
        was = np.repeat([0.0, 1.0], [len(inner) // 2 + 1, len(inner) // 2 - 1])
        return self.each(*hole.lips(along)) - self.each(along, was)

    def at(self, along: Array, down: Array) -> Array:
        """Places in shares of the width, and of the way from lip to lip. C, R -> R C 2"""
        return self.each(along[None], down[:, None])

    def each(self, along: Array, down: Array) -> Array:
        """The same of as many of both, or shapes that go together. ... -> ... 2"""
        upper, lower = self.edges(along)
        deep = upper + (lower - upper) * down
        normal = np.array([-self.across[1], self.across[0]])
        return self.start + along[..., None] * self.across + deep[..., None] * normal


def spans(ring: Array, at: Array) -> tuple[Array, Array]:
    """The least and greatest height of a closed line at places along it. N 2, M -> M twice"""
    start, end = ring, np.roll(ring, -1, axis=0)
    run = end[:, 0] - start[:, 0]
    share = (at[:, None] - start[:, 0]) / np.where(np.abs(run) < 1e-9, 1e-9, run)  # M N
    height = start[:, 1] + share * (end[:, 1] - start[:, 1])
    crossed = (share >= -1e-6) & (share <= 1 + 1e-6)
    low = np.where(crossed, height, np.inf).min(1)
    high = np.where(crossed, height, -np.inf).max(1)
    none = ~crossed.any(1)
    low[none] = high[none] = 0
    return low, high


def smooth(curve: Array, steps: int = 4) -> Array:
    """Catmull-Rom through points, the ends doubled. N 2 -> M 2"""
    padded = np.concatenate([curve[:1], curve, curve[-1:]])
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = (np.arange(steps) / steps)[None, :, None]
    made = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return np.concatenate([made.reshape(-1, 2), curve[-1:]])


@dataclass(frozen=True, eq=False)
class Tones:
    """The colours a mouth is painted in."""

    skin: Array  # 3
    lips: Array  # 3

    @staticmethod
    def of(picture: Array, points: Array) -> Tones:
        """Of a face. H W 3 in 0..1, 478 2 in pixels"""
        return Tones(skin_tone(picture, points), lip_tone(picture, points))


def skin_tone(picture: Array, points: Array) -> Array:
    """The median of the cheeks and the forehead. 3"""
    radius = max(1, round(0.05 * float(np.hypot(*(points[33] - points[263])))))
    spots = [patch(picture, points[i], radius) for i in CHEEKS]
    return np.median(np.concatenate(spots), axis=0) if spots else np.full(3, 0.5)


def lip_tone(picture: Array, points: Array) -> Array:
    """The median of spots between the lips' outlines. 3"""
    pairs = ((0, 13), (37, 82), (267, 312), (17, 14), (84, 87), (314, 317), (91, 178), (321, 402))
    middles = [(points[a] + points[b]) / 2 for a, b in pairs]
    radius = max(0, round(0.015 * float(np.hypot(*(points[33] - points[263])))))
    return np.median(np.concatenate([patch(picture, p, radius) for p in middles]), axis=0)


def patch(picture: Array, middle: Array, radius: int) -> Array:
    """Pixels round a point, held within the picture. N 3"""
    height, width = picture.shape[:2]
    x = min(max(round(float(middle[0])), 0), width - 1)
    y = min(max(round(float(middle[1])), 0), height - 1)
    rows = slice(max(0, y - radius), y + radius + 1)
    columns = slice(max(0, x - radius), x + radius + 1)
    return picture[rows, columns].reshape(-1, picture.shape[2])


def read(picture: Array, at: Array) -> Array:
    """A picture at some places, h w 2, bilinearly; one whose channels lie apart, each by itself.

    H W 3 -> h w 3
    """
    import cv2

    kind, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    if picture.strides[-1] == picture.itemsize:
        return cv2.remap(picture, at, NO_MAP, kind, borderMode=border)
    planes = np.moveaxis(picture, -1, 0)
    return cv2.merge([cv2.remap(one, at, NO_MAP, kind, borderMode=border) for one in planes])


def inside(picture: Array, points: Array) -> tuple[Array, Array]:
    """What a driver's frame shows between the lips: light in halves of the skin's, redness; and how
    far its inner lips go towards where lips end.

    H W 3 in 0..1, 478 2 -> 2 ROWS COLUMNS in 0..1, 20 2
    """
    opening = Opening.of(points)
    seen = read(picture, opening.places().astype(np.float32))
    grey = np.array(GREY, np.float32)
    skin, lips = skin_tone(picture, points), lip_tone(picture, points)
    light = seen @ grey / max(float(skin @ grey), 0.05)
    red = ramp(0.03, max(0.08, 0.8 * float(redness(lips))), redness(seen)) * ramp(
        0.08, 0.25, seen @ grey
    )
    seen = np.stack([np.clip(light / 2, 0, 1), red]).astype(np.float32)
    tone = float(lips @ grey) / max(float(skin @ grey), 0.05) / 2
    hole = Hole.of(seen, tone, opening.gap)
    shown = seen if hole is None else hole.read(seen)
    shown = np.round(np.clip(shown, 0, 1) * FINENESS) / FINENESS
    return shown.astype(np.float32), opening.to_hole(points[list(LIPS.inner)], hole)


def redness(colour: Array) -> Array:
    return (colour[..., 0] - colour[..., 1]) / (colour[..., 0] + colour[..., 1] + 0.04)


def made_up(opening: float, with_teeth: bool = True) -> Tensor:
    """The inside of a mouth nobody drove: dark, a row of upper teeth, a tongue. 2 rows columns

    `opening` is its greatest gap in its widths: teeth stay as high as they are.
    """
    rows, columns = 3 * ROWS, 3 * COLUMNS
    across = 2 * (np.arange(columns) + 0.5) / columns - 1
    bulge = np.sqrt(np.clip(1 - across**2, 0.05, 1))
    whole = opening * bulge  # how far lips are apart
    down = ((np.arange(rows) + 0.5) / rows)[:, None] * whole  # in widths, from the upper one
    left = whole - down
    tongue = ramp(0, 0.16, 0.55 * opening * bulge**2 - left) * ramp(0.12, 0.3, np.array(opening))
    back = 0.24 + 0.1 * ramp(0.0, 0.3, down)
    light = back + tongue * (0.34 + 0.22 * ramp(0.25, 0.0, left) - back)
    red = np.ones_like(light)
    if with_teeth:
        tooth, share = teeth(across, down)
        light, red = light + share * (tooth - light), red - share
    return torch.from_numpy(np.stack([light / 2, red]).astype(np.float32))


def teeth(across: Array, down: Array) -> tuple[Array, Array]:
    """A row of upper teeth, round an arch: their light, and where they are.

    across  places from corner to corner, -1..1: columns
    down    widths from the upper lip: rows columns -> rows columns twice
    """
    angle = np.arcsin(across * 0.97)
    tooth = (angle / TOOTH) % 1 * 2 - 1  # from one side of each to the other
    front = np.cos(angle)
    height = 0.145 * np.sqrt(front) - 0.012 * tooth**4 - 0.006 * (np.abs(angle) // TOOTH % 2)
    share = ramp(0, 0.018, height - down) * ramp(0.15, 0.4, front)
    light = (0.35 + 0.65 * ramp(0.1, 0.85, front)) * (1 - 0.16 * tooth**6)
    under_lip = 0.72 + 0.28 * ramp(0, 0.06, down)
    edge = 1 - 0.1 * ramp(0.04, 0.0, height - down)
    return 1.12 * light * under_lip * edge, share


def coloured(mouth: Tensor, tones: Tones, near: Tensor) -> Tensor:
    """The inside of a mouth in a picture's own colours. 2 h w, and how near the lips, h w in 0..1
    -> h w 3
    """
    grey = np.array(GREY)
    skin, lips = (np.maximum(tone, 0.01) for tone in (tones.skin, tones.lips))
    light = mouth[0] * 2
    red = torch.maximum(mouth[1], ramp(*DARK, light))[..., None]
    deep = DEEP + (1 - DEEP) * TEETH * float(ramp(*BARED, light.mean()))
    light = light * (deep + (1 - deep) * ramp(*LIT, light))
    bright = 1.0 / max(float(skin @ grey), 0.2)
    light = torch.where(light > 1, 1 + (light - 1) * min(1.0, 0.6 * (bright - 0.6)), light)
    dark = light / LIP_LIGHT
    dark = dark + (SHADED - dark) * near
    red = red + SHADOW * near[..., None] * (1 - red)
    white, lips = (torch.from_numpy(tone).to(mouth) for tone in (teeth_tone(skin), lips))
    teeth, tongue = light[..., None] * white, dark[..., None] * lips
    made = teeth + red * (tongue - teeth)
    floor = torch.from_numpy(depths(len(made), tones)).to(made)
    return torch.maximum(made, floor[:, None]).clamp(0, 1)


def teeth_tone(skin: Array) -> Array:
    """What is as light as skin and no skin, in a picture's light and paint: a part of the skin's
    hue, less blood. 3 -> 3
    """
    light = float(skin @ np.array(GREY))
    hue = skin / light
    blood = np.clip((hue[0] - hue[2]) / (BLOOD[0] - BLOOD[2]), 0, 1) * (np.array(BLOOD) - 1)
    tint = 1 + TINTED * (hue / (1 + blood) - 1)
    return light * tint / float(tint @ np.array(GREY))


def depths(rows: int, tones: Tones) -> Array:
    """The darkest that a mouth is, from the upper lip to the lower one. rows -> rows 3"""
    grey = np.array(GREY)
    lips, skin = np.maximum(tones.lips, 0.01), max(float(tones.skin @ grey), 0.05)
    own = (lips / (lips @ grey)) ** 2
    warm = float(ramp(*GREYISH, np.array(np.ptp(lips) / lips.max())))
    hue = own + warm * (np.maximum(own, FLESH) - own)
    light = FLOOR * skin * (1 + 0.6 * np.linspace(-1, 1, rows))
    return light[:, None] * (hue / (hue @ grey))


@dataclass(frozen=True, eq=False)
class Painted:
    """A mouth's inside over a box of a frame."""

    box: tuple[slice, slice]
    colour: Tensor  # h w 3
    share: Tensor  # h w 1: how much of it shows


def paint(
    opening: Opening, mouth: Tensor, shown: float, tones: Tones, height: int, width: int
) -> Painted | None:
    """Over a frame of that size; None where nothing of it shows."""
    if shown <= 0:
        return None
    edge = max(0.6, SOFT * opening.width)
    outline = opening.outline()
    low = np.clip(np.floor(outline.min(0) - 3 * edge - 1).astype(int), 0, [width, height])
    high = np.clip(np.ceil(outline.max(0) + 3 * edge + 2).astype(int), 0, [width, height])
    if (high - low).min() < 1:
        return None
    box = slice(low[1], high[1]), slice(low[0], high[0])
    along, down, depth = spanned(opening, low, high, mouth.device)
    grid = torch.stack([along * 2 - 1, down * 2 - 1], dim=-1)[None]
    seen = F.grid_sample(
        mouth[None].float(), grid, "bicubic", padding_mode="border", align_corners=False
    )[0].clamp(0, 1)
    share = smooth_edge(depth * opening.width + edge, edge) * shown * whole(opening, along)
    near = (1 - depth / max(min(RIM[0], RIM[1] * opening.gap), 1e-6)).clamp(0, 1).square()
    return Painted(box, coloured(seen, tones, near), share[..., None])


def whole(opening: Opening, along: Tensor) -> Tensor:
    """Where an opening is a hole, not the thin end of one, where lips still lie on one another, by
    how far along it is. h w in 0..1
    """
    gaps = ramp(*THIN, (opening.lower - opening.upper) / max(opening.gap, 1e-6))
    agape = float(ramp(*AGAPE, np.array(opening.gap)))
    at = (along * (STEPS - 1)).round().long()
    return torch.from_numpy(1 - agape * (1 - gaps)).to(along)[at]


def spanned(
    opening: Opening, low: Array, high: Array, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """For each pixel of a box: how far along the mouth and down from lip to lip, in 0..1, and how
    deep inside it lies, in widths. h w
    """
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    along, down = opening.inside(np.stack([x, y], -1))
    upper, lower = opening.edges(along)
    ends = np.minimum(along, 1 - along)
    inside = np.minimum(np.minimum(down, 1 - down) * np.maximum(lower - upper, 1e-6), ends)
    told = [
        torch.from_numpy(a.astype(np.float32)).to(device)
        for a in (np.clip(along, 0, 1), np.clip(down, 0, 1), inside)
    ]
    return told[0], told[1], told[2]


def smooth_edge(depth: Tensor, edge: float) -> Tensor:
    return smoothstep((depth + edge) / (2 * edge))


def shown(opening: Opening, rest: Opening, whole: float, rest_whole: float) -> float:
    """How much of the inside shows, 0..1: what opens beyond the source's own mouth. `whole` is the
    width from corner to corner.
    """
    now, then = (o.gap * o.width / max(w, 1e-6) for o, w in ((opening, whole), (rest, rest_whole)))
    return float(ramp(*SHOWN, np.array(now - then)))
