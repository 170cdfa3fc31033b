"""A motion field to a frame: the source's own pixels, moved; the mouth's inside; what is behind."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...field import identity_grid, resize
from . import lids, mouth
from .hidden import LAYERED
from .source import SourceFace
from .warp import FaceField

STILL = 2e-3  # pixels: what moves less is copied
Box = tuple[slice, slice]


def frame(face: SourceFace, field: FaceField) -> Tensor:
    """One frame of a field of one. 3 H W in 0..1"""
    height, width = face.pixels.shape[:2]
    offset = offset_of(field, height, width)
    made = face.pixels[..., :3].clone()
    box = moving(offset)
    if box is not None:
        made[box] = moved(face, lit(face, field.light), offset[box], box)
    if field.mouth is not None and field.shown is not None and float(field.shown) > 0:
        opening = mouth.Opening.of(in_pixels(field.lips, height, width))
        painted = mouth.paint(
            opening, field.mouth[0], float(field.shown), face.tones, height, width
        )
        if painted is not None:
            part = made[painted.box]
            part += (painted.colour - part) * painted.share
    draw_seams(made, face, field)
    return made.clamp_(0, 1).permute(2, 0, 1)


def draw_seams(made: Tensor, face: SourceFace, field: FaceField) -> None:
    """The line between lids that are shut, into the frame."""
    height, width = made.shape[:2]
    if field.seams is None or field.shut is None:
        return
    tone = made.new_tensor(face.lashes)
    for i, shut in enumerate(field.shut[0].tolist()):
        if shut > 0:
            curve = in_pixels(field.seams[:, i], height, width)
            box, dark = lids.seam(curve, shut, height, width)
            part = made[box]
            part += (torch.minimum(tone, part) - part) * torch.from_numpy(dark).to(part.device)


def in_pixels(points: Tensor, height: int, width: int) -> np.ndarray:
    """1 K 2 in -1..1 -> K 2"""
    half = points.new_tensor([width - 1, height - 1]) / 2
    return ((points[0] + 1) * half).double().cpu().numpy()


def offset_of(field: FaceField, height: int, width: int) -> Tensor:
    """Where each pixel comes from, less where it is, in pixels. H W 2"""
    still = identity_grid(*field.size, like=field.grid)
    offset = (field.grid - still).permute(0, 3, 1, 2)
    offset = resize(offset, height, width, align_corners=True)[0].permute(1, 2, 0)
    return offset * (offset.new_tensor([width - 1, height - 1]) / 2)


def moving(offset: Tensor) -> Box | None:
    """The smallest box of all that moves."""
    far = offset.abs().amax(-1) > STILL
    rows, columns = far.any(1).nonzero(), far.any(0).nonzero()
    if not len(rows):
        return None
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def lit(face: SourceFace, told: Tensor | None) -> Tensor:
    """The source's pixels under the driver's light. H W 4"""
    if told is None or not bool((told.abs() > 0.004).any()):
        return face.pixels
    import cv2

    seen = cv2.remap(
        told[0, 0].float().cpu().numpy(),
        face.cells[..., 0],
        face.cells[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
    )
    rows, columns = face.lit
    down, across = (p / f for p, f in zip(face.pixels.shape[:2], face.size, strict=True))
    box = (
        slice(round(rows.start * down), round(rows.stop * down)),
        slice(round(columns.start * across), round(columns.stop * across)),
    )
    pixels = face.pixels.clone()
    part = pixels[box][..., :3]
    shade = torch.from_numpy(seen).to(pixels.device)[None, None]
    part *= torch.exp(resize(shade, *part.shape[:2])[0, 0])[..., None]
    return pixels


def moved(face: SourceFace, pixels: Tensor, offset: Tensor, box: Box) -> Tensor:
    """The box's pixels, and in front of what they move. h w 3"""
    warped = gather(pixels, offset, box)
    colour, person = warped[..., :3], warped[..., 3:]
    far = offset.norm(dim=-1, keepdim=True)
    if face.layers is not None:
        share = ((far - LAYERED[0]) / (LAYERED[1] - LAYERED[0])).clamp(0, 1)
        plate = torch.from_numpy(face.layers.plate).to(pixels.device)[box]
        colour = colour + (plate - colour) * ((1 - person.clamp(0, 1)) * share)
    return torch.where(far > STILL, colour, pixels[box][..., :3])


def gather(pixels: Tensor, offset: Tensor, box: Box) -> Tensor:
    """Read bicubically, each pixel of the box from so far away. H W C, h w 2 -> h w C"""
    rows, columns = box
    height, width = pixels.shape[:2]
    y = torch.arange(rows.start, rows.stop, device=pixels.device, dtype=torch.float32)[:, None]
    x = torch.arange(columns.start, columns.stop, device=pixels.device, dtype=torch.float32)
    at_x, at_y = x + offset[..., 0], y + offset[..., 1]
    if pixels.device.type == "cpu":
        import cv2

        read = cv2.remap(
            pixels.numpy(),
            at_x.numpy(),
            at_y.numpy(),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return torch.from_numpy(read)
    grid = torch.stack([at_x / (width - 1), at_y / (height - 1)], dim=-1)[None] * 2 - 1
    read = F.grid_sample(
        pixels.permute(2, 0, 1)[None], grid, "bicubic", "border", align_corners=True
    )
    return read[0].permute(1, 2, 0)
