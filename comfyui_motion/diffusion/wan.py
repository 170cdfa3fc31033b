"""What Wan Animate is given of a driving clip: face crops, whose pixels the subject's are, and what
is behind.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..fields.smooth import by_shot, gaussian
from ..framing.canvas import Box
from ..framing.crop import Place
from ..framing.head import brows_to_chin
from ..framing.turned import cut_turned, square_of
from ..shapes import as_lists

FACE = 512  # pixels: side of the crops that Wan Animate reads a face from
STEADY = 2.0  # frames to either side over which the crops' squares are averaged
MARKED = 0.5  # of a mask: from here on a pixel is the subject's


def face_crops(frames: Tensor, seen: Any, sides: float = 1.3, size: int = FACE) -> Tensor:
    """The square round the face in every frame, which goes along with it. B 3 H W -> B 3 size size

    seen   what a finder's `follow` said of these frames
    sides  of the square, in times of the face from brows to chin
    Where a face is not seen, the square stays as it was. InputError where no frame shows one.
    """
    if not seen.found.any():
        raise InputError(
            "No frame of the clip shows a face, so there is none to crop: give a clip in which a"
            " face is seen, or crop it by a mask (Crop Subject)."
        )
    level = seen.points.new_tensor([1.0, 0.0])
    boxes = [square_of(brows_to_chin(face, level), level, sides, 0.0)[0] for face in seen.points]
    cuts: list[int] = as_lists(seen.cut.nonzero().flatten())
    squares: list[Box] = as_lists(by_shot(torch.tensor(boxes), [cut for cut in cuts if cut], _calm))
    height, width = frames.shape[-2:]
    return torch.cat(
        [
            cut_turned(frame[None], Place((left, top, right, bottom), height, width), size)
            for frame, (left, top, right, bottom) in zip(frames, squares, strict=True)
        ]
    ).clamp(0, 1)


def _calm(boxes: Tensor) -> Tensor:
    return gaussian(boxes, STEADY)


def whose_face_it_is(masks: Tensor, points: Tensor) -> Tensor:
    """Of each frame's people the one with this face: what of the mask hangs together with it; all
    of them where the face lies on none. B 1 h w, B 478 2+ in pixels of the mask, 0 the outer edge
    """
    kept = [_one_of(mask[0].cpu().numpy(), face) for mask, face in zip(masks, points, strict=True)]
    return masks * torch.as_tensor(np.stack(kept))[:, None].to(masks)


def _one_of(mask: Any, face: Tensor) -> Any:
    import cv2

    somebody = (mask > 0.1).astype(np.uint8)
    _, people = cast("Any", cv2.connectedComponents(somebody, connectivity=4))
    columns, rows = (part.numpy() for part in face[:, :2].long().unbind(-1))
    inside = (columns >= 0) & (rows >= 0) & (columns < mask.shape[1]) & (rows < mask.shape[0])
    met = np.bincount(people[rows[inside], columns[inside]], minlength=1)
    met[0] = 0
    return (people == met.argmax() if met.any() else people > 0).astype(np.float32)


def blocks(masks: Tensor, side: int) -> Tensor:
    """The mask in squares of so many pixels, each wholly the subject's where any of it is; so the
    subject's own outline does not show. B 1 H W, the result 0 or 1
    """
    marked = (masks >= MARKED).float()
    if side <= 1:
        return marked
    height, width = masks.shape[-2:]
    most = F.max_pool2d(marked, side, ceil_mode=True)
    spread = most.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
    return spread[..., :height, :width]
