"""Where a picture's own lids are, and how they meet.

The mesh places the lids of stylised and painted eyes inside the drawn ones, so that an eye it shuts
would stay a sliver open. So each eye's outline is widened to where the picture goes over from skin
to what is not skin, and lids that shut lie on one curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from .alike import evened
from .eyes import frame
from .raster import NO_MAP, Array
from .surface import neighbours
from .topology import EYES, SURFACE, Eye
from .transfer import SHUT as CLOSED

ROWS, COLUMNS = 72, 112  # of the picture of an eye that is looked at
REACH = 0.85  # of its half width, in eye widths
WIDER = (0.0, 0.07, 0.14, 0.21, 0.28)  # each corner outwards, in eye widths
HIGHER = (0.0, 0.03, 0.06, 0.09, 0.12, 0.15)  # either lid outwards
FARTHEST = 0.28  # of an eye's opening: no lid is moved further
ACROSS = 0.035  # on both sides of an outline colours are compared, in eye widths
PENALTY = 0.5  # contrast that a wider outline must bring, for each eye width
CLEAR = 0.06  # contrast below which an outline is left as it is
LASHES = (0.04, 0.015)  # of the upper and lower lid, inside of that outline: they move with the lid
LINE, DARKNESS = (
    0.03,
    0.75,
)  # of the line between shut lids: half its height in eye widths, how much
SHUT = (0.1, 0.4)  # of an eye's opening: from where that line is all there to where there is none
ROUNDS = 12  # how far the mesh round an eye gives way
DRAWN = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.25)  # openings at which lids are seen, see `seen`
LESS, MORE = 0.5, 1.25  # times what is meant: no lid is drawn less, or further, open


@dataclass(frozen=True, eq=False)
class Outline:
    """An eye's outline in its own frame: corners outwards, lids outwards, in eye widths."""

    left: float = 0.0
    right: float = 0.0
    upper: float = 0.0
    lower: float = 0.0

    def applied(self, upper: Array, lower: Array) -> tuple[Array, Array]:
        """Lids with their corners at both ends, from left to right. N 2"""
        sides = self.left, self.right
        return moved_out(upper, -1, *sides, self.upper), moved_out(lower, 1, *sides, self.lower)


def moved_out(
    row: Array, sign: int, left: Array | float, right: Array | float, out: Array | float
) -> Array:
    """A lid with its corners and itself so far outwards. N 2, numbers or S 1 of them -> S N 2"""
    along, down = row[:, 0], row[:, 1]
    x = along + np.where(along < 0, left, right) * 2 * along
    y = down + sign * out * np.clip(1 - (2 * along) ** 2, 0, 1)
    return np.stack(np.broadcast_arrays(x, y), axis=-1)


def curves(eye: Eye, points: Array) -> tuple[Array, Array]:
    """The lids with their corners, in pixels, from left to right. 9 2 twice"""
    order = slice(None) if eye.corners == eye.ends else slice(None, None, -1)
    first, last = (points[[end], :2] for end in eye.ends)
    rows = [points[list(row), :2][order] for row in (eye.upper, eye.lower)]
    upper, lower = (np.concatenate([first, row, last]) for row in rows)
    return upper, lower


def widened(picture: Array, points: Array) -> Array:
    """How far each point of the surface moves so that the mesh's lids are the picture's.

    H W 3 in 0..1, 478 3 in its pixels -> 468 2
    """
    moved = np.zeros((SURFACE, 2))
    fixed = np.zeros(SURFACE, bool)
    for eye in EYES.values():
        axes = frame(eye, points[:, :2])
        inner = [axes.inside(curve) for curve in curves(eye, points)]
        outline = best_outline(unlike_skin(picture, axes, inner), *inner)
        upper, lower = outline.applied(*inner)
        if outline.upper or outline.lower or outline.left or outline.right:
            upper = pulled_in(upper, -1, LASHES[0])
            lower = pulled_in(lower, 1, LASHES[1])
        order = slice(None) if eye.corners == eye.ends else slice(None, None, -1)
        for ids, curve in ((eye.upper, upper), (eye.lower, lower)):
            moved[list(ids)] = (axes.outside(curve)[1:-1] - points[list(ids[order]), :2])[order]
        for end, at in zip(eye.ends, (0, -1), strict=True):
            moved[end] = axes.outside(upper[[at]])[0] - points[end, :2]
        fixed[list(eye.outline)] = True
    return spread(evened(picture, points, moved), fixed)


def around(picture: Array, at: Array, room: int) -> tuple[Array, Array]:
    """The part of a picture that holds those places and as many pixels round them, and where they
    are in it. H W 3, h w 2
    """
    height, width = picture.shape[:2]
    left, top = (max(int(np.floor(at[..., i].min())) - room, 0) for i in (0, 1))
    right, bottom = (int(np.ceil(at[..., i].max())) + room + 1 for i in (0, 1))
    left, top = min(left, width - 1), min(top, height - 1)
    part = picture[top : max(bottom, top + 1), left : max(right, left + 1)]
    return np.ascontiguousarray(part), at - np.array([left, top], np.float32)


def pulled_in(row: Array, sign: int, by: float) -> Array:
    inside = row.copy()
    inside[:, 1] -= sign * by * np.clip(1 - (2 * row[:, 0]) ** 2, 0, 1)
    return inside


def spread(moved: Array, fixed: Array) -> Array:
    """The mesh round what moves gives way, less and less. 468 2"""
    mean = neighbours().numpy()
    for _ in range(ROUNDS):
        moved = np.where(fixed[:, None], moved, 0.9 * (mean @ moved))
    return moved


def unlike_skin(picture: Array, axes: frame, inner: list[Array]) -> Array:
    """How far each pixel round an eye is from the colour of its lids. ROWS COLUMNS in 0..1"""
    import cv2

    x = np.linspace(-REACH, REACH, COLUMNS)
    y = np.linspace(-REACH, REACH, ROWS) * ROWS / COLUMNS
    at = axes.outside(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
    at = at.reshape(ROWS, COLUMNS, 2).astype(np.float32)
    width = float(np.hypot(*axes.across))
    if width * 2 * REACH > 2 * COLUMNS:
        side = round(width * 2 * REACH / COLUMNS)
        picture, at = around(picture, at, side + 2)
        picture = cv2.blur(picture, (side, side))
    seen = cv2.remap(
        picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    seen = cv2.GaussianBlur(seen, (0, 0), 1.0)
    height = np.abs(inner[0][:, 1]).max() + np.abs(inner[1][:, 1]).max()
    above = read(seen, inner[0] + [0, -0.12 - 0.3 * height])
    below = read(seen, inner[1] + [0, 0.12 + 0.2 * height])
    grid = np.linspace(0, 1, ROWS)[:, None, None]
    skin = np.median(above, axis=0) * (1 - grid) + np.median(below, axis=0) * grid
    return np.clip(np.linalg.norm(seen - skin, axis=-1), 0, 0.5)


def read(seen: Array, places: Array) -> Array:
    """Values of the picture of an eye at places in its frame. S N 2 or N 2 -> S N ..."""
    import cv2

    x = (places[..., 0] / REACH + 1) / 2 * (COLUMNS - 1)
    y = (places[..., 1] / REACH * COLUMNS / ROWS + 1) / 2 * (ROWS - 1)
    at = np.stack([x, y], -1).astype(np.float32)
    rows = at.reshape(-1, 1, 2)
    found = cv2.remap(seen, rows, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found[:, 0].reshape(*at.shape[:-1], *seen.shape[2:])


def best_outline(unlike: Array, upper: Array, lower: Array) -> Outline:
    """The outline across which a picture goes over most clearly from skin to what is not skin."""
    gap = float(np.interp(0, lower[:, 0], lower[:, 1]) - np.interp(0, upper[:, 0], upper[:, 1]))
    outwards = [out for out in HIGHER if out <= FARTHEST * gap] or [0.0]
    tried = np.array(list(product(WIDER, WIDER, outwards)))  # S*O 3: left, right, a lid
    each = [
        worth(unlike, sign, tried, row).reshape(-1, len(outwards))
        for sign, row in ((-1, upper), (1, lower))
    ]  # S O, S O
    sides = tried[:: len(outwards), :2]  # S 2
    found = each[0].max(1) + each[1].max(1) + at_ends(unlike, upper, sides)
    best = int(found.argmax())
    if found[best] / 3 <= CLEAR:
        return Outline()
    lids_out = [outwards[int(lid[best].argmax())] for lid in each]
    return Outline(*map(float, sides[best]), *lids_out)


def worth(unlike: Array, sign: int, tried: Array, row: Array) -> Array:
    """The contrast across one lid with its outline moved out, less what a wider outline must bring.

    S 3 -> S
    """
    left, right, out = tried.T[..., None]  # each S 1
    moved = moved_out(row, sign, left, right, out)[:, 1:-1]
    outer, inner = moved + [0, sign * ACROSS], moved - [0, sign * ACROSS]
    found = (read(unlike, inner) - read(unlike, outer)).mean(1)
    return found - PENALTY * ((left + right) / 2 + np.abs(out))[:, 0]


def at_ends(unlike: Array, row: Array, sides: Array) -> Array:
    """The contrast across the corners. S 2 -> S"""
    left, right = sides.T[..., None]
    ends = moved_out(row[[0, -1]], -1, left, right, np.zeros_like(left))
    away = 2 * np.array([[-ACROSS, 0], [ACROSS, 0]])
    return (read(unlike, ends - away) - read(unlike, ends + away)).mean(1)


def met(rest: Array, posed: Array, share: Array, linear: Array) -> Array:
    """Posed points with each eye as far open as told, lids that shut on one curve.

    rest    the source's points with its own lids, 478 3
    posed   the same, posed
    share   how far each eye is open against its rest, 2
    linear  how the head turned and grew, in the picture, 2 2
    """
    made = posed.copy()
    for eye, part in zip(EYES.values(), share, strict=True):
        still = frame(eye, rest[:, :2])
        axes = frame(eye, posed[:, :2], linear @ still.down)
        upper, lower = (axes.inside(curve) for curve in curves(eye, posed))
        high, low = (still.inside(curve) for curve in curves(eye, rest))
        there = np.interp(high[:, 0], np.maximum.accumulate(low[:, 0]), low[:, 1])
        here = np.interp(upper[:, 0], np.maximum.accumulate(lower[:, 0]), lower[:, 1])
        upper[:, 1] = here - (there - high[:, 1]) * part * axes.taller(linear @ still.down)
        order = slice(None) if eye.corners == eye.ends else slice(None, None, -1)
        made[list(eye.upper), :2] = axes.outside(upper)[1:-1][order]
    return made


def shares(rest: Array, posed: Array, linear: Array) -> Array:
    """How far each eye is open against its rest. 2"""
    found = []
    for eye in EYES.values():
        now, then = (p[list(eye.lower), :2] - p[list(eye.upper), :2] for p in (posed, rest))
        still = frame(eye, rest[:, :2])
        down = linear @ still.down
        axes = frame(eye, posed[:, :2], down)
        open_then, open_now = (then @ still.back)[:, 1].sum(), (now @ axes.back)[:, 1].sum()
        open_now /= axes.taller(down)
        found.append(open_now / max(open_then, 1e-3) if open_then > 0 else 1.0)
    return np.clip(found, 0, 1.8)


def to_draw(meant: Array, seen: Array | None) -> Array:
    """How far open lids are drawn, against their rest, so that they are seen as they are meant.

    2, N 2 (see `SourceFace.seen`) -> 2
    """
    if seen is None:
        return meant
    wanted = np.where(meant < 1, CLOSED + (1 - CLOSED) * meant, meant)
    found = np.array([backwards(w, rows) for w, rows in zip(wanted, seen.T, strict=True)])
    return np.clip(found, np.where(meant < 1, LESS * meant, 1), MORE * meant)


def backwards(wanted: float, seen: Array) -> float:
    """The opening that is seen as wanted: the least that is, where several are."""
    rising = seen + 1e-6 * np.arange(len(seen))
    return float(np.interp(wanted, rising, DRAWN))


def seams(posed: Array) -> Array:
    """Where shut lids meet, from corner to corner. 2 9 2"""
    return np.stack([curves(eye, posed)[1] for eye in EYES.values()])


def lash_tone(picture: Array, points: Array) -> Array:
    """The colour of the line between shut lids: the darkest along the upper ones. 3"""
    seen = []
    for eye in EYES.values():
        axes = frame(eye, points[:, :2])
        row = axes.inside(curves(eye, points)[0])
        for down in (-0.04, 0.0, 0.04):
            seen.append(np.clip(axes.outside(row + [0, down]).round(), 0, None).astype(int))
    x, y = np.concatenate(seen).T
    colours = picture[np.minimum(y, len(picture) - 1), np.minimum(x, picture.shape[1] - 1)]
    order = np.argsort(colours.sum(1))
    return np.median(colours[order[: max(3, len(order) // 6)]], axis=0)


def seam(curve: Array, shut: float, height: int, width: int) -> tuple[tuple[slice, slice], Array]:
    """The line between shut lids over a box of a frame: the box, and how dark it is. h w 1

    A line of 9 2 pixels; `shut` in 0..1.
    """
    across = curve[-1] - curve[0]
    length = max(float(np.hypot(*across)), 1e-6)
    thick = max(LINE * length, 0.6)
    low = np.clip(np.floor(curve.min(0) - 2 * thick).astype(int), 0, [width, height])
    high = np.clip(np.ceil(curve.max(0) + 2 * thick).astype(int) + 1, 0, [width, height])
    box = slice(low[1], high[1]), slice(low[0], high[0])
    y, x = np.mgrid[box]
    axes = across / length
    dx, dy = x - curve[0, 0], y - curve[0, 1]
    along, down = dx * axes[0] + dy * axes[1], dy * axes[0] - dx * axes[1]
    away = curve - curve[0]
    here = np.maximum.accumulate(away @ axes)
    there = np.interp(along, here, away @ np.array([-axes[1], axes[0]]))
    taper = np.clip(1 - (2 * along / length - 1) ** 2, 0, 1) ** 0.5
    far = np.abs(down - there) / np.maximum(thick * taper, 0.3)
    dark = np.clip(1.6 - 1.2 * far, 0, 1) * np.minimum(taper * 2, 1) * shut * DARKNESS
    return box, dark[..., None].astype(np.float32)
