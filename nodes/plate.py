"""What is behind the subject, and what Wan Animate is given of a driving clip."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..comfyui_motion import InputError
from ..comfyui_motion.diffusion.wan import FACE, blocks, face_crops, whose_face_it_is
from ..comfyui_motion.framing.find import find_subject
from ..comfyui_motion.framing.plate import clean_plate
from ..comfyui_motion.media.picture import to_rgb
from . import finding, host
from .checks import affordable
from .clips import Range, moving, range_inputs
from .convert import resized, to_images, to_maps, to_mask, to_pictures
from .film import film_of
from .host import io
from .masks import grown

CATEGORY = "motion/diffusion"
BEHIND = ["clean plate", "black"]
AT_ONCE = 8


class CleanPlate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_CleanPlate",
            display_name="Clean Plate",
            category="motion/field",
            description=(
                "A clip with its subject taken out: where other frames show what is behind, it is"
                " theirs, also while the camera moves; the rest goes on from around. For"
                " compositing, and as the background of what is generated."
            ),
            search_aliases=["remove subject", "background plate", "inpaint video"],
            inputs=[
                io.Image.Input("images", tooltip="The clip, or a still picture."),
                io.Mask.Input(
                    "mask",
                    tooltip=(
                        "What is to go, 1 = subject, of any size: one mask for all frames, or one"
                        " per frame. Shadows stay unless it marks them."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    tooltip="As many frames; outside the mask they are as they were.",
                )
            ],
        )

    @classmethod
    def execute(cls, images: Tensor, mask: Tensor) -> io.NodeOutput:
        plates = plate_of(to_pictures(images), to_maps(mask))
        return io.NodeOutput(to_images(plates), ui=film_of(plates))


def plate_of(pictures: Tensor, masks: Tensor) -> Tensor:
    progress = host.Progress(len(pictures))
    plates = clean_plate(pictures, masks, lambda done, total: progress(done))
    return plates.to(host.result_device())


class WanAnimateInputs(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_WanAnimateInputs",
            display_name="Wan Animate Inputs",
            category=CATEGORY,
            description=(
                "What WanAnimateToVideo asks of a driving clip, all of one length: the face as it"
                " goes along, whose pixels are the subject's, and what is behind."
            ),
            search_aliases=["WanAnimateToVideo", "character swap", "face video", "face crop"],
            inputs=[
                host.images_or_video("driving_images", tooltip="The driving clip, of any size."),
                io.Int.Input(
                    "length",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip=(
                        "How many frames come out; the last is held where the clip is shorter. 0:"
                        " all of the clip. WanAnimateToVideo works on 4n + 1 frames at a time, such"
                        " as 77."
                    ),
                ),
                io.Float.Input(
                    "face_size",
                    default=1.3,
                    min=1.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Side of the square round the face, in times of brows to chin.",
                ),
                io.Int.Input(
                    "grow",
                    default=10,
                    min=0,
                    max=512,
                    tooltip="Pixels by which the subject's mask grows.",
                ),
                io.Int.Input(
                    "blocks",
                    default=32,
                    min=1,
                    max=256,
                    tooltip=(
                        "The mask is made of squares of so many pixels, so that the driver's own"
                        " outline does not show through. 1: it keeps the outline."
                    ),
                ),
                io.Combo.Input(
                    "background",
                    options=BEHIND,
                    default=BEHIND[0],
                    tooltip=(
                        "What background_video shows where the subject is. clean plate: what is"
                        " behind. black: nothing, as Wan Animate's own preparation has it."
                    ),
                ),
                io.Mask.Input(
                    "subject",
                    optional=True,
                    tooltip=(
                        "Who is to be replaced, one mask per frame or one for all, from any"
                        " segmenter. Left open: the person whose face it is."
                    ),
                ),
                finding.finder(),
                finding.face(),
                *range_inputs(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="face_video",
                    tooltip="Square crops of 512 pixels that follow the face.",
                ),
                io.Mask.Output(
                    display_name="character_mask", tooltip="1 where the subject is, and is to be."
                ),
                io.Image.Output(
                    display_name="background_video", tooltip="The clip without its subject."
                ),
                io.Image.Output(
                    display_name="images",
                    tooltip="The clip's frames themselves, for whoever finds the pose.",
                ),
                io.Int.Output(display_name="length", tooltip="How many frames each of them has."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        driving_images: Any,
        length: int,
        face_size: float,
        grow: int,
        blocks: int,
        background: str,
        subject: Tensor | None = None,
        finder: host.HostedModel | None = None,
        face: int = 0,
        start_frame: int = 0,
        frame_count: int = 0,
        every_nth: int = 1,
    ) -> io.NodeOutput:
        part = Range(start_frame, frame_count or length, every_nth)
        frames = to_rgb(moving(driving_images, "driving_images", part).whole())
        total = length or len(frames)
        affordable("The result", total, 3, max(FACE**2, frames[0, 0].numel()))
        found = finding.chosen(finder, finding.ON)
        seen = followed(found, frames, face)
        crops = face_crops(frames, seen, face_size)
        masks = subjects(found, frames, seen.points, subject)
        marked = in_blocks(masks, grow, blocks)
        plate = frames * (1 - marked) if background == BEHIND[1] else plate_of(frames, marked)
        held = [lasting(maps, total).to(host.result_device()) for maps in (crops, plate, frames)]
        crops, plate, frames = map(to_images, held)
        mask = to_mask(lasting(marked, total)).to(host.result_device())
        film = film_of(to_pictures(crops))
        return io.NodeOutput(crops, mask, plate, frames, total, ui=film)


def followed(finder: Any, frames: Tensor, face: int) -> Any:
    """The face of that number through the clip."""
    first = find_subject(finder, frames[:1], number=max(face, 0))
    watched = host.Watched(frames)
    return finder.follow(watched, None if first is None else first.points)


def subjects(finder: Any, frames: Tensor, points: Tensor, given: Tensor | None) -> Tensor:
    """Who is to be replaced, B 1 H W: by the masks given, or by the face. Raises InputError."""
    if given is None:
        work = host.batches(lambda part: finder.subject(frames[part]), len(frames), AT_ONCE)
        return whose_face_it_is(torch.cat(list(work)).cpu(), points)
    maps = to_maps(given, "subject")
    if len(maps) < len(frames) and len(maps) != 1:
        raise InputError(
            f"The clip has {len(frames)} frames; subject is one mask or {len(frames)}, not"
            f" {len(maps)}."
        )
    return resized(maps[: len(frames)], *frames.shape[-2:]).expand(len(frames), -1, -1, -1)


def in_blocks(masks: Tensor, grow: int, side: int) -> Tensor:
    return blocks(grown((masks >= 0.5).float(), grow) if grow else masks, side)


def lasting(pictures: Tensor, total: int) -> Tensor:
    """So many of them, the last held. B ..."""
    numbers = torch.arange(total).clamp(max=len(pictures) - 1)
    return pictures if total == len(pictures) else pictures[numbers]


NODES = [CleanPlate, WanAnimateInputs]
