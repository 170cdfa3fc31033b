"""What a face's mouth does already in its picture: a smile, lips that are apart.

A driver's expression is measured from rest. Added to a picture that smiles it would smile twice
over, and its O would be an O on a grin. So the picture's own mien gives way as the driver's comes:
what both do is hardly more than what the one does that does more, and against a mouth that purses,
or whose corners fall, no smile is held. Lips come nearer then, but not wholly: an opening that is
wide at rest and none while the driver's hardly changes would no longer follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...geometry.easing import ramp, smoothstep
from .surface import spread
from .topology import LIP_ROWS, LIPS, SURFACE

if TYPE_CHECKING:
    from .transfer import Face

# all in distances between the eyes' outer corners
AT_REST, SMILING = 0.03, 0.12  # corners above the middle of the lips: of faces at rest, of smiles
WIDER = 0.28  # of its width at rest, that a smile makes a mouth wider
APART = (0.01, 0.04)  # between inner lips: shut, open
ROUNDS = 8  # edges of the mesh over which skin goes along with lips that shut
SIDES = (0.0, *(0.5,) * 9, 0.0, *(-0.5,) * 9)  # of a gap, that lips go to shut it: round them, down
PURSING, FALLING = 0.13, 0.08  # narrower, corners down: by so much, and no smile is left
SHUTTING = 0.5  # of lips that are apart, that a pursing driver shuts, as long as his own are shut:
OPENING = (0.02, 0.12)  # so far apart; then they add to the picture's
REACH = 0.42  # round the lips, over which the skin goes along
OUTER = (*LIPS.outer[:1], *LIPS.outer[11:], *LIPS.outer[10:0:-1])
LIPS_WHOLE = (LIPS.inner, *LIP_ROWS, OUTER)  # each in the order of `LIPS.inner`
ADDED, ADDED_GAP = 2.0, 1.2  # powers: the higher, the nearer two motions are to the larger of them


def near(ids: tuple[int, ...], reach: float, own: Face) -> Tensor:
    """1 at some points, fading to 0 around them: over `reach` eye distances. B 478"""
    place = own.shape[..., :2]
    far = torch.cdist(place, place[:, list(ids)]).amin(-1) / own.eyes_apart[:, None]
    return 1 - ramp(0.0, reach, far)


def sideways(own: Face) -> Tensor:
    """How far to the picture's right of the face's middle, in halves of its mouth. B 478"""
    middle = (own.shape[:, 61] + own.shape[:, 291])[:, None, 0] / 2
    return (own.shape[..., 0] - middle) / (own.mouth_width[:, None] / 2)


@dataclass(frozen=True, eq=False)
class Mien:
    """How much wider a mouth is than at rest, how much higher its corners are, how far its lips
    are apart: B each, in eye distances.
    """

    width: Tensor
    lift: Tensor
    gap: Tensor

    @staticmethod
    def of(face: Face) -> Mien:
        """What a face does, judged by what mouths at rest are like."""
        apart, y = face.eyes_apart, face.shape[..., 1]
        lift = (y[:, [0, 17]].mean(1) - y[:, [61, 291]].mean(1)) / apart
        smile = ((lift - AT_REST) / (SMILING - AT_REST)).clamp(0, 1.2)
        wide = face.mouth_width / apart * (1 - 1 / (1 + WIDER * smile))
        gap = gaps(face.shape).amax(1) / apart
        return Mien(wide, (lift - AT_REST).clamp(min=0), gap * ramp(*APART, gap))

    @staticmethod
    def between(rest: Tensor, moved: Tensor, apart: Tensor) -> Mien:
        """What has come about; negative where it is less. B 478 3 twice, B"""
        wide, then = ((shape[:, 61] - shape[:, 291]).norm(dim=-1) for shape in (moved, rest))
        lift = (rest - moved)[:, [61, 291], 1].mean(1)
        gap = gaps(moved).amax(1) - gaps(rest).amax(1)
        return Mien((wide - then) / apart, lift / apart, gap / apart)

    def yielded(self, more: Mien) -> Mien:
        """How much of this mien gives way to another's coming."""
        against = torch.maximum(-more.width / PURSING, -more.lift / FALLING)
        kept = 1 - smoothstep(against.clamp(min=0))
        shut = SHUTTING * (1 - kept) * (1 - ramp(*OPENING, more.gap))
        return Mien(
            yielded(self.width, more.width, kept, ADDED),
            yielded(self.lift, more.lift, kept, ADDED),
            yielded(self.gap, more.gap, 1 - shut, ADDED_GAP),
        )


def yielded(own: Tensor, more: Tensor, kept: Tensor, power: float) -> Tensor:
    """What `own` loses, so that it and `more` are together as long as both sides of a rectangle
    (power 2) instead of their sum. B
    """
    more = more.clamp(min=0)
    both = ((own * kept).pow(power) + more.pow(power)).pow(1 / power)
    return torch.where((more > 0) | (kept < 1), own + more - both, 0).clamp(min=0)


def rest_width(face: Face) -> Tensor:
    """A mouth's width without its smile, in the head's frame. B"""
    return face.mouth_width - Mien.of(face).width * face.eyes_apart


def gaps(shape: Tensor) -> Tensor:
    """Between the inner lips, pair by pair. B P"""
    upper, lower = (list(row) for row in zip(*LIPS.pairs, strict=True))
    return (shape[:, lower, 1] - shape[:, upper, 1]).clamp(min=0)


def give_way(change: Tensor, own: Face) -> Tensor:
    """An expression's change (B 478 3, in the head's frame) with what the face's own mien loses."""
    mien = Mien.of(own)
    if not bool((mien.width + mien.gap > 0).any()):
        return change
    apart = own.eyes_apart
    lost = mien.yielded(Mien.between(own.shape, own.shape + change, apart))
    across, round_lips = sideways(own), near((*LIPS.outer, *LIPS.inner), REACH, own)
    side = across.clamp(-1, 1) + 0.3 * (across - across.clamp(-1, 1)).clamp(-0.6, 0.6)
    x = -lost.width[:, None] * side / 2
    y = lost.lift[:, None] * across.clamp(-1.2, 1.2).square()
    y = y * round_lips + lost.gap[:, None] * shutting(own)
    moved = torch.stack([x * round_lips, y, torch.zeros_like(x)], dim=-1)
    return change + moved * apart[:, None, None]


def shutting(own: Face) -> Tensor:
    """How far each point goes, down being positive, as lips shut that are one apart at most: lips
    as they are, skin along with them. B 478
    """
    between = gaps(own.shape)
    between = between / between.amax(1, keepdim=True).clamp(min=1e-6)
    shut = torch.nn.functional.pad(between, (1, 1))  # from corner to corner
    around = torch.cat([shut, shut[:, 1:-1].flip(1)], dim=1) * own.shape.new_tensor(SIDES)  # B 20
    moved = own.shape.new_zeros(len(own.shape), SURFACE, 1)
    for row in LIPS_WHOLE:
        moved[:, list(row), 0] = around
    moved = spread(moved, tuple(i for row in LIPS_WHOLE for i in row), ROUNDS)[..., 0]
    return torch.nn.functional.pad(moved, (0, own.shape.shape[1] - SURFACE))
