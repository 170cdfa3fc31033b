"""When frames show: rates, and an even rate out of frames that come at any moment.

A clip is frames with times. What leaves it is even, as films and networks want it: frame n shows
what is on the screen at n / rate, so picture and sound stay together however unevenly the frames
came. Moments are seconds from the clip's first frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from numbers import Real
from statistics import fmean, median
from typing import Any

from ..errors import InputError

MAX_RATE_DENOMINATOR = 100_000
MOST = 1000  # frames a second: faster is no film that anything plays
COMMON = tuple(
    sorted(
        {Fraction(whole) for whole in range(1, 31)}
        | {Fraction(whole) for whole in (48, 50, 60, 72, 90, 100, 120, 144, 240)}
        | {Fraction(whole * 1000, 1001) for whole in (24, 30, 48, 60, 120)}
    )
)


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame as a file has it."""

    moment: float  # seconds from the first frame
    duration: float  # how long it stays, if nothing comes after it
    frame: Callable[[], Any]  # its pixels, worked out when they are wanted: 3 H W


def as_rate(fps: Fraction | float) -> Fraction:
    """Frames per second as an exact fraction: 29.97 and 23.976 are the broadcasters' 30000/1001 and
    24000/1001. Raises InputError for what is no rate: 0, less, no number, above 1000.
    """
    if not isinstance(fps, Real) or not 0 < fps <= MOST:
        raise InputError(f"a frame rate is above 0 and at most {MOST} a second, not {fps}.")
    if isinstance(fps, float):
        for whole in (24, 30, 48, 60, 120):
            if abs(fps - whole / 1.001) < 0.005:
                return Fraction(whole * 1000, 1001)
    rate = Fraction(fps).limit_denominator(MAX_RATE_DENOMINATOR)
    if not rate:
        raise InputError(f"a frame rate of {fps} shows nothing: a frame would stay for days.")
    return rate


def even_rate(
    moments: Sequence[float], declared: Fraction | None, rough: float = 0.0015
) -> Fraction | None:
    """The rate of frames that show at these moments: the one the file declares if they keep to it,
    else that of the median step. None where nothing tells.

    `rough`: how far moments may be off, for many files keep them in thousandths of a second.
    """
    if declared and 0 < declared <= MOST and _keeps_to(moments, declared, rough):
        return declared
    steps = [late - early for early, late in zip(moments, moments[1:], strict=False)]
    steps = [step for step in steps if step > 0]
    if not steps:
        return declared if declared and declared <= MOST else None
    middle = median(steps)
    alike = [step for step in steps if abs(step - middle) <= max(0.25 * middle, rough)]
    return _common(1 / fmean(alike or [middle]))


def _keeps_to(moments: Sequence[float], rate: Fraction, rough: float) -> bool:
    step = float(1 / rate)
    start = moments[0] if moments else 0.0
    within = rough + 0.25 * step
    return len(moments) > 1 and all(
        abs(moment - start - number * step) <= within for number, moment in enumerate(moments)
    )


def _common(rate: float) -> Fraction:
    """The rate in use that lies nearest, if one lies within a three-hundredth; else itself."""
    nearest = min(COMMON, key=lambda known: abs(float(known) - rate))
    if abs(float(nearest) - rate) <= rate / 300:
        return nearest
    return Fraction(min(rate, MOST)).limit_denominator(1000) or Fraction(1, 1000)


def evenly(
    shown: Iterable[Shown], own: Fraction, fps: Fraction, start: int, stop: int | None
) -> Iterator[Any]:
    """What is on the screen at every 1/fps, from frame `start` to before `stop`, counted at the
    clip's own rate; each as Shown.frame gives it.

    Of frames that fall on the same tick, the nearest to it; on a tick without one the last stays.
    """
    begin = start / float(own)
    count = (
        None if stop is None else max(1, math.floor((stop - start) / own * fps + Fraction(1, 2)))
    )
    nearest: Shown | None = None  # to tick `at`
    latest: Shown | None = None  # what is still on the screen at the ticks after it
    at, written, end = 0, 0, 0.0
    for new in shown:
        moment = new.moment - begin
        tick = tick_of(moment, fps)
        if nearest and latest and tick > at:
            last = _least(tick, count)
            yield from _held(nearest, latest, at, last - written)
            written = max(written, last)
            if count is not None and written >= count:
                return
        if nearest is None or tick > at or _nearer(moment, nearest.moment - begin, tick, fps):
            nearest, at = new, tick
        latest = new
        end = max(end, moment + new.duration)
    if nearest and latest:
        total = max(_ticks(end, fps), 1 if at >= 0 else 0)
        yield from _held(nearest, latest, at, _least(total, count) - written)


def _held(nearest: Shown, latest: Shown, at: int, times: int) -> Iterator[Any]:
    """What shows at tick `at`, where that is one of the clip's, then what stays after it."""
    if times > 0 and at >= 0 and nearest is not latest:
        yield nearest.frame()
        times -= 1
    if times > 0:
        yield from repeat(latest.frame(), times)


def in_order(shown: Iterable[Shown], start: int, stop: int | None) -> Iterator[Any]:
    """Every frame of the file once, whenever it shows."""
    for number, new in enumerate(shown):
        if stop is not None and number >= stop:
            return
        if number >= start:
            yield new.frame()


def tick_of(moment: float, fps: Fraction) -> int:
    """The tick nearest to a moment; the earlier of two that are equally near."""
    return math.ceil(moment * fps.numerator / fps.denominator - 0.5 - 1e-6)


def _ticks(seconds: float, fps: Fraction) -> int:
    """How many frames so long a clip has."""
    return math.floor(seconds * fps.numerator / fps.denominator + 0.5 + 1e-6)


def _nearer(moment: float, other: float, tick: int, fps: Fraction) -> bool:
    place = tick / float(fps)
    return abs(moment - place) < abs(other - place) - 1e-9


def _least(tick: int, count: int | None) -> int:
    return tick if count is None else min(tick, count)
