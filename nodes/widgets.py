"""Inputs that several nodes repeat, each told once."""

from __future__ import annotations

from typing import Any

from ..comfyui_motion.framing.canvas import MODES as FITS
from ..comfyui_motion.options import SIZES
from ..comfyui_motion.retarget import MODES
from . import host, sockets
from .host import io

PREVIEW_HEIGHT = (
    "Of the preview, in pixels, so that long clips stay small; the width follows, both even. 0: the"
    " images' own size."
)
OPACITY = "How far the drawing covers the images, where there are any."
PARTS = "Numbers of parts, as in 1, 3-5. 0 is the background; Preview Parts shows which is which."


def mode() -> Any:
    return io.Combo.Input(
        "mode",
        options=list(MODES),
        default="relative",
        tooltip=(
            "relative: the source keeps its own pose and moves as the driver has moved since the"
            " reference frame. absolute: the source takes the driver's pose as it is, for a driver"
            " who is the same person or stands just alike. avd: a small network inside some MRAA"
            " and TPSMM checkpoints adapts the driver's pose to the source's shape."
        ),
    )


def adapt_scale() -> Any:
    return host.advanced(
        io.Boolean.Input(
            "adapt_scale",
            default=True,
            tooltip=(
                "Relative motion is enlarged or reduced as the subject is larger or smaller in the"
                " source than in the clip."
            ),
        )
    )


def strength(optional: bool = False) -> Any:
    return io.Float.Input(
        "strength",
        default=1.0,
        min=0.0,
        max=3.0,
        step=0.05,
        optional=optional,
        tooltip="How far the source moves: 1 as far as the driver does, 0 not at all.",
    )


def reference_frame(optional: bool = False) -> Any:
    return io.Int.Input(
        "reference_frame",
        default=-1,
        min=-1,
        max=1_000_000,
        optional=optional,
        tooltip=(
            "The driving frame that relative motion is measured from, counted from 0: one in which"
            " the driver is posed like the source. -1 finds the best: of faces the most neutral, of"
            " others the one most like the source."
        ),
    )


def reference_image() -> Any:
    return io.Image.Input(
        "reference_image",
        optional=True,
        tooltip=(
            "A picture of the driver's neutral face, framed as the clip is: motion is measured from"
            " it, and reference_frame is not used."
        ),
    )


def further_clips() -> list[Any]:
    """A clip for each face that has a driver of its own, by its number."""
    return [
        host.images_or_video(
            further_name(number),
            optional=True,
            tooltip=(
                f"LivePortrait, several faces: another clip, for face {number} from the left;"
                " driving_images moves the one that face says of the others. To the end of the"
                " shortest."
            ),
        )
        for number in FURTHER
    ]


FURTHER = (2, 3, 4)


def further_name(number: int) -> str:
    return f"driving_images_{number}"


def retargeted() -> list[Any]:
    """What LivePortrait's networks of points are asked of eyes and lips."""
    return [
        host.advanced(
            io.Boolean.Input(name, default=False, optional=True, tooltip=f"LivePortrait: {what}")
        )
        for name, what in RETARGETED.items()
    ]


RETARGETED = {
    "close_lips": "start from the picture's face with its lips closed.",
    "retarget_eyes": "lids as far open as the driver's, whatever the shape of either's eyes.",
    "retarget_lips": "lips as far open as the driver's.",
}


def size() -> Any:
    return io.Combo.Input(
        "size",
        options=list(SIZES),
        default="source",
        tooltip=(
            "source: as large as the source picture, made of its own pixels, moved; the network"
            " paints only what was hidden. model: the network's own pictures, at the size it was"
            " trained for."
        ),
    )


def even_size() -> Any:
    return host.advanced(
        io.Boolean.Input(
            "even_size",
            default=True,
            optional=True,
            tooltip=(
                "Video can only be saved in even sizes: a picture with an odd width or height loses"
                " its last column or row."
            ),
        )
    )


def fit() -> Any:
    return host.advanced(
        io.Combo.Input(
            "fit",
            options=list(FITS),
            default="stretch",
            optional=True,
            tooltip=(
                "How a picture comes to the network's square. stretch: all of it, squeezed."
                " letterbox: all of it, its edges repeated. crop: the middle of it."
            ),
        )
    )


def subject(name: str = "subject", picture: str = "picture") -> Any:
    return io.Mask.Input(
        name,
        optional=True,
        tooltip=(
            f"What moves in the {picture}: paint over it in the Mask Editor, or connect any"
            " segmenter's mask. The model is shown the box round it, and the rest stays still. For"
            " a subject that is small or off the centre; take boxes alike in picture and clip, such"
            " as both round the head. Left open or empty: everywhere."
        ),
    )


def batch_size() -> Any:
    return host.advanced(
        io.Int.Input(
            "batch_size",
            default=0,
            min=0,
            max=512,
            optional=True,
            tooltip="Frames at a time; 0: by the device. Halved when memory runs out.",
        )
    )


def portrait() -> Any:
    return sockets.Portrait.Input(
        "portrait",
        optional=True,
        tooltip=(
            "From Encode Source: the source encoded once for all nodes, with the subject it was"
            " framed by. Connected, it takes the place of source_image."
        ),
    )


def source_alpha() -> Any:
    return io.Mask.Input(
        "source_alpha",
        optional=True,
        tooltip=(
            "For a cut-out: what of the source is transparent, 1 = transparent, as Load Image's"
            " mask is. It moves along, and comes out as alpha."
        ),
    )


def alpha() -> Any:
    return io.Mask.Output(
        display_name="alpha",
        tooltip=(
            "Of a cut-out: what is transparent, 1 = transparent, for Join Image with Alpha and"
            " Image Composite Masked. Else nothing is."
        ),
    )


def preview_height() -> Any:
    return io.Int.Input(
        "height", default=384, min=0, max=8192, optional=True, tooltip=PREVIEW_HEIGHT
    )


def opacity() -> Any:
    return io.Float.Input(
        "opacity", default=0.6, min=0.0, max=1.0, step=0.05, optional=True, tooltip=OPACITY
    )


def of_heads() -> list[Any]:
    """What LivePortrait alone is asked."""
    return [
        host.advanced(
            io.Boolean.Input(
                "neutral_source",
                default=False,
                optional=True,
                tooltip="LivePortrait: start from the picture's face without its expression.",
            )
        ),
        published(),
    ]


def published() -> Any:
    return host.advanced(
        io.Boolean.Input(
            "published",
            default=False,
            optional=True,
            tooltip=(
                "LivePortrait: frames as its authors' program makes them, without the picture's"
                " own detail."
            ),
        )
    )


PARTS_OF_A_FACE = {
    "head": "How far the head turns, nods and shifts",
    "expression": "How far brows, cheeks and nose go",
    "eyes": "How far lids and gaze go",
    "mouth": "How far the mouth goes",
}


def strengths() -> list[Any]:
    """One dial for each part of a face, times strength."""
    return [
        io.Float.Input(
            name,
            default=1.0,
            min=0.0,
            max=3.0,
            step=0.05,
            optional=True,
            tooltip=(
                f"{what}: 1 as far as the driver's, 0 not at all. Of faces alone: the models face"
                " and LivePortrait."
            ),
        )
        for name, what in PARTS_OF_A_FACE.items()
    ]
