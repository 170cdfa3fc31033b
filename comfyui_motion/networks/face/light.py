"""The light on a driver's skin: folds and shades that come with an expression, over the canonical
face.

How much brighter a spot of skin is than in the reference: an expression ratio image (Liu, Shan and
Zhang, Expressive Expression Mapping with Ratio Images, SIGGRAPH 2001), without lips and eyes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .mouth import GREY, read
from .pose import model_face
from .raster import Array, corners, paint
from .topology import BROWS, CONTOURS, EYES, LIPS

SIDE, FINER = 48, 3  # of the map, and how many times finer a face is looked at
DARK = 0.03  # grey level below which ratios mean little
DARKER, BRIGHTER = -0.7, 0.35  # limits of what is carried
STRENGTH = 0.8
NOTHING = 0.06  # of a logarithm: half believed, less is noise
FOLDS = 4.0  # cells: what changes over more is no fold
SLOW = 0.85  # of that is left out
BLUR = 0.75  # cells
WARMER = 0.6  # power of a channel's share: skin in shade is redder, not greyer


@lru_cache
def over_face(side: int = SIDE) -> Array:
    """The canonical face's points over the map, in its cells. 468 2"""
    face = model_face().numpy()[:, :2]
    low, high = face.min(0), face.max(0)
    return ((face - low) / (high - low) * (side - 3) + 1).astype(np.float64)


@lru_cache
def cells(side: int) -> tuple[Array, Array]:
    """The three points between which each cell lies, side side 3, and their weights."""
    flat = np.concatenate([over_face(side), np.zeros((468, 1))], axis=1)
    label = paint(np.zeros((side, side), np.int32), flat[corners()], np.zeros(2))
    number = np.maximum(label - 1, 0)
    triangle = corners()[number]  # side side 3
    a, b, c = (over_face(side)[triangle[..., i]] for i in range(3))
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1)
    area = cross(b - a, c - a)
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    weight = np.stack([cross(c - b, at - b), cross(a - c, at - c), cross(b - a, at - a)], -1)
    weight = weight / area[..., None]
    weight[label == 0] = [1, 0, 0]
    return triangle, weight


@lru_cache
def between() -> tuple[Tensor, Tensor]:
    """Of each cell of a finer map the three points it lies between, and their weights. S*S 3"""
    triangle, weight = cells(SIDE * FINER)
    with torch.inference_mode(False):  # what is kept outlives the mode it was asked for in
        return torch.from_numpy(triangle).flatten(0, 1), torch.from_numpy(weight).flatten(0, 1)


def placed(points: Tensor) -> Array:
    """Where the cells of a finer map lie in pictures. B 478 2 -> B S S 2, float32"""
    corner, weight = between()
    table = points.double().permute(1, 0, 2).flatten(1)  # 478 B*2: one look-up for all pictures
    read = F.embedding_bag(corner, table, mode="sum", per_sample_weights=weight)
    side = SIDE * FINER
    found = read.view(side, side, len(points), 2).permute(2, 0, 1, 3)
    return found.float().contiguous().numpy()


def cross(a: Array, b: Array) -> Array:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


@lru_cache
def skin_mask() -> Array:
    """1 on the skin, fading at the face's outline, lips and eyes. SIDE SIDE"""
    import cv2

    at, finer = over_face(SIDE * 4), SIDE * 4
    mask = np.zeros((finer, finer), np.float32)
    cv2.fillPoly(mask, [polygon(at, CONTOURS["face"])], 1.0)
    mask = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3)), iterations=10), (0, 0), 7)
    holes = np.zeros((finer, finer), np.float32)
    for outline in (LIPS.outer, *(eye.outline for eye in EYES.values())):
        cv2.fillPoly(holes, [polygon(at, outline)], 1.0)
    for brow in BROWS.values():  # hair moves over the skin as no mesh does
        hull = cv2.convexHull(polygon(at, brow))
        cv2.fillPoly(holes, [hull], 1.0)
    holes = cv2.GaussianBlur(cv2.dilate(holes, np.ones((3, 3)), iterations=4), (0, 0), 3)
    return cv2.resize(mask * (1 - holes), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def polygon(points: Array, ids: tuple[int, ...]) -> Array:
    return np.round(points[list(ids)]).astype(np.int32)


def brightness(picture: Array, at: Array) -> Array:
    """Of a face, over the canonical one. H W 3 in 0..1, S S 2 (see `placed`) -> SIDE SIDE"""
    import cv2

    grey = read(picture, at) @ np.array(GREY, np.float32)
    return cv2.GaussianBlur(
        cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), (0, 0), BLUR
    )


def spread(ratio: Array, mask: Array) -> Array:
    """What changes slowly over the face: a lamp's, not a fold's."""
    import cv2

    weight = cv2.GaussianBlur(mask, (0, 0), FOLDS) + 1e-3
    return cv2.GaussianBlur(np.clip(ratio, DARKER, BRIGHTER) * mask, (0, 0), FOLDS) / weight


def folds(ratio: Array) -> Array:
    """Without what the whole face's light did, and with little of what changes slowly. SIDE SIDE"""
    mask = skin_mask()
    ratio = ratio - np.median(ratio[mask > 0.9])
    return ratio - SLOW * spread(ratio, mask)


def change(now: Array, rest: Array) -> Array:
    """The logarithm of how much lighter each spot became; of the whole face's light nothing.

    SIDE SIDE
    """
    import cv2

    mask = skin_mask()
    ratio = np.clip(folds(np.log((now + DARK) / (rest + DARK))), DARKER, BRIGHTER)
    believed = cv2.GaussianBlur(ratio**2, (0, 0), 1.5)
    believed = believed / (believed + NOTHING**2)
    return (np.round(100 * STRENGTH * ratio * believed * mask) / 100).astype(np.float32)


def tint(skin: Array) -> Array:
    """How much of a shade each channel takes: skin scatters red light farthest, so its shadows are
    deepest in blue. All 1 for a grey face; a tone in 0..1. 3 -> 3
    """
    lifted, grey = skin + DARK, np.array(GREY, np.float32)
    share = (lifted @ grey / lifted) ** WARMER
    return (share * (lifted @ grey) / (lifted * share @ grey)).astype(np.float32)
