"""What can go wrong, as a tree: catch `MotionError` for all of it, or a child for one kind.

Every message is one sentence, or two: what was expected, what was found, what to do.

    MotionError
    ├── InputError         a picture, keypoint set, field or option that cannot be used as given
    ├── MediaError         a picture or clip that cannot be read or written
    ├── TrainingError      training that went astray and was stopped
    └── CheckpointError    a weights file that cannot be used
        ├── UnknownCheckpoint   sound, but of no family that is known
        └── UnsafeCheckpoint    would run code when opened; it was not opened
"""

from __future__ import annotations


class MotionError(Exception):
    """The root: everything this library raises on purpose."""


class InputError(MotionError, ValueError):
    """A value at the library's edge that cannot be used as given."""


class MediaError(MotionError, OSError):
    """A picture or clip that cannot be read, or a target that cannot be written."""


class TrainingError(MotionError):
    """A loss that is no number any more. The last good state is kept."""


class CheckpointError(MotionError):
    """A weights file that cannot be used: not what it says, incomplete, or missing tensors."""


class UnknownCheckpoint(CheckpointError):
    """A sound file that holds none of the known families."""


class UnsafeCheckpoint(CheckpointError):
    """A pickle that names code to run. None of it has run."""
