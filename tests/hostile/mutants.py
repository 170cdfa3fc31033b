"""Files that mean harm, made from a seed: whole ones with bytes flipped, cut or doubled, and ones
that claim to be what they are not. For the tests and for `make fuzz`.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes flipped, most near the front, where the claims are; sometimes cut or doubled."""
    mutant = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        mutant[chance.randrange(min(len(mutant), chance.choice((64, 400, 10**7))))] = (
            chance.randrange(256)
        )
    kind = chance.random()
    if kind < 0.25:
        del mutant[chance.randrange(1, len(mutant)) :]
    elif kind < 0.35:
        place = chance.randrange(len(mutant))
        mutant[place:place] = mutant[place : place + chance.randrange(1, 200)]
    return bytes(mutant)


def networks() -> dict[str, Any]:
    return {"generator": {"a.weight": torch.ones(3, 3)}, "kp_detector": {"b.weight": torch.ones(2)}}


def saved(content: Any, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def checkpoints() -> dict[str, bytes]:
    """Whole ones, by their ending."""
    return {
        "a.pth": saved(networks()),
        "old.pth": saved(networks(), zipped=False),
        "a.safetensors": save(
            {"generator.a.weight": torch.ones(3, 3)},
            {"format": "comfyui_motion", "family": "fomm", "parameters": json.dumps({"size": 64})},
        ),
    }


def pictures() -> dict[str, bytes]:
    """Whole ones, of every kind that is opened, animated where they can be."""
    Image.init()
    drawn = Image.effect_mandelbrot((40, 32), (-2, -1, 1, 1), 50).convert("RGB")
    frames = [drawn.rotate(10 * i) for i in range(3)]
    moving = {"save_all": True, "append_images": frames[1:], "duration": 50}
    kinds: dict[str, dict[str, Any]] = {
        "PNG": moving,
        "GIF": moving,
        "WEBP": moving,
        "AVIF": moving,
        "TIFF": {},
        "JPEG": {},
        "BMP": {},
        "TGA": {},
        "JPEG2000": {},
        "PPM": {},
    }
    endings = {"TIFF": "tif", "JPEG": "jpg", "JPEG2000": "jp2"}
    found = {}
    for kind, options in kinds.items():
        if kind in Image.SAVE:  # what this Pillow was built with
            buffer = io.BytesIO()
            frames[0].save(buffer, kind, **options)
            found[f"a.{endings.get(kind, kind.lower())}"] = buffer.getvalue()
    return found


# Pickles written by hand: every one under 2 kB


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def in_zip(payload: bytes, packed: bool = False, extra: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", kind, compresslevel=1) as archive:
        for name, data in {"a/data.pkl": payload, "a/version": b"3\n", **(extra or {})}.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def named(module: str, name: str, arguments: bytes) -> bytes:
    """A dictionary whose one value is what the call gives."""
    return b"\x80\x02}" + text("w") + f"c{module}\n{name}\n".encode() + arguments + b"Rs."


def storage(elements: int, kind: str = "FloatStorage") -> bytes:
    """The token of a storage of so many elements."""
    told = text("storage") + f"ctorch\n{kind}\n".encode() + text("0") + text("cpu")
    return b"(" + told + b"J" + struct.pack("<i", elements) + b"tQ"


def tensor(elements: int, size: tuple[int, ...], held: int = 0) -> bytes:
    sides = b"".join(b"J" + struct.pack("<i", side) for side in size)
    steps = b"".join(b"K\x00" for _ in size)
    call = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return call + storage(elements) + b"K\x00(" + sides + b"t(" + steps + b"t\x89)tR"


@lru_cache
def pickles() -> dict[str, bytes]:
    """What would run code, fill memory or never end, by what it is."""
    deep = b"\x80\x02}" + b"K\x00}" * 5000 + b"s" * 5000 + b"."
    doubled = b"\x80\x02)q\x00" + b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60)
    )
    laughs = b"\x80\x02}q\x00" + b"".join(
        b"}q" + bytes([i + 1]) + b"(K\x00h" + bytes([i]) + b"K\x01h" + bytes([i]) + b"u"
        for i in range(40)
    )
    many = tensor(1, (1,))
    one = b"\x80\x02}" + text("w") + many + b"q\x01s"
    return {
        "code": in_zip(b"\x80\x02cposix\nsystem\n" + text("true") + b"\x85R."),
        "bytes of any number": in_zip(named("builtins", "bytearray", b"J\xff\xff\xff\x7f\x85")),
        "numpy scalar": in_zip(
            b"\x80\x03cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n("
            + text("V1500000000")
            + b"tRtR."
        ),
        "tensor class": in_zip(named("torch", "FloatTensor", b"J\xff\xff\xff\x7f\x85")),
        "storage called": in_zip(
            named("torch.storage", "UntypedStorage", b"J\xff\xff\xff\x7f\x85")
        ),
        "storage beyond the file": in_zip(b"\x80\x02}" + text("w") + tensor(2**30, (4,)) + b"s."),
        "tensor beyond its storage": in_zip(
            b"\x80\x02}" + text("w") + tensor(1, (2**30,)) + b"s.", extra={"a/data/0": b"\0" * 4}
        ),
        "idna": in_zip(named("_codecs", "encode", text("a" * 900) + text("idna") + b"\x86")),
        "deep": in_zip(deep),
        "itself": in_zip(b"\x80\x02}q\x00K\x00h\x00s."),
        "two to the sixtieth": in_zip(doubled + b"}h\x3cK\x00s."),
        "two to the fortieth tables": in_zip(laughs + b"."),
        "colliding keys": in_zip(
            b"\x80\x02}"
            + b"".join(
                b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"K\x00s"
                for i in range(1, 90)
            )
            + b"."
        ),
        "a million tensors": in_zip(
            one + b"".join(text("k") + many + b"s" for _ in range(30_000)) + b".", packed=True
        ),
        "packed zeros": in_zip(b"\x80\x02}.", packed=True, extra={"a/data/0": b"\0" * 257_000_000}),
        "sparse": in_zip(named("torch._utils", "_rebuild_sparse_tensor", b")")),
        "no numbers": in_zip(named("torch._utils", "_rebuild_meta_tensor_no_storage", b")")),
        "two of one name": in_zip(b"\x80\x02}.", extra={"a/b/data.pkl": b"\x80\x02}."}),
        "protocol 4": in_zip(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."),
    }


def png(width: int, height: int, rows: int = 1, bits: int = 8) -> bytes:
    """A PNG that says it is so large, of some hundred bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    data = zlib.compress(bytes((1 + 3 * width) * rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif(size: int, frames: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", size, size, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\x04\0\0\0\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    return head + (frame + b"\x02\x02\x44\x01\0") * frames + b";"


SCRIPTS = {
    "concat": b"ffconcat version 1.0\nfile 'secret.mp4'\n",
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n%%EOF\n",
}


def documents() -> Iterator[tuple[str, str]]:
    """Keypoints that are none."""
    head = {"format": "comfyui_motion.keypoints", "version": 1}
    points = [[[0.0, 0.0]]]
    for name, values in {
        "not a number": {"position": [[[float("nan"), 0.0]]]},
        "infinite": {"position": [[[float("inf"), 0.0]]]},
        "large": {"position": [[[1e308, 0.0]]]},
        "400 digits": {"position": [[[10**400, 0]]]},
        "words": {"position": [[["x", "y"]]]},
        "nothing": {"position": [[[None, 0.0]]]},
        "uneven": {"position": [[[0.0], [0.0, 1.0]]]},
        "empty": {"position": []},
        "no position": {},
        "of others": {"position": points, "jacobian": [[[[1.0, 0.0], [0.0, 1.0]]] * 3]},
        "long version": {"version": "x" * 100_000, "position": points},
        "version of a list": {"version": [1], "position": points},
        "of parts, none": {"version": 2},
        "of parts, uneven": {
            "version": 2,
            **dict.fromkeys(("canonical", "expression", "rotation", "scale", "translation"), [1]),
        },
    }.items():
        yield name, json.dumps({**head, **values})
    yield "deep", '{"position":' + "[" * 100_000
    yield "a list", "[1]"
    yield "digits", "9" * 100_000
    yield "no JSON", "\x1b[2J<b>"


Mutants = Callable[[], dict[str, bytes]]
KINDS: dict[str, Mutants] = {"checkpoint": checkpoints, "picture": pictures}
