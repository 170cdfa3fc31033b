"""One sentence when a tensor has the wrong shape."""

from __future__ import annotations

from torch import Tensor

from .errors import InputError


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
