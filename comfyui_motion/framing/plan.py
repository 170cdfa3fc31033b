"""How pictures come to a model, and where in them the subject is: given, or found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from ..doors.words import logger
from .align import framed_as
from .canvas import Box
from .find import Finder, Subject, best_pose, find_subject

BEST = -1  # the reference frame is to be found
SMALLEST = 8  # pixels: boxes under this side hold nothing to move
log = logger()


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
        self,
        finder: Finder,
        source: Tensor,
        clip: Frames,
        reference: int,
        square: bool,
        number: int = 0,
    ) -> tuple[Framing, int]:
        """With the boxes that are not given found, so that the same points meet, and the reference
        frame where the best is asked for.

        source     1 C H W
        reference  the driving frame in which they meet; BEST: the one in which the driver is posed
                   most like the source
        square     the boxes are squares
        number     which face of the source, see `find_subject`

        Where there is no face all stays as it is, and the log tells.
        """
        rest = clip.frame(max(reference, 0))
        ours = find_subject(finder, source, self.subject, number=number)
        theirs = find_subject(finder, rest, self.driving_subject)
        if reference == BEST and ours is not None:
            reference, theirs = best_frame(finder, clip, rest, ours, theirs)
        if ours is None or theirs is None:
            log.warning("%s", no_face(ours, theirs, reference))
            return self, reference
        boxes = framed_as(ours, theirs, self.subject, self.driving_subject, square)
        if any(min(right - left, bottom - top) < SMALLEST for left, top, right, bottom in boxes):
            log.warning(
                "The faces of picture and clip do not lie alike: both are taken as they are. Mark"
                " them (subject, driving_subject), or choose find_face off."
            )
            return self, reference
        return replace(self, subject=boxes[0], driving_subject=boxes[1]), reference


WHOLE = Framing()


def no_face(ours: Subject | None, theirs: Subject | None, reference: int) -> str:
    """That there is none, and where."""
    frame = "the clip" if reference == BEST else f"frame {reference} of the clip"
    if ours is theirs:
        told = f"Neither the picture nor {frame} shows"
    else:
        told = (
            "The picture does not show" if ours is None else f"{frame.capitalize()} does not show"
        )
    return (
        f"{told} a face: both are taken as they are. Mark what is to move (subject,"
        " driving_subject) where that is not meant."
    )


def best_frame(
    finder: Finder, clip: Frames, first: Tensor, ours: Subject, theirs: Subject | None
) -> tuple[int, Subject | None]:
    """The frame of the clip in which its face is posed most like ours, and the face as it is there;
    BEST and None where no frame shows one.
    """
    seen = finder.follow(clip, None if theirs is None else theirs.points)
    if not seen.found.any():
        return BEST, None
    best = best_pose(seen.points, seen.found, ours)
    return best, Subject(seen.points[best], 1.0, *first.shape[-2:])
