"""What a source picture alone decides of how its face can move."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from . import light, teeth
from .layers import Layers
from .lids import lash_tone, widened
from .lips import parted
from .mouth import Opening, Tones
from .raster import Array, draw
from .relief import nearer
from .surroundings import Surroundings

FINE = 1_300_000  # pixels of a picture that is kept at twice its size
APART = 90  # pixels of the motion field between the eyes are enough
LEAST, MOST = 400, 1024  # of its longer side, unless the picture is smaller


@dataclass(frozen=True, eq=False)
class SourceFace:
    """One face of one picture."""

    points: Array  # 478 3, in pixels of the motion field
    # 468 2: what is to be added so that the mesh's lids and lips are the picture's own
    lids: Array
    nearer: Tensor  # 478: see `relief.nearer`
    size: tuple[int, int]  # height and width of the motion field
    surroundings: Surroundings
    tones: Tones
    lashes: Array  # 3: the colour of the line between shut lids
    lit: tuple[slice, slice]  # the box of the motion field that light falls on
    cells: Array  # h w 2: of the canonical face's map, that each of its pixels shows
    tint: Array  # 3: how much of a shade red, green and blue take on this skin
    layers: Layers | None
    person: Array  # h w in 0..1: who is in it, over half the motion field
    colours: Array  # H W 3: the picture
    table: Array  # H W 4, or finer: the picture and who is in it, to be read bilinearly
    teeth: Array | None = None  # ROWS COLUMNS: where its mouth at rest shows teeth, see `teeth`
    seen: Array | None = None  # N 2: how far open lids look, drawn as `lids.DRAWN`
    covered: bool = False  # whether something is held before the mouth

    @cached_property
    def rest(self) -> Array:
        """The mesh at rest with the picture's own lids and lips. 478 3"""
        points = self.points.copy()
        points[: len(self.lids), :2] += self.lids
        return points

    @cached_property
    def mouth(self) -> Opening:
        """Where it opens at rest."""
        return Opening.of(self.rest[:, :2])

    @staticmethod
    def of(
        picture: Tensor, points: Tensor, mask: Array | None, lids: Array | None = None
    ) -> SourceFace:
        """3 H W in 0..1, 478 3 in pixels of it, the person mask's answer (h w) or None; `lids` in
        pixels of it, where they are known.
        """
        height, width = picture.shape[1:]
        plain = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())
        apart = float((points[33] - points[263]).norm())
        size = field_size(height, width, apart)
        places = to_field(points, (height, width), size)

        layers = None if mask is None else Layers.of(plain, mask, apart)
        person = np.ones_like(plain[..., :1]) if layers is None else layers.person[..., None]
        at = points.double().numpy()
        wider = widened(plain, at) + parted(plain, at) if lids is None else lids
        scale = (np.array(size[::-1]) - 1) / (np.array([width, height]) - 1)
        both = np.concatenate([plain, person], axis=2)
        table = finer(both)
        if layers is not None and table is both:  # large pictures are kept once
            layers = replace(layers, person=both[..., 3])
        tones = Tones.of(plain, points[:, :2].numpy())
        own = points[:, :2].numpy().copy()
        own[: len(wider)] += wider
        lit, cells = lit_cells(places.numpy(), size)
        return SourceFace(
            points=places.numpy().astype(np.float64),
            lids=wider * scale,
            nearer=nearer(places),
            size=size,
            surroundings=Surroundings.of(places, *size),
            tones=tones,
            lashes=lash_tone(plain, points.double().numpy()),
            lit=lit,
            cells=cells,
            tint=light.tint(tones.skin),
            layers=layers,
            person=np.ascontiguousarray(halved(person, size)),
            colours=plain if table is not both else both[..., :3],
            table=table,
            teeth=teeth.shown(plain, own, tones),
        )


def halved(person: Array, size: tuple[int, int]) -> Array:
    """Every other pixel of the motion field."""
    import cv2

    return cv2.resize(person, size[::-1], interpolation=cv2.INTER_AREA)[::2, ::2]


def finer(pixels: Array) -> Array:
    """Pictures that are not large, with a bicubic pixel between any two: read bilinearly they are
    as sharp as if read bicubically, in a sixth of the time. H W C -> 2H-1 2W-1 C
    """
    import cv2

    height, width = pixels.shape[:2]
    if height * width > FINE or min(height, width) < 4:
        return pixels
    down, across = (np.arange(2 * side - 1, dtype=np.float32) / 2 for side in (height, width))
    x, y = np.tile(across, (len(down), 1)), np.repeat(down[:, None], len(across), axis=1)
    made = cv2.remap(pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    made[::2, ::2] = pixels
    return made


def field_size(height: int, width: int, apart: float) -> tuple[int, int]:
    """Height and width of the motion field: as fine as a face's lids need, no finer."""
    longest = max(height, width)
    wanted = longest * min(1.0, APART / max(apart, 1e-3))
    wanted = min(longest, max(LEAST, min(wanted, MOST)))
    down, across = (max(2, round(side * wanted / longest)) for side in (height, width))
    return down, across


def to_field(points: Tensor, size: tuple[int, int], field: tuple[int, int]) -> Tensor:
    """Points in pixels of a picture, in those of its motion field. ... 3"""
    down, across = ((f - 1) / max(s - 1, 1) for f, s in zip(field, size, strict=True))
    return points * points.new_tensor([across, down, (across * down) ** 0.5])


def lit_cells(points: Array, size: tuple[int, int]) -> tuple[tuple[slice, slice], Array]:
    """Where the face is, and which cell of the canonical face's map each pixel there shows."""
    cells = np.concatenate([light.over_face(), np.zeros((468, 1))], axis=1)
    raster = draw(cells, points, *size)
    rows, columns = raster.label.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    shown = raster.motion + np.stack([x, y], -1) + [raster.left, raster.top]
    shown[raster.label == 0] = -10  # beyond the map there is no light
    return raster.box, shown.astype(np.float32)
