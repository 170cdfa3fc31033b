"""Pixel conventions: the one place where coordinates change from one to another. All are (x, y).

unit    -1 the centre of the first pixel, +1 of the last, as keypoints and fields have it (kornia's
        corner-aligned normalisation; a side of a single pixel is at 0)
pixels  0 the centre of the first pixel, 1 of the next: as OpenCV, STMaps and flow files count
edges   0 the picture's outer edge, 0.5 the centre of the first pixel: as boxes are given

kornia does the arithmetic. It is imported when first needed: importing the library stays quick.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

LARGE = 1 << 24  # pixels: grids of more are made anew, for each is hundreds of megabytes


def _identity(height: int, width: int, device: torch.device, align_corners: bool) -> Tensor:
    with torch.inference_mode(False):  # a cached tensor outlives the mode it was asked for in
        x, y = (along(count, device, align_corners) for count in (width, height))
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


_kept = lru_cache(maxsize=64)(_identity)


def along(count: int, device: torch.device, align_corners: bool) -> Tensor:
    """A row's pixels, as kornia's create_meshgrid has them to the bit: a still picture needs no
    more of kornia than that, and starts sooner by its import.
    """
    place = torch.arange(count, device=device, dtype=torch.float32)
    if not align_corners:
        return (2 * place + 1) / count - 1
    return (place / (count - 1) - 0.5) * 2 if count > 1 else 0 * place


def identity_grid(
    height: int, width: int, like: Tensor | None = None, align_corners: bool = True
) -> Tensor:
    """The grid that reads every pixel from where it is.

    H W 2 in unit coordinates (with align_corners False, -1 and +1 are the outer edges), float32, on
    the device of `like`; shared, never to be written into.
    """
    device = torch.device("cpu") if like is None else like.device
    make = _kept if height * width <= LARGE else _identity
    return make(height, width, device, align_corners)


def to_pixels(points: Tensor, height: int, width: int) -> Tensor:
    """Unit coordinates in a picture of that size as pixels. ... 2"""
    from kornia.geometry.conversions import denormalize_pixel_coordinates

    return _single(denormalize_pixel_coordinates(points, height, width), points, height, width)


def from_pixels(points: Tensor, height: int, width: int) -> Tensor:
    """Pixels of a picture of that size as unit coordinates. ... 2"""
    from kornia.geometry.conversions import normalize_pixel_coordinates

    return _single(normalize_pixel_coordinates(points, height, width), points, height, width)


def _single(converted: Tensor, points: Tensor, height: int, width: int) -> Tensor:
    """Along a side of a single pixel, whose centre is 0 in both, a unit is a pixel."""
    if min(height, width) > 1:
        return converted
    single = torch.tensor([width == 1, height == 1], device=points.device)
    return torch.where(single, points, converted)


def to_edges(points: Tensor, height: int, width: int) -> Tensor:
    """Unit coordinates as distances from the picture's outer edges, in pixels. ... 2"""
    return to_pixels(points, height, width) + 0.5


def from_edges(points: Tensor, height: int, width: int) -> Tensor:
    """Distances from the picture's outer edges, in pixels, as unit coordinates. ... 2"""
    return from_pixels(points - 0.5, height, width)


def pixels_per_unit(height: int, width: int, like: Tensor) -> Tensor:
    """How many pixels one unit of x and of y is: half of what lies between the first pixel's centre
    and the last's; 1 where there is a single one. 2

    In the dtype and on the device of `like`; shared, never to be written into.
    """
    return _per_unit(height, width, like.dtype, like.device)


@lru_cache(maxsize=64)
def _per_unit(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # a cached tensor outlives the mode it was asked for in
        spans = [(n - 1) / 2 if n > 1 else 1.0 for n in (width, height)]
        return torch.tensor(spans, dtype=dtype, device=device)
