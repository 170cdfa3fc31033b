"""Points followed, as other nodes take them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..comfyui_motion import InputError, MotionField, tracks
from ..comfyui_motion.fields.follow import Tracks, spread_points
from ..comfyui_motion.fields.tracks import WAN_POINTS, tracks_of_keypoints, tracks_to_text
from . import host, sockets
from .convert import to_maps
from .host import io
from .keypoints import real

Track = io.Custom("TRACKS")  # the host's own from its Wan-Move nodes on; before, nobody's
CHOICES = ["grid", "mask", "keypoints"]
TEXTS = ["121 points (WanTrackToVideo)", "one per frame"]


def size(name: str) -> Any:
    return io.Int.Input(
        name,
        default=0,
        min=0,
        max=16384,
        tooltip=f"The {name} of the video to be made, which the pixels are of. 0: the source's.",
    )


def text() -> Any:
    return io.Combo.Input(
        "text_points",
        options=TEXTS,
        default=TEXTS[0],
        optional=True,
        tooltip=(
            "Of the text. WanTrackToVideo takes 121 points a track, whatever the length of the"
            " clip,"
            " and a track ends where its point hides. Other nodes want one per frame."
        ),
    )


def outputs() -> list[Any]:
    return [
        Track.Output(
            display_name="tracks",
            tooltip="Pixels and visibility, frame by frame, for Wan-Move and others.",
        ),
        io.String.Output(
            display_name="text", tooltip="The tracks as JSON, for WanTrackToVideo's tracks."
        ),
        io.Int.Output(display_name="track_length", tooltip="How many frames the tracks have."),
    ]


class FieldToTracks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_FieldToTracks",
            display_name="Field to Tracks",
            category="motion/field",
            description=(
                "Points of the source followed through its motion, hidden where it hides them: what"
                " steers Wan's track nodes."
            ),
            search_aliases=["WanTrackToVideo", "Wan-Move", "ATI", "point tracking", "trajectory"],
            inputs=[
                sockets.Field.Input("field", tooltip="The motion, one field per frame."),
                size("width"),
                size("height"),
                io.Combo.Input(
                    "points",
                    options=CHOICES,
                    default="grid",
                    tooltip=(
                        "grid: evenly over the source. mask: evenly over what the mask marks."
                        " keypoints: those of the source."
                    ),
                ),
                io.Int.Input(
                    "count",
                    default=64,
                    min=1,
                    max=10000,
                    tooltip="About how many, for grid and mask.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="On the source, for points mask, 1 = follow."
                ),
                sockets.Keypoints.Input(
                    "keypoints", optional=True, tooltip="The source's, for points keypoints."
                ),
                text(),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(
        cls,
        field: MotionField,
        width: int,
        height: int,
        points: str,
        count: int,
        mask: Tensor | None = None,
        keypoints: Any = None,
        text_points: str = TEXTS[0],
    ) -> io.NodeOutput:
        field = field.of_source()
        size = height or field.picture_size[0], width or field.picture_size[1]
        if points == "grid":
            chosen = spread_points(*size, count)
        elif points == "mask" and mask is not None:
            chosen = spread_points(*size, count, to_maps(mask)[0, 0].cpu())
        elif points == "keypoints" and keypoints is not None:
            chosen = real(keypoints)[:1]
        else:
            raise InputError(f"points is {points}: connect the {points}, or choose grid.")
        parts = host.batches(lambda part: tracks(field[part], chosen, size), len(field), 4)
        found = [torch.cat(values) for values in zip(*parts, strict=True)]
        return told(Tracks(*found), text_points)


class KeypointsToTracks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_KeypointsToTracks",
            display_name="Keypoints to Tracks",
            category="motion/keypoints",
            description="Keypoints over time as tracks: what steers Wan's track nodes.",
            search_aliases=["WanTrackToVideo", "Wan-Move", "ATI", "trajectory"],
            inputs=[
                sockets.Keypoints.Input(
                    "keypoints", tooltip="One set per frame, in order, of a driver or retargeted."
                ),
                io.Int.Input(
                    "width",
                    default=832,
                    min=1,
                    max=16384,
                    tooltip="The width of the video to be made, which the pixels are of.",
                ),
                io.Int.Input(
                    "height",
                    default=480,
                    min=1,
                    max=16384,
                    tooltip="The height of the video to be made.",
                ),
                text(),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(
        cls, keypoints: Any, width: int, height: int, text_points: str = TEXTS[0]
    ) -> io.NodeOutput:
        return told(tracks_of_keypoints(real(keypoints), height, width), text_points)


def told(found: Tracks, text_points: str) -> io.NodeOutput:
    points = WAN_POINTS if text_points == TEXTS[0] else None
    return io.NodeOutput(found._asdict(), tracks_to_text(found, points), len(found.track_path))


NODES = [FieldToTracks, KeypointsToTracks]
