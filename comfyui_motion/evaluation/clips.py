"""The clips that models are scored on: a folder's, one clip, or drawn ones that know
their truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import InputError, read_video
from ..data.clips import STRIPS, Clips, count_frames, frame_paths, read_frames
from ..data.puppets.clips import KINDS, UNSEEN, PuppetClip, puppet_clip
from .evaluate import ClipSource

PUPPETS = "puppets"


@dataclass(frozen=True)
class OneClip:
    """A film, an animated picture, a strip, or a folder or pattern of frames."""

    path: Path

    @property
    def names(self) -> Sequence[str]:
        return (self.path.name,)

    def video(self, number: int) -> Any:
        strip = self.path.is_file() and self.path.suffix.lower() in STRIPS
        return (
            read_frames(self.path, range(count_frames(self.path)))
            if strip
            else read_video(self.path)
        )


class PuppetClips:
    """Drawn clips that no training has seen, each kind in turn, with their truth."""

    def __init__(self, count: int, frames: int, size: int, kinds: Sequence[str] = KINDS) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise InputError(
                f"Puppets are of the kinds {', '.join(KINDS)}, and {', '.join(unknown) or 'none'}"
                " was asked for."
            )
        if count < 1 or frames < 2:
            raise InputError(
                f"Puppets move in 1 clip or more, of 2 frames or more; {count} of {frames} were"
                " asked for."
            )
        self.frames, self.size = frames, size
        self.groups = [kinds[i % len(kinds)] for i in range(count)]
        self.names = [f"{kind} {UNSEEN + i}" for i, kind in enumerate(self.groups)]
        self.truth = lru_cache(maxsize=2)(self._draw)

    def _draw(self, number: int) -> PuppetClip:
        return puppet_clip(UNSEEN + number, self.frames, self.size, self.groups[number])

    def video(self, number: int) -> Tensor:
        return self.truth(number).frames


def open_data(data: str, size: int, clips: int, frames: int, kinds: Sequence[str]) -> ClipSource:
    """What --data names: "puppets", a folder of clips (its test/, where it has one), or one clip.

    Raises MotionError.
    """
    if data == PUPPETS:
        return PuppetClips(clips, frames, size, kinds)
    path = Path(data)
    if not path.is_dir():
        return OneClip(path)
    try:
        return Clips(path, "test")
    except InputError:
        if frame_paths(path):  # pictures none of which is a strip: the frames of one clip
            return OneClip(path)
        raise
