"""EXR files: named layers of float planes, whole or absent.

With the package OpenEXR (the extra `exr`) a file holds any layers, each a part of its own. Without
it FFmpeg writes and reads one plain layer (R G B, R G B A, or Y) a file.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..doors.limits import how_to_raise
from ..errors import MediaError, MotionError, boundary
from .files import cannot_write, existing_file, written_whole
from .opening import most_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[Any]  # H W, float32 or float16

DATA = "data"  # of colorInteropID: numbers that are no colours (ASWF Color Interop Forum)
MAGIC, MULTI_PART, HALF = 20000630, 0x1000, 1
# what is made of a pixel of floats, against one of bytes; planes that a small file may hold
FLOATS, PLANES = 4, 4
DAMAGED = "{path} is damaged ({{reason}}); write it again."
LAYOUTS: dict[tuple[str, ...], str] = {
    ("Y",): "grayf32le",
    ("R", "G", "B"): "gbrpf32le",
    ("R", "G", "B", "A"): "gbrapf32le",
}


@dataclass(frozen=True, eq=False)
class Layer:
    """Planes of one size under one name. `channels` by their full names in the file: "stmap.R"."""

    name: str
    channels: Mapping[str, Plane]
    colour: str = DATA  # colorInteropID

    def lossless(self) -> Layer:
        """The same with those planes in half floats that are as they were in them."""
        return Layer(self.name, {n: _halved(p) for n, p in self.channels.items()}, self.colour)


def _halved(plane: Plane) -> Plane:
    with np.errstate(over="ignore"):
        half = plane.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), plane, equal_nan=True) else plane


def has_openexr() -> bool:
    """Whether the package is there: named layers need it."""
    return find_spec("OpenEXR") is not None


def openexr() -> Any:
    """The package, which tells no types."""
    import OpenEXR  # pyright: ignore[reportMissingImports]  (an extra)

    return OpenEXR


def write_exr(path: str | os.PathLike[str], layers: Iterable[Layer]) -> None:
    """One file of those layers, each a part. Needs OpenEXR. MediaError where it cannot
    be written.
    """
    exr = openexr()
    parts: list[Any] = []
    for layer in layers:
        header = {
            "compression": exr.ZIP_COMPRESSION,
            "type": exr.scanlineimage,
            "colorInteropID": layer.colour,
        }
        planes = {name: np.ascontiguousarray(plane) for name, plane in layer.channels.items()}
        parts.append(exr.Part(header, planes, layer.name))
    with _written(path) as partial:
        exr.File(parts).write(str(partial))


def write_plain_exr(path: str | os.PathLike[str], channels: Mapping[str, Plane]) -> None:
    """One file of one layer: Y, R G B or R G B A, float32, by FFmpeg. MediaError."""
    import av

    format = LAYOUTS[tuple(channels)]
    pixels = np.stack([np.asarray(p, np.float32) for p in channels.values()], axis=-1)
    encoder: Any = av.CodecContext.create("exr", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *pixels.shape[:2], format
    encoder.time_base, encoder.options = (
        Fraction(1, 25),
        {"compression": "zip16", "format": "float"},
    )
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=format)
    frame.pts = 0
    with _written(path) as partial:
        packets = [*encoder.encode(frame), *encoder.encode(None)]
        partial.write_bytes(b"".join(bytes(packet) for packet in packets))


@contextmanager
def _written(path: str | os.PathLike[str]) -> Generator[Path]:
    """`written_whole`, with whatever goes wrong as one MediaError."""
    try:
        with written_whole(path) as partial:
            yield partial
    except MotionError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        if "No space left" in str(error):  # what OpenEXR makes of it
            error = OSError(errno.ENOSPC, "")
        raise cannot_write(path, error) from error


def read_exr(path: str | os.PathLike[str]) -> dict[str, Plane]:
    """Every plane of a file by its full name ("R", "stmap.R"), float32, or float16 where it is
    stored so. MediaError for what is missing, damaged, cut off, or needs OpenEXR to read.
    """
    path = existing_file(path, "an EXR picture")
    stored = read_header(path)
    _check_cost(path, stored)
    if has_openexr():
        return _read_parts(path, stored)
    names = tuple(n for n in "YRGBA" if n in stored[0].channels)
    if len(stored) > 1 or names not in LAYOUTS or len(names) < len(stored[0].channels):
        found = ", ".join(name for part in stored for name in part.channels)
        raise MediaError(
            f"{path} has named layers ({found}), which need OpenEXR to read: install the extra exr"
            " (pip install OpenEXR), or export one plain layer a file."
        )
    return _read_plain(path, names, stored[0])


def _check_cost(path: Path, stored: list[Stored]) -> None:
    """Refuse planes that unpack to far more than the file holds. Raises MediaError."""
    most = most_pixels(path)
    largest = max(part.columns * part.rows for part in stored)
    numbers = sum(len(part.channels) * part.columns * part.rows for part in stored)
    needed = max(FLOATS * largest, numbers / PLANES)
    if needed > most:
        raise MediaError(
            f"{path} has {path.stat().st_size} bytes and unpacks to {numbers / 1e6:.0f} million"
            f" numbers in {sum(len(part.channels) for part in stored)} channels:"
            f" {how_to_raise('pixels', needed)}."
        )


def _read_parts(path: Path, stored: list[Stored]) -> dict[str, Plane]:
    with boundary(MediaError, DAMAGED.format(path=path)):
        parts: list[Any] = openexr().File(str(path), separate_channels=True).parts
    if len(parts) < len(stored) or any(not part.channels for part in parts):
        raise MediaError(
            f"{path} is cut off or damaged: not all of its parts are there; write it again."
        )
    planes: dict[str, Plane] = {}
    for part, whole in zip(parts, stored, strict=False):
        for name, channel in part.channels.items():
            planes[_full_name(name, whole.name, planes)] = channel.pixels
    return planes


def _full_name(channel: str, part: str, taken: Mapping[str, Any]) -> str:
    """Parts of other programs may all have channels R G B: their name tells them apart."""
    return f"{part}.{channel}" if channel in taken else channel


def _read_plain(path: Path, names: tuple[str, ...], stored: Stored) -> dict[str, Plane]:
    import av

    data = path.read_bytes()
    if not stored.is_whole(data):
        raise MediaError(f"{path} is cut off: its last rows are missing; write it again.")
    with boundary(MediaError, DAMAGED.format(path=path)):
        decoder: Any = av.CodecContext.create("exr", "r")
        (frame,) = decoder.decode(av.Packet(data))
        pixels = frame.reformat(format=LAYOUTS[names]).to_ndarray()
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    kept = {name: np.float16 if stored.channels[name] == HALF else np.float32 for name in names}
    return {name: pixels[..., i].astype(kept[name]) for i, name in enumerate(names)}


# The header: what is stored, without reading it


@dataclass(frozen=True, eq=False)
class Stored:
    """One part, as its header tells."""

    name: str
    channels: dict[str, int]  # by name, the type: 0 whole numbers, 1 half, 2 float
    columns: int
    rows: int
    offsets: int  # where in the file its table of offsets begins
    rows_a_block: int

    def is_whole(self, data: bytes) -> bool:
        """Whether all blocks of rows of a file of one part lie within it."""
        blocks = -(-self.rows // self.rows_a_block)
        end = self.offsets + 8 * blocks
        if len(data) < end:
            return False
        starts = struct.unpack(f"<{blocks}Q", data[self.offsets : end])
        last = max(starts)
        if not min(starts) or len(data) < last + 8:
            return False
        return len(data) >= last + 8 + struct.unpack("<i", data[last + 4 : last + 8])[0]


def read_header(path: Path) -> list[Stored]:
    """The parts of a file. MediaError where it is no EXR, or ends within its header."""
    with path.open("rb") as file:
        data = file.read(1 << 20)
    if len(data) < 8 or struct.unpack("<i", data[:4])[0] != MAGIC:
        raise MediaError(f"{path} is no EXR picture, whatever its name says; export it as EXR.")
    several = bool(struct.unpack("<i", data[4:8])[0] & MULTI_PART)
    try:
        return list(_headers(data, several))
    except (ValueError, IndexError, struct.error, KeyError) as error:
        raise MediaError(
            f"{path} is cut off or damaged within its header; write it again."
        ) from error


def _headers(data: bytes, several: bool) -> Iterable[Stored]:
    at = 8
    while True:
        found: dict[str, bytes] = {}
        while data[at]:
            name, at = _text(data, at)
            _, at = _text(data, at)  # its type
            (size,) = struct.unpack("<I", data[at : at + 4])
            found[name], at = data[at + 4 : at + 4 + size], at + 4 + size
        at += 1
        left, top, right, bottom = struct.unpack("<4i", found["dataWindow"])
        if right < left or bottom < top:
            raise ValueError("a window of no pixels")
        lines = {0: 1, 1: 1, 2: 1, 3: 16, 5: 16, 4: 32, 6: 32, 7: 32, 8: 32, 9: 256}
        name = found.get("name", b"").decode("utf-8", "replace")
        channels = dict(_channels(found["channels"]))
        size = right - left + 1, bottom - top + 1
        yield Stored(name, channels, *size, at, lines[found["compression"][0]])
        if not several or not data[at]:
            return


def _channels(data: bytes) -> Iterable[tuple[str, int]]:
    at = 0
    while data[at]:
        name, at = _text(data, at)
        yield name, struct.unpack("<i", data[at : at + 4])[0]
        at += 16


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode("utf-8", "replace"), end + 1
