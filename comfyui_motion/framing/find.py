"""Where the subject of a picture or a clip is: a face, found by whatever model can find faces.

Points are in pixels, 0 the picture's outer edge, with a depth that grows away from the viewer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ..errors import InputError
from ..geometry.pixels import from_edges
from ..keypoints import Keypoints
from ..media.picture import to_rgb
from .canvas import Box, check_box
from .landmarks import head_box, pose

LEAST = 0.6  # confidence from which there is a subject
# how much it counts that a driver is posed as most of the time, against being posed like the source
USUAL = 0.5
# of the first frame's unlikeness: a frame that is hardly better is not worth another beginning
CLEARLY = 0.7


class Finder(Protocol):
    """What finds faces: `motion.load("face")`, or what a model for faces brings along."""

    finds_faces: ClassVar[bool]

    def faces(self, picture: Tensor) -> list[Any]:
        """Of 1 3 H W, from left to right; each has points (478 3), box and score."""
        ...

    def follow(self, clip: Iterable[Tensor], near: Tensor | None = None) -> Any:
        """One face in batches of frames: points T 478 3, where it is `found` and where a shot is
        `cut`, T.
        """
        ...

    def subject(self, frames: Tensor) -> Tensor:
        """Which pixels are people. B 3 H W -> B 1 H W"""
        ...


@dataclass(frozen=True, eq=False)
class Subject:
    """A face in a picture of height x width."""

    points: Tensor  # 478 3, in pixels, 0 the picture's outer edge
    confidence: float  # 0..1
    height: int
    width: int

    @property
    def box(self) -> Box:
        """Round the head, in pixels: (left, top, right, bottom); may reach beyond the picture."""
        return head_box(self.points[None])

    @property
    def keypoints(self) -> Keypoints:
        """The points in the picture's coordinates. 1 478"""
        return from_pixels(self.points[None, :, :2], self.height, self.width)


def find_subject(
    finder: Finder,
    picture: Tensor,
    within: Box | None = None,
    least: float = LEAST,
    number: int = 0,
) -> Subject | None:
    """The subject of a picture of any size, anywhere in it; None where there is none.

    finder   a model that finds faces: `motion.load("face")`
    picture  1 C H W in 0..1
    within   a box in pixels: only faces whose middle lies there
    least    confidence from which there is a subject
    number   which face, from left to right; 0: the largest

    Raises InputError for another finder, and for a number beyond the faces that there are.
    """
    check_finder(finder)
    picture = to_rgb(picture[:1])
    height, width = picture.shape[-2:]
    faces = [face for face in finder.faces(picture) if face.score >= least]
    if within is not None:
        faces = [face for face in faces if inside(face.box, check_box(within, height, width))]
    if not faces:
        return None
    face = chosen(faces, number)
    return Subject(face.points, face.score, height, width)


def chosen(faces: list[Any], number: int) -> Any:
    """The face of that number, from left to right; 0: the largest. Raises InputError."""
    if number > len(faces):
        found = "one face" if len(faces) == 1 else f"{len(faces)} faces"
        raise InputError(
            f"The picture shows {found}, and face {number}, from left to right, was asked for; give"
            f" 1 to {len(faces)}, or 0 for the largest."
        )
    return faces[number - 1] if number else max(faces, key=lambda face: _area(face.box))


def follow_subject(finder: Finder, frames: Tensor, subject: Subject) -> Keypoints:
    """The subject of a clip's frame in all its frames. B C H W, of one size -> B 478, in the
    frames' coordinates; where it is not seen, as it was last, with confidence 0.
    """
    check_finder(finder)
    frames = to_rgb(frames)
    seen = finder.follow([frames], subject.points)
    belief = seen.found.float()[:, None].expand(-1, seen.points.shape[1])
    height, width = frames.shape[-2:]
    return from_pixels(seen.points[..., :2], height, width, belief)


def clip_box(finder: Finder, frames: Tensor, number: int = 0) -> Box | None:
    """The box that holds the head of a clip's subject in all its frames, in pixels; None where no
    frame shows a face. B C H W

    `number` as in `find_subject`, in the first frame that shows one.
    """
    points = clip_points(finder, frames, number)
    return None if points is None else head_box(points)


def clip_points(finder: Finder, frames: Tensor, number: int = 0) -> Tensor | None:
    """The points of a clip's subject in the frames that show it, T 478 3; see `clip_box`."""
    check_finder(finder)
    frames = to_rgb(frames)
    first = find_subject(finder, frames[:1], number=number)
    seen = finder.follow([frames], None if first is None else first.points)
    return seen.points[seen.found] if seen.found.any() else None


def best_pose(points: Tensor, seen: Tensor, subject: Subject) -> int:
    """The frame of a followed clip in which its face is posed most like one of another picture; the
    first that shows it unless clearly less. T 478 3, T
    """
    driving, source = pose(points), pose(subject.points[None])
    usual = driving[seen].median(dim=0).values
    unlike, unusual = ((driving - to).square().sum(1) for to in (source, usual))
    cost = torch.where(seen, unlike + USUAL * unusual, torch.inf)
    first = int(seen.float().argmax())
    return int(cost.argmin()) if cost.min() < CLEARLY * cost[first] else first


def inside(box: Box, other: Box) -> bool:
    """Whether the middle of a box lies in another."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def check_finder(finder: Any) -> None:
    """Raises InputError for a model that finds no faces."""
    if not getattr(finder, "finds_faces", False):
        raise InputError(
            'A subject is found by a model that finds faces, motion.load("face"), and'
            f" {getattr(finder, 'family', type(finder).__name__)} is none."
        )


def from_pixels(
    points: Tensor, height: int, width: int, confidence: Tensor | None = None
) -> Keypoints:
    """Points in pixels, 0 the picture's outer edge, as keypoints. N K 2"""
    return Keypoints(from_edges(points, height, width), confidence=confidence)
