"""A picture in two layers: who is in it, and what is behind, made up only where they stand.

So what is behind stays where it is while they move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mouth import GREY, ramp
from .raster import Array

PLATE = 320  # longer side that the background is made up at
BAND = 0.3  # eye distances round the mask in which thin things are looked for


@dataclass(frozen=True, eq=False)
class Layers:
    """Over the picture."""

    person: Array  # H W in 0..1
    plate: Array  # H W 3: the picture with nobody in it

    @staticmethod
    def of(picture: Array, mask: Array, apart: float) -> Layers:
        """H W 3, the mask network's answer at any size, the eyes' distance in pixels."""
        person = refined(picture, mask)
        plate = made_up(picture, person)
        return Layers(person, plate)


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
    found = slope * (picture @ np.array(GREY, np.float32)) + base
    return ramp(0.12, 0.88, found.clip(0, 1)).astype(np.float32)


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
    if hidden.all():
        return picture
    filled = cv2.inpaint(small, hidden, 3, cv2.INPAINT_TELEA).astype(np.float32) / 255
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    share = cv2.resize(hidden.astype(np.float32), (width, height))
    share = cv2.GaussianBlur(share, (0, 0), max(1, 0.7 / scale))
    return picture + (filled - picture) * np.clip(share * 2 - 0.3, 0, 1)[..., None]
