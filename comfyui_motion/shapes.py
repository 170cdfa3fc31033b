"""One sentence when a tensor has the wrong shape, or holds what is no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from .errors import InputError

LARGEST = 65_536  # pixels along a side


def check_shape(name: str, tensor: Tensor, shape: str) -> None:
    """Refuse `tensor` unless its shape reads as `shape`: words stand for any size, numbers for
    themselves ("B K 2").

    Raises InputError.
    """
    want = shape.split()
    found = tuple(tensor.shape)
    fits = len(want) == len(found) and all(
        not w.isdigit() or int(w) == f for w, f in zip(want, found, strict=True)
    )
    if not fits:
        raise InputError(
            f"{name} must have the shape {shape}, and has"
            f" {' '.join(map(str, found)) or 'none (a scalar)'}."
        )


def check_size(size: object, name: str = "size") -> tuple[int, int]:
    """(height, width), if it is that: whole numbers from 1 to LARGEST. Raises InputError."""
    sides: list[Any] = list(cast("Any", size)) if isinstance(size, tuple | list) else []
    whole = [side for side in sides if isinstance(side, int) and 1 <= side <= LARGEST]
    if len(sides) != 2 or len(whole) != 2:
        raise InputError(
            f"{name} is (height, width), whole numbers from 1 to {LARGEST}, and is {size!r}."
        )
    return whole[0], whole[1]


def check_reference(frame: int, count: int) -> None:
    """Refuse a reference frame beyond the end of a driving clip of so many. Raises InputError."""
    if frame >= count:
        raise InputError(
            f"The reference frame {frame} lies beyond the end of the driving clip, which has"
            f" {count}; frames count from 0."
        )


def as_lists(numbers: Tensor | np.ndarray) -> Any:
    """Nested lists of them, or one number: typed, where torch and NumPy say only "a list"."""
    return cast("Any", numbers).tolist()


def check_shapes(tensors: Mapping[str, Tensor], shapes: Mapping[str, str]) -> None:
    """`check_shape` of several at once, where capital letters stand for one size throughout.

    Raises InputError, also for one that no shape is known of.
    """
    sizes: dict[str, int] = {}
    for name, tensor in tensors.items():
        if name not in shapes:
            raise InputError(f"{name} is none of {', '.join(shapes)}.")
        check_shape(name, tensor, shapes[name])
        for letter, size in zip(shapes[name].split(), tensor.shape, strict=True):
            if letter.isupper() and sizes.setdefault(letter, size) != size:
                raise InputError(
                    f"{name} must have the shape {shapes[name]} with {sizes[letter]} for {letter},"
                    f" as the others have, and has {' '.join(map(str, tensor.shape))}."
                )


def are_numbers(pictures: Tensor) -> Tensor:
    """Which pictures of a batch hold no NaN and no infinity. B ... -> B, bool

    A sum tells in a twentieth of the time that looking at every value takes; where it is no number
    (one value is none, or they are too large together), every value is looked at.
    """
    each = tuple(range(1, pictures.ndim))
    sums = pictures.sum(each, dtype=torch.float32).isfinite()
    return sums if bool(sums.all()) else pictures.isfinite().flatten(1).all(1)


def same(frame: Tensor, other: Tensor) -> bool:
    """Whether two frames, 1 C H W, are one to the last bit."""
    few = slice(None, None, 16)
    return frame is other or (
        torch.equal(frame[..., few, few], other[..., few, few]) and torch.equal(frame, other)
    )


def in_range(pictures: Tensor) -> Tensor:
    """The same, cut off at 0 and 1; themselves where nothing is beyond: large ones are dear."""
    low, high = pictures.aminmax()
    return pictures if bool((low >= 0) & (high <= 1)) else pictures.clamp(0, 1)


def check_numbers(pictures: Tensor, name: str) -> None:
    """Refuse a batch that holds NaN or infinity. Raises InputError, which names the
    first such one.
    """
    if pictures.is_meta:  # shapes alone, no numbers to look at
        return
    finite = are_numbers(pictures)
    if not finite.all():
        number = int(finite.logical_not().nonzero()[0])
        which = f"{name}, number {number} of its batch," if len(pictures) > 1 else name
        raise InputError(
            f"{which} holds values that are no numbers (NaN or infinite): what made it may have run"
            " out of range in half precision; make it anew in float32."
        )
