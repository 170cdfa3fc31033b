"""A piece cut out of pictures, and put back. Boxes are (left, top, right, bottom) in pixels of the
picture, its outer edges 0 and its size.

A cut covers whole pixels, so that what comes back untouched at its own size is what was there. It
may reach beyond the picture: there the edge is repeated, and left out again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..doors.limits import how_to_raise, limits
from ..errors import InputError
from ..geometry.easing import smoothstep
from ..shapes import LARGEST, check_shape
from .canvas import Box

ROUNDED = 1e-6  # pixels that a box's sides lose when it is reckoned with


@dataclass(frozen=True)
class Place:
    """Where a piece was cut from: a box in a picture of height x width, turned about its middle."""

    box: Box
    height: int
    width: int
    angle: float = 0.0  # radians, from x towards y: clockwise as one looks at it

    def on(self, height: int, width: int) -> Box:
        """The same place on the picture at another size."""
        x, y = width / self.width, height / self.height
        left, top, right, bottom = self.box
        return left * x, top * y, right * x, bottom * y


def square_box(box: Box, margin: float = 0.0) -> Box:
    """The square round a box, on whole pixels, wider on every side by `margin` of the box's longer
    side. Raises InputError for a box turned inside out, or of no numbers.
    """
    left, top, right, bottom = check_sides(box, least=0)
    side = max(1, round(max(right - left, bottom - top) * (1 + 2 * margin)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    return x, y, x + side, y + side


def crop_subject(
    pictures: Tensor, box: Box, size: int | tuple[int, int] | None = None, margin: float = 0.0
) -> Tensor:
    """The square round the box, and `margin` of its longer side more all round, out of each
    picture. B C H W -> B C h w, in 0..1

    size    of the crops: a side or (height, width); None leaves the pixels as they are. Smaller
            ones are antialiased

    Where it was cut is `square_box(box, margin)`, which is what `paste_back` wants. Raises
    InputError.
    """
    check_shape("pictures", pictures, "B C H W")
    check_margin(margin)
    return cut(pictures, square_box(box, margin), size)


def cut(pictures: Tensor, box: Box, size: int | tuple[int, int] | None = None) -> Tensor:
    """The box as it is, on whole pixels, of any aspect. B C H W -> B C h w. Raises InputError."""
    left, top, right, bottom = (round(side) for side in check_sides(box))
    check_room(pictures, right - left, bottom - top)
    height, width = pictures.shape[-2:]
    rows = torch.arange(top, bottom, device=pictures.device).clamp(0, height - 1)
    columns = torch.arange(left, right, device=pictures.device).clamp(0, width - 1)
    piece = pictures[..., rows, :][..., columns]
    return (
        piece
        if size is None
        else resized(piece, *((size, size) if isinstance(size, int) else size))
    )


def paste_back(whole: Tensor, crops: Tensor, box: Box, feather: float = 0.0) -> Tensor:
    """The pieces where they were cut from, the rest as it is. B C H W

    whole    1 C H W or as many pictures as crops; of one size, which may be another than that of
             the pictures cut from, if the box is scaled
    crops    B C h w of any size
    box      the square that was cut: `square_box(box, margin)`
    feather  pixels inside the box over which the piece fades in; an edge on or beyond the picture's
             own does not fade

    Raises InputError.
    """
    check_shape("whole", whole, "B C H W")
    check_shape("crops", crops, f"B {whole.shape[1]} h w")
    count = max(len(whole), len(crops))
    if len(whole) not in (1, count) or len(crops) not in (1, count):
        raise InputError(
            f"There are {len(whole)} pictures and {len(crops)} crops; there must be as many, or one"
            " of either."
        )
    height, width = whole.shape[-2:]
    left, top, right, bottom = (round(side) for side in check_sides(box))
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x1 <= x0 or y1 <= y0:
        raise InputError(
            f"The box {tuple(box)} (left, top, right, bottom in pixels) lies outside the picture,"
            f" which is {width}x{height}."
        )
    piece = resized(crops.to(whole), bottom - top, right - left)[
        ..., y0 - top : y1 - top, x0 - left : x1 - left
    ]
    share = edge_share((left, top, right, bottom), height, width, feather).to(whole)[
        ..., y0:y1, x0:x1
    ]
    pasted = whole.expand(count, -1, -1, -1).clone()
    pasted[..., y0:y1, x0:x1] = torch.lerp(
        pasted[..., y0:y1, x0:x1], piece.expand(count, -1, -1, -1), share
    )
    return pasted


def edge_share(box: Box, height: int, width: int, feather: float = 0.0) -> Tensor:
    """1 in the box, falling smoothly to 0 towards its edges over `feather` pixels, 0 outside.

    1 1 height width
    """
    left, top, right, bottom = box
    across = _ramp(left, right, width, feather)
    down = _ramp(top, bottom, height, feather)
    return (down[:, None] * across)[None, None]


def _ramp(low: float, high: float, length: int, feather: float) -> Tensor:
    """How far each pixel of a line belongs to low..high. Ends of the line are no edges."""
    centre = torch.arange(length) + 0.5
    after, before = centre - low, high - centre
    inside = ((after > 0) & (before > 0)).float()
    if feather <= 0:
        return inside
    far = torch.full_like(centre, torch.inf)
    depth = torch.minimum(after if low > 0 else far, before if high < length else far)
    return inside * smoothstep(depth / feather)


def resized(pictures: Tensor, height: int, width: int) -> Tensor:
    """Bilinear where smaller, antialiased; bicubic where larger.

    B C h w -> B C height width, in 0..1
    """
    rows, columns = pictures.shape[-2:]
    if (rows, columns) == (height, width):
        return pictures
    mode = "bicubic" if height >= rows and width >= columns else "bilinear"
    return F.interpolate(
        pictures.float(), size=(height, width), mode=mode, antialias=mode == "bilinear"
    ).clamp(0, 1)


def check_margin(margin: float) -> None:
    """Raises InputError unless something is left of the box."""
    if not -0.4 <= margin <= 10:
        raise InputError(
            "margin is a share of the box's longer side, from -0.4 to 10, such as 0.3, and is"
            f" {margin}."
        )


def check_sides(box: Box, least: float = 1) -> Box:
    """Raises InputError for a box turned inside out, of no numbers, or further off than any
    picture; `least`: pixels that it is wide and high.
    """
    left, top, right, bottom = box
    near = all(abs(side) <= 16 * LARGEST for side in box)  # which no NaN is
    if not (near and min(right - left, bottom - top) >= least - ROUNDED):
        raise InputError(
            "A box is (left, top, right, bottom) in pixels, at least one wide and high, and this"
            f" one is {tuple(box)}."
        )
    return left, top, right, bottom


def check_room(pictures: Tensor, width: int, height: int) -> None:
    """Raises InputError for crops that no memory holds."""
    needed = pictures[..., :1, :1].numel() * width * height * 4
    if needed > limits().output:
        raise InputError(
            f"Crops of {width}x{height} from {len(pictures)} pictures of {pictures.shape[-1]}x"
            f"{pictures.shape[-2]} are {needed / 1e9:.0f} GB: make box or margin smaller, or"
            f" {how_to_raise('output', needed)}."
        )
