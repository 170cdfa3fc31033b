"""The driving clip, as a stream of batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, cast

import torch
from torch import Tensor

from .doors.words import logger
from .errors import InputError
from .heap import drop_freed
from .media.picture import to_rgb
from .media.remarks import listed
from .shapes import are_numbers, same

Frames = Tensor | Iterable[Tensor]
BREATH = 200  # frames, after which memory that is free goes back to the system
HELD = 64  # frames: a batch shows no more than that, or a clip that stands still would give none


@dataclass(frozen=True, eq=False)
class Held:
    """Frames that differ, and how often each of them shows before the next does."""

    frames: Tensor  # B 3 h w
    times: tuple[int, ...]  # B

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, part: slice) -> Held:
        return Held(self.frames[part], self.times[part])

    @property
    def total(self) -> int:
        return sum(self.times)

    @property
    def places(self) -> Tensor:
        """Where each of the frames begins to show, counted from the first. B"""
        times = torch.tensor(self.times)
        return times.cumsum(0) - times

    def between(self, start: int, stop: int) -> tuple[slice, tuple[int, ...]]:
        """Which of the frames show from place `start` to before `stop`, counted from the first
        place, and how often they do there.
        """
        shown = cast("Any", in_order(self.times)[max(start, 0) : max(stop, 0)])
        numbers, times = shown.unique_consecutive(return_counts=True)
        first = int(numbers[0]) if len(numbers) else 0
        return slice(first, first + len(numbers)), tuple(times.tolist())


def in_order(times: tuple[int, ...]) -> Tensor:
    """The number of the frame that shows at each place. sum(times)"""
    return torch.arange(len(times)).repeat_interleave(torch.tensor(times))


class Batches:
    """Driving frames in batches of one size, read again as often as needed, as `prepare` leaves
    them.
    """

    def __init__(
        self,
        driving: Frames,
        batch_size: int,
        prepare: Callable[[Tensor], Tensor] = to_rgb,
        again: bool = False,
        told: set[str] | None = None,
    ) -> None:
        self.driving = list(driving) if again and isinstance(driving, Iterator) else driving
        self.batch_size = batch_size
        self.prepare = prepare
        # what was said of the clip: shared by those that read it, so that it is said once
        self.told: set[str] = set() if told is None else told
        self.total = (
            len(driving) if isinstance(driving, Tensor) else getattr(driving, "len_hint", None)
        )

    def __iter__(self) -> Iterator[Tensor]:
        return (held.frames for held in self.held(once=False))

    def held(self, once: bool = True) -> Iterator[Held]:
        """The batches; `once`: a frame that is the one before, to the last bit, is counted there
        instead, as films of variable rate and drawings on twos have them.
        """
        frames: list[Tensor] = []
        times: list[int] = []
        for frame in self._frames():
            full = sum(times) >= HELD
            if once and frames and not full and same(frame, frames[-1]):
                times[-1] += 1
                continue
            if full or len(frames) >= self.batch_size:
                yield Held(self.prepare(torch.cat(frames)), tuple(times))
                frames, times = [], []
            frames.append(frame)
            times.append(1)
        if frames:
            yield Held(self.prepare(torch.cat(frames)), tuple(times))

    def _frames(self) -> Iterator[Tensor]:
        return without_blanks(self._given(), self.told)

    def _given(self) -> Iterator[Tensor]:
        number = 0
        for batch in [self.driving] if isinstance(self.driving, Tensor) else self.driving:
            for frame in torch.split(batch, 1) if len(batch) else ():
                check_frame(frame, number)
                number += 1
                if number % BREATH == 0:
                    drop_freed()
                yield frame

    def frame(self, number: int) -> Tensor:
        """One frame. Of an iterator only the first, which is then still to come.

        Raises InputError beyond the end.
        """
        frames = self._frames()
        found = next(islice(frames, number, None), None)
        if found is None:
            raise no_such_frame(number)
        if isinstance(self.driving, Iterator):
            self.driving = chain([found], frames)
        return self.prepare(found)

    def batch_with(self, number: int) -> tuple[Tensor, int]:
        """The batch that the frame comes in, and its place there.

        Raises InputError beyond the end.
        """
        batch, place = divmod(number, self.batch_size)
        found = next(islice(self, batch, None), None)
        if found is None or place >= len(found):
            raise no_such_frame(number)
        return found, place


def check_frame(frame: Tensor, number: int) -> None:
    """Refuse a driving frame of no numbers. Raises InputError, which names it."""
    if not bool(are_numbers(frame).all()):
        raise InputError(
            f"Driving frame {number} holds values that are no numbers (NaN or infinite), as half"
            " precision leaves behind when it overflows; make it anew in float32, or leave it out."
        )


def without_blanks(frames: Iterable[Tensor], told: set[str]) -> Iterator[Tensor]:
    """The clip with frames of one colour (a flash, a dropout, a cut to black), which show no
    motion, replaced by the one before; black or white ones at the beginning by the first after
    them. Told at the end.

    A clip of nothing else comes as it is.
    """
    shown: Tensor | None = None
    dark: Tensor | None = None  # black or white, with nothing before it
    waiting, held = 0, set[int]()
    for number, frame in enumerate(frames):
        blank = is_blank(frame)
        if blank and shown is None and is_extreme(frame):
            dark, waiting = frame, waiting + 1
            continue
        if blank and shown is not None:
            held.add(number)
            yield shown
            continue
        held.update(range(number - waiting, number))
        yield from repeat(frame, waiting)
        waiting = 0
        shown = None if blank else frame
        yield frame
    if dark is not None:
        yield from repeat(dark, waiting)
    if held:
        _tell_held(held, told)


def is_blank(frame: Tensor) -> bool:
    """Whether a frame, 1 C H W, is of one colour but for noise: 1/100 of the range."""
    few = _unit(
        frame[..., ::8, ::8]
    )  # a 64th of all, whose deviation is an eighth of all's at most
    if few.shape[2] > 1 and float(few.std(dim=2, unbiased=False).max()) > 8 * 0.011:
        return False
    return float(_unit(frame).std(dim=2, unbiased=False).max()) < 0.01


def is_extreme(frame: Tensor) -> bool:
    """Whether a frame is black or white all over."""
    return not 0.03 < float(_unit(frame).mean()) < 0.97


def _unit(frame: Tensor) -> Tensor:
    """1 C H*W in 0..1"""
    values = frame[:, :3].flatten(2).float()
    return values if frame.is_floating_point() else values / torch.iinfo(frame.dtype).max


def _tell_held(numbers: set[int], told: set[str]) -> None:
    one = len(numbers) == 1
    said = (
        f"Driving {listed(numbers)} {'is' if one else 'are'} of one colour and"
        f" {'shows' if one else 'show'} no motion; the frame next to {'it' if one else 'them'} was"
        " held."
    )
    if said not in told:
        told.add(said)
        logger().warning("%s", said)


def no_such_frame(number: int) -> InputError:
    if not number:
        return InputError("The driving clip has no frames; give at least one.")
    return InputError(
        f"The reference frame {number} lies beyond the end of the driving clip; frames count from"
        " 0."
    )
