"""comfyui-motion swap: parts of one picture in place of another's."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from torch import Tensor

from ..errors import InputError
from ..framing.canvas import Fit
from ..framing.portrait import fitted
from ..media.picture import read_picture, to_rgb, write_picture
from ..memory import frames_at_once
from ..model import MotionModel
from ..parts import part_numbers, swap_parts
from .arguments import model_options, output_options
from .bar import Bar
from .loading import Ahead, driving_clip, load_model
from .out import say
from .writing import check_outputs, is_still, writers


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", help="a picture: where the parts come from")
    command.add_argument("driving", metavar="target", help="a picture or a clip: where they go")
    output_options(command)
    command.add_argument(
        "--parts", default="", metavar="1,3-5", help="numbers of the parts; 0 is the background"
    )
    command.add_argument(
        "--mask",
        default="target",
        metavar="target|source|FILE",
        help="whose parts make the mask, or a mask from any segmenter (target)",
    )
    command.add_argument(
        "--mask-of",
        choices=("target", "source"),
        default="target",
        help="whose pixels a mask from a file marks (target)",
    )
    command.add_argument(
        "--hard", action="store_true", help="masks of 0 and 1 instead of soft edges"
    )
    command.add_argument(
        "--strength", type=float, default=1.0, help="0 leaves the target, 1 swaps wholly (1)"
    )
    model_options(command)


def run(options: argparse.Namespace) -> None:
    """Parts of the source in place of the target's, at the target's own size or the network's."""
    check_outputs(options)
    source = read_picture(options.source)
    clip = driving_clip(options)
    mask = options.mask if options.mask in ("target", "source") else read_mask(options.mask)
    parts = part_numbers(options.parts)
    model = load_model(options)
    batch = options.batch or frames_at_once(model)
    whole = model.any_size and options.size != "model"

    def shown(pictures: Tensor) -> Tensor:
        return to_rgb(pictures) if whole else fitted(model, pictures, options.fit)

    portrait = model.encode(shown(source).to(model.device))

    def swapped(frames: Tensor) -> Tensor:
        pictures = swap_parts(
            model,
            portrait,
            shown(frames),
            parts,
            mask,
            options.hard,
            options.strength,
            options.mask_of,
        )
        return (
            pictures
            if whole or options.size == "model"
            else back_to_size(model, pictures, frames, options.fit)
        )

    if is_still(options.output):
        write_picture(swapped(next(iter(clip.batches(1)))), options.output)
        say(options.output)
        return
    with ExitStack() as stack, Bar("swapping") as bar:
        writer = writers(options, clip, stack)(options.output, sound=True)
        for frames in Ahead(clip, batch):
            writer.write(swapped(frames))
            bar(writer.count, clip.len_hint)
    say(f"{options.output}: {writer.count} frames")


def read_mask(path: str) -> Tensor:
    """A mask from a file. 1 1 H W in 0..1. Raises InputError where it marks nothing."""
    mask = read_picture(path).mean(dim=1, keepdim=True)
    if mask.max() < 1 / 255:
        raise InputError(
            f"The mask {path} is black all over, so nothing would be swapped; white marks what is."
        )
    return mask


def back_to_size(model: MotionModel, pictures: Tensor, frames: Tensor, fit: str) -> Tensor:
    """Pictures of the model's size at that of the frames they were made from; what the model was
    not shown stays as it was.
    """
    height, width = frames.shape[-2:]
    plan = Fit.plan(height, width, model.size, fit)
    whole = plan.from_canvas(pictures)
    return whole if plan.whole else frames.to(whole.device).lerp(whole, plan.within_box(whole))
