"""The default model end to end, files read and written: frames a second by size against `flow`, and
where the time of a frame goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..animate import animate
from ..media.picture import read_picture
from ..media.video import VideoWriter, read_video
from ..model import MotionModel
from ..registry import load
from ..retarget import retarget
from .measure import machine, peak_memory

# height, width: as many pixels are made of the picture; and frames of the clip that are used
SIZES = (((512, 512), 148), ((1280, 720), 48), ((2160, 3840), 12))
MODELS = {"face": 3, "flow": 1}  # at how many of the sizes each is measured
BATCH = 8


@dataclass(frozen=True)
class Run:
    """One model over one clip: encoded, looked at, animated, written as H.264."""

    model: str
    height: int
    width: int
    frames: int
    seconds: float
    memory: float  # MiB, the process's peak until then

    @property
    def rate(self) -> float:
        return self.frames / self.seconds


def runs(picture: Path, clip: Path) -> Iterator[Run]:
    """Every model at its sizes, smallest first."""
    for name, most in MODELS.items():
        model = load(name, device="cpu")
        for (height, width), count in SIZES[:most]:
            yield run(name, model, of_size(read_picture(picture), height * width), clip, count)


def of_size(picture: Tensor, pixels: int) -> Tensor:
    """The picture with about so many pixels, even in height and width. 1 3 H W"""
    scale = (pixels / (picture.shape[2] * picture.shape[3])) ** 0.5
    size = [max(2, round(side * scale / 2) * 2) for side in picture.shape[2:]]
    return F.interpolate(picture, size, mode="bilinear", antialias=True).clamp(0, 1)


def run(name: str, model: MotionModel, picture: Tensor, clip: Path, count: int) -> Run:
    frames = read_video(clip, stop=count)
    with TemporaryDirectory() as folder:
        begun = time.perf_counter()
        with VideoWriter(Path(folder) / "made.mp4", frames.fps) as writer:
            for made in animate(model, picture, frames, size="source"):
                writer.write(made)
        seconds = time.perf_counter() - begun
    memory = peak_memory(torch.device("cpu"))
    height, width = picture.shape[2:]
    return Run(name, height, width, writer.count, seconds, memory)


@torch.no_grad()
def steps(picture: Path, clip: Path) -> dict[str, float]:
    """Milliseconds of one core that each step of `face` takes: a frame at the first size, and the
    picture once.
    """
    (height, width), count = SIZES[0]
    source, model = of_size(read_picture(picture), height * width), load("face", device="cpu")
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any], of: int = count) -> Any:
        begun = time.process_time()
        made = work()
        spent[name] = 1000 * (time.process_time() - begun) / of
        return made

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        batches = timed("read", lambda: list(read_video(clip, stop=count).batches(BATCH)))
        portrait = timed("encode the picture, once", lambda: model.encode(source), 1)
        _, script = timed("follow the driver's face", lambda: looked(model, source, batches))
        starts = range(0, len(script), BATCH)
        poses = timed("carry it over", lambda: [carried(script, i, portrait) for i in starts])
        fields = timed("move", lambda: [model.moving(portrait, pose) for pose in poses])
        made = timed("paint", lambda: [model.generate(portrait, field) for field in fields][-1])
        timed("write", lambda: written(made, len(poses)))
    finally:
        torch.set_num_threads(threads)
    return spent


def looked(model: MotionModel, source: Tensor, batches: list[Tensor]) -> Any:
    return model.rehearse(source, batches, None, None)


def carried(script: Any, start: int, portrait: Any) -> Any:
    driver, rest = script.of(slice(start, start + BATCH))
    return retarget(driver, rest, portrait.keypoints)


def written(frames: Tensor, times: int) -> None:
    with TemporaryDirectory() as folder, VideoWriter(Path(folder) / "made.mp4", 25) as writer:
        for _ in range(times):
            writer.write(frames)


def page(found: list[Run], spent: dict[str, float]) -> str:
    """As Markdown."""
    rows = [
        f"| {r.model} | {r.width}x{r.height} | {r.frames} | {r.rate:.1f} | {r.memory:.0f} |"
        for r in found
    ]
    whole = sum(ms for name, ms in spent.items() if "once" not in name)
    shares = [
        f"| {name} | {ms:.1f} | " + (f"{100 * ms / whole:.0f} % |" if "once" not in name else "|")
        for name, ms in spent.items()
    ]
    return "\n".join(
        [
            f"{machine(torch.device('cpu'))}",
            "",
            "| model | picture | frames | frames a second | peak memory, MiB |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "| step of face | milliseconds of one core | share |",
            "|---|---|---|",
            *shares,
            "",
        ]
    )
