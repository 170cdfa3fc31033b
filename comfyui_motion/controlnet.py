"""Keypoints as ControlNets were trained to read them: faces in lines, and OpenPose JSON.

Points are the 478 of a face mesh (see `framing.landmarks`); sides are the subject's own.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .framing.landmarks import OUTLINE, POINTS
from .keypoints import Keypoints
from .shapes import as_lists

TRAINED = 512  # pixels: the shorter side of the pictures those ControlNets saw
THICKNESS, PUPIL = 2, 4  # pixels there: of lines, and of a pupil's side

# Lines of ControlNetMediaPipeFace, in RGB of 0 to 255: points, whether they close, colour
LINES: tuple[tuple[tuple[int, ...], bool, tuple[int, int, int]], ...] = (
    (OUTLINE, True, (10, 200, 10)),
    ((263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466), True,
     (10, 200, 180)),
    ((276, 283, 282, 295, 285), False, (10, 220, 180)),
    ((300, 293, 334, 296, 336), False, (10, 220, 180)),
    ((33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246), True,
     (180, 200, 10)),
    ((46, 53, 52, 65, 55), False, (180, 220, 10)),
    ((70, 63, 105, 66, 107), False, (180, 220, 10)),
    ((61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
     True, (10, 180, 10)),
    ((78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
     True, (10, 180, 10)),
)  # fmt: skip
PUPILS = {468: (250, 200, 10), 473: (10, 200, 250)}

# The mesh's points that stand for OpenPose's 70 of a face, and for those of its 18 of a body that a
# head has
FACE_70 = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # lips, outside
    78, 82, 13, 312, 308, 317, 14, 87, 468, 473,  # inside, pupils
)  # fmt: skip
BODY_18 = {0: 4, 14: 468, 15: 473, 16: 234, 17: 454}  # nose, right and left eye, right and left ear


def draw_controlnet_face(keypoints: Keypoints, height: int, width: int) -> Tensor:
    """Faces on black, in the colours and line widths of ControlNetMediaPipeFace, the widths in
    proportion to the picture. B 3 height width in 0..1

    Where a face was not found nothing is drawn. InputError for other points than a face mesh's.
    """
    places, seen = _places(keypoints, height, width)
    return torch.stack(
        [
            _drawn(face if there else None, height, width)
            for face, there in zip(places, seen, strict=True)
        ]
    )


def _drawn(face: Tensor | None, height: int, width: int) -> Tensor:
    import cv2
    import numpy as np

    canvas = np.zeros((height, width, 3), np.uint8)
    if face is not None:
        scale = min(height, width) / TRAINED
        points = face.round().int().numpy()
        for line, closed, colour in LINES:
            thickness = max(1, round(THICKNESS * scale))
            cv2.polylines(canvas, [points[list(line)]], closed, colour, thickness)
        half = max(1, round(PUPIL / 2 * scale))
        for number, colour in PUPILS.items():
            x, y = points[number]
            rows, columns = (slice(max(c - half, 0), max(c + half, 0)) for c in (y, x))
            canvas[rows, columns] = colour
    return torch.as_tensor(canvas).permute(2, 0, 1).float() / 255


def to_openpose(keypoints: Keypoints, height: int, width: int) -> str:
    """OpenPose's JSON, a list of frames of one person each: 70 points of the face, and of the body
    what a head shows of it, in pixels of a picture of that size, each x, y, confidence.

    InputError for other points than a face mesh's.
    """
    places, seen = _places(keypoints, height, width)
    frames: list[dict[str, Any]] = []
    for face, there in zip(places, seen, strict=True):
        person = {
            "pose_keypoints_2d": _triples(face, [BODY_18.get(i) for i in range(18)]),
            "face_keypoints_2d": _triples(face, FACE_70),
        }
        frames.append(
            {
                "people": [person] if there else [],
                "canvas_height": height,
                "canvas_width": width,
            }
        )
    return json.dumps(frames)


def _triples(face: Tensor, numbers: Any) -> list[float]:
    values: list[float] = []
    for number in numbers:
        x, y = (0.0, 0.0) if number is None else as_lists(face[number])
        values += [round(x, 2), round(y, 2), 0.0 if number is None else 1.0]
    return values


def _places(keypoints: Keypoints, height: int, width: int) -> tuple[Tensor, list[bool]]:
    """In pixels, B 478 2; and whether there is a face at all."""
    if keypoints.count != POINTS:
        raise InputError(
            f"A face for ControlNet is drawn from the {POINTS} points of a face mesh, which the"
            f" model face finds; these keypoints are {keypoints.count} points of another kind."
        )
    span = torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=torch.float32)
    places = (keypoints.position.float().cpu() + 1) / 2 * span
    told = keypoints.confidence
    believed: list[bool] = (
        [True] * len(places) if told is None else as_lists(told.float().mean(1) > 0.5)
    )
    sound: list[bool] = as_lists(places.isfinite().flatten(1).all(1))
    return places.nan_to_num(0), [a and b for a, b in zip(believed, sound, strict=True)]
