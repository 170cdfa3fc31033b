"""Heads: painted skins on a round surface that turns, with slits for eyes and mouth.

A point of the skin is (u, v): longitude over SPAN and height, v = -1 at the crown and 1 at the
chin; closed eyes and mouth are lines on it. Opening one pushes the skin above and below aside and
shows what is behind: an eyeball, teeth, a tongue. Every step has an exact inverse (the few smooth
bumps, brows and mouth corners, are inverted by iteration), so every point's place is known in every
pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .paint import Array
from .stage import Frame, Texture, Touch

SPAN = 1.8  # radians of longitude at u = 1
# a surface that turns away by less is hidden by less than a pixel of its own rim, and counts as
# facing
HORIZON = -0.12
SKIN, EYE, UPPER_MOUTH, LOWER_MOUTH = 0, 1, 3, 4  # parts of a head; the second eye is EYE + 1


@dataclass(frozen=True)
class Slit:
    """An opening along a line of the skin: what is above moves up, what is below moves down."""

    u: float
    v: float
    half: float  # half its width
    curve: float  # the line sags by this at its ends
    above: float  # how far the skin above gives way, and below
    below: float

    def line(self, u: Array) -> tuple[Array, Array]:
        """How wide the opening is there, 0..1, and where its line lies. N, N"""
        t = (u - self.u) / self.half
        gape = np.maximum(0, 1 - t * t)
        return gape, self.v + self.curve * np.minimum(t * t, 4)

    def close(self, u: Array, v: Array, up: float, down: float) -> tuple[Array, np.ndarray]:
        """From the opened skin to the closed: v there, and whether the point lies in the opening.
        N, N bool
        """
        gape, line = self.line(u)
        d = v - line
        top, bottom = up * gape, down * gape
        inside = (d > -top) & (d < bottom)
        closed = np.where(
            d < 0, stretched(d, -self.above, -top, 0), stretched(d, self.below, bottom, 0)
        )
        return line + closed, inside

    def open(self, u: Array, v: Array, up: float, down: float) -> Array:
        gape, line = self.line(u)
        d = v - line
        opened = np.where(
            d < 0,
            stretched(d, -self.above, 0, -up * gape),
            stretched(d, self.below, 0, down * gape),
        )
        return line + opened


def stretched(d: Array, end: float, at: Array | float, to: Array | float) -> Array:
    """The stretch from `at` to `end` laid over that from `to` to `end`; beyond the end nothing
    moves.
    """
    beyond = d < end if end < 0 else d > end
    return np.where(beyond, d, end + (d - end) * ((end - to) / (end - at)))


@dataclass(frozen=True)
class Bump:
    """Skin drawn by (du, dv) at one place and less around it."""

    u: float
    v: float
    du: float
    dv: float
    wide: float
    high: float

    def pull(self, u: Array, v: Array) -> Array:
        """How much of the pull is felt there. N"""
        return np.exp(
            -(((u - self.u - self.du) / self.wide) ** 2) - ((v - self.v - self.dv) / self.high) ** 2
        )


@dataclass(frozen=True, eq=False)
class Head:
    """A round surface, turned; narrower at the jaw.

    Hair and nose are heads too, a little larger than the skin.
    """

    frame: Frame  # of the unturned disc
    turn: Array  # 3 3
    jaw_width: float
    chin: float  # how far a dropped jaw lengthens it
    radius: float = 1.0

    def seen(self, pixel: float) -> float:
        """A pixel's size on the surface, up and down, where it faces the viewer."""
        return pixel / (self.radius * float(np.hypot(*self.frame.matrix[:, 1])))

    def profile(self, y: Array) -> Array:
        t = np.clip((y - 0.1) / 0.9, 0, 1)
        return 1 - self.jaw_width * t * t

    def lift(self, points: Array) -> tuple[Array, Array, Array, Array]:
        """Pixels to the surface: u, v, the normal (towards the viewer z > 0) and how far from the
        rim, in radii. N, N, N 3, N
        """
        flat = self.frame.rest(points)
        x, y = flat[:, 0], flat[:, 1]
        y = np.where(y > 0.4, 0.4 + (y - 0.4) / (1 + self.chin / 0.6), y) / self.radius
        x = x / (self.profile(y) * self.radius)
        square = x * x + y * y
        normal = np.stack([x, y, np.sqrt(np.maximum(0, 1 - square))], 1)
        back = normal @ self.turn
        return np.arctan2(back[:, 0], back[:, 2]) / SPAN, back[:, 1], normal, (1 - square) * 0.5

    def drop(self, u: Array, v: Array) -> tuple[Array, np.ndarray]:
        """The surface to pixels, and whether it faces the viewer. N 2, N bool"""
        around = np.sqrt(np.maximum(0, 1 - v * v))
        normal = (
            np.stack([around * np.sin(SPAN * u), v, around * np.cos(SPAN * u)], 1) @ self.turn.T
        )
        y = normal[:, 1]
        x = normal[:, 0] * self.profile(y) * self.radius
        y = y * self.radius
        y = np.where(y > 0.4, 0.4 + (y - 0.4) * (1 + self.chin / 0.6), y)
        return self.frame.place(np.stack([x, y], 1).astype(np.float32)), normal[:, 2] > HORIZON

    def box(self) -> Array:
        reach = self.radius * (1 + self.chin)
        corners = self.frame.place(
            reach * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32)
        )
        return np.concatenate([corners.min(0), corners.max(0)])


@dataclass(frozen=True, eq=False)
class Expression:
    """What a face does, as one map of the skin onto itself."""

    bumps: tuple[Bump, ...]
    slits: tuple[tuple[Slit, float, float], ...]  # each with how far it opens up and down

    def undo(self, u: Array, v: Array) -> tuple[Array, Array, list[np.ndarray]]:
        """The moved skin to the skin at rest, and which points lie in each slit. N, N, [N bool]"""
        moved_u, moved_v = self.unbump(u, v)
        inside, rest_v = [], moved_v
        for slit, up, down in self.slits:
            rest_v, within = slit.close(moved_u, rest_v, up, down)
            inside.append(within)
        return moved_u, rest_v, inside

    def unbump(self, u: Array, v: Array) -> tuple[Array, Array]:
        moved_u, moved_v = u.copy(), v.copy()
        for bump in self.bumps:
            pull = bump.pull(u, v)
            moved_u -= bump.du * pull
            moved_v -= bump.dv * pull
        return moved_u, moved_v

    def bump(self, u: Array, v: Array) -> tuple[Array, Array]:
        """The inverse of unbump, by fixed-point iteration (the bumps are contractions)."""
        moved_u, moved_v = u, v
        for _ in range(6):
            back_u, back_v = self.unbump(moved_u, moved_v)
            moved_u, moved_v = moved_u + (u - back_u), moved_v + (v - back_v)
        return moved_u, moved_v

    def do(self, u: Array, v: Array) -> tuple[Array, Array]:
        """The skin at rest to the moved skin."""
        for slit, up, down in reversed(self.slits):
            v = slit.open(u, v, up, down)
        return self.bump(u, v)


@dataclass(frozen=True, eq=False)
class Light:
    direction: Array  # 3, unit
    ambient: float
    diffuse: float
    flat: float  # cartoons: how little the shading matters

    def on(self, normal: Array) -> Array:
        lit = self.ambient + self.diffuse * np.maximum(0, normal @ self.direction)
        return (lit + self.flat * (1 - lit))[:, None]


@dataclass(frozen=True, eq=False)
class Face:
    """The skin of a posed head, with what its slits show."""

    head: Head
    expression: Expression
    light: Light
    skin: Texture  # T T 3
    eyes: Texture  # t t 3, spanning 0.25 in u and v round the eye's centre
    mouth: Texture  # t t 3: the upper half hangs from the skull, the lower from the jaw
    gaze: tuple[float, float]
    outline: float

    def box(self) -> Array:
        return self.head.box()

    def show(self, points: Array, height: int, pixel: float) -> Touch:
        u, v, normal, rim = self.head.lift(points)
        rest_u, rest_v, inside = self.expression.undo(u, v)
        rest = np.stack([rest_u, rest_v], 1).astype(np.float32)
        shade = self.light.on(normal)
        size = self.head.seen(pixel)
        seen = self.skin.look(rest, height, size, cv2.BORDER_REPLICATE) * shade
        part = np.zeros(len(u), np.int8)
        bumped_u, bumped_v = self.expression.unbump(u, v)
        for number, ((slit, up, down), within) in enumerate(
            zip(self.expression.slits, inside, strict=True)
        ):
            if not within.any():
                continue
            chosen, surface = self.behind(
                number, slit, up, down, bumped_u[within], bumped_v[within]
            )
            for piece in np.unique(chosen):
                mask = np.flatnonzero(within)[chosen == piece]
                behind = surface[chosen == piece]
                texture = self.eyes if number < 2 else self.mouth
                centred = (behind - (slit.u, slit.v)) / 0.25
                edge = self.depth(slit, up, bumped_u[mask], bumped_v[mask])
                seen[mask] = (
                    texture.look(centred.astype(np.float32), 1, size / 0.25, cv2.BORDER_REPLICATE)
                    * edge
                    * (0.4 + 0.6 * shade[mask])
                )
                part[mask], rest[mask] = piece, behind
        scale = float(np.abs(np.linalg.det(self.head.frame.matrix))) ** 0.5 / pixel
        alpha = np.clip(rim * scale + 0.5, 0, 1).astype(np.float32)
        if self.outline:
            seen *= 1 - self.outline * np.clip(1 - np.abs(rim - 0.02) / 0.03, 0, 1)[:, None]
        return Touch((seen * alpha[:, None]).astype(np.float32), alpha, part, rest)

    def behind(
        self, number: int, slit: Slit, up: float, down: float, u: Array, v: Array
    ) -> tuple[np.ndarray, Array]:
        """Which part lies behind the opening there, and at which of its points."""
        if number < 2:  # an eyeball, rolled by the gaze
            return np.full(len(u), EYE + number, np.int8), np.stack(
                [u - self.gaze[0], v - self.gaze[1]], 1
            ).astype(np.float32)
        _, line = slit.line(u)
        d = v - line
        lower = d > 0.5 * (down - up)
        rest = np.where(lower, np.maximum(d - down, -0.24), np.minimum(d + up, 0.24) if up else d)
        chosen = np.where(lower, LOWER_MOUTH, UPPER_MOUTH).astype(np.int8)
        offset = np.where(lower, 0.25, -0.25)  # halves of the texture, folded at its middle
        return chosen, np.stack([u, slit.v + rest + offset], 1).astype(np.float32)

    def front(self, rest: Array, part: int) -> tuple[Array, Array]:
        """A part's points to the bumped skin."""
        u, v = rest[:, 0], rest[:, 1]
        if part in (EYE, EYE + 1):
            return u + self.gaze[0], v + self.gaze[1]
        slit, up, down = self.expression.slits[2]
        _, line = slit.line(u)
        return u, line + (
            v - slit.v - 0.25 + down if part == LOWER_MOUTH else v - slit.v + 0.25 - up
        )

    @staticmethod
    def depth(slit: Slit, up: float, u: Array, v: Array) -> Array:
        """Shadow under the rim of an opening. N 1"""
        gape, line = slit.line(u)
        above = (v - line + up * gape) / (0.05 + 0 * gape)
        return np.clip(0.45 + 0.55 * above, 0.45, 1)[:, None].astype(np.float32)

    def place(self, rest: Array, part: int) -> tuple[Array, np.ndarray]:
        if part == SKIN:
            return self.head.drop(*self.expression.do(rest[:, 0], rest[:, 1]))
        return self.head.drop(*self.expression.bump(*self.front(rest, part)))


@dataclass(frozen=True, eq=False)
class Shell:
    """Hair, a nose, spectacles: painted on a head of its own radius, seen where its texture is
    opaque.
    """

    head: Head
    light: Light
    texture: Texture  # T T 4, colour multiplied by alpha

    def box(self) -> Array:
        return self.head.box()

    def show(self, points: Array, height: int, pixel: float) -> Touch:
        u, v, normal, rim = self.head.lift(points)
        rest = np.stack([u, v], 1).astype(np.float32)
        seen = self.texture.look(rest, height, self.head.seen(pixel), cv2.BORDER_REPLICATE)
        scale = float(np.abs(np.linalg.det(self.head.frame.matrix))) ** 0.5 / pixel
        cover = np.clip(rim * scale + 0.5, 0, 1).astype(np.float32)
        return Touch(
            (seen[:, :3] * self.light.on(normal) * cover[:, None]).astype(np.float32),
            seen[:, 3] * cover,
            np.zeros(len(u), np.int8),
            rest,
        )

    def place(self, rest: Array, part: int) -> tuple[Array, np.ndarray]:
        return self.head.drop(rest[:, 0], rest[:, 1])
