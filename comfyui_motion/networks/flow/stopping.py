"""Long work without layers, stopped within a fraction of a second.

Hosts hear a user who cancels before every layer that a network goes through, on the thread that
works for them: so the steps of flow go through one, and the threads that it begins look at whether
theirs has been stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch
from torch import nn

A = TypeVar("A")
B = TypeVar("B")
OFTEN = 0.1  # seconds between two looks
_layer, _nothing = nn.Identity(), torch.empty(0)
_thread = threading.local()


def step() -> None:
    """Another step of long work begins; raises where it has been stopped."""
    stopped = getattr(_thread, "stopped", None)
    if stopped is not None and stopped.is_set():
        raise CancelledError
    _layer(_nothing)


def side_by_side(work: Callable[[A], B], given: Iterable[A]) -> Iterator[B]:
    """`work` of each, in order, on as many threads as PyTorch uses; stopped in the midst of it when
    nobody asks for more.
    """
    stopped = threading.Event()

    def heard(one: A) -> B:
        _thread.stopped = stopped
        return work(one)

    threads = ThreadPoolExecutor(torch.get_num_threads())
    try:
        futures: list[Future[B]] = [threads.submit(heard, one) for one in given]
        for future in futures:
            while not wait([future], OFTEN).done:
                step()
            step()
            yield future.result()
    finally:
        stopped.set()
        threads.shutdown(cancel_futures=True)
