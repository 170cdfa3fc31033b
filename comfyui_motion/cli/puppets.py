"""comfyui-motion puppets: draws some, to look at or to train other programs on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .. import (
    InputError,
    MotionField,
    contact_sheet,
    draw_field,
    draw_keypoints,
    write_picture,
    write_video,
)
from ..data.puppets.clips import KINDS, PuppetClip, puppet_clip
from ..media.files import made_folder
from .arguments import words
from .bar import Bar
from .out import Number, say

Progress = Callable[[int, int | None], None]
SHOWN = 8  # moments of each clip on a sheet


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o",
        "--out",
        default="puppets",
        metavar="DIR",
        help="where the clips and the sheet go (puppets)",
    )
    command.add_argument(
        "--kinds",
        type=words,
        default=(),
        metavar="face,...",
        help="of face, figure, animal, shape (all)",
    )
    command.add_argument("--clips", type=Number(1), default=8, metavar="N", help="how many (8)")
    command.add_argument(
        "--frames", type=Number(2, 1_000_000), default=32, metavar="N", help="of each (32)"
    )
    command.add_argument(
        "--size", type=Number(16, 4096), default=256, metavar="N", help="side of the frames (256)"
    )
    command.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the first; the next clip's is one more (0)",
    )


def run(options: argparse.Namespace) -> None:
    """Some puppets to look at."""
    with Bar("drawing") as bar:
        written = draw_clips(
            kinds_of(options.kinds),
            options.seed,
            options.clips,
            options.frames,
            options.size,
            Path(options.out),
            bar,
        )
    say(
        f"{written[0]}: every clip with its joints and its flow; beside it {len(written) - 1} films"
    )


def draw_clips(
    kinds: Sequence[str],
    seed: int,
    clips: int,
    frames: int,
    size: int,
    out: Path,
    progress: Progress,
) -> list[Path]:
    """Clips as films or folders of PNGs beside a sheet of them all.

    Returns what was written, the sheet first. Raises InputError.
    """
    if clips < 1 or frames < 2:
        raise InputError(
            f"Puppets move in 1 clip or more, of 2 frames or more; {clips} of {frames} were asked"
            " for."
        )
    made_folder(out)
    written, rows = [], []
    for number in range(clips):
        clip = puppet_clip(seed + number, frames, size, kinds[number % len(kinds)])
        path = out / f"{clip.kind}-{seed + number}.mp4"
        write_video(path, clip.frames, fps=12)
        written.append(path)
        rows += rows_of(clip)
        progress(number + 1, clips)
    sheet = out / "puppets.png"
    write_picture(contact_sheet(rows, height=128), sheet)
    return [sheet, *written]


def rows_of(clip: PuppetClip) -> list[Tensor]:
    """Moments of a clip with its joints; where each pixel was in the first frame, what that hides
    dark. Each N 3 H W
    """
    chosen = torch.linspace(0, len(clip.frames) - 1, min(SHOWN, len(clip.frames))).round().long()
    frames, grids, visible = clip.frames[chosen], clip.grids[chosen], clip.visible[chosen]
    field = MotionField(grids, (visible,), None, align_corners=True)
    return [
        draw_keypoints(frames, clip.joints[chosen], axes=False),
        draw_field(field, *frames.shape[-2:]),
    ]


def kinds_of(names: Sequence[str]) -> Sequence[str]:
    """The kinds asked for. Raises InputError."""
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise InputError(f"Puppets are {', '.join(KINDS)}, and {', '.join(unknown)} was asked for.")
    return names or KINDS
