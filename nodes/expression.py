"""Dials on a clip's keypoints: one frame, eased round it, or all of them."""

from __future__ import annotations

from typing import Any

from ..comfyui_motion import InputError, Keypoints, pose
from ..comfyui_motion.dials import ANGLES, Dials, around
from ..comfyui_motion.framing.portrait import FramedPortrait
from . import host, sockets
from .host import io
from .keypoints import CATEGORY, real

WORDS = {
    "yaw": "The head turns to the picture's right; below 0 to its left. Degrees.",
    "pitch": "The head nods down; below 0 up. Degrees.",
    "roll": "The head tilts clockwise; below 0 the other way. Degrees.",
    "blink": "Both eyes shut; below 0 they open wider.",
    "wink_left": "The subject's own left eye shuts.",
    "wink_right": "The subject's own right eye shuts.",
    "brows": "Brows go up; below 0 they draw together.",
    "mouth_open": "The mouth opens; below 0 it closes.",
    "mouth_wide": "The mouth widens to a grin.",
    "pucker": "The lips purse; below 0 they part.",
    "smile": "A smile; below 0 its opposite.",
    "gaze_x": "The eyes look to the picture's right; below 0 to its left.",
    "gaze_y": "The eyes look down; below 0 up.",
}


def dial(name: str) -> Any:
    most, step = (45.0, 0.5) if name in ANGLES else (1.0, 0.01)
    return io.Float.Input(
        name, default=0.0, min=-most, max=most, step=step, optional=True, tooltip=WORDS[name]
    )


class EditExpression(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_EditExpression",
            display_name="Edit Expression",
            category=CATEGORY,
            description=(
                "Turns a head and changes its expression by dials, in one frame of a performance or"
                " in all of them; or of a still face, with no driving clip at all. Several in a row"
                " are keys of an animation. For face and LivePortrait."
            ),
            search_aliases=["liveportrait", "expression editor", "smile", "blink", "gaze", "face"],
            inputs=[
                sockets.Keypoints.Input(
                    "keypoints",
                    tooltip=(
                        "Whose expression: a performance from Retarget Keypoints, or a still"
                        " picture's from Encode Source."
                    ),
                ),
                *(dial(name) for name in WORDS),
                io.Int.Input(
                    "frame",
                    default=-1,
                    min=-1,
                    max=1_000_000,
                    optional=True,
                    tooltip="The frame in which the dials stand as they are set; -1: in all.",
                ),
                io.Int.Input(
                    "ease",
                    default=8,
                    min=0,
                    max=100_000,
                    optional=True,
                    tooltip=(
                        "Frames over which the expression comes before that frame and goes after"
                        " it. 0: that frame alone."
                    ),
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=100_000,
                    optional=True,
                    tooltip=(
                        "Of a still face, how long the clip is to be. 0: as many as there are"
                        " keypoints."
                    ),
                ),
                sockets.Portrait.Input(
                    "portrait",
                    optional=True,
                    tooltip=(
                        "From Encode Source: LivePortrait stitches what the dials change, so that"
                        " neck and shoulders meet the picture round them. Left open: nothing is"
                        " stitched."
                    ),
                ),
            ],
            outputs=[
                sockets.Keypoints.Output(
                    display_name="keypoints",
                    tooltip="The pose of each frame, for Estimate Motion.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        keypoints: Any,
        frame: int = -1,
        ease: int = 8,
        frames: int = 0,
        portrait: FramedPortrait | None = None,
        **dials: float,
    ) -> io.NodeOutput:
        points, chosen = real(keypoints), Dials.of(dials)
        by = (None, None) if portrait is None else (portrait.model, portrait.portrait.keypoints)
        if frames:
            points = lasting(points, frames)
        if frame < 0:
            return io.NodeOutput(pose(points, chosen, *by))
        if frame >= len(points):
            raise InputError(
                f"Frame {frame} lies beyond the end of these keypoints, which are of {len(points)}"
                " frames; frames count from 0."
            )
        poses = around(chosen, frame, ease, len(points))
        return io.NodeOutput(Keypoints.join(pose(points[i], d, *by) for i, d in enumerate(poses)))


def lasting(points: Keypoints, frames: int) -> Keypoints:
    """Of one picture as many as are asked for. Raises InputError for a clip of another length."""
    if len(points) not in (1, frames):
        raise InputError(
            f"These keypoints are of {len(points)} frames, and {frames} are asked for; set frames"
            " to 0, or connect a still picture's."
        )
    return points.map(lambda value: value.expand(frames, *value.shape[1:]))


NODES = [EditExpression]
