"""comfyui-motion passes: a field, or a clip's own motion, for compositors."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import torch

from ..field import MotionField
from ..fields.files import FIELD, load_field
from ..fields.stmap import V
from ..fields.video import DETAIL, field_from_video
from ..media.picture import read_picture
from ..media.places import check_folder
from ..media.video import read_video
from ..passes.maps import COLOURS, PASSES
from ..passes.options import FORMATS
from ..passes.read import CLIP_OF_MAPS, read_stmap
from ..passes.write import write_passes
from .arguments import rate, whole_size, words
from .bar import Bar
from .out import Number, say


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "source",
        help="a field (.safetensors), an STMap (.exr, or the .json of passes), or a clip, whose own"
        " motion is found",
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder for the files"
    )
    command.add_argument("--frames", metavar="CLIP", help="pictures of the pass beauty")
    command.add_argument("--plate", metavar="PICTURE", help="the clean background, as a pass")
    command.add_argument(
        "--matte",
        action="append",
        default=[],
        metavar="NAME=CLIP",
        help="a matte, white on black, as the pass NAME; again for more",
    )
    command.add_argument(
        "--passes",
        type=words,
        metavar="stmap,...",
        help=f"some of {', '.join(PASSES)} (all there is)",
    )
    command.add_argument("--name", default="motion", help="of the files: NAME.1001.exr (motion)")
    command.add_argument("--first", type=Number(0), default=1001, metavar="N", help="number (1001)")
    command.add_argument("--fps", type=rate, help="frames a second (the clip's, or 25)")
    command.add_argument(
        "--size",
        type=whole_size,
        metavar="WxH",
        help="of the passes (the frames', or the field's own)",
    )
    command.add_argument(
        "--format", choices=tuple(FORMATS), default="exr", help="of the files (exr)"
    )
    command.add_argument(
        "--v", choices=V, default="up", help="which way maps and vectors grow (up)"
    )
    command.add_argument(
        "--colour", choices=tuple(COLOURS), default="linear", help="of pictures in EXR (linear)"
    )
    command.add_argument(
        "--reach",
        type=float,
        metavar="PX",
        help="vectors as 0.5 + vector / (2 PX), as PNG needs them (in pixels)",
    )
    command.add_argument(
        "--one-file-a-pass", action="store_true", help="for programs that read one layer of an EXR"
    )
    command.add_argument("--overwrite", action="store_true", help="replace files of that name")
    command.add_argument(
        "--reference",
        default="0",
        metavar="N|previous",
        help="of a clip: the frame that all others read, or the one before each (0)",
    )
    command.add_argument(
        "--detail",
        type=Number(16, 16384),
        default=DETAIL,
        metavar="PX",
        help=f"of a clip: longer side of the pictures that motion is found on ({DETAIL})",
    )


def run(options: argparse.Namespace) -> None:
    """Find or read the field, and write its passes."""
    check_folder(options.output, options.name, inputs_of(options))
    field, found_in, fps = source_of(options)
    frames: Iterable[torch.Tensor] | torch.Tensor | None = found_in
    if options.frames:
        frames = clip = read_video(options.frames)
        fps = fps or clip.fps
    mattes = dict(matte(text) for text in options.matte)
    with Bar("writing passes") as bar:
        written = write_passes(
            options.output,
            field,
            frames,
            plate=read_picture(options.plate) if options.plate else None,
            mattes=mattes,
            passes=options.passes,
            name=options.name,
            start=options.first,
            fps=options.fps if options.fps is not None else fps or 25,
            size=options.size,
            v=options.v,
            colour=options.colour,
            reach=options.reach,
            format=options.format,
            one_file_a_pass=options.one_file_a_pass,
            overwrite=options.overwrite,
            progress=bar,
        )
    say(f"{options.output}: {len(written)} files, {written[-1].name} tells what they hold")


def source_of(
    options: argparse.Namespace,
) -> tuple[MotionField, torch.Tensor | None, Fraction | None]:
    """The field, the frames it was found in and their rate, or None."""
    path = Path(options.source)
    if path.suffix.lower() == FIELD:
        return load_field(path), None, None
    if path.suffix.lower() in CLIP_OF_MAPS:
        return read_stmap(path), None, None
    clip = read_video(path)
    frames = clip.frames()
    reference = options.reference
    reference = int(reference) if reference.lstrip("-").isdecimal() else reference
    with Bar("finding motion") as bar:
        field = field_from_video(frames, reference, options.detail, bar)
    return field, frames, clip.fps


def inputs_of(options: argparse.Namespace) -> dict[str, str | None]:
    """What is read, by what the user calls it."""
    mattes = {f"--matte {text}": text.partition("=")[2] for text in options.matte}
    read = {"the source": options.source, "--frames": options.frames, "--plate": options.plate}
    return {**read, **mattes}


def matte(text: str) -> tuple[str, torch.Tensor]:
    """NAME=CLIP -> the name, and B h w in 0..1."""
    name, _, path = text.partition("=")
    return name, read_video(path).frames().mean(1)
