"""Keypoints, fields and parts, made visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..comfyui_motion import InputError, MotionField
from ..comfyui_motion.controlnet import draw_controlnet_face
from ..comfyui_motion.draw import draw_field, draw_keypoints, draw_parts
from ..comfyui_motion.media.picture import to_rgb
from . import host, sockets, widgets
from .convert import Gathered, resized, to_images, to_pictures
from .film import film_of
from .host import io
from .keypoints import real

STYLES = ["points", "controlnet face"]


class PreviewKeypoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_PreviewKeypoints",
            is_output_node=True,
            display_name="Preview Keypoints",
            category="motion/preview",
            description=(
                "A dot on each point, one colour a point, and two strokes for how its surroundings"
                " turn and stretch."
            ),
            inputs=[
                sockets.Keypoints.Input("keypoints", tooltip="Any keypoints."),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip=(
                        "What to draw on: one picture, or one per set of points. Left open: black."
                    ),
                ),
                io.Boolean.Input(
                    "frames",
                    default=True,
                    optional=True,
                    tooltip="Draw each point's local frame too, where the model has them.",
                ),
                widgets.preview_height(),
                io.Combo.Input(
                    "style",
                    options=STYLES,
                    default=STYLES[0],
                    optional=True,
                    tooltip=(
                        "controlnet face: a face mesh on black, in the colours and line widths that"
                        " face-mesh ControlNets (MediaPipe face) were trained on; set the height to"
                        " that of the picture to be made."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(display_name="preview", tooltip="One picture per set of points.")
            ],
        )

    @classmethod
    def execute(
        cls,
        keypoints: Any,
        images: Tensor | None = None,
        frames: bool = True,
        height: int = 384,
        style: str = STYLES[0],
    ) -> io.NodeOutput:
        points = real(keypoints)
        under = backdrop(images, len(points), height, (512, 512))
        if style == STYLES[1]:
            size = under(slice(0, 1)).shape[-2:]
            return played(
                drawn(lambda part: draw_controlnet_face(points[part], *size), len(points))
            )
        return played(
            drawn(lambda part: draw_keypoints(under(part), points[part], frames), len(points))
        )


class PreviewField(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_PreviewField",
            is_output_node=True,
            display_name="Preview Field",
            category="motion/preview",
            description=(
                "Where each pixel reads from: the hue is the direction, the saturation how far;"
                " what the source does not show is dark."
            ),
            search_aliases=["optical flow", "flow visualization"],
            inputs=[
                sockets.Field.Input("field", tooltip="Any motion field."),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip=(
                        "What to draw on: one picture, or one per field. Left open: the field"
                        " alone."
                    ),
                ),
                widgets.opacity(),
                widgets.preview_height(),
            ],
            outputs=[io.Image.Output(display_name="preview", tooltip="One picture per field.")],
        )

    @classmethod
    def execute(
        cls,
        field: MotionField,
        images: Tensor | None = None,
        opacity: float = 0.6,
        height: int = 384,
    ) -> io.NodeOutput:
        under = backdrop(images, len(field), height, field.size)
        field = field.of_source()
        moved = (
            (field.grid - field.identity(1, *field.size, field.grid).grid).norm(dim=-1).flatten()
        )
        reach = float(
            moved[:: len(moved) // 100_000 + 1].quantile(0.99)
        )  # of the whole clip, or colours would flicker

        def draw(part: slice) -> Tensor:
            pictures = under(part).cpu()
            shown = draw_field(field[part], *pictures.shape[-2:], reach=reach).cpu()
            return shown if images is None else torch.lerp(pictures, shown, opacity)

        return played(drawn(draw, len(field)))


class PreviewParts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_PreviewParts",
            is_output_node=True,
            display_name="Preview Parts",
            category="motion/preview",
            description="Each part in a colour of its own.",
            inputs=[
                sockets.Parts.Input("parts", tooltip="From Segment Parts."),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip=(
                        "What to draw on: one picture, or one per segmentation. Left open: black."
                    ),
                ),
                widgets.opacity(),
                widgets.preview_height(),
            ],
            outputs=[
                io.Image.Output(display_name="preview", tooltip="One picture per segmentation.")
            ],
        )

    @classmethod
    def execute(
        cls, parts: Tensor, images: Tensor | None = None, opacity: float = 0.6, height: int = 384
    ) -> io.NodeOutput:
        under = backdrop(images, len(parts), height, parts.shape[-2:])
        opacity = 1.0 if images is None else opacity
        return played(drawn(lambda part: draw_parts(parts[part], under(part), opacity), len(parts)))


def played(images: Tensor) -> io.NodeOutput:
    """Drawings B H W 3, which also play on the node."""
    return io.NodeOutput(images, ui=film_of(to_pictures(images)))


def backdrop(
    images: Tensor | None, total: int, height: int, own: tuple[int, ...]
) -> Callable[[slice], Tensor]:
    """part → the pictures to draw on, B 3 H W of that height: the images, or black of the aspect of
    `own`. Raises InputError.
    """
    if images is None:
        black = torch.zeros(1, 3, *even_size(own, height or own[0]))
        return lambda part: black.expand(part.stop - part.start, -1, -1, -1)
    pictures = to_pictures(images)
    if len(pictures) not in (1, total):
        raise InputError(
            f"There are {total} frames to draw; give one image or {total}, not {len(pictures)}."
        )
    size = even_size(pictures.shape[-2:], height) if height else pictures.shape[-2:]

    def under(part: slice) -> Tensor:
        chosen = resized(to_rgb(pictures if len(pictures) == 1 else pictures[part]), *size)
        return chosen.expand(part.stop - part.start, -1, -1, -1)

    return under


def even_size(size: tuple[int, ...], height: int) -> tuple[int, int]:
    """Of that height and the same aspect, both even."""
    return 2 * max(1, round(height / 2)), 2 * max(1, round(size[1] * height / size[0] / 2))


def drawn(draw: Callable[[slice], Tensor], total: int) -> Tensor:
    """The drawings of all frames. B H W 3"""
    images = Gathered(total, host.result_device())
    for pictures in host.batches(draw, total, 16):
        images.add(to_images(pictures))
    return images.whole


NODES = [PreviewKeypoints, PreviewField, PreviewParts]
