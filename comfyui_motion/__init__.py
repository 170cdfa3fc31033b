"""comfyui_motion: a still picture moves as a driving clip moves, with every step a value.

    import comfyui_motion as motion

    model = motion.load("vox-cpk.pth.tar")  # or motion.load(), which needs no weights
    for frames in motion.animate(model, source, driving):  # B 3 H W in 0..1
        ...
"""

from .alignment import aligned_boxes
from .animate import Step, animate, perform
from .checkpoint import read_tensors
from .crop import crop_subject, paste_back, square_box
from .draw import contact_sheet, draw_field, draw_keypoints, draw_parts
from .errors import CheckpointError, InputError, MediaError, MotionError, TrainingError, UnknownCheckpoint, UnsafeCheckpoint
from .field import MotionField
from .keypoints import Keypoints
from .model import MotionModel, Portrait
from .optimise import optimise
from .parts import swap_parts
from .picture import read_picture, write_picture
from .prediction import KeypointPredictor
from .registry import Inspection, build, convert, inspect, load, save
from .retarget import best_reference, retarget
from .subject import Subject, clip_box, find_subject, follow_subject
from .video import read_video, write_video

__all__ = [
    "CheckpointError",
    "InputError",
    "Inspection",
    "KeypointPredictor",
    "Keypoints",
    "MediaError",
    "MotionError",
    "MotionField",
    "MotionModel",
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
    "contact_sheet",
    "convert",
    "crop_subject",
    "draw_field",
    "draw_keypoints",
    "draw_parts",
    "find_subject",
    "follow_subject",
    "inspect",
    "load",
    "optimise",
    "paste_back",
    "perform",
    "read_picture",
    "read_tensors",
    "read_video",
    "retarget",
    "save",
    "square_box",
    "swap_parts",
    "write_picture",
    "write_video",
]
