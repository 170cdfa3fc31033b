"""Clips on the wires: IMAGE frames or VIDEO, a range of either, streamed where they lie
in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..comfyui_motion import InputError, read_video
from . import host
from .convert import to_pictures
from .film import RATE
from .host import io

SHORT = 2**26  # bytes of frames
FRAMES = "What is taken of the clip: {}"


@dataclass(frozen=True)
class Range:
    """Of a clip's frames, `count` (0: all) from `start` on, every `step`-th."""

    start: int = 0
    count: int = 0
    step: int = 1

    @property
    def slice(self) -> slice:
        stop = self.start + self.count * self.step if self.count else None
        return slice(self.start, stop, self.step)


WHOLE = Range()


@dataclass(frozen=True, eq=False)
class Moving:
    """A clip to work through: batches B C H W in 0..1, from the first frame each time."""

    frames: Tensor | Iterable[Tensor]
    total: int | None  # as far as it is known; a file may hold fewer than it says
    fps: Fraction | None  # None: pictures without a rate
    sound: Any = None  # an AUDIO, or a function that reads one
    file: Any = None  # where it lies, as a library's Clip, if it is a file

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.frames.split(8) if isinstance(self.frames, Tensor) else self.frames)

    @property
    def len_hint(self) -> int | None:
        return self.total

    def whole(self) -> Tensor:
        """All frames at once. B C H W"""
        return self.frames if isinstance(self.frames, Tensor) else torch.cat(list(self.frames))

    def audio(self) -> Any:
        """What sounds meanwhile, as an AUDIO, or None."""
        return self.sound() if callable(self.sound) else self.sound


@dataclass(frozen=True, eq=False)
class Every:
    """Batches of every step-th frame of a clip on disk. A short one is decoded once."""

    clip: Any
    step: int
    decoded: list[Tensor] = field(default_factory=list)  # all of a short clip, once seen to its end

    def __iter__(self) -> Iterator[Tensor]:
        if self.decoded:
            yield from self.decoded
            return
        seen: list[Tensor] = []
        size = 0
        for batch in self._chosen():
            size += batch.nbytes
            if size <= SHORT:
                seen.append(batch)
            else:
                seen.clear()
            yield batch
        self.decoded[:] = seen

    def _chosen(self) -> Iterator[Tensor]:
        done = 0
        for batch in self.clip.batches(8):
            chosen = batch[-done % self.step :: self.step]
            done += len(batch)
            if len(chosen):
                yield chosen


def moving(value: Any, name: str, part: Range = WHOLE) -> Moving:
    """A clip out of IMAGE or VIDEO. Raises InputError, MediaError."""
    if isinstance(value, Tensor):
        return Moving(_chosen(to_pictures(value, name), name, part), _left(len(value), part), None)
    path, begin, end = host.film_file(value)
    if path is None:
        parts = value.get_components()
        rate = Fraction(parts.frame_rate)
        images = _chosen(to_pictures(parts.images, name), name, part)
        return Moving(images, len(images), rate / part.step, _cut(parts.audio, rate, part))
    return _streamed(Path(path), begin, end, part, name)


def _streamed(path: Path, begin: float, end: float | None, part: Range, name: str) -> Moving:
    """A range of a film on disk, of which the host itself may have cut a part, in seconds."""
    whole = read_video(path)
    first = round(begin * whole.fps)
    last = whole.len_hint if end is None else round(end * whole.fps)
    start = first + part.start
    stops = [start + part.count * part.step if part.count else None, None if end is None else last]
    stop = min((stop for stop in stops if stop is not None), default=None)
    if (last is not None and start >= last) or (stop is not None and stop <= start):
        raise _beyond(name, part.start, None if last is None else last - first)
    total = None if last is None else _left(last - first, part)
    clip = replace(whole, start=start, stop=stop, len_hint=total and total * part.step)
    seconds = start / whole.fps, None if stop is None else stop / whole.fps
    sound = (lambda: host.sound_of(str(path), *seconds)) if clip.has_audio else None
    return Moving(Every(clip, part.step), total, whole.fps / part.step, sound, clip)


def _left(length: int, part: Range) -> int:
    return len(range(length)[part.slice])


def _chosen(pictures: Tensor, name: str, part: Range) -> Tensor:
    chosen = pictures[part.slice]
    if not len(chosen):
        raise _beyond(name, part.start, len(pictures))
    return chosen


def _beyond(name: str, start: int, length: int | None) -> InputError:
    holds = "ends before that" if length is None else f"has {length}, counted from 0"
    return InputError(
        f"{name} begins at frame {start}, and the clip {holds}: choose an earlier one."
    )


def _cut(audio: Any, rate: Fraction, part: Range) -> Any:
    """An AUDIO's stretch under these frames."""
    if not audio or part == WHOLE:
        return audio
    first, last = part.slice.start, part.slice.stop
    sample = audio["sample_rate"] / rate
    stop = None if last is None else round(last * sample)
    return {**audio, "waveform": audio["waveform"][..., round(first * sample) : stop]}


def fps_of(clip: Moving) -> Fraction:
    return clip.fps or RATE


def range_inputs() -> list[Any]:
    """The three widgets of a Range; `range_of` reads them."""
    return [
        host.advanced(
            io.Int.Input(
                "start_frame",
                default=0,
                min=0,
                max=10_000_000,
                optional=True,
                tooltip=FRAMES.format("the frame it begins at, counted from 0."),
            )
        ),
        host.advanced(
            io.Int.Input(
                "frame_count",
                default=0,
                min=0,
                max=10_000_000,
                optional=True,
                tooltip=FRAMES.format("how many frames. 0: to the end."),
            )
        ),
        host.advanced(
            io.Int.Input(
                "every_nth",
                default=1,
                min=1,
                max=1000,
                optional=True,
                tooltip=FRAMES.format(
                    "every frame, every second, every third. The video keeps its length in time."
                ),
            )
        ),
    ]
