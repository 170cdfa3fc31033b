"""A picture in two layers: who is in it, and what is behind, made up only where they stand.

So what is behind stays where it is while they move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from ...geometry.easing import ramp
from ...geometry.rows import strips
from .mouth import GREY
from .raster import NO_MAP, Array

GRAIN = 4.0  # pixels of what is made up: what is finer comes from beside it
EDGES = 2.0  # times the usual: what differs by more is an edge of something, no grain
FAINT = 0.03  # nor is what differs by more than this
RIM = 0.003  # of the longer side: as far round the person a picture still shows some of them
WIDE = 6.0  # pixels of a Gaussian: a wider one need not be told from one on a smaller picture
PLATE = 320  # longer side that the background is made up at
BAND = 0.35  # eye distances round the mask in which thin things are looked for
SEEN_AT = 64  # pixels between the eyes where they are looked for
CLEARLY = 1.5  # times as rough as what is behind: what is unlike it by more is no part of it
STANDS = (0.01, 0.25)  # of a person in a pixel: from where what is behind is made up
COLOURS, COMMON = 16, 0.004  # steps of each channel; of what is behind: a common colour
LARGEST = 1.0  # square eye distances: thin things are no larger


@dataclass(frozen=True, eq=False)
class Layers:
    """Over the picture."""

    person: Array  # H W in 0..1
    box: tuple[slice, slice]  # round the person
    plate: Array  # h w 3, over the box: the picture with nobody in it

    @staticmethod
    def of(picture: Array, mask: Array, apart: float) -> Layers:
        """H W 3, the mask network's answer at any size, the eyes' distance in pixels."""
        person = refined(picture, mask)
        np.maximum(person, thin_things(picture, person, apart), out=person)
        box = stands_in(person)
        return Layers(person, box, made_up(picture, person)[box].copy())

    def behind(self, box: tuple[slice, slice], picture: Array) -> Array:
        """A box of what is there with nobody in it, where the picture has `picture`. h w 3"""
        made = picture.copy()
        here, there = zip(*map(common, box, self.box), strict=True)
        made[here] = self.plate[there]
        return made


def common(one: slice, other: slice) -> tuple[slice, slice]:
    """What two stretches share, counted from the start of each."""
    first, last = max(one.start, other.start), min(one.stop, other.stop)
    last = max(first, last)
    return (
        slice(first - one.start, last - one.start),
        slice(first - other.start, last - other.start),
    )


def thin_things(picture: Array, person: Array, apart: float) -> Array:
    """What the mask misses of somebody: earrings, strands, the brim of a hat. H W in 0..1

    Close to them, and clearly unlike what is behind them, which is as rough as it is.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = min(1.0, SEEN_AT / max(apart, 1e-3))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    small, mask = (cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (picture, person))
    reach = max(3, round(BAND * apart * scale))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate((mask > 0.5).astype(np.uint8), disc)
    band = (near > 0) & (mask < 0.5)
    ring = (cv2.dilate(near, disc) > 0) & (near == 0)
    if not band.any() or ring.sum() < 50:
        return np.zeros((height, width), np.float32)
    unlike = np.linalg.norm(small - made_up(small, near.astype(np.float32)), axis=-1)
    rough = np.linalg.norm(small - cv2.GaussianBlur(small, (0, 0), reach / 2), axis=-1)
    usual = max(float(np.percentile(rough[ring], 90)), 0.03)
    found = ((unlike > CLEARLY * usual) & band & ~seen_in(small, ring)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    labels = cast(Array, labels)  # whole numbers
    touching = np.zeros(count, bool)
    body = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    touching[np.unique(labels[body])] = True
    touching &= stats[:, cv2.CC_STAT_AREA] < LARGEST * (apart * scale) ** 2
    touching[0] = False
    kept = cv2.dilate(touching[labels].astype(np.float32), np.ones((3, 3)))
    return cv2.GaussianBlur(cv2.resize(kept, (width, height)), (0, 0), max(0.6, 0.5 / scale))


def seen_in(picture: Array, part: Array) -> Array:
    """Which pixels have a colour that is common in a part of the picture: the letters of a sign
    behind somebody are no jewellery. H W 3, H W -> H W, bool
    """
    import cv2

    step = (picture.clip(0, 1) * (COLOURS - 1)).round().astype(np.int64)
    number = (step[..., 0] * COLOURS + step[..., 1]) * COLOURS + step[..., 2]
    count = np.bincount(number[part], minlength=COLOURS**3).astype(np.float32)
    cube = count.reshape(COLOURS, COLOURS, COLOURS)
    for axis in range(3):  # colours next to it count too
        flat = np.moveaxis(cube, axis, 0).reshape(COLOURS, -1)
        flat = cv2.boxFilter(flat, -1, (1, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        cube = np.moveaxis(flat.reshape(COLOURS, COLOURS, COLOURS), 0, axis)
    return (cube.reshape(-1) > COMMON * part.sum())[number]


def refined(picture: Array, mask: Array) -> Array:
    """The mask at the picture's size, along its edges (He et al., Guided Image Filtering, ECCV
    2010). H W
    """
    import cv2

    height, width = picture.shape[:2]
    scale = min(1, 720 / max(height, width))
    small = cv2.resize(
        picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA
    )
    grey = small @ np.array(GREY, np.float32)
    rough = cv2.resize(mask, grey.shape[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)
    side = 2 * (int(max(grey.shape) / 256 * 2.5) | 1) + 1

    def mean(values: Array) -> Array:
        return cv2.blur(values, (side, side))

    light, shape = mean(grey), mean(rough)
    slope = (mean(grey * rough) - light * shape) / (mean(grey * grey) - light * light + 1e-3)
    slope, base = (
        cv2.resize(m, (width, height)) for m in (mean(slope), mean(shape - slope * light))
    )
    for rows in strips(height, width):
        found = slope[rows] * (picture[rows] @ np.array(GREY, np.float32)) + base[rows]
        slope[rows] = ramp(0.12, 0.88, found.clip(0, 1))
    return slope


def made_up(picture: Array, person: Array) -> Array:
    """The picture with what is behind the person carried on from around (Telea, An image inpainting
    technique based on the fast marching method, 2004). H W 3
    """
    import cv2

    height, width = picture.shape[:2]
    scale = min(1, PLATE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) * 255).round().astype(np.uint8)
    hidden = (cv2.resize(person, size, interpolation=cv2.INTER_AREA) > 0.1).astype(np.uint8)
    hidden = cv2.dilate(hidden, np.ones((3, 3), np.uint8), iterations=2)
    if hidden.all() or not hidden.any():
        return picture
    filled = cv2.inpaint(small, hidden, 3, cv2.INPAINT_TELEA).astype(np.float32) / 255
    filled = calmed(filled, hidden)
    made = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC)
    box = stands_in(person)
    reach = rim(person)
    stands = cv2.dilate(person[box], np.ones((2 * reach + 1,) * 2))
    stands = cv2.blur(ramp(*STANDS, stands), (reach | 1, reach | 1))[..., None]
    carried = made[box] - picture[box]
    np.copyto(made, picture)
    here = made[box]
    here += np.multiply(carried, stands, out=carried)
    del carried
    here += grain(made, person, GRAIN / scale, box) * stands
    np.clip(here, 0, 1, out=here)
    return made


def calmed(filled: Array, hidden: Array) -> Array:
    """What was carried on, the softer the deeper: streaks from sharp edges tear nothing. h w 3"""
    import cv2

    deep = cv2.distanceTransform(hidden, cv2.DIST_L2, 5)
    made = filled
    for sigma in (2.0, 5.0, 12.0):
        soft = cv2.GaussianBlur(made, (0, 0), sigma)
        made = made + (soft - made) * ramp(sigma / 2, 1.5 * sigma, deep)[..., None]
    return made.astype(np.float32)


def rim(person: Array) -> int:
    """As far round a person, in pixels, a picture still shows some of them."""
    return max(2, round(RIM * max(person.shape)))


def stands_in(person: Array) -> tuple[slice, slice]:
    """The box of all pixels that show anything of a person, and of their rim. H W"""
    import cv2

    x, y, across, down = cv2.boundingRect((person > STANDS[0]).view(np.uint8))
    if not across:
        return slice(0), slice(0)
    more = 2 * rim(person)
    rows, columns = (
        slice(max(first - more, 0), min(first + length + more, side))
        for first, length, side in zip((y, x), (down, across), person.shape, strict=True)
    )
    return rows, columns


def grain(picture: Array, person: Array, coarse: float, box: tuple[slice, slice]) -> Array:
    """What is finer than `coarse` pixels of what is behind, mirrored at the person's edge: so what
    is made up has the brush, the canvas, the noise of the rest. H W 3, of the picture without the
    person -> h w 3, over the box
    """
    import cv2

    height, width = person.shape
    size = max(1, width // 2), max(1, height // 2)
    bare = (cv2.resize(person, size, interpolation=cv2.INTER_AREA) < STANDS[0]).astype(np.uint8)
    around = np.ones((5, 5), np.uint8)
    bare = cv2.erode(bare, around, borderValue=1)
    if not bare.any() or bare.all():
        return np.zeros_like(picture[box])
    _, label = cv2.distanceTransformWithLabels(
        1 - bare, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = cast(Array, label)
    y, x = np.nonzero(bare)
    nearest = np.zeros((label.max() + 1, 2), np.float32)
    nearest[label[y, x]] = np.stack([x, y], -1)
    here = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), -1).astype(np.float32)
    there = 2 * nearest[label] - here  # as far beyond the edge as it lies before it
    there = np.abs(there)
    last = np.array([size[0] - 1, size[1] - 1], np.float32)
    there = last - np.abs(last - there)  # mirrored at the picture's edge, too
    known = cv2.remap(bare, there, NO_MAP, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    there = cv2.resize(there, (width, height), interpolation=cv2.INTER_LINEAR)[box]
    fine = finer_than(coarse, picture, np.add(2 * there, 0.5, dtype=np.float32))
    share = cv2.GaussianBlur(cv2.resize(known, (width, height)).astype(np.float32), (0, 0), 2)
    fine *= share[box][..., None]
    most = min(EDGES * max(float(np.median(np.abs(fine[::4, ::4]))), 1e-3), FAINT)
    return np.clip(fine, -most, most, out=fine)


def finer_than(sigma: float, picture: Array, at: Array) -> Array:
    """What a picture has, at those places, that a Gaussian of so many pixels takes out of it; a
    wide one is told from a smaller picture. H W 3, h w 2 -> h w 3
    """
    import cv2

    def read(pixels: Array, places: Array) -> Array:
        border = cv2.BORDER_REFLECT_101
        return cv2.remap(pixels, places, NO_MAP, cv2.INTER_LINEAR, borderMode=border)

    height, width = picture.shape[:2]
    times = int(sigma / WIDE)
    if times < 2:
        return read(cv2.subtract(picture, cv2.GaussianBlur(picture, (0, 0), sigma)), at)
    size = width // times, height // times
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / times)
    scale = np.divide(size, [width, height], dtype=np.float32)
    fine = read(picture, at)
    for rows in strips(*at.shape[:2]):
        fine[rows] -= read(small, (at[rows] + 0.5) * scale - 0.5)
    return fine
