"""Reading, computing and writing at the same time: one thread ahead of the work, one behind it.

The codecs release Python's lock, so these threads truly run beside the networks. Queues are short:
memory stays constant.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END = object()


class _Failed:
    """An exception on its way from one thread to the other."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def prefetch(iterable: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, made up to `depth` ahead on a thread of their own.

    What the iterable raises is raised here, after the items before it. The thread ends with the
    iteration, also when the consumer stops early (the iterable is then closed, on its own thread)
    and never starts if nothing is asked for.
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(iterable, ready, stopped), name="prefetch", daemon=True
    )
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        stopped.set()
        # frees the one slot the thread may be waiting for; it then sees that it should stop
        _empty(ready)
        thread.join()


@dataclass(frozen=True)
class Prefetched(Generic[T]):
    """Items made ahead as by `prefetch`, each time that they are gone through."""

    items: Iterable[T]

    def __iter__(self) -> Iterator[T]:
        return prefetch(self.items)


def _fill(iterable: Iterable[Any], ready: queue.Queue[Any], stopped: threading.Event) -> None:
    last: Any = _END
    iterator: Any = None
    try:
        iterator = iter(iterable)
        for item in iterator:
            ready.put(item)
            if stopped.is_set():
                break
    except BaseException as error:
        last = _Failed(error)
    if not stopped.is_set():
        ready.put(last)
    if hasattr(iterator, "close"):
        iterator.close()


def _empty(items: queue.Queue[Any]) -> None:
    while True:
        try:
            items.get_nowait()
        except queue.Empty:
            return


class Sink:
    """Calls `work(item)` for every item put, in order, on a thread of its own; at most `depth`
    items wait.

    Use it in a `with` block: leaving it waits for what is still waiting, or drops it if the block
    failed. What `work` raises is raised by the next `put`, or on leaving.
    """

    def __init__(self, work: Callable[[Any], object], depth: int = 2) -> None:
        self._work = work
        self._waiting: queue.Queue[Any] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._dropping = False
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)

    def put(self, item: Any) -> None:
        self._raise()
        self._waiting.put(item)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not _END:
            if self._dropping or self._error:
                continue  # keep taking, so that nobody waits for room
            try:
                self._work(item)
            except BaseException as error:
                self._error = error

    def _raise(self) -> None:
        if self._error:
            raise self._error

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._dropping = kind is not None
        try:
            self._end()
        except (
            BaseException
        ):  # Ctrl-C while waiting: what the thread works with must not be taken from under it
            self._dropping = True
            self._end()
            raise
        if kind is None:
            self._raise()

    def _end(self) -> None:
        self._waiting.put(_END)
        self._thread.join()
