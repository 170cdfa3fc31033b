"""One clip over several workers: each looks at all of it and makes its part, and the parts are
joined to what one worker would have made.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..animate import perform
from ..errors import InputError
from ..jobs.job import Job
from ..jobs.workers import in_processes
from ..media.clip import Clip
from ..media.encode import film_format
from ..media.files import temporary
from ..media.naming import sequence_pattern
from ..media.picture import read_cutout, to_rgb
from ..media.video import VideoWriter
from .bar import Bar
from .loading import Ahead, driving_clip, load_model
from .out import say
from .writing import writers

OUTPUTS = ("output", "occlusion")
WHOLE = ("passes", "preview")  # outputs that need all frames in one place
END = 1 << 40  # beyond the last frame of any clip


def animate_in_parts(options: argparse.Namespace, devices: list[str]) -> None:
    """What `animate` does, by a worker for each device; options.batch is known. Raises InputError
    where a part failed.
    """
    for name in WHOLE:
        if getattr(options, name):
            raise InputError(f"--{name} is made by one worker; leave --workers out for it.")
    clip, threads = driving_clip(options), max(1, (os.cpu_count() or 1) // len(devices))
    parts = parts_of(clip.len_hint, len(devices), options.batch)
    with scratch_beside(Path(options.output)) as folder, Bar("animating", "part") as bar:
        jobs = [part_job(options, folder, number, part) for number, part in enumerate(parts)]
        work = functools.partial(make_part, options=options, threads=threads)
        for done, outcome in enumerate(in_processes(jobs, work, devices), 1):
            if not outcome.done:
                raise InputError(f"{outcome.name} could not be made: {outcome.message}")
            bar(done, len(jobs))
        join(options, clip, jobs)


def parts_of(frames: int | None, workers: int, batch: int) -> list[tuple[int, int]]:
    """First and stop of each worker's frames, whole batches each: networks round by the batch.

    Raises InputError where the clip does not say how long it is.
    """
    if frames is None:
        raise InputError("This clip does not say how many frames it has; leave --workers out.")
    each = max(1, math.ceil(frames / workers / batch)) * batch
    firsts = range(0, max(frames, 1), each)
    return [(first, first + each if first + each < frames else END) for first in firsts]


@contextmanager
def scratch_beside(target: Path) -> Iterator[Path]:
    """A folder for the parts, on the target's disk, gone at the end. Raises InputError."""
    there = next(folder for folder in target.absolute().parents if folder.is_dir())
    try:
        folder = Path(tempfile.mkdtemp(prefix=".parts-", dir=there))
    except OSError as error:
        raise InputError(f"Nothing can be written beside {target}: {error.strerror}.") from error
    with temporary(folder):
        yield folder


def part_job(options: argparse.Namespace, folder: Path, number: int, part: tuple[int, int]) -> Job:
    made = tuple(folder / f"{number:04d}-{name}" for name in OUTPUTS if getattr(options, name))
    reads = Path(options.source), Path(options.driving)
    return Job(f"part {number + 1}, from frame {part[0]}", reads, made, {"only": part})


def make_part(job: Job, device: str, options: argparse.Namespace, threads: int) -> str:
    """One worker's frames, as PNG of all that the target keeps of their bits and alpha."""
    from .animate import chosen_options, drivers_of, with_alpha  # which calls on this file

    torch.set_num_threads(threads)
    clip = driving_clip(options)
    drivers = drivers_of(options, clip, options.batch)
    chosen = replace(
        chosen_options(options),
        drivers=drivers,
        driver_shown=False,
        occlusion_shown=bool(options.occlusion),
        only=job.values["only"],
    )
    model = load_model(argparse.Namespace(**{**vars(options), "device": device}))
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(VideoWriter(path / "%08d.png", clip.fps, bits=bits, codec="png"))
            for path, bits in zip(job.writes, depths(options), strict=True)
            if path.mkdir() is None
        ]
        driving = Ahead(clip, options.batch)
        transparent = keeps_alpha(options.output, options)
        for step in perform(model, read_cutout(options.source), driving, chosen):
            frames = with_alpha(step) if transparent else to_rgb(with_alpha(step))
            for sink, shown in zip(sinks, (frames, step.occlusion), strict=False):
                sink.write(shown if len(shown[0]) > 1 else shown.expand(-1, 3, -1, -1))
    return job.name


def depths(options: argparse.Namespace) -> list[int]:
    """Bits of each output's frames before it is encoded."""
    return [_depth(getattr(options, name), options) for name in OUTPUTS if getattr(options, name)]


def keeps_alpha(path: str, options: argparse.Namespace) -> bool:
    """Whether a target has room for it: otherwise frames lie on white before they lose bits."""
    if sequence_pattern(path, options.codec) is not None:
        return True
    return bool(film_format(Path(path), options.codec, options.crf).alpha)


def _depth(path: str, options: argparse.Namespace) -> int:
    if sequence_pattern(path, options.codec) is not None:
        return options.bits
    return 16 if film_format(Path(path), options.codec, options.crf).deep else 8


def join(options: argparse.Namespace, clip: Clip, jobs: list[Job]) -> None:
    """The parts, one after the other, into each target."""
    names = [name for name in OUTPUTS if getattr(options, name)]
    with ExitStack() as stack:
        open_writer: Callable[..., Any] = writers(options, clip, stack)
        for place, name in enumerate(names):
            writer = open_writer(getattr(options, name), sound=name == "output")
            for job in jobs:
                for part in sorted(job.writes[place].iterdir()):
                    writer.write(read_cutout(part))
            height, width = read_cutout(part).shape[-2:]
            told = f"{writer.count} frames of {width}x{height} at {float(clip.fps):g} a second"
            say(f"{getattr(options, name)}: {told}")
