"""A motion field to a frame: the source's own pixels, moved; the mouth's inside; what is behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry.pixels import identity_grid
from . import lids, mouth, teeth
from .held import unlit
from .hidden import LAYERED, places_in
from .raster import NO_MAP, Array, both, farthest
from .source import SourceFace
from .together import one_by_one, side_by_side
from .topology import SURFACE
from .warp import FaceField

NOBODY = 0.15  # of a person in a pixel: with less it is background, which stays
STILL = 2e-3  # pixels: what moves less is copied
REACH, LEAST = 0.35, 0.02  # eye distances that a picture is mirrored at its edges
HALFWAY = 0.35  # of the way to the face, at most
STRIP, LEAST_ROWS = 1 << 17, 8  # pixels, and rows, that are worked on at once


def frames(faces: tuple[SourceFace, ...], field: FaceField) -> Tensor:
    """Every frame of a field, of one face or of as many. B 3 H W in 0..1"""
    made = torch.empty(len(field), *faces[0].colours.shape)  # B H W 3
    share = side_by_side if len(field) == 1 else one_by_one

    def paint_one(i: int) -> None:
        frame(faces[i % len(faces)], field[i], made[i], share)

    side_by_side(paint_one, range(len(field)))
    return made.permute(0, 3, 1, 2)


def frame(
    face: SourceFace, field: FaceField, made: Tensor, share: Callable[..., Any] = one_by_one
) -> None:
    """One frame of a field of one, into `made`, H W 3 in 0..1. `share` works on its strips."""
    height, width = face.colours.shape[:2]
    moved(face, field, made.numpy(), share)
    painted = mouth_inside(face, field, height, width)
    if painted is not None:
        part = made[painted.box]
        part += (painted.colour - part) * painted.share
        part.clamp_(0, 1)
    draw_seams(made, face, field)


def mouth_inside(
    face: SourceFace, field: FaceField, height: int, width: int
) -> mouth.Painted | None:
    """Of a frame of that size; None where none shows."""
    if field.lips is None or field.shown is None:
        return None
    told = float(field.shown)
    if face.teeth is None and not told > 0:
        return None
    opening = mouth.Opening.of(in_pixels(field.lips, height, width))
    driven = None if field.mouth is None else field.mouth[0].cpu()
    if face.teeth is None or field.skull is None:
        inside = mouth.made_up(opening.gap) if driven is None else driven
        return mouth.paint(opening, inside, told, face.tones, height, width)
    back = teeth.in_pixels(field.skull[0], (height, width), face.size)
    window = teeth.Window(opening, face.mouth, back)
    inside = beside_teeth(opening, driven, window.shows())
    painted = mouth.paint(opening, inside, 1.0, face.tones, height, width)
    return None if painted is None else teeth.spared(painted, told, face.teeth, window)


def beside_teeth(opening: mouth.Opening, driven: Tensor | None, own: float) -> Tensor:
    """What is painted between lips that show the picture's own teeth, as far as they do (`own`,
    0..1): no driver's, 2 h w, but darkness.
    """
    if driven is not None and own == 0:
        return driven
    made = mouth.made_up(opening.gap, with_teeth=False)
    if driven is None or own == 1:
        return made
    driven = F.interpolate(driven[None].float(), size=made.shape[1:], mode="bilinear")[0]
    return torch.lerp(driven, made, own)


def moved(face: SourceFace, field: FaceField, made: Array, share: Callable[..., Any]) -> None:
    """The picture's own pixels, in front of what they bare, into `made`, H W 3.

    In strips, so that what is between fits into a processor's own memory.
    """
    height, width = face.colours.shape[:2]
    grid = field.grid[0].cpu().numpy()
    light = lit(face, field.light)
    rows = min(max(LEAST_ROWS, STRIP // width), (height + 1) // 2)

    def move(top: int) -> None:
        strip = slice(top, min(top + rows, height))
        made[strip] = face.colours[strip]
        move_strip(face, motion_of(grid, strip, height, width), strip, light, made)

    share(move, range(0, height, rows))


def move_strip(
    face: SourceFace, went: Array, strip: slice, light: Array | None, made: Array
) -> None:
    """Some rows of a frame, by where their pixels come from, less where they are. h W 2"""
    import cv2

    far = farthest(went)
    moves = (far > STILL).view(np.uint8)
    x, y, across, down = cv2.boundingRect(moves)
    if not across:
        return
    part = slice(y, y + down), slice(x, x + across)
    box = slice(strip.start + y, strip.start + y + down), part[1]
    went = np.ascontiguousarray(went[part])
    warped, here = gather(face, went, box, float(far.max()))
    colour = cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)
    if light is not None:
        shine(face, light, colour, here)
    if face.layers is not None:
        lay_over(colour, warped[..., 3], far[part], face.layers.behind(box, made[box]))
    np.clip(colour, 0, 1, out=colour)  # bicubic reading and light lead beyond
    cv2.copyTo(colour, np.ascontiguousarray(moves[part]), made[box])


def motion_of(grid: Array, strip: slice, height: int, width: int) -> Array:
    """Where pixels come from, less where they are, in pixels of a picture of that size, for some
    of its rows. h w 2 in -1..1 -> h' W 2
    """
    import cv2

    rows, columns = grid.shape[:2]
    if (rows, columns) == (height, width):
        return went_by(grid, strip, height, width)
    right, down = (columns - 1) / max(width - 1, 1), (rows - 1) / max(height - 1, 1)
    first = max(int(strip.start * down) - 1, 0)
    some = slice(first, min(int(strip.stop * down) + 3, rows))
    went = went_by(grid, some, height, width)
    return cv2.warpAffine(
        went,
        np.array([[right, 0, 0], [0, down, strip.start * down - first]]),
        (width, strip.stop - strip.start),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def went_by(grid: Array, part: slice, height: int, width: int) -> Array:
    """Some rows of a grid less where it is at rest, in pixels of a picture of that size."""
    rows, columns = grid.shape[:2]
    still = identity_grid(rows, columns)[part].flatten(1)
    went = torch.from_numpy(grid[part]).flatten(1) - still
    return went.mul_(half(height, width, columns)).numpy().reshape(-1, columns, 2)


@lru_cache(maxsize=16)
def half(height: int, width: int, columns: int) -> Tensor:
    """Pixels in a half of a picture, of every number in a row of a grid. columns*2"""
    with torch.inference_mode(False):  # what is kept outlives the mode it was asked for in
        return torch.tensor([(width - 1) / 2, (height - 1) / 2]).repeat(columns)


def gather(
    face: SourceFace, went: Array, box: tuple[slice, slice], far: float
) -> tuple[Array, Array]:
    """The picture's pixels, and who is in it, from where a box of them came (h w 2 -> h w 4), no
    further than `far`; and those places, h w 2.
    """
    import cv2

    table = face.table
    height, width = face.colours.shape[:2]
    finer = (table.shape[0] - 1) // max(height - 1, 1)
    here = cv2.add(went, places_in(box, height, width))
    for axis, (side, end) in enumerate(zip(box[::-1], (width, height), strict=True)):
        if side.start < far or side.stop + far > end:
            within(here[..., axis], end - 1, *reaches(face)[:, axis])
    at = cv2.multiply(here, both(finer, finer)) if finer != 1 else here
    kind, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return cv2.remap(table, at, NO_MAP, kind, borderMode=border), here


def reaches(face: SourceFace) -> Array:
    """How deep what is beyond the picture's left, top, right and bottom edge is read from within
    it, in pixels: hardly, where the face is next to it. 2 2
    """
    points, size = face.points[:SURFACE, :2], np.array(face.size[::-1])
    apart = float(np.hypot(*(points[33] - points[263])))
    room = np.stack([points.min(0), size - 1 - points.max(0)])
    deep = np.clip(HALFWAY * room, LEAST * apart, REACH * apart)
    return deep * (np.array(face.colours.shape[1::-1]) / size)


def within(places: Array, last: int, first_deep: float, last_deep: float) -> None:
    """Places along a side, 0..last, brought back into it in place: mirrored at its ends, but never
    deeper than so; thus hair that is cut off goes on as hair, and no face is mirrored. h w
    """
    sides = ((-places, 1, 0, first_deep), (places - last, -1, last, last_deep))
    for beyond, sign, end, deep in sides:
        out = beyond > 0
        if out.any():
            places[out] = end + sign * deep * (1 - np.exp(-beyond[out] / deep))


def lay_over(colour: Array, person: Array, far: Array, plate: Array) -> None:
    """What is behind, where nobody is shown and something moves, into `colour`. h w 3, h w, h w,
    h w 3
    """
    import cv2

    person = np.clip(person, 0, 1)
    share = (far - LAYERED[0]) / (LAYERED[1] - LAYERED[0])
    nobody = (NOBODY - person) / NOBODY
    np.clip(cv2.max(share, nobody, dst=share), 0, 1, out=share)
    share *= np.subtract(1, person, out=person)
    cv2.copyTo(plate, (share >= 1).view(np.uint8), colour)
    partly = np.nonzero((share > 0) & (share < 1))
    colour[partly] += (plate[partly] - colour[partly]) * share[partly][:, None]


def draw_seams(made: Tensor, face: SourceFace, field: FaceField) -> None:
    """The line between lids that are shut, into the frame."""
    tone = made.new_tensor(face.lashes)
    for box, dark in seams_of(field, *made.shape[:2]):
        part = made[box]
        part += (torch.minimum(tone, part) - part) * torch.from_numpy(dark).to(part.device)


def seams_of(
    field: FaceField, height: int, width: int
) -> Iterator[tuple[tuple[slice, slice], Array]]:
    """The line between lids that are shut: boxes of a frame, and how dark it is there. h w 1"""
    if field.seams is None or field.shut is None:
        return
    for i, shut in enumerate(field.shut[0].tolist()):
        if shut > 0:
            yield lids.seam(in_pixels(field.seams[:, i], height, width), shut, height, width)


def in_pixels(points: Tensor, height: int, width: int) -> np.ndarray:
    """1 K 2 in -1..1 -> K 2"""
    half = points.new_tensor([width - 1, height - 1]) / 2
    return ((points[0] + 1) * half).double().cpu().numpy()


def lit(face: SourceFace, told: Tensor | None) -> Array | None:
    """The driver's light over the source's face: logarithms over `face.lit`; None without any."""
    import cv2

    if told is None or not bool((told.abs() > 0.004).any()):
        return None
    light = told[0, 0].float().cpu().numpy()
    if face.covered:
        light = light * (1 - unlit())
    return cv2.remap(light, face.cells, NO_MAP, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)


def shine(face: SourceFace, light: Array, colour: Array, here: Array) -> None:
    """Light onto pixels that come from those places. h w 3, h w 2"""
    import cv2

    rows, columns = face.lit
    height, width = face.colours.shape[:2]
    across, down = (np.array(face.size[::-1]) - 1) / np.maximum([width - 1, height - 1], 1)
    at = cv2.multiply(here, both(across, down))
    at = cv2.subtract(at, both(columns.start, rows.start))
    shade = cv2.remap(light, at, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    x, y, across, down = cv2.boundingRect((shade != 0).view(np.uint8))
    if across:
        box = slice(y, y + down), slice(x, x + across)
        shades = [cv2.exp(cv2.multiply(shade[box], share)) for share in face.tint.tolist()]
        colour[box] = cv2.multiply(colour[box], cv2.merge(shades))
