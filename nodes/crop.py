"""The subject cut out, and put back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..comfyui_motion import InputError, paste_back, square_box
from ..comfyui_motion.framing.crop import Place, check_margin, cut, edge_share
from ..comfyui_motion.framing.find import clip_points
from ..comfyui_motion.framing.head import level_place
from ..comfyui_motion.framing.landmarks import head_box
from ..comfyui_motion.framing.turned import cut_turned, inside, paste_turned, share
from . import finding, host, sockets
from .convert import Gathered, evened, to_box, to_images, to_mask, to_pictures
from .host import io

AT_ONCE = 16


class CropSubject(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_CropSubject",
            display_name="Crop Subject (Face)",
            category="motion/crop",
            description=(
                "Cuts the square round a face, or what a mask marks, out of a picture or a clip,"
                " the same square in all frames: for models that want a face to fill it."
            ),
            search_aliases=["face crop", "crop face", "head crop", "bounding box"],
            inputs=[
                io.Image.Input(
                    "images", tooltip="A picture, or the frames of a clip, of any size."
                ),
                io.Float.Input(
                    "margin",
                    default=0.4,
                    min=-0.4,
                    max=4.0,
                    step=0.05,
                    tooltip=(
                        "How much more than the subject, all round: a share of its longer side."
                    ),
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Side of the crops in pixels. 0: the pixels as they are.",
                ),
                finding.finder(),
                io.Mask.Input(
                    "subject",
                    optional=True,
                    tooltip=(
                        "Where the subject is instead: the box round what the mask marks, the same"
                        " in all frames."
                    ),
                ),
                finding.face(),
                io.Boolean.Input(
                    "level",
                    default=False,
                    optional=True,
                    tooltip=(
                        "Turn the square so that the face stands upright in it, as networks for"
                        " faces like it best; Paste Back turns it back."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images", tooltip="The crops, square, one per picture."
                ),
                sockets.Place.Output(
                    display_name="place", tooltip="Where they were cut, for Paste Back."
                ),
                io.Mask.Output(
                    display_name="mask",
                    tooltip=(
                        "The same as a mask over the whole picture, 1 = cut out: also a subject for"
                        " Animate Picture."
                    ),
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        margin: float,
        size: int,
        finder: host.HostedModel | None = None,
        subject: Tensor | None = None,
        face: int = 0,
        level: bool = False,
    ) -> io.NodeOutput:
        pictures = to_pictures(images)
        place = place_of(pictures, margin, finding.chosen(finder, finding.ON), subject, face, level)
        crops = Gathered(len(pictures), host.result_device())

        def cut_out(part: slice) -> Tensor:
            if place.angle:
                side = size or round(place.box[2] - place.box[0])
                return cut_turned(pictures[part], place, side).clamp(0, 1)
            return cut(pictures[part], place.box, size or None)

        for made in host.batches(cut_out, len(pictures), AT_ONCE):
            crops.add(to_images(made))
        return io.NodeOutput(crops.whole, place, to_mask(covered(place)))


def place_of(
    pictures: Tensor, margin: float, finder: Any, subject: Tensor | None, face: int, level: bool
) -> Place:
    """Where to cut: round what the mask marks, else round the face. Raises InputError."""
    height, width = pictures.shape[-2:]
    check_margin(margin)
    box = to_box(subject, pictures)
    if box is not None:
        return Place(square_box(box, margin), height, width)
    points = clip_points(finder, pictures, face)
    if points is None:
        raise InputError(
            "There is no face in the pictures; paint over what is to be cut out, and connect the"
            " mask."
        )
    if level:
        return level_place(points, margin, height, width)
    return Place(square_box(head_box(points), margin), height, width)


def covered(place: Place, feather: float = 0.0) -> Tensor:
    """How far each pixel of the picture is the crop's. 1 1 H W"""
    if not place.angle:
        return edge_share(place.box, place.height, place.width, feather)
    whole = (0, 0, place.width, place.height)
    return share(inside(place, whole, torch.zeros(1)), feather / (place.box[2] - place.box[0]))


class PasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_PasteBack",
            display_name="Paste Back",
            category="motion/crop",
            description=(
                "Puts crops, moved or painted, back where they were cut from, with a soft edge."
            ),
            search_aliases=["uncrop", "composite", "stitch"],
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip=(
                        "What they were cut from: one picture for all crops, or one per crop. It"
                        " may have been enlarged since."
                    ),
                ),
                io.Image.Input(
                    "crops",
                    tooltip=(
                        "Square pictures of any size: the crops, animated. One for all images, or"
                        " one per image."
                    ),
                ),
                sockets.Place.Input("place", tooltip="From Crop Subject."),
                io.Float.Input(
                    "feather",
                    default=16.0,
                    min=0.0,
                    max=1024.0,
                    step=1.0,
                    tooltip="Pixels over which the crops fade in at their edges.",
                ),
                host.advanced(
                    io.Boolean.Input(
                        "even_size",
                        default=True,
                        optional=True,
                        tooltip=(
                            "A picture with an odd width or height loses its last column or row,"
                            " for video can only be saved in even sizes."
                        ),
                    )
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The whole pictures."),
                io.Mask.Output(display_name="mask", tooltip="How far each pixel is the crop's."),
            ],
        )

    @classmethod
    def execute(
        cls, images: Tensor, crops: Tensor, place: Place, feather: float, even_size: bool = True
    ) -> io.NodeOutput:
        whole, pieces = to_pictures(images), to_pictures(crops, "crops")
        total = max(len(whole), len(pieces))
        if len(whole) not in (1, total) or len(pieces) not in (1, total):
            raise InputError(
                f"There are {len(whole)} images and {len(pieces)} crops; there must be as many, or"
                " one of either."
            )
        height, width = whole.shape[-2:]
        place = Place(place.on(height, width), height, width, place.angle)
        pasted = Gathered(total, host.result_device())

        def paste(part: slice) -> Tensor:
            under, over = (
                pictures if len(pictures) == 1 else pictures[part] for pictures in (whole, pieces)
            )
            if place.angle:
                back = paste_turned(under, over, place, feather / (place.box[2] - place.box[0]))
            else:
                back = paste_back(under, over, place.box, feather)
            return back.expand(part.stop - part.start, -1, -1, -1)

        for made in host.batches(paste, total, AT_ONCE):
            pasted.add(to_images(evened(made, even_size)))
        return io.NodeOutput(pasted.whole, to_mask(evened(covered(place, feather), even_size)))


NODES = [CropSubject, PasteBack]
