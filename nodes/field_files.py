"""Fields to files and back, and from pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ..comfyui_motion import InputError, MotionField, load_field, read_stmap, save_field
from ..comfyui_motion.fields.files import FIELD
from ..comfyui_motion.fields.stmap import ORDERS, V, from_displacement, from_stmap
from ..comfyui_motion.passes.read import CLIP_OF_MAPS
from . import host, sockets
from .convert import to_maps, to_pictures
from .host import io

SUFFIXES = (FIELD, *CLIP_OF_MAPS)
KINDS = ["STMap", "displacement in pixels", "displacement around 0.5"]


class SaveField(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_SaveField",
            display_name="Save Field",
            category="motion/field",
            description=(
                "Keeps a motion field in the output folder; Load Field gives it back exactly."
            ),
            inputs=[
                sockets.Field.Input("field", tooltip="Any motion field."),
                io.String.Input(
                    "filename_prefix",
                    default="motion/field",
                    tooltip="Folder and beginning of the file's name, within the output folder.",
                ),
                io.Boolean.Input(
                    "half",
                    default=False,
                    optional=True,
                    tooltip=(
                        "Half the size: displacements and masks in 16-bit floats, right to a"
                        " two-thousandth of each."
                    ),
                ),
            ],
            outputs=[
                io.String.Output(display_name="file", tooltip="Where it was saved, for Load Field.")
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, field: MotionField, filename_prefix: str, half: bool = False) -> io.NodeOutput:
        path, name = host.output_file(filename_prefix, ".safetensors")
        save_field(path, field, half)
        return io.NodeOutput(f"{name} [output]", ui={"motion_words": [f"Saved as {name}."]})


class LoadField(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_LoadField",
            display_name="Load Field",
            category="motion/field",
            description=(
                "A motion field from a file of Save Field, or from the STMap of a compositor: an"
                " EXR,"
                " or the .json that Save Motion Passes left."
            ),
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.kept_files(SUFFIXES),
                    tooltip="From the output and input folders, newest first.",
                ),
                io.Combo.Input(
                    "v",
                    options=["as the sidecar says", *V],
                    default="as the sidecar says",
                    optional=True,
                    tooltip=(
                        "EXR: which way green grows. up in Nuke, Fusion and Blender. Without a"
                        " sidecar beside the file up is taken."
                    ),
                ),
                io.String.Input(
                    "layer",
                    default="",
                    optional=True,
                    tooltip="EXR: the layer that is the map. Empty: stmap, or plain red and green.",
                ),
            ],
            outputs=[
                sockets.Field.Output(
                    display_name="field", tooltip="The field. Where it is from needs no model."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, file: str, **_: Any) -> Any:
        path = host.kept_path(file, SUFFIXES)
        return file if path is None else (file, *host.state_of(path))

    @classmethod
    def execute(cls, file: str, v: str = "as the sidecar says", layer: str = "") -> io.NodeOutput:
        path = host.kept_path(file, SUFFIXES)
        if path is None:
            raise InputError(
                f"{file} is not in the output or input folder: put it there, and refresh the page"
                " (R)."
            )
        if Path(path).suffix == FIELD:
            field = load_field(path)
        else:
            field = read_stmap(path, layer or None, None if v not in V else v)
        return io.NodeOutput(field.to(host.result_device()))


class FieldFromImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_FieldFromImage",
            display_name="Field from Image",
            category="motion/field",
            description=(
                "A motion field from maps that come as images: STMaps and displacements painted,"
                " rendered, or read by an EXR loader."
            ),
            search_aliases=["stmap", "uv map", "displacement map", "motion vectors"],
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip=(
                        "Red and green are the map, one per frame; a fourth channel is what is"
                        " visible. From files of 32-bit floats: 8 bits tell only 256 places apart."
                    ),
                ),
                io.Combo.Input(
                    "kind",
                    options=KINDS,
                    default=KINDS[0],
                    tooltip=(
                        "STMap: where to read, 0 to 1 from edge to edge. displacement in pixels:"
                        " how far from here to read. displacement around 0.5: the same for 8- and"
                        " 16-bit"
                        " tools, 0.5 is none."
                    ),
                ),
                io.Combo.Input(
                    "v",
                    options=list(V),
                    default="up",
                    tooltip="Which way green grows: up in Nuke, Fusion and Blender.",
                ),
                io.Combo.Input(
                    "order",
                    options=list(ORDERS),
                    default="xy",
                    optional=True,
                    tooltip="xy: red is horizontal. yx: green is.",
                ),
                io.Float.Input(
                    "reach",
                    default=32.0,
                    min=0.01,
                    max=16384.0,
                    step=1.0,
                    optional=True,
                    tooltip="displacement around 0.5: how many pixels 0 and 1 stand for.",
                ),
                io.Mask.Input(
                    "hidden",
                    optional=True,
                    tooltip="What the source does not show, 1 = hidden, as Load Image gives alpha.",
                ),
            ],
            outputs=[
                sockets.Field.Output(
                    display_name="field",
                    tooltip="One field per image. What is not a number in it is hidden.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        kind: str,
        v: str,
        order: str = "xy",
        reach: float = 32.0,
        hidden: Tensor | None = None,
    ) -> io.NodeOutput:
        maps = to_pictures(images)
        visible = maps[:, 3:4] if maps.shape[1] == 4 else None
        if hidden is not None:
            shown = 1 - to_maps(hidden, "hidden")
            if len(shown) not in (1, len(maps)):
                raise InputError(
                    f"There are {len(maps)} maps; hidden is one mask or {len(maps)}, not"
                    f" {len(shown)}."
                )
            visible = shown.expand(len(maps), -1, -1, -1)
        if kind == "STMap":
            field = from_stmap(maps, visible, v, order)
        else:
            field = from_displacement(maps, visible, v, order, reach if kind == KINDS[2] else None)
        return io.NodeOutput(field.to(host.result_device()))


NODES = [SaveField, LoadField, FieldFromImage]
