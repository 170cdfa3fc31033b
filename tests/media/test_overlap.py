"""Work ahead and behind on threads: the same items in order, errors where they are seen, no thread
left.
"""

from __future__ import annotations

import threading
import time

import pytest

from comfyui_motion.media.overlap import Prefetched, Sink, prefetch


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_prefetch_changes_nothing_but_the_thread():
    made_on = []

    def items():
        for number in range(50):
            made_on.append(threading.current_thread())
            yield number

    assert list(prefetch(items())) == list(range(50))
    assert threading.current_thread() not in made_on


def test_prefetch_stays_at_most_depth_ahead():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    ahead = prefetch(items(), depth=2)
    next(ahead)
    time.sleep(0.1)
    assert len(made) <= 4  # one taken, two waiting, at most one in the hand
    ahead.close()


def test_prefetch_raises_what_the_iterable_raises_after_the_items_before():
    def items():
        yield 1
        raise KeyError("lost")

    ahead = prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="lost"):
        next(ahead)


def test_a_consumer_that_stops_early_closes_the_iterable():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ahead = prefetch(items(), depth=1)
    next(ahead)
    ahead.close()
    assert closed.is_set()


def test_a_prefetch_never_asked_starts_no_thread():
    before = threading.active_count()
    ahead = prefetch(range(3))
    assert threading.active_count() == before
    assert list(ahead) == [0, 1, 2]


def test_a_sink_works_in_order_and_leaving_waits_for_it():
    done = []
    with Sink(lambda item: (time.sleep(0.005), done.append(item))) as sink:
        for number in range(10):
            sink.put(number)
    assert done == list(range(10))


def test_what_the_work_raises_comes_out_of_the_next_put():
    def work(item):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Sink(work, depth=1) as sink:
        for number in range(100):
            sink.put(number)
            time.sleep(0.002)
    assert number < 99


def test_what_the_last_work_raises_comes_out_on_leaving():
    def work(item):
        time.sleep(0.02)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Sink(work) as sink:
        sink.put(0)


def test_a_failing_block_drops_what_still_waits():
    done = []
    with (
        pytest.raises(ValueError, match="mine"),
        Sink(lambda item: (time.sleep(0.05), done.append(item)), depth=8) as sink,
    ):
        for number in range(8):
            sink.put(number)
        raise ValueError("mine")
    assert len(done) < 8


def test_what_is_made_ahead_can_be_gone_through_again():
    ahead = Prefetched([1, 2, 3])
    assert list(ahead) == list(ahead) == [1, 2, 3]
