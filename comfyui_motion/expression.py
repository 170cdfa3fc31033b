"""What dials add to the 21 points of a LivePortrait face: the gains of its authors' demo."""

from __future__ import annotations

import torch
from torch import Tensor

from .dials import Dials

X, Y, Z = range(3)
# dial → its value at 1 and at -1, and what a value of 1 adds: (point, axis, gain)
GAINS: dict[str, tuple[float, float, tuple[tuple[int, int, float], ...]]] = {
    "smile": (
        1.3,
        0.3,
        (
            (20, Y, -0.01),
            (14, Y, -0.02),
            (17, Y, 0.0065),
            (17, Z, 0.003),
            (13, Y, -0.00275),
            (16, Y, -0.00275),
            (3, Y, -0.0035),
            (7, Y, -0.0035),
        ),
    ),
    "mouth_open": (120, 90, ((19, Y, 0.001), (19, Z, 0.0001), (17, Y, -0.0001))),
    "mouth_wide": (15, 15, ((20, Z, -0.001), (20, Y, -0.001), (14, Y, -0.001))),
    "pucker": (15, 20, ((14, Y, 0.001), (3, Y, -0.0005), (7, Y, -0.0005), (17, Z, -0.0005))),
    "wink_right": (
        39,
        39,
        ((11, Y, 0.001), (13, Y, -0.0003), (17, X, 0.0003), (17, Y, 0.0003), (3, Y, -0.0003)),
    ),
    "wink_left": (
        39,
        39,
        ((15, Y, 0.001), (16, Y, -0.0003), (17, X, -0.0003), (17, Y, 0.0003), (7, Y, -0.0003)),
    ),
}
RAISED = ((1, Y, 0.001), (2, Y, -0.001))
FROWNING = ((1, X, -0.001), (2, X, 0.001), (1, Y, 0.0003), (2, Y, -0.0003))
BROWS, GAZE_X, GAZE_Y = 30.0, 30.0, 63.0


def added(dials: Dials, like: Tensor) -> Tensor:
    """What is added to the expression. 21 3"""
    numbers = dials.numbers()
    change = like.new_zeros(21, 3)
    told = {name: numbers[name] for name in GAINS}
    for side in ("wink_left", "wink_right"):
        told[side] = max(min(told[side] + numbers["blink"], 1.0), -1.0)
    for name, value in told.items():
        most, least, gains = GAINS[name]
        _add(change, gains, value * (most if value > 0 else least))
    brows = numbers["brows"] * BROWS
    _add(change, RAISED if brows > 0 else FROWNING, brows)
    _look(change, numbers["gaze_x"] * GAZE_X, -numbers["gaze_y"] * GAZE_Y)
    return change


def _look(change: Tensor, right: float, up: float) -> None:
    """Eyes turn together; lids go along, up and down."""
    near, far = 0.0007, 0.001
    _add(change, ((11, X, near if right > 0 else far), (15, X, far if right > 0 else near)), right)
    _add(change, ((11, Y, -0.001), (15, Y, -0.001)), up)
    lids = -up / 2
    _add(change, ((11, Y, -0.001), (15, Y, -0.001), (13, Y, 0.0003), (16, Y, 0.0003)), lids)


def _add(change: Tensor, gains: tuple[tuple[int, int, float], ...], value: float) -> None:
    for point, axis, gain in gains:
        change[point, axis] += gain * value


def angles(dials: Dials, like: Tensor) -> Tensor:
    """What is added to pitch, yaw and roll. 3

    A LivePortrait head turns to the picture's left where its yaw grows.
    """
    return torch.tensor([dials.pitch, -dials.yaw, dials.roll], dtype=like.dtype, device=like.device)
