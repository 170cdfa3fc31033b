"""Batches prepared ahead on threads, in order; and numbers to draw from, one for each purpose and
step.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from .pairs import Pairs, PairSource


def seed_for(seed: int, purpose: str, number: int) -> int:
    """The same on every machine and in every run."""
    return random.Random(f"{seed} {purpose} {number}").getrandbits(60)


def batches(
    pairs: PairSource, numbers: Sequence[int], count: int, workers: int
) -> Iterator[tuple[int, Pairs]]:
    """Each batch with its number.

    Up to twice as many wait as there are workers; without workers each is made when it is asked
    for.
    """
    if not workers:
        yield from ((number, pairs.batch(number, count)) for number in numbers)
        return
    waiting: deque[tuple[int, Future[Pairs]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="pairs") as pool:
        try:
            for number in numbers:
                waiting.append((number, pool.submit(pairs.batch, number, count)))
                if len(waiting) > 2 * workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
