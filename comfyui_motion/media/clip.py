"""Clips: the frames of a film, an animated picture, a folder or a numbered sequence, decoded as
they are asked for.

Frames count from 0. A film of variable frame rate keeps its average rate. Rotation (phones),
transparency and colour range are resolved; frames are RGB with the file's own gamma.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, MediaError
from .decode import Named, decode_film, open_film
from .files import existing_file
from .picture import (
    WHITE,
    opened,
    pixels_of,
    read_picture,
    to_rgb,
)

Decode = Callable[[int, int | None], Iterator[Named]]  # frames start to stop

PICTURES = {
    ".png",
    ".apng",
    ".jpg",
    ".jpeg",
    ".webp",
    ".gif",
    ".avif",
    ".bmp",
    ".tif",
    ".tiff",
    ".tga",
    ".jp2",
    ".ppm",
    ".pgm",
}
MAX_RATE_DENOMINATOR = 100_000


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip on disk. Iterating gives batches, from the first frame each time, in constant memory."""

    path: Path  # as given: a file, a folder, a pattern
    fps: Fraction  # frames per second
    width: int
    height: int
    len_hint: int | None  # how many frames to expect, as the file says; None if it does not
    has_audio: bool
    start: int  # the first frame, in the file's count
    stop: int | None  # the frame after the last, None = to the end
    decode: Decode = field(repr=False)

    def batches(self, size: int = 8) -> Iterator[Tensor]:
        """At most `size` frames at a time. B 3 H W, float32 in 0..1"""
        if size < 1:
            raise InputError(f"a batch holds at least one frame, not {size}.")
        frames = self._frames()
        while batch := list(islice(frames, size)):
            yield _stack(batch)

    def __iter__(self) -> Iterator[Tensor]:
        return self.batches()

    def frames(self) -> Tensor:
        """The whole clip at once. B 3 H W, float32 in 0..1"""
        return _stack(list(self._frames()))

    def _frames(self) -> Iterator[Tensor]:
        count = 0
        for name, frame in self.decode(self.start, self.stop):
            height, width = frame.shape[-2:]
            if (height, width) != (self.height, self.width):
                raise MediaError(
                    f"{name} is {width}x{height}, where the clip is {self.width}x{self.height}: all"
                    " frames need one size."
                )
            count += 1
            yield frame
        if not count:
            raise MediaError(f"{self.path} has no frame {self.start}: it is shorter than that.")


def read_video(
    path: str | os.PathLike,
    start: int = 0,
    stop: int | None = None,
    *,
    fps: Fraction | float = 25,
    background: Sequence[float] = WHITE,
) -> Clip:
    """Open frames `start` to `stop` (not included) of a clip. Only the first frame is decoded here.

    `path` is a film (mp4, mov, webm, mkv, avi ...), a picture, still or animated (gif, webp, png),
    a folder of pictures in natural order, a numbered pattern (`frames/%04d.png`) or a glob
    (`frames/*.png`). `fps` is the rate of what has none of its own: folders, sequences and still
    pictures. `background` (red, green, blue in 0..1) shows where frames are transparent. MediaError
    if there is nothing there, nothing to see in it, or it is damaged.
    """
    if start < 0 or stop is not None and stop <= start:
        raise InputError(
            f"a clip runs from start to stop, counted from 0 and stop the later: {start} to {stop}"
            " holds no frame."
        )
    decode, rate, count, has_audio = _source(path, as_rate(fps), background)
    first = next(decode(0, 1), None)
    if first is None:
        raise MediaError(f"{path} holds no frames.")
    height, width = first[1].shape[-2:]
    hint = count if count is None else max(0, min(count, stop or count) - start)
    return Clip(Path(path), rate, width, height, hint, has_audio, start, stop, decode)


def as_rate(fps: Fraction | float) -> Fraction:
    """Frames per second as an exact fraction: 29.97 and 23.976 are the broadcasters' 30000/1001 and
    24000/1001.
    """
    if not fps > 0:
        raise InputError(f"a frame rate is above 0, not {fps}.")
    if isinstance(fps, float):
        for whole in (24, 30, 48, 60, 120):
            if abs(fps - whole / 1.001) < 0.005:
                return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(MAX_RATE_DENOMINATOR)


def _source(
    path: str | os.PathLike, fps: Fraction, background: Sequence[float]
) -> tuple[Decode, Fraction, int | None, bool]:
    """How to decode what is at the path, its rate, how many frames it says it has, and whether it
    has sound.
    """
    paths = _picture_paths(path)
    if paths is None and Path(path).suffix.lower() in PICTURES:
        with opened(path) as image:
            if getattr(image, "is_animated", False):
                return (
                    partial(_decode_animation, path, background),
                    _animation_rate(image),
                    image.n_frames,
                    False,
                )
        paths = [Path(path)]
    if paths is not None:
        return partial(_decode_pictures, paths, background), fps, len(paths), False
    path = existing_file(path, "a clip")
    with open_film(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate or fps
        seconds = (
            stream.duration * stream.time_base
            if stream.duration
            else (container.duration or 0) / 1e6
        )
        count = stream.frames or round(seconds * rate) or None
        return (
            partial(decode_film, path, background),
            Fraction(rate),
            count,
            bool(container.streams.audio),
        )


# Folders and sequences


def _picture_paths(path: str | os.PathLike) -> list[Path] | None:
    """The pictures that a folder, a numbered pattern or a glob stands for, in order; None if the
    path is one file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        return None
    if path.is_dir():
        paths = [
            entry
            for entry in path.iterdir()
            if entry.suffix.lower() in PICTURES and not entry.name.startswith(".")
        ]
    elif number := re.search(r"%0?\d*d", path.name):
        before, after = map(re.escape, (path.name[: number.start()], path.name[number.end() :]))
        named = re.compile(f"{before}\\d+{after}")
        paths = [entry for entry in path.parent.glob("*") if named.fullmatch(entry.name)]
    elif re.search(r"[*?\[]", path.name):
        paths = [entry for entry in path.parent.glob(path.name) if entry.is_file()]
    else:
        return None
    if not paths:
        raise MediaError(
            f"{path} stands for no pictures: a clip was expected there, as a folder of frames or a"
            " sequence."
        )
    return sorted(paths, key=natural)


def natural(path: Path) -> list[tuple[int, str]]:
    """A sorting key: frame2 before frame10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part.lower())
        for part in re.split(r"(\d+)", path.name)
    ]


def _decode_pictures(
    paths: list[Path], background: Sequence[float], start: int, stop: int | None
) -> Iterator[Named]:
    for path in paths[start:stop]:
        yield str(path), read_picture(path, background)[0]


# Animated pictures


def _decode_animation(
    path: str | os.PathLike, background: Sequence[float], start: int, stop: int | None
) -> Iterator[Named]:
    with opened(path) as image:
        for number in range(image.n_frames)[start:stop]:
            image.seek(number)
            yield f"Frame {number} of {path}", to_rgb(pixels_of(image), background)[0]


def _animation_rate(image: Any) -> Fraction:
    """The average: each frame of an animated picture has its own duration."""
    total = Fraction(0)
    for number in range(image.n_frames):
        image.seek(number)
        image.load()  # some formats tell a frame's duration only then
        total += Fraction(
            image.info.get("duration") or 100
        )  # no duration plays as 100 ms, as browsers have it
    return (1000 * image.n_frames / total).limit_denominator(MAX_RATE_DENOMINATOR)


def _stack(frames: list[Tensor]) -> Tensor:
    """B 3 H W, float32 in 0..1"""
    first = frames[0]
    batch = torch.empty(len(frames), *first.shape)
    for place, frame in zip(batch, frames, strict=True):
        place.copy_(frame)
        if not frame.is_floating_point():
            place.div_(255)
    return batch
