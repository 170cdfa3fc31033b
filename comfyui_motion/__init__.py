"""comfyui_motion: a still picture moves as a driving clip moves, with every step a value.

import comfyui_motion as motion

model = motion.load("vox-cpk.pth.tar")  # or motion.load(), which needs no download
for frames in motion.animate(model, source, driving):  # B 3 H W in 0..1
    ...
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .animate import Step, animate, perform
    from .checkpoint import read_tensors
    from .dials import Dials, eased, pose
    from .diffusion.latents import warp_latent
    from .diffusion.noise import warp_noise
    from .draw import (
        contact_sheet,
        draw_field,
        draw_keypoints,
        draw_parts,
    )
    from .errors import (
        CheckpointError,
        InputError,
        MediaError,
        MotionError,
        NoSubject,
        TrainingError,
        UnknownCheckpoint,
        UnsafeCheckpoint,
    )
    from .field import MotionField
    from .fields.compose import compose
    from .fields.files import load_field, save_field
    from .fields.follow import tracks
    from .fields.inverse import invert
    from .fields.video import field_from_video
    from .framing.align import aligned_boxes
    from .framing.crop import crop_subject, paste_back, square_box
    from .framing.find import (
        Subject,
        clip_box,
        find_subject,
        follow_subject,
    )
    from .keeping import load_keypoints, save_keypoints
    from .keypoints import Keypoints
    from .live import Live, live
    from .media.picture import read_picture, write_picture
    from .media.video import read_video, write_video
    from .model import MotionModel, Portrait
    from .options import Options
    from .parts import swap_parts
    from .passes.read import read_stmap
    from .passes.write import write_passes
    from .prediction import KeypointPredictor
    from .registry import (
        Inspection,
        build,
        families,
        inspect,
        load,
    )
    from .retarget import best_reference, retarget
    from .saving import convert, save
    from .speed.optimise import optimise

__all__ = [
    "CheckpointError",
    "Dials",
    "InputError",
    "Inspection",
    "KeypointPredictor",
    "Keypoints",
    "Live",
    "MediaError",
    "MotionError",
    "MotionField",
    "MotionModel",
    "NoSubject",
    "Options",
    "Portrait",
    "Step",
    "Subject",
    "TrainingError",
    "UnknownCheckpoint",
    "UnsafeCheckpoint",
    "aligned_boxes",
    "animate",
    "best_reference",
    "build",
    "clip_box",
    "compose",
    "contact_sheet",
    "convert",
    "crop_subject",
    "draw_field",
    "draw_keypoints",
    "draw_parts",
    "eased",
    "families",
    "field_from_video",
    "find_subject",
    "follow_subject",
    "inspect",
    "invert",
    "live",
    "load",
    "load_field",
    "load_keypoints",
    "optimise",
    "paste_back",
    "perform",
    "pose",
    "read_picture",
    "read_stmap",
    "read_tensors",
    "read_video",
    "retarget",
    "save",
    "save_field",
    "save_keypoints",
    "square_box",
    "swap_parts",
    "tracks",
    "warp_latent",
    "warp_noise",
    "write_passes",
    "write_picture",
    "write_video",
]

# In the command the names come when they are first asked for: PyTorch takes seconds to load, and
# Ctrl-C is answered meanwhile. In any other program they are all there at once.
_HOMES = {
    "CheckpointError": "errors",
    "Dials": "dials",
    "InputError": "errors",
    "Inspection": "registry",
    "KeypointPredictor": "prediction",
    "Keypoints": "keypoints",
    "Live": "live",
    "MediaError": "errors",
    "MotionError": "errors",
    "MotionField": "field",
    "MotionModel": "model",
    "NoSubject": "errors",
    "Options": "options",
    "Portrait": "model",
    "Step": "animate",
    "Subject": "framing.find",
    "TrainingError": "errors",
    "UnknownCheckpoint": "errors",
    "UnsafeCheckpoint": "errors",
    "aligned_boxes": "framing.align",
    "animate": "animate",
    "best_reference": "retarget",
    "build": "registry",
    "clip_box": "framing.find",
    "compose": "fields.compose",
    "contact_sheet": "draw",
    "convert": "saving",
    "crop_subject": "framing.crop",
    "draw_field": "draw",
    "draw_keypoints": "draw",
    "draw_parts": "draw",
    "eased": "dials",
    "families": "registry",
    "field_from_video": "fields.video",
    "find_subject": "framing.find",
    "follow_subject": "framing.find",
    "inspect": "registry",
    "invert": "fields.inverse",
    "live": "live",
    "load": "registry",
    "load_field": "fields.files",
    "load_keypoints": "keeping",
    "optimise": "speed.optimise",
    "paste_back": "framing.crop",
    "perform": "animate",
    "pose": "dials",
    "read_picture": "media.picture",
    "read_stmap": "passes.read",
    "read_tensors": "checkpoint",
    "read_video": "media.video",
    "retarget": "retarget",
    "save": "saving",
    "save_field": "fields.files",
    "save_keypoints": "keeping",
    "square_box": "framing.crop",
    "swap_parts": "parts",
    "tracks": "fields.follow",
    "warp_latent": "diffusion.latents",
    "warp_noise": "diffusion.noise",
    "write_passes": "passes.write",
    "write_picture": "media.picture",
    "write_video": "media.video",
}


class _Library(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_HOMES[name]}", self.__name__), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """animate and retarget are functions here, not the modules that importing would put in
        their places.
        """
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOMES})


sys.modules[__name__].__class__ = _Library


def _is_command() -> bool:
    """Whether this program is comfyui-motion, by script, `python -m` or `python -c`."""
    words = sys.orig_argv[:4]
    return any("comfyui_motion.cli" in word or "comfyui-motion" in word for word in words) or (
        words[1:3] == ["-m", __name__]
    )


if not _is_command():
    for _name in _HOMES:
        getattr(sys.modules[__name__], _name)
elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # the system answers Ctrl-C, without a traceback, until the command has begun
    signal.signal(signal.SIGINT, signal.SIG_DFL)
