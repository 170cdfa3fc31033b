"""Ctrl-C and SIGTERM: the program ends within a second, whatever it is at, and leaves nothing
half-written.

While it begins (PyTorch takes seconds to load) nothing has been made, and the system ends it. Then
either signal interrupts the work, which clears up behind itself. Where that does not come to an end
in time, in the middle of a long computation or an encoder, a thread beside it clears up and ends
the process.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, kill, a terminal that closes
GRACE = 0.6  # seconds that work has to come to an end by itself
WITH_WORKERS = 3.0  # the same where it has workers, which have theirs first
STEP = 0.1  # seconds that are waited at a time
SAID = "stopped; nothing half-written is left."


class Stopped(KeyboardInterrupt):
    """Work interrupted by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number  # as shells have it


@contextmanager
def beginning() -> Iterator[None]:
    """In the block the system answers the signals, at once."""
    with _handled(signal.SIG_DFL):
        yield


@dataclass
class Stopping:
    """`grace`: seconds that work has to end by itself once a signal came. None: it ends itself, as
    training does, which first writes down how far it is. `aloud`: whether it says so. `number`: of
    the signal that came.
    """

    grace: float | None
    aloud: bool = True
    number: int = signal.SIGINT


@contextmanager
def stoppable(grace: float | None, aloud: bool = True) -> Iterator[Stopping]:
    """In the block a signal raises Stopped, and ends the process when the grace is over."""
    stopping = Stopping(grace, aloud)
    try:
        with _handled(_interrupt), _watched(stopping):
            yield stopping
    except Stopped:
        raise
    except KeyboardInterrupt as error:  # of work that heard the signal itself
        raise Stopped(stopping.number) from error


def _interrupt(number: int, _: Any) -> None:
    raise Stopped(number)


@contextmanager
def _handled(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # the program is another's, and the signals too
        return
    before = {number: signal.signal(number, handler) for number in _signals()}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous or signal.SIG_DFL)


@contextmanager
def _watched(stopping: Stopping) -> Iterator[None]:
    """A thread that is told of signals even while this one is inside a computation."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, tell = socket.socketpair()  # pipes cannot be waited for on Windows
    tell.setblocking(False)
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(told, over, stopping), daemon=True)
    before = signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        tell.close()  # which ends the watcher's reading
        watcher.join()
        told.close()


def _signals() -> list[signal.Signals]:
    """Those there are here. A job started with nohup goes on when its terminal closes."""
    known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def _watch(told: socket.socket, over: threading.Event, stopping: Stopping) -> None:
    """The first signal starts the grace, a second one ends it."""
    while number := told.recv(1):
        if number[0] not in _signals():
            continue
        stopping.number = number[0]
        if stopping.grace is None:
            continue
        again = _heard_within(told, stopping.grace)
        if not over.is_set() and (not again or told.recv(1)):
            _end(128 + number[0], stopping.aloud)


def _heard_within(told: socket.socket, seconds: float) -> bool:
    """Whether another signal comes in that time, little by little: while this process is paused,
    as by Ctrl-Z, its work has none of it.
    """
    return any(select.select([told], [], [], STEP)[0] for _ in range(round(seconds / STEP)))


def _end(code: int, aloud: bool) -> None:
    from ..jobs.workers import end_all
    from ..media.files import discard_unfinished
    from .out import complain

    end_all()
    for _ in range(2):  # an encoder may yet be writing
        discard_unfinished()
    if aloud:
        with suppress(Exception):
            complain(SAID)
    os._exit(code)
