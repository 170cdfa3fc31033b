"""Passes for compositors."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..comfyui_motion import MotionField, write_passes
from ..comfyui_motion.fields.stmap import V
from ..comfyui_motion.parts import matte_names
from ..comfyui_motion.passes.maps import COLOURS
from ..comfyui_motion.passes.options import FORMATS
from . import host, sockets
from .convert import to_maps, to_pictures
from .host import io


class SaveMotionPasses(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_SaveMotionPasses",
            display_name="Save Motion Passes",
            category="motion/field",
            description=(
                "The motion as compositors take it: STMap, forward and backward vectors, occlusion,"
                " a matte for each part, the clean plate and the frames, as EXR or PNG sequences."
            ),
            search_aliases=["EXR", "STMap", "motion vectors", "Nuke", "After Effects", "Blender"],
            inputs=[
                sockets.Field.Input("field", tooltip="The motion, one field per frame."),
                io.String.Input(
                    "filename_prefix",
                    default="motion/passes",
                    tooltip=(
                        "Folder and name, within the output folder; every run makes a new folder"
                        " there, so that nothing is overwritten."
                    ),
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip=(
                        "The frames, as the pass beauty; all passes take their size. Left open:"
                        " they are as large as the source."
                    ),
                ),
                io.Image.Input(
                    "plate",
                    optional=True,
                    tooltip="The clean background, as a pass: one for all frames, or one per"
                    " frame.",
                ),
                sockets.Parts.Input(
                    "parts",
                    optional=True,
                    tooltip="From Segment Parts: a matte for each, part_01 and so on.",
                ),
                io.Mask.Input(
                    "matte",
                    optional=True,
                    tooltip="Any mask in motion, as the pass matte: one for all, or one per frame.",
                ),
                io.Float.Input(
                    "fps",
                    default=25.0,
                    min=0.01,
                    max=1000.0,
                    step=0.001,
                    optional=True,
                    tooltip="Frames a second, told in the sidecar.",
                ),
                io.Int.Input(
                    "first_frame",
                    default=1001,
                    min=0,
                    max=9_999_999,
                    optional=True,
                    tooltip="Number of the first file, as in passes.1001.exr.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default="exr",
                    optional=True,
                    tooltip=(
                        "exr: 32-bit floats, one file of named layers a frame (needs the package"
                        " OpenEXR; without it one file a pass). png16, png8: for tools without"
                        " floats; vectors then need a reach."
                    ),
                ),
                io.Combo.Input(
                    "v",
                    options=list(V),
                    default="up",
                    optional=True,
                    tooltip="Which way maps and vectors grow: up in Nuke, Fusion, Blender,"
                    " RE:Vision.",
                ),
                io.Combo.Input(
                    "colour",
                    options=list(COLOURS),
                    default="linear",
                    optional=True,
                    tooltip="Pictures in EXR: linear light, as compositors expect, or sRGB as"
                    " here.",
                ),
                io.Float.Input(
                    "reach",
                    default=0.0,
                    min=0.0,
                    max=16384.0,
                    step=1.0,
                    optional=True,
                    tooltip=(
                        "Above 0, vectors are written around 0.5, and 0 and 1 stand for so many"
                        " pixels. 0: in pixels."
                    ),
                ),
                io.Boolean.Input(
                    "one_file_a_pass",
                    default=False,
                    optional=True,
                    tooltip="EXR: for programs that read only the first part of a file.",
                ),
                sockets.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that segmented the parts: their mattes then have its names,"
                    " hair_and_body, face, lips, where it has any.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="folder", tooltip="Where the passes were written.")
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        field: MotionField,
        filename_prefix: str,
        images: Tensor | None = None,
        plate: Tensor | None = None,
        parts: Tensor | None = None,
        matte: Tensor | None = None,
        fps: float = 25.0,
        first_frame: int = 1001,
        format: str = "exr",
        v: str = "up",
        colour: str = "linear",
        reach: float = 0.0,
        one_file_a_pass: bool = False,
        model: host.HostedModel | None = None,
    ) -> io.NodeOutput:
        folder, place = host.output_file(filename_prefix, "")
        progress = host.Progress(len(field))
        written = write_passes(
            folder,
            field.to("cpu"),
            None if images is None else to_pictures(images),
            plate=None if plate is None else to_pictures(plate, "plate"),
            mattes=mattes(parts, matte, model),
            name=filename_prefix.replace("\\", "/").rpartition("/")[2] or "passes",
            start=first_frame,
            fps=fps,
            v=v,
            colour=colour,
            reach=reach or None,
            format=format,
            one_file_a_pass=one_file_a_pass,
            progress=lambda done, _: progress(done),
        )
        return io.NodeOutput(folder, ui={"motion_words": [f"{len(written)} files in {place}"]})


def mattes(
    parts: Tensor | None, matte: Tensor | None, model: host.HostedModel | None = None
) -> dict[str, Any]:
    """By name, each B h w."""
    named: dict[str, Any] = {}
    if parts is not None:
        count = parts.shape[1]
        numbers = [f"part_{k:02}" for k in range(count)]
        names = numbers if model is None else matte_names(model.model, count)
        named = {names[k]: parts[:, k] for k in range(1, count)}
    return named if matte is None else named | {"matte": to_maps(matte, "matte")[:, 0]}


NODES = [SaveMotionPasses]
