"""Frames worked on side by side: as many at a time as PyTorch may use cores.

A frame is many small steps, which share cores badly, each by itself; whole frames share them well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Threads(threading.local):
    """PyTorch's own threads, put aside while frames are worked on side by side: small steps are
    slower on several, and those wait in each other's way. How many there are is each thread's own.
    """

    users, count = 0, 1

    @contextmanager
    def aside(self) -> Iterator[int]:
        """How many there are; meanwhile there is one, as long as this thread is in here."""
        if not self.users:
            self.count = torch.get_num_threads()
            torch.set_num_threads(1)
        self.users += 1
        try:
            yield self.count
        finally:
            self.users -= 1
            if not self.users:
                torch.set_num_threads(self.count)


THREADS = Threads()


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What `work` makes of each, in order; what it raises is raised here."""
    items = list(items)
    with THREADS.aside() as count:
        if count == 1 or len(items) == 1:
            return [work(item) for item in items]
        return list(pool(count).map(inferring(work), items))


def one_by_one(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The same on this thread."""
    return [work(item) for item in items]


def meanwhile(work: Callable[[], R]) -> Future[R]:
    """`work`, which may itself work side by side, begun on a thread of its own, where PyTorch has
    several; else done.
    """
    with THREADS.aside() as count:
        if count > 1:
            return alone().submit(work)
    begun: Future[R] = Future()
    try:
        begun.set_result(work())
    except Exception as error:
        begun.set_exception(error)
    return begun


@lru_cache
def alone() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="face")


def inferring(work: Callable[[T], R]) -> Callable[[T], R]:
    """The same in inference mode, which is a thread's own."""

    def by_itself(item: T) -> R:
        with torch.inference_mode():
            return work(item)

    return by_itself


@lru_cache
def pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="faces")
