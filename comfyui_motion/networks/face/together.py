"""Frames worked on side by side: as many at a time as PyTorch may use cores.

A frame is many small steps, which share cores badly, each by itself; whole frames share them well.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

from ...cores import CORES
from ...media.overlap import prefetch

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What `work` makes of each, in order; what it raises is raised here."""
    items = list(items)
    with CORES.aside() as count:
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
    with CORES.aside() as count:
        if count > 1:
            return alone().submit(work)
    begun: Future[R] = Future()
    try:
        begun.set_result(work())
    except Exception as error:
        begun.set_exception(error)
    return begun


@contextmanager
def ahead(items: Generator[T]) -> Generator[Generator[T]]:
    """The items, each made on a thread of its own while the one before is worked on, where PyTorch
    has several.
    """
    with CORES.aside() as count, closing(prefetch(items, 1) if count > 1 else items) as made:
        yield made


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
