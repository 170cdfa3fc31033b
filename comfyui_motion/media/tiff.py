"""Deep colours in TIFF (revision 6.0), which Pillow reduces to 8 bits or does not know: integers of
16 bits and more, floats. OpenCV reads those whose channels lie side by side; the rest is read here.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..errors import MediaError
from .deep import coded_pixels
from .foreign import LOOKED_AT, is_raw
from .kinds import is_tiff
from .opening import check_size, decoding

RAW, DEFLATE = 1, (8, 32946)  # how strips are packed
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
GRAY, RGB = 1, 2


@dataclass(frozen=True)
class Layout:
    """What the first directory says of its pixels."""

    width: int
    height: int
    samples: int  # channels
    number: np.dtype[Any]  # as it lies in the file
    photometric: int
    in_planes: bool  # channel after channel, not side by side
    packed: int
    plain: bool  # in strips, each number as it is
    premultiplied: bool
    strips: tuple[tuple[int, int], ...]  # where each begins, and how many bytes it has
    orientation: int
    profile: bytes | None

    @property
    def deep(self) -> bool:
        """Whether it is for this file to read: colours, or gray of floats that Pillow has not."""
        if self.photometric == RGB:
            return self.number.itemsize > 1
        return self.photometric == GRAY and self.number.kind == "f" and self.number.itemsize != 4

    @property
    def ours(self) -> bool:
        """Whether OpenCV cannot read it either."""
        planes = self.in_planes and self.samples > 1
        return planes or self.number.kind == "f" and self.number.itemsize == 2


def deep_layout(path: Path) -> Layout | None:
    """None for what is no TIFF, or one that is read as other pictures are."""
    if not is_tiff(path):
        return None
    try:
        layout = _layout(path)
    except Exception:  # opening it as other pictures are tells what it is
        return None
    return layout if layout.deep else None


def _layout(path: Path) -> Layout:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with path.open("rb") as file:
        if is_raw(path, file.read(LOOKED_AT)):
            raise ValueError("a camera's raw picture")
        file.seek(0)
        head = file.read(8)
        head += file.read(8) if head[2] == 43 or head[3] == 43 else b""  # BigTIFF
        tags = ImageFileDirectory_v2(head)
        file.seek(tags.next)
        tags.load(file)

    def all_of(tag: int, otherwise: Any) -> tuple[Any, ...]:
        value: Any = tags.get(tag, otherwise)
        return cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)

    def first(tag: int, otherwise: int) -> int:
        return int(all_of(tag, otherwise)[0])

    kinds, bits = all_of(339, UNSIGNED), all_of(258, 1)
    if len({*bits}) > 1 or len({*kinds}) > 1:
        raise ValueError("channels of several kinds")
    order = "<" if head[:2] == b"II" else ">"
    strips = tuple(zip(all_of(273, ()), all_of(279, ()), strict=True))
    return Layout(
        first(256, 0),
        first(257, 0),
        first(277, 1),
        np.dtype(f"{order}{'uif'[int(kinds[0]) - 1]}{int(bits[0]) // 8}"),
        first(262, -1),
        first(284, 1) == 2,
        first(259, RAW),
        first(317, 1) == 1 and bool(strips),
        first(338, 0) == 1,
        strips,
        first(274, 1),
        tags.get(34675),
    )


def deep_pixels(path: Path, layout: Layout) -> np.ndarray:
    """H W C, straight alpha, numbers as they are; upright, unless they are `ours`. Raises
    MediaError.
    """
    check_size(path, layout.width, layout.height)
    with decoding(path):
        pixels = _unpacked(path, layout) if layout.ours else coded_pixels(path)
    if not layout.premultiplied or pixels.ndim < 3 or pixels.shape[-1] != 4:
        return pixels
    alpha = pixels[..., 3:]
    top = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
    straight = np.divide(
        pixels[..., :3], alpha, out=np.zeros(pixels[..., :3].shape), where=alpha > 0
    )
    return np.concatenate([(straight.clip(0, 1) * top).astype(alpha.dtype), alpha], -1)


def _unpacked(path: Path, layout: Layout) -> np.ndarray:
    if not layout.plain or layout.packed not in (RAW, *DEFLATE):
        raise MediaError(
            f"{path} is a TIFF of a kind that is not read here (channels in planes, or floats of 16"
            " bits, and packed); save it without compression, or as PNG with 16 bits."
        )
    count = layout.width * layout.height * layout.samples
    room = count * layout.number.itemsize
    data = bytearray()
    with path.open("rb") as file:
        for start, size in layout.strips:
            file.seek(start)
            strip = file.read(min(size, room))
            if layout.packed in DEFLATE:
                strip = zlib.decompressobj().decompress(strip, room)
            data += strip[: room - len(data)]
    if len(data) < room:
        raise MediaError(
            f"{path} is a damaged or unfinished picture: some of its pixels are missing."
        )
    native: Any = cast("Any", layout.number).newbyteorder("=")
    numbers: Any = np.frombuffer(bytes(data), layout.number).astype(native)
    if not layout.in_planes:
        return numbers.reshape(layout.height, layout.width, layout.samples)
    return numbers.reshape(layout.samples, layout.height, layout.width).transpose(1, 2, 0)
