"""Where frames come from in real time: a camera, or a clip that plays as if it were one.

A source keeps the newest frame alone. Whoever is slower than the source misses frames and is never
behind; a frame that has waited for longer than half the time between two is passed over, too, if
the next one comes when it is due. That is the drop policy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, MediaError
from ..media.video import read_video

STALE = 0.5  # of the time between two frames: what has waited for longer is left for the next


@dataclass(frozen=True, eq=False)
class Arrival:
    """One frame."""

    frame: Tensor  # 1 3 H W in 0..1
    at: float  # when it came, on the clock of time.perf_counter
    number: int  # how many came before it


class Newest:
    """A place for one frame: what is put there takes the place of what nobody took."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrival: Arrival | None = None
        self._over: BaseException | bool = False
        self.dropped = 0

    def put(self, arrival: Arrival) -> None:
        with self._changed:
            self.dropped += self._arrival is not None
            self._arrival = arrival
            self._changed.notify()

    def end(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._over = error or True
            self._changed.notify()

    def take(self, patience: float, rate: float | None = None) -> Arrival | None:
        """The newest frame, once there is one. None when the time is up or no more will come.

        `rate`: frames a second that come; then one that has waited for long is left for the next.

        Raises what ended the source.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._arrival is not None or self._over, patience)
            if rate is not None and self._arrival is not None:
                self._wait_for_next(self._arrival, 1 / rate)
            arrival, self._arrival = self._arrival, None
            if arrival is None and isinstance(self._over, BaseException):
                raise self._over
            return arrival

    def _wait_for_next(self, held: Arrival, apart: float) -> None:
        """`apart`: seconds from one frame to the next."""
        waited = time.perf_counter() - held.at
        if STALE * apart < waited < apart:
            late = apart - waited + STALE * apart
            self._changed.wait_for(lambda: self._arrival is not held or self._over, late)

    @property
    def over(self) -> bool:
        with self._changed:
            return bool(self._over) and self._arrival is None


@dataclass(frozen=True, eq=False)
class Source:
    """A running source."""

    newest: Newest
    rate: float  # frames a second that it means to give


@contextmanager
def open_source(clip: str | None, camera: int, loop: bool = False) -> Iterator[Source]:
    """A clip in real time, or a camera. Raises MediaError, InputError."""
    newest, stopped = Newest(), threading.Event()
    if clip is not None:
        played = read_video(clip)
        rate, work = float(played.fps), lambda: _play(played, newest, stopped, loop)
    else:
        device, rate = _camera(camera)
        work = lambda: _film(device, newest, stopped)  # noqa: E731 (the clip's has arguments too)

    def feed() -> None:
        try:
            work()
            newest.end()
        except BaseException as error:
            newest.end(error)

    thread = threading.Thread(target=feed, name="live source", daemon=True)
    thread.start()
    try:
        yield Source(newest, rate)
    finally:
        stopped.set()
        thread.join(5)


def _play(clip: Any, newest: Newest, stopped: threading.Event, loop: bool) -> None:
    begun, number = time.perf_counter(), 0
    while True:
        for frames in clip.batches(1):
            due = begun + number / float(clip.fps)
            if stopped.wait(max(0.0, due - time.perf_counter())):
                return
            newest.put(Arrival(frames, time.perf_counter(), number))
            number += 1
        if not loop:
            return


def _camera(number: int) -> tuple[Any, float]:
    import cv2

    device = cv2.VideoCapture(number)
    if not device.isOpened():
        device.release()
        raise InputError(
            f"There is no camera {number} here, or another program has it; give another number"
            " (--camera), or a clip (--clip)."
        )
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    rate = device.get(cv2.CAP_PROP_FPS)
    return device, rate if 1 <= rate <= 240 else 30.0


def _film(device: Any, newest: Newest, stopped: threading.Event) -> None:
    number = 0
    try:
        while not stopped.is_set():
            there, pixels = device.read()
            if not there:
                raise MediaError("The camera gives no more frames; is it still plugged in?")
            frame = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)[None] / 255
            newest.put(Arrival(frame, time.perf_counter(), number))
            number += 1
    finally:
        device.release()
