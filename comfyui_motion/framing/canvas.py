"""A picture of any size and a network of one size: to its canvas, and its motion back to the
picture's own pixels.

The canvas is the square a network works on. What it covers is a box in the picture's pixels: where
the subject is, or the whole picture; as it is (stretch), or the square around it (letterbox, edges
repeated), or the largest square inside it (crop). Motion found on the canvas returns as
displacements, so that no motion stays no motion, and beyond the box it fades to none.

Boxes are four plain numbers, for there is one or two of them in a clip: kornia's, tensors of four
corners, are made and read in 144 us, where two tuples are joined, cut and widened in 1.2 us (a core
of an Intel Xeon). What is read by a box or a grid is read by kornia.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..field import MotionField, remapped, sample
from ..geometry.easing import smoothstep
from ..geometry.pixels import (
    from_edges,
    from_pixels,
    identity_grid,
    pixels_per_unit,
)
from ..keypoints import Keypoints
from ..shapes import as_lists

MODES = ("stretch", "letterbox", "crop")
MARGIN = 0.15  # of the box's sides: how far beyond it motion fades out
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Fit:
    """Which box of a `height` x `width` picture fills a canvas of `rows` x `columns`."""

    height: int
    width: int
    rows: int
    columns: int
    left: float
    top: float
    box_width: float
    box_height: float

    @staticmethod
    def plan(
        height: int, width: int, size: int, mode: str = "stretch", subject: Box | None = None
    ) -> Fit:
        """Onto a square canvas.

        Raises InputError for an unknown mode, or a box with nothing in it.
        """
        if mode not in MODES:
            raise InputError(f"fit must be {', '.join(MODES)}, and is {mode!r}.")
        left, top, right, bottom = (
            check_box(subject, height, width) if subject else (0, 0, width, height)
        )
        across, down = right - left, bottom - top
        if mode != "stretch":
            across = down = max(across, down) if mode == "letterbox" else min(across, down)
        left, top = (left + right - across) / 2, (top + bottom - down) / 2
        return Fit(height, width, size, size, left, top, across, down)

    @staticmethod
    def within(height: int, width: int, longest: int, subject: Box | None = None) -> Fit:
        """The subject's box or the whole picture, shrunk where needed so that its longer side is
        `longest`, its aspect kept.
        """
        left, top, right, bottom = (
            check_box(subject, height, width) if subject else (0, 0, width, height)
        )
        across, down = right - left, bottom - top
        scale = min(1.0, longest / max(across, down))
        return Fit(
            height,
            width,
            max(1, round(down * scale)),
            max(1, round(across * scale)),
            left,
            top,
            across,
            down,
        )

    @property
    def whole(self) -> bool:
        return (self.left, self.top, self.box_width, self.box_height) == (
            0,
            0,
            self.width,
            self.height,
        )

    def at(self, scale: float) -> Fit:
        """The same framing of the picture at another size, not under 2 pixels a side."""
        height, width = max(2, round(self.height * scale)), max(2, round(self.width * scale))
        x, y = width / self.width, height / self.height
        return replace(
            self,
            height=height,
            width=width,
            left=self.left * x,
            top=self.top * y,
            box_width=self.box_width * x,
            box_height=self.box_height * y,
        )

    def to_canvas(self, pictures: Tensor) -> Tensor:
        """B C height width -> B C rows columns, antialiased, in 0..1."""
        if not self.whole:
            x0, y0 = round(self.left), round(self.top)
            x1, y1 = x0 + round(self.box_width), y0 + round(self.box_height)
            pad = (max(-x0, 0), max(x1 - self.width, 0), max(-y0, 0), max(y1 - self.height, 0))
            pictures = pictures[..., max(y0, 0) : y1, max(x0, 0) : x1]
            pictures = F.pad(pictures, pad, mode="replicate") if any(pad) else pictures
        if pictures.shape[-2:] == (self.rows, self.columns):
            return pictures
        return F.interpolate(
            pictures.float(), size=(self.rows, self.columns), mode="bilinear", antialias=True
        ).clamp(0, 1)

    def from_canvas(self, maps: Tensor) -> Tensor:
        """B C h w over the canvas -> B C height width over the picture; what the canvas does not
        cover repeats its edge.
        """
        if self.whole:
            return enlarged(maps, self.height, self.width)
        grid = self._grid(maps).expand(len(maps), -1, -1, -1)
        return remapped(maps, grid, align_corners=False, padding="border")

    def _grid(self, like: Tensor) -> Tensor:
        """Where on the canvas each pixel of the picture lies; -1 and 1 are the canvas's outer
        edges. 1 height width 2
        """
        x = (torch.arange(self.width, device=like.device) + 0.5 - self.left) / self.box_width
        y = (torch.arange(self.height, device=like.device) + 0.5 - self.top) / self.box_height
        return (2 * torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1) - 1)[None].to(
            like.dtype
        )

    def within_box(self, like: Tensor) -> Tensor:
        """1 on the box, falling smoothly to 0 beyond it. 1 1 height width"""
        beyond = (self._grid(like).abs() - 1).clamp(min=0).amax(-1)[:, None] / (2 * MARGIN)
        return smoothstep(1 - beyond)

    def points(self, points: Keypoints) -> Keypoints:
        """The canvas's keypoints as the picture's."""
        cells = points.position.new_tensor([self.columns, self.rows])
        box = points.position.new_tensor([self.box_width, self.box_height])
        spans = 2 * pixels_per_unit(self.height, self.width, points.position)
        corner = points.position.new_tensor([self.left, self.top])
        pixels = corner + ((points.position + 1) / 2 * (cells - 1) + 0.5) / cells * box - 0.5
        scale = (cells - 1) / cells * box / spans
        turned = {"jacobian": scale[:, None] / scale, "covariance": scale[:, None] * scale}
        moved = {name: value * turned[name] for name, value in points.points() if name in turned}
        position = from_pixels(pixels, self.height, self.width)
        return replace(points, position=position, **moved)

    def field(self, field: MotionField) -> MotionField:
        """The canvas's motion in the picture's own pixels, corner-aligned:

        B height width. Identity stays identity.
        """
        # displacement, in spans between the canvas's corner pixels
        grid = field.grid - identity_grid(*field.size, field.grid)
        shift = F.interpolate(
            grid.permute(0, 3, 1, 2),
            size=(self.rows, self.columns),
            mode="bicubic",
            align_corners=True,
        )
        pixels = shift.new_tensor(
            [
                (self.columns - 1) / 2 * self.box_width / self.columns,
                (self.rows - 1) / 2 * self.box_height / self.rows,
            ]
        )
        spans = pixels_per_unit(self.height, self.width, shift)
        shift = self.from_canvas(shift * (pixels / spans)[:, None, None])
        occlusion = tuple(self.from_canvas(level) for level in field.occlusion[-1:])
        if not self.whole:
            inside = self.within_box(shift)
            shift = shift * inside
            occlusion = tuple(1 - (1 - level) * inside for level in occlusion)
        shift = shift.permute(0, 2, 3, 1)
        return MotionField(shift.add_(identity_grid(self.height, self.width, shift)), occlusion)

    def canvas_field(self, field: MotionField) -> MotionField:
        """The way back from `field`: motion over the whole picture as the canvas sees it. B H W 2
        -> B rows columns 2
        """
        whole = field.of_source()
        x, y = (torch.arange(n, device=whole.grid.device) + 0.5 for n in (self.columns, self.rows))
        x = self.left + x / self.columns * self.box_width  # pixels of the picture, 0 its outer edge
        y = self.top + y / self.rows * self.box_height
        place = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # rows columns 2
        spans = 2 * pixels_per_unit(self.height, self.width, place)
        place = from_edges(place, self.height, self.width).expand(len(whole), -1, -1, -1)
        shift = (whole.grid - identity_grid(*whole.size, whole.grid)).permute(0, 3, 1, 2)
        box = place.new_tensor([self.box_width, self.box_height])
        cells = place.new_tensor([self.columns, self.rows])
        scale = spans / box * cells / (cells - 1).clamp(min=1)
        moved = sample(shift, place, True, "border").permute(0, 2, 3, 1) * scale
        occlusion = tuple(sample(level, place, True, "border") for level in whole.occlusion[-1:])
        return MotionField(moved + identity_grid(self.rows, self.columns, moved), occlusion)


def enlarged(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, half-pixel.

    B C h w -> B C height width. On a CPU by OpenCV, which is five times as fast and agrees to 1e-4.
    """
    if (
        maps.device.type != "cpu"
        or maps.requires_grad
        or maps.dtype != torch.float32
        or min(height / maps.shape[2], width / maps.shape[3]) < 1
    ):
        return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)
    import cv2

    pictures = maps.permute(0, 2, 3, 1).contiguous().numpy()
    made = [
        torch.as_tensor(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))
        for picture in pictures
    ]
    made = [picture.view(1, height, width, -1) for picture in made]
    return (made[0] if len(made) == 1 else torch.cat(made)).permute(0, 3, 1, 2)


def box_of(mask: Tensor, height: int, width: int) -> Box | None:
    """The box round what a mask of any size marks in a picture of height x width; None where it
    marks nothing. 1 1 h w, 1 = marked
    """
    rows, columns = (mask[0, 0] > 0.5).nonzero(as_tuple=True)
    if not len(rows):
        return None
    y, x = height / mask.shape[2], width / mask.shape[3]
    return (
        float(columns.min()) * x,
        float(rows.min()) * y,
        (float(columns.max()) + 1) * x,
        (float(rows.max()) + 1) * y,
    )


def in_grid(box: Box, height: int, width: int) -> Box:
    """A box in pixels as coordinates of the picture, -1 the centre of its first pixel, +1 of its
    last. Cut to the picture as `check_box` does.
    """
    corners = torch.tensor(check_box(box, height, width), dtype=torch.float64).view(2, 2)
    (left, top), (right, bottom) = as_lists(from_edges(corners, height, width))
    return left, top, right, bottom


def check_box(box: Box, height: int, width: int) -> Box:
    """The box, cut to the picture. Raises InputError where nothing is left of it."""
    left, top, right, bottom = box
    cut = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    if cut[2] - cut[0] < 1 or cut[3] - cut[1] < 1:
        raise InputError(
            f"The subject's box {tuple(box)} (left, top, right, bottom in pixels) holds nothing of"
            f" a picture of {width}x{height}."
        )
    return cut
