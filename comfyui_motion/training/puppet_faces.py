"""Faces that turn, blink, look, speak and raise their brows: a painted skin on a round head, with slits for eyes and mouth.

A point of the skin is (u, v): longitude over SPAN and height, v = -1 at the crown and 1 at the chin; closed eyes and mouth are lines on it.
Opening one pushes the skin above and below aside and shows what is behind: an eyeball, teeth, a tongue. Every step has an exact inverse
(the few smooth bumps, brows and mouth corners, are inverted by iteration), so every point's place is known in every pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .puppet_paint import Array, Random, backdrop, cloth, colour, flesh, grey
from .puppet_stage import Flat, Frame, Layer, Touch, look

SPAN = 1.8  # radians of longitude at u = 1
SKIN, EYE, UPPER_MOUTH, LOWER_MOUTH = 0, 1, 3, 4  # parts of a head; the second eye is EYE + 1
TEXTURE = 160

# What a pose says, each about -1..1 or 0..1, with its neutral value.
POSE = {
    "x": 0.0, "y": 0.0, "size": 0.0, "roll": 0.0, "yaw": 0.0, "pitch": 0.0,
    "open": 0.0, "jaw": 0.0, "smile": 0.0, "pucker": 0.0, "skew": 0.0, "brow_left": 0.0, "brow_right": 0.0,
    "lid_left": 0.8, "lid_right": 0.8, "squint": 0.0, "gaze_x": 0.0, "gaze_y": 0.0,
    "body_x": 0.0, "body_y": 0.0, "body_roll": 0.0,
}  # fmt: skip
Pose = dict[str, float]


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

    def close(self, u: Array, v: Array, up: float, down: float) -> tuple[Array, Array]:
        """From the opened skin to the closed: v there, and whether the point lies in the opening. N, N bool"""
        gape, line = self.line(u)
        d = v - line
        top, bottom = up * gape, down * gape
        inside = (d > -top) & (d < bottom)
        closed = np.where(d < 0, stretched(d, -self.above, -top, 0), stretched(d, self.below, bottom, 0))
        return line + closed, inside

    def open(self, u: Array, v: Array, up: float, down: float) -> Array:
        gape, line = self.line(u)
        d = v - line
        opened = np.where(d < 0, stretched(d, -self.above, 0, -up * gape), stretched(d, self.below, 0, down * gape))
        return line + opened


def stretched(d: Array, end: float, at: Array | float, to: Array | float) -> Array:
    """The stretch from `at` to `end` laid over that from `to` to `end`; beyond the end nothing moves."""
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
        return np.exp(-(((u - self.u - self.du) / self.wide) ** 2) - ((v - self.v - self.dv) / self.high) ** 2)


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
        return Build(
            aspect=random.uniform(0.68, 0.88),
            jaw_width=random.uniform(0.05, 0.4),
            eye_u=random.uniform(0.2, 0.27),
            eye_v=random.uniform(-0.08, 0.1),
            eye_half=random.uniform(0.085, 0.14),
            mouth_v=random.uniform(0.52, 0.66),
            mouth_half=random.uniform(0.13, 0.24),
            brow_v=random.uniform(0.12, 0.22),
            nose_v=random.uniform(0.26, 0.4),
            nose_radius=random.uniform(1.08, 1.28),
            head=random.uniform(0.4, 0.84) if random.random() < 0.88 else random.uniform(0.2, 0.36),
            body_drop=random.uniform(0.8, 1.0),
        )


@dataclass(frozen=True, eq=False)
class Head:
    """A round surface, turned; narrower at the jaw. Hair and nose are heads too, a little larger than the skin."""

    frame: Frame  # of the unturned disc
    turn: Array  # 3 3
    jaw_width: float
    chin: float  # how far a dropped jaw lengthens it
    radius: float = 1.0

    def profile(self, y: Array) -> Array:
        t = np.clip((y - 0.1) / 0.9, 0, 1)
        return 1 - self.jaw_width * t * t

    def lift(self, points: Array) -> tuple[Array, Array, Array, Array]:
        """Pixels to the surface: u, v, the normal (towards the viewer z > 0) and how far from the rim, in radii. N, N, N 3, N"""
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
        normal = np.stack([around * np.sin(SPAN * u), v, around * np.cos(SPAN * u)], 1) @ self.turn.T
        y = normal[:, 1]
        x = normal[:, 0] * self.profile(y) * self.radius
        y = y * self.radius
        y = np.where(y > 0.4, 0.4 + (y - 0.4) * (1 + self.chin / 0.6), y)
        return self.frame.place(np.stack([x, y], 1).astype(np.float32)), normal[:, 2] > 0

    def box(self) -> Array:
        reach = self.radius * (1 + self.chin)
        corners = self.frame.place(reach * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32))
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
    skin: Array  # T T 3
    eyes: Array  # t t 3, spanning 0.25 in u and v round the eye's centre
    mouth: Array  # t t 3: the upper half hangs from the skull, the lower from the jaw
    gaze: tuple[float, float]
    outline: float

    def box(self) -> Array:
        return self.head.box()

    def show(self, points: Array, height: int, pixel: float) -> Touch:
        u, v, normal, rim = self.head.lift(points)
        rest_u, rest_v, inside = self.expression.undo(u, v)
        rest = np.stack([rest_u, rest_v], 1).astype(np.float32)
        shade = self.light.on(normal)
        seen = look(self.skin, rest, height, cv2.BORDER_REPLICATE) * shade
        part = np.zeros(len(u), np.int8)
        bumped_u, bumped_v = self.expression.unbump(u, v)
        for number, ((slit, up, down), within) in enumerate(zip(self.expression.slits, inside, strict=True)):
            if not within.any():
                continue
            chosen, surface = self.behind(number, slit, up, down, bumped_u[within], bumped_v[within])
            for piece in np.unique(chosen):
                mask = np.flatnonzero(within)[chosen == piece]
                behind = surface[chosen == piece]
                texture = self.eyes if number < 2 else self.mouth
                centred = (behind - (slit.u, slit.v)) / 0.25
                edge = self.depth(slit, up, down, bumped_u[mask], bumped_v[mask])
                seen[mask] = look(texture, centred.astype(np.float32), 1, cv2.BORDER_REPLICATE) * edge * (0.4 + 0.6 * shade[mask])
                part[mask], rest[mask] = piece, behind
        scale = float(np.abs(np.linalg.det(self.head.frame.matrix))) ** 0.5 / pixel
        alpha = np.clip(rim * scale + 0.5, 0, 1).astype(np.float32)
        if self.outline:
            seen *= 1 - self.outline * np.clip(1 - np.abs(rim - 0.02) / 0.03, 0, 1)[:, None]
        return Touch((seen * alpha[:, None]).astype(np.float32), alpha, part, rest)

    def behind(self, number: int, slit: Slit, up: float, down: float, u: Array, v: Array) -> tuple[np.ndarray, Array]:
        """Which part lies behind the opening there, and at which of its points."""
        if number < 2:  # an eyeball, rolled by the gaze
            return np.full(len(u), EYE + number, np.int8), np.stack([u - self.gaze[0], v - self.gaze[1]], 1).astype(np.float32)
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
        return u, line + (v - slit.v - 0.25 + down if part == LOWER_MOUTH else v - slit.v + 0.25 - up)

    @staticmethod
    def depth(slit: Slit, up: float, down: float, u: Array, v: Array) -> Array:
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
    """Hair, a nose, spectacles: painted on a head of its own radius, seen where its texture is opaque."""

    head: Head
    light: Light
    texture: Array  # T T 4, colour multiplied by alpha

    def box(self) -> Array:
        return self.head.box()

    def show(self, points: Array, height: int, pixel: float) -> Touch:
        u, v, normal, rim = self.head.lift(points)
        rest = np.stack([u, v], 1).astype(np.float32)
        seen = look(self.texture, rest, height, cv2.BORDER_REPLICATE)
        scale = float(np.abs(np.linalg.det(self.head.frame.matrix))) ** 0.5 / pixel
        cover = np.clip(rim * scale + 0.5, 0, 1).astype(np.float32)
        return Touch(
            (seen[:, :3] * self.light.on(normal) * cover[:, None]).astype(np.float32), seen[:, 3] * cover, np.zeros(len(u), np.int8), rest
        )

    def place(self, rest: Array, part: int) -> tuple[Array, np.ndarray]:
        return self.head.drop(rest[:, 0], rest[:, 1])


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


@dataclass(frozen=True, eq=False)
class FaceSet:
    """One face, painted once and posed as often as one likes."""

    build: Build
    slits: tuple[Slit, Slit, Slit]
    skin: Array
    eyes: Array
    mouth: Array
    hair: Array
    nose: Array
    back: Array  # hair behind the head, a flat sheet
    back_size: tuple[float, float]
    hair_radius: float
    spectacles: Array | None
    ear: Array
    body: Array
    background: Array
    light: Light
    outline: float
    rest_pose: Pose = field(default_factory=dict)


def paint_face(random: Random, photographs: Sequence[Array] = ()) -> FaceSet:
    """A face that nobody has."""
    build = Build.draw(random)
    cartoon = random.random() < 0.25
    skin_colour, hair_colour = flesh(random), colour(random, 0.5) if random.random() < 0.4 else flesh(random) * random.uniform(0.1, 0.8)
    hair_colour = hair_colour.astype(np.float32)
    eye = {"half": build.eye_half, "curve": random.uniform(-0.01, 0.03), "above": 0.13, "below": 0.1}
    slits = (
        Slit(u=-build.eye_u, v=build.eye_v, **eye),
        Slit(u=build.eye_u, v=build.eye_v, **eye),
        Slit(u=0.0, v=build.mouth_v, half=build.mouth_half, curve=random.uniform(-0.03, 0.02), above=0.16, below=0.97 - build.mouth_v),
    )
    skin = paint_skin(random, build, slits, skin_colour, hair_colour, cartoon)
    angle, height = random.uniform(-1.2, 1.2), random.uniform(-0.8, 0.3)
    direction = np.array([np.sin(angle), height, np.cos(angle)])
    ambient = random.uniform(0.45, 0.85)
    light = Light(
        (direction / np.linalg.norm(direction)).astype(np.float32), ambient, 1.05 - ambient, random.uniform(0.5, 1) if cartoon else 0.0
    )
    length = random.choice([0.0, random.uniform(0.9, 1.1), random.uniform(1.2, 2.2)], p=[0.45, 0.25, 0.3])
    return FaceSet(
        build=build,
        slits=slits,
        skin=skin,
        eyes=paint_eye(random, cartoon, slits[0]),
        mouth=paint_mouth(random),
        hair=paint_hair(random, build, hair_colour),
        nose=paint_nose(random, build, skin, skin_colour),
        back=paint_oval(random, hair_colour),
        back_size=(random.uniform(0.95, 1.25), length),
        hair_radius=random.uniform(1.03, 1.2),
        spectacles=paint_spectacles(random, build) if random.random() < 0.12 else None,
        ear=paint_oval(random, skin_colour * 0.92, 0.3),
        body=paint_body(random, skin_colour, photographs),
        background=backdrop(random, 192, photographs),
        light=light,
        outline=random.uniform(0.4, 0.9) if cartoon else 0.0,
    )


def paint_skin(random: Random, build: Build, slits: tuple[Slit, Slit, Slit], tone: Array, hair: Array, cartoon: bool) -> Array:
    u, v = coordinates(TEXTURE)
    rough = 0.06 if cartoon else random.uniform(0.05, 0.35)
    surface = tone * (1 + rough * (grey(random, TEXTURE)[..., None] - 0.5) + 0.5 * rough * (grey(random, TEXTURE)[..., None] - 0.5))
    surface = surface.astype(np.float32)
    blush = np.clip(tone * np.array([1.1, 0.75, 0.7]), 0, 1)
    cheeks = sum(np.exp(-(((u - side * 0.28) / 0.14) ** 2) - ((v - 0.3) / 0.18) ** 2) for side in (-1, 1))
    lay(surface, random.uniform(0, 0.5) * cheeks, blush)
    lid = np.clip(tone * random.uniform(0.55, 0.95), 0, 1)
    for slit in slits[:2]:
        _, line = slit.line(u)
        socket = np.exp(-(((u - slit.u) / (1.4 * slit.half)) ** 2) - ((v - slit.v + 0.04) / 0.11) ** 2)
        lay(surface, random.uniform(0.1, 0.6) * socket, lid)
        within = (np.abs(u - slit.u) < 1.15 * slit.half).astype(np.float32)
        crease = within * soft(np.abs(v - line + 0.035) - 0.004, 0.012)
        lay(surface, random.uniform(0, 0.6) * crease, tone * 0.55)
        lash = within * soft(np.abs(v - line) - 0.006, 0.014)
        lay(surface, random.uniform(0.5, 1) * lash, tone * random.uniform(0.05, 0.5))
        brow_line = build.eye_v - build.brow_v + 0.9 * (np.abs(u) - build.eye_u) ** 2 * random.uniform(0, 3)
        brow = soft(np.abs(u - slit.u) - 1.25 * slit.half, 0.04) * soft(np.abs(v - brow_line) - random.uniform(0.008, 0.03), 0.025)
        lay(surface, random.uniform(0.4, 1) * brow, hair * random.uniform(0.4, 0.9))
    mouth = slits[2]
    t = (u - mouth.u) / mouth.half
    _, line = mouth.line(u)
    plump = random.uniform(0.02, 0.075, 2)
    bow = np.maximum(0, 1 - t * t) ** 0.7
    d = v - line
    lips = np.where(d < 0, soft(-d - plump[0] * bow, 0.015), soft(d - plump[1] * bow, 0.015)) * (np.abs(t) < 1.05)
    lip_colour = np.clip(tone * np.array([random.uniform(0.7, 1.1), random.uniform(0.35, 0.85), random.uniform(0.4, 0.9)]), 0, 1)
    lay(surface, random.uniform(0.4, 1) * lips, lip_colour)
    lay(surface, random.uniform(0.4, 1) * soft(np.abs(d) - 0.004, 0.014) * (np.abs(t) < 1), tone * 0.3)
    chin_shade = np.exp(-((u / 0.15) ** 2) - ((v - mouth.v - plump[1] - 0.07) / 0.04) ** 2)
    lay(surface, random.uniform(0, 0.35) * chin_shade, tone * 0.6)
    if random.random() < 0.3:  # beard or stubble
        edge = mouth.v - random.uniform(0.05, 0.16)
        beard = soft(edge - v, 0.1) * (1 - lips) * np.clip(0.3 + grey(random, TEXTURE), 0, 1)
        lay(surface, random.uniform(0.2, 0.95) * beard, hair * 0.8)
    if random.random() < 0.3:  # wrinkles from nose to mouth
        for side in (-1, 1):
            wrinkle = soft(np.abs(u - side * (0.1 + 0.35 * (v - 0.25))) - 0.006, 0.015) * ((v > 0.3) & (v < mouth.v))
            lay(surface, random.uniform(0.2, 0.7) * wrinkle, tone * 0.6)
    return np.clip(surface, 0, 1)


def paint_eye(random: Random, cartoon: bool, slit: Slit, size: int = 48) -> Array:
    u, v = coordinates(size)
    white = np.clip(random.uniform(0.65, 1.0) + random.normal(0, 0.04, 3), 0, 1).astype(np.float32)
    surface = np.broadcast_to(white, (size, size, 3)).copy()
    around = np.hypot(u * 1.15, v)  # u spans more of the picture than v
    iris = random.uniform(0.75, 1.1) * 0.5 * slit.half / 0.25
    lay(surface, soft(around - iris, 0.05), np.clip(colour(random) * 0.8, 0, 1))
    lay(surface, soft(np.abs(around - iris) - 0.02, 0.05), white * 0.25)
    lay(surface, soft(around - iris * random.uniform(0.35, 0.6), 0.04), np.full(3, 0.04, np.float32))
    lay(surface, soft(np.hypot(u - 0.1, v + 0.1) - 0.05, 0.04), np.ones(3, np.float32))
    return surface


def paint_mouth(random: Random, size: int = 64) -> Array:
    """Upper half: what hangs from the skull, its gum at the middle of that half; lower half: the jaw's."""
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
    lay(surface, random.uniform(0, 0.9) * tongue * (v > 0) * (v < 1 - lower), np.array([random.uniform(0.4, 0.8), 0.25, 0.28], np.float32))
    return surface


def paint_hair(random: Random, build: Build, tint: Array) -> Array:
    """RGBA over (u, v): above the hairline, and down the sides."""
    u, v = coordinates(TEXTURE)
    side = random.uniform(-0.1, 1.0)  # how far down the sides it goes
    line = random.uniform(-0.75, -0.35) + random.uniform(-0.3, 0.3) * u + random.normal(0, 0.03) * np.sin(random.uniform(4, 14) * u)
    rise = np.clip((np.abs(u) - random.uniform(0.42, 0.62)) / 0.15, 0, 1)
    edge = line + rise * (side - line)
    ragged = random.uniform(0.02, 0.2) * (grey(random, TEXTURE) - 0.5)
    alpha = soft(v - edge - ragged, 0.04).astype(np.float32)
    if random.random() < 0.12:
        alpha *= 0  # bald
    strands = grey(random, TEXTURE)
    strands = cv2.resize(strands[:, :: int(random.integers(1, 8))], (TEXTURE, TEXTURE)) if random.random() < 0.7 else strands
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
    for sign in (-1, 1):
        nostril = np.exp(-(((u - sign * 0.5 * wide) / (0.28 * wide)) ** 2) - ((v - tip - 0.01) / 0.015) ** 2)
        lay(surface, random.uniform(0.3, 0.95) * nostril, tone * 0.2)
    lay(surface, random.uniform(0, 0.5) * np.exp(-((u / wide) ** 2) - ((v - tip - 0.045) / 0.02) ** 2), tone * 0.55)
    return np.concatenate([surface * alpha[..., None], alpha[..., None]], 2).astype(np.float32)


def paint_spectacles(random: Random, build: Build) -> Array:
    u, v = coordinates(TEXTURE)
    radius, thick = random.uniform(0.13, 0.18), random.uniform(0.008, 0.02)
    power = random.choice([2.0, 4.0])
    alpha = np.zeros_like(u)
    for side in (-1, 1):
        ring = ((np.abs(u - side * build.eye_u) / radius) ** power + (np.abs(v - build.eye_v) / (radius * 0.95)) ** power) ** (
            1 / power
        ) * radius
        alpha = np.maximum(alpha, soft(np.abs(ring - radius) - thick, 0.012))
    bridge = (np.abs(u) < build.eye_u - radius) | (np.abs(u) > build.eye_u + radius)
    alpha = np.maximum(alpha, soft(np.abs(v - build.eye_v) - thick, 0.012) * bridge * (np.abs(u) < 0.75)).astype(np.float32)
    tint = colour(random) * 0.6
    return np.concatenate([tint * alpha[..., None], alpha[..., None]], 2).astype(np.float32)


def paint_oval(random: Random, tint: Array, rim: float = 0.0, size: int = 64) -> Array:
    """A soft-edged oval, darker inside by `rim`: an ear, or hair behind a head."""
    u, v = coordinates(size)
    around = np.abs(u) ** 2.5 + np.abs(v) ** 2.5
    alpha = soft(around - 0.88, 0.1).astype(np.float32)
    surface = np.clip(tint * (1 + 0.5 * (grey(random, size)[..., None] - 0.5)) * (1 - rim * soft(around - 0.3, 0.2)[..., None]), 0, 1)
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
    lay(surface, random.uniform(0, 0.8) * soft(np.abs(v - vee) - 0.03, 0.02) * (v > -0.6), colour(random))
    lay(surface, random.uniform(0.2, 0.6) * throat * soft(v + 0.75, 0.3), tone * 0.35)
    return np.concatenate([np.clip(surface, 0, 1) * alpha[..., None], alpha[..., None]], 2).astype(np.float32)


def random_pose(random: Random, reach: float = 1.0) -> Pose:
    """A pose within `reach` of what a head can do."""
    normal = random.standard_normal(12) * reach
    mouth = 0.0 if random.random() < 0.35 else random.random() * reach
    lids = random.uniform(0.55, 1.0) + random.normal(0, 0.04, 2)
    lids[random.random(2) < 0.15] = random.uniform(0, 0.2)
    brow = random.normal(0, 0.6)
    return {
        "x": 0.16 * normal[0], "y": 0.1 * normal[1], "size": 0.1 * normal[2],
        "roll": 0.16 * normal[3], "yaw": 0.36 * normal[4], "pitch": 0.2 * normal[5],
        "open": mouth, "jaw": mouth * random.uniform(0.4, 1.0), "smile": float(np.clip(0.6 * normal[6], -1, 1)),
        "pucker": float(max(0, random.normal(0, 0.5))) if random.random() < 0.5 else 0.0, "skew": 0.4 * normal[11],
        "brow_left": float(np.clip(brow + random.normal(0, 0.25), -1, 1)), "brow_right": float(np.clip(brow + random.normal(0, 0.25), -1, 1)),
        "lid_left": float(lids[0]), "lid_right": float(lids[1]), "squint": float(max(0, 0.4 * normal[7])),
        "gaze_x": float(np.clip(0.5 * normal[8], -1, 1)), "gaze_y": float(np.clip(0.4 * normal[9], -1, 1)),
        "body_x": 0.08 * normal[10], "body_y": float(0.05 * random.standard_normal() * reach), "body_roll": float(0.06 * random.standard_normal() * reach),
    }  # fmt: skip


def rotation(yaw: float, pitch: float) -> Array:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return (np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])).astype(np.float32)


def turned(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)


def expression_of(face: FaceSet, pose: Pose) -> Expression:
    build, (left, right, mouth) = face.build, face.slits
    brow = build.eye_v - build.brow_v
    corner = mouth.v + mouth.curve
    out = 0.05 * pose["smile"] - 0.07 * min(pose["pucker"], 1.2)
    bumps = (
        Bump(-build.eye_u, brow, 0.012 * pose["brow_left"], -0.055 * pose["brow_left"], 0.15, 0.1),
        Bump(build.eye_u, brow, -0.012 * pose["brow_right"], -0.055 * pose["brow_right"], 0.15, 0.1),
        Bump(-mouth.half, corner, -out + 0.03 * pose["skew"], -0.06 * pose["smile"], 0.12, 0.14),
        Bump(mouth.half, corner, out + 0.03 * pose["skew"], -0.06 * pose["smile"], 0.12, 0.14),
    )
    lids = [max(0.0, pose["lid_left"]), max(0.0, pose["lid_right"])]
    eye = 0.62 * build.eye_half
    gape = max(0.0, pose["open"])
    return Expression(
        bumps,
        (
            (left, min(0.09, eye * lids[0]), min(0.06, 0.35 * eye * lids[0] * (1 - 0.5 * min(1.0, pose["squint"])))),
            (right, min(0.09, eye * lids[1]), min(0.06, 0.35 * eye * lids[1] * (1 - 0.5 * min(1.0, pose["squint"])))),
            (mouth, min(0.1, 0.06 * gape), min(0.2, 0.17 * gape)),
        ),
    )


@dataclass(frozen=True, eq=False)
class PosedFace:
    layers: list[Layer]
    order: list[int]
    face: Face
    nose: Shell
    hair: Shell
    body: Flat
    ears: tuple[Flat, Flat]
    scale: float


def pose_face(face: FaceSet, pose: Pose, camera: Frame, behind: Frame) -> PosedFace:
    """Every layer of the face so posed, seen through the camera; the background has a camera of its own."""
    build = face.build
    height = build.head * float(np.exp(pose["size"]))
    roll = turned(pose["roll"])
    centre = np.array([pose["x"], pose["y"]], np.float32)
    disc = Frame((roll * np.array([height * build.aspect, height], np.float32)).astype(np.float32), centre).after(camera)
    turn = rotation(pose["yaw"], pose["pitch"])
    chin = 0.14 * max(0.0, pose["jaw"])
    head = Head(disc, turn, build.jaw_width, chin)
    skin = Face(
        head,
        expression_of(face, pose),
        face.light,
        face.skin,
        face.eyes,
        face.mouth,
        (0.03 * pose["gaze_x"], 0.015 * pose["gaze_y"]),
        face.outline,
    )
    nose = Shell(Head(disc, turn, build.jaw_width, chin, build.nose_radius), face.light, face.nose)
    hair = Shell(Head(disc, turn, build.jaw_width, chin, face.hair_radius), face.light, face.hair)
    wide, long = face.back_size
    lean = np.array([-0.25 * pose["yaw"], 0.2 * (pose["pitch"]) + 0.5 * long - 0.4], np.float32)
    back = Flat(face.back, Frame(disc.matrix @ np.diag([wide, max(long, 1e-3)]).astype(np.float32), disc.matrix @ lean + disc.shift))
    waist = np.array([0.35 * pose["x"] + pose["body_x"], 0.35 * pose["y"] + build.head * build.body_drop + pose["body_y"]], np.float32)
    body_matrix = turned(0.25 * pose["roll"] + pose["body_roll"]) * np.float32(1.55 * build.head)
    body = Flat(face.body, Frame(body_matrix, waist + body_matrix @ np.array([0, 0.45], np.float32)).after(camera))
    ears = []
    for side in (-1, 1):
        at, facing = head.drop(np.array([side * 1.42 / SPAN], np.float32), np.array([build.eye_v + 0.1], np.float32))
        ears.append(
            (
                Flat(face.ear, Frame(disc.matrix @ np.diag([0.13, 0.2]).astype(np.float32), at[0] + disc.matrix[:, 0] * side * 0.04)),
                bool(facing[0]),
            )
        )
    layers: list[Layer] = [Flat(face.background, behind, endless=True), back, body, ears[0][0], ears[1][0], skin, hair, nose]
    order = [0, *([1] if long else []), 2, *(3 + i for i in (0, 1) if not ears[i][1] or abs(pose["yaw"]) < 0.25), 5, 6, 7]
    front = [3 + i for i in (0, 1) if 3 + i not in order]
    order[-2:-2] = front
    if face.spectacles is not None:
        layers.append(Shell(Head(disc, turn, build.jaw_width, chin, 1.06), face.light, face.spectacles))
        order.append(8)
    return PosedFace(layers, order, skin, nose, hair, body, (ears[0][0], ears[1][0]), height)


def face_joints(face: FaceSet, posed: PosedFace) -> tuple[Array, Array, np.ndarray]:
    """Where the twenty joints are, how their surroundings lie, and whether they face the viewer. 20 2, 20 2 2, 20 bool"""
    build, mouth = face.build, face.slits[2]
    edge = 0.004
    end = mouth.v + mouth.curve
    skin = np.array([
        (-build.eye_u, build.eye_v - build.brow_v), (build.eye_u, build.eye_v - build.brow_v),
        (-build.eye_u, build.eye_v - edge), (build.eye_u, build.eye_v - edge),
        (-build.eye_u, build.eye_v + edge), (build.eye_u, build.eye_v + edge),
        (0, -0.42), (0, build.eye_v),
        (-mouth.half, end), (mouth.half, end), (0, mouth.v - edge), (0, mouth.v + edge), (0, 0.95),
    ], np.float32)  # fmt: skip
    groups = [(posed.face, skin, (1 / SPAN, 1.0)), (posed.nose, np.array([(0, build.nose_v)], np.float32), (1 / SPAN, 1.0))]
    ear = np.zeros((1, 2), np.float32)
    groups += [(posed.ears[0], ear, (7.7, 5.0)), (posed.ears[1], ear, (7.7, 5.0))]
    groups += [(posed.hair, np.array([(0, -0.9)], np.float32), (1 / SPAN, 1.0))]
    groups += [(posed.body, np.array([(0, -0.62), (-0.62, -0.2), (0.62, -0.2)], np.float32), (0.65, 0.65))]
    found = [surroundings(layer, rest, unit) for layer, rest, unit in groups]
    position, matrix, facing = (np.concatenate(column) for column in zip(*found, strict=True))
    return position, matrix, facing


def surroundings(layer: Layer, rest: Array, unit: tuple[float, float], step: float = 0.08) -> tuple[Array, Array, np.ndarray]:
    """Points of a layer's first part, their local frames in units of a face that fills the picture, and whether they face. N 2, N 2 2, N bool"""
    position, facing = layer.place(rest, 0)
    columns = []
    for axis in range(2):
        shift = np.zeros(2, np.float32)
        shift[axis] = step * unit[axis]
        ahead, behind = layer.place(rest + shift, 0)[0], layer.place(rest - shift, 0)[0]
        columns.append((ahead - behind) / (2 * step * 0.6))
    return position, np.stack(columns, 2), facing
