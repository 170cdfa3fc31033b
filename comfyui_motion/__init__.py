"""comfyui_motion: a still picture moves as a driving clip moves, with every step a value.

import comfyui_motion as motion

model = motion.load("vox-cpk.pth.tar")  # or motion.load(), which needs no download
for frames in motion.animate(model, source, driving):  # B 3 H W in 0..1
    ...
"""

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
    convert,
    families,
    inspect,
    load,
    save,
)
from .retarget import best_reference, retarget
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
    "square_box",
    "swap_parts",
    "tracks",
    "warp_latent",
    "warp_noise",
    "write_passes",
    "write_picture",
    "write_video",
]
