"""`torch.compile` and CUDA graphs on and off, on one family's network in the fastest mode."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..doors.words import logger
from ..model import MotionModel
from .lively import clip, pictures
from .measure import clock, wait

Row = dict[str, Any]
Way = Callable[[Tensor], Tensor]
GRAPH = "CUDA graph"  # recorded as it is, without a compiler
SEARCH = "cudnn.benchmark"  # cuDNN tries its kernels
WARM = 3
log = logger()


@torch.no_grad()
def ways(model: MotionModel, batch: int, modes: tuple[str, ...], runs: int) -> Iterator[Row]:
    """Frames a second of a batch, in each way against none. What fails (no compiler, no Triton) is
    a row that says so.

    modes  of `torch.compile`, or GRAPH, or SEARCH
    """
    device, plain = model.device, 0.0
    source = pictures(1, model.size, torch.Generator().manual_seed(3)).to(device)
    driving = clip(batch, model.size).to(device)
    portrait = model.encode(source)

    def frames(driving: Tensor) -> Tensor:
        return model.generate(portrait, model.motion(portrait, model.detect(driving)))

    expected = frames(driving)
    for mode in ("none", *modes):
        row: Row = {"mode": mode, "batch": batch}
        try:
            found = _timed(_way(mode, frames, driving), driving, expected, runs)
        except Exception as error:  # compilers fail in every way there is
            told = next(iter(str(error).splitlines()), "") or type(error).__name__
            log.warning("%s does not run here: %s", mode, told)
            yield row | {"failed": told}
            continue
        finally:
            torch.backends.cudnn.benchmark = False
            torch.compiler.reset()
        plain = plain or found["rate"]
        yield row | found | {"ratio": found["rate"] / plain}


def _way(mode: str, frames: Way, driving: Tensor) -> Way:
    if mode == "none":
        return frames
    if mode == SEARCH:
        torch.backends.cudnn.benchmark = True
        return frames
    return _recorded(frames, driving) if mode == GRAPH else torch.compile(frames, mode=mode)


def _recorded(frames: Way, driving: Tensor) -> Way:
    """As a CUDA graph of its own: inputs are copied into their place, then all is played."""
    still = driving.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # warms up outside of the recording
        for _ in range(WARM):
            frames(still)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = frames(still)

    def play(driving: Tensor) -> Tensor:
        still.copy_(driving)
        graph.replay()
        return made

    return play


def _timed(way: Way, driving: Tensor, expected: Tensor, runs: int) -> Row:
    device, begun = driving.device, time.perf_counter()
    for _ in range(WARM):
        made = way(driving)
    wait(device)
    first, off = time.perf_counter() - begun, float((made - expected).abs().max())
    times = [clock(lambda: way(driving), device) for _ in range(max(3, runs))]
    return {"rate": len(driving) / statistics.median(times), "warm_up": first, "error": off}
