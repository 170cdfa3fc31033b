"""Who looks for faces: the pack's own finder, unless another is connected."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..comfyui_motion.registry import face_finder
from . import host, sockets
from .host import io
from .remember import Memory, Remembering

AUTO, ON, OFF = "auto", "on", "off"


def finder() -> Any:
    return host.advanced(
        sockets.Model.Input(
            "finder",
            optional=True,
            tooltip=(
                "Leave open: faces are found by themselves. Connect a Load Motion Model here only"
                " to find faces with another model that can."
            ),
        )
    )


def find_face() -> Any:
    return host.advanced(
        io.Combo.Input(
            "find_face",
            options=[AUTO, ON, OFF],
            default=AUTO,
            optional=True,
            tooltip=(
                "Finds the face in picture and clip and frames both so that eyes move eyes and the"
                " mouth the mouth; also the best reference frame for -1. auto: for models of faces."
                " Where a mask is connected, the mask decides."
            ),
        )
    )


def face() -> Any:
    return io.Int.Input(
        "face",
        default=0,
        min=-1,
        max=99,
        optional=True,
        tooltip=(
            "Which face of the picture, where it shows several: 1, 2, ... from left to right. 0:"
            " the largest. -1: all of them, with LivePortrait."
        ),
    )


def chosen(wired: host.HostedModel | None, choice: str) -> Any:
    """The finder, as `Options` takes it."""
    if wired is not None:
        return wired.ready()
    if choice == ON:
        return own_finder()
    return AUTO if choice == AUTO else None


@lru_cache
def own_finder() -> Any:
    """The pack's, for models that do not bring it along."""
    return Remembering(face_finder(), Memory(), host.cancellable)
