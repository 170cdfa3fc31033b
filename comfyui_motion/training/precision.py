"""Convolutions in bfloat16, everything else in float32.

torch's autocast would also narrow the matrix products of geometry (keypoints, frames, splines,
fields), where rounding moves the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def narrow_convolutions(precision: str) -> AbstractContextManager[Any]:
    return nullcontext() if precision == "float32" else NarrowConvolutions()


class NarrowConvolutions(TorchFunctionMode):
    """Depthwise ones stay as they are: they blur pictures, which costs little."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.conv2d and args[0].shape[1] == args[1].shape[1]:
            args = tuple(
                (
                    value.bfloat16()
                    if isinstance(value, Tensor) and value.dtype == torch.float32
                    else value
                )
                for value in args
            )
            kwargs = {
                name: value.bfloat16() if isinstance(value, Tensor) else value
                for name, value in kwargs.items()
            }
        if func is F.linear and isinstance(args[1], Tensor):
            args = (args[0].to(args[1].dtype), *args[1:])
        return func(*args, **kwargs)
