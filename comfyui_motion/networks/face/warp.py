"""A pose to a motion field: the mesh over its surroundings, eyeballs behind lids, what
is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...field import MotionField, identity_grid
from ...geometry.easing import ramp
from . import eyes, lids, mouth, teeth
from .held import at_rest
from .hidden import hiding, places
from .pose import Similarity, fit_head
from .raster import NO_MAP, Array, Raster, both, draw, farthest
from .relief import further, shifts
from .source import SourceFace
from .surroundings import OUTLINE
from .topology import LIPS, SURFACE

if TYPE_CHECKING:
    from typing_extensions import Self

# pixels of the motion field over which mesh and surroundings go over into one another
FEATHER = 2.5
APART = 2.0  # pixels: where they disagree more, the mesh lies in front of what is behind
WITHIN = 0.95  # of a person in a pixel: with less, the mesh reads at the silhouette


@dataclass(frozen=True, eq=False)
class FaceField(MotionField):
    """The motion, with what goes with it: the mouth's inside, the light."""

    lips: Tensor | None = None  # B 20 2: the inner lips, in -1..1 of the picture
    mouth: Tensor | None = None  # B 2 h w: as FaceKeypoints have it
    shown: Tensor | None = None  # B: how much of it shows
    light: Tensor | None = None  # B 1 h w: as FaceKeypoints have it
    seams: Tensor | None = None  # B 2 9 2: where each eye's lids meet when shut, in -1..1
    shut: Tensor | None = None  # B 2: how far they are shut
    skull: Tensor | None = None  # B 2 3: from teeth in the frame to the source's, both in -1..1

    def to(self, device: torch.device | str) -> Self:
        """The motion on that device. What goes with it, which the processor draws, stays with it;
        a GPU is sent to without being waited for.
        """
        ahead = torch.device(device).type != "cpu"
        names = ("grid", "occlusion", "contributions")
        told = {name: getattr(self, name) for name in names}
        return replace(self, **{name: _sent(part, device, ahead) for name, part in told.items()})


def _sent(part: Any, device: torch.device | str, ahead: bool) -> Any:
    if isinstance(part, tuple):
        return tuple(_sent(each, device, ahead) for each in part)
    return None if part is None else part.to(device, non_blocking=ahead)


@dataclass(frozen=True, eq=False)
class Moved:
    """How one face's pixels move for one pose, in pixels of its motion field."""

    hidden: Array | None  # h w, 1 = not shown by the source; None: nobody asked
    seams: Array  # 2 9 2: where each eye's lids meet when shut
    shut: Array  # 2: how far they are shut
    lips: Array  # 20 2: the inner lips, as the picture parts them
    shown: float  # how much of the mouth's inside shows
    skull: Tensor  # 2 3: see `FaceField`


def moved(face: SourceFace, posed: Tensor, grids: Tensor, hides: bool) -> list[Moved]:
    """Of each pose (B 478 3, in the field's pixels), and into `grids` (B h w 2) where pixels come
    from, in -1..1. `hides`: with what is hidden.
    """
    rest = torch.from_numpy(face.points).float()[None]
    posed, head = further(posed, fit_head(rest, posed))
    if face.covered:
        posed = at_rest(posed, rest, head)
    flatter = shifts(head, face.nearer, rest[0, :, :2] - rest[0, :SURFACE, :2].mean(0))
    posed = torch.cat([posed[..., :2] + flatter, posed[..., 2:]], dim=-1)
    ring = list(OUTLINE)
    besides = (posed[:, ring] - head.apply(rest.expand(len(posed), -1, -1))[:, ring])[..., :2]
    around = face.surroundings.motion(head, besides)
    places = posed.double().numpy()

    def one(i: int) -> Moved:
        return moved_by(face, places[i], head, i, around[i], grids[i].numpy(), hides)

    return [one(i) for i in range(len(posed))]


def moved_by(
    face: SourceFace,
    posed: Array,
    head: Similarity,
    i: int,
    around: Tensor,
    grid: Array,
    hides: bool,
) -> Moved:
    """The mesh over its surroundings."""
    motion = upsampled(around, grid)
    rest, (here, share) = face.rest, with_lids(face, posed, head, i)
    raster = draw(rest, here, *face.size)
    eyes.look(raster, rest, here, linear_of(head, i))
    back = teeth.to_source(head, i, float(rest[list(LIPS.inner), 2].mean()))
    opening = mouth.Opening.of(here[:, :2])
    if face.teeth is not None:
        window = teeth.Window(opening, face.mouth, back)
        teeth.hold(raster, window, besides(here, rest, back))
    lay(motion, raster, face.person)
    shown = opened(face, here, opening, float(head.scale[i]))
    hidden = hiding(face, motion, raster, here, opening, shown) if hides else None
    shut = 1 - ramp(*lids.SHUT, share)
    to_unit(motion)
    skull = teeth.in_units(back, face.size)
    return Moved(hidden, lids.seams(here), shut, here[list(LIPS.inner), :2], shown, skull)


def besides(posed: Array, rest: Array, back: Array) -> float:
    """How far the inner lips move besides the head, in pixels. 478 3 twice"""
    inner = list(LIPS.inner)
    return float(
        np.hypot(*(posed[inner, :2] @ back[:, :2].T + back[:, 2] - rest[inner, :2]).T).max()
    )


def with_lids(face: SourceFace, posed: Array, head: Similarity, i: int) -> tuple[Array, Array]:
    """The mesh posed, with the picture's own lids, 478 3, and how far each eye is open. 2"""
    linear = linear_of(head, i)
    share = lids.to_draw(lids.shares(face.points, posed, linear), face.seen)
    here = posed.copy()
    here[: len(face.lids), :2] += face.lids @ linear.T
    return lids.met(face.rest, here, share, linear), share


def linear_of(head: Similarity, i: int) -> Array:
    """How a head turned and grew, in the picture. 2 2"""
    return (head.scale[i] * head.rotation[i, :2, :2]).double().numpy()


def upsampled(lattice: Tensor, made: Array) -> Array:
    """2 r c into h w 2, edges on edges."""
    import cv2

    rough = np.ascontiguousarray(lattice.permute(1, 2, 0).numpy())
    return cv2.resize(rough, made.shape[1::-1], dst=made, interpolation=cv2.INTER_LINEAR)


def lay(motion: Array, raster: Raster, person: Array) -> None:
    """The mesh over its surroundings, into `motion`; but where its rim reaches beyond a slim cheek,
    what is around it. `person`: who is in the source, over half of `motion`.
    """
    import cv2

    if not raster.label.size:
        return
    solid = (raster.label > 0).view(np.uint8)
    there = solid.astype(np.float32)
    below = motion[raster.box]
    soft = cv2.erode(solid, np.ones((3, 3)), iterations=round(FEATHER)).astype(np.float32)
    soft = cv2.GaussianBlur(soft, (0, 0), FEATHER / 2)
    apart = cv2.subtract(raster.motion, below)
    share = cv2.min(soft, there)
    far = farthest(apart) > APART
    cv2.copyTo(there, far.view(np.uint8), share)
    if far.any():
        mesh, around = (read(person, raster, of) for of in (raster.motion, below))
        beyond = (far & (mesh < WITHIN) & (around > mesh)).astype(np.float32)
        beyond = cv2.GaussianBlur(cv2.dilate(beyond, np.ones((7, 7))), (0, 0), FEATHER)
        share *= 1 - beyond
    below += cv2.multiply(apart, cv2.merge([share, share]))


def read(person: Array, raster: Raster, motion: Array) -> Array:
    """How much of the person each pixel shows, so moved. h w in 0..1"""
    import cv2

    there = cv2.add(motion + places(*raster.label.shape), both(raster.left, raster.top)) / 2
    return cv2.remap(person, there, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def to_unit(motion: Array) -> None:
    """Pixels less identity made a grid in -1..1. h w 2"""
    height, width = motion.shape[:2]
    flat = torch.from_numpy(motion).flatten(1)
    torch.addcmul(identity_grid(height, width).flatten(1), flat, unit(height, width), out=flat)


@lru_cache(maxsize=16)
def unit(height: int, width: int) -> Tensor:
    """A pixel in a grid in -1..1, of every number in a row. w*2"""
    with torch.inference_mode(False):  # what is kept outlives the mode it was asked for in
        return torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)]).repeat(width)


def opened(face: SourceFace, posed: Array, now: mouth.Opening, larger: float) -> float:
    """How much of the mouth's inside shows, by the picture's own lips, now and at rest. 478 3

    A mouth that shows teeth at rest opens no further by being narrower; `larger`: the head's scale.
    """
    if face.covered:
        return 0.0
    wide, was = (float(np.hypot(*(p[61] - p[291])[:2])) for p in (posed, face.rest))
    if face.teeth is not None:
        wide = was * larger
    return mouth.shown(now, face.mouth, wide, was)
