"""Jointed figures, animals and loose shapes: painted limbs hung on one another, rigid or soft, over
and under each other.

A limb is a flat sheet whose rest coordinates run from its joint (y = -1) to its end (y = 1). All
kinds answer to the same twenty joints as faces do, each kind in its own way: a network that follows
points need not know what they are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .paint import (
    Array,
    Random,
    backdrop,
    cloth,
    coordinates,
    soft,
)
from .stage import (
    Flat,
    Frame,
    Layer,
    Texture,
    turned,
)

SHEET = 72


@dataclass(frozen=True, eq=False)
class Limb:
    """One part of a body that is not posed yet."""

    name: str
    parent: int  # index of the limb it hangs from; -1: the root
    hinge: tuple[float, float]  # where on the parent, in the parent's rest coordinates
    length: float  # in body units
    width: float
    angle: float  # at rest, 0 hangs down
    swing: float  # how far it may turn, radians
    depth: float  # drawn back to front in this order
    texture: Texture  # S S 4
    soft: float = 0.0  # how far it may bend


@dataclass(frozen=True, eq=False)
class Body:
    limbs: tuple[Limb, ...]
    background: Texture
    scale: float
    joints: tuple[tuple[int, float, float], ...]  # twenty of (limb, rest x, rest y)
    named: bool = True  # a picture tells which joint is which; a heap of blobs does not


@dataclass(frozen=True, eq=False)
class PosedBody:
    trunk: ClassVar[int] = 1
    layers: list[Layer]
    order: list[int]
    turns: list[float]
    scale: float


def paint_limb(
    random: Random,
    tint: Array | None,
    outline: float,
    kind: str = "limb",
    photographs: Sequence[Array] = (),
) -> Texture:
    """A rounded sheet with its own pattern, shaded at its sides. S S 4"""
    u, v = coordinates(SHEET)
    power = random.uniform(2, 8) if kind != "round" else random.uniform(1.8, 2.6)
    taper = 1 - random.uniform(0, 0.5) * (v + 1) / 2 if kind == "limb" else np.ones_like(v)
    around = np.abs(u / taper) ** power + np.abs(v) ** power
    if kind == "blob":
        angle = np.arctan2(v, u)
        rim = (
            0.75
            + 0.2 * np.sin(random.integers(2, 6) * angle + random.uniform(0, 6)) * random.random()
        )
        around = (np.hypot(u, v) / rim) ** 3
    alpha = soft(around - 0.86, 0.14).astype(np.float32)
    surface = cloth(random, SHEET, tint, photographs)
    surface = surface * (
        1 - random.uniform(0, 0.5) * np.abs(u + random.uniform(-0.3, 0.3))[..., None] ** 2
    )
    if outline:
        surface = surface * (1 - outline * soft(0.62 - around, 0.12)[..., None])
    return Texture(
        np.concatenate([np.clip(surface, 0, 1) * alpha[..., None], alpha[..., None]], 2).astype(
            np.float32
        )
    )


def paint_head(random: Random, tint: Array, outline: float) -> Texture:
    """A limb with a face on it: two eyes and a mouth, upside down as limbs hang from their joint
    (the neck is at y = -1).
    """
    sheet = paint_limb(random, tint, outline, "round").levels[0]
    u, v = coordinates(SHEET)
    dark = random.uniform(0, 0.3, 3).astype(np.float32)
    for side in (-1, 1):
        eye = soft(np.hypot(u - 0.35 * side, v - 0.15) - 0.12, 0.06)
        sheet[..., :3] += eye[..., None] * (sheet[..., 3:] * dark - sheet[..., :3])
    mouth = soft(np.maximum(np.abs(u) - 0.3, np.abs(v + 0.45) - 0.05), 0.05)
    sheet[..., :3] += mouth[..., None] * (sheet[..., 3:] * dark - sheet[..., :3])
    return Texture(sheet)


def figure(random: Random, photographs: Sequence[Array] = ()) -> Body:
    """Someone standing: torso, head, arms and legs in two pieces each."""
    outline = random.uniform(0.3, 0.9) if random.random() < 0.35 else 0.0
    skin, shirt, trousers = (
        np.clip(random.random(3) * random.uniform(0.3, 1) + 0.1, 0, 1).astype(np.float32)
        for _ in range(3)
    )
    thick = random.uniform(0.7, 1.3)
    limbs = [
        Limb(
            "torso",
            -1,
            (0, 0),
            0.62,
            0.42 * thick,
            np.pi,
            0.2,
            0,
            paint_limb(random, shirt, outline, "torso", photographs),
            0.1,
        ),
        Limb(
            "head",
            0,
            (0, 0.95),
            0.36,
            0.28 * random.uniform(0.8, 1.3),
            0.0,
            0.45,
            3,
            paint_head(random, skin, outline),
        ),
    ]
    for side in (-1, 1):  # the torso points up, so its x is the picture's turned round
        near = random.choice([-1, 1])
        limbs += [
            Limb(
                "arm",
                0,
                (-side * 0.8, 0.8),
                0.36,
                0.13 * thick,
                np.pi - side * 0.25,
                0.9,
                2 * near,
                paint_limb(random, shirt, outline),
                0.1,
            ),
            Limb(
                "forearm",
                len(limbs),
                (0, 0.85),
                0.34,
                0.11 * thick,
                0.0,
                0.8,
                2.5 * near,
                paint_limb(random, skin, outline),
                0.1,
            ),
            Limb(
                "thigh",
                0,
                (-side * 0.5, -0.85),
                0.44,
                0.18 * thick,
                np.pi - side * 0.08,
                0.4,
                -1 + 0.1 * side,
                paint_limb(random, trousers, outline),
                0.1,
            ),
            Limb(
                "shin",
                len(limbs) + 2,
                (0, 0.9),
                0.44,
                0.14 * thick,
                0.0,
                0.4,
                -1.2 + 0.1 * side,
                paint_limb(random, trousers, outline),
                0.1,
            ),
        ]
    left, right = 2, 6
    joints = (
        (left + 3, 0, 0.9), (right + 3, 0, 0.9), (left + 2, 0, 0), (right + 2, 0, 0),
        (left + 3, 0, -0.9), (right + 3, 0, -0.9),
        (0, 0, 0.6), (1, 0, 0.4), (left + 1, 0, 0.9), (right + 1, 0, 0.9), (0, 0, 0.2),
        (0, 0, -0.2), (0, 0, -0.85),
        (1, 0, 0), (left + 1, 0, -0.9), (right + 1, 0, -0.9), (1, 0, 0.85), (1, 0, -0.9),
        (left, 0, -0.85), (right, 0, -0.85),
    )  # fmt: skip
    return Body(
        tuple(limbs), Texture(backdrop(random, 192, photographs)), random.uniform(0.75, 1.3), joints
    )


def animal(random: Random, photographs: Sequence[Array] = ()) -> Body:
    """Something on four legs, seen from the side, with a head, ears and a tail."""
    outline = random.uniform(0.3, 0.9) if random.random() < 0.3 else 0.0
    fur = np.clip(random.random(3) * random.uniform(0.3, 1) + 0.08, 0, 1).astype(np.float32)
    facing = random.choice([-1.0, 1.0])
    stocky, leg = random.uniform(0.8, 1.4), random.uniform(0.3, 0.55)
    limbs = [
        Limb(
            "trunk",
            -1,
            (0, 0),
            0.95,
            0.36 * stocky,
            -facing * np.pi / 2,
            0.12,
            0,
            paint_limb(random, fur, outline, "torso", photographs),
            0.25,
        ),
        Limb(
            "neck",
            0,
            (0, 0.85),
            0.36,
            0.2 * stocky,
            -facing * random.uniform(-1.0, 0.2) - facing * np.pi / 2 * 0.0,
            0.4,
            1,
            paint_limb(random, fur, outline),
            0.2,
        ),
        Limb(
            "head",
            1,
            (0, 0.9),
            0.34,
            0.22 * stocky,
            facing * random.uniform(0.5, 1.2),
            0.4,
            2,
            paint_head(random, fur * 0.95, outline),
        ),
        Limb(
            "tail",
            0,
            (0, -0.9),
            random.uniform(0.2, 0.6),
            0.08,
            np.pi * 0.8,
            0.7,
            -2,
            paint_limb(random, fur, outline),
            0.6,
        ),
    ]
    for i, (along, depth) in enumerate(((0.7, 1.5), (0.55, -1.5), (-0.6, 1.4), (-0.75, -1.4))):
        shade = fur if i % 2 == 0 else fur * 0.8
        limbs += [
            Limb(
                "thigh",
                0,
                (-facing * 0.3, along),
                leg,
                0.13 * stocky,
                facing * np.pi / 2,
                0.45,
                depth,
                paint_limb(random, shade, outline),
                0.1,
            ),
            Limb(
                "shin",
                len(limbs),
                (0, 0.9),
                leg,
                0.09 * stocky,
                0.0,
                0.4,
                depth - 0.05,
                paint_limb(random, shade, outline),
                0.1,
            ),
        ]
    joints = (
        (5, 0, 0.9), (7, 0, 0.9), (4, 0, 0), (6, 0, 0), (5, 0, -0.9), (7, 0, -0.9), (0, 0, 0.5),
        (2, 0, 0), (9, 0, 0.9), (11, 0, 0.9),
        (0, 0, 0.1), (0, 0, -0.3), (0, 0, -0.8), (2, 0, 0.9), (9, 0, -0.9), (11, 0, -0.9),
        (2, 0, -0.8), (1, 0, 0), (3, 0, 0), (3, 0, 0.9),
    )  # fmt: skip
    return Body(
        tuple(limbs), Texture(backdrop(random, 192, photographs)), random.uniform(0.8, 1.4), joints
    )


def shape(random: Random, photographs: Sequence[Array] = ()) -> Body:
    """A chain or a cluster of blobs."""
    outline = random.uniform(0.3, 0.9) if random.random() < 0.3 else 0.0
    count, chained = int(random.integers(2, 6)), random.random() < 0.5
    limbs = [
        Limb(
            "blob",
            -1,
            (0, 0),
            random.uniform(0.5, 1.0),
            random.uniform(0.4, 0.9),
            0.0,
            0.6,
            0,
            paint_limb(random, None, outline, "blob", photographs),
            0.3,
        )
    ]
    for i in range(1, count):
        parent = i - 1 if chained else 0
        hinge = (0.0, 0.8) if chained else (random.uniform(-0.8, 0.8), random.uniform(-0.8, 0.8))
        texture = paint_limb(
            random,
            None,
            outline,
            str(random.choice(["limb", "round", "blob", "torso"])),
            photographs,
        )
        length, width = random.uniform(0.35, 0.8), random.uniform(0.15, 0.6)
        limbs.append(
            Limb(
                "blob",
                parent,
                hinge,
                length,
                width,
                random.uniform(-np.pi, np.pi),
                0.7,
                random.normal(),
                texture,
                0.3,
            )
        )
    places = [
        (0.0, -0.6),
        (0.0, 0.0),
        (0.0, 0.6),
        (-0.4, 0.0),
        (0.4, 0.0),
        (0.0, 0.3),
        (0.0, -0.3),
        (-0.3, 0.4),
        (0.3, 0.4),
        (0.0, 0.8),
    ]
    joints = tuple((i % count, *places[i // count]) for i in range(20))
    return Body(
        tuple(limbs),
        Texture(backdrop(random, 192, photographs)),
        random.uniform(0.7, 1.2),
        joints,
        named=False,
    )


def random_stance(random: Random, body: Body, reach: float = 1.0) -> Array:
    """x, y, size and turn of the whole, then each limb's turn and bend, in units of what it may do.

    4 + 2L
    """
    whole = random.standard_normal(4) * (0.22, 0.16, 0.12, 0.15)
    return (
        reach
        * np.concatenate([whole, np.clip(random.standard_normal(2 * len(body.limbs)), -1.6, 1.6)])
    ).astype(np.float32)


def pose_body(body: Body, stance: Array, camera: Frame, behind: Frame) -> PosedBody:
    """Every limb where its parent's turn and its own put it, seen through the camera."""
    scale = body.scale * float(np.exp(stance[2]))
    frames: list[Frame] = []
    turns: list[float] = []
    for i, limb in enumerate(body.limbs):
        angle = limb.angle + limb.swing * float(stance[4 + 2 * i]) * 0.6
        half = np.array([0.5 * limb.width * scale, 0.5 * limb.length * scale], np.float32)
        if limb.parent < 0:
            angle += float(stance[3])
            matrix = turned(angle) * half
            shift = np.array([stance[0], stance[1]], np.float32)
        else:
            angle += turns[limb.parent]
            matrix = turned(angle) * half
            hinge = frames[limb.parent].place(np.array([limb.hinge], np.float32))[0]
            shift = hinge + matrix[:, 1] * 0.85
        turns.append(angle)
        frames.append(
            Frame(
                matrix.astype(np.float32),
                shift.astype(np.float32),
                limb.soft * float(stance[5 + 2 * i]),
            )
        )
    layers: list[Layer] = [Flat(body.background, behind, endless=True)]
    layers += [
        Flat(limb.texture, frame.after(camera))
        for limb, frame in zip(body.limbs, frames, strict=True)
    ]
    order = [
        0,
        *(1 + int(i) for i in np.argsort([limb.depth for limb in body.limbs], kind="stable")),
    ]
    return PosedBody(layers, order, turns, scale)


def body_joints(body: Body, posed: PosedBody) -> tuple[Array, Array, np.ndarray]:
    """As face_joints: 20 2, 20 2 2, 20 bool."""
    position, matrix = np.empty((20, 2), np.float32), np.empty((20, 2, 2), np.float32)
    for i, (limb, x, y) in enumerate(body.joints):
        layer = posed.layers[1 + limb]
        position[i] = layer.place(np.array([[x, y]], np.float32), 0)[0][0]
        rest = turned(posed.turns[limb] - body.limbs[limb].angle)
        matrix[i] = rest * posed.scale / 0.6
    return position, matrix, np.full(20, body.named)
