"""What torch has as methods without types, typed."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor


def length(vectors: Tensor, keepdim: bool = False) -> Tensor:
    """Euclidean, along the last dimension. ... N -> ..., or ... 1"""
    return cast("Any", vectors).norm(dim=-1, keepdim=keepdim)
