"""The One-Euro filter (Casiez, Roussel and Vogel, CHI 2012): what trembles rests, what moves is
followed at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor

Values = TypeVar("Values", np.ndarray[Any, Any], Tensor)

SPEED_CUTOFF = 1.0  # Hz, of the speed itself


class OneEuro(Generic[Values]):
    """A low pass forward in time, whose cutoff rises with speed.

    first   the values to begin with, of any shape: what the filter gives for them is themselves
    cutoff  Hz below which motion of that speed gets through, for speeds in units of the values a
            second, shaped as they are or so that it broadcasts to them
    """

    def __init__(self, first: Values, cutoff: Callable[[Values], Values]) -> None:
        self.before, self.steady = first, first
        self.speed: Values = first - first
        self.cutoff = cutoff

    def next(self, now: Values, rate: float) -> Values:
        """The values that follow, `rate` of them a second, without their trembling."""
        slope = (now - self.before) * rate
        self.speed = self.speed + share(SPEED_CUTOFF, rate) * (slope - self.speed)
        passed = share(self.cutoff(self.speed), rate)
        self.steady = self.steady + passed * (now - self.steady)
        self.before = now
        return self.steady


def share(cutoff: Any, rate: float) -> Any:
    """How much of a new value gets through a low pass of that cutoff (number, or several)."""
    return 1 / (1 + rate / (2 * math.pi * cutoff))
