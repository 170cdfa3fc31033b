"""Animated pictures: GIF, WebP, APNG, AVIF; each frame has a duration of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ..doors.limits import how_to_raise, limits
from ..errors import MediaError, reason_of
from .opening import decoding, opened
from .picture import pixels_of, to_rgb
from .promised import cut_off
from .remarks import Remarks
from .times import Shown, even_rate

QUICKEST, USUAL = 0.0101, 0.1  # seconds: what lasts no longer is played as browsers play it
LOOKED_AT = 32  # frames, to find the rate: each has to be decoded for it
PIXELS_A_BYTE = 256  # of all frames together; clips that move have under 100
KINDS = ("GIF", "WEBP", "PNG", "AVIF")  # others of many pages are no films


@dataclass(frozen=True)
class Animation:
    """What the first frames tell."""

    rate: Fraction
    count: int  # frames at that rate
    frames: int  # that the file says it has
    size: tuple[int, int]  # width and height


def animated(path: Path) -> Animation | None:
    """None for a picture that does not move: one frame, pages, a photograph with another inside."""
    with opened(path) as image, decoding(path):
        if image.format not in KINDS or not getattr(image, "is_animated", False):
            return None
        if image.n_frames > limits().frames:
            raise MediaError(
                f"{path} has {image.n_frames} frames: {how_to_raise('frames', image.n_frames)}."
            )
        steps: list[float] = []
        for number in range(min(image.n_frames, LOOKED_AT)):
            try:
                image.seek(number)
                steps.append(_duration(image))
            except Exception:  # damaged there: decoding tells
                break
        moments = [sum(steps[:number]) for number in range(len(steps) + 1)]
        rate = even_rate(moments, None) or Fraction(10)
        seconds = sum(steps) * image.n_frames / max(1, len(steps))
        return Animation(rate, max(1, round(seconds * rate)), image.n_frames, image.size)


def check_cost(path: Path, about: Animation, stop: int | None) -> None:
    """Refuse to read up to frame `stop` (None: all) what unpacks to far more than the file holds.
    Raises MediaError.
    """
    share = 1.0 if stop is None else min(1.0, stop / about.count)
    width, height = about.size
    pixels = share * about.frames * width * height
    size = path.stat().st_size
    if pixels > max(limits().moving, PIXELS_A_BYTE * size):
        raise MediaError(
            f"{path} has {size} bytes and unpacks to {about.frames} frames of {width}x{height}:"
            f" {how_to_raise('moving', pixels)}, or use fewer of its frames."
        )


def decode_animation(
    path: Path, background: Sequence[float], remarks: Remarks, about: Animation, start: int
) -> Iterator[Shown]:
    """Every frame that can be read. MediaError if none can."""
    moment, whole = 0.0, 0
    if lacking := cut_off(path):
        remarks.say(lacking)
    with opened(path) as image, decoding(path):
        total = image.n_frames
        for number in range(total):
            try:
                image.seek(number)
                lasts = _duration(image)
                frame = image.copy()
            except Exception as error:  # what a damaged file makes a decoder raise is not foreseen
                if not number:
                    raise
                remarks.later(
                    f"{path.name}: nothing after frame {number - 1} of {total} can be read"
                    f" ({reason_of(error)}); the clip ends with it."
                )
                break
            whole += 1
            yield Shown(moment, lasts, partial(_read, frame, background))
            moment += lasts
    if not whole:
        raise MediaError(f"{path} holds no frames.")


def _read(image: Any, background: Sequence[float]) -> Tensor:
    return to_rgb(pixels_of(image), background)[0]


def _duration(image: Any) -> float:
    """Of the frame in view, in seconds."""
    image.load()  # some formats tell a frame's duration only then
    seconds = float(image.info.get("duration") or 0) / 1000
    return seconds if seconds > QUICKEST else USUAL
