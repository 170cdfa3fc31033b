"""Who moves a head: where in the driving clip the face is, what it does, and what its motion is
measured from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from .doors.words import logger
from .driving import Batches, in_order
from .errors import InputError
from .framing.canvas import Box
from .framing.crop import Place, square_box
from .framing.head import driving_place, openness
from .framing.level import LevelPortrait, shown_at
from .framing.plan import BEST
from .keypoints import Keypoints
from .media.picture import to_rgb
from .model import MotionModel
from .options import Options
from .posed import COUNT, PosedKeypoints
from .retarget import best_reference
from .shapes import check_reference

ALIKE = 0.3  # of a square clip's side: a head that lies so near to its middle is shown as it is


@dataclass(frozen=True, eq=False)
class Performance:
    """What a look at a whole driving clip told."""

    points: PosedKeypoints  # T
    found: Tensor  # T, bool: whether the frame shows the face
    place: Place | None  # where it is in every frame; None: frames are shown whole
    reference: int  # the frame that motion is measured from
    rest: PosedKeypoints  # 1: the driver there

    @staticmethod
    def of(points: PosedKeypoints, rest: PosedKeypoints) -> Performance:
        """Of a clip of which only the points are known: every frame is taken to show the face."""
        return Performance(points, torch.ones(len(points), dtype=torch.bool), None, 0, rest)

    def __len__(self) -> int:
        return len(self.points)

    def at(self, frames: slice | Tensor) -> Performance:
        """The same in some of its frames."""
        return replace(self, points=self.points[frames], found=self.found[frames])


def watch(
    model: MotionModel, clip: Batches, options: Options, source: PosedKeypoints
) -> Performance:
    """The whole driving clip: where its face is, what it does, and the rest to measure from."""
    finder = options.finder_for(model)
    wanted = options.retarget_eyes or options.retarget_lips
    place, seen = driver_place(finder, clip, options.driving_subject, wanted)
    whole = points_in(model, clip, place)
    found = torch.ones(len(whole), dtype=torch.bool)
    if seen is not None:
        found, whole = seen.found, whole.but(openness=openness(seen.points).to(whole.position))
    number = reference_of(whole, found, options, source)
    return Performance(whole, found, place, number, rest_of(model, whole, number, options))


def performed(head: LevelPortrait, clip: Batches) -> PosedKeypoints:
    """The clip's points as `watch` has them, in the box that belongs to the portrait's. A frame
    without a face is as the reference frame, from which motion is measured.
    """
    points = points_in(head.model, clip, head.driving_place)
    finder = Options().finder_for(head.model)
    if finder is None or head.portrait.keypoints.openness is None:
        return points
    box = None if head.driving_place is None else head.driving_place.box
    seen = finder.follow(clip, **near(finder, clip, box))
    if not bool(seen.found.any()):
        return points
    points = points.but(openness=openness(seen.points).to(points.position))
    numbers = torch.arange(len(points))
    return points[torch.where(seen.found, numbers, head.reference)]


def points_in(model: MotionModel, clip: Batches, place: Place | None) -> PosedKeypoints:
    """What the model says of every frame; those that are held it sees once. Raises InputError for a
    clip of none.
    """
    points = [
        model.detect(shown_at(held.frames, place, model.size))[in_order(held.times)]
        for held in clip.held()
    ]
    if not points:
        raise InputError("The driving clip has no frames; give at least one.")
    whole = Keypoints.join(points)
    assert isinstance(whole, PosedKeypoints)  # of every model that is shown a head
    return whole


def driver_place(
    finder: Any, clip: Batches, given: Box | None, mesh: bool = False, name: str = "driving clip"
) -> tuple[Place | None, Any]:
    """One box for the whole clip, and its face followed where somebody looked for it: in a box that
    is given only if the face's surface is asked for (`mesh`). None: frames are shown whole.
    """
    height, width = next(iter(clip)).shape[-2:] if clip.total != 0 else (1, 1)
    seen: Any = None
    if finder is not None and (given is None or mesh):
        seen = finder.follow(clip, **near(finder, clip, given))
        seen = seen if bool(seen.found.any()) else None
    if given is not None:
        return Place(square_box(given), height, width), seen
    if seen is None:
        if height != width:
            raise InputError(
                f"No face was found in the {name}; give a box round it"
                " (driving_subject, --driving-subject L,T,R,B, or a mask)."
            )
        logger().warning("No face was found in the %s: it is taken whole.", name)
        return None, None
    place = driving_place(seen.points[seen.found], height, width)
    return (None if as_it_is(place) else place), seen


def near(finder: Any, clip: Batches, given: Box | None) -> dict[str, Tensor]:
    """Which face of the clip is meant: the one in the box that is given, else the largest."""
    faces = [] if given is None else faces_in(finder, next(iter(clip))[:1], given)
    return {"near": max(faces, key=lambda face: face.size).points} if faces else {}


def faces_in(finder: Any, picture: Tensor, within: Box | None) -> list[Any]:
    """The faces whose middle lies in the box, from left to right; none where nobody looks."""
    if finder is None:
        return []
    left, top, right, bottom = within or (0, 0, picture.shape[-1], picture.shape[-2])
    faces = finder.faces(picture)
    middles = [face.points[:, :2].mean(0).tolist() for face in faces]
    return [
        face
        for face, (x, y) in zip(faces, middles, strict=True)
        if left <= x <= right and top <= y <= bottom
    ]


def as_it_is(place: Place) -> bool:
    """Whether the clip is a square round the head already, as most drivers are published."""
    left, top, right, bottom = place.box
    side = place.width
    whole = place.width == place.height
    return whole and max(abs(left), abs(top), abs(right - side), abs(bottom - side)) < ALIKE * side


def reference_of(
    points: PosedKeypoints, found: Tensor, options: Options, source: PosedKeypoints
) -> int:
    """The frame that motion is measured from: the one asked for, or the best one that shows a face.

    Raises InputError beyond the clip's end.
    """
    if options.reference not in (None, BEST):
        check_reference(options.reference, len(points))
        return options.reference
    there = found.nonzero()[:, 0]
    return int(there[best_reference(points[there], source)])


def rest_of(
    model: MotionModel, points: PosedKeypoints, number: int, options: Options
) -> PosedKeypoints:
    """The driver at rest: in a picture of its own, or in a frame. A single picture, of which
    nothing else is known, is measured from the same head without expression. 1
    """
    if options.reference_picture is not None:
        picture = Batches(to_rgb(options.reference_picture), 1)
        place, _ = driver_place(
            options.finder_for(model), picture, options.driving_subject, name="reference picture"
        )
        shown = shown_at(picture.frame(0), place, model.size)
        return cast(PosedKeypoints, model.detect(shown))
    return rest_at(points, number)


def rest_at(points: PosedKeypoints, number: int) -> PosedKeypoints:
    """The driver at rest in a frame; of a single picture without its expression. 1"""
    rest = points[number]
    return rest.neutral() if len(points) == 1 and points.count == COUNT else rest
