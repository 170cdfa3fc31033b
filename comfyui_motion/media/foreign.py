"""Files that people have in the place of pictures and clips, and that are not opened here: what
each is, and what to do with it.
"""

from __future__ import annotations

import struct
from pathlib import Path

LOOKED_AT = 4096  # bytes
DRAWN = "export it as PNG"
SAVED = "save it as PNG or TIFF"
DEVELOPED = "a camera's raw picture", "develop it with your camera's program, and save it as TIFF"
STARTS = {
    b"%PDF": ("a PDF document", DRAWN),
    b"%!PS": ("a PostScript drawing", DRAWN),
    b"\xc5\xd0\xd3\xc6": ("a PostScript drawing", DRAWN),
    b"8BPS": ("a Photoshop picture", SAVED),
    b"8BPB": ("a Photoshop picture", SAVED),
    b"gimp xcf": ("a GIMP picture", SAVED),
    b"\xff\x0a": ("a JPEG XL picture", SAVED),
    b"\0\0\0\x0cJXL ": ("a JPEG XL picture", SAVED),
    b"v/1\x01": ("an OpenEXR picture", SAVED),
    b"#?RADIANCE": ("a Radiance HDR picture", SAVED),
    b"#?RGBE": ("a Radiance HDR picture", SAVED),
    b"SDPX": ("a DPX picture", SAVED),
    b"XPDS": ("a DPX picture", SAVED),
    b"DDS ": ("a texture (DDS)", SAVED),
    b"\0\0\1\0": ("an icon", SAVED),
    b"BLENDER": ("a Blender scene", "render it to PNG or to a film"),
    b"FUJIFILMCCD-RAW": DEVELOPED,
    b"IIU\0": DEVELOPED,
    b"IIRO": DEVELOPED,
    b"\0MRM": DEVELOPED,
    b"FOVb": DEVELOPED,
    b"#EXTM3U": ("a playlist, which names films that lie elsewhere", "save the film itself"),
    b"WEBVTT": ("a file of subtitles alone", "name the film"),
    b"[InternetShortcut]": ("a link to a page", "save what is on it"),
    b"d8:announce": ("a torrent, not what it fetches", "name the film that it gave"),
}
WITHIN = {  # of texts
    b"<svg": ("an SVG drawing", DRAWN),
    b"<MPD": ("a playlist, which names films that lie elsewhere", "save the film itself"),
    b"<plist": ("a link to a page", "save what is on it"),
    b" --> ": ("a file of subtitles alone", "name the film"),
}
RAW = (".cr2", ".nef", ".nrw", ".arw", ".sr2", ".dng", ".orf", ".pef", ".srw", ".3fr", ".iiq")
DNG_VERSION = 50706  # the tag of a TIFF that is a raw picture


def foreign(path: Path, wanted: str) -> str | None:
    """What to say of one of these that stands where `wanted` ("a clip") was expected."""
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    told = next((told for start, told in STARTS.items() if head.startswith(start)), None)
    if head.startswith((b"<", b"\xef\xbb\xbf", b"1")) and b"\0" not in head:
        told = told or next((told for inside, told in WITHIN.items() if inside in head), None)
    if head[4:12] == b"ftypcrx " or is_raw(path, head):
        told = DEVELOPED
    if told is None:
        return None
    return f"{path} is {told[0]}, and {wanted} was expected: {told[1]}."


def is_raw(path: Path, head: bytes) -> bool:
    """A raw picture that is a TIFF besides, whose first picture is a small one to look at."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None:
        return False
    if path.suffix.lower() in RAW or head[8:10] == b"CR":
        return True
    at = struct.unpack(order + "I", head[4:8])[0] if len(head) >= 8 else 0
    if not 8 <= at <= len(head) - 2:
        return False
    count = struct.unpack(order + "H", head[at : at + 2])[0]
    places = range(at + 2, min(at + 2 + 12 * count, len(head) - 1), 12)
    return DNG_VERSION in (struct.unpack(order + "H", head[p : p + 2])[0] for p in places)
