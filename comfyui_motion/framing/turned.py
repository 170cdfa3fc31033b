"""Squares cut out of pictures level with what they show, and changes of them put back.

Pixels, 0 the picture's outer edge. A turned square cannot be put back as it was cut: its pixels lie
between the picture's. So what is put back is how it was changed, and where it was not changed the
picture is as it was, to the bit.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..field import remapped
from ..shapes import as_lists, check_shape
from .canvas import Box
from .crop import Place

FADE = 16 / 512  # of the square's side: over so much it fades into the picture (LivePortrait)


def corners(place: Place) -> list[tuple[float, float]]:
    """Top left, top right, bottom right, bottom left of the square as it lies in the picture."""
    x, y, side = middle(place)
    cosine, sine = math.cos(place.angle) * side / 2, math.sin(place.angle) * side / 2
    ends = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [(x + a * cosine - b * sine, y + a * sine + b * cosine) for a, b in ends]


def middle(place: Place) -> tuple[float, float, float]:
    """x, y and the side. Raises InputError for a box that is no square."""
    left, top, right, bottom = place.box
    if not math.isclose(right - left, bottom - top, rel_tol=1e-3) or right - left < 1:
        raise InputError(
            f"A square of at least a pixel can be turned, and the box {tuple(place.box)} (left,"
            " top, right, bottom) is none; use square_box on it first."
        )
    return (left + right) / 2, (top + bottom) / 2, right - left


def window(place: Place, height: int, width: int) -> tuple[int, int, int, int] | None:
    """The whole pixels of a picture that the square touches, left, top, right, bottom; None where
    it lies outside.
    """
    xs, ys = zip(*corners(place), strict=True)
    left, top = max(math.floor(min(xs)), 0), max(math.floor(min(ys)), 0)
    right, bottom = min(math.ceil(max(xs)), width), min(math.ceil(max(ys)), height)
    return (left, top, right, bottom) if right > left and bottom > top else None


def turning(angle: float, like: Tensor) -> Tensor:
    """Turns rows by the angle. 2 2"""
    cosine, sine = math.cos(angle), math.sin(angle)
    return like.new_tensor([[cosine, sine], [-sine, cosine]])


def inside(place: Place, box: tuple[int, int, int, int], like: Tensor) -> Tensor:
    """Where in the square each pixel of a part of the picture lies, 0..1 its edges. h w 2"""
    left, top, right, bottom = box
    x, y, side = middle(place)
    columns = torch.arange(left, right, dtype=torch.float32, device=like.device) + 0.5 - x
    rows = torch.arange(top, bottom, dtype=torch.float32, device=like.device) + 0.5 - y
    at = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    return at @ turning(-place.angle, at) / side + 0.5


def cut_turned(pictures: Tensor, place: Place, size: int) -> Tensor:
    """The square out of each picture, antialiased, edges repeated beyond. B C H W -> B
    C size size
    """
    check_shape("pictures", pictures, "B C H W")
    x, y, side = middle(place)
    height, width = pictures.shape[-2:]
    smaller = max(math.floor(side / size), 1)
    if smaller > 1:
        shape = [max(round(n / smaller), 1) for n in (height, width)]
        pictures = F.interpolate(pictures.float(), size=shape, mode="area")
    steps = (torch.arange(size, device=pictures.device, dtype=torch.float32) + 0.5) / size - 0.5
    square = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    at = side * square @ turning(place.angle, square) + square.new_tensor([x, y])
    grid = 2 * at / at.new_tensor([width, height]) - 1
    grid = grid.expand(len(pictures), -1, -1, -1)
    return remapped(pictures.float(), grid, False, "border")


def spread(maps: Tensor, at: Tensor, size: int | None = None) -> Tensor:
    """Maps over the square where a part of the picture lies in it, edges repeated beyond.

    B C h w, h w 2 as `inside` gives it -> B C h w. `size` enlarges small maps smoothly first.
    """
    if size is not None and max(maps.shape[-2:]) < size:
        maps = F.interpolate(maps, size=(size, size), mode="bicubic", align_corners=False)
    grid = (2 * at - 1).expand(len(maps), -1, -1, -1)
    return remapped(maps, grid, False, "border")


def share(at: Tensor, fade: float = FADE) -> Tensor:
    """1 in the square, falling to 0 at its edges over `fade` of its side. h w 2 -> 1 1 h w"""
    depth = torch.minimum(at, 1 - at).amin(-1)
    return (depth / max(fade, 1e-6)).clamp(0, 1)[None, None]


def paste_turned(whole: Tensor, crops: Tensor, place: Place, fade: float = FADE) -> Tensor:
    """The pictures with what of the square was changed put back. B C H W

    whole  1 C H W or as many as crops, which the square was cut from
    crops  B C h w, as `cut_turned` gave them or changed since
    fade   of the square's side: over so much at its edges the change fades out

    Raises InputError where the square lies outside the picture.
    """
    check_shape("crops", crops, f"B {whole.shape[1]} h w")
    box = window(place, *whole.shape[-2:])
    if box is None:
        raise InputError(
            f"The square {tuple(place.box)} lies outside the picture, which is"
            f" {whole.shape[-1]}x{whole.shape[-2]}."
        )
    left, top, right, bottom = box
    at = inside(place, box, whole)
    change = crops.to(whole.device) - cut_turned(whole, place, crops.shape[-1])
    pasted = whole.expand(max(len(whole), len(crops)), -1, -1, -1).clone()
    part = pasted[..., top:bottom, left:right]
    part += (spread(change, at) * share(at, fade)).to(part.dtype)
    part.clamp_(0, 1)
    return pasted


def square_of(points: Tensor, along: Tensor, scale: float, down: float) -> tuple[Box, float]:
    """The square round points that lie level along a direction, and its angle.

    points  K 2
    along   2, from left to right of what they are part of
    scale   of the longer side of their box in that direction
    down    of the square's side: how far it is shifted down, in that direction
    """
    angle = math.atan2(float(along[1]), float(along[0]))
    level = points @ turning(-angle, points)
    low, high = level.aminmax(dim=0)
    side = scale * float((high - low).max())
    centre = ((low + high) / 2 + level.new_tensor([0.0, down * side])) @ turning(angle, level)
    x, y = as_lists(centre)
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2), angle
