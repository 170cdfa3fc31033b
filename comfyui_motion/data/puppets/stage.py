"""The stage puppets play on: layers over one another, drawn back to front, and the truth that
follows from how they were drawn.

Every layer knows where a point of its surface (rest coordinates) is in the picture, and which point
of its surface a pixel shows. So where a driving pixel is in the source needs no search: its surface
point, placed by the source's pose; and it is visible there if the source shows that point and not
another. Coordinates are (x, y) in -1..1, corner-aligned, arrays N 2 float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from .paint import Array

MARGIN = 2  # pixels round a layer's box
ENOUGH = 0.2  # a surface's own outline, read between pixels, has at least so much of it


@dataclass(frozen=True, eq=False)
class Touch:
    """What a layer shows at some pixels."""

    colour: Array  # N 3, multiplied by alpha
    alpha: Array  # N
    part: np.ndarray  # N small integers: which of the layer's own parts
    rest: Array  # N 2: the surface point


class Layer(Protocol):
    """A surface in one pose."""

    def box(self) -> Array:
        """Its bounds in the picture: left, top, right, bottom."""
        ...

    def show(self, points: Array, height: int, pixel: float) -> Touch:
        """What is seen at a block of pixels `height` rows high; `pixel` is their size."""
        ...

    def place(self, rest: Array, part: int) -> tuple[Array, np.ndarray]:
        """Where surface points are in the picture, and whether they face the viewer. N 2, N bool"""
        ...


@dataclass(frozen=True, eq=False)
class Frame:
    """How a flat layer lies: rest -> bent -> matrix @ bent + shift. Bends shift x by a function of
    y alone, so their inverse is exact.
    """

    matrix: Array  # 2 2
    shift: Array  # 2
    bend: float = 0.0  # x + bend y^2
    wave: float = 0.0  # x + wave sin(4 y + phase)
    phase: float = 0.0

    def bow(self, y: Array) -> Array | float:
        bow = self.bend * y * y if self.bend else 0.0
        return bow + self.wave * np.sin(4 * y + self.phase) if self.wave else bow

    def place(self, rest: Array) -> Array:
        y = rest[:, 1]
        return np.stack([rest[:, 0] + self.bow(y), y], 1) @ self.matrix.T + self.shift

    def rest(self, points: Array) -> Array:
        flat = (points - self.shift) @ np.linalg.inv(self.matrix).T.astype(np.float32)
        if self.bend or self.wave:
            flat[:, 0] -= self.bow(flat[:, 1])
        return flat

    def after(self, camera: Frame) -> Frame:
        """As seen through a camera that moves the whole picture."""
        return Frame(
            camera.matrix @ self.matrix,
            camera.matrix @ self.shift + camera.shift,
            self.bend,
            self.wave,
            self.phase,
        )


class Texture:
    """A picture that spans -1..1 of a surface, with halved copies of itself, so that it does not
    flicker where it is seen small.
    """

    def __init__(self, picture: Array) -> None:
        self.levels = [picture]  # S S C

    def look(
        self, rest: Array, height: int, pixel: float, border: int = cv2.BORDER_CONSTANT
    ) -> Array:
        """At surface points, a block of them `height` rows high; `pixel` is a pixel's size on the
        surface. N 2 -> N C
        """
        size = self.levels[0].shape[0]
        level = max(0, round(float(np.log2(max(0.5 * size * pixel, 1e-6)))))
        while len(self.levels) <= level and self.levels[-1].shape[0] > 4:
            self.levels.append(
                cv2.resize(self.levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            )
        level = min(level, len(self.levels) - 1)
        # centres of texels, which halving moves
        at = (rest + 1) * (0.5 * (size - 1) / 2**level) + (0.5 / 2**level - 0.5)
        at = at.astype(np.float32).reshape(height, -1, 2)
        return cv2.remap(
            self.levels[level], at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=border
        ).reshape(len(rest), -1)


@dataclass(frozen=True, eq=False)
class Flat:
    """A painted sheet: RGBA multiplied by alpha, or RGB, spanning -1..1, moved by a Frame."""

    texture: Texture  # S S 4 or S S 3
    frame: Frame
    endless: bool = False  # mirrored on beyond its edges

    def box(self) -> Array:
        if self.endless:
            return np.array([-1, -1, 1, 1], np.float32)
        y = np.linspace(-1, 1, 5, dtype=np.float32)
        edges = np.concatenate([np.stack([np.full(5, side, np.float32), y], 1) for side in (-1, 1)])
        corners = self.frame.place(edges)
        return np.concatenate([corners.min(0), corners.max(0)])

    def show(self, points: Array, height: int, pixel: float) -> Touch:
        rest = self.frame.rest(points)
        size = pixel / max(float(np.abs(np.linalg.det(self.frame.matrix))) ** 0.5, 1e-6)
        seen = self.texture.look(
            rest, height, size, cv2.BORDER_REFLECT if self.endless else cv2.BORDER_CONSTANT
        )
        alpha = seen[:, 3] if seen.shape[1] == 4 else np.ones(len(rest), np.float32)
        return Touch(seen[:, :3], alpha, np.zeros(len(rest), np.int8), rest)

    def place(self, rest: Array, part: int) -> tuple[Array, np.ndarray]:
        return self.frame.place(rest), np.ones(len(rest), bool)


@dataclass(frozen=True, eq=False)
class Shot:
    """A drawn picture and what each of its pixels shows."""

    picture: Array  # S S 3
    owner: np.ndarray  # S S int16: number of the layer times 16 plus its part
    rest: Array  # S S 2

    @property
    def subject(self) -> np.ndarray:
        """Where it shows anything but the first layer, the background. S S bool"""
        return self.owner // 16 > 0

    def figure(self, order: list[int], trunk: int) -> np.ndarray:
        """Its subject; and where it shows what was drawn after the layer `trunk`. 2 S S bool"""
        front = order[order.index(trunk) + 1 :]
        return np.stack([self.subject, np.isin(self.owner // 16, front)])


def shoot(layers: list[Layer], order: list[int], size: int) -> Shot:
    """Draw `layers`, back to front as `order` names them.

    The first must cover the whole picture.
    """
    line = np.linspace(-1, 1, size, dtype=np.float32)
    points = np.stack(np.meshgrid(line, line), -1)  # S S 2
    picture, owner, rest = (
        np.zeros((size, size, 3), np.float32),
        np.zeros((size, size), np.int16),
        points.copy(),
    )
    for number in order:
        layer = layers[number]
        box = (layer.box() + 1) * (0.5 * (size - 1))
        left, top = (max(0, int(v) - MARGIN) for v in box[:2])
        right, bottom = (min(size, int(v) + 1 + MARGIN) for v in box[2:])
        if right <= left or bottom <= top:
            continue
        window = np.s_[top:bottom, left:right]
        touch = layer.show(points[window].reshape(-1, 2), bottom - top, 2 / (size - 1))
        shape = (bottom - top, right - left)
        alpha = touch.alpha.reshape(*shape, 1)
        picture[window] = picture[window] * (1 - alpha) + touch.colour.reshape(*shape, 3)
        solid = alpha[..., 0] > 0.5
        owner[window][solid] = (number * 16 + touch.part.astype(np.int16).reshape(shape))[solid]
        rest[window][solid] = touch.rest.reshape(*shape, 2)[solid]
    return Shot(picture, owner, rest)


def truth(driving: Shot, source: Shot, layers: list[Layer]) -> tuple[Array, np.ndarray]:
    """Where each driving pixel is in the source, whose layers these are, and whether it is seen
    there. S S 2, S S bool
    """
    size = len(driving.owner)
    grid, visible = np.empty((size, size, 2), np.float32), np.zeros((size, size), bool)
    for owner in np.unique(driving.owner):
        mask = driving.owner == owner
        placed, facing = layers[owner // 16].place(driving.rest[mask], int(owner) % 16)
        grid[mask] = placed
        visible[mask] = facing & shown(source, owner, placed)
    return grid, visible


def shown(source: Shot, owner: int, points: Array) -> np.ndarray:
    """Whether enough of what is read at each point, bilinearly, is that owner's; nothing outside
    the picture is shown. N bool
    """
    size = len(source.owner)
    at = (points + 1) * (0.5 * (size - 1))
    inside = ((at > -0.5) & (at < size - 0.5)).all(1)
    at = np.clip(np.nan_to_num(at), 0, size - 1)
    low = at.astype(np.int32)
    high, (right, lower) = np.minimum(low + 1, size - 1), (at - low).T
    share = np.zeros(len(points), np.float32)
    for x, across in ((low[:, 0], 1 - right), (high[:, 0], right)):
        for y, down in ((low[:, 1], 1 - lower), (high[:, 1], lower)):
            share += across * down * (source.owner[y, x] == owner)
    return inside & (share > ENOUGH)


def turned(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
