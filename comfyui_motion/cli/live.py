"""comfyui-motion live: a picture moves as whoever sits before the camera does."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..errors import InputError
from ..live import live
from ..media.picture import read_picture
from ..streaming.loop import Loop
from ..streaming.sinks import open_sink
from ..streaming.sources import open_source
from .arguments import box
from .loading import load_model
from .out import Number, say


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("portrait", help="a picture")
    command.add_argument(
        "--camera", type=Number(0, 255), default=0, metavar="N", help="its number (0, the first)"
    )
    command.add_argument(
        "--clip", metavar="FILE", help="a clip, played in real time, in place of a camera"
    )
    command.add_argument("--loop", action="store_true", help="play the clip again and again")
    command.add_argument(
        "--to",
        default="window",
        metavar="window|camera|OUT",
        help="a window, a virtual camera (pip install comfyui_motion[live]), or a film (window)",
    )
    command.add_argument(
        "--side", type=Number(16, 8192), default=512, metavar="N", help="longest side (512)"
    )
    command.add_argument("--strength", type=float, default=1.0, help="1 moves as far as you do (1)")
    command.add_argument("--subject", type=box, metavar="L,T,R,B", help="where it is, in pixels")
    command.add_argument("--model", help="a checkpoint or a known name (the default)")
    command.add_argument("--device", help="cpu, cuda, mps ... (a GPU where there is one)")
    command.add_argument(
        "--seconds", type=Number(0.001, whole=False), help="stop after so long (never)"
    )


def run(options: argparse.Namespace) -> None:
    """In a window: r or space, the neutral face is the one of now; q or Escape ends it."""
    if options.side < 16:
        raise InputError(f"--side is 16 or more pixels, and was {options.side}.")
    asked = argparse.Namespace(**vars(options), dtype=None, speed="float32", set=[])
    picture = read_picture(options.portrait)
    picture, box = reduced(picture, options.side, options.subject)
    session = live(load_model(asked), picture, strength=options.strength, subject=box)
    reads = (options.portrait, *([options.clip] if options.clip else []))
    with (
        open_source(options.clip, options.camera, options.loop) as source,
        open_sink(options.to, source.rate, [Path(name) for name in reads]) as sink,
    ):
        told = Loop(session, source, sink).run(options.seconds)
    say(told)


def reduced(
    picture: torch.Tensor, side: int, subject: tuple[float, ...] | None
) -> tuple[torch.Tensor, tuple[float, ...] | None]:
    """The picture no larger than asked, and the box on it."""
    height, width = picture.shape[-2:]
    share = min(1.0, side / max(height, width))
    if share == 1:
        return picture, subject
    size = [max(2, round(length * share / 2) * 2) for length in (height, width)]
    small = torch.nn.functional.interpolate(picture, size, mode="bilinear", antialias=True)
    return small, subject and tuple(value * share for value in subject)
