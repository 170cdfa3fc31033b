"""The loop between a source and a sink, with its latency measured."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .sinks import QUIT, RESET, Sink
from .sources import Source

RECENT = 60  # frames that the running figures are of
PATIENCE = 0.1  # seconds between two looks at what the viewer asks, where no frame comes


@dataclass(frozen=True)
class Told:
    """How a session went."""

    shown: int
    dropped: int  # came while another was at work, and were passed over for a newer one
    seconds: float
    latency: float  # from a frame's coming to its picture's going out: median, in seconds
    worst: float  # of 95 in a hundred frames

    def __str__(self) -> str:
        rate = self.shown / self.seconds if self.seconds else 0.0
        return (
            f"{self.shown} frames shown in {self.seconds:.1f} s ({rate:.1f} a second),"
            f" {self.dropped} passed over; latency {1000 * self.latency:.0f} ms (median),"
            f" {1000 * self.worst:.0f} ms (95 % are faster)"
        )


class Loop:
    """Takes the newest frame, moves the picture, shows it; never queues."""

    def __init__(self, session: Callable[[Tensor], Tensor], source: Source, sink: Sink) -> None:
        self.session, self.source, self.sink = session, source, sink

    def run(self, seconds: float | None = None) -> Told:
        """Until the source ends, the viewer quits, or so many seconds are over."""
        latencies: list[float] = []
        recent: deque[float] = deque(maxlen=RECENT)
        begun = time.perf_counter()
        while seconds is None or time.perf_counter() - begun < seconds:
            asked = self.sink.asked()
            if asked == QUIT:
                break
            if asked == RESET:
                self.session.reset()
            arrival = self.source.newest.take(PATIENCE, self.source.rate)
            if arrival is None:
                if self.source.newest.over:
                    break
                continue
            frame = self.session(arrival.frame)
            words = self._words(recent)
            self.sink.show(frame, words)
            latencies.append(time.perf_counter() - arrival.at)
            recent.append(latencies[-1])
        spent = time.perf_counter() - begun
        ordered = sorted(latencies) or [0.0]
        worst = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        dropped = self.source.newest.dropped
        return Told(len(latencies), dropped, spent, statistics.median(ordered), worst)

    def _words(self, recent: deque[float]) -> str:
        told = f"{1000 * statistics.median(recent):.0f} ms" if recent else "starting"
        return told + (", nobody seen" if getattr(self.session, "lost", False) else "")
