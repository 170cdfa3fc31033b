"""Options that several commands share, and the kinds of their values."""

from __future__ import annotations

import argparse
import ast
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..framing.canvas import MODES as FITS
from ..options import ALL_FACES
from ..registry import SPEEDS
from ..speed.optimise import MODES as DTYPES
from .out import AT_ONCE, Number


def output_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help=".mp4 .mov .mkv .webm .gif .webp, frames/%%05d.png or a folder/",
    )
    command.add_argument(
        "--codec",
        choices=("h264", "prores", "prores-422", "vp9", "png"),
        help="rather than what the extension says",
    )
    command.add_argument(
        "--crf",
        type=Number(0, 63),
        default=17,
        help="quality of H.264 and VP9, lower is better (17)",
    )
    command.add_argument(
        "--bits", type=int, choices=(8, 16), default=8, help="of PNG sequences (8)"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="let a sequence into a folder that holds files"
    )
    command.add_argument("--no-audio", action="store_true", help="leave the driver's sound out")
    command.add_argument(
        "--fps",
        type=rate,
        help=(
            "frame rate of the result, by holding or dropping frames, never slower or faster (the"
            " driver's, or 25 where it has none)"
        ),
    )
    command.add_argument(
        "--retime",
        action="store_true",
        help="play every driving frame once at --fps: slow or fast motion, without sound",
    )
    command.add_argument(
        "--start",
        type=Number(0),
        default=0,
        help="first driving frame, at the driver's own rate (0)",
    )
    command.add_argument("--stop", type=int, help="driving frame to end before (the clip's end)")


def model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        help="a checkpoint or a known name (face, which comes with the pack; flow where there is"
        " none)",
    )
    command.add_argument(
        "--size",
        choices=("source", "model"),
        default="source",
        help="the picture's own pixels, or the network's (source)",
    )
    command.add_argument(
        "--fit",
        choices=FITS,
        default="stretch",
        help="how pictures come to the network's square (stretch)",
    )
    command.add_argument(
        "--batch", type=AT_ONCE, metavar="N", help="frames at a time (by the device)"
    )
    command.add_argument("--device", help="cpu, cuda, mps ... (a GPU where there is one)")
    command.add_argument(
        "--speed",
        choices=SPEEDS,
        default="float32",
        help="exact: as published; float32: faster, no pixel off by more than 0.001; bfloat16,"
        " float16: faster still, rounded (float32)",
    )
    command.add_argument(
        "--dtype",
        choices=DTYPES,
        help="run the network as published in this number format, without --speed's optimisations;"
        " keypoints and fields stay float32",
    )
    assumption_options(command)


def assumption_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        type=assignment,
        metavar="NAME=VALUE",
        help="a value that the file does not hold, such as head_padding=3; `inspect` lists them",
    )


def reference(text: str) -> int | Path:
    if text == "best":
        return -1
    if text.isdigit():
        return int(text)
    if not Path(text).suffix:
        raise argparse.ArgumentTypeError(f"a frame number, best, or a picture, not {text!r}")
    return Path(text)


def driver(text: str) -> tuple[int, str]:
    number, _, path = text.partition("=")
    if not number.isdigit() or number == "0" or not path:
        raise argparse.ArgumentTypeError(
            f"the number of a face from the left, = and its clip (2=other.mp4), not {text!r}"
        )
    return int(number), path


def rate(text: str) -> Fraction | float:
    """Frames a second; 23.976 and its like are made exact where they are used."""
    try:
        return Fraction(text) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"frames a second, like 25, 23.976 or 30000/1001, not {text!r}"
        ) from None


def face(text: str) -> int:
    if text == "all":
        return ALL_FACES
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"a number from the left, 0 or all, not {text!r}")
    return int(text)


def box(text: str) -> tuple[float, ...]:
    try:
        left, top, right, bottom = (float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"left,top,right,bottom in pixels, not {text!r}") from None
    return left, top, right, bottom


def whole_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT -> (height, width)"""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"WIDTHxHEIGHT in pixels, not {text!r}")
    return int(height), int(width)


def words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"NAME=VALUE, not {text!r}")
    try:
        return name, ast.literal_eval(
            value.capitalize() if value.lower() in ("true", "false") else value
        )
    except (ValueError, SyntaxError):
        return name, value
