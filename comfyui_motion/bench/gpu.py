"""One device measured whole: parity, speed, compiled graphs, the defaults end to end, training and
waits. What `benchmarks/gpu.sh` runs; small enough a plan also runs on a CPU, to prove the program.
"""

from __future__ import annotations

import logging
import lzma
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError
from ..model import MotionModel
from ..registry import build, load
from ..speed.optimise import optimise
from .lively import clip, lively, pictures
from .measure import clock, machine, measure, peak, peak_memory, wait
from .report import marks

Row = dict[str, Any]
PREDICTIONS = (  # what a recorded case calls the picture of a driver's own pose, in this order
    "align_true.absolute.prediction",
    "align_true.standard.prediction",
    "align_true.animate.prediction",
    "standard.prediction",
    "one.prediction",
    "own.prediction",
)
AS_RECORDED = {  # what no tensor tells, by case
    "monkeynet": {"norm": 10, "clip_variance": 0},
    "mraa": {"head_padding": 3},
    "x2face-small": {"size": 64},
}
DTYPES = ("float32", "float16", "bfloat16")
WAITS = ("aten::_local_scalar_dense", "cudaStreamSynchronize", "cudaDeviceSynchronize")
log = logging.getLogger("comfyui_motion")


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long it may take."""

    minutes: float = 12.0
    families: tuple[str, ...] = ("fomm", "mraa", "tpsmm")
    sizes: tuple[int, ...] = (256, 512)
    batches: tuple[int, ...] = (1, 4, 16)
    speeds: tuple[str, ...] = ("float32", "float16", "bfloat16")
    runs: int = 3
    compiled: tuple[str, ...] = ("default", "reduce-overhead")  # modes of torch.compile
    whole: tuple[tuple[int, int], ...] = ((512, 512), (1080, 1920))  # heights and widths
    frames: int = 96
    training: tuple[str, ...] = ("fomm", "tpsmm")
    steps: int = 6
    parameters: Mapping[str, Any] = field(
        default_factory=dict
    )  # of the networks, instead of theirs

    @classmethod
    def small(cls, minutes: float = 12.0) -> Plan:
        """The same sections where there is no GPU: they prove the program, in minutes."""
        return cls(
            minutes=minutes,
            sizes=(128,),
            batches=(1, 2),
            speeds=("float32", "bfloat16"),
            runs=1,
            compiled=("default",),
            whole=((256, 256),),
            frames=8,
            steps=3,
            parameters={"size": 128},
        )


def report(
    plan: Plan, device: torch.device, goldens: Path, samples: Path, told: Callable[[str], None]
) -> Row:
    """Every section as rows, as far as the time reaches; what failed, and what was left out, stands
    beside what was measured. `told` hears of each row.
    """
    ends = time.monotonic() + 60 * plan.minutes
    found: Row = {"machine": machine(device), "device": str(device), "plan": asdict(plan)}
    found["peak"] = {name: peak(getattr(torch, name), device) for name in plan.speeds}
    sections = {
        "parity": lambda: parity(goldens, device),
        "whole": lambda: whole(plan, samples, device),
        "speed": lambda: speed(plan, device),
        "waits": lambda: waits(plan, device),
        "compiled": lambda: compiled(plan, device),
        "training": lambda: training(plan, device),
    }
    found["left_out"] = []
    for name, rows in sections.items():
        found[name] = []
        for row in _until(rows(), ends):
            if row is None:
                found["left_out"].append(name)
                break
            found[name].append(row)
            told(f"{name}: {row}")
    found["marks"] = marks(found)
    return found


def _until(rows: Iterator[Row], ends: float) -> Iterator[Row | None]:
    """Rows until the time is up, then None. A failure is a row, and ends its section."""
    while True:
        if time.monotonic() > ends:
            yield None
            return
        try:
            yield next(rows)
        except StopIteration:
            return
        except (MotionError, RuntimeError, OSError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            log.warning("A part of the report failed: %s", first)
            yield {"failed": first}
            return


def parity(goldens: Path, device: torch.device, dtypes: Sequence[str] = DTYPES) -> Iterator[Row]:
    """Pictures of the recorded cases, against what was recorded, in each dtype on this device."""
    for folder in recorded_cases(goldens):
        for dtype in dtypes:
            with tempfile.TemporaryDirectory() as scratch:
                model, recorded = load_recorded(
                    folder, Path(scratch), device, getattr(torch, dtype)
                )
                made = _recorded_pose(model, recorded, device).float().cpu()
            wanted = next(recorded[name] for name in PREDICTIONS if name in recorded)
            made = made[1:2] if len(wanted) < len(made) else made  # the second alone is kept
            off = (made - wanted).abs()
            yield {
                "case": folder.name,
                "dtype": dtype,
                "error": float(off.max()),
                "psnr": float(-10 * off.double().square().mean().clamp(min=1e-14).log10()),
            }


def recorded_cases(goldens: Path) -> list[Path]:
    """The folders of those that hold a checkpoint, and the picture of a driver's own pose."""
    from safetensors import safe_open

    found = []
    for file in sorted(goldens.glob("*/io.safetensors")):
        with safe_open(file, "pt") as held:
            known = set(held.keys()).intersection(PREDICTIONS)
        if known and checkpoint_files(file.parent):
            found.append(file.parent)
    return found


def load_recorded(
    folder: Path, scratch: Path, device: torch.device, dtype: torch.dtype
) -> tuple[MotionModel, dict[str, Tensor]]:
    """A case's model as its own file gives it, unpacked into `scratch`, and what was recorded."""
    from safetensors.torch import load_file

    recorded, packed = load_file(folder / "io.safetensors"), checkpoint_of(folder)
    for name, content in packed.items():
        (scratch / name).write_bytes(lzma.decompress(content))
    options: Row = {"dtype": dtype, "speed": "exact"}
    if any(name.startswith("align_true.") for name in recorded):
        options["align_corners"] = True
    options |= AS_RECORDED.get(folder.name, {})
    file = scratch / next(iter(packed)) if len(packed) == 1 else scratch
    return load(file, device=device, **options), recorded


def checkpoint_files(folder: Path) -> list[Path]:
    """One, in parts where it is large, or a set; packed."""
    return sorted(folder.glob("checkpoint.pth.tar.xz*")) or sorted(folder.glob("*.pth.xz"))


def checkpoint_of(folder: Path) -> dict[str, bytes]:
    """A recorded case's files as published, by name, packed."""
    files = checkpoint_files(folder)
    if files and files[0].name.startswith("checkpoint.pth.tar"):
        return {"checkpoint.pth.tar": b"".join(part.read_bytes() for part in files)}
    return {path.stem: path.read_bytes() for path in files}


@torch.no_grad()
def _recorded_pose(model: MotionModel, recorded: Mapping[str, Tensor], device: Any) -> Tensor:
    source = recorded["source"] if "source" in recorded else recorded["sources"][:1]
    portrait = model.encode(source.to(device))
    points = model.detect(recorded["driving"].to(device))
    return model.generate(portrait, model.motion(portrait, points))


def speed(plan: Plan, device: torch.device) -> Iterator[Row]:
    """Frames a second of the published networks, against the plain loop of the same run."""
    for size in plan.sizes:
        for family in plan.families:
            for batch in plan.batches:
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                values = {**plan.parameters, "size": size}
                for one in measure(family, plan.speeds, device, plan.runs, batch, **values):
                    yield {"size": size, "rate": one.rate, **asdict(one)}


def whole(plan: Plan, samples: Path, device: torch.device) -> Iterator[Row]:
    """The defaults end to end on the sample's picture and clip: frames in, frames out, files
    neither read nor written.
    """
    import torch.nn.functional as F

    from ..animate import perform
    from ..media.picture import read_picture
    from ..media.video import read_video

    picture = read_picture(samples / "source.png")[:, :3]
    frames = read_video(samples / "driving.mp4", stop=plan.frames).frames()
    for name in ("face", "flow"):
        model = load(name, device=device)
        for height, width in plan.whole:
            source = F.interpolate(picture, (height, width), mode="bilinear", antialias=True)
            driving = F.interpolate(frames, (height, width), mode="bilinear", antialias=True)
            times = []
            for _ in range(2):  # the first one warms up
                begun = time.perf_counter()
                for step in perform(model, source, driving, size="source"):
                    last = step.frames
                wait(device)
                times.append(time.perf_counter() - begun)
                del last
            yield {
                "model": name,
                "height": height,
                "width": width,
                "rate": len(driving) / times[-1],
                "memory": peak_memory(device),
            }


@torch.no_grad()
def waits(plan: Plan, device: torch.device) -> Iterator[Row]:
    """How often the processor waits for the device inside a batch, as the profiler counts it."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    for family in plan.families:
        model = optimise(_network(family, plan).to(device), plan.speeds[0])
        size = model.size
        source = pictures(1, size, torch.Generator().manual_seed(3)).to(device)
        driving = clip(plan.batches[-1], size).to(device)
        portrait = model.encode(source)

        def batch(model=model, portrait=portrait, driving=driving) -> Tensor:
            return model.generate(portrait, model.motion(portrait, model.detect(driving)))

        batch()
        wait(device)
        with profile(activities=activities) as profiler:
            batch()
        counts = {event.key: event.count for event in profiler.key_averages()}
        told = {name: counts.get(name, 0) for name in WAITS}
        # the profiler itself waits once for the device when it ends
        told["cudaDeviceSynchronize"] = max(0, told["cudaDeviceSynchronize"] - 1)
        yield {"family": family, "waits": sum(told.values()), **told}


def _network(family: str, plan: Plan) -> MotionModel:
    return lively(build(family, **plan.parameters)).eval()


@torch.no_grad()
def compiled(plan: Plan, device: torch.device) -> Iterator[Row]:
    """torch.compile, with CUDA graphs ("reduce-overhead") and without, against no compiling."""
    speed = "float16" if device.type == "cuda" else "float32"
    for batch in plan.batches if plan.compiled else ():
        model = optimise(_network("fomm", plan).to(device), speed)
        source = pictures(1, model.size, torch.Generator().manual_seed(3)).to(device)
        driving = clip(batch, model.size).to(device)
        portrait = model.encode(source)

        def frames(driving: Tensor, model=model, portrait=portrait) -> Tensor:
            return model.generate(portrait, model.motion(portrait, model.detect(driving)))

        ways = {"none": frames} | {mode: torch.compile(frames, mode=mode) for mode in plan.compiled}
        plain = 0.0
        for mode, way in ways.items():
            begun = time.perf_counter()
            for _ in range(3):
                way(driving)
            wait(device)
            first = time.perf_counter() - begun
            runs = [clock(lambda w=way, d=driving: w(d), device) for _ in range(max(3, plan.runs))]
            rate = batch / statistics.median(runs)
            plain = plain or rate
            yield {
                "mode": mode,
                "batch": batch,
                "rate": rate,
                "ratio": rate / plain,
                "warm_up": first,
            }


def training(plan: Plan, device: torch.device) -> Iterator[Row]:
    """Steps a second of the published recipes, on pairs that lie ready; the first two left out."""
    from dataclasses import replace

    from ..training.recipe import read_recipe, size_of
    from ..training.trainer import train

    for name in plan.training:
        recipe = read_recipe(name)
        stage = replace(recipe.stages[0], steps=plan.steps, epochs=0, milestones=(), warmup=0)
        recipe = replace(
            recipe,
            stages=(replace(stage, batch=plan.batches[-1]),),
            parameters={**recipe.parameters, **plan.parameters},
            sheet_every=10**9,
            save_every=10**9,
        )
        ready, times = Ready(size_of(recipe)), []
        with tempfile.TemporaryDirectory() as folder:
            train(
                recipe,
                ready,
                folder,
                device=device,
                progress=lambda _, times=times: times.append(time.perf_counter()),
            )
        wait(device)
        rate = (len(times) - 2) / (times[-1] - times[1])
        yield {"recipe": name, "batch": plan.batches[-1], "rate": rate}


class Ready:
    """The same pairs for every step."""

    def __init__(self, size: int) -> None:
        self.frames = clip(64, size)

    def batch(self, step: int, count: int) -> Any:
        from ..data.pairs import Pairs

        return Pairs(self.frames[:count], self.frames[-count:])
