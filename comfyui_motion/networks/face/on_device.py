"""`paint` on a GPU: the picture's pixels are moved there, a frame in some thirty steps.

What is small and of many branches (a mouth's inside, the line between shut lids) is drawn by the
processor beforehand, all frames side by side, and laid over; nothing is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry.pixels import identity_grid
from .hidden import LAYERED
from .paint import NOBODY, STILL, lit, mouth_inside, reaches, seams_of
from .raster import Array
from .source import SourceFace
from .together import side_by_side
from .warp import FaceField

Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Sheets:
    """A source on a device."""

    picture: Tensor  # 3 H W
    table: Tensor  # 1 4 h w: the picture, and who is in it, as `SourceFace.table`
    plate: Tensor | None  # 3 H W: the picture with nobody in it; None: it has no layers


KEPT: WeakKeyDictionary[SourceFace, dict[torch.device, Sheets]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the processor draws of a frame; on the device."""

    light: Tensor | None  # 1 1 h w: logarithms over `SourceFace.lit`
    inside: tuple[Box, Tensor, Tensor] | None  # a mouth's colours and shares: 3 h w, 1 h w
    seams: list[tuple[Box, Tensor]]  # lines between lids, how dark: 1 h w


def frames(faces: tuple[SourceFace, ...], field: FaceField, device: torch.device) -> Tensor:
    """Every frame of a field, of one face or of as many. B 3 H W in 0..1, on the device"""
    height, width = faces[0].colours.shape[:2]
    of = [faces[i % len(faces)] for i in range(len(field))]
    drawn = side_by_side(lambda i: draw(of[i], field[i], device), range(len(field)))
    made = torch.empty(len(field), 3, height, width, device=device)
    for i, face in enumerate(of):
        moved(face, sheets(face, device), field.grid[i].to(device), drawn[i], made[i])
        lay(face, drawn[i], made[i])
    return made


def sheets(face: SourceFace, device: torch.device) -> Sheets:
    """Sent once, and held there as long as the face is."""
    held = KEPT.setdefault(face, {})
    if device not in held:
        held[device] = sheets_of(face, device)
    return held[device]


def sheets_of(face: SourceFace, device: torch.device) -> Sheets:
    with torch.inference_mode(False):  # what is kept outlives the mode it was asked for in
        plate = None
        if face.layers is not None:
            height, width = face.colours.shape[:2]
            whole = slice(0, height), slice(0, width)
            plate = sent(channels(face.layers.behind(whole, face.colours)), device)
        picture, table = (channels(pixels) for pixels in (face.colours, face.table))
        return Sheets(sent(picture, device), sent(table, device)[None], plate)


def channels(pixels: Array) -> Tensor:
    """H W C -> C H W"""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def sent(values: Tensor, device: torch.device) -> Tensor:
    return values.to(device, non_blocking=True)


def draw(face: SourceFace, field: FaceField, device: torch.device) -> Drawn:
    """Of a field of one frame."""
    height, width = face.colours.shape[:2]
    light, painted = lit(face, field.light), mouth_inside(face, field, height, width)
    inside = None
    if painted is not None:
        parts = (part.permute(2, 0, 1).contiguous() for part in (painted.colour, painted.share))
        colour, share = (sent(part, device) for part in parts)
        inside = painted.box, colour, share
    return Drawn(
        None if light is None else sent(torch.from_numpy(light)[None, None], device),
        inside,
        [(box, sent(channels(dark), device)) for box, dark in seams_of(field, height, width)],
    )


def moved(face: SourceFace, sheet: Sheets, grid: Tensor, drawn: Drawn, made: Tensor) -> None:
    """The picture's own pixels, in front of what they bare, into `made`, 3 H W. grid: h w 2"""
    height, width = made.shape[1:]
    away = grid - identity_grid(*grid.shape[:2], like=grid)
    went = upsampled(away.permute(2, 0, 1), height, width)  # 2 H W, in -1..1
    at = went.permute(1, 2, 0) + identity_grid(height, width, like=grid)
    deep = 2 * reaches(face) / np.maximum([width - 1, height - 1], 1)
    at = torch.stack([within(at[..., k], deep[:, k]) for k in (0, 1)], -1)
    x, y = went.abs().unbind()
    far = torch.maximum(x * ((width - 1) / 2), y * ((height - 1) / 2))  # pixels
    seen = F.grid_sample(sheet.table, at[None], padding_mode="border", align_corners=True)[0]
    colour, person = seen[:3], seen[3].clamp(0, 1)
    if drawn.light is not None:
        colour = colour * shade(face, drawn.light, at)
    if sheet.plate is not None:
        share = torch.maximum(
            (far - LAYERED[0]) / (LAYERED[1] - LAYERED[0]), (NOBODY - person) / NOBODY
        ).clamp(0, 1) * (1 - person)
        colour = torch.lerp(colour, sheet.plate, share)
    torch.where(far > STILL, colour.clamp(0, 1), sheet.picture, out=made)


def within(at: Tensor, deep: Array) -> Tensor:
    """See `paint.within`, of places in -1..1."""
    for sign, reach in zip((-1, 1), deep.tolist(), strict=True):
        beyond = (sign * at - 1).clamp(min=0)
        back = sign * (1 - reach * (1 - (-beyond / reach).exp()))
        at = torch.where(beyond > 0, back, at)
    return at


def upsampled(values: Tensor, height: int, width: int) -> Tensor:
    """Corners on corners. C h w -> C H W"""
    if values.shape[1:] == (height, width):
        return values
    return F.interpolate(values[None], (height, width), mode="bilinear", align_corners=True)[0]


def shade(face: SourceFace, light: Tensor, at: Tensor) -> Tensor:
    """What light multiplies pixels by that come from those places. H W 2 in -1..1 -> 3 H W"""
    places = []
    for k, (part, side) in enumerate(zip(face.lit[::-1], face.size[::-1], strict=True)):
        pixels = (at[..., k] + 1) * ((side - 1) / 2) - part.start
        places.append(pixels * (2 / max(part.stop - part.start - 1, 1)) - 1)
    read = F.grid_sample(light, torch.stack(places, -1)[None], align_corners=True)[0]
    return torch.cat([(read * float(share)).exp() for share in face.tint])


def lay(face: SourceFace, drawn: Drawn, made: Tensor) -> None:
    """The mouth's inside and the lines between lids over a frame. 3 H W"""
    if drawn.inside is not None:
        box, colour, share = drawn.inside
        part = made[(slice(None), *box)]
        part.copy_(torch.lerp(part, colour, share).clamp_(0, 1))
    for box, dark in drawn.seams:
        for part, tone in zip(made[(slice(None), *box)], face.lashes.tolist(), strict=True):
            part.add_((part.clamp(max=tone) - part) * dark[0])
