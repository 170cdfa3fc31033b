"""`perform` for models that are shown a head, level and cropped: where the heads are in picture and
clip, who moves whom, and frames that show nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .cutout import split_alpha
from .doors.words import logger
from .drivers import Performance, faces_in, watch
from .driving import Batches, Frames, Held
from .errors import InputError
from .field import MotionField, identity_grid
from .framing.crop import Place, square_box
from .framing.head import openness, source_place
from .framing.level import LevelPortrait
from .head_cutouts import Cutout
from .media.picture import to_rgb
from .memory import frames_at_once
from .model import MotionModel
from .options import ALL_FACES, Options
from .posed import PosedKeypoints
from .posing import posed

MAIN = 0  # the driver that is given as the clip; others by the number of the face that they move


@dataclass(frozen=True, eq=False)
class Role:
    """A face of the source that is to move."""

    place: Place
    mesh: Tensor | None  # 478 3, in pixels; None where its place was given and nobody found it
    driver: int  # MAIN, or its own number


def find_heads(model: MotionModel, picture: Tensor, options: Options) -> list[LevelPortrait]:
    """The heads of a picture (1 3 H W) that are to move, encoded: one, or several.

    Raises InputError where there is none, or fewer than the number asked for.
    """
    return [head_of(model, picture, role, options) for role in cast(model, picture, options)]


def head_of(model: MotionModel, picture: Tensor, role: Role, options: Options) -> LevelPortrait:
    head = LevelPortrait.at(model, picture, role.place, options.framing, options.published)
    return head if role.mesh is None else head.opened(openness(role.mesh[None]))


def cast(model: MotionModel, picture: Tensor, options: Options) -> list[Role]:
    """Who is to move, and by whom, from left to right."""
    height, width = picture.shape[-2:]
    faces = faces_in(options.finder_for(model), picture, options.subject)
    if faces:
        numbers = drivers_of(faces, options)
        chosen = [(faces[n - 1].points, driver) for n, driver in sorted(numbers.items())]
        return [Role(source_place(p, height, width), p, driver) for p, driver in chosen]
    if options.drivers:
        raise InputError(
            "Drivers of their own (drivers, --driver) are for faces by number, and none was found"
            " in the source picture; leave them out."
        )
    if options.subject is None:
        raise InputError(
            "No face was found in the source picture; give a box round head and"
            " shoulders (subject, --subject L,T,R,B, or a mask), as the model is to see them."
        )
    return [Role(Place(square_box(options.subject), height, width), None, MAIN)]


def drivers_of(faces: list[Any], options: Options) -> dict[int, int]:
    """The numbers of the faces that move, each with its driver. Raises InputError."""
    own = {number: number for number in options.drivers}
    for number in (options.face, *own):
        if number > len(faces):
            raise InputError(
                f"The source picture shows {len(faces)} face{'s' * (len(faces) > 1)}, and face"
                f" {number}, counted from the left, was asked for; give 1 to {len(faces)}, or 0"
                " for the largest."
            )
    free = [number for number in range(1, len(faces) + 1) if number not in own]
    if options.face in own or not free:
        raise InputError(
            f"Face {options.face or 1} has a driver of its own (drivers, --driver), and the driving"
            " clip moves it too; leave one of them out."
        )
    if options.face == ALL_FACES:
        return own | dict.fromkeys(free, MAIN)
    largest = max(free, key=lambda number: faces[number - 1].size)
    if len(free) > 1 and not options.face:
        logger().warning(
            "The picture shows %d faces: number %d from the left, the largest%s, moves; give"
            " another number (face), or all.",
            len(faces),
            largest,
            " without a driver of its own" if own else "",
        )
    return own | {options.face or largest: MAIN}


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
    colours, alpha = split_alpha(source[:1])
    picture = to_rgb(colours)
    roles = cast(model, picture, options)
    heads = [head_of(model, picture, role, options) for role in roles]
    clips = clips_of(model, driving, options)
    seen = {
        key: watch(model, clip, options_for(key, options), first(heads, roles, key))
        for key, clip in clips.items()
    }
    heads = [
        replace(head, driving_place=seen[role.driver].place)
        for head, role in zip(heads, roles, strict=True)
    ]
    main = next(i for i, role in enumerate(roles) if role.driver == MAIN)
    total, done = shortest(seen), 0
    for held in side_by_side(list(clips.values())):
        places = done + held.places
        told = {key: performance.at(places) for key, performance in seen.items()}
        poses = [
            posed(model, head.portrait.keypoints, told[role.driver], options)
            for head, role in zip(heads, roles, strict=True)
        ]
        some = slice(main, main + 1) if options.size == "model" else slice(None)
        frames, hidden, field = painted(model, heads[some], poses[some], options.size)
        clear = None
        if alpha is not None:
            cutout = Cutout(source[:1], alpha)
            frames, clear = cutout.finished(heads[some], frames, hidden, field, options.size)
        shown = heads[main].driver(held.frames)
        pose = heads[main].points_over_picture(poses[main])
        done += held.total
        made = step(frames, hidden, field, told[MAIN].points, pose, shown, clear)
        yield from made.again(held.times, max(1, len(held)))
        if progress:
            progress(done, total)


def side_by_side(clips: list[Batches]) -> Iterator[Held]:
    """Frames of the main clip, to the end of the shortest; of one that is alone, those that are
    held once.
    """
    if len(clips) == 1:
        yield from clips[0].held()
        return
    for batches in zip(*clips, strict=False):
        count = min(map(len, batches))
        yield Held(batches[0][:count], (1,) * count)


def clips_of(model: MotionModel, driving: Frames, options: Options) -> dict[int, Batches]:
    """The driving clips, in batches of one length. The main one comes first."""
    at_once = options.batch_size or frames_at_once(model)
    given = {MAIN: driving, **options.drivers}
    return {key: Batches(clip, at_once, again=True) for key, clip in given.items()}


def options_for(driver: int, options: Options) -> Options:
    """The options for one driver: for others than the main clip, without what is said of that clip
    alone.
    """
    if driver == MAIN:
        return options
    return replace(options, driving_subject=None, reference=None, reference_picture=None)


def first(heads: list[LevelPortrait], roles: list[Role], driver: int) -> PosedKeypoints:
    """The points of the first head that this driver moves."""
    moved = next(h for h, role in zip(heads, roles, strict=True) if role.driver == driver)
    return moved.portrait.keypoints


def shortest(seen: dict[int, Performance]) -> int:
    """Frames until the first clip ends; the log tells where they differ."""
    lengths = [len(performance) for performance in seen.values()]
    if len(set(lengths)) > 1:
        logger().warning(
            "The driving clips have %s frames: the animation ends with the shortest.",
            ", ".join(map(str, lengths)),
        )
    return min(lengths)


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
    assert frames is not None and hidden is not None and over is not None  # one head at least
    return frames, hidden, over


def together(one: MotionField, other: MotionField) -> MotionField:
    """Two heads' motions of one picture, each of which leaves the rest still."""
    other = other.resize(*one.size)
    grid = one.grid + other.grid - identity_grid(*one.size, one.grid)
    occlusion = tuple(a * b for a, b in zip(one.occlusion, other.occlusion, strict=True))
    return MotionField(grid, occlusion)
