"""Where a head lies in a picture, from the 478 points of its face mesh, and how far its eyes and
lips are open. Pixels, 0 the picture's outer edge.

LivePortrait was shown its crops by 106 and 203 points of a detector that is not free; these are the
same measures on the mesh's points.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry.vectors import length
from ..shapes import as_lists
from .canvas import Box
from .crop import Place, square_box
from .landmarks import head_box
from .turned import square_of, turning

SOURCE, DRIVING = (2.3, -0.125), (2.2, -0.1)  # sides of the face's box, shift down in sides
EYES = ((33, 133, 159, 145), (362, 263, 386, 374))  # corners, upper and lower lid
MOUTH = (61, 291)
BROWS = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 336, 296, 334, 293, 300, 276, 283, 282, 295, 285)
FOREHEAD = (10, 338, 297, 332, 284, 251, 21, 54, 103, 67, 109)  # of the oval, above the brows
EYE_PAIRS = (((159, 145), (33, 133)), ((386, 374), (362, 263)))  # lids, corners; as the viewer sees
LIP_PAIRS = ((13, 14), (61, 291))  # inner lips, corners
SURFACE = 468


def upright(points: Tensor) -> Tensor:
    """The direction across a face, from left to right of one that is upright. 478 2+ -> 2"""
    flat = points[:, :2]
    eyes = torch.stack([flat[list(eye)].mean(0) for eye in EYES]).mean(0)
    down = flat[list(MOUTH)].mean(0) - eyes
    down = down / length(down).clamp(min=1e-6)
    return torch.stack([down[1], -down[0]])


def brows_to_chin(points: Tensor, along: Tensor) -> Tensor:
    """The points that a face's box is laid round. 478 2+ -> N 2"""
    flat = points[:SURFACE, :2]
    angle = float(torch.atan2(along[1], along[0]))
    level = (flat @ turning(-angle, flat))[:, 1]
    kept = level >= level[list(BROWS)].min()
    kept[list(FOREHEAD)] = False
    return flat[kept]


def source_place(points: Tensor, height: int, width: int) -> Place:
    """The square a source is shown in, level with its face. 478 2+"""
    along = upright(points)
    box, angle = square_of(brows_to_chin(points, along), along, *SOURCE)
    return Place(box, height, width, angle)


def level_place(points: Tensor, margin: float, height: int, width: int) -> Place:
    """The square that holds a head in all frames of a clip, level with its face in the first, and
    `margin` of its side more all round. T 478 2+
    """
    along = upright(points[0])
    angle = float(torch.atan2(along[1], along[0]))
    level = points[..., :2] @ turning(-angle, points)
    left, top, right, bottom = square_box(head_box(level), margin)
    middle = points.new_tensor([(left + right) / 2, (top + bottom) / 2]) @ turning(angle, points)
    (x, y), half = as_lists(middle), (right - left) / 2
    return Place((x - half, y - half, x + half, y + half), height, width, angle)


def driving_box(points: Tensor) -> Box:
    """The upright square of one driving frame. 478 2+"""
    along = points.new_tensor([1.0, 0.0])
    return square_of(brows_to_chin(points, along), along, *DRIVING)[0]


def driving_place(points: Tensor, height: int, width: int) -> Place:
    """One upright square for a whole clip: the mean of all frames'. T 478 2+"""
    boxes = torch.tensor([driving_box(frame) for frame in points])
    left, top, right, bottom = as_lists(boxes.mean(0))
    return Place((left, top, right, bottom), height, width)


def apart(points: Tensor, pair: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    """How far lids or lips are apart against their corners. B 478 2+ -> B"""
    (upper, lower), (first, last) = pair
    flat = points[..., :2]
    gap = length(flat[:, upper] - flat[:, lower])
    return gap / (length(flat[:, first] - flat[:, last]) + 1e-6)


def openness(points: Tensor) -> Tensor:
    """Of left eye, right eye and lips. B 478 2+ -> B 3"""
    return torch.cat([eye_ratios(points), lip_ratio(points)], dim=1)


def eye_ratios(points: Tensor) -> Tensor:
    """Of both eyes. B 478 2+ -> B 2"""
    return torch.stack([apart(points, pair) for pair in EYE_PAIRS], dim=1)


def lip_ratio(points: Tensor) -> Tensor:
    """B 478 2+ -> B 1"""
    return apart(points, LIP_PAIRS)[:, None]
