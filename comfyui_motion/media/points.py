"""What a picture's file says of its colours by number (ITU-T H.273): a PNG's cICP, the nclx of an
AVIF. Pillow tells of neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .tone import Tone

LOOKED_AT = 1 << 16  # bytes, in which an AVIF describes itself
PNG = b"\x89PNG\r\n\x1a\n"
NCLX = b"colrnclx"
UNKNOWN = 2  # the number of what is not told


def heed(path: Path, info: dict[Any, Any]) -> None:
    """Puts into what Pillow tells of a picture how its values become sRGB, as its "tone"; None
    where they are, or nothing is said by number. A PNG's number is above all else it says (PNG 3,
    4.3), which is taken out then.
    """
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    chunk = _cicp(head) if head.startswith(PNG) else None
    said = _nclx(head) if head[4:8] == b"ftyp" else chunk
    info["tone"] = None if said is None else Tone.by(transfer=said[1], primaries=said[0])
    if chunk and UNKNOWN not in chunk:
        for other in ("icc_profile", "srgb", "gamma", "chromaticity"):
            info.pop(other, None)


def _cicp(head: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of the chunk, which lies before the pixels (PNG 3, 11.3.2.6)."""
    at = len(PNG)
    while at + 12 <= len(head) and head[at + 4 : at + 8] != b"IDAT":
        size = int.from_bytes(head[at : at + 4], "big")
        if head[at + 4 : at + 8] == b"cICP" and size == 4:
            return head[at + 8], head[at + 9]
        at += 12 + size
    return None


def _nclx(head: bytes) -> tuple[int, int] | None:
    """The same of the first colour box by number (ISO 14496-12, 12.1.5)."""
    at = head.find(NCLX)
    if at < 0 or at + 12 > len(head):
        return None
    at += len(NCLX)
    return int.from_bytes(head[at : at + 2], "big"), int.from_bytes(head[at + 2 : at + 4], "big")
