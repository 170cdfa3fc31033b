"""Turned squares of pictures: where a network looks.

Pixels, 0 the picture's outer edge; angles in radians, positive from x towards y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .raster import Array
from .topology import EYES, SURFACE

MARGIN = 0.1  # of a face's box, that is cut out round it
ROOM = 1.5  # a face's square is so much larger than its box
COARSER = 0.3  # halvings more than would just do before a picture is read: what is lost is noise


@dataclass(frozen=True)
class Region:
    """A square of `side` round (x, y), turned by `angle`."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @staticmethod
    def whole(height: int, width: int) -> Region:
        """The picture in the middle of the smallest square that holds it."""
        return Region(width / 2, height / 2, max(height, width))

    @staticmethod
    def of_detection(box: Tensor, points: Tensor, within: Region) -> Region:
        """Round a box (4) that the detector found in a square, level with its eyes (6 2)."""
        middle = within.outside((box[:2] + box[2:])[None] / 2)[0].tolist()
        eyes = within.outside(points[:2])
        along = (eyes[1] - eyes[0]).tolist()
        side = ROOM * within.side * float((box[2:] - box[:2]).max())
        return Region(middle[0], middle[1], side, math.atan2(along[1], along[0]))

    @staticmethod
    def of_points(points: Tensor) -> Region:
        """Round a face's points, level with the outer corners of its eyes. K 2+"""
        places = points[:SURFACE, :2]
        right, left = (EYES[side].corners[0] for side in ("right_eye", "left_eye"))
        across = (places[left] - places[right]).tolist()
        angle = math.atan2(across[1], across[0])
        low, high = places.aminmax(dim=0)
        middle = ((low + high) / 2).tolist()
        return Region(middle[0], middle[1], ROOM * float((high - low).max()), angle)

    def moved(self, x: float, y: float, scale: float, turn: float) -> Region:
        """Another near it: shifted along its own sides, in sides, scaled, turned by radians."""
        middle = self.outside(torch.tensor([0.5 + x, 0.5 + y])).tolist()
        return Region(middle[0], middle[1], self.side * scale, self.angle + turn)

    def apart(self, other: Region) -> float:
        """How far two lie apart in place, size and angle: 1 is a third of the side, or half as
        large again, or 30 degrees."""
        away = math.hypot(self.x - other.x, self.y - other.y) / (0.33 * self.side)
        scale = abs(math.log(max(other.side, 1e-6) / max(self.side, 1e-6))) / math.log(1.5)
        turn = (other.angle - self.angle + math.pi) % (2 * math.pi) - math.pi
        return max(away, scale, abs(turn) / math.radians(30))

    def outside(self, points: Tensor) -> Tensor:
        """Points of this square, 0..1 its edges, in the picture; a third coordinate in pixels, too.
        ... 2 or 3
        """
        places = (points[..., :2] - 0.5) @ turning(self.angle, points).T * self.side
        places = places + places.new_tensor([self.x, self.y])
        return torch.cat([places, points[..., 2:] * self.side], dim=-1)


def turning(angle: float, like: Tensor) -> Tensor:
    """Turns column vectors. 2 2"""
    cosine, sine = math.cos(angle), math.sin(angle)
    return like.new_tensor([[cosine, -sine], [sine, cosine]])


def cut(pictures: Tensor, region: Region, size: int) -> Tensor:
    """That region of every picture, black beyond the edges, antialiased. B 3 H W -> B 3
    size size
    """
    height, width = pictures.shape[-2:]
    reach = region.side / 2 * (abs(math.cos(region.angle)) + abs(math.sin(region.angle)))
    halved = 1 << max(math.floor(math.log2(max(region.side / size, 1e-6)) + COARSER), 0)
    left, right = _span(region.x - reach, region.x + reach, width, halved)
    top, bottom = _span(region.y - reach, region.y + reach, height, halved)
    if right <= left or bottom <= top:
        return pictures.new_zeros(len(pictures), pictures.shape[1], size, size)
    seen = pictures[..., top:bottom, left:right]
    span = seen.new_tensor([right - left, bottom - top])
    if halved > 1:
        rows, columns = (
            max((stop - start) // halved, 1) for start, stop in ((top, bottom), (left, right))
        )
        whole = (bottom - top, right - left) == (rows * halved, columns * halved)
        seen = (
            means(seen, halved)  # several times as fast
            if whole
            else F.interpolate(seen, size=(rows, columns), mode="area")
        )
    steps = (torch.arange(size, device=seen.device, dtype=seen.dtype) + 0.5) / size
    square = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)  # size size 2
    places = (region.outside(square) - span.new_tensor([left, top])) / span * 2 - 1
    grid = places.expand(len(seen), -1, -1, -1)
    return F.grid_sample(seen, grid, padding_mode="zeros", align_corners=False)


def means(pictures: Tensor, side: int) -> Tensor:
    """Of squares of that side, which fill the pictures. On a CPU by OpenCV, which is ten times as
    fast. B C H W -> B C H/side W/side
    """
    if pictures.device.type != "cpu" or pictures.requires_grad or pictures.dtype != torch.float32:
        return F.avg_pool2d(pictures, side)
    import cv2

    rows, columns = (length // side for length in pictures.shape[-2:])
    made = torch.empty(*pictures.shape[:2], rows, columns)
    for picture, small in zip(pictures.numpy(), made.numpy(), strict=True):
        for plane, into in zip(picture, small, strict=True):
            cv2.resize(plane, (columns, rows), dst=into, interpolation=cv2.INTER_AREA)
    return made


def cut_out(frame: Tensor, points: Tensor) -> tuple[Array, Array]:
    """The box round a face, and its points there. 3 H W, 478 2 -> h w 3, 478 2"""
    cut, corner = boxed(frame, points)
    return np.ascontiguousarray(cut), points.double().numpy() - corner


def boxed(frame: Tensor, points: Tensor) -> tuple[Array, list[int]]:
    """The box round a face, a view, and its corner. 3 H W, 478 2 -> h w 3, x and y"""
    height, width = frame.shape[1:]
    low, high = points.amin(0), points.amax(0)
    room = MARGIN * (high - low).max()
    left, top = (int(v) for v in (low - room).floor().clamp(min=0))
    right, bottom = (int(v) + 1 for v in (high + room).ceil())
    cut = frame[:, top : min(bottom, height), left : min(right, width)].float().cpu()
    if not bool(cut.sum().isfinite()):
        cut = cut.nan_to_num(0)
    return cut.permute(1, 2, 0).numpy(), [left, top]


def _span(start: float, stop: float, length: int, step: int) -> tuple[int, int]:
    """Whole steps that hold a stretch, with some room, inside the picture."""
    first = max(math.floor(start / step) - 2, 0) * step
    last = min((math.ceil(stop / step) + 2) * step, length)
    return min(first, length), max(last, 0)
