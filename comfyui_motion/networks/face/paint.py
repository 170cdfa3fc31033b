"""A motion field to a frame: the source's own pixels, moved; the mouth's inside; what is behind."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...field import resize_grid
from . import lids, mouth
from .hidden import LAYERED, places
from .raster import NO_MAP, Array
from .source import SourceFace
from .warp import FaceField, farther

NOBODY = 0.15  # of a person in a pixel: with less it is background, which stays
STILL = 2e-3  # pixels: what moves less is copied


def frame(face: SourceFace, field: FaceField) -> Tensor:
    """One frame of a field of one. 3 H W in 0..1"""
    height, width = face.colours.shape[:2]
    made = moved(face, field)
    if field.lips is not None and field.shown is not None and float(field.shown) > 0:
        opening = mouth.Opening.of(in_pixels(field.lips, height, width))
        inside = mouth.made_up(opening.gap) if field.mouth is None else field.mouth[0].cpu()
        painted = mouth.paint(opening, inside, float(field.shown), face.tones, height, width)
        if painted is not None:
            part = made[painted.box]
            part += (painted.colour - part) * painted.share
    draw_seams(made, face, field)
    return made.clamp_(0, 1).permute(2, 0, 1)


def moved(face: SourceFace, field: FaceField) -> Tensor:
    """The picture's own pixels, in front of what they bare. H W 3"""
    import cv2

    height, width = face.colours.shape[:2]
    half = np.maximum(np.array([width, height], np.float32) - 1, 1) / 2
    grid = resize_grid(field.grid, height, width, align_corners=True)[0].cpu().numpy()
    here = (grid + 1) * half  # H W 2, in pixels
    far = farther(here, places(height, width))
    made = face.colours.copy()
    x, y, across, down = cv2.boundingRect((far > STILL).view(np.uint8))
    if not across:
        return torch.from_numpy(made)
    box = slice(y, y + down), slice(x, x + across)
    here, far = here[box], far[box]
    warped = gather(face, here)
    colour = cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)
    shine(face, field.light, colour, here)
    if face.layers is not None:
        person = np.clip(warped[..., 3], 0, 1)
        moving = np.clip((far - LAYERED[0]) / (LAYERED[1] - LAYERED[0]), 0, 1)
        nobody = np.clip((NOBODY - person) / NOBODY, 0, 1)
        share = (1 - person) * cv2.max(moving, nobody)
        plate = np.ascontiguousarray(face.layers.plate[box])
        cv2.copyTo(plate, (share >= 1).view(np.uint8), colour)
        partly = np.nonzero((share > 0) & (share < 1))
        colour[partly] += (plate[partly] - colour[partly]) * share[partly][:, None]
    cv2.copyTo(colour, (far > STILL).view(np.uint8), made[box])
    return torch.from_numpy(made)


def gather(face: SourceFace, here: Array) -> Array:
    """The picture's pixels, and who is in it, at those places. h w 2 -> h w 4"""
    import cv2

    table = face.table
    finer = (table.shape[0] - 1) // max(face.colours.shape[0] - 1, 1)
    return cv2.remap(table, here * finer, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


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


def shine(face: SourceFace, told: Tensor | None, colour: Array, here: Array) -> None:
    """The driver's light onto pixels that come from those places. h w 3, h w 2"""
    import cv2

    if told is None or not bool((told.abs() > 0.004).any()):
        return
    light = told[0, 0].float().cpu().numpy()
    seen = cv2.remap(light, face.cells, NO_MAP, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    rows, columns = face.lit
    height, width = face.colours.shape[:2]
    scale = np.array(face.size[::-1], np.float32) - 1
    scale = scale / np.array([width - 1, height - 1], np.float32)
    at = here * scale - np.array([columns.start, rows.start], np.float32)
    shade = cv2.remap(seen, at, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    x, y, across, down = cv2.boundingRect((np.abs(shade) > 1e-3).view(np.uint8))
    if across:
        box = slice(y, y + down), slice(x, x + across)
        colour[box] = cv2.multiply(colour[box], cv2.merge([cv2.exp(shade[box])] * 3))
