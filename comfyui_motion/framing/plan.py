"""How pictures come to a model, and where in them the subject is: given, or found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from ..keypoints import Keypoints
from ..model import MotionModel
from .align import framed_as
from .canvas import Box
from .find import (
    Subject,
    best_pose,
    find_subject,
    follow_subject,
    in_pixels,
    subject_at,
)

BEST = -1  # the reference frame is to be found
SMALLEST = 8  # pixels: boxes under this side hold nothing to move
log = logging.getLogger("comfyui_motion")


class Frames(Protocol):
    """A clip that can be read again."""

    def __iter__(self) -> Iterator[Tensor]: ...

    def frame(self, number: int) -> Tensor: ...


@dataclass(frozen=True)
class Framing:
    """How pictures come to the model, and where in them the subject is: boxes in pixels, or None:
    everywhere.
    """

    fit: str = "stretch"
    subject: Box | None = None
    driving_subject: Box | None = None

    def find(
        self, finder: MotionModel, source: Tensor, clip: Frames, reference: int, square: bool
    ) -> tuple[Framing, int]:
        """With the boxes that are not given found, so that the same points meet, and the reference
        frame where the best is asked for.

        source     1 C H W
        reference  the driving frame in which they meet; BEST: the one in which the driver is posed
                   most like the source
        square     the boxes are squares

        Where there is no subject all stays as it is, and the log tells.
        """
        rest = clip.frame(max(reference, 0))
        ours, theirs = (
            find_subject(finder, source, self.subject),
            find_subject(finder, rest, self.driving_subject),
        )
        if ours is None or theirs is None:
            told = (
                "neither the picture nor the clip shows"
                if ours is theirs
                else f"the {'picture' if ours is None else 'clip'} does not show"
            )
            log.warning(
                "%s a subject that the finder knows: both are taken as they are. Give their boxes"
                " by hand.",
                told.capitalize(),
            )
            return self, reference
        if reference == BEST:
            reference, theirs = best_frame(finder, clip, ours, theirs)
        boxes = framed_as(ours, theirs, self.subject, self.driving_subject, square)
        if any(min(right - left, bottom - top) < SMALLEST for left, top, right, bottom in boxes):
            log.warning(
                "The subjects of picture and clip do not lie alike: both are taken as they are."
                " Give their boxes by hand."
            )
            return self, reference
        return replace(self, subject=boxes[0], driving_subject=boxes[1]), reference


WHOLE = Framing()


def best_frame(
    finder: MotionModel, clip: Frames, ours: Subject, theirs: Subject
) -> tuple[int, Subject]:
    """The frame of the clip in which its subject, found in one of them, is posed most like ours,
    and the subject as it is there.
    """
    poses = Keypoints.join(follow_subject(finder, batch, theirs) for batch in clip)
    size = theirs.height, theirs.width
    best = best_pose(poses, ours, *size)
    belief = theirs.keypoints.confidence
    assert belief is not None
    return best, subject_at(in_pixels(poses[best], *size)[0], belief[0], theirs.confidence, *size)
