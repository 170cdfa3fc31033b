"""What passes before a driver's mouth: a hand, a cup, a microphone.

The mesh goes on placing lips on it, and what lies between those is no mouth. Frames are told by
their lips, which are unlike those of the rest of the shot, and by the skin below the nose, on which
edges appear that no expression makes. In those the mouth keeps the shape it had, and goes over into
the one it has after.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry.easing import ramp, smoothstep
from .covered import GAP, LIP, MIDDLE, SKIN, contrast, hue, middle_of, mouth_of, perceived
from .follow import Followed, stretches
from .held import held, unlit
from .light import DARK, SIDE, folds, over_face, polygon, skin_mask
from .mouth import patch
from .pose import eye_distance
from .raster import Array
from .topology import CONTOURS, LIPS, RIGID
from .transfer import Face, opening

CHEEKS = (50, 280, 101, 330)
SIGNS = 6  # contrast of the lips, of their middle against the sides; colours of lips, of skin below
FAINT = 0.5  # of the usual contrast
STRANGE, CHANGED = 0.25, 0.22  # of colours: from the skin's, from the usual ones
STAYED = 0.06  # eye distances that a face goes from one frame to the next, and is of one shot
LIGHTER, SAME = 0.1, 0.15  # of a logarithm: as light as before; of a face above the nose that isn't
EDGE = 0.2  # of a logarithm: a change of light that is one
CALM, BUSY = 1 / 3, 0.04  # of a shot: frames that show skin as it is; of skin, if it can be told so
BEGUN, STILL = 0.14, 0.045  # of the skin, that is changed where something comes, while it is there
TURNED = (20.0, 30.0)  # degrees from those frames: skin tells all, tells nothing
AROUND = 2  # frames before and after, in which something comes and goes
BETWEEN = 6  # frames: what is seen between two such stretches is taken for one with them
EASE = 8  # frames in which a mouth goes over into the one that is seen again
FADE = 4  # frames in which light on the skin goes and comes


def signs(picture: Array, points: Array) -> Array:
    """What tells whether lips are seen. H W 3, 478 2 -> SIGNS"""
    import cv2

    seen = cv2.blur(mouth_of(picture, points), (3, 3))
    radius = max(1, round(0.03 * float(np.hypot(*(points[33] - points[263])))))
    face = np.concatenate([patch(picture, points[i], radius) for i in CHEEKS]).mean(0)
    each = contrast(perceived(seen), line=False)
    lips = np.concatenate([seen[SKIN : SKIN + LIP], seen[-SKIN - LIP : -SKIN]])
    means = [part[:, MIDDLE].mean((0, 1)) for part in (lips, seen[-SKIN:])]
    colours = hue(np.stack([*means, face]))
    least, beside = middle_of(each)
    parted = least / max(beside, 1e-3)
    told = [np.median(each[MIDDLE]), parted, *(colours[:2] - colours[2]).ravel()]
    return np.array(told, np.float32)


@lru_cache
def upper() -> Array:
    """Which of the map of the light is a face above the nose. SIDE SIDE bool"""
    import cv2

    face = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(face, [polygon(over_face(), CONTOURS["face"])], 1)
    return (face > 0) & (unlit() < 0.2)


@lru_cache
def lower() -> Array:
    """Which of it is skin below the nose. SIDE SIDE bool"""
    return (skin_mask() > 0.6) & (unlit() > 0.8)


def logarithms(bright: Tensor) -> Array:
    return np.log(bright.numpy() + DARK)


def hidden(followed: Followed, signs: Tensor, bright: Tensor) -> tuple[Tensor, Tensor]:
    """In which frames the mouth is not seen, by how it is seen in the rest of the shot; and where
    another shot begins: not where something comes before a face that stays as it is.
    T, T SIGNS, T SIDE SIDE -> T bool, T bool
    """
    cut = cuts(followed, bright)
    made = torch.zeros(len(followed), dtype=torch.bool)
    shot = cut.long().cumsum(0)
    heads = Face.of(followed.points).head.rotation
    for number in shot[followed.found].unique():
        frames = ((shot == number) & followed.found).nonzero()[:, 0]
        lips = unlike(signs[frames], signs[frames].median(0).values)
        made[frames] = whole(lips | overlaid(bright[frames], heads[frames]))
    before = F.pad(made[:-1], (1, 0))
    return made, cut | (followed.cut & ~(made | before))


def cuts(followed: Followed, bright: Tensor) -> Tensor:
    """Where another shot begins, but not where a face stays where it is, and as light above the
    nose. T, T SIDE SIDE -> T bool
    """
    made = followed.cut.clone()
    rigid = followed.points[:, list(RIGID), :2]
    for i in made.nonzero()[:, 0].tolist():
        if i and bool(followed.found[i - 1] & followed.found[i]):
            far = (rigid[i] - rigid[i - 1]).norm(dim=-1).mean()
            stays = far < STAYED * eye_distance(followed.points[i : i + 1])
            made[i] = not (stays and same(*logarithms(bright[i - 1 : i + 1])))
    return made


def same(before: Array, now: Array) -> bool:
    """Whether a face is as light above the nose in two frames, in logarithms. SIDE SIDE, twice"""
    return float((np.abs(now - before)[upper()] > LIGHTER).mean()) < SAME


def edges(change: Array, where: Array) -> float:
    """On how much of the skin a change of light, in logarithms, has edges. SIDE SIDE"""
    return float((np.abs(folds(change)[where]) > EDGE).mean())


def unlike(signs: Tensor, usual: Tensor) -> Tensor:
    """By the lips. T SIGNS, SIGNS -> T bool"""
    far = torch.stack([signs[:, 2:4].norm(dim=1), signs[:, 4:].norm(dim=1)]).amin(0)
    alike = (signs[:, 2:4] - signs[:, 4:]).norm(dim=1) < 0.5 * far
    away = signs - usual
    changed = torch.stack([away[:, 2:4].norm(dim=1), away[:, 4:].norm(dim=1)]).amin(0) > CHANGED
    faint = signs[:, 0] < FAINT * usual[0]
    parted = (signs[:, 1] < GAP) & (signs[:, 1] < FAINT * usual[1])
    return (alike & (far > STRANGE)) | changed | faint | parted


def overlaid(bright: Tensor, heads: Tensor) -> Tensor:
    """By the skin below the nose, of one shot. T SIDE SIDE, T 3 3 -> T bool"""
    light, below = logarithms(bright), lower()
    rough = np.array([np.abs(folds(one)[below]).mean() for one in light])
    calm = rough.argsort()[: max(round(CALM * len(rough)), 1)]
    usual = np.median(light[calm], axis=0)
    changed = torch.tensor([edges(one - usual, below) for one in light])
    if changed.quantile(0.4) > BUSY:
        return torch.zeros(len(changed), dtype=torch.bool)
    rest = heads[calm]
    middle = rest[int((rest[:, None] - rest).flatten(2).norm(dim=2).sum(1).argmin())]
    cosine = ((heads * middle).sum((1, 2)) - 1) / 2
    told = 1 - ramp(*TURNED, torch.rad2deg(cosine.clamp(-1, 1).acos()))
    return grown(changed * told > BEGUN, changed > STILL)


def grown(begun: Tensor, still: Tensor) -> Tensor:
    """Stretches of the second in which the first is true anywhere. T bool, twice"""
    number = (still[1:] != still[:-1]).long().cumsum(0)
    number = F.pad(number, (1, 0)) if len(still) > 1 else torch.zeros(len(still), dtype=torch.long)
    return still & torch.isin(number, number[begun & still])


def whole(hidden: Tensor) -> Tensor:
    """Stretches of frames, with those in which they begin and end. T bool"""
    made = hidden.clone()
    at = hidden.nonzero()[:, 0].tolist()
    for first, then in zip(at, at[1:], strict=False):
        if then - first <= BETWEEN:
            made[first:then] = True
    for first in made.nonzero()[:, 0].tolist():
        made[max(first - AROUND, 0) : first + AROUND + 1] = True
    return made


def told(hidden: Tensor) -> str:
    """Which frames those are, as a sentence. T bool"""
    many = int(hidden.sum()) > 1
    return (
        f"Something is before the driver's mouth in frame{'s' if many else ''} {stretches(hidden)}"
        " of the clip (counted from 0): the mouth keeps its shape there. Where that is wrong: load"
        " the model with heeds_hands=False."
    )


def bridged(
    points: Tensor, mouth: Tensor, hidden: Tensor, found: Tensor, cut: Tensor
) -> tuple[Tensor, Tensor]:
    """The same faces and insides of mouths, but where the mouth is hidden as it was before, going
    over into what is after; as it usually is, where a shot does not show it. T 478 3, T 2 h w
    """
    if not hidden.any():
        return points, mouth
    face = Face.of(points)
    shape, inside, shot = face.shape.clone(), mouth.clone(), cut.long().cumsum(0)
    gap = opening(face.shape, *zip(*LIPS.pairs, strict=True)).amax(1).clamp(min=1e-3)
    for number in shot[hidden].unique():
        frames = (shot == number) & found
        seen = (frames & ~hidden).nonzero()[:, 0]
        usual = shape[frames].median(0).values
        for i in (frames & hidden).nonzero()[:, 0].tolist():
            there = usual
            if len(seen):
                first, last, share = between(i, seen)
                there = torch.lerp(face.shape[first], face.shape[last], share)
                most = share * gap[last] / (share * gap[last] + (1 - share) * gap[first])
                inside[i] = torch.lerp(mouth[first], mouth[last], float(most))
            shape[i] += held() * (there - shape[i])
    made = face.head.apply(shape)
    return torch.where(hidden[:, None, None], made, points), inside


def between(frame: int, seen: Tensor) -> tuple[int, int, float]:
    """The nearest frames that show a mouth, before and after, and how far it is on its way from one
    to the other. S
    """
    after = int(torch.searchsorted(seen, frame))
    first, last = (int(seen[min(max(n, 0), len(seen) - 1)]) for n in (after - 1, after))
    way = min(last - first, EASE)
    return first, last, float(smoothstep(1 - (last - frame) / way)) if way else 0.0


def lit(hidden: Tensor) -> Tensor:
    """How much of the light on the skin is believed in each frame. T bool -> T in 0..1"""
    near = F.max_pool1d(hidden.float()[None], 2 * FADE + 1, 1, FADE)
    return 1 - F.avg_pool1d(near, 2 * FADE + 1, 1, FADE, count_include_pad=False)[0]
