"""Clips: the frames of a film, an animated picture, a folder or a numbered sequence, decoded as
they are asked for.

A file's frames come with times, and a clip's are even: frame n, counted from 0, is what is on the
screen at n / fps, so it stays beside its sound. The rate is the file's own (of a variable one the
median), or the one asked for. Rotation (phones), oblong pixels, transparency, colour profile, curve
and range are resolved; frames are RGB, gamma-encoded as sRGB.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..doors.limits import limits
from ..errors import InputError, MediaError
from .animation import animated, check_cost, decode_animation
from .decode import decode_film, film_facts
from .deep import Deep
from .files import existing_file
from .kinds import is_picture
from .naming import missing_numbers, sequence_paths
from .picture import WHITE, read_pixels, to_rgb
from .remarks import Remarks
from .times import Shown, as_rate, evenly, in_order

Decode = Callable[[int], Iterator[Shown]]  # from that frame on at least, at the clip's own rate
STILL = Fraction(25)  # the rate of what has none of its own
LATEST = 2**31  # a frame's number


@dataclass(frozen=True, eq=False)
class Source:
    """What is at a path, before it is brought to one rate."""

    decode: Decode
    rate: Fraction
    count: int | None  # frames at that rate, as the file says
    has_audio: bool = False
    audio_begin: Fraction = Fraction(0)  # the first frame by the sound's clock, in seconds
    # refuses, before any work, to read up to that frame
    check: Callable[[int | None], None] = lambda stop: None


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip on disk. Iterating gives batches, from the first frame each time, in constant memory.

    What could not be read and was held, or patched by the decoder, is told in the log at its end.
    """

    path: Path  # as given: a file, a folder, a pattern
    fps: Fraction  # frames per second
    width: int
    height: int
    len_hint: int | None  # how many frames to expect, as the file says; None if it does not
    has_audio: bool
    start: int  # the first frame, in the file's count at its own rate
    stop: int | None  # the frame after the last, None = to the end
    retimed: bool = False  # every frame of the file once, whenever it shows there
    source: Source = field(repr=False, kw_only=True)
    remarks: Remarks = field(repr=False, kw_only=True)

    @property
    def begin(self) -> Fraction:
        """When the first frame shows, by the clock of the file's sound, in seconds."""
        return self.source.audio_begin + self.start / self.source.rate

    def batches(self, size: int = 8) -> Iterator[Tensor]:
        """At most `size` frames at a time. B 3 H W, float32 in 0..1"""
        if size < 1:
            raise InputError(f"a batch holds at least one frame, not {size}.")
        frames = self._frames()
        size = max(1, min(size, int(limits().pixels) // (self.width * self.height)))
        while batch := list(islice(frames, size)):
            yield _stack(batch)

    def __iter__(self) -> Iterator[Tensor]:
        return self.batches()

    def frames(self) -> Tensor:
        """The whole clip at once. B 3 H W, float32 in 0..1"""
        return _stack(list(self._frames()))

    def _frames(self) -> Iterator[Tensor]:
        self.source.check(self.stop)
        shown, count = self.source.decode(self.start), 0
        for frame in (
            in_order(shown, self.start, self.stop)
            if self.retimed
            else evenly(shown, self.source.rate, self.fps, self.start, self.stop)
        ):
            yield self._fitted(frame, count)
            count += 1
        if not count:
            raise MediaError(f"{self.path} has no frame {self.start}: it is shorter than that.")
        self.remarks.tell()

    def _fitted(self, frame: Tensor, count: int) -> Tensor:
        """A frame of another size than the clip's, whole, in the middle of black."""
        height, width = frame.shape[-2:]
        if (height, width) == (self.height, self.width):
            return frame
        self.remarks.fitted.add(self.start + round(count / self.fps * self.source.rate))
        frame = frame.float() / (1 if frame.is_floating_point() else 255)
        scale = min(self.height / height, self.width / width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        small = F.interpolate(frame[None], size=size, mode="bilinear", antialias=True)[0]
        down, across = self.height - size[0], self.width - size[1]
        return F.pad(small, (across // 2, across - across // 2, down // 2, down - down // 2))


def read_video(
    path: str | os.PathLike[str],
    start: int = 0,
    stop: int | None = None,
    *,
    fps: Fraction | float | None = None,
    retime: bool = False,
    background: Sequence[float] = WHITE,
) -> Clip:
    """Open frames `start` to `stop` (not included) of a clip. Only the first frame is decoded here.

    `path` is a film (mp4, mov, webm, mkv, avi ...), a picture, still or animated (gif, webp, png),
    a folder of pictures in natural order, a numbered pattern (`frames/%04d.png`) or a glob
    (`frames/*.png`); a file is what its content says, whatever it is called. `fps` is the rate to
    read it at, by holding and dropping frames, never faster or slower; None: its own, 25 for
    folders and sequences, which have none. `start` and `stop` count frames at its own rate.
    `retime`: every frame of the file once, to be played at `fps`: slow or fast motion, without the
    sound. `background` (red, green, blue in 0..1) shows where frames are transparent. MediaError
    if there is nothing there, nothing to see in it, or nothing of it can be read.
    """
    if not 0 <= start < LATEST or stop is not None and stop <= start:
        raise InputError(
            f"a clip runs from start to stop, counted from 0 and stop the later: {start} to {stop}"
            " holds no frame."
        )
    stop = stop if stop is None else min(stop, LATEST)
    remarks = Remarks(Path(path))
    wanted = None if fps is None else as_rate(fps)
    source = _source(path, wanted or STILL, background, remarks)
    first = next(source.decode(0), None)
    if first is None:
        raise MediaError(f"{path} holds no frames.")
    height, width = first.frame().shape[-2:]
    rate = wanted or source.rate
    sound = source.has_audio and not retime
    if source.has_audio and retime:
        remarks.later(f"{Path(path).name}: its sound is left out, for the picture is retimed.")
    hint = _expected(source, start, stop, source.rate if retime else rate)
    return Clip(
        Path(path),
        rate,
        width,
        height,
        hint,
        sound,
        start,
        stop,
        retime,
        source=source,
        remarks=remarks,
    )


def _expected(source: Source, start: int, stop: int | None, rate: Fraction) -> int | None:
    if source.count is None:
        return None
    own = max(0, min(source.count, stop or source.count) - start)
    return max(min(own, 1), round(own / source.rate * rate))


def _source(
    path: str | os.PathLike[str], fps: Fraction, background: Sequence[float], remarks: Remarks
) -> Source:
    """What is at the path, by what it holds."""
    paths = sequence_paths(path)
    if paths is None:
        file = existing_file(path, "a clip")
        if not is_picture(file):
            facts = film_facts(file, remarks, fps)
            film = partial(decode_film, file, background, remarks, facts)
            return Source(film, facts.rate, facts.count, facts.has_audio, facts.begin)
        moving = animated(file)
        if moving:
            frames = partial(decode_animation, file, background, remarks, moving)
            check = partial(check_cost, file, moving)
            return Source(frames, moving.rate, moving.count, check=check)
        paths = [file]
    elif hole := missing_numbers(path, paths):
        remarks.say(hole)
    return Source(partial(_decode_pictures, paths, background, fps, remarks), fps, len(paths))


def _decode_pictures(
    paths: list[Path],
    background: Sequence[float],
    fps: Fraction,
    remarks: Remarks,
    start: int,
) -> Iterator[Shown]:
    """Pictures one after the other. One that cannot be read is passed over, and remarked on."""
    step, whole, deep = float(1 / fps), 0, Deep(remarks.later)
    broken: dict[int, MediaError] = {}
    for number, path in enumerate(paths):
        if number < start:
            continue
        try:
            frame = to_rgb(read_pixels(path, deep), background)[0]
        except MediaError as error:
            broken[number] = error
            continue
        remarks.held |= broken.keys()
        broken, whole = {}, whole + 1
        yield Shown(number * step, step, partial(_same, frame))
    if broken and not whole:
        raise next(iter(broken.values()))
    if broken:
        remarks.later(
            f"{len(broken)} pictures at the end cannot be read, and the clip ends before them:"
            f" {next(iter(broken.values()))}"
        )


def _same(frame: Tensor) -> Tensor:
    return frame


def _stack(frames: list[Tensor]) -> Tensor:
    """B 3 H W, float32 in 0..1"""
    first = frames[0]
    batch = torch.empty(len(frames), *first.shape)
    for place, frame in zip(batch, frames, strict=True):
        place.copy_(frame)
        if not frame.is_floating_point():
            place.div_(255)
    return batch
