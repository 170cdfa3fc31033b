"""The host's side: a thin skin of ComfyUI nodes over the library.

One file a step, each with a list NODES. A file or node that fails is left out, with its traceback
in the log; the others go on.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

STEPS = (
    "load",
    "sample",
    "animate",
    "encode",
    "keypoints",
    "retarget",
    "expression",
    "keypoint_files",
    "edit",
    "pose",
    "motion",
    "generate",
    "occlusion",
    "warp",
    "fields",
    "field_files",
    "passes",
    "tracks",
    "diffusion",
    "plate",
    "parts",
    "preview",
    "crop",
)
log = logging.getLogger("comfyui_motion")


def node_classes() -> list[Any]:
    """Every node that works on this host."""
    return [node for step in STEPS for node in _nodes_of(step) if _is_sound(node)]


def _nodes_of(step: str) -> list[Any]:
    try:
        found = importlib.import_module(f".{step}", __package__).NODES
        checked = importlib.import_module(".checks", __package__).checked
        speaking = importlib.import_module(".words", __package__).speaking
        return [speaking(checked(node)) for node in found]
    except Exception:
        log.exception("The nodes of %s are left out: nodes/%s.py could not be loaded.", step, step)
        return []


def _is_sound(node: Any) -> bool:
    try:
        node.GET_SCHEMA()
    except Exception:
        log.exception(
            "The node %s is left out: this ComfyUI does not take its schema.", node.__name__
        )
        return False
    return True


def extension() -> Any:
    """What ComfyUI asks for the nodes."""
    from . import host

    host.add_model_folder()

    class Motion(host.ComfyExtension):
        async def get_node_list(self) -> list[Any]:
            return node_classes()

    return Motion()
