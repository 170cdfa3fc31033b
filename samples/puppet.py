"""Two people who do not exist, as distance fields: where their surfaces are (paint.py has their
colours).

Space is right-handed and in head heights of about two: x to the viewer's right, y up, z towards the
viewer. A point is a tuple (x, y, z) of equally long tensors; a distance is negative inside.
Everything is seeded, nothing is a likeness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

Point = tuple[Tensor, Tensor, Tensor]
SKIN, EYES, TEETH, TONGUE, HAIR, CLOTH, GOLD = range(7)  # the materials
EYE = (0.29, 0.09, 0.545)  # the right eyeball's centre; the left one is its mirror image
CROWN = (0.0, 0.62, -0.78)  # from the skull's centre to the knot of hair


@dataclass(frozen=True)
class Character:
    """A face from the common mould: its proportions and its paint (sRGB, hexadecimal)."""

    skin: str
    blush: str
    lips: str
    hair: str
    sheen: str
    iris: str
    cloth: tuple[str, str, str]
    backdrop: tuple[str, ...]
    style: str  # of the hair: "knot" or "waves"
    wide: float = 1.0
    jaw: float = 0.6
    nose: float = 1.0
    eye: float = 1.0
    mouth: float = 1.0
    brow: float = 1.0
    ears: float = 1.0
    freckles: float = 0.0
    lashes: float = 1.0
    earrings: bool = False
    fair_isle: bool = False  # the pullover: a pattern of zigzags, or plain


@dataclass(frozen=True)
class Pose:
    """What the face does; all zero is the resting face.

    Angles in radians, the rest from 0 to 1 (wide: -1 purses).
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    blink: float = 0.0
    brow: float = 0.0
    open: float = 0.0
    wide: float = 0.0
    smile: float = 0.0
    gaze: float = 0.0


# --- tools
# --------------------------------------------------------------------------------------------------


def mix(a, b, t):
    return a + (b - a) * t


def step(low, high, x: Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, smooth between; falls if high < low."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def bell(x, width: float):
    return torch.exp(-((x / width) ** 2))


def join(a: Tensor, b: Tensor, k: float) -> Tensor:
    """The union of two solids, with a fillet of size k."""
    h = (k - (a - b).abs()).clamp(min=0) / k
    return torch.minimum(a, b) - h * h * k / 4


def carve(a: Tensor, b: Tensor, k: float) -> Tensor:
    """What is left of a once b is taken away."""
    return -join(-a, b, k)


def ball(p: Point, centre, radii) -> Tensor:
    """Distance to an ellipsoid, nearly."""
    x, y, z = ((a - c) / r for a, c, r in zip(p, centre, radii, strict=True))
    near = (x * x + y * y + z * z).sqrt()
    if radii[0] == radii[1] == radii[2]:
        return (near - 1) * radii[0]
    x, y, z = x / radii[0], y / radii[1], z / radii[2]
    return near * (near - 1) / (x * x + y * y + z * z + 1e-8).sqrt()


_lattice = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(7)) * 2 - 1
_lattice = pad(_lattice, (0, 1) * 3, mode="circular")


def noise(x: Tensor, y: Tensor, z: Tensor | float = 0.0) -> Tensor:
    """Smooth noise in -1..1, one feature a unit."""
    p = torch.stack(torch.broadcast_tensors(x, y, torch.as_tensor(z)), dim=-1).remainder(32)
    cell = p.floor()
    part = p - cell
    p = cell + step(0, 1, part)
    return grid_sample(_lattice, (p / 16 - 1)[None, None, None], align_corners=True).flatten()


def turn(a: Tensor, b: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    c, s = math.cos(angle), math.sin(angle)
    return c * a - s * b, s * a + c * b


def to_head(p: Point, pose: Pose, share: float = 1.0) -> Point:
    """The point as the head sees it, which turns on the neck by a share of the pose."""
    x, y, z = p[0], p[1] + 0.75, p[2] + 0.25
    x, y = turn(x, y, -pose.roll * share)
    y, z = turn(y, z, -pose.pitch * share)
    z, x = turn(z, x, -pose.yaw * share)
    return x, y - 0.75, z - 0.25


# --- shape
# --------------------------------------------------------------------------------------------------


def solids(p: Point, who: Character, pose: Pose, fine: bool = True) -> Tensor:
    """Distance to every material. 7 N"""
    x, y, z = to_head(p, pose)
    h = x / who.wide, y, z
    face = head(h, who, pose, fine)
    skin = join(face, neck(to_head(p, pose, 0.4), who), 0.16)
    hair = knot(h, fine) if who.style == "knot" else waves(h, fine)
    parts = [skin, eyes(h, who), *inside_mouth(h, who, pose), hair, cloth(p, fine), rings(h, who)]
    return torch.stack(parts) * min(who.wide, 1)


def head(p: Point, who: Character, pose: Pose, fine: bool) -> Tensor:
    x, y, z = p
    y = dropped(p, pose)
    ax = (x * x + 1e-4).sqrt()
    q = (ax, y, z)
    face = ball(q, (0, 0.27, -0.1), (0.78, 0.84, 0.86))
    face = join(face, ball(q, (0, -0.36, 0.12), (who.jaw, 0.6, 0.6)), 0.36)
    face = join(face, ball(q, (0, -0.83, 0.5), (0.16, 0.12, 0.14)), 0.22)  # chin
    face = join(face, ball(q, (0.38, -0.2 + 0.05 * pose.smile, 0.42), (0.24, 0.22, 0.24)), 0.22)
    face = carve(face, ball(q, (0.33, 0.11, 0.98), (0.22, 0.16, 0.22)), 0.22)  # sockets
    face = join(face, ball(q, (0.26, 0.34 + 0.05 * pose.brow, 0.64), (0.19, 0.06, 0.09)), 0.16)
    face = join(face, nose(q, who), 0.075)
    face = join(face, ear(q, who), 0.06)
    return mouth_shape(eyelids(face, p, who, pose, fine), p, who, pose)


def dropped(p: Point, pose: Pose) -> Tensor:
    """Heights before the jaw dropped."""
    return p[1] + 0.17 * pose.open * step(-0.46, -0.8, p[1]) * step(-0.2, 0.2, p[2])


def nose(q: Point, who: Character) -> Tensor:
    ax, y, z = q
    n = who.nose
    slope = (0.3 - y) / 0.52
    bridge = ball((ax, y, z - 0.16 * slope), (0, 0.04, 0.66), (0.06, 0.3, 0.1))
    tip = ball(q, (0, -0.17, 0.87), (0.094 * n, 0.085 * n, 0.1))
    wing = ball(q, (0.098 * n, -0.2, 0.79), (0.052 * n, 0.05, 0.07))
    hole = ball(q, (0.056 * n, -0.262, 0.83), (0.036, 0.04, 0.05))
    return carve(join(join(bridge, tip, 0.1), wing, 0.05), hole, 0.03)


def ear(q: Point, who: Character) -> Tensor:
    e = who.ears
    z, ax = turn(q[2] + 0.12, q[0] - 0.77, 0.5)
    shell = ball((ax, q[1], z), (0.05, 0.03, 0), (0.07, 0.25 * e, 0.16 * e))
    bowl = ball((ax, q[1], z), (0.12, 0.05, 0.02), (0.08, 0.17 * e, 0.095 * e))
    return carve(shell, bowl, 0.05)


def eye_opening(p: Point, who: Character, pose: Pose) -> tuple[Tensor, Tensor]:
    """How far inside the almond between the lids (positive), and how far above the upper lid's
    edge.
    """
    u = (p[0].abs() - EYE[0]) / (0.185 * who.eye)
    v = p[1] - EYE[1] - 0.018 * u
    arch = (1 - u * u).clamp(min=-0.5)
    top, bottom = 0.088 * who.eye + 0.014 * pose.brow, -0.066 * who.eye + 0.012 * pose.smile
    upper, lower = mix(top, -0.07, pose.blink) * arch, mix(bottom, -0.071, pose.blink) * arch
    return torch.minimum(upper - v, v - lower) - 0.1 * (u.abs() - 1).clamp(min=0), v - upper


def eyelids(face: Tensor, p: Point, who: Character, pose: Pose, fine: bool) -> Tensor:
    inside, above = eye_opening(p, who, pose)
    lids = ball((p[0].abs(), p[1], p[2]), EYE, (0.235 * who.eye,) * 3)
    face = join(face, lids, 0.05)
    if fine:
        near = step(0.3, 0.15, (p[0].abs() - EYE[0]).abs())
        face = face + near * (
            0.012 * bell(above - 0.055 - 0.02 * pose.blink, 0.016) - 0.014 * bell(inside, 0.016)
        )
    return carve(face, torch.maximum(-inside, 0.3 - p[2]), 0.012)


def mouth(p: Point, who: Character, pose: Pose) -> tuple[Tensor, Tensor, Tensor]:
    """How far inside the parted lips (positive), and how much upper and lower lip there is here
    (0..1).
    """
    u = p[0] / (0.235 * who.mouth * (1 + 0.22 * pose.wide + 0.12 * pose.smile))
    arch = (1 - u * u).clamp(min=-0.6)
    line = p[1] + 0.5 - (0.02 + 0.075 * pose.smile) * u * u - 0.012 * torch.cos(u * 6) * arch
    upper = line - 0.05 * pose.open * arch
    lower = -line - 0.235 * pose.open * arch
    bow = 0.082 - 0.014 * bell(u, 0.16)
    heights = (upper / (bow * arch + 0.012), lower / (0.1 * arch + 0.012))
    lips = [
        4 * s * (1 - s) * step(1.08, 0.7, u.abs()) for s in (h.clamp(0, 1) ** 0.8 for h in heights)
    ]
    return torch.minimum(-upper, -lower) - 0.12 * (u.abs() - 0.96).clamp(min=0), lips[0], lips[1]


def mouth_shape(face: Tensor, p: Point, who: Character, pose: Pose) -> Tensor:
    inside, upper, lower = mouth(p, who, pose)
    front = step(0.2, 0.5, p[2])
    pout = 1 - 0.7 * min(pose.wide, 0)
    corner = bell(p[0].abs() - 0.26 * who.mouth, 0.05) * bell(p[1] + 0.48, 0.06)
    face = face - front * (
        pout * (0.04 * upper + 0.055 * lower) - 0.012 * bell(inside, 0.012) - 0.014 * corner
    )
    return carve(face, torch.maximum(-inside + 0.002, 0.3 - p[2]), 0.02)


def inside_mouth(p: Point, who: Character, pose: Pose) -> tuple[Tensor, Tensor]:
    x, y, z = p
    band = ((x * x + (z - 0.32) ** 2).sqrt() - 0.315).abs() - 0.03
    upper = torch.maximum(band, (y + 0.455).abs() - 0.062)
    lower = torch.maximum(band + 0.01, (y + 0.63 + 0.2 * pose.open).abs() - 0.045)
    tongue = ball(p, (0, -0.63 - 0.14 * pose.open, 0.4), (0.2, 0.075, 0.24))
    return torch.minimum(upper, lower), tongue


def eyes(p: Point, who: Character) -> Tensor:
    return ball((p[0].abs(), p[1], p[2]), EYE, (0.205 * who.eye,) * 3)


def neck(p: Point, who: Character) -> Tensor:
    x, y, z = p
    radius = 0.36 * (who.jaw / 0.6) + 0.06 * (y + 1.0).abs()
    return torch.maximum((x * x + (z + 0.22 - 0.1 * (y + 1)) ** 2).sqrt() - radius, y + 0.5) * 0.9


def crown(p: Point) -> tuple[Tensor, Tensor]:
    """Hair combed to the knot: the angle of a strand around it, and how far along the strand we
    are.
    """
    x, y, z = p[0], p[1] - 0.27, p[2] + 0.1
    length = math.hypot(*CROWN)
    along = (y * CROWN[1] + z * CROWN[2]) / length
    across = (y * -CROWN[2] + z * CROWN[1]) / length
    return torch.atan2(x, across), along


def band(p: Point) -> Tensor:
    """1 on the head scarf."""
    along = crown(p)[1]
    return step(0.2, 0.17, (along + 0.02).abs())


def knot(p: Point, fine: bool) -> Tensor:
    shell = ball(p, (0, 0.3, -0.13), (0.83, 0.88, 0.9))
    shell = carve(shell, ball((p[0], p[1], p[2]), (0, -0.06, 0.86), (0.72, 0.78, 0.8)), 0.05)
    shell = carve(shell, ball(p, (0, -0.8, -0.1), (1.2, 0.72, 0.9)), 0.08)
    bun = ball(p, (0.0, 1.1, -0.45), (0.47, 0.4, 0.42))
    if fine:
        angle, along = crown(p)
        cloth = band(p)
        strands = noise(angle * 26, along * 3) + 0.5 * noise(angle * 70, along * 4)
        folds = noise(angle * 2.2 + 3 * along, along * 16)
        shell = shell - mix(0.012 * strands, 0.035 + 0.014 * folds, cloth)
        bun = bun - 0.04 * noise(*(5 * a for a in p)) - 0.042 * coils(p)
    return join(shell, bun, 0.04) * 0.85


def coils(p: Point) -> Tensor:
    """Small tight curls. 0..1, the highest in the middle of a lock"""
    x, y, z = (
        a + 0.06 * noise(7 * p[0] + k, 7 * p[1], 7 * p[2])
        for a, k in zip(p, (3, 13, 23), strict=True)
    )
    return 1 - (2.2 * noise(11 * x, 11 * y, 11 * z)).abs().clamp(max=1)


def combed(p: Point) -> tuple[Tensor, Tensor]:
    """Tousled hair around a whorl at the back: a strand's angle, wavy along its way,
    and the way.
    """
    x, y, z = p[0] + 0.12, p[1] - 0.3, p[2] + 0.3
    along = (0.92 * y - 0.4 * z) / (x * x + y * y + z * z).sqrt()
    across = 0.4 * y + 0.92 * z
    angle = torch.atan2(x, across)
    far = torch.acos(along.clamp(-0.999, 0.999))
    loose = noise(1.7 * p[0] + 5, 1.7 * p[1], 1.7 * p[2])
    return (
        angle + 0.25 * loose + 0.07 * torch.sin(9 * far + 4 * torch.sin(2 * angle) + 3 * loose),
        far + 0.1 * loose,
    )


def waves(p: Point, fine: bool) -> Tensor:
    shell = ball(p, (0, 0.36, -0.14), (0.86, 0.87, 0.9))
    shell = join(shell, ball(p, (0.1, 0.98, 0.3), (0.62, 0.3, 0.46)), 0.25)
    shell = carve(shell, ball(p, (0.02, -0.12, 0.9), (0.72, 0.84, 0.84)), 0.06)
    shell = carve(shell, ball(p, (0, -0.85, 0.0), (1.2, 0.74, 1.0)), 0.1)
    if not fine:
        return shell * 0.75 - 0.02
    angle, far = combed(p)
    locks = noise(angle * 6, far * 1.6).abs() + 0.4 * noise(angle * 15, far * 2 + 9)
    return (
        shell
        - 0.09 * locks
        - 0.012 * noise(angle * 38, far * 3)
        - 0.006 * noise(angle * 90, far * 4)
    ) * 0.75


def rings(p: Point, who: Character) -> Tensor:
    if not who.earrings:
        return torch.full_like(p[0], 9.0)
    y = p[1] + 0.38
    z, x = turn(p[2], p[0].abs() - 0.86, 0.9)
    hoop = (y * y + z * z).sqrt() - 0.145
    return (hoop * hoop + x * x).sqrt() - 0.022


def cloth(p: Point, fine: bool) -> Tensor:
    x, y, z = p[0], p[1] + 0.07, p[2]
    ax = (x * x + 0.002).sqrt()
    slope = 0.26 * (ax - 0.35).clamp(min=0) ** 1.3
    trunk = ball((ax, y + slope, z), (0, -2.22, -0.3), (1.8, 0.98, 0.7))
    ring = (x * x + (z + 0.24) ** 2 * 1.1).sqrt()
    collar = (
        torch.maximum((ring - 0.46 - 0.12 * (-y - 1.2)).abs() - 0.035, (y + 1.2).abs() - 0.15)
        - 0.035
    )
    if fine:
        trunk = trunk - 0.022 * stitches(p)
        collar = collar - 0.011 * torch.cos(torch.atan2(x, z + 0.24) * 56)
    return join(trunk, collar, 0.06) * 0.85


def stitches(p: Point, scale: float = 13.0) -> Tensor:
    """Knitting: columns of Vs. 0..1"""
    u, v = p[0] * scale, p[1] * scale * 0.95
    column = u - u.floor() - 0.5
    return (
        torch.sin(math.pi * (v + 1.3 * column.abs()) * 2).abs()
        * torch.cos(math.pi * column).clamp(min=0) ** 0.5
    )
