"""Anything moved by a field."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..comfyui_motion import InputError, MotionField
from ..comfyui_motion.cutout import warp_cutout
from . import host, sockets
from .convert import EVEN_TOO, Gathered, evened, to_images, to_maps, to_mask, to_pictures
from .film import film_of
from .host import io

EDGES = {"repeat": "border", "black": "zeros"}
EDGE = "What lies beyond the picture's edge: its last pixels again, or nothing."


class WarpImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_WarpImage",
            display_name="Warp Image",
            category="motion/field",
            description=(
                "Any picture, moved by a motion field at its own size: another version of the"
                " source, a texture, a matte painting."
            ),
            inputs=[
                sockets.Field.Input("field", tooltip="The motion, one field per frame."),
                io.Image.Input(
                    "image",
                    tooltip=(
                        "One picture for all frames, or one per frame; of any size, laid over the"
                        " source as a whole."
                    ),
                ),
                io.Combo.Input(
                    "edge", options=list(EDGES), default="repeat", optional=True, tooltip=EDGE
                ),
                even_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images", tooltip="The picture in motion, one per field."
                )
            ],
        )

    @classmethod
    def execute(
        cls, field: MotionField, image: Tensor, edge: str = "repeat", even_size: bool = True
    ) -> io.NodeOutput:
        moved = evened(warped(field, to_pictures(image, "image"), edge), even_size)
        return io.NodeOutput(to_images(moved), ui=film_of(moved))


class WarpMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_WarpMask",
            display_name="Warp Mask",
            category="motion/field",
            description=(
                "A mask drawn on the still source, moved by a motion field: it follows the subject"
                " through the clip."
            ),
            inputs=[
                sockets.Field.Input("field", tooltip="The motion, one field per frame."),
                io.Mask.Input(
                    "mask",
                    tooltip=(
                        "One mask for all frames, or one per frame; of any size, laid over the"
                        " source as a whole."
                    ),
                ),
                io.Combo.Input(
                    "edge", options=list(EDGES), default="black", optional=True, tooltip=EDGE
                ),
                even_input(),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="The mask in motion, one per field.")
            ],
        )

    @classmethod
    def execute(
        cls, field: MotionField, mask: Tensor, edge: str = "black", even_size: bool = True
    ) -> io.NodeOutput:
        moved = evened(warped(field, to_maps(mask), edge), even_size)
        return io.NodeOutput(to_mask(moved), ui=film_of(moved))


def even_input() -> Any:
    return host.advanced(
        io.Boolean.Input("even_size", default=True, optional=True, tooltip=EVEN_TOO)
    )


def warped(field: MotionField, pictures: Tensor, edge: str) -> Tensor:
    """B C H W of as many frames as the field has. Raises InputError."""
    padding = EDGES[edge]
    if len(pictures) not in (1, len(field)):
        raise InputError(
            f"A field of {len(field)} frames moves one picture or {len(field)} of them, not"
            f" {len(pictures)}."
        )
    field = field.of_source()
    warp = warp_cutout if pictures.shape[1] == 4 else MotionField.warp
    moved = Gathered(len(field), host.result_device())
    for batch in host.batches(
        lambda part: warp(field[part], pictures if len(pictures) == 1 else pictures[part], padding),
        len(field),
        16,
    ):
        moved.add(batch)
    return moved.whole


NODES = [WarpImage, WarpMask]
