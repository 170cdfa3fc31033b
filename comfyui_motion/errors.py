"""What can go wrong, as a tree: catch `MotionError` for all of it, or a child for one kind.

Every message is one sentence, or two: what was expected, what was found, what to do.

    MotionError
    ├── InputError         a picture, keypoint set, field or option that cannot be used as given
    │   └── NoSubject      pictures that do not show what the model moves, such as a face
    ├── MediaError         a picture or clip that cannot be read or written
    ├── TrainingError      training that went astray and was stopped
    └── CheckpointError    a weights file that cannot be used
        ├── UnknownCheckpoint   sound, but of no family that is known
        └── UnsafeCheckpoint    would run code when opened; it was not opened
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from .doors.words import A_SENTENCE, shown


class MotionError(Exception):
    """The root: everything this library raises on purpose.

    Its message may hold what a file says of itself, so it is made fit to be shown (see `words`).
    """

    # as they are imported, wherever the package lies: ComfyUI knows it by the whole path of a file
    __module__ = "comfyui_motion"

    def __init_subclass__(cls) -> None:
        cls.__module__ = MotionError.__module__

    def __init__(self, message: str = "") -> None:
        super().__init__(shown(message, A_SENTENCE))


class InputError(MotionError, ValueError):
    """A value at the library's edge that cannot be used as given."""


class NoSubject(InputError):
    """Pictures that do not show what the model moves, such as a face."""


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


@contextmanager
def boundary(kind: type[MotionError], sentence: str) -> Generator[None]:
    """Whatever a decoder or the system raises in the block is one error of `kind`.

    `sentence` has a place for the reason: "{path} is damaged ({reason})." is given with the path
    filled in. Only calls of other people's code belong in the block: a mistake of ours should be
    seen as what it is. Ours that are sentences already pass through.
    """
    try:
        yield
    except MotionError:
        raise
    except Exception as error:  # what other people's code raises cannot be foreseen
        raise kind(sentence.replace("{reason}", reason_of(error))) from error


def reason_of(error: BaseException) -> str:
    """What an exception says, as part of a sentence."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    said = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return shown(said.splitlines()[0].rstrip("."), 160)
