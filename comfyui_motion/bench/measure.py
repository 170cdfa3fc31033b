"""How fast: our path against the plain loop, on published-size networks with random but lively
weights.

The plain loop is what the published programs do, on our own modules: a frame at a time, the source
encoded again for each, float32, batch norms computed, K+1 copies of the source sampled, and each
frame waited for. Runs alternate, and medians are compared.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import device_of
from ..errors import InputError
from ..field import reading_by
from ..memory import frames_at_once
from ..model import MotionModel
from ..registry import FAMILIES, build
from ..registry import family as family_of
from ..speed.optimise import optimise
from .lively import clip, lively, pictures

SPEEDS = ("float32", "bfloat16")
CLIP = 8  # frames of a run, or one batch; the plain loop, the same for every frame, takes one
BATCHES = 4  # of a run on a GPU, whose end alone is waited for
STAGES = ("detect", "encode", "motion", "generate")


@dataclass(frozen=True)
class Measured:
    """One way of running one family's network on one machine."""

    family: str
    path: str  # "plain", or a mode of `optimise`
    batch: int
    seconds: float  # a frame, median
    ratio: float  # frames a second over the plain loop's
    gflop: float  # a frame, as this path computes it
    share: float  # of the machine's matrix-multiply peak in the path's dtype
    stages: dict[str, float]  # seconds a frame; encode: a source
    error: float  # largest difference of a pixel to the plain loop's
    psnr: float
    memory: float  # MiB, the process's peak until then (on a GPU the path's own)

    @property
    def rate(self) -> float:
        return 1 / self.seconds


def machine(device: torch.device) -> str:
    """The machine and its threads, by name."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next(
                (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                name,
            )
    return f"{name}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clock(work: Callable[[], Any], device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def peak(dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of large matrix products, the best of ten."""
    size = 8192 if device.type == "cuda" else 1536
    a = torch.randn(size, size, device=device).to(dtype)
    return 2 * size**3 / min(clock(lambda: a @ a, device) for _ in range(10)) / 1e9


def copies_of_the_source(
    picture: Tensor, grid: Tensor, align_corners: bool, padding: str = "zeros"
) -> Tensor:
    """`field.sample` as the published programs do it: a source given once for many grids becomes so
    many pictures first.
    """
    picture = picture.expand(len(grid), -1, -1, -1)
    count = grid.shape[1] // picture.shape[2] if picture.shape[1] == 3 else 1
    options: dict[str, Any] = {"padding_mode": padding, "align_corners": align_corners}
    if count < 2 or grid.shape[1] % picture.shape[2]:
        return F.grid_sample(picture.contiguous(), grid, **options)
    grids = grid.unflatten(1, (count, -1)).flatten(0, 1)
    read = F.grid_sample(picture.repeat_interleave(count, 0), grids, **options)
    return read.unflatten(0, (-1, count)).transpose(1, 2).flatten(2, 3)


class PlainLoop:
    """What the published programs do with a source and each driving frame."""

    def __init__(self, model: MotionModel) -> None:
        self.model = model

    def __call__(self, source: Tensor, driving: Tensor) -> Tensor:
        pictures = []
        with reading_by(copies_of_the_source):
            for frame in driving.split(1):
                points = self.model.detect(frame)
                portrait = self.model.encode(source)
                # waits for the frame
                pictures.append(
                    self.model.generate(portrait, self.model.motion(portrait, points)).cpu()
                )
        return torch.cat(pictures)


class OurPath:
    """The source once, then batches."""

    def __init__(self, model: MotionModel, batch: int) -> None:
        self.model, self.batch = model, batch

    def __call__(self, source: Tensor, driving: Tensor) -> Tensor:
        portrait = self.model.encode(source)
        frames = [
            self.model.generate(portrait, self.model.motion(portrait, self.model.detect(d)))
            for d in driving.split(self.batch)
        ]
        return fetched(frames)


def fetched(batches: list[Tensor]) -> Tensor:
    """On the CPU. From a GPU into memory that it writes by itself, so that only the end is waited
    for.
    """
    device = batches[0].device
    if device.type == "cpu":
        return torch.cat(batches)
    count = sum(len(batch) for batch in batches)
    made = torch.empty(count, *batches[0].shape[1:], dtype=batches[0].dtype, pin_memory=True)
    for part, batch in zip(made.split([len(batch) for batch in batches]), batches, strict=True):
        part.copy_(batch, non_blocking=True)
    wait(device)
    return made


def stages(model: MotionModel, source: Tensor, driving: Tensor) -> dict[str, float]:
    """Seconds of each verb, a frame."""
    device, count = source.device, len(driving)
    portrait, points = model.encode(source), model.detect(driving)
    field = model.motion(portrait, points)
    work: dict[str, Callable[[], Any]] = {
        "detect": lambda: model.detect(driving),
        "encode": lambda: model.encode(source),
        "motion": lambda: model.motion(portrait, points),
        "generate": lambda: model.generate(portrait, field),
    }
    return {
        name: (
            statistics.median(clock(run, device) for _ in range(3))
            / (1 if name == "encode" else count)
        )
        for name, run in work.items()
    }


def gflop(work: Callable[[], Any]) -> float:
    """Of the convolutions and matrix products that PyTorch counts; packed ones it cannot see run
    unpacked meanwhile.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def unpacked(model: MotionModel) -> MotionModel:
    """Convolutions where the counter sees them."""
    from ..speed.fast import Conv

    for module in model.modules():
        if isinstance(module, Conv) and module.packed is not None:
            module.unpack()
    return model


def reset_peak_memory(device: torch.device) -> None:
    """From now on; a process's own peak stays."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@torch.no_grad()
def measure(
    family: str,
    speeds: Sequence[str] = SPEEDS,
    device: torch.device | str = "cpu",
    runs: int = 5,
    batch: int | None = None,
    **values: Any,
) -> Iterable[Measured]:
    """The plain loop and each speed on one family's published network; `values` replace its
    parameters. Raises InputError.
    """
    device = device_of(device)
    model = lively(build(family, **values).to(device))
    batch = batch or frames_at_once(model)
    count = max(CLIP, batch if device.type == "cpu" else BATCHES * batch)
    source, driving = (
        pictures(1, model.size, torch.Generator().manual_seed(3)).to(device),
        clip(count, model.size).to(device),
    )
    paths: dict[str, PlainLoop | OurPath] = {"plain": PlainLoop(model)}
    paths |= {speed: OurPath(optimise(model, speed), batch) for speed in speeds}
    frames = {name: driving[:1] if name == "plain" else driving for name in paths}
    expected = PlainLoop(model)(source, driving[:2])
    results = {name: path(source, frames[name])[:2].clone() for name, path in paths.items()}
    times: dict[str, list[float]] = {name: [] for name in paths}
    peaks = {getattr(torch, name): 0.0 for name in ("float32", *speeds)}
    for _ in range(runs):
        # between runs: the machine may not be ours alone
        peaks = {dtype: max(best, peak(dtype, device)) for dtype, best in peaks.items()}
        for name, path in paths.items():
            times[name].append(
                clock(lambda p=path, n=name: p(source, frames[n]), device) / len(frames[name])
            )
    middle = {name: statistics.median(values) for name, values in times.items()}
    for name, path in paths.items():
        difference = (results[name] - expected[: len(results[name])]).double()
        parts = stages(path.model, source, frames[name][:batch])
        reset_peak_memory(device)
        path(source, frames[name])
        memory = peak_memory(device)
        work = (
            gflop(lambda p=path, n=name: p(source, frames[n]))
            if name == "plain"
            else gflop_of(path, source, frames[name])
        )
        best = peaks[torch.float32 if name == "plain" else getattr(torch, name)]
        yield Measured(
            family=family,
            path=name,
            batch=1 if name == "plain" else batch,
            seconds=middle[name],
            ratio=statistics.median(
                a / b for a, b in zip(times["plain"], times[name], strict=True)
            ),
            gflop=work / len(frames[name]),
            share=work / len(frames[name]) / middle[name] / best,
            stages=parts,
            error=float(difference.abs().max()),
            psnr=float(-10 * torch.log10(difference.square().mean().clamp(min=1e-12))),
            memory=memory,
        )


def gflop_of(path: PlainLoop | OurPath, source: Tensor, driving: Tensor) -> float:
    unpacked(path.model)
    return gflop(lambda: path(source, driving))


def table(found: Sequence[Measured], title: str) -> str:
    """Markdown."""
    head = (
        "| family | path | batch | frames/s | to the plain loop | GFLOP/frame | share of matmul"
        " peak | largest error | PSNR, dB | peak memory, MiB | "
    )
    lines = [
        title,
        "",
        head + " | ".join(f"{stage}, ms" for stage in STAGES) + " |",
        "|---" * (10 + len(STAGES)) + "|",
    ]
    for m in found:
        timed = " | ".join(f"{1000 * m.stages[stage]:.0f}" for stage in STAGES)
        quality = "- | -" if m.path == "plain" else f"{m.error:.1e} | {m.psnr:.0f}"
        lines.append(
            f"| {m.family} | {m.path} | {m.batch} | {m.rate:.2f} | {m.ratio:.2f} | {m.gflop:.1f} |"
            f" {m.share:.0%} | {quality} | {m.memory:.0f} | {timed} |"
        )
    return "\n".join(lines) + "\n"


def plot(found: Sequence[Measured], title: str, path: str) -> None:
    """Frames a second of every path, as bars, to a PNG."""
    from PIL import Image, ImageDraw

    colours = {
        "plain": (150, 150, 150),
        "float32": (60, 110, 190),
        "bfloat16": (220, 120, 40),
        "float16": (90, 160, 80),
    }
    height, left, row = 60 + 26 * len(found), 190, 26
    image = Image.new("RGB", (900, height), "white")
    draw = ImageDraw.Draw(image)
    draw.text((10, 12), title, fill="black")
    widest = max(m.rate for m in found)
    for i, m in enumerate(found):
        top, length = 40 + i * row, (900 - left - 170) * m.rate / widest
        draw.text((10, top + 4), f"{m.family}  {m.path}", fill="black")
        draw.rectangle(
            (left, top, left + length, top + row - 6), fill=colours.get(m.path, (100, 100, 100))
        )
        draw.text(
            (left + length + 8, top + 4), f"{m.rate:.2f} frames/s, {m.ratio:.2f}x", fill="black"
        )
    image.save(path)


def known(family: str) -> str:
    """Raises InputError for a family that has no network."""
    if family not in measurable():
        raise InputError(f"bench measures {', '.join(measurable())}, not {family!r}.")
    return family


def measurable() -> list[str]:
    """The families that are networks, which paint pictures of one size."""
    return [name for name in FAMILIES if not family_of(name).model.any_size]


def usual() -> list[str]:
    """Of those, the ones that are measured where none is named."""
    return [name for name in measurable() if family_of(name).model.benched]
