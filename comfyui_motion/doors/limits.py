"""What a file may cost before it is asked for: known from its first bytes, refused in one sentence.

Each limit lies far above what published files and real clips need, and can be raised: in the
environment, COMFYUI_MOTION_LIMITS="pixels=400e6,tensors=100000", or `comfyui-motion --limits` with
the same words.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields, replace

from ..errors import InputError

ENVIRONMENT = "COMFYUI_MOTION_LIMITS"


@dataclass(frozen=True)
class Limits:
    """The largest of each that is read without being asked for by name."""

    # of a picture or frame (8K); more where the file is as large as that needs
    pixels: float = 34e6
    moving: float = 100e6  # of all frames of an animated picture; more where the file is as large
    frames: float = 100_000  # of an animated picture, or of keypoints
    tensors: float = 20_000  # of a checkpoint
    unpacked: float = 256e6  # bytes of a packed archive; more where the file is as large
    text: float = 64e6  # characters of a document
    output: float = 24e9  # bytes of what a node makes at once


def limits() -> Limits:
    """As they are, with what the environment raises. Raises InputError."""
    return parsed(os.environ.get(ENVIRONMENT, ""))


def parsed(text: str) -> Limits:
    """ "pixels=400e6,tensors=100000" over the defaults. Raises InputError."""
    found = Limits()
    for words in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = words.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if name not in asdict(found) or not number > 0:
            raise InputError(
                f"{ENVIRONMENT} holds {words!r}, which is no limit: it is NAME=NUMBER, with commas"
                f" between, and the names are {', '.join(f.name for f in fields(Limits))}."
            )
        found = replace(found, **{name: number})
    return found


def how_to_raise(name: str, needed: float) -> str:
    """The end of a refusal's sentence."""
    return (
        "if you trust where it comes from, allow it with"
        f" {ENVIRONMENT}={name}={_round_up(needed):g}"
    )


def _round_up(number: float) -> float:
    """To two digits, upwards."""
    unit = 10.0 ** (len(str(int(number))) - 2)
    return max(1.0, unit * -(-number // unit))
