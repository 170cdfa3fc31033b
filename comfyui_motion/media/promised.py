"""What a file's head says of its length: of a download that was cut off, less is there."""

from __future__ import annotations

import io
from pathlib import Path

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # RFC 8794, RFC 9559
SYNC, PACKET = 0x47, 188  # the first byte and the length of MPEG-TS packets (ISO 13818-1)
CHUNK = 8  # bytes before a RIFF chunk's own: its name and its length
MOVES = 2  # the flag of an animated WebP


def missing(path: Path) -> int:
    """Bytes that Matroska, WebM, AVI and WebP promise and the file lacks; 0 where nothing is said,
    as of a recording that goes on.
    """
    with path.open("rb") as file:
        head = file.read(256)
    if head[:4] == b"RIFF":
        promised = CHUNK + int.from_bytes(head[4:8], "little")
    elif head[:4] == EBML:
        promised = _segment_end(head)
    else:
        return 0
    return max(0, promised - path.stat().st_size)


def cut_off(path: Path) -> str | None:
    """The same, as a sentence; and that a transport stream, which promises nothing, ends within a
    packet.
    """
    if _ends_within_packet(path):
        return f"{path.name} is cut off in the middle of a packet; what can be read of it is used."
    lacking = missing(path)
    if not lacking:
        return None
    there = path.stat().st_size
    return (
        f"{path.name} is cut off: {there} bytes are there of {there + lacking}; what can be read"
        " of them is used."
    )


def _ends_within_packet(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4 * PACKET)
    packets = head[::PACKET]
    return len(packets) > 1 and set(packets) == {SYNC} and path.stat().st_size % PACKET > 0


def whole_frames(path: Path) -> io.BytesIO | None:
    """An animated WebP that is cut off, up to its last whole frame: decoders take no other. None
    for what is whole, or something else.
    """
    with path.open("rb") as file:
        head = file.read(CHUNK + 4)
    if head[:4] != b"RIFF" or head[8:] != b"WEBP" or not missing(path):
        return None
    data = path.read_bytes()
    if data[12:16] != b"VP8X" or not data[20] & MOVES:
        return None
    end = len(head)
    while end + CHUNK <= len(data):
        size = int.from_bytes(data[end + 4 : end + CHUNK], "little")
        after = end + CHUNK + size + size % 2
        if after > len(data):
            break
        end = after
    return io.BytesIO(b"RIFF" + (end - CHUNK).to_bytes(4, "little") + data[CHUNK:end])


def _segment_end(head: bytes) -> int:
    """Where a Matroska file's one segment ends; 0 where it does not say."""
    size, place = _number(head, len(EBML))
    begin = place + size
    if head[begin : begin + len(SEGMENT)] != SEGMENT:
        return 0
    size, place = _number(head, begin + len(SEGMENT))
    unknown = 2 ** (7 * (place - begin - len(SEGMENT))) - 1
    return 0 if size == unknown else place + size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of EBML's varying length, and where it ends."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if not first or at + length > len(data):
        return 0, at + 1
    return int.from_bytes(data[at : at + length], "big") & (1 << 7 * length) - 1, at + length
