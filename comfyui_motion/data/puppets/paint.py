"""What puppets are painted with: noise, dead leaves, stripes, checks, glyphs, gradients, and
photographs where the user gives some.

Pictures here are numpy, H W 3, float32, in 0..1. Every function draws from the generator it is
given and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Random = np.random.Generator

BANK = 256  # side of the grey textures that all others are made of
CHARACTERS = "ABCDEFGHKMNPRSTXYZ0123456789&?!#*"


@lru_cache(maxsize=1)
def bank() -> tuple[Array, ...]:
    """Grey textures in 0..1, made once: noise from cloudy to fine (spectrum 1/f^b), then dead
    leaves (overlapping discs).
    """
    random = np.random.default_rng(7)
    return (
        *(noise(random, 0.8 + 0.1 * i) for i in range(14)),
        *(dead_leaves(random, 3 + 2 * i) for i in range(6)),
    )


def noise(random: Random, exponent: float) -> Array:
    """Tileable noise whose amplitude falls as frequency^-exponent, spread evenly over 0..1."""
    frequency = np.hypot(np.fft.fftfreq(BANK)[:, None], np.fft.rfftfreq(BANK)[None, :])
    frequency[0, 0] = 1
    phase = np.exp(2j * np.pi * random.random(frequency.shape))
    field = np.fft.irfft2(phase * frequency**-exponent, (BANK, BANK))
    return np.clip((field - field.mean()) / (5 * field.std()) + 0.5, 0, 1).astype(np.float32)


def dead_leaves(random: Random, largest: float) -> Array:
    """Discs over discs, their radii spread as in natural scenes (r^-3; Lee, Mumford and Huang,
    2001).
    """
    leaves = np.full((BANK, BANK), 0.5, np.float32)
    for _ in range(1500):
        radius = min(largest * 8, largest / np.sqrt(random.random() + 1e-3))
        x, y = random.integers(0, BANK, 2)
        cv2.circle(leaves, (int(x), int(y)), int(radius), float(random.random()), -1, cv2.LINE_AA)
    return leaves


def grey(random: Random, size: int) -> Array:
    """A random window of a random texture of the bank, at a random scale. size size in 0..1"""
    texture = bank()[random.integers(len(bank()))]
    side = int(random.integers(BANK // 8, BANK))
    x, y = random.integers(0, BANK - side + 1, 2)
    window = cv2.resize(
        texture[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_LINEAR
    )
    return window.T.copy() if random.random() < 0.5 else window


def colour(random: Random, saturation: float = 1.0) -> Array:
    """Anything from black to white, rarely garish. 3"""
    value, tint = random.random() ** 0.8, random.random(3) - 0.5
    return np.clip(value + saturation * random.random() * tint, 0, 1).astype(np.float32)


def flesh(random: Random) -> Array:
    """Skin of any people, or now and then of stone, bronze, paint or another planet. 3"""
    if random.random() < 0.3:
        return np.clip(colour(random), 0.12, 0.95)
    fair, dark = np.array([0.96, 0.80, 0.70]), np.array([0.30, 0.18, 0.12])
    skin = dark + (fair - dark) * random.random() ** 0.7
    return np.clip(skin * random.uniform(0.85, 1.08) + random.normal(0, 0.02, 3), 0.05, 1).astype(
        np.float32
    )


def pattern(random: Random, size: int) -> Array:
    """Stripes, waves, checks, a gradient, glyphs or texture, as a mixing weight.

    size size in 0..1
    """
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    angle = random.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kind = random.choice(
        ["stripes", "checks", "gradient", "glyphs", "texture", "plain"],
        p=[0.14, 0.08, 0.2, 0.06, 0.4, 0.12],
    )
    if kind == "stripes":
        return np.clip(
            0.5
            + 2 * np.sin(random.uniform(4, 24) * along + random.uniform(0, 1) * np.sin(5 * across)),
            0,
            1,
        )
    if kind == "checks":
        frequency = random.uniform(4, 14)
        return np.clip(0.5 + 3 * np.sin(frequency * along) * np.sin(frequency * across), 0, 1)
    if kind == "gradient":
        return np.clip(0.5 + 0.5 * along, 0, 1)
    if kind == "glyphs":
        return glyphs(random, size)
    return grey(random, size) if kind == "texture" else np.zeros((size, size), np.float32)


def glyphs(random: Random, size: int) -> Array:
    page = np.zeros((size, size), np.uint8)
    height = random.uniform(0.1, 0.4) * size
    for top in np.arange(height, size + height, 1.3 * height):
        text = "".join(random.choice(list(CHARACTERS), 12))
        cv2.putText(
            page,
            text,
            (-int(random.integers(0, size // 4)), int(top)),
            cv2.FONT_HERSHEY_DUPLEX,
            height / 22,
            255,
            max(1, int(height / 9)),
            cv2.LINE_AA,
        )
    return page.astype(np.float32) / 255


def cloth(
    random: Random, size: int, base: Array | None = None, photographs: Sequence[Array] = ()
) -> Array:
    """A surface: two or three colours mixed by patterns and roughened, or a piece of a photograph.

    size size 3
    """
    if photographs and random.random() < 0.5:
        return window_of(random, photographs[int(random.integers(len(photographs)))], size)
    first = colour(random) if base is None else base
    second = np.clip(first + random.normal(0, 0.22, 3).astype(np.float32), 0, 1)
    mix = pattern(random, size)[..., None] * random.uniform(0.2, 1)
    surface = first + mix * (second - first)
    return np.clip(
        surface * (1 + random.uniform(0, 0.5) * (grey(random, size)[..., None] - 0.5)), 0, 1
    ).astype(np.float32)


def window_of(random: Random, photograph: Array, size: int) -> Array:
    """A random square of a photograph. size size 3"""
    height, width = photograph.shape[:2]
    side = int(random.uniform(0.3, 1) * min(height, width))
    y, x = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    return cv2.resize(
        photograph[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA
    ).astype(np.float32)


def backdrop(random: Random, size: int, photographs: Sequence[Array] = ()) -> Array:
    """What is behind: plain, shaded as a studio wall, or busy with shapes. size size 3"""
    kind = random.random()
    if kind < 0.4:
        base = np.clip(random.uniform(0.15, 0.95) + random.normal(0, 0.06, 3), 0, 1).astype(
            np.float32
        )
        y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
        slope = random.normal(0, 0.12, 2)
        return np.clip(
            base + (slope[0] * x + slope[1] * y)[..., None] * random.random(), 0, 1
        ).astype(np.float32)
    scene = cloth(random, size, photographs=photographs)
    if kind > 0.7:
        for _ in range(int(random.integers(2, 12))):
            centre, axes = random.integers(0, size, 2), random.integers(2, max(3, size // 4), 2)
            shade = tuple(float(c) for c in colour(random))
            cv2.ellipse(
                scene,
                (int(centre[0]), int(centre[1])),
                (int(axes[0]), int(axes[1])),
                float(random.uniform(0, 180)),
                0,
                360,
                shade,
                -1,
                cv2.LINE_AA,
            )
    return (
        scene if random.random() < 0.5 else cv2.GaussianBlur(scene, (0, 0), random.uniform(0.5, 3))
    )


def coordinates(size: int) -> tuple[Array, Array]:
    line = np.linspace(-1, 1, size, dtype=np.float32)
    u, v = np.meshgrid(line, line)
    return u, v


def soft(distance: Array, width: float) -> Array:
    """1 where distance < 0, 0 beyond `width`."""
    return np.clip(1 - distance / width, 0, 1)


def lay(surface: Array, weight: Array, tint: Array) -> None:
    """Mix a colour over a surface, in place."""
    surface += weight[..., None] * (tint - surface)
