"""Checkpoint to model."""

from __future__ import annotations

import os
from typing import Any

from ..comfyui_motion import InputError, MotionModel, load
from . import host, sockets
from .host import io

FACES = "faces (comes with the pack)"
ANYTHING = "any subject (comes with the pack)"
DEFAULT = FACES
OURS = {FACES: "face", ANYTHING: "flow"}  # as the list shows them, and as load() knows them
# as the list showed them once: workflows that have them go on
FORMER = {
    "face (comes with the pack)": "face",
    "flow (needs no weights)": "flow",
}
# what earlier versions listed, and what stands in for it
RETIRED = {"puppets (learned, comes with the pack)": "face"}
SUITS = {  # what the report says of them
    "face": "faces (face): comes with the pack; any size; without a face, any subject",
    "flow": "any subject (flow): comes with the pack; any size",
}
KNOWN = OURS | FORMER | RETIRED
PUBLISHED = "as published"
SWITCH = {"yes": True, "no": False}
PRECISIONS = ("float32", "float16", "bfloat16")


def switch(name: str, tooltip: str) -> Any:
    return host.advanced(
        io.Combo.Input(
            name, options=[PUBLISHED, *SWITCH], default=PUBLISHED, optional=True, tooltip=tooltip
        )
    )


def number(name: str, tooltip: str, unset: float = 0.0) -> Any:
    return host.advanced(
        io.Float.Input(
            name,
            default=unset,
            min=unset,
            max=1000.0,
            step=0.001,
            optional=True,
            tooltip=f"{tooltip} {unset:g}: as published.",
        )
    )


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_LoadModel",
            display_name="Load Motion Model (LivePortrait)",
            category="motion",
            description=(
                "The model that moves pictures: the pack's own for faces or any subject, which need"
                " no download, or a checkpoint from models/motion (LivePortrait, FOMM, TPSMM ...)."
            ),
            search_aliases=[
                "fomm",
                "first order motion",
                "tpsmm",
                "thin plate spline",
                "mraa",
                "monkey-net",
                "x2face",
                "co-part",
                "vox",
                "animate",
                "liveportrait",
                "face",
            ],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=[*OURS, *host.model_files()],
                    default=DEFAULT,
                    tooltip=(
                        "faces: for portraits, finds the face in picture and clip by itself, and"
                        " takes"
                        " over any motion where there is none. any subject: follows whatever moves"
                        " in the clip. Neither needs a download. Checkpoints put in models/motion"
                        " are listed after them, just as they are published: vox-cpk.pth.tar must"
                        " not be unpacked."
                    ),
                ),
                host.advanced(
                    io.Combo.Input(
                        "precision",
                        options=list(PRECISIONS),
                        default="float32",
                        optional=True,
                        tooltip=(
                            "Of what paints pictures; keypoints stay float32. The half sizes are"
                            " faster: float16 on a GPU, bfloat16 on recent processors."
                        ),
                    )
                ),
                switch(
                    "align_corners",
                    "How pictures are sampled. The file does not hold it; change it when everything"
                    " seems shifted or slightly swollen.",
                ),
                host.advanced(
                    io.Combo.Input(
                        "head_padding",
                        options=[PUBLISHED, "0", "3"],
                        default=PUBLISHED,
                        optional=True,
                        tooltip=(
                            "Padding of the layer that finds keypoints. The file does not hold it;"
                            " change it when keypoints lie too near the centre."
                        ),
                    )
                ),
                number(
                    "temperature",
                    "How sharply keypoints are located on their heatmaps (published: 0.1).",
                ),
                number(
                    "keypoint_variance",
                    "How wide each keypoint is drawn for the motion network (published: 0.01).",
                ),
                switch("skips", "MRAA: whether the generator has skip connections."),
                switch(
                    "revert_axis_swap",
                    "MRAA: whether a region that seems to turn by half a turn is turned back.",
                ),
                switch(
                    "covariance_heatmaps",
                    "MRAA: whether each region is drawn as wide as it is, not as wide as all"
                    " others.",
                ),
                switch(
                    "visibility", "Co-part: whether what a part leaves behind counts as hidden."
                ),
                host.advanced(
                    io.String.Input(
                        "norm",
                        default=PUBLISHED,
                        optional=True,
                        tooltip=(
                            "Monkey-Net: what heatmaps are divided by, a number or the word sum."
                        ),
                    )
                ),
                number(
                    "clip_variance",
                    "Monkey-Net: no covariance is narrower than this, and with 0 any may be.",
                    -1.0,
                ),
                number(
                    "scale",
                    "Monkey-Net: by how much pictures shrink for the detector and the motion"
                    " network.",
                ),
                host.advanced(
                    io.Int.Input(
                        "size",
                        default=0,
                        min=0,
                        max=4096,
                        optional=True,
                        tooltip=(
                            "Side of the square pictures it was trained on, in pixels. 0: as"
                            " published."
                        ),
                    )
                ),
                switch(
                    "heeds_hands",
                    "faces: whether what is before a mouth, in the picture or in the clip (a hand,"
                    " a cup, a mask), is no mouth. no: where a mouth is taken for a hand.",
                ),
            ],
            outputs=[
                sockets.Model.Output(
                    display_name="model", tooltip="The model, for every node that asks for one."
                ),
                io.String.Output(
                    display_name="report",
                    tooltip=(
                        "What the file was recognised as, and what had to be assumed because"
                        " the file does not hold it."
                    ),
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None = None) -> bool | str:
        return (
            True
            if model_name in (None, *KNOWN) or host.model_path(model_name)
            else missing(model_name)
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str | None = None, **_: Any) -> Any:
        """Loaded anew when the file has changed."""
        path = None if model_name in (None, *KNOWN) else host.model_path(model_name)
        return (model_name, path and (os.path.getmtime(path), os.path.getsize(path)))

    @classmethod
    def execute(cls, model_name: str, precision: str = "float32", **options: Any) -> io.NodeOutput:
        model = open_model(model_name, precision, chosen(options))
        told = report(model, model_name)
        return io.NodeOutput(host.HostedModel.of(model), told, ui={"motion_words": [told]})


def open_model(name: str, precision: str, options: dict[str, Any]) -> MotionModel:
    """On the processor: the host moves it. Raises CheckpointError, InputError."""
    if name in RETIRED:
        host.log.warning("The model puppets is no more; %s stands in for it.", RETIRED[name])
    path = KNOWN.get(name) or host.model_path(name)
    if path is None:
        raise InputError(missing(name))
    return load(path, device="cpu", speed=precision, **options)


def missing(name: str) -> str:
    return f"There is no {name} in models/motion; put it there, or choose {DEFAULT}."


def chosen(options: dict[str, Any]) -> dict[str, Any]:
    """Of the advanced inputs, those that are not left as published, as keywords of `load`."""
    unset = {"clip_variance": -1, "temperature": 0, "keypoint_variance": 0, "scale": 0, "size": 0}
    changed = {
        name: value for name, value in options.items() if value != unset.get(name, PUBLISHED)
    }
    return {name: _meant(value) for name, value in changed.items()}


def _meant(value: Any) -> Any:
    if value in SWITCH:
        return SWITCH[value]
    if not isinstance(value, str) or value == "sum":
        return value
    try:
        return int(value) if value.isdecimal() else float(value)
    except ValueError:
        raise InputError(
            f"{value!r} is no value for an option; leave it {PUBLISHED!r}, or give a number."
        ) from None


def report(model: MotionModel, name: str) -> str:
    """What was recognised and assumed of a file; of the pack's own, what it suits."""
    return str((None if name in KNOWN else model.inspection) or SUITS[model.family])


NODES = [LoadModel]
