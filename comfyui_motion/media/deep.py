"""Pictures of more than eight bits: what their numbers mean, and their profiles at full
precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError
from .profiles import Shaper, Shaping

GRAY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
TOLERANCE = 1.2  # a resampled picture overshoots a little: 1.1 is white, not a 255th


@dataclass(eq=False)
class Deep:
    """How stored numbers become 0..1: found with the first picture, kept for those after it."""

    say: Callable[[str], Any]
    top: float | None = None  # what is white, for numbers whose kind does not tell

    def __call__(self, pixels: np.ndarray, path: Path, profile: bytes | Shaping | None) -> Tensor:
        """H W C, or H W -> 1 C H W: uint16, or float32 in 0..1. Raises MediaError for
        no numbers.
        """
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        shaper = Shaper.of(profile) if isinstance(profile, bytes) else profile
        if pixels.dtype != np.uint16:
            pixels = self._unit(pixels, path)
        elif shaper:
            pixels = pixels.astype(np.float32) / 65535
        picture = torch.as_tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        return shaper(picture) if shaper else picture

    def _unit(self, pixels: np.ndarray, path: Path) -> np.ndarray:
        if pixels.dtype == np.uint8:
            return pixels.astype(np.float32) / 255
        numbers = pixels.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise MediaError(
                f"{path} holds values that are no numbers (NaN or infinite); save it again without."
            )
        if self.top is None:
            self.top = self._white(pixels, float(numbers.max()), path)
        return (numbers / self.top).clip(0, 1)

    def _white(self, pixels: np.ndarray, largest: float, path: Path) -> float:
        whole = np.issubdtype(pixels.dtype, np.integer)
        if whole and largest > 65535:
            return float(np.iinfo(pixels.dtype).max)
        if not whole and largest <= TOLERANCE:
            return 1.0
        if not whole and largest <= 16:
            self.say(
                f"{path.name} holds values up to {largest:.3g}, where 1 is white; what is brighter"
                " than white is cut off."
            )
            return 1.0
        most = 32767.0 if pixels.dtype == np.int16 else 65535.0
        top = next((top for top in (255.0, most) if largest <= TOLERANCE * top), largest)
        self.say(
            f"{path.name} holds values up to {largest:.6g} in {pixels.dtype.itemsize * 8} bits;"
            f" {top:g} was taken for white."
        )
        return top


def is_deep(image: Any) -> bool:
    """Whether Pillow would reduce this picture to 8 bits, or has it in more."""
    coloured = image.mode in ("RGB", "RGBA", "LA")
    return image.mode in GRAY or (
        coloured and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    )


def gray_of(image: Any) -> np.ndarray:
    """The numbers of a gray picture as its file keeps them. H W"""
    bits, kind = _stored_as(image)
    numbers: np.ndarray[Any, Any] = np.array(image)
    if image.mode == "F":
        return numbers
    if image.mode == "I" and bits == 32:
        return numbers if kind == 2 else numbers.astype(np.uint32)  # -1 is the largest
    return numbers.astype(np.int16 if kind == 2 else np.uint16)


def _stored_as(image: Any) -> tuple[int, int]:
    """Bits of a number, and its kind by TIFF: 1 unsigned, 2 signed, 3 float."""
    tags: dict[int, Any] = getattr(image, "tag_v2", None) or {}

    def first(tag: int, otherwise: int) -> int:
        value: int | tuple[int, ...] = tags.get(tag, otherwise)
        return value[0] if isinstance(value, tuple) else value

    return first(258, 16), first(339, 1)


def coded_pixels(path: Path) -> np.ndarray:
    """What OpenCV reads: colours of 16 bits, of floats. H W, or H W C in RGB order"""
    import cv2

    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise MediaError(f"{path} is a damaged or unfinished picture, or of a kind not known here.")
    if pixels.ndim == 2 or pixels.shape[-1] < 3:
        return pixels
    # not by cv2.cvtColor, which knows fewer kinds of numbers
    return pixels[..., [2, 1, 0, *range(3, pixels.shape[-1])]]
