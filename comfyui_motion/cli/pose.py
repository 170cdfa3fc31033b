"""comfyui-motion pose: a face posed by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..dials import ANGLES, Dials, pose
from ..errors import InputError
from ..media.files import check_target, write_text
from ..media.picture import check_extension, read_picture, write_picture
from ..media.places import check_places
from ..options import Options
from ..preparing import frame_source
from .arguments import box, face, model_options
from .loading import load_model
from .out import say

DIALS = {
    "yaw": "turn to the picture's right",
    "pitch": "nod down",
    "roll": "tilt clockwise",
    "blink": "both eyes shut; below 0 wide open",
    "wink_left": "the subject's own left eye shut",
    "wink_right": "the subject's own right eye shut",
    "brows": "raised; below 0 drawn together",
    "gaze_x": "look to the picture's right",
    "gaze_y": "look down",
    "mouth_open": "the jaw down",
    "mouth_wide": "the corners apart; below 0 together",
    "pucker": "the lips forward",
    "smile": "the corners up; below 0 down",
}


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", help="a picture of a face")
    command.add_argument("-o", "--output", required=True, help="the picture to write")
    command.add_argument("--overwrite", action="store_true", help="replace what is there")
    for name, told in DIALS.items():
        unit = "degrees" if name in ANGLES else "-1 to 1"
        command.add_argument(
            f"--{name.replace('_', '-')}",
            type=float,
            default=0.0,
            metavar="X",
            help=f"{told} ({unit}; 0)",
        )
    command.add_argument(
        "--subject", type=box, metavar="L,T,R,B", help="where the head is, in pixels (it is found)"
    )
    command.add_argument(
        "--face",
        type=face,
        default=0,
        metavar="N",
        help="which face of the picture, from left to right (0: the largest)",
    )
    command.add_argument("--keypoints", metavar="OUT", help="also write the pose as JSON")
    model_options(command)


def run(options: argparse.Namespace) -> None:
    """The picture, posed, at its own size."""
    outputs = {"--output": options.output, "--keypoints": options.keypoints}
    check_places(outputs, {"the picture": options.source, "--model": options.model})
    check_extension(options.output)
    for target in filter(None, outputs.values()):
        check_target(target)
        if Path(target).exists() and not options.overwrite:
            raise InputError(f"{target} is there already; name another target, or --overwrite.")
    dials = Dials.of({name: getattr(options, name) for name in DIALS})
    model = load_model(options)
    asked = Options(subject=options.subject, face=options.face)
    portrait = frame_source(model, read_picture(options.source), asked)
    posed = pose(portrait.portrait, dials, model)
    frames, _ = portrait.render(model.motion(portrait.portrait, posed), "source")
    write_picture(frames, options.output)
    if options.keypoints:
        write_text(options.keypoints, posed.to_json())
    say(options.output)
