"""Keypoints corrected by hand, over the picture."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from ..comfyui_motion import Keypoints
from ..comfyui_motion.edits import Edits
from . import host, sockets
from .clips import moving
from .film import LONGEST, Film
from .host import io
from .keypoints import CATEGORY, real

MOST_POINTS = 500  # that the page shows: of a lattice every few, which take the others along


class EditKeypoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_EditKeypoints",
            is_output_node=True,
            display_name="Edit Keypoints (Puppet Pins)",
            category=CATEGORY,
            description=(
                "Corrects a performance by hand: drag points over the picture, set keys in single"
                " frames, pin what must stand still. Run once to see the points, edit, run again."
            ),
            search_aliases=["keyframe", "puppet pin", "adjust pose", "rig", "drag points"],
            inputs=[
                sockets.Keypoints.Input(
                    "keypoints",
                    tooltip=(
                        "What is to be corrected: best the posed points from Retarget Keypoints or"
                        " Animate Picture."
                    ),
                ),
                host.images_or_video(
                    "images",
                    optional=True,
                    tooltip=(
                        "What to see the points on: the animated frames, the clip, or the still"
                        " picture."
                    ),
                ),
                io.Float.Input(
                    "reach",
                    default=0.15,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    tooltip=(
                        "How far a moved point takes its neighbours along, in half pictures. 0: it"
                        " moves alone. A face or a grid of points wants some."
                    ),
                ),
                io.String.Input(
                    "edits",
                    multiline=True,
                    default="",
                    tooltip=(
                        "What was done, as the editor on the node writes it. It is all that is"
                        " kept: copy it, or send it through the API. Empty: nothing."
                    ),
                ),
            ],
            outputs=[
                sockets.Keypoints.Output(
                    display_name="keypoints", tooltip="The keypoints, corrected."
                )
            ],
        )

    @classmethod
    def execute(cls, keypoints: Any, reach: float, edits: str, images: Any = None) -> io.NodeOutput:
        points = real(keypoints)
        made = Edits.from_json(edits).apply(points, reach)
        shown = {"motion_edit": [seen(points) | backdrop(images, len(points))]}
        return io.NodeOutput(made, ui=shown)


def seen(points: Keypoints) -> dict[str, Any]:
    """What the page needs of the clip's points, in a file of the temporary folder."""
    chosen = shown_points(points)
    frames = points.position[:LONGEST, chosen].cpu()
    path, entry = host.temporary("points.json")
    numbers = None if len(chosen) == points.count else chosen.tolist()
    rounded = (frames * 1e4).round().div(1e4).tolist()
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"points": rounded, "numbers": numbers}, file)
    return {"points": entry, "frames": len(frames)}


def shown_points(points: Keypoints) -> Tensor:
    """The numbers of those the page shows: all, or every few of a lattice's rows and columns."""
    if points.count <= MOST_POINTS:
        return torch.arange(points.count)
    side = round(points.count**0.5)
    if side * side == points.count:
        step = torch.linspace(0, side - 1, round(MOST_POINTS**0.5)).round().long()
        return (step[:, None] * side + step).flatten()
    return torch.linspace(0, points.count - 1, MOST_POINTS).round().long().unique()


def backdrop(images: Any, total: int) -> dict[str, Any]:
    """A film to see the points on, of as many frames."""
    if images is None:
        return {}
    film = Film()
    for batch in moving(images, "images"):
        film.add(batch[: max(0, total - film.count)])
        if film.count >= total:
            break
    return film.shown().get("motion_film", [{}])[0]


NODES = [EditKeypoints]
