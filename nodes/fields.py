"""Fields as values: found in clips, joined, turned round, masked, smoothed."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..comfyui_motion import InputError, MotionField, compose, invert
from ..comfyui_motion.fields.compose import mask_field, strengthen
from ..comfyui_motion.fields.smooth import METHODS, smooth_field
from ..comfyui_motion.fields.video import DETAIL, both_ways
from . import host, sockets
from .convert import to_maps, to_pictures
from .host import io
from .masks import blurred

FIELD = "Any motion field."


def output(tooltip: str, name: str = "field") -> Any:
    return sockets.Field.Output(display_name=name, tooltip=tooltip)


class FieldFromVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_FieldFromVideo",
            display_name="Field from Video",
            category="motion/field",
            description=(
                "The motion of any clip, found pixel by pixel: where every pixel of every frame is"
                " in a reference frame. Style or paint that one frame, warp it by the field, and"
                " repaint only what is hidden."
            ),
            search_aliases=["optical flow", "motion vectors", "track", "propagate"],
            inputs=[
                io.Image.Input("images", tooltip="The clip: its frames in order, of any size."),
                io.Combo.Input(
                    "reads",
                    options=["reference frame", "previous frame"],
                    default="reference frame",
                    tooltip=(
                        "reference frame: every frame reads one and the same, so that nothing"
                        " drifts. previous frame: each reads the one before it."
                    ),
                ),
                io.Int.Input(
                    "reference_frame",
                    default=0,
                    min=-1,
                    max=1_000_000,
                    tooltip="The frame that all others read, counted from 0; -1 is the last.",
                ),
                io.Int.Input(
                    "detail",
                    default=DETAIL,
                    min=64,
                    max=4096,
                    step=64,
                    optional=True,
                    tooltip=(
                        "Longer side, in pixels, of the pictures that motion is found on. More"
                        " follows finer things and takes longer."
                    ),
                ),
            ],
            outputs=[
                output("One field per frame, with what the reference frame does not show."),
                output("The way back: where the reference frame's pixels are in each.", "inverse"),
            ],
        )

    @classmethod
    def execute(
        cls, images: Tensor, reads: str, reference_frame: int, detail: int = DETAIL
    ) -> io.NodeOutput:
        pictures = to_pictures(images)
        progress = host.Progress(len(pictures))
        reference = "previous" if reads == "previous frame" else reference_frame
        there, back = both_ways(pictures, reference, detail, lambda done, total: progress(done))
        device = host.result_device()
        return io.NodeOutput(there.to(device), back.to(device))


class ComposeFields(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_ComposeFields",
            display_name="Compose Fields",
            category="motion/field",
            description=(
                "Two motions as one: pictures are read once, and stay sharp. A performance on top"
                " of a camera move, or one clip's motion after another's."
            ),
            search_aliases=["chain", "concatenate warps", "combine"],
            inputs=[
                sockets.Field.Input("first", tooltip="The motion that happens first."),
                sockets.Field.Input(
                    "then",
                    tooltip="The motion of what the first one made. As many frames, or one for"
                    " all.",
                ),
            ],
            outputs=[output("Both, in the size of the second. Visible is what both show.")],
        )

    @classmethod
    def execute(cls, first: MotionField, then: MotionField) -> io.NodeOutput:
        return io.NodeOutput(compose(first, then))


class InvertField(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_InvertField",
            display_name="Invert Field",
            category="motion/field",
            description=(
                "The way back: where every pixel of the source is in each frame. It stabilises a"
                " clip onto its source, and carries what was painted on a frame back to it."
            ),
            search_aliases=["reverse", "backward", "stabilize", "unwarp"],
            inputs=[sockets.Field.Input("field", tooltip=FIELD)],
            outputs=[
                output("The inverse. Hidden is what of the source a frame does not show: Occlusion"
                " Mask tells.")
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, field: MotionField) -> io.NodeOutput:
        found = list(host.batches(lambda part: invert(field[part]), len(field), 4))
        return io.NodeOutput(MotionField.join(found))


class MaskField(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_MaskField",
            display_name="Mask Field",
            category="motion/field",
            description="Motion only where a mask allows it; all else stays as it is.",
            search_aliases=["limit motion", "freeze", "hold out"],
            inputs=[
                sockets.Field.Input("field", tooltip=FIELD),
                io.Mask.Input(
                    "mask",
                    tooltip=(
                        "1 = moves, 0 = stays, of any size: one for all frames, or one per frame."
                    ),
                ),
                io.Combo.Input(
                    "drawn_on",
                    options=["source", "frame"],
                    default="source",
                    tooltip=(
                        "source: painted on the still picture, the mask goes along with it. frame:"
                        " it lies on the moving frames, and stays."
                    ),
                ),
                io.Float.Input(
                    "feather",
                    default=8.0,
                    min=0.0,
                    max=512.0,
                    step=0.5,
                    optional=True,
                    tooltip=(
                        "Width of the soft edge over which motion fades out, in pixels of the mask."
                    ),
                ),
                io.Boolean.Input(
                    "invert",
                    default=False,
                    optional=True,
                    tooltip="The other way round: what the mask marks stays.",
                ),
            ],
            outputs=[output("The field. What no longer moves counts as visible.")],
        )

    @classmethod
    def execute(
        cls,
        field: MotionField,
        mask: Tensor,
        drawn_on: str,
        feather: float = 8.0,
        invert: bool = False,
    ) -> io.NodeOutput:
        maps = to_maps(mask).float()
        maps = blurred(maps, feather / 2) if feather > 0 else maps
        return io.NodeOutput(mask_field(field, 1 - maps if invert else maps, drawn_on))


class FieldStrength(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_FieldStrength",
            display_name="Field Strength",
            category="motion/field",
            description="Makes a motion smaller or larger, as a whole or frame by frame.",
            search_aliases=["scale motion", "exaggerate", "ease", "amount"],
            inputs=[
                sockets.Field.Input("field", tooltip=FIELD),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="1 leaves it as it is, 0 holds still, 2 moves twice as far, -1 back.",
                ),
                io.String.Input(
                    "per_frame",
                    default="",
                    optional=True,
                    tooltip=(
                        "Numbers that strength is multiplied by, one per frame, or a few that are"
                        " spread evenly over the clip: 0, 1, 1, 0 eases in and out."
                    ),
                ),
            ],
            outputs=[output("The motion at that strength.")],
        )

    @classmethod
    def execute(cls, field: MotionField, strength: float, per_frame: str = "") -> io.NodeOutput:
        return io.NodeOutput(
            strengthen(field, [strength * v for v in spread(per_frame, len(field))])
        )


def spread(text: str, frames: int) -> list[float]:
    """A few numbers over all frames, straight in between; 1 where there are none.
    Raises InputError.
    """
    try:
        values = [float(word) for word in text.replace(",", " ").split()] or [1.0]
    except ValueError:
        raise InputError(f"per_frame is numbers, as in 0, 1, 1, 0; it is {text!r}.") from None
    if len(values) == 1:
        return values * frames
    places = [i * (len(values) - 1) / max(frames - 1, 1) for i in range(frames)]
    pairs = [(min(int(at), len(values) - 2), at) for at in places]
    return [values[low] + (values[low + 1] - values[low]) * (at - low) for low, at in pairs]


class SmoothField(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_SmoothField",
            display_name="Smooth Field",
            category="motion/field",
            description=(
                "Takes the trembling out of a motion over time. Nothing is mixed across a cut."
            ),
            search_aliases=["stabilize", "jitter", "temporal filter", "one euro"],
            inputs=[
                sockets.Field.Input("field", tooltip="The motion of a clip, its frames in order."),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default="gaussian",
                    tooltip=(
                        "gaussian: an average over neighbouring frames. one-euro: smooths what is"
                        " nearly still, and lets fast motion through."
                    ),
                ),
                io.Float.Input(
                    "sigma",
                    default=1.0,
                    min=0.0,
                    max=50.0,
                    step=0.1,
                    optional=True,
                    tooltip="gaussian: its width in frames; 0 changes nothing.",
                ),
                io.Float.Input(
                    "min_cutoff",
                    default=1.0,
                    min=0.01,
                    max=30.0,
                    step=0.05,
                    optional=True,
                    tooltip="one-euro: Hz; lower holds what is nearly still more firmly.",
                ),
                io.Float.Input(
                    "beta",
                    default=0.5,
                    min=0.0,
                    max=20.0,
                    step=0.05,
                    optional=True,
                    tooltip="one-euro: higher lets fast motion through more.",
                ),
                io.Float.Input(
                    "fps",
                    default=25.0,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    optional=True,
                    tooltip="one-euro: frames a second of the clip.",
                ),
            ],
            outputs=[output("The motion, calmer.")],
        )

    @classmethod
    def execute(
        cls,
        field: MotionField,
        method: str,
        sigma: float = 1.0,
        min_cutoff: float = 1.0,
        beta: float = 0.5,
        fps: float = 25.0,
    ) -> io.NodeOutput:
        return io.NodeOutput(smooth_field(field, method, sigma, min_cutoff, beta, fps))


NODES = [FieldFromVideo, ComposeFields, InvertField, MaskField, FieldStrength, SmoothField]
