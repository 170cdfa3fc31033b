"""Keypoints kept in files, and as tracks for other packs."""

from __future__ import annotations

from typing import Any

from ..comfyui_motion import InputError, load_keypoints, save_keypoints
from . import host, sockets
from .host import io
from .keypoints import CATEGORY, real

NONE = "nothing saved yet"
ENDINGS = (".safetensors",)


class SaveKeypoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_SaveKeypoints",
            display_name="Save Keypoints",
            category=CATEGORY,
            description=(
                "Keeps a performance in a file of the output folder, exactly, however many points"
                " it has. Load Keypoints brings it back."
            ),
            search_aliases=["save motion", "save pose", "export keypoints", "motion capture"],
            inputs=[
                sockets.Keypoints.Input("keypoints", tooltip="Any keypoints."),
                io.String.Input(
                    "filename_prefix",
                    default="motion/keypoints",
                    tooltip="Folder and beginning of the file's name, within the output folder.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="path", tooltip="Where the file lies on the host.")
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, keypoints: Any, filename_prefix: str) -> io.NodeOutput:
        path, name = host.output_file(filename_prefix, ENDINGS[0])
        save_keypoints(real(keypoints), path)
        said = f"Saved {len(keypoints)} x {keypoints.count} points as {name}."
        return io.NodeOutput(path, ui={"motion_words": [said]})


class LoadKeypoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_LoadKeypoints",
            display_name="Load Keypoints",
            category=CATEGORY,
            description="A performance that Save Keypoints kept: for the model it came from.",
            search_aliases=["load motion", "load pose", "import keypoints", "motion capture"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.kept_files(ENDINGS) or [NONE],
                    tooltip=(
                        "What lies in the output and input folders. A file saved meanwhile is"
                        " listed after the page's Refresh (R)."
                    ),
                )
            ],
            outputs=[
                sockets.Keypoints.Output(
                    display_name="keypoints", tooltip="The keypoints in it, as they were."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, file: Any = None) -> bool | str:
        known = not isinstance(file, str) or host.kept_path(file, ENDINGS)
        return True if known else missing(file)

    @classmethod
    def fingerprint_inputs(cls, file: Any = None) -> Any:
        path = host.kept_path(str(file), ENDINGS)
        return file, path and host.state_of(path)

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = host.kept_path(file, ENDINGS)
        if path is None:
            raise InputError(missing(file))
        return io.NodeOutput(load_keypoints(path).to(host.result_device()))


def missing(file: Any) -> str:
    return f"There is no {file} in the output and input folders; save keypoints, and choose them."


NODES = [SaveKeypoints, LoadKeypoints]
