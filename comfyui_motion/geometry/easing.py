"""From 0 to 1 without a kink at either end: 3 s^2 - 2 s^3, of tensors, arrays and numbers."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
from torch import Tensor

Value = TypeVar("Value", Tensor, np.ndarray, float)


def smoothstep(share: Value) -> Value:
    """Of shares, cut to 0..1."""
    values = cast("Any", share)
    cut = min(max(values, 0.0), 1.0) if isinstance(values, float) else values.clip(0, 1)
    return cast("Any", cut * cut * (3 - 2 * cut))


def ramp(low: float, high: float, value: Value) -> Value:
    """0 up to `low`, 1 from `high` on, smooth between; falling where high is the lower."""
    return smoothstep((value - low) / (high - low))
