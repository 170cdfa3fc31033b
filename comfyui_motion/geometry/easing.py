"""From 0 to 1 without a kink at either end: 3 s^2 - 2 s^3, of tensors, arrays and numbers."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Value = TypeVar("Value", Tensor, np.ndarray, float)


def smoothstep(share: Value) -> Value:
    """Of shares, cut to 0..1."""
    share = min(max(share, 0.0), 1.0) if isinstance(share, float) else share.clip(0, 1)
    return share * share * (3 - 2 * share)


def ramp(low: float, high: float, value: Value) -> Value:
    """0 up to `low`, 1 from `high` on, smooth between; falling where high is the lower."""
    return smoothstep((value - low) / (high - low))
