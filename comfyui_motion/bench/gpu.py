"""One device measured whole: parity, the defaults end to end, speed, waits, compiled graphs and
training. What `benchmarks/gpu.sh` runs; small enough a plan also runs on a CPU, to prove the
program.

Each section is a process of its own (`bench --gpu --section NAME`), so that one that crashes, or
takes too long, loses nothing of the others; rows are written as they come.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..doors.words import logger
from ..errors import MotionError
from ..model import MotionModel
from ..registry import build, load
from ..speed.optimise import optimise
from .graphs import GRAPH, SEARCH, ways
from .lively import clip, lively, pictures
from .measure import machine, measurable, measure, peak, peak_memory, reset_peak_memory, wait
from .parity import parity
from .report import DEFAULTS, marks
from .waits import waits_of

Row = dict[str, Any]
SECTIONS = {  # in the order of their worth, and the share of the time that each may take
    "parity": 0.14,
    "whole": 0.22,
    "speed": 0.32,
    "waits": 0.08,
    "compiled": 0.16,
    "training": 0.08,
}
LONGEST = 25.0  # seconds that one picture of `whole` is animated for
log = logger()


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long it may take."""

    minutes: float = 12.0
    families: tuple[str, ...] = ("fomm", "mraa", "tpsmm")
    sizes: tuple[int, ...] = (256, 512)
    batches: tuple[int, ...] = (16, 1, 4)
    speeds: tuple[str, ...] = ("float16", "bfloat16", "float32")
    runs: int = 3
    compiled: tuple[str, ...] = (SEARCH, GRAPH, "default", "reduce-overhead")  # see `ways`
    graphs_at: tuple[int, ...] = (16, 1)  # frames at once
    whole: tuple[tuple[int, int], ...] = ((1080, 1920), (512, 512))  # heights and widths
    frames: int = 96
    waiting: tuple[str, ...] = ()  # models looked at for waits; (): all
    training: tuple[str, ...] = ("fomm", "tpsmm")
    training_batch: int = 16
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
            batches=(2,),
            speeds=("bfloat16", "float32"),
            runs=1,
            compiled=("default",),
            graphs_at=(2,),
            whole=((256, 256),),
            frames=8,
            waiting=("fomm", "mraa", "tpsmm", "face", "flow"),
            training_batch=2,
            steps=3,
            parameters={"size": 128},
        )


def report(
    plan: Plan,
    device: torch.device,
    checkout: Path,
    told: Callable[[Row], None],
    sections: tuple[str, ...] = tuple(SECTIONS),
) -> Row:
    """Sections as rows, each as far as its share of the time reaches; what failed, and what was
    left out, stands beside what was measured. `told` is given the report after each row.
    """
    goldens, samples = checkout / "tests" / "golden", checkout / "samples"
    found = begun(plan, device)
    work: dict[str, Callable[[], Iterator[Row]]] = {
        "parity": lambda: parity(goldens, device),
        "whole": lambda: whole(plan, samples, device),
        "speed": lambda: speed(plan, device),
        "waits": lambda: waits(plan, samples, device),
        "compiled": lambda: compiled(plan, device),
        "training": lambda: training(plan, device),
    }
    start, share = time.monotonic(), 0.0
    for name in sections:
        share += SECTIONS[name] if len(sections) > 1 else 1.0
        found[name] = []
        for row in _until(work[name](), start + 60 * plan.minutes * share):
            if row is None:
                found["left_out"].append(name)
                break
            found[name].append(row)
            told(found)
    return finished(found)


def begun(plan: Plan, device: torch.device) -> Row:
    """A report without any section."""
    found: Row = {"machine": machine(device), "device": str(device), "plan": asdict(plan)}
    found["peak"] = {name: peak(getattr(torch, name), device) for name in plan.speeds}
    return found | {"left_out": []} | {name: [] for name in SECTIONS}


def finished(found: Row) -> Row:
    return found | {"marks": marks(found)}


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
        except (MotionError, RuntimeError, OSError, ImportError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            log.warning("A part of the report failed: %s", first)
            yield {"failed": first}
            return


def speed(plan: Plan, device: torch.device) -> Iterator[Row]:
    """Frames a second of the published networks, against the plain loop of the same run."""
    for family in plan.families:
        for size in plan.sizes:
            for batch in plan.batches:
                values = {**plan.parameters, "size": size}
                for one in measure(family, plan.speeds, device, plan.runs, batch, **values):
                    yield {"size": size, "rate": one.rate, **asdict(one)}


def whole(plan: Plan, samples: Path, device: torch.device) -> Iterator[Row]:
    """The defaults end to end on the sample's picture and clip: frames in, frames out, files
    neither read nor written.
    """
    from ..animate import perform

    picture, frames = _sample(samples, plan.frames)
    for name in DEFAULTS:
        model = _default(name, device)
        for height, width in plan.whole:
            source, driving = (_sized(one, height, width) for one in (picture, frames))
            reset_peak_memory(device)
            for count in (min(8, len(driving)), len(driving)):  # the first one warms up
                start, done = time.perf_counter(), 0
                for step in perform(model, source, driving[:count], size="source"):
                    done += len(step.frames)
                    if time.perf_counter() - start > LONGEST:
                        break
                wait(device)
                seconds = time.perf_counter() - start
            yield {
                "model": name,
                "height": height,
                "width": width,
                "frames": done,
                "rate": done / seconds,
                "memory": peak_memory(device),
            }


def _sample(samples: Path, count: int) -> tuple[Tensor, Tensor]:
    """The picture, 1 3 H W, and the first frames of the clip, T 3 H W."""
    from ..media.picture import read_picture
    from ..media.video import read_video

    picture = read_picture(samples / "source.png")[:, :3]
    return picture, read_video(samples / "driving.mp4", stop=count).frames()


def _sized(pictures: Tensor, height: int, width: int) -> Tensor:
    """Scaled to fit, their edges drawn out over the rest. B 3 H W"""
    import torch.nn.functional as F

    scale = min(height / pictures.shape[2], width / pictures.shape[3])
    size = [round(scale * side) for side in pictures.shape[2:]]
    fitted = F.interpolate(pictures, size, mode="bilinear", antialias=True).clamp(0, 1)
    down, across = height - size[0], width - size[1]
    room = (across // 2, across - across // 2, down // 2, down - down // 2)
    return F.pad(fitted, room, mode="replicate")


def _default(name: str, device: torch.device) -> MotionModel:
    """By itself: a face that it does not see is a failure, nothing to be moved by `flow`."""
    model = load(name, device=device)
    if name == "face":
        cast(Any, model).partners = ()
    return model


def waits(plan: Plan, samples: Path, device: torch.device) -> Iterator[Row]:
    """How often the processor waits for the device inside a batch, family by family; last the
    defaults, which see and pose faces with the processor's help.
    """
    for name in plan.waiting or (*measurable(), *DEFAULTS):
        if name in DEFAULTS:
            picture, frames = (_sized(one, 256, 256) for one in _sample(samples, 8))
            yield waits_of(name, _default(name, device), picture, frames)
            continue
        model = optimise(_network(name, plan, device), plan.speeds[0])
        source = pictures(1, model.size, torch.Generator().manual_seed(3))
        yield waits_of(name, model, source, clip(plan.batches[0], model.size))


def _network(family: str, plan: Plan, device: torch.device) -> MotionModel:
    return lively(build(family, **plan.parameters).to(device))


def compiled(plan: Plan, device: torch.device) -> Iterator[Row]:
    """`torch.compile` and CUDA graphs, on and off."""
    speed = "float16" if device.type == "cuda" else "float32"
    for batch in plan.graphs_at if plan.compiled else ():
        model = optimise(_network("fomm", plan, device), speed)
        yield from ways(model, batch, plan.compiled, plan.runs)


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
            stages=(replace(stage, batch=plan.training_batch),),
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
        yield {"recipe": name, "batch": plan.training_batch, "rate": rate}


class Ready:
    """The same pairs for every step."""

    def __init__(self, size: int) -> None:
        self.frames = clip(64, size)

    def batch(self, step: int, count: int) -> Any:
        from ..data.pairs import Pairs

        return Pairs(self.frames[:count], self.frames[-count:])
