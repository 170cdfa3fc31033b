"""How often the processor waits for the device inside a batch."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..model import MotionModel
from .stand_in import DEVICE, StandIn

Row = dict[str, Any]
WAITED = (
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "cudaStreamSynchronize",
    "cudaEventSynchronize",
    "cudaDeviceSynchronize",
)
SHOWN = 6  # places that a row names


@torch.no_grad()
def waits_of(name: str, model: MotionModel, source: Tensor, driving: Tensor) -> Row:
    """Of detect, motion and generate, once all is laid out. On a CPU a stand-in counts, on a GPU
    PyTorch's profiler; `where` names lines.
    """
    if model.device.type != "cuda":
        return _on_stand_in(name, model, source, driving)
    work = _batch(model, source.to(model.device), driving.to(model.device))
    work()
    torch.cuda.synchronize()
    counts = _profiled(work)
    return {"family": name, "waits": sum(counts.values()), "where": _warned(work), **counts}


def _batch(model: MotionModel, source: Tensor, driving: Tensor) -> Callable[[], Tensor]:
    """Of what looks at the whole clip ahead, keypoints are there before the first batch."""
    portrait = model.encode(source)
    ahead = model.detect(driving) if model.looks_ahead else None

    def batch() -> Tensor:
        points = model.detect(driving) if ahead is None else ahead
        return model.generate(portrait, model.motion(portrait, points))

    return batch


def _on_stand_in(name: str, model: MotionModel, source: Tensor, driving: Tensor) -> Row:
    with StandIn() as device:
        work = _batch(model.to(DEVICE), source.to(DEVICE), driving.to(DEVICE))
        work()
        device.waits.clear()
        work()
    counts: Counter[str] = Counter()
    for (what, _), times in device.waits.items():
        counts[what] += times
    where = [f"{place} ({what}) {n}" for (what, place), n in device.waits.most_common(SHOWN)]
    return {"family": name, "waits": device.waited, "where": ", ".join(where), **counts}


def _profiled(work: Callable[[], Any]) -> dict[str, int]:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
    counts = {event.key: event.count for event in profiler.key_averages()}
    told = {key: counts.get(key, 0) for key in WAITED}
    # the profiler itself waits once for the device when it ends
    told["cudaDeviceSynchronize"] = max(0, told["cudaDeviceSynchronize"] - 1)
    return told


def _warned(work: Callable[[], Any]) -> str:
    """Where, as CUDA's own watch on synchronising calls tells."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places = Counter(
        f"{w.filename.rpartition('comfyui_motion/')[2]}:{w.lineno}"
        for w in caught
        if "synchroniz" in str(w.message)
    )
    return ", ".join(f"{place} {count}" for place, count in places.most_common(SHOWN))
