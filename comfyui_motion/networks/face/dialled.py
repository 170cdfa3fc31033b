"""A face posed by hand: what each dial does to the points of a mesh, in the head's own frame.

Lengths are in distances between the eyes' outer corners. Lids move in openings of their own eye,
the jaw turns about the joints before the ears, and what moves takes its surroundings along, less
and less.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ...dials import Dials
from ...geometry.easing import ramp
from .keypoints import FaceKeypoints
from .mien import give_way, near, sideways
from .pose import model_face, turned
from .topology import BROWS, EYES, LIP_POINTS, LIPS, SURFACE
from .transfer import Face, contact, softened, unfolded

BEHIND, BELOW = 0.5, 0.7  # the point a head turns about lies so far behind its face's middle
JAW = 15.0  # degrees that it turns at most
WIDEN, LIFT = 0.075, 0.075  # a smile's corners: outwards, up
CHEEKS = 0.03  # and how far cheeks rise with it
WIDE, PUCKER, FORWARD = 0.09, 0.10, 0.06
RAISED, LOWERED, DRAWN = 0.1, 0.085, 0.05  # brows: up, down, together
LOOK = (0.2, 0.11)  # eye widths an iris goes sideways, up and down
FOLLOWING = 0.35  # of its opening that a lid goes along with a gaze downwards
STARE = 0.3  # of its opening that an eye opens wider at blink -1


def dialled(keypoints: FaceKeypoints, dials: Dials) -> FaceKeypoints:
    """The same faces with the dials added. B 478"""
    ours = keypoints.space()
    own = Face.of(ours)
    change = torch.zeros_like(ours)
    for part in (mouth, brows, jaw):
        change = change + part(own, dials)
    change = give_way(softened(change), own)
    change = eyes(change, own, dials)
    change = contact(change, own)
    posed = ours + own.head.turn(change) * own.head.scale[:, None, None]
    return keypoints.moved(head_turned(unfolded(ours, posed), ours, own, dials))


def head_turned(posed: Tensor, rest: Tensor, own: Face, dials: Dials) -> Tensor:
    """About the head's own axes, through a point behind the face. B 478 3"""
    angles = (posed.new_tensor([v]) for v in (dials.yaw, dials.pitch, dials.roll))
    within = own.head.rotation @ turned(*angles) @ own.head.rotation.transpose(1, 2)
    apart = own.eyes_apart[:, None] * own.head.scale[:, None]
    back = own.head.turn(posed.new_tensor([[[0.0, BELOW, BEHIND]]]))[:, 0] * apart
    pivot = (rest[:, :SURFACE].mean(1) + back)[:, None]
    return (posed - pivot) @ within.transpose(1, 2) + pivot


def mouth(own: Face, dials: Dials) -> Tensor:
    """Smile, width, pucker. B 478 3"""
    unit = own.eyes_apart[:, None]
    reach = near(LIPS.outer, 0.42, own)
    across = sideways(own)
    side, out = across.sign(), across.abs().clamp(max=1.6)
    smile = dials.smile
    widen = WIDEN if smile > 0 else 0.25 * WIDEN
    wide = dials.mouth_wide * WIDE + smile * widen - dials.pucker * PUCKER
    x = wide * side * torch.where(out < 1, out, 1 + (out - 1) * 0.3) * reach
    lift = LIFT * (1.0 if smile > 0 else 0.7)
    y = -smile * lift * out.clamp(max=1.2).square() * reach
    y = y + smile * 0.012 * (1 - out).clamp(min=0) * reach
    cheeks = near((50, 280, 101, 330, 118, 347), 0.34, own)
    y = y - max(smile, 0) * CHEEKS * cheeks
    lips = near(LIPS.outer, 0.2, own) * (1 - out).clamp(min=0)
    z = -dials.pucker * FORWARD * lips
    middle = own.shape[:, [13, 14], 1].mean(1, keepdim=True)
    height = ((own.shape[..., 1] - middle) / unit).clamp(-0.15, 0.15)
    y = y + dials.pucker * 0.3 * height * lips
    return torch.stack([x, y, z], dim=-1) * unit[..., None]


def brows(own: Face, dials: Dials) -> Tensor:
    """Up, or down and together. B 478 3"""
    unit = own.eyes_apart[:, None]
    ids = (*BROWS["right_brow"], *BROWS["left_brow"])
    reach = near(ids, 0.32, own)
    lids = torch.zeros_like(reach)
    for eye in EYES.values():
        lids = torch.maximum(lids, near(eye.outline, 0.16, own))
    reach = reach * (1 - lids)
    middle = own.shape[:, [168], 0]
    inner = 1 - ramp(0.1, 0.45, (own.shape[..., 0] - middle).abs() / unit)
    lower = max(-dials.brows, 0)
    y = -max(dials.brows, 0) * RAISED * reach + lower * LOWERED * reach * (0.4 + 0.6 * inner)
    x = -lower * DRAWN * (own.shape[..., 0] - middle).sign() * inner * reach
    return torch.stack([x, y, torch.zeros_like(x)], dim=-1) * unit[..., None]


def jaw(own: Face, dials: Dials) -> Tensor:
    """The lower jaw about its joints. B 478 3"""
    turn = torch.deg2rad(torch.tensor(JAW * dials.mouth_open))
    joint = own.shape[:, [234, 454]].mean(1, keepdim=True)
    arm = own.shape - joint
    down = arm[..., 1] * turn.cos() - arm[..., 2] * turn.sin() - arm[..., 1]
    back = arm[..., 1] * turn.sin() + arm[..., 2] * turn.cos() - arm[..., 2]
    went = torch.stack([torch.zeros_like(down), down, back], dim=-1)
    return went * jaw_share(own)[..., None]


def jaw_share(own: Face) -> Tensor:
    """How far each point goes with the lower jaw: the lower lip and chin all, the upper lip not.

    B 478
    """
    unit = own.eyes_apart[:, None]
    line = own.shape[:, [61, 291], 1].mean(1, keepdim=True)
    below = (own.shape[..., 1] - line) / unit
    share = ramp(-0.12, 0.3, below)
    across = sideways(own).abs()
    share = share * (1 - 0.6 * ramp(1.2, 2.6, across))
    share[:, list(LIPS.outer)] = 0.35
    share[:, list(LIPS.inner)] = 0.35
    out = (1 - sideways(own).abs().clamp(max=1)).clamp(min=0)
    full = 0.35 + 0.65 * ramp(0.0, 0.55, out)
    none = 0.35 * (1 - ramp(0.0, 0.6, out))
    rows = _lip_rows()
    share = torch.where(rows[0].to(share.device), full, share)
    return torch.where(rows[1].to(share.device), none, share)


@lru_cache
def _lip_rows() -> tuple[Tensor, Tensor]:
    """The lower lip's points, and the upper one's. 478, bool"""
    face = model_face()
    line = sum(float(face[i, 1]) for pair in LIPS.pairs for i in pair) / (2 * len(LIPS.pairs))
    under = {lower for _, lower in LIPS.pairs}
    over = {upper for upper, _ in LIPS.pairs}
    lower, upper = torch.zeros(478, dtype=torch.bool), torch.zeros(478, dtype=torch.bool)
    for i in LIP_POINTS:
        below = i in under or (i not in over and float(face[i, 1]) > line)
        (lower if below else upper)[i] = True
    return lower, upper


def eyes(change: Tensor, own: Face, dials: Dials) -> Tensor:
    """Lids shut or wide, irises turned. B 478 3"""
    change = change.clone()
    x, y = dials.gaze
    for side, eye in EYES.items():
        wink = dials.wink_left if side == "left_eye" else dials.wink_right
        shut = max(min(dials.blink + wink, 1.0), -1.0)
        share = 1 - shut if shut > 0 else 1 - STARE * shut
        share = share * (1 - FOLLOWING * max(y, 0)) + 0.12 * max(-y, 0) * (share > 0.5)
        upper, lower = list(eye.upper), list(eye.lower)
        gap = (own.shape[:, lower, 1] - own.shape[:, upper, 1]).clamp(min=0)
        rise = -0.12 * max(shut, 0) * gap - 0.08 * max(dials.smile, 0) * gap
        change[:, lower, 1] += rise
        down = gap * (1 - share) + rise
        change[:, upper, 1] += down
        for row, part in ((eye.above, 0.8), (eye.crease, 0.25)):
            change[:, list(row), 1] += part * down
        width = (own.shape[:, eye.corners[0]] - own.shape[:, eye.corners[1]])[:, :2].norm(dim=-1)
        change[:, list(eye.iris), 0] += x * LOOK[0] * width[:, None]
        change[:, list(eye.iris), 1] += y * LOOK[1] * width[:, None]
        if wink > 0:
            cheek = near((50, 118) if side == "right_eye" else (280, 347), 0.3, own)
            change[..., 1] -= 0.02 * wink * cheek * own.eyes_apart[:, None]
    return change
