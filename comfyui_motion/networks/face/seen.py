"""How a picture's own lids are seen.

The mesh that reads a driver's lids reads those of a painting or a statue otherwise: lids drawn half
shut it may still see open. So a portrait's lids are drawn at some openings and read again, once;
from then on they are drawn so that they are seen as far open as the driver's are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .find import look
from .keypoints import FaceKeypoints
from .lids import DRAWN
from .networks import SeesFaces
from .paint import frames
from .raster import Array
from .readings import Readings
from .region import Region, cut
from .source import SourceFace
from .topology import EYES
from .transfer import SHUT, Face, lids, opening
from .warp import FaceField

OPEN = DRAWN.index(1.0)
SIDE = 256  # pixels of the picture of the face that is tried on


class Poses(SeesFaces, Protocol):
    """Networks that see faces, and what poses one."""

    def moved(self, face: SourceFace, pose: FaceKeypoints, hides: bool = True) -> FaceField: ...


def answers(model: Poses, picture: Tensor, points: Tensor, face: SourceFace) -> Array:
    """How far open eyes are seen when they are drawn as `DRAWN` says, against rest; never less for
    more. Both alike, as the mean of the two: lids that move together stay together. N 2

    picture  1 3 H W in 0..1, and its face's points, 478 3, 0 the first pixel's centre
    """
    near, places = close_up(picture, points)
    fine = (np.array(face.size[::-1]) - 1) / (np.array(picture.shape[:-3:-1]) - 1)
    scale = float((places[263] - places[33]).norm() / (points[263] - points[33]).norm())
    small = SourceFace.of(near[0], places, None, face.lids / fine * scale)
    shown = drawn(model, small, places)
    read = look(model, shown.to(picture), Region.of_points(places + 0.5))[0]
    seen = Readings.of(read, torch.ones(len(read))).lids.double().numpy()
    seen = np.maximum.accumulate(seen / np.maximum(seen[OPEN], 1e-3), axis=0)
    seen[:OPEN] = np.minimum(seen[:OPEN], 1)
    return np.repeat(seen.mean(1, keepdims=True), 2, axis=1)


def close_up(picture: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """The face at a size at which lids can be told, and its points there. 1 3 s s, 478 3"""
    region = replace(Region.of_points(points + 0.5), angle=0.0)
    scale = SIDE / region.side
    corner = points.new_tensor([region.x - region.side / 2, region.y - region.side / 2, -0.5])
    return cut(picture, region, SIDE).cpu(), (points + 0.5 - corner) * scale - 0.5


def drawn(model: Poses, face: SourceFace, points: Tensor) -> Tensor:
    """The face with its lids as `DRAWN` says. N 3 h w"""
    height, width = face.colours.shape[:2]
    posed = blinked(points[None].expand(len(DRAWN), -1, -1), points.new_tensor(DRAWN))
    pose = FaceKeypoints.placed(posed, points.new_tensor([[width, height]]))
    field = model.moved(face, pose, hides=False)
    return frames((face,), field)


def blinked(points: Tensor, share: Tensor) -> Tensor:
    """Faces with their lids so far open against their rest. B 478 3, B"""
    face = Face.of(points)
    told = torch.zeros_like(points)
    ratio = torch.where(share < 1, SHUT + (1 - SHUT) * share, share)
    for eye in EYES.values():
        gap = opening(face.shape, eye.upper, eye.lower)
        told[:, list(eye.upper), 1] = gap * (1 - ratio)[:, None]
    change = lids(torch.zeros_like(told), told, face, face, 1.0)
    return points + face.head.turn(change) * face.head.scale[:, None, None]
