"""How many pairs of puppets a second are drawn, with their truth: `python benchmarks/puppets.py
[--size 128] [--seconds 10]`.

Each way of sharing the work draws for as long as it is told, the ways alternating; medians of the
rounds are printed. Pairs a processor second are of the drawing alone, whoever does it: what a busy
machine disturbs least.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import cv2
import torch

from comfyui_motion.bench.measure import machine
from comfyui_motion.data.puppets.clips import KINDS, Puppets

BATCH = 16


def draw(kinds: tuple[str, ...], size: int, step: int) -> tuple[int, float]:
    """A batch: how many pairs, and the processor's seconds."""
    cv2.setNumThreads(1)  # workers share the cores, not what each of them calls
    start = time.thread_time()
    return (
        len(Puppets(size, seed=1, kinds=kinds).batch(step, BATCH).source),
        time.thread_time() - start,
    )


def rate(
    executor: Callable[[], Executor],
    workers: int,
    kinds: tuple[str, ...],
    size: int,
    seconds: float,
) -> tuple[float, float]:
    """Pairs a second, and a processor second."""
    with executor() as pool:

        def batches(first: int, count: int) -> list[tuple[int, float]]:
            return list(
                pool.map(draw, [kinds] * count, [size] * count, range(first, first + count))
            )

        batches(0, workers)  # textures that are made once
        start, drawn = time.perf_counter(), []
        while not drawn or time.perf_counter() - start < seconds:
            drawn += batches(workers + len(drawn), 4 * workers)
        wall = time.perf_counter() - start
    pairs = sum(count for count, _ in drawn)
    return pairs / wall, pairs / sum(used for _, used in drawn)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--seconds", type=float, default=10, help="of each measurement (10)")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = options.parse_args()
    size, seconds, workers = chosen.size, chosen.seconds, chosen.workers
    ways: dict[str, tuple[Callable[[], Executor], int, tuple[str, ...]]] = {
        "all kinds, 1 thread": (lambda: ThreadPoolExecutor(1), 1, KINDS),
        f"all kinds, {workers} threads": (lambda: ThreadPoolExecutor(workers), workers, KINDS),
        f"all kinds, {workers} processes": (
            lambda: ProcessPoolExecutor(workers, mp_context=get_context("spawn")),
            workers,
            KINDS,
        ),
        **{f"{kind}, 1 thread": (lambda: ThreadPoolExecutor(1), 1, (kind,)) for kind in KINDS},
    }
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(chosen.rounds):
        for way, (executor, count, kinds) in ways.items():
            found[way].append(rate(executor, count, kinds, size, seconds))
    print(f"{machine(torch.device('cpu'))}, pairs of {size}x{size} in batches of {BATCH}\n")
    print("| | pairs/s | pairs/processor second |\n|---|---|---|")
    for way, rounds in found.items():
        wall, used = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {way} | {wall:.0f} | {used:.0f} |")


if __name__ == "__main__":
    main()
