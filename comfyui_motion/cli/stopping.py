"""Being told to stop (Ctrl-C, kill, a closed terminal): the work ends as if it had failed, which
takes its temporary files away, and within a second whatever it was doing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ..media.files import discard_unfinished

SAID = "comfyui-motion: stopped; nothing half-written is left."
PATIENCE = 0.8  # seconds


class Stopped(KeyboardInterrupt):
    """By a signal of that number."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """In the block, a signal to stop raises Stopped; if that is not heard within a second, for the
    work is in the middle of something long, or when the signal comes again, the process ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not for other threads to take
        return
    hurry = threading.Event()  # set: no more need to

    def told(number: int, frame: FrameType | None) -> None:
        for known in kinds:
            signal.signal(known, lambda number, frame: _end(number))
        threading.Thread(target=_end_late, args=(number, hurry), daemon=True).start()
        raise Stopped(number)

    kinds = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if _has(name)]
    before = {number: signal.signal(number, told) for number in kinds}
    try:
        yield
    finally:
        hurry.set()
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _has(name: str) -> bool:
    """A job started with nohup goes on when its terminal closes."""
    number = getattr(signal, name, None)
    return number is not None and signal.getsignal(number) is not signal.SIG_IGN


def _end_late(number: int, hurry: threading.Event) -> None:
    if not hurry.wait(PATIENCE):
        _end(number)


def _end(number: int) -> None:
    discard_unfinished()
    with suppress(OSError, ValueError):
        print(SAID, file=sys.stderr, flush=True)
    os._exit(128 + number)
