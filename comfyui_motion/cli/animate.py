"""comfyui-motion animate: a picture moves as a clip moves."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..animate import Step, perform
from ..devices import shared_out
from ..doors.words import logger
from ..draw import Samples, below, contact_sheet, draw_field, draw_keypoints
from ..media.clip import Clip
from ..media.picture import read_cutout, read_picture, write_picture
from ..media.video import read_video
from ..memory import frames_at_once
from ..model import MotionModel
from ..numbering import numbered_faces
from ..options import AUTO, Options
from ..passes.options import Options as PassOptions
from ..passes.write import PassWriter
from ..preparing import pixels_made
from ..registry import face_finder
from ..retarget import MODES
from .arguments import box, driver, face, model_options, output_options, reference
from .bar import Bar
from .loading import Ahead, driving_clip, load_model
from .mattes import Mattes
from .out import say
from .split import animate_in_parts
from .writing import check_outputs, writers

PARTS = {
    "head": "the head's turn and place, for models that know a face's parts",
    "expression": "the rest of the face",
    "eyes": "eyes and gaze",
    "mouth": "the mouth",
}
RETARGETED = {
    "close-lips": "start from the picture's face with its lips closed",
    "retarget-eyes": "lids as far open as the driver's, whatever the shape of either's eyes",
    "retarget-lips": "lips as far open as the driver's",
}


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", help="a picture")
    command.add_argument(
        "driving", help="a clip: a film, a GIF, a folder of frames, frames/%%04d.png"
    )
    output_options(command)
    command.add_argument(
        "--mode",
        choices=MODES,
        default="relative",
        help="how the performance is carried over (relative)",
    )
    command.add_argument(
        "--adapt-scale",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit relative motion to the source's size (on)",
    )
    command.add_argument(
        "--strength", type=float, default=1.0, help="1 moves as far as the driver does (1)"
    )
    for part, what in PARTS.items():
        command.add_argument(
            f"--{part}", type=float, default=1.0, metavar="X", help=f"strength of {what} (1)"
        )
    command.add_argument(
        "--reference",
        type=reference,
        metavar="N|best|PICTURE",
        help="the frame relative motion is measured from, or a picture of the driver's neutral face"
        " (for faces the most neutral frame, else 0)",
    )
    command.add_argument(
        "--subject",
        type=box,
        metavar="L,T,R,B",
        help="where in the picture what moves is, in pixels (all of it)",
    )
    command.add_argument(
        "--driving-subject",
        type=box,
        metavar="L,T,R,B",
        help="where the same thing is in the clip (all of it)",
    )
    command.add_argument(
        "--finder",
        choices=FINDERS,
        default="auto",
        type=finder_name,
        help="face: find the face of picture and clip, for those boxes and the best reference"
        " frame;"
        " auto: for models of faces (auto)",
    )
    command.add_argument(
        "--face",
        type=face,
        default=0,
        metavar="N|all",
        help="which face of the picture, from left to right (0: the largest); all: LivePortrait",
    )
    command.add_argument(
        "--driver",
        type=driver,
        action="append",
        default=[],
        metavar="N=CLIP",
        help="another clip for face number N, while the driving clip moves --face of the others;"
        " as often as there are faces (LivePortrait)",
    )
    command.add_argument(
        "--neutral-source",
        action="store_true",
        help="start from the picture's face without its expression (LivePortrait)",
    )
    for name, what in RETARGETED.items():
        command.add_argument(f"--{name}", action="store_true", help=f"{what} (LivePortrait)")
    command.add_argument(
        "--published",
        action="store_true",
        help="as the published code paints: without the picture's own detail (LivePortrait)",
    )
    model_options(command)
    command.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="parts of the clip made at once, over the GPUs or by processes (the whole by one)",
    )
    command.add_argument(
        "--occlusion",
        metavar="OUT",
        help="also write what the source does not show, white, as a clip or a PNG sequence",
    )
    command.add_argument(
        "--passes",
        metavar="DIR",
        help="also write STMap, motion vectors, occlusion, the frames and a matte for each part"
        " there, as EXR",
    )
    command.add_argument(
        "--plate",
        metavar="PICTURE",
        help="what is behind the subject, as a pass of --passes",
    )
    command.add_argument(
        "--preview",
        metavar="SHEET.png",
        help="also write a contact sheet: driver, result, keypoints, field, occlusion, and the"
        " picture's faces with their numbers where it shows several",
    )


def run(
    options: argparse.Namespace, load: Callable[[argparse.Namespace], MotionModel] = load_model
) -> None:
    """The main job; `load` gives the model that the options name."""
    check_outputs(options)
    chosen = chosen_options(options)
    source = read_cutout(options.source)
    clip = driving_clip(options)
    model = load(options)
    at_once = options.batch or frames_at_once(model, pixels_made(model, source, chosen))
    drivers = drivers_of(options, clip, at_once)
    shown = bool(options.preview)
    hides = bool(options.occlusion or options.passes or shown)
    chosen = replace(
        chosen, batch_size=at_once, drivers=drivers, driver_shown=shown, occlusion_shown=hides
    )
    if options.workers is not None:
        devices = shared_out([options.device] if options.device else [], options.workers)
        options.batch = chosen.batch_size
        return animate_in_parts(options, devices)
    samples = Preview(numbered_faces(model, source, chosen)) if options.preview else None
    with ExitStack() as stack, Bar("animating") as bar:
        open_writer = writers(options, clip, stack)
        writer = open_writer(options.output, sound=True)
        masks = open_writer(options.occlusion, sound=False) if options.occlusion else None
        passes, parts, plate = None, Mattes({}), {}
        if options.passes:
            parts = Mattes.found(model, source)
            plate = {"plate": read_picture(options.plate)} if options.plate else {}
            told = PassOptions(fps=clip.fps, overwrite=options.overwrite)
            passes = stack.enter_context(PassWriter(options.passes, told))
        driving = Ahead(clip, chosen.batch_size or 1)
        for step in perform(model, source, driving, chosen, bar):
            writer.write(with_alpha(step))
            if masks:
                masks.write(step.occlusion.expand(-1, 3, -1, -1))
            if passes:
                behind = {n: p.expand(len(step.frames), -1, -1, -1) for n, p in plate.items()}
                passes.write(step.field, {"beauty": with_alpha(step), **behind}, parts.of(step))
            if samples:
                samples.add(step)
            height, width = step.frames.shape[-2:]
            del step  # large frames are not kept beside the next ones
    say(
        f"{options.output}: {writer.count} frames of {width}x{height} at {float(clip.fps):g} a"
        " second"
    )
    if passes:
        say(f"{options.passes}: {len(passes.files)} files of passes")
    if samples:
        write_picture(samples.sheet(), options.preview)
        say(f"{options.preview}: driver, result, keypoints, field, occlusion")


def with_alpha(step: Step) -> Tensor:
    """B 3 H W, or B 4 H W of a cut-out."""
    return step.frames if step.alpha is None else torch.cat([step.frames, step.alpha], dim=1)


def chosen_options(options: argparse.Namespace) -> Options:
    """Of the command line's, those of the performance."""
    names = ("mode", "size", "adapt_scale", "strength", "reference", "fit", "subject")
    names += ("driving_subject", "face", "neutral_source", "published", *PARTS)
    names += ("close_lips", "retarget_eyes", "retarget_lips")
    given = {name: getattr(options, name) for name in names}
    if isinstance(options.reference, Path):
        given |= {"reference": None, "reference_picture": read_picture(options.reference)}
    return Options(batch_size=options.batch, finder=FINDERS[options.finder](), **given)


def drivers_of(options: argparse.Namespace, main: Clip, at_once: int) -> dict[int, Ahead]:
    """The clips of faces that have a driver of their own, at the main one's frame rate."""
    part = options.start, options.stop
    clips = {n: read_video(path, *part, fps=float(main.fps)) for n, path in options.driver}
    return {n: Ahead(clip, at_once) for n, clip in clips.items()}


FINDERS = {"auto": lambda: AUTO, "face": face_finder, "off": lambda: None}


def finder_name(text: str) -> str:
    """Earlier versions had a model of their own for it."""
    if text == "puppets":
        logger().warning("The finder puppets is no more; face finds faces in its place.")
        return "face"
    return text


class Preview:
    """The contact sheet of an animation."""

    def __init__(self, faces: Tensor | None = None) -> None:
        self.samples, self.faces = Samples(), faces

    def add(self, step: Step) -> None:
        height, width = step.frames.shape[-2:]
        small = (192, max(1, round(192 * width / height)))
        shrunk = interpolate(step.frames.cpu(), size=(2 * small[0], 2 * small[1]), mode="area")
        self.samples.add(
            step.driving,
            step.frames,
            draw_keypoints(shrunk * 0.5, step.pose, axes=False),
            draw_field(step.field, *small, reach=0.15),
            step.occlusion.expand(-1, 3, -1, -1),
        )

    def sheet(self) -> Tensor:
        sheet = self.samples.sheet()
        return sheet if self.faces is None else below(contact_sheet([self.faces], 384), sheet)
