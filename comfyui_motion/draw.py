"""Keypoints, fields and parts made visible.

Pictures are B 3 H W, float32 in 0..1, and never written into.
"""

from __future__ import annotations

import colorsys
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .field import MotionField, resize
from .framing.canvas import Box
from .geometry.pixels import identity_grid
from .keypoints import Keypoints
from .shapes import as_lists, check_shape

if TYPE_CHECKING:
    import numpy as np

SUBPIXEL = 4  # bits of OpenCV's fixed-point coordinates


def palette(count: int) -> Tensor:
    """`count` colours that differ, the same ones every time. count 3 in 0..1"""
    colours = [
        colorsys.hsv_to_rgb((i * 0.618034) % 1, 0.75 if i % 2 else 0.55, 1.0 if i % 3 else 0.85)
        for i in range(count)
    ]
    return torch.tensor(colours, dtype=torch.float32).view(count, 3)


def draw_keypoints(pictures: Tensor, keypoints: Keypoints, axes: bool = True) -> Tensor:
    """A dot on each point, one colour a point, and its local frame as two strokes where it has one.
    Points that make up lines are drawn as those: lattices as grids. B 3 H W

    One picture serves any number of frames. Points a model is unsure of are faint.
    """
    check_shape("pictures", pictures, "B 3 H W")
    count = max(len(keypoints), len(pictures))
    drawn = [
        _draw_points(
            pictures[min(i, len(pictures) - 1)], keypoints[min(i, len(keypoints) - 1)], axes
        )
        for i in range(count)
    ]
    return torch.stack(drawn)


def _draw_points(picture: Tensor, points: Keypoints, axes: bool) -> Tensor:
    import numpy as np

    canvas = np.ascontiguousarray(
        (picture.float().clamp(0, 1) * 255).byte().permute(1, 2, 0).cpu().numpy()
    )
    height, width = canvas.shape[:2]
    half = np.array([width - 1, height - 1]) / 2
    centres = (points.position[0].cpu().numpy() + 1) * half  # K 2, in pixels
    lines = points.lines()
    if lines:
        _draw_lines(canvas, centres, lines)
    else:
        radius = max(0.75, min(height, width) / 90 * min(1.0, (40 / points.count) ** 0.5))
        _draw_dots(canvas, centres, points, radius, axes)
    return torch.as_tensor(canvas).permute(2, 0, 1).float() / 255


def _fixed(positions: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV's fixed-point numbers, what lies far outside brought nearer."""
    import numpy as np

    span = np.array(canvas.shape[1::-1])
    near = np.minimum(np.maximum(np.nan_to_num(positions), -4 * span), 5 * span)
    return np.rint(near * 2**SUBPIXEL).astype(int)


def _draw_lines(canvas: np.ndarray, centres: np.ndarray, lines: Sequence[Tensor]) -> None:
    """Dark below and bright above, so that they are seen on any picture."""
    import cv2

    at = _fixed(centres, canvas).astype("int32")
    runs = [at[line.numpy()][:, None] for line in lines]
    width = max(1, round(min(canvas.shape[:2]) / 400))
    cv2.polylines(canvas, runs, False, (0, 0, 0), width + 1, cv2.LINE_AA, SUBPIXEL)
    for run, colour in zip(runs, as_lists(palette(len(runs)) * 255), strict=True):
        cv2.polylines(canvas, [run], False, colour, width, cv2.LINE_AA, SUBPIXEL)


def _draw_dots(
    canvas: np.ndarray, centres: np.ndarray, points: Keypoints, radius: float, axes: bool
) -> None:
    import cv2

    colours = palette(points.count) * 255
    if points.confidence is not None:
        colours = colours * (0.35 + 0.65 * points.confidence[0].cpu()[:, None])
    crowded = radius < 1.5  # rims and strokes would hide the picture
    size = round(radius * 2**SUBPIXEL)
    at = as_lists(_fixed(centres, canvas))
    tips = []
    if points.jacobian is not None and axes and not crowded:
        frames = points.jacobian[0].cpu().numpy() * radius * 3  # K 2 2
        tips = [as_lists(_fixed(centres + frames[..., axis], canvas)) for axis in range(2)]
    thick = max(1, round(radius / 3))
    for i, (centre, colour) in enumerate(zip(at, as_lists(colours), strict=True)):
        for ends in tips:
            cv2.line(canvas, centre, ends[i], colour, thick, cv2.LINE_AA, SUBPIXEL)
        if not crowded:
            rim = size + 2**SUBPIXEL
            cv2.circle(canvas, centre, rim, (0, 0, 0), -1, cv2.LINE_AA, SUBPIXEL)
        cv2.circle(canvas, centre, size, colour, -1, cv2.LINE_AA, SUBPIXEL)


def draw_faces(picture: Tensor, boxes: Sequence[Box], chosen: Container[int] = ()) -> Tensor:
    """A frame round each face, and its number, from 1 in the order given: bright round those that
    are chosen, pale round the others. 1 3 H W

    boxes  left, top, right, bottom in pixels
    """
    import numpy as np

    check_shape("picture", picture, "1 3 H W")
    pixels = (picture[0].float().clamp(0, 1) * 255).byte().permute(1, 2, 0).cpu().numpy()
    canvas = np.ascontiguousarray(pixels)
    for number, box in enumerate(boxes, 1):
        colour = (255, 208, 0) if number in chosen else (235, 235, 235)
        _draw_numbered(canvas, [round(side) for side in box], str(number), colour)
    return torch.as_tensor(canvas).permute(2, 0, 1)[None].float() / 255


def _draw_numbered(
    canvas: np.ndarray, box: Sequence[int], number: str, colour: tuple[int, int, int]
) -> None:
    """A frame, and its number on a label above it, or inside where there is no room above."""
    import cv2

    left, top, right, bottom = box
    width = max(1, round(min(canvas.shape[:2]) / 240))
    size = max(0.4, min((right - left) / 90, min(canvas.shape[:2]) / 300))
    (wide, high), _ = cv2.getTextSize(number, cv2.FONT_HERSHEY_SIMPLEX, size, width)
    room = 3 * width
    x = min(max(left, 0), max(canvas.shape[1] - wide - 2 * room, 0))
    y = top if top > high + 2 * room else max(top, 0) + high + 2 * room
    for tint, thick in (((0, 0, 0), 3 * width), (colour, width)):
        cv2.rectangle(canvas, (left, top), (right, bottom), tint, thick, cv2.LINE_AA)
    label = (x, y - high - 2 * room), (x + wide + 2 * room, y)
    cv2.rectangle(canvas, *label, colour, -1)
    foot = (x + room, y - room)
    cv2.putText(canvas, number, foot, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), width, cv2.LINE_AA)


def draw_field(field: MotionField, height: int, width: int, reach: float | None = None) -> Tensor:
    """Where each pixel reads from: hue is the direction, saturation how far, what is hidden dark. B
    3 height width

    `reach` is the displacement of full saturation, in half-pictures; None: the largest of the
    batch.
    """
    from kornia.color import hsv_to_rgb

    moved = (field.grid - identity_grid(*field.size, field.grid)).permute(0, 3, 1, 2)  # B 2 H W
    far = moved.square().sum(1).sqrt()
    full = max(reach if reach is not None else float(far.max()), 1e-3)
    hue = torch.atan2(moved[:, 1], moved[:, 0]) / (2 * torch.pi) % 1
    saturation = (far / full).clamp(0, 1)
    hsv = torch.stack([hue * 2 * torch.pi, saturation, torch.ones_like(hue)], dim=1)
    shown = 1 - 0.65 * field.occlusion_mask(height, width)
    return resize(hsv_to_rgb(hsv), height, width).clamp(0, 1) * shown


def draw_parts(parts: Tensor, pictures: Tensor | None = None, opacity: float = 0.6) -> Tensor:
    """Each part in a colour of its own, over the pictures where they are given; the background
    stays. B K+1 h w -> B 3 H W
    """
    check_shape("parts", parts, "B K H W")
    parts = parts.float().cpu()
    size = parts.shape[-2:] if pictures is None else pictures.shape[-2:]
    soft = resize(parts, *size)
    colour = torch.einsum("bkhw,kc->bchw", soft[:, 1:], palette(parts.shape[1] - 1))
    under = torch.zeros_like(colour) if pictures is None else pictures.float().cpu()
    covered = soft[:, 1:].sum(1, keepdim=True).clamp(0, 1) * (1 if pictures is None else opacity)
    return (under * (1 - covered) + colour * (1 if pictures is None else opacity)).clamp(0, 1)


def contact_sheet(rows: Sequence[Tensor], height: int = 192, gap: int = 4) -> Tensor:
    """Rows of frames, one below the other, in columns; every frame `height` high.

    Each row N 3 H W -> 1 3 h w
    """
    shrunk = [_shrunk(row, height) for row in rows]
    widest = max(row.shape[-1] for row in shrunk)
    return torch.cat([_line(row, widest, gap) for row in shrunk], dim=2)


def _line(row: Tensor, width: int, gap: int) -> Tensor:
    spare = width - row.shape[-1]
    cells = F.pad(row, (spare // 2, spare - spare // 2 + gap, 0, gap), value=0.12)
    return torch.cat(list(cells), dim=2)[None]


def below(upper: Tensor, lower: Tensor, value: float = 0.12) -> Tensor:
    """Two sheets, one below the other, the narrower one in the middle. 1 3 h w"""
    width = max(upper.shape[-1], lower.shape[-1])
    spare = [width - sheet.shape[-1] for sheet in (upper, lower)]
    return torch.cat(
        [
            F.pad(sheet, (room // 2, room - room // 2), value=value)
            for sheet, room in zip((upper, lower), spare, strict=True)
        ],
        dim=2,
    )


def evenly(total: int, wanted: int) -> list[int]:
    """Up to `wanted` frame numbers of `total`, first and last among them."""
    if total <= wanted:
        return list(range(total))
    return [round(i * (total - 1) / (wanted - 1)) for i in range(wanted)]


class Samples:
    """Small copies of evenly spaced moments of a clip of unknown length, in constant memory."""

    def __init__(self, wanted: int = 8, height: int = 192) -> None:
        self.wanted, self.height, self.stride, self.seen = wanted, height, 1, 0
        self.kept: list[tuple[int, list[Tensor]]] = []  # frame number, a picture for each row

    def add(self, *rows: Tensor) -> None:
        """The next frames, each row B 3 H W of one B."""
        for moment in zip(*(torch.split(row, 1) for row in rows), strict=True):
            if self.seen % self.stride == 0:
                self.kept.append((self.seen, [_shrunk(picture, self.height) for picture in moment]))
            self.seen += 1
            if len(self.kept) > 4 * self.wanted:
                self.stride *= 2
                self.kept = [kept for kept in self.kept if kept[0] % self.stride == 0]

    def sheet(self) -> Tensor:
        """A contact sheet of the moments kept, one line a row. 1 3 h w"""
        chosen = [self.kept[i][1] for i in evenly(len(self.kept), self.wanted)]
        return contact_sheet([torch.cat(row) for row in zip(*chosen, strict=True)], self.height)


def _shrunk(picture: Tensor, height: int) -> Tensor:
    width = max(1, round(picture.shape[-1] * height / picture.shape[-2]))
    return F.interpolate(
        picture.float().cpu(), size=(height, width), mode="bilinear", antialias=True
    ).clamp(0, 1)
