"""`perform` for models that are shown a head, level and cropped: where the heads are in picture and
clip, who moves whom, and frames that show nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .doors.words import logger
from .driving import Batches, Frames
from .errors import InputError
from .field import MotionField, identity_grid
from .framing.canvas import Box
from .framing.crop import Place, square_box
from .framing.head import driving_place, source_place
from .framing.level import LevelPortrait, shown_at
from .framing.plan import BEST
from .keypoints import Keypoints
from .media.picture import to_rgb
from .memory import frames_at_once
from .model import MotionModel
from .options import ALL_FACES, Options
from .posed import COUNT, PosedKeypoints
from .retarget import best_reference, retarget

ALIKE = 0.3  # of a square clip's side: a head that lies so near to its middle is shown as it is


@dataclass(frozen=True, eq=False)
class Performance:
    """What a look at the whole driving clip told."""

    points: PosedKeypoints  # T
    found: Tensor  # T, bool: whether the frame shows the face
    place: Place | None  # where it is in every frame; None: frames are shown whole
    reference: int  # the frame that motion is measured from
    rest: PosedKeypoints  # 1: the driver there


def find_heads(model: MotionModel, picture: Tensor, options: Options) -> list[LevelPortrait]:
    """The heads of a picture (1 3 H W) that are to move, encoded: one, or all.

    Raises InputError where there is none, or fewer than the number asked for.
    """
    height, width = picture.shape[-2:]
    places = [Place(p.box, height, width, p.angle) for p in chosen(model, picture, options)]
    return [
        LevelPortrait.at(model, picture, place, options.framing, options.published)
        for place in places
    ]


def chosen(model: MotionModel, picture: Tensor, options: Options) -> list[Place]:
    """Where they are."""
    height, width = picture.shape[-2:]
    faces = picked(faces_in(options.finder_for(model), picture, options.subject), options)
    if not faces and options.subject is not None:
        return [Place(square_box(options.subject), height, width)]
    if not faces:
        raise InputError(
            "The source picture shows no face that the finder knows; give a box round head and"
            " shoulders (subject, --subject L,T,R,B, or a mask), as the model is to see them."
        )
    return [source_place(face.points, height, width) for face in faces]


def picked(faces: list[Any], options: Options) -> list[Any]:
    """Of some faces those that are to move. Raises InputError where there are fewer."""
    if faces and options.face > len(faces):
        raise InputError(
            f"The source picture shows {len(faces)} face{'s' * (len(faces) > 1)}, and face"
            f" {options.face}, counted from the left, was asked for; give 1 to {len(faces)}, or 0"
            " for the largest."
        )
    if options.face == ALL_FACES or not faces:
        return faces
    if options.face:
        return [faces[options.face - 1]]
    largest = max(range(len(faces)), key=lambda i: faces[i].size)
    if len(faces) > 1:
        logger().warning(
            "The picture shows %d faces: number %d from the left, the largest, moves; give another"
            " number (face), or all.",
            len(faces),
            largest + 1,
        )
    return [faces[largest]]


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


def watch(
    model: MotionModel, clip: Batches, options: Options, source: PosedKeypoints
) -> Performance:
    """The whole driving clip: where its face is, what it does, and the frame to measure from."""
    finder = options.finder_for(model)
    place, found = driver_place(finder, clip, options.driving_subject)
    points = [model.detect(shown_at(batch, place, model.size)) for batch in clip]
    if not points:
        raise InputError("The driving clip has no frames; give at least one.")
    whole = Keypoints.join(points)
    assert isinstance(whole, PosedKeypoints)  # of every model that is shown a head
    found = torch.ones(len(whole), dtype=torch.bool) if found is None else found
    number = reference_of(whole, found, options, source)
    rest = whole[number]
    if len(whole) == 1 and whole.count == COUNT:
        rest = rest.neutral()  # a single picture is measured from the same head at rest
    return Performance(whole, found, place, number, rest)


def frame_head(
    model: MotionModel, source: Tensor, options: Options, driving: Batches | None = None
) -> LevelPortrait:
    """One head of the source, encoded; with a driving clip, where the driver's is and the frame to
    measure from.
    """
    head = find_heads(model, to_rgb(source[:1]), options)[0]
    if driving is None:
        return replace(head, reference=options.reference or 0)
    seen = watch(model, driving, options, head.portrait.keypoints)
    return replace(head, driving_place=seen.place, reference=seen.reference)


def driver_place(
    finder: Any, clip: Batches, given: Box | None
) -> tuple[Place | None, Tensor | None]:
    """One box for the whole clip, and in which frames there is a face. None, None: all are shown
    whole.
    """
    height, width = next(iter(clip)).shape[-2:] if clip.total != 0 else (1, 1)
    if given is not None:
        return Place(square_box(given), height, width), None
    followed = None if finder is None else finder.follow(clip)
    if followed is None or not followed.found.any():
        if height != width:
            raise InputError(
                "The driving clip shows no face that the finder knows; give a box round it"
                " (driving_subject, --driving-subject L,T,R,B, or a mask)."
            )
        logger().warning("The driving clip shows no face that the finder knows: it is taken whole.")
        return None, None
    place = driving_place(followed.points[followed.found], height, width)
    return (None if as_it_is(place) else place), followed.found


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
        if options.reference >= len(points):
            raise InputError(
                f"The reference frame {options.reference} lies beyond the end of the driving clip,"
                f" which has {len(points)}; frames count from 0."
            )
        return options.reference
    there = found.nonzero()[:, 0]
    return int(there[best_reference(points[there], source)])


@torch.no_grad()
def perform_heads(
    model: MotionModel,
    source: Tensor,
    driving: Frames,
    options: Options,
    progress: Callable[[int, int | None], None] | None,
    step: Callable[..., Any],
) -> Iterator[Any]:
    """See `perform`; `step` makes its Step."""
    heads = find_heads(model, to_rgb(source[:1]), options)
    at_once = options.batch_size or frames_at_once(model)
    clip = Batches(driving, at_once, again=True)
    performance = watch(model, clip, options, heads[0].portrait.keypoints)
    heads = [replace(head, driving_place=performance.place) for head in heads]
    done = 0
    for batch in clip:
        part = slice(done, done + len(batch))
        points, found = performance.points[part], performance.found[part]
        poses = [posed(model, head, points, performance.rest, found, options) for head in heads]
        frames, hidden, field = painted(model, heads, poses, options.size)
        shown = heads[0].driver(batch)
        pose = heads[0].points_over_picture(poses[0])
        done += len(batch)
        yield step(frames, hidden, field, points, pose, shown)
        if progress:
            progress(done, clip.total)


def posed(
    model: MotionModel,
    head: LevelPortrait,
    points: PosedKeypoints,
    rest: PosedKeypoints,
    found: Tensor,
    options: Options,
) -> PosedKeypoints:
    """The head's pose in every frame; where the driver is not seen it rests. B K"""
    own = head.portrait.keypoints
    base = own.neutral() if options.neutral_source else own
    pose = retarget(points, rest, base, options.mode, strength=options.strengths)
    pose = model.stitch(own, pose, "published" if options.published else "settled")
    assert isinstance(pose, PosedKeypoints)
    return resting_where(pose, own, found)


def resting_where(pose: PosedKeypoints, own: PosedKeypoints, found: Tensor) -> PosedKeypoints:
    """The pose, but at rest in the frames that are not found."""
    if bool(found.all()):
        return pose
    still = own.expanded(len(pose))
    if pose.shift is not None:
        still = still.but(shift=torch.zeros_like(pose.shift))
    seen = found.to(pose.position.device)
    parts = {
        name: torch.where(seen.view(-1, *[1] * (part.ndim - 1)), part, still.parts()[name])
        for name, part in pose.parts().items()
    }
    return pose.but(**parts)


def painted(
    model: MotionModel, heads: list[LevelPortrait], poses: list[PosedKeypoints], size: str
) -> tuple[Tensor, Tensor, MotionField]:
    """All heads in one picture: frames, what in them is made up, and their motion over it."""
    frames, hidden, over = None, None, None
    for head, pose in zip(heads, poses, strict=True):
        field = model.motion(head.portrait, pose)
        frames, here = head.render(field, size, onto=frames)
        hidden = here if hidden is None else torch.maximum(hidden, here)
        whole = head.over_picture(field)
        over = whole if over is None else together(over, whole)
        if size == "model":
            break
    assert frames is not None and hidden is not None and over is not None  # one head at least
    return frames, hidden, over


def together(one: MotionField, other: MotionField) -> MotionField:
    """Two heads' motions of one picture, each of which leaves the rest still."""
    other = other.resize(*one.size)
    grid = one.grid + other.grid - identity_grid(*one.size, one.grid)
    occlusion = tuple(a * b for a, b in zip(one.occlusion, other.occlusion, strict=True))
    return MotionField(grid, occlusion)
