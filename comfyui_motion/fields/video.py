"""The motion of any clip, pixel by pixel: optical flow to a frame of it, there and back.

DIS (Kroeger et al., ECCV 2016, in OpenCV) finds each step from frame to frame. Steps are chained
for a start, from which DIS looks again between the frame and the reference itself, so that nothing
drifts; each pixel takes what explains it best. What the way there and the way back do not agree on
is hidden (Sundaram et al., ECCV 2010, eq. 5), and so is what does not look the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..field import MotionField
from ..geometry.scatter import fill
from ..media.picture import to_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

DETAIL = 512  # longer side, in pixels, of the pictures that motion is found on
UNLIKE = 0.12  # grey levels of 0 to 1, averaged around, that one surface does not change by
PLAIN = (2.0, 5.0)  # grey levels of 255 that a place varies by: by noise only, and enough to tell
UNSEEN = 8.0  # pixels that a flow may be off by where all is one colour
LOST = 0.25  # where less of a frame is seen in the reference, none of it is: a cut
Progress = Callable[[int, int], None]


@torch.no_grad()
def field_from_video(
    frames: Tensor,
    reference: int | str = 0,
    detail: int = DETAIL,
    progress: Progress | None = None,
) -> MotionField:
    """For every pixel of every frame, where it is in the reference frame, and whether it is seen
    there. -> a field of as many frames, its longer side `detail` pixels or the frames' own

    frames     B C H W in 0..1
    reference  a frame's number, negative from the end; or "previous": each frame reads the one
               before it, the first itself
    progress   called with (frames done, frames in all)
    After a cut all is hidden, and nothing moves. InputError for a reference that is not there.
    """
    return both_ways(frames, reference, detail, progress)[0]


@torch.no_grad()
def both_ways(
    frames: Tensor,
    reference: int | str = 0,
    detail: int = DETAIL,
    progress: Progress | None = None,
) -> tuple[MotionField, MotionField]:
    """`field_from_video`, and beside it where each pixel of the reference is in every frame."""
    if not isinstance(cast("object", frames), Tensor) or not len(frames):
        raise InputError(
            "Motion is found in frames B C H W in one tensor, at least one; batches of a clip are"
            " joined by torch.cat."
        )
    total = len(frames)
    number = _number(reference, total)
    grays = _grays(frames, detail)
    found: dict[int, Way] = {}
    for i, way in _ways(grays, number):
        found[i] = way
        if progress:
            progress(len(found), total)
    ways = [found[i] for i in range(total)]
    there, back = (
        [_field(way.there, way.seen) for way in ways],
        [_field(way.back, way.found) for way in ways],
    )
    return MotionField.join(there), MotionField.join(back)


def _number(reference: int | str, total: int) -> int | None:
    """None for the previous frame."""
    if reference == "previous":
        return None
    whole = isinstance(cast("object", reference), Integral)  # of numpy as well
    if not whole or not -total <= int(reference) < total:
        raise InputError(
            f'reference must be "previous" or a frame from 0 to {total - 1}, and is {reference!r}.'
        )
    return int(reference) % total


def _grays(frames: Tensor, detail: int) -> list[Any]:
    """h w uint8 each"""
    if detail < 16:
        raise InputError(f"detail is the longer side in pixels, at least 16, and is {detail}.")
    height, width = frames.shape[-2:]
    scale = min(1.0, detail / max(height, width))
    size = max(12, round(height * scale)), max(12, round(width * scale))  # DIS needs a patch
    grays: list[Array] = []
    for frame in torch.split(frames, 1):
        gray = to_rgb(frame).mean(1, keepdim=True)
        gray = F.interpolate(gray, size=size, mode="bilinear", antialias=True)
        grays.append((gray.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()[0, 0])
    return grays


@dataclass(frozen=True, eq=False)
class Way:
    """Flow from a frame to the reference and back, in pixels, and where each can be believed."""

    there: Array  # h w 2
    back: Array  # h w 2
    seen: Array  # h w in 0..1: of the frame's pixels, in the reference
    found: Array  # h w in 0..1: of the reference's pixels, in the frame

    @staticmethod
    def none(shape: tuple[int, int], seen: float) -> Way:
        still, all_of_it = np.zeros((*shape, 2), np.float32), np.full(shape, seen, np.float32)
        return Way(still, still, all_of_it, all_of_it)


def _ways(grays: list[Any], reference: int | None) -> Iterator[tuple[int, Way]]:
    still = Way.none(grays[0].shape, 1.0)
    if reference is None:
        yield 0, still
        for i in range(1, len(grays)):
            yield i, _way(grays[i], grays[i - 1], [])
        return
    yield reference, still
    for order in (range(reference + 1, len(grays)), range(reference - 1, -1, -1)):
        before, way = reference, still
        for i in order:
            step = _flow(grays[i], grays[before]), _flow(grays[before], grays[i])
            chained = (step[0] + _read(way.there, step[0]), way.back + _read(step[1], way.back))
            way = _way(grays[i], grays[reference], [chained])
            yield i, way
            before = i


def _way(frame: Any, reference: Any, starts: Iterable[tuple[Array, Array]]) -> Way:
    """The best of the starts, of what DIS makes of them, and of what it finds without."""
    tried = [(_flow(frame, reference), _flow(reference, frame))]
    for there, back in starts:
        tried += [
            (there, back),
            (_flow(frame, reference, there), _flow(reference, frame, back)),
        ]
    there = _best(frame, reference, tried)
    back = _best(reference, frame, [(back, there) for there, back in tried])
    seen, found = (
        _agreement(frame, reference, there, back),
        _agreement(reference, frame, back, there),
    )
    if seen.mean() < LOST:
        return Way.none(seen.shape, 0.0)
    return Way(_filled(there, seen), _filled(back, found), seen, found)


def _flow(here: Any, there: Any, start: Array | None = None) -> Array:
    """DIS at full resolution. h w uint8 twice -> h w 2, no further than the picture is large"""
    import cv2

    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    flow = search.calc(here, there, None if start is None else np.array(start))
    far = float(max(here.shape))
    return np.minimum(np.maximum(np.nan_to_num(flow), -far), far)


def _best(here: Any, there: Any, tried: list[tuple[Array, Array]]) -> Array:
    """Each pixel's flow that leaves least unexplained and is confirmed by the way back."""
    costs = np.stack([_cost(here, there, flow, back) for flow, back in tried])
    flows = np.stack([flow for flow, _ in tried])
    chosen = costs.argmin(0)[None, ..., None]
    return np.take_along_axis(flows, chosen, axis=0)[0]


def _cost(here: Any, there: Any, flow: Array, back: Array) -> Array:
    """Grey levels of 0 to 255. h w"""
    import cv2

    unlike = cv2.GaussianBlur(_unlike(here, there, flow), (0, 0), 2)
    return unlike + 2 * np.minimum(_astray(flow, back), 5) + 20 * ~_inside(flow)


def _unlike(here: Any, there: Any, flow: Array) -> Array:
    return np.abs(here.astype(np.float32) - _read(there.astype(np.float32), flow))


def _astray(flow: Array, back: Array) -> Array:
    """How far from itself each pixel ends up, there and back. h w"""
    return np.linalg.norm(flow + _read(back, flow), axis=-1)


def _agreement(here: Any, there: Any, flow: Array, back: Array) -> Array:
    """What is seen there too. h w in 0..1"""
    import cv2

    lengths = np.square(flow).sum(-1) + np.square(_read(back, flow)).sum(-1)
    allowed = np.sqrt(0.01 * lengths + 0.5 + _slack(here))
    agrees = _unit(2 - _astray(flow, back) / allowed)
    unlike = cv2.GaussianBlur(_unlike(here, there, flow), (0, 0), 1.5) / 255
    return (agrees * _unit(2 - unlike / UNLIKE) * _inside(flow)).astype(np.float32)


def _unit(values: Any) -> Any:
    return np.minimum(np.maximum(values, 0), 1)


def _slack(here: Any) -> Array:
    """Square pixels that a flow may be wrong by unseen: many where a picture is all one colour,
    none where it tells. h w
    """
    import cv2

    grey: Array = here.astype(np.float32)
    mean = cv2.GaussianBlur(grey, (0, 0), 3)
    spread = np.sqrt(np.maximum(cv2.GaussianBlur(grey * grey, (0, 0), 3) - mean * mean, 0))
    least, most = PLAIN
    return (UNSEEN**2 * _unit((most - spread) / (most - least))).astype(np.float32)


def _inside(flow: Array) -> Any:
    """Where the flow ends within the picture, or no more than half a pixel outside. h w bool"""
    height, width = flow.shape[:2]
    x, y = _places(flow)
    return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)


def _read(maps: Any, flow: Array) -> Any:
    """h w or h w C, read where the flow ends, the edge repeated."""
    import cv2

    return cv2.remap(maps, *_places(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _places(flow: Array) -> tuple[Array, Array]:
    height, width = flow.shape[:2]
    return flow[..., 0] + np.arange(width, dtype=np.float32), flow[..., 1] + np.arange(
        height, dtype=np.float32
    )[:, None]


def _filled(flow: Array, seen: Array) -> Array:
    """What is not seen moves as what lies around it."""
    maps = torch.as_tensor(flow).permute(2, 0, 1)[None]
    return fill(maps, torch.as_tensor(seen)[None, None])[0].permute(1, 2, 0).numpy()


def _field(flow: Array, seen: Array) -> MotionField:
    x, y = _places(flow)
    pixels = torch.as_tensor(np.stack([x, y], axis=-1))[None]
    return MotionField.from_pixels(pixels, (torch.as_tensor(seen)[None, None],))
