"""A performance from one face to another: the head's turn and place, and what the face itself does.

The head moves as a body in space (Procrustes); what is left is expression, in the head's own frame.
It is measured from the driver's reference, fitted to the other face's mouth and eyes, and added to
that face at rest. What is smaller than a detector's trembling is damped to nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from ...geometry.easing import ramp
from ...retarget import Strengths
from .keypoints import FaceKeypoints
from .mien import give_way, rest_width
from .pose import Similarity, as_far, facing, fit_head, part_of
from .surface import mean_beside
from .topology import EYES, LIP_POINTS, LIPS, SURFACE, TRIANGLES, Eye

TREMBLE = 0.011  # eye distances: a point's motion of this size is halved, smaller vanishes
TREMBLE_HEAD = 0.010  # likewise of the head as a whole
# eye distances that a head goes on a body that stays: as far as the driver's, and at most
FREE, FARTHEST = 0.45, 0.6
NEARER, NEAREST = 1.15, 1.3  # times as large as at rest, or as small: likewise
SHUT, WIDEST = 0.30, 1.3  # of the lids' opening at rest: what is shut, and open at most
WINK = (0.15, 0.4)  # of it, that one lid is further open than the other: none is a wink, all is
TREMBLE_LIDS = 0.05  # of it: a change of this size is halved
SMOOTHING, SHARE = (
    4,
    0.6,
)  # rounds of smoothing of what is neither lip nor lid, and how much in each
PURSED = 0.26  # of its width: a mouth is pursed by no more
LEAST = 0.12  # of its own area: a triangle is not pressed further


@dataclass(frozen=True, eq=False)
class Face:
    """A face at rest, in its own head's frame."""

    head: Similarity  # what carries the canonical frame onto the picture
    shape: Tensor  # B 478 3, in the canonical frame: centimetres, y down

    @staticmethod
    def of(points: Tensor) -> Face:
        head = facing(points)
        return Face(head, head.undo(points))

    @property
    def eyes_apart(self) -> Tensor:
        return (self.shape[:, 33] - self.shape[:, 263]).norm(dim=-1)

    @property
    def mouth_width(self) -> Tensor:
        return (self.shape[:, 61] - self.shape[:, 291]).norm(dim=-1)


def relative(
    driving: FaceKeypoints, reference: FaceKeypoints, source: FaceKeypoints, told: Strengths
) -> FaceKeypoints:
    """The source's face, moved as the driver's has moved since the reference (1, or B: one for each
    frame).
    """
    reference = once(reference)
    moved, rest, ours = driving.space(), reference.space(), source.space()
    theirs, own = reference.face, source.face
    head = fit_head(rest, moved)
    expression = theirs.head.unturn(head.undo(moved) - rest) / theirs.head.scale[:, None, None]
    change = fitted(quiet(expression, theirs), theirs, own, told)
    posed = ours + own.head.turn(change) * own.head.scale[:, None, None]
    placed = carry_head(head, theirs, own, rest, ours, told.head)
    settled = unfolded(placed.apply(ours), placed.apply(posed))
    return _as_posed(driving, source, settled, told)


def once(keypoints: FaceKeypoints) -> FaceKeypoints:
    """One of them, where all are the same."""
    points = keypoints.position
    same = len(points) > 1 and bool((points == points[:1]).all())
    return keypoints[:1] if same else keypoints


def absolute(driving: FaceKeypoints, source: FaceKeypoints, told: Strengths) -> FaceKeypoints:
    """The driver's points as they are, on the source's picture."""
    if told == Strengths():
        size = source.size.expand(len(driving), -1)
        wider = (driving.size[:, :1] - 1) / (size[:, :1] - 1)
        tall = (driving.size[:, 1:] - 1) / (size[:, 1:] - 1)
        depth = driving.depth * (tall / wider).sqrt()
        return replace(driving, size=size, depth=depth, rest=None)
    return relative(driving, source, source, told)


def _as_posed(
    driving: FaceKeypoints, source: FaceKeypoints, points: Tensor, told: Strengths
) -> FaceKeypoints:
    light = None if driving.light is None else driving.light * told.expression
    return FaceKeypoints.placed(
        points, source.size, confidence=driving.confidence, mouth=driving.mouth, light=light
    )


def damped(length: Tensor, half: float | Tensor) -> Tensor:
    """How much of a motion is believed: nearly none far below `half`, all far above."""
    fourth = length.pow(4)
    return fourth / (fourth + half**4 + 1e-30)


def quiet(expression: Tensor, face: Face) -> Tensor:
    """Without what trembles. A lid is not bent by it: an eye's outline moves whole, or not.

    B 478 3
    """
    apart = face.eyes_apart[:, None]
    length = expression[..., :2].norm(dim=-1)
    for eye in EYES.values():
        outline = list(eye.outline)
        length[:, outline] = length[:, outline].amax(1, keepdim=True)
    return expression * damped(length, TREMBLE * apart)[..., None]


def fitted(expression: Tensor, theirs: Face, own: Face, told: Strengths) -> Tensor:
    """A driver's expression as the other face has it. B 478 3"""
    soft = softened(expression)
    scaled = wide_enough(soft * mouth_scale(theirs, own), own)
    parts = scaled * told.expression
    near_mouth = mouth_weight(theirs)[..., None]
    parts = parts + near_mouth * scaled * (told.mouth - told.expression)
    parts = give_way(parts, own)
    change = lids(parts, soft, theirs, own, told.eyes)
    change = gaze(change, expression, theirs, own, told.eyes)
    return contact(change, own)


def wide_enough(change: Tensor, own: Face) -> Tensor:
    """A mouth that purses does not draw the skin round it into a fan. B 478 3"""
    corners = own.shape[:, [61, 291]] + change[:, [61, 291]]
    ratio = (corners[:, 0] - corners[:, 1]).norm(dim=-1) / own.mouth_width
    narrow = (1 - ratio).clamp(min=1e-6)
    kept = (PURSED * torch.tanh(narrow / PURSED) / narrow)[:, None]
    less = 1 - mouth_weight(own) * torch.where(ratio[:, None] < 1, 1 - kept, 0)
    return torch.cat([change[..., :1] * less[..., None], change[..., 1:]], dim=-1)


@lru_cache
def softness() -> Tensor:
    """How much each point is smoothed: lips and lids not at all. 468 1"""
    free = torch.ones(SURFACE, 1)
    free[list(LIP_POINTS)] = 0
    for eye in EYES.values():
        free[list({*eye.outline, *eye.above, *eye.below})] = 0
        free[list(eye.crease)] = 0.5
    return free


def softened(expression: Tensor) -> Tensor:
    """Smoothed over the skin: what single points say there is the detector's. B 478 3"""
    free = softness().to(expression)
    surface, irises = expression[:, :SURFACE], expression[:, SURFACE:]
    for _ in range(SMOOTHING):
        surface = surface + SHARE * free * (mean_beside(surface) - surface)
    return torch.cat([surface, irises], dim=1)


def mouth_weight(face: Face) -> Tensor:
    """1 at the mouth, 0 away from it. B 478"""
    middle = (face.shape[:, 61] + face.shape[:, 291]) / 2
    far = (face.shape - middle[:, None])[..., :2].norm(dim=-1) / face.mouth_width[:, None]
    return 1 - ramp(0.55, 1.3, far)


def mouth_scale(theirs: Face, own: Face) -> Tensor:
    """A mouth moves sideways in widths of itself at rest. B 478 3"""
    ratio = rest_width(own) / rest_width(theirs)
    factors = torch.stack(
        [ratio.clamp(0.6, 1.4), torch.ones_like(ratio), torch.ones_like(ratio)], dim=-1
    )
    return 1 + mouth_weight(theirs)[..., None] * (factors[:, None] - 1)


def opening(shape: Tensor, upper: tuple[int, ...], lower: tuple[int, ...]) -> Tensor:
    """Of each pair of points, downwards in the head's frame. B P"""
    return shape[:, list(lower), 1] - shape[:, list(upper), 1]


def lids(change: Tensor, expression: Tensor, theirs: Face, own: Face, strength: float) -> Tensor:
    """Lids move in openings of their own eye: shut is shut, whatever the eye's shape. B 478 3"""
    change = change.clone()
    measured = together(torch.stack([open_now(expression, theirs, e) for e in EYES.values()], 1))
    for eye, ratio in zip(EYES.values(), measured.unbind(1), strict=True):
        rest, mine = (opening(face.shape, eye.upper, eye.lower) for face in (theirs, own))
        share = 1 + strength * (lid_share(ratio) - 1)  # B
        scale = (mine.sum(1) / rest.sum(1).clamp(min=1e-3)).clamp(0.3, 3.0)
        low = expression[:, list(eye.lower)] * (strength * (1 + scale[:, None, None]) / 2)
        wanted = mine.clamp(min=0) * share.clamp(min=0)[:, None]
        high = own.shape[:, list(eye.lower), 1] + low[..., 1] - wanted
        rise = high - own.shape[:, list(eye.upper), 1]
        change[:, list(eye.lower)] = low
        before = change[:, list(eye.upper), 1].clone()
        change[:, list(eye.upper), 1] = rise
        for row, part in ((eye.above, 0.8), (eye.crease, 0.3)):
            change[:, list(row), 1] += part * (rise - before)
    return change


def open_now(expression: Tensor, face: Face, eye: Eye) -> Tensor:
    """How far a lid is open against its rest, as it is measured. B"""
    rest, now = (
        opening(shape, eye.upper, eye.lower).sum(1)
        for shape in (face.shape, face.shape + expression)
    )
    return now / rest.clamp(min=1e-3)


def together(ratio: Tensor) -> Tensor:
    """Two lids that are nearly as far open as one another are as far open: what differs little is
    the detector's. A wink stays one. B 2
    """
    mean = ratio.mean(1, keepdim=True)
    apart = (ratio[:, :1] - ratio[:, 1:]).abs()
    return mean + (ratio - mean) * ramp(*WINK, apart)


def lid_share(ratio: Tensor) -> Tensor:
    """How far a lid is open against its rest, from what is measured of it: a shut lid still
    measures a little.
    """
    apart = ratio - 1
    ratio = 1 + apart * damped(apart.abs(), TREMBLE_LIDS)
    closing = ((ratio - SHUT) / (1 - SHUT)).clamp(min=0)
    return torch.where(ratio < 1, closing, ratio.clamp(max=WIDEST))


def gaze(change: Tensor, expression: Tensor, theirs: Face, own: Face, strength: float) -> Tensor:
    """Irises go as far across their own eye as the driver's do. B 478 3"""
    change = change.clone()
    for eye in EYES.values():
        corners, iris = list(eye.corners), list(eye.iris)
        wide, mine = (
            (face.shape[:, corners[0]] - face.shape[:, corners[1]])[:, :2].norm(dim=-1)
            for face in (theirs, own)
        )
        went = expression[:, iris[:1]] - expression[:, corners].mean(1, keepdim=True)
        across = (went / wide[:, None, None]).clamp(-0.25, 0.25)
        across = across * damped(across[..., :2].norm(dim=-1), 0.02)[..., None]
        base = change[:, corners].mean(1, keepdim=True)
        change[:, iris] = base + strength * across * mine[:, None, None]
    return change


def contact(change: Tensor, own: Face) -> Tensor:
    """Lips and lids that would cross meet. B 478 3"""
    change = change.clone()
    for upper, lower, share in (
        (*zip(*LIPS.pairs, strict=True), 0.5),
        *((eye.upper, eye.lower, 1.0) for eye in EYES.values()),
    ):
        shape = own.shape + change
        crossed = (-opening(shape, upper, lower)).clamp(min=0)
        rest = (
            opening(own.shape, upper, lower).clamp(max=0).neg()
        )  # lips already so at rest may stay
        crossed = (crossed - rest).clamp(min=0)
        change[:, list(upper), 1] -= crossed * share
        change[:, list(lower), 1] += crossed * (1 - share)
    return change


def carry_head(
    head: Similarity, theirs: Face, own: Face, rest: Tensor, ours: Tensor, strength: float
) -> Similarity:
    """The driver's motion of the head about the other head's middle, in sizes of that head; a
    driver who walks away or to the camera does not tear it off its body.
    """
    from .pose import rigid

    ids = rigid().to(rest.device)
    middle, centre = rest[:, ids].mean(1), ours[:, ids].mean(1)
    went = head.apply(middle[:, None])[:, 0] - middle  # B 3
    apart = (theirs.eyes_apart * theirs.head.scale)[:, None]
    shaken = (head.apply(rest[:, ids]) - rest[:, ids])[..., :2].norm(dim=-1).mean(1)
    share = strength * damped(shaken, TREMBLE_HEAD * apart[:, 0])
    was, mine = theirs.head.rotation, own.head.rotation
    turn = part_of(as_far(was, head.rotation @ was, mine), share)
    scale = 1 + (within(head.scale.log(), math.log(NEARER), math.log(NEAREST)).exp() - 1) * share
    length = (went / apart).norm(dim=-1)
    kept = within(length, FREE, FARTHEST) / length.clamp(min=1e-9)
    step = went * (own.head.scale / theirs.head.scale * share * kept)[:, None]
    there = scale[:, None] * (turn @ centre.expand(len(turn), -1)[..., None])[..., 0]
    return Similarity(scale, turn, centre + step - there)


def within(length: Tensor, free: float, most: float) -> Tensor:
    """As long as it is up to `free`, and never longer than `most`, either way."""
    beyond = (length.abs() - free).clamp(min=0)
    room = most - free
    return length.clamp(-free, free) + length.sign() * room * torch.tanh(beyond / room)


def areas(points: Tensor) -> Tensor:
    """Signed, of every triangle. B K 3 -> B T"""
    corners = points[:, _triangles().to(points.device), :2]
    a, b = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


@lru_cache
def _triangles() -> Tensor:
    return torch.tensor(TRIANGLES)


@lru_cache
def skin() -> Tensor:
    """Which triangles are skin, not between lips or lids. T, bool"""
    holes = [set(LIPS.inner), *(set(eye.outline) for eye in EYES.values())]
    return torch.tensor([not any(set(corners) <= hole for hole in holes) for corners in TRIANGLES])


def unfolded(rest: Tensor, posed: Tensor, rounds: int = 12) -> Tensor:
    """Triangles that an expression turns over, or nearly, follow their surroundings. B 478 3"""
    before = areas(rest)
    front = (before.sign() == before.median(1, keepdim=True).values.sign()) & skin().to(rest.device)
    change = (posed - rest)[:, :SURFACE]
    divided = torch.where(before == 0, 1e-9, before)
    corners = _triangles().to(rest.device).flatten()
    left = torch.arange(len(rest), device=rest.device)  # faces that have such triangles yet
    for _ in range(rounds):
        now = areas(rest[left, :SURFACE] + change[left])
        bad = front[left] & (now / divided[left] < LEAST)
        there = bad.any(1)
        if not there.any():
            break
        left, bad = left[there], bad[there].repeat_interleave(3, dim=1).float()
        touched = torch.zeros(len(left), SURFACE, device=rest.device)
        touched.scatter_reduce_(1, corners.expand(len(left), -1), bad, "amax", include_self=True)
        some = change[left]
        change[left] = some + touched[..., None] * 0.5 * (mean_beside(some) - some)
    return torch.cat([meeting(rest[:, :SURFACE] + change, posed), posed[:, SURFACE:]], dim=1)


def meeting(made: Tensor, posed: Tensor) -> Tensor:
    """Lips that were drawn apart by what is beside them, as near again as they were posed.

    B 468 3, B 478 3 -> B 468 3
    """
    upper, lower = (list(row) for row in zip(*LIPS.pairs, strict=True))
    now, asked = made[:, lower] - made[:, upper], posed[:, lower] - posed[:, upper]
    wider = now.norm(dim=-1, keepdim=True) > asked.norm(dim=-1, keepdim=True)
    closer = torch.where(wider, (now - asked) / 2, 0)
    made = made.clone()
    made[:, upper] += closer
    made[:, lower] -= closer
    return made
