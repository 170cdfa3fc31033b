"""Faces that nobody has: skin, eyes, mouth, hair, nose, spectacles, neck and shoulders, each
painted once and then posed as often as one likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .heads import Light, Slit
from .paint import (
    Array,
    Random,
    backdrop,
    cloth,
    colour,
    coordinates,
    flesh,
    grey,
    lay,
    soft,
)
from .stage import Texture

TEXTURE = 160


@dataclass(frozen=True)
class Build:
    """What makes one face unlike another."""

    aspect: float
    jaw_width: float
    eye_u: float
    eye_v: float
    eye_half: float
    mouth_v: float
    mouth_half: float
    brow_v: float
    nose_v: float
    nose_radius: float
    head: float  # half its height in the picture, at size 0
    body_drop: float

    @staticmethod
    def draw(random: Random) -> Build:
        mouth = random.uniform(0.52, 0.7)
        return Build(
            aspect=random.uniform(0.62, 0.88),
            jaw_width=random.uniform(0.05, 0.4),
            eye_u=random.uniform(0.2, 0.27),
            eye_v=random.uniform(-0.08, 0.1),
            eye_half=random.uniform(0.085, 0.14),
            mouth_v=mouth,
            mouth_half=random.uniform(0.13, 0.24),
            brow_v=random.uniform(0.12, 0.22),
            nose_v=random.uniform(0.26, mouth - 0.12),
            nose_radius=random.uniform(1.08, 1.28),
            head=random.uniform(0.4, 0.84) if random.random() < 0.88 else random.uniform(0.2, 0.36),
            body_drop=random.uniform(0.8, 1.0),
        )


@dataclass(frozen=True, eq=False)
class FaceSet:
    """One face, painted once and posed as often as one likes."""

    build: Build
    slits: tuple[Slit, Slit, Slit]
    skin: Texture
    eyes: Texture
    mouth: Texture
    hair: Texture
    nose: Texture
    back: Texture  # hair behind the head, a flat sheet
    back_size: tuple[float, float]
    hair_radius: float
    spectacles: Texture | None
    ear: Texture
    body: Texture
    background: Texture
    light: Light
    outline: float


def paint_face(random: Random, photographs: Sequence[Array] = ()) -> FaceSet:
    """A face that nobody has."""
    build = Build.draw(random)
    cartoon = random.random() < 0.25
    carved = not cartoon and random.random() < 0.15  # of one stuff, as statues are
    skin_colour, hair_colour = (
        flesh(random),
        (
            colour(random, 0.5)
            if random.random() < 0.4
            else flesh(random) * random.uniform(0.1, 0.8)
        ),
    )
    hair_colour = hair_colour.astype(np.float32)
    if carved:
        skin_colour = (grey_tone(random) * random.uniform(0.4, 0.95)).astype(np.float32)
        hair_colour = skin_colour * np.float32(random.uniform(0.7, 1.1))
    eye = {
        "half": build.eye_half,
        "curve": random.uniform(-0.01, 0.03),
        "above": 0.13,
        "below": 0.1,
    }
    slits = (
        Slit(u=-build.eye_u, v=build.eye_v, **eye),
        Slit(u=build.eye_u, v=build.eye_v, **eye),
        Slit(
            u=0.0,
            v=build.mouth_v,
            half=build.mouth_half,
            curve=random.uniform(-0.03, 0.02),
            above=0.16,
            below=0.97 - build.mouth_v,
        ),
    )
    skin = paint_skin(random, build, slits, skin_colour, hair_colour, cartoon)
    angle, height = random.uniform(-1.2, 1.2), random.uniform(-0.8, 0.3)
    direction = np.array([np.sin(angle), height, np.cos(angle)])
    ambient = random.uniform(0.55, 0.95)
    light = Light(
        (direction / np.linalg.norm(direction)).astype(np.float32),
        ambient,
        1.05 - ambient,
        random.uniform(0.5, 1) if cartoon else 0.0,
    )
    hair = paint_hair(random, hair_colour)
    length = random.choice(
        [0.0, random.uniform(0.9, 1.1), random.uniform(1.2, 2.2)], p=[0.45, 0.25, 0.3]
    )
    return FaceSet(
        build=build,
        slits=slits,
        skin=Texture(skin),
        eyes=Texture(paint_eye(random, slits[0], skin_colour if carved else None)),
        mouth=Texture(paint_mouth(random)),
        hair=Texture(hair),
        nose=Texture(paint_nose(random, build, skin, skin_colour)),
        back=Texture(paint_oval(random, hair_colour)),
        back_size=(random.uniform(0.95, 1.25), length),
        hair_radius=random.uniform(1.03, 1.2) if hair[..., 3].any() else 1.0,
        spectacles=Texture(paint_spectacles(random, build)) if random.random() < 0.12 else None,
        ear=Texture(paint_oval(random, skin_colour * 0.92, 0.3)),
        body=Texture(paint_body(random, skin_colour, photographs)),
        background=Texture(backdrop(random, 192, photographs)),
        light=light,
        outline=random.uniform(0.4, 0.9) if cartoon else 0.0,
    )


def grey_tone(random: Random) -> Array:
    """Of stone, plaster, bronze or wood: a colour without much colour."""
    return np.array([1.0, random.uniform(0.85, 1.0), random.uniform(0.65, 1.05)], np.float32)


def paint_skin(
    random: Random,
    build: Build,
    slits: tuple[Slit, Slit, Slit],
    tone: Array,
    hair: Array,
    cartoon: bool,
) -> Array:
    u, v = coordinates(TEXTURE)
    rough = 0.06 if cartoon else random.uniform(0.05, 0.35)
    surface = tone * (
        1
        + rough * (grey(random, TEXTURE)[..., None] - 0.5)
        + 0.5 * rough * (grey(random, TEXTURE)[..., None] - 0.5)
    )
    surface = surface.astype(np.float32)
    blush = np.clip(tone * np.array([1.1, 0.75, 0.7]), 0, 1)
    cheeks = np.exp(-(((np.abs(u) - 0.28) / 0.14) ** 2) - ((v - 0.3) / 0.18) ** 2)
    lay(surface, random.uniform(0, 0.5) * cheeks, blush)
    lid = np.clip(tone * random.uniform(0.55, 0.95), 0, 1)
    for slit in slits[:2]:
        _, line = slit.line(u)
        socket = np.exp(
            -(((u - slit.u) / (1.4 * slit.half)) ** 2) - ((v - slit.v + 0.04) / 0.11) ** 2
        )
        lay(surface, random.uniform(0.1, 0.6) * socket, lid)
        within = (np.abs(u - slit.u) < 1.15 * slit.half).astype(np.float32)
        crease = within * soft(np.abs(v - line + 0.035) - 0.004, 0.012)
        lay(surface, random.uniform(0, 0.6) * crease, tone * 0.55)
        lash = within * soft(np.abs(v - line) - 0.006, 0.014)
        lay(surface, random.uniform(0.5, 1) * lash, tone * random.uniform(0.05, 0.5))
        brow_line = (
            build.eye_v - build.brow_v + 0.9 * (np.abs(u) - build.eye_u) ** 2 * random.uniform(0, 3)
        )
        brow = soft(np.abs(u - slit.u) - 1.25 * slit.half, 0.04) * soft(
            np.abs(v - brow_line) - random.uniform(0.008, 0.03), 0.025
        )
        lay(surface, random.uniform(0.4, 1) * brow, hair * random.uniform(0.4, 0.9))
    mouth = slits[2]
    t = (u - mouth.u) / mouth.half
    _, line = mouth.line(u)
    plump = random.uniform(0.02, 0.075, 2)
    bow = np.maximum(0, 1 - t * t) ** 0.7
    d = v - line
    lips = np.where(d < 0, soft(-d - plump[0] * bow, 0.015), soft(d - plump[1] * bow, 0.015)) * (
        np.abs(t) < 1.05
    )
    lip_colour = np.clip(
        tone
        * np.array(
            [random.uniform(0.7, 1.1), random.uniform(0.35, 0.85), random.uniform(0.4, 0.9)]
        ),
        0,
        1,
    )
    lay(surface, random.uniform(0.15, 1) * lips, lip_colour)
    lay(
        surface,
        random.uniform(0.25, 1) * soft(np.abs(d) - 0.004, 0.014) * (np.abs(t) < 1),
        tone * 0.3,
    )
    chin_shade = np.exp(
        -((u / random.uniform(0.1, 0.2)) ** 2)
        - ((v - mouth.v - plump[1] - random.uniform(0.05, 0.09)) / 0.035) ** 2
    )
    lay(surface, random.uniform(0, 0.6) * chin_shade, tone * 0.6)
    if random.random() < 0.3:  # beard or stubble
        edge = mouth.v - random.uniform(0.05, 0.16)
        beard = soft(edge - v, 0.1) * (1 - lips) * np.clip(0.3 + grey(random, TEXTURE), 0, 1)
        lay(surface, random.uniform(0.2, 0.95) * beard, hair * 0.8)
    if random.random() < 0.2:  # a moustache, which may hide the lip
        middle = random.uniform(build.nose_v + 0.04, mouth.v + 0.01)
        droop = random.uniform(-0.1, 0.5) * np.abs(u) ** 1.5
        hairs = soft(np.abs(v - middle - droop) - random.uniform(0.015, 0.04), 0.03) * soft(
            np.abs(u) - random.uniform(0.1, 0.3), 0.05
        )
        lay(
            surface,
            random.uniform(0.4, 0.95) * hairs * np.clip(0.4 + grey(random, TEXTURE), 0, 1),
            hair * random.uniform(0.5, 1),
        )
    if random.random() < 0.3:  # wrinkles from nose to mouth
        for side in (-1, 1):
            wrinkle = soft(np.abs(u - side * (0.1 + 0.35 * (v - 0.25))) - 0.006, 0.015) * (
                (v > 0.3) & (v < mouth.v)
            )
            lay(surface, random.uniform(0.2, 0.7) * wrinkle, tone * 0.6)
    return np.clip(surface, 0, 1)


def paint_eye(random: Random, slit: Slit, stuff: Array | None = None, size: int = 48) -> Array:
    """White, iris and pupil; of a statue, all of its `stuff`."""
    u, v = coordinates(size)
    white = np.clip(random.uniform(0.65, 1.0) + random.normal(0, 0.04, 3), 0, 1).astype(np.float32)
    surface = np.broadcast_to(white, (size, size, 3)).copy()
    around = np.hypot(u * 1.15, v)  # u spans more of the picture than v
    iris = random.uniform(0.75, 1.1) * 0.5 * slit.half / 0.25
    lay(surface, soft(around - iris, 0.05), np.clip(colour(random) * 0.8, 0, 1))
    lay(surface, soft(np.abs(around - iris) - 0.02, 0.05), white * 0.25)
    lay(
        surface, soft(around - iris * random.uniform(0.35, 0.6), 0.04), np.full(3, 0.04, np.float32)
    )
    lay(surface, soft(np.hypot(u - 0.1, v + 0.1) - 0.05, 0.04), np.ones(3, np.float32))
    if stuff is not None:
        surface = stuff * (1 + random.uniform(0, 0.6) * (surface.mean(-1, keepdims=True) - 0.6))
    return np.clip(surface, 0, 1).astype(np.float32)


def paint_mouth(random: Random, size: int = 64) -> Array:
    """Upper half: what hangs from the skull, its gum at the middle of that half; lower half: the
    jaw's.
    """
    u, v = coordinates(size)
    dark = np.array([random.uniform(0.05, 0.3), 0.04, 0.05], np.float32)
    surface = np.broadcast_to(dark, (size, size, 3)).copy()
    tooth = np.clip(random.uniform(0.6, 1.0) * np.array([1, 0.97, 0.88]), 0, 1).astype(np.float32)
    gaps = 0.8 + 0.2 * np.clip(np.abs(np.sin(u * random.uniform(18, 30))) * 4, 0, 1)
    upper, lower = random.uniform(0.08, 0.32), random.uniform(0.02, 0.2)
    # rest coordinates: the upper lip's edge is v = -1, the lower lip's v = 1 (in units of 0.25)
    if random.random() < 0.8:
        lay(surface, (v < -1 + upper).astype(np.float32) * (np.abs(u) < 0.75), tooth)
    if random.random() < 0.6:
        lay(surface, (v > 1 - lower).astype(np.float32) * (np.abs(u) < 0.65), tooth * 0.9)
    surface *= gaps[..., None]
    tongue = np.exp(-((u / 0.45) ** 2) - ((v - 0.75 + lower) / 0.2) ** 2)
    lay(
        surface,
        random.uniform(0, 0.9) * tongue * (v > 0) * (v < 1 - lower),
        np.array([random.uniform(0.4, 0.8), 0.25, 0.28], np.float32),
    )
    return surface


def paint_hair(random: Random, tint: Array) -> Array:
    """RGBA over (u, v): above the hairline, and down the sides."""
    u, v = coordinates(TEXTURE)
    side = random.uniform(-0.1, 1.0)  # how far down the sides it goes
    line = (
        random.uniform(-0.75, -0.35)
        + random.uniform(-0.3, 0.3) * u
        + random.normal(0, 0.03) * np.sin(random.uniform(4, 14) * u)
    )
    rise = np.clip((np.abs(u) - random.uniform(0.42, 0.62)) / 0.15, 0, 1)
    edge = line + rise * (side - line)
    ragged = random.uniform(0.02, 0.2) * (grey(random, TEXTURE) - 0.5)
    alpha = soft(v - edge - ragged, 0.04).astype(np.float32)
    if random.random() < 0.12:
        alpha *= 0  # bald
    strands = grey(random, TEXTURE)
    strands = (
        cv2.resize(strands[:, :: int(random.integers(1, 8))], (TEXTURE, TEXTURE))
        if random.random() < 0.7
        else strands
    )
    surface = np.clip(tint * (1 + random.uniform(0.2, 0.9) * (strands[..., None] - 0.5)), 0, 1)
    return np.concatenate([surface * alpha[..., None], alpha[..., None]], 2).astype(np.float32)


def paint_nose(random: Random, build: Build, skin: Array, tone: Array) -> Array:
    u, v = coordinates(TEXTURE)
    top, tip, wide = build.eye_v - 0.02, build.nose_v, random.uniform(0.05, 0.1)
    t = np.clip((v - top) / (tip - top), 0, 1.2)
    half = wide * (0.35 + 0.65 * t**2)
    alpha = soft(np.abs(u) - half, 0.06) * soft(top - v, 0.1) * soft(v - tip - 0.03, 0.05)
    surface = skin.copy()
    bright = random.uniform(0, 0.35)
    lay(surface, bright * np.exp(-((u / 0.02) ** 2)) * (t > 0), np.clip(tone * 1.35, 0, 1))
    side = random.choice([-1, 1])
    lay(surface, random.uniform(0, 0.5) * soft(np.abs(u - side * half) - 0.01, 0.05), tone * 0.6)
    high = random.uniform(0.01, 0.03)
    for sign in (-1, 1):
        nostril = np.exp(
            -(((u - sign * 0.5 * wide) / (0.28 * wide)) ** 2) - ((v - tip - 0.01) / high) ** 2
        )
        lay(surface, random.uniform(0.3, 0.95) * nostril, tone * 0.2)
    lay(
        surface,
        random.uniform(0, 0.8) * np.exp(-((u / wide) ** 2) - ((v - tip - 0.045) / 0.02) ** 2),
        tone * 0.5,
    )
    return np.concatenate([surface * alpha[..., None], alpha[..., None]], 2).astype(np.float32)


def paint_spectacles(random: Random, build: Build) -> Array:
    u, v = coordinates(TEXTURE)
    radius, thick = random.uniform(0.13, 0.18), random.uniform(0.008, 0.02)
    power = random.choice([2.0, 4.0])
    alpha = np.zeros_like(u)
    for side in (-1, 1):
        ring = (
            (np.abs(u - side * build.eye_u) / radius) ** power
            + (np.abs(v - build.eye_v) / (radius * 0.95)) ** power
        ) ** (1 / power) * radius
        alpha = np.maximum(alpha, soft(np.abs(ring - radius) - thick, 0.012))
    bridge = (np.abs(u) < build.eye_u - radius) | (np.abs(u) > build.eye_u + radius)
    alpha = np.maximum(
        alpha, soft(np.abs(v - build.eye_v) - thick, 0.012) * bridge * (np.abs(u) < 0.75)
    ).astype(np.float32)
    tint = colour(random) * 0.6
    return np.concatenate([tint * alpha[..., None], alpha[..., None]], 2).astype(np.float32)


def paint_oval(random: Random, tint: Array, rim: float = 0.0, size: int = 64) -> Array:
    """A soft-edged oval, darker inside by `rim`: an ear, or hair behind a head."""
    u, v = coordinates(size)
    around = np.abs(u) ** 2.5 + np.abs(v) ** 2.5
    alpha = soft(around - 0.88, 0.1).astype(np.float32)
    surface = np.clip(
        tint
        * (1 + 0.5 * (grey(random, size)[..., None] - 0.5))
        * (1 - rim * soft(around - 0.3, 0.2)[..., None]),
        0,
        1,
    )
    return np.concatenate([surface * alpha[..., None], alpha[..., None]], 2).astype(np.float32)


def paint_body(random: Random, tone: Array, photographs: Sequence[Array]) -> Array:
    """Neck and shoulders: rest y = -1 is behind the chin, x = -1..1 wider than the shoulders."""
    u, v = coordinates(128)
    neck = random.uniform(0.14, 0.24)
    slope, power = random.uniform(0.2, 0.9), random.uniform(1.2, 2.6)
    top = -0.55 + slope * (np.abs(u) - neck).clip(0) ** power
    shoulders = np.maximum(soft(top - v, 0.02) * soft(np.abs(u) - 0.9, 0.04), 0)
    throat = soft(np.abs(u) - neck, 0.02)
    alpha = np.maximum(shoulders, throat * (v > -1)).astype(np.float32)
    surface = cloth(random, 128, photographs=photographs)
    surface *= (1 - 0.35 * np.abs(u) ** 2)[..., None]
    vee = random.uniform(-0.5, 0.1) - random.uniform(0.5, 3) * np.abs(u)
    bare = soft(v - vee, 0.03)
    lay(surface, np.maximum(bare, throat * (v < -0.5)), tone * random.uniform(0.7, 0.95))
    lay(
        surface,
        random.uniform(0, 0.8) * soft(np.abs(v - vee) - 0.03, 0.02) * (v > -0.6),
        colour(random),
    )
    lay(surface, random.uniform(0.2, 0.6) * throat * soft(v + 0.75, 0.3), tone * 0.35)
    return np.concatenate([np.clip(surface, 0, 1) * alpha[..., None], alpha[..., None]], 2).astype(
        np.float32
    )
