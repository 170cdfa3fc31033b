"""A clip without its subject: the clean plate.

What the subject hides in one frame, others may show: each frame borrows from those around it,
brought to where its own camera looks. What no frame shows is carried on from around. Outside the
subject every frame is as it was, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..geometry.scatter import fill
from ..media.picture import to_rgb
from ..shapes import check_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

FOUND_AT = 480  # longer side, in pixels, of the pictures the camera's motion is found on
OFFSETS = (1, 2, 4, 8, 16, 32, 64)  # frames before and after that one borrows from
MANY = 31  # frames that a clip of a camera at rest is told by
REST, FAR = 0.5, 24.0  # pixels there: a camera that moves less rests; more, and it is followed anew
CORNERS, FEW = 400, 24  # that the camera is followed by, at most and at least
MARGIN = 0.008  # of the longer side round the subject: its soft edge and its glow
Box = tuple[int, int, int, int]  # top, bottom, left, right
Progress = Callable[[int, int], None]


@torch.no_grad()
def clean_plate(frames: Tensor, masks: Tensor, progress: Progress | None = None) -> Tensor:
    """Every frame without what its mask marks. B C H W in 0..1 -> B 3 H W

    masks     1 1 h w or B 1 h w in 0..1, of any size, 1 = what goes
    progress  called with (frames done, frames in all)

    InputError for other lengths, and where the masks mark all of every frame.
    """
    check_shape("frames", frames, "B C H W")
    check_shape("masks", masks, "B 1 H W")
    if len(masks) not in (1, len(frames)):
        raise InputError(
            f"There are {len(frames)} frames; give one mask or {len(frames)}, not {len(masks)}."
        )
    hidden = _hidden(masks.to(frames.device).float(), frames.shape[-2], frames.shape[-1])
    if hidden.flatten(1).amin(1).min() > 0.5:
        raise InputError(
            "The masks mark all of every frame, so nothing is left to make a background of: 1 is"
            " what goes. Turn them round, if they mark the background."
        )
    clip = _Clip(to_rgb(frames), hidden.expand(len(frames), -1, -1, -1))
    cameras = _cameras(clip)
    rests = all(camera is cameras[0] for camera in cameras)
    whole = _box(hidden)
    still = _told(clip, _spread(len(frames)), cameras, 0, whole) if rests and whole else None
    plates = clip.frames.clone()
    for i in range(len(frames)):
        box = _box(clip.hidden[i : i + 1])
        if box:
            behind = still or _told(clip, _around(i, len(frames)), cameras, i, box)
            plates[i] = torch.lerp(clip.frames[i], _filled(*behind, clip, i), clip.hidden[i])
        if progress:
            progress(i + 1, len(frames))
    return plates


class Small(NamedTuple):
    """A frame that the camera's motion is found on."""

    grey: Array  # h w uint8
    free: Array  # h w bool: no subject


@dataclass(frozen=True, eq=False)
class _Clip:
    frames: Tensor  # B 3 H W
    hidden: Tensor  # B 1 H W in 0..1, with its margin

    @property
    def scale(self) -> float:
        """Of the pictures that the camera's motion is found on."""
        return min(1.0, FOUND_AT / max(self.frames.shape[-2:]))

    def small(self, i: int) -> Small:
        height, width = (max(8, round(side * self.scale)) for side in self.frames.shape[-2:])

        def plane(maps: Tensor) -> Array:
            shrunk = F.interpolate(maps.mean(1, keepdim=True), size=(height, width), mode="area")
            return (shrunk[0, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()

        return Small(plane(self.frames[i : i + 1]), plane(self.hidden[i : i + 1]) < 8)


def _hidden(masks: Tensor, height: int, width: int) -> Tensor:
    """What is to go, grown by its soft edge, 1 over all of the subject. B 1 height width"""
    masks = F.interpolate(masks, size=(height, width), mode="bilinear", antialias=True)
    reach = max(2, round(MARGIN * max(height, width)))
    solid = (masks > 0.1).float()
    grown = F.max_pool2d(solid, 2 * reach + 1, 1, reach)
    soft = F.avg_pool2d(grown, 2 * reach + 1, 1, reach, count_include_pad=False)
    return torch.maximum(soft, F.max_pool2d(solid, 2 * (reach // 2) + 1, 1, reach // 2))


def _box(hidden: Tensor) -> Box | None:
    """Round all that is hidden, if anything is. B 1 H W"""
    rows, columns = ((hidden > 0).any(0)[0].any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


# The camera


def _cameras(clip: _Clip) -> list[Array]:
    """For each frame, what brings its places to the first frame's, 3 3, in small pixels; the very
    same matrix where the camera rests.
    """
    cameras: list[Array] = [np.eye(3)]
    key, last = 0, clip.small(0)
    for i in range(1, len(clip.frames)):
        now = clip.small(i)
        step, far = _step(now, clip.small(key))
        if step is None and key < i - 1:
            key, (step, far) = i - 1, _step(now, last)
        moved = step is not None and far > REST
        cameras.append(cameras[key] @ step if moved else cameras[key])
        key, last = (i if far > FAR else key), now
    return cameras


def _step(now: Small, key: Small) -> tuple[Array | None, float]:
    """What brings one frame's background to another's, 3 3, and how far it went, in pixels; None
    where it does not tell.
    """
    import cv2

    unknown = None, 0.0
    seen = cv2.erode(now.free.astype(np.uint8), np.ones((9, 9), np.uint8))
    corners: Any = cv2.goodFeaturesToTrack(now.grey, CORNERS, 0.01, 5, mask=seen)
    if corners is None or len(corners) < FEW:
        return unknown
    nowhere: Any = None  # no guess
    tracked: Any = cv2.calcOpticalFlowPyrLK(now.grey, key.grey, corners, nowhere)
    places, found = tracked[:2]
    at: Any = np.rint(places[:, 0]).astype(int)
    rows, columns = (at[:, a].clip(0, now.grey.shape[1 - a] - 1) for a in (1, 0))
    kept = (found[:, 0] > 0) & key.free[rows, columns]
    if kept.sum() < FEW:
        return unknown
    step, trusted = cast("Any", cv2.findHomography(corners[kept], places[kept], cv2.RANSAC, 1.0))
    if step is None or trusted.mean() < 0.4:
        return unknown
    far = np.linalg.norm(places[kept, 0] - corners[kept, 0], axis=-1)
    return step, float(np.median(far[trusted[:, 0] > 0]))


# What others show


def _spread(total: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, total - 1, min(total, MANY))})


def _around(i: int, total: int) -> list[int]:
    near = {i + sign * offset for offset in OFFSETS for sign in (-1, 1)}
    return sorted(n for n in near | {i} if 0 <= n < total)


def _told(
    clip: _Clip, others: list[int], cameras: list[Array], i: int, box: Box
) -> tuple[Tensor, Tensor, Box]:
    """The median of what some frames show in a box of frame `i`, and where any shows it. 3 h w,
    1 h w
    """
    seen = [_brought(clip, n, cameras, i, box) for n in others]
    colours = torch.stack([colour for colour, _ in seen])  # N 3 h w
    shown = torch.stack([there for _, there in seen]) > 0.5
    count = shown.sum(0)
    ordered = torch.where(shown, colours, torch.inf).sort(dim=0).values
    middle = ((count - 1).clamp(min=0) // 2).expand(3, -1, -1)[None]
    median = ordered.gather(0, middle)[0]
    return torch.where(count > 0, median, 0), (count > 0).float(), box


def _brought(clip: _Clip, n: int, cameras: list[Array], i: int, box: Box) -> tuple[Tensor, Tensor]:
    """Frame `n` in a box of frame `i`, and what of it shows no subject. 3 h w, 1 h w"""
    top, bottom, left, right = box
    shown = (clip.hidden[n] <= 0).float()
    if cameras[n] is cameras[i]:
        return clip.frames[n, :, top:bottom, left:right], shown[:, top:bottom, left:right]
    import cv2

    small = np.array([[clip.scale, 0, 0], [0, clip.scale, 0], [0, 0, 1.0]])
    corner = np.array([[1.0, 0, left], [0, 1, top], [0, 0, 1]])
    there = np.linalg.inv(cameras[n] @ small) @ cameras[i] @ small @ corner
    maps = torch.cat([clip.frames[n], shown]).permute(1, 2, 0).float().cpu().numpy()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(maps, there, (right - left, bottom - top), flags=flags)
    moved = torch.as_tensor(moved).permute(2, 0, 1).to(clip.frames)
    return moved[:3], (moved[3:] > 0.99).float()


def _filled(colours: Tensor, shown: Tensor, box: Box, clip: _Clip, i: int) -> Tensor:
    """The frame with that in the box where it hides, and what no frame shows carried on from
    around. 3 H W
    """
    top, bottom, left, right = box
    whole, known = clip.frames[i].clone(), (clip.hidden[i] <= 0).float()
    part = known[:, top:bottom, left:right]
    own = whole[:, top:bottom, left:right]
    whole[:, top:bottom, left:right] = torch.where((shown > 0) & (part == 0), colours, own)
    known[:, top:bottom, left:right] = torch.maximum(part, shown)
    if known.min() > 0:
        return whole
    return torch.lerp(fill(whole[None], known[None])[0], whole, known)
