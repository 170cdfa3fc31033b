"""The colours of the two: skin, lips, irises, hair, print and wool, in linear light, drawn on the
surfaces of puppet.py.
"""

from __future__ import annotations

import math

import torch
from puppet import (
    CLOTH,
    EYE,
    Character,
    Point,
    Pose,
    band,
    bell,
    coils,
    combed,
    crown,
    dropped,
    eye_opening,
    mix,
    mouth,
    noise,
    step,
    stitches,
    to_head,
)
from torch import Tensor


def colour(name: str) -> Tensor:
    """Hexadecimal sRGB to linear light. 3 1"""
    return torch.tensor([int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)])[:, None] ** 2.2


def paint(p: Point, material: Tensor, who: Character, pose: Pose) -> tuple[Tensor, Tensor]:
    """Linear colour and gloss of surface points. 3 N, N"""
    x, y, z = to_head(p, pose)
    h = x / who.wide, y, z
    albedo, gloss = torch.zeros(3, len(x)), torch.zeros(len(x))
    brushes = [
        paint_skin,
        paint_eyes,
        paint_teeth,
        paint_tongue,
        paint_hair,
        paint_cloth,
        paint_gold,
    ]
    for index, brush in enumerate(brushes):
        here = material == index
        if here.any():
            spot = p if index == CLOTH else h
            albedo[:, here], gloss[here] = brush(tuple(a[here] for a in spot), who, pose)
    return albedo, gloss


def paint_skin(p: Point, who: Character, pose: Pose):
    x, y, z = p[0], dropped(p, pose), p[2]
    ax = x.abs()
    mottle = sum(k * noise(f * x, f * y, f * z) for f, k in ((6, 0.07), (28, 0.08), (70, 0.05)))
    cheek = bell(ax - 0.46, 0.17) * bell(y + 0.24, 0.15)
    tip = bell(x, 0.13) * bell(y + 0.17, 0.11) * step(0.6, 0.8, z)
    ears = step(0.72, 0.8, ax) * step(0.3, 0.1, y)
    tone = mix(
        colour(who.skin) * (1 + mottle),
        colour(who.blush),
        0.6 * (cheek + 0.8 * tip + 0.8 * ears).clamp(0, 1),
    )
    spots = freckles(x, y) * (bell(ax - 0.27, 0.3) * bell(y + 0.1, 0.2) + 0.2) * step(0.2, 0.4, z)
    tone = mix(tone, colour(who.blush) * 0.45, (who.freckles * spots).clamp(0, 1))
    return paint_brows(*paint_lips(paint_lids(tone, p, who, pose), p, who, pose), p, who, pose)


def freckles(x: Tensor, y: Tensor) -> Tensor:
    """A speck somewhere in each cell of two grids, of every size down to none. 0..1"""
    most = torch.zeros_like(x)
    for cells in (17, 29):
        i, j = (x * cells).floor(), (y * cells).floor()
        a, b, size = (0.7 * noise(i + k, j, 11.0) for k in (3, 14, 25))
        off = ((x * cells - i - 0.5 - 0.4 * a) ** 2 + (y * cells - j - 0.5 - 0.4 * b) ** 2).sqrt()
        most = torch.maximum(most, step(0.2 + 0.25 * size, 0.04, off) * (0.6 + 0.6 * size))
    return most


def paint_lids(tone: Tensor, p: Point, who: Character, pose: Pose) -> Tensor:
    inside, above = eye_opening(p, who, pose)
    u = (p[0].abs() - EYE[0]) / (0.185 * who.eye)
    near = step(1.35, 1.0, u.abs()) * step(0.2, 0.3, p[2])
    tone = mix(tone, colour(who.blush) * 0.6, near * 0.55 * bell(above - 0.02, 0.06))
    lash = bell(above, who.lashes * (0.017 + 0.008 * u.clamp(0, 1))) + 0.35 * bell(inside, 0.013)
    return mix(tone, colour("#1a0f0d"), (near * lash * 1.1).clamp(0, 0.96))


def paint_lips(tone: Tensor, p: Point, who: Character, pose: Pose) -> tuple[Tensor, Tensor]:
    inside, upper, lower = mouth(p, who, pose)
    front = step(0.3, 0.5, p[2])
    lines = 1 + 0.12 * noise(60 * p[0], 6 * p[1])
    lip = (torch.maximum(upper * 0.92, lower) * 2.2).clamp(0, 1) * front
    tone = mix(tone, colour(who.lips) * lines, 0.85 * lip)
    tone = mix(
        tone,
        colour("#2a0808"),
        front * (0.85 * bell(inside, 0.011) * step(0.29, 0.22, p[0].abs())).clamp(0, 1),
    )
    throat = step(-0.002, 0.02, inside) * step(0.64, 0.5, p[2])
    return mix(tone, colour("#3a0a0c"), throat), 0.35 + 0.35 * lip


def paint_brows(tone: Tensor, gloss: Tensor, p: Point, who: Character, pose: Pose):
    ax = p[0].abs()
    t = ((ax - 0.1) / 0.44).clamp(0, 1)
    curve = (
        0.315
        + 0.085 * pose.brow
        + 0.11 * torch.sin(math.pi * (0.12 + 0.72 * t)) * (1 + 0.3 * pose.brow)
    )
    thick = who.brow * 0.045 * (0.75 + 0.5 * t) * step(1.0, 0.6, t) + 0.006
    hairs = 0.85 + 0.35 * noise(80 * ax - 60 * p[1], 14 * p[1] + 9 * ax)
    on = (
        step(1.2, 0.55, ((p[1] - curve) / thick).abs() / hairs)
        * step(0.07, 0.13, ax)
        * step(0.58, 0.5, ax)
        * step(0.3, 0.4, p[2])
    )
    return mix(tone, colour(who.hair) * (0.55 + 0.3 * hairs), 0.9 * on), gloss * (1 - 0.6 * on)


def paint_eyes(p: Point, who: Character, pose: Pose):
    r = 0.205 * who.eye
    x = (p[0].abs() - EYE[0]) * torch.sign(p[0]) / r - pose.gaze
    y = (p[1] - EYE[1]) / r + 0.02
    radius, angle = (x * x + y * y).sqrt(), torch.atan2(y, x)
    rays = 0.75 + 0.35 * noise(angle * 9, radius * 5) + 0.3 * noise(angle * 22, radius * 3)
    white = colour("#efe6df") * (1 - 0.25 * step(0.5, 1.0, radius))
    iris = (
        colour(who.iris)
        * rays
        * (0.55 + 0.9 * step(0.25, -0.45, y))
        * step(0.66, 0.5, radius).clamp(min=0.12)
    )
    eye = mix(white, iris, step(0.63, 0.58, radius))
    eye = mix(eye, colour("#080506"), step(0.31, 0.27, radius))
    shade = step(0.11, 0.0, -eye_opening(p, who, pose)[1])
    return eye * (1 - 0.6 * shade), torch.full_like(x, 0.15)


def paint_teeth(p: Point, who: Character, pose: Pose):
    gap = bell(torch.sin(torch.atan2(p[0], p[2] - 0.32) * 7.5), 0.08)
    depth = step(0.45, 0.62, p[2])
    return colour("#f3e8d8") * (1 - 0.22 * gap) * (0.35 + 0.65 * depth), torch.full_like(gap, 0.6)


def paint_tongue(p: Point, who: Character, pose: Pose):
    return colour("#b4434a") * (
        0.5 + 0.5 * step(0.4, 0.62, p[2]) + 0.1 * noise(40 * p[0], 40 * p[2])
    ), torch.full_like(p[0], 0.5)


def paint_hair(p: Point, who: Character, pose: Pose):
    return paint_waves(p, who) if who.style == "waves" else paint_knot(p, who)


def paint_waves(p: Point, who: Character):
    angle, far = combed(p)
    strand = (
        noise(angle * 44, far * 3)
        + 0.9 * noise(angle * 100, far * 4)
        + 0.8 * noise(angle * 15, far * 2 + 9)
    )
    return (
        mix(colour(who.hair), colour(who.sheen), (0.42 + 0.4 * strand).clamp(0, 1)),
        0.45 + 0.2 * strand,
    )


def paint_knot(p: Point, who: Character):
    angle, along = crown(p)
    bun, scarf = step(0.75, 0.82, along), band(p)
    straight = noise(angle * 40, along * 3) + 0.7 * noise(angle * 110, along * 4)
    curly = 2.2 * coils(p) - 1.2 + 0.8 * noise(*(45 * a for a in p))
    strand = mix(straight, curly, bun)
    shine = bell(along - 0.48, 0.16) * (1 - bun)
    hair = mix(
        colour(who.hair), colour(who.sheen), (0.25 + 0.3 * strand + 0.35 * shine).clamp(0, 1)
    )
    return mix(hair, pattern(angle, along, who), scarf), mix(0.5 + 0.3 * strand, 0.08, scarf)


def pattern(angle: Tensor, along: Tensor, who: Character) -> Tensor:
    """The scarf's print: a row of suns between two lines of dots."""
    u, v = angle * 6, (along + 0.02) / 0.17
    du = (u - u.round()) / 6 / 0.2
    sun = (du * du + v * v * 0.8).sqrt()
    petals = 0.42 + 0.13 * torch.cos(8 * torch.atan2(v, du))
    print_ = colour(who.cloth[2]) * (1 + 0.12 * noise(angle * 60, along * 60))
    print_ = mix(print_, colour(who.cloth[1]), step(0.03, -0.03, sun - petals))
    print_ = mix(print_, colour(who.cloth[0]), step(0.03, -0.03, sun - 0.2))
    dots = ((u * 3 - (u * 3).round()) / 18 / 0.2) ** 2 + (v.abs() - 0.78) ** 2 * 0.8
    return mix(print_, colour("#f6ead2"), step(0.012, 0.007, dots))


def paint_cloth(p: Point, who: Character, pose: Pose):
    x, y, z = p
    yarn, second, third = (colour(c).expand(3, len(x)) for c in who.cloth)
    if who.fair_isle:
        zigzag = (((x * 13).floor().remainder(6) - 3).abs() + (y * 12.35).floor()).remainder(6)
        below = y <= -1.5  # the collar stays plain
        yarn = torch.where(
            below & (zigzag < 1), second, torch.where(below & (zigzag == 3), third, yarn)
        )
    fuzz = 1 + 0.14 * noise(80 * x, 80 * y, 80 * z) + 0.1 * noise(9 * x, 9 * y, 9 * z)
    return yarn * fuzz * (0.55 + 0.5 * stitches(p)), torch.full_like(x, 0.05)


def paint_gold(p: Point, who: Character, pose: Pose):
    return colour("#d69a35").expand(3, len(p[0])), torch.full_like(p[0], 1.6)
