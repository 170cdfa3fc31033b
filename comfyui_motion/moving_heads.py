"""`perform_heads` where the source is a clip itself: a portrait a frame, each with the driver's
change added to what it does anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .driving import Batches, Frames
from .errors import InputError
from .field import MotionField
from .framing.crop import Place, square_box
from .framing.head import source_place
from .framing.level import LevelPortrait, shown_at
from .geometry.rotation import degrees, matrix, nearest_rotation
from .heads import Performance, faces_in, painted, picked, resting_where, watch
from .keypoints import Keypoints
from .media.picture import to_rgb
from .model import MotionModel
from .options import ALL_FACES, Options
from .posed import PosedKeypoints
from .retarget import retarget

PROCESS, OBSERVATION = 1e-5, 3e-7  # variances of a random walk and of what is seen of it


@torch.no_grad()
def perform_moving_heads(
    model: MotionModel,
    source: Frames,
    driving: Frames,
    options: Options,
    progress: Callable[[int, int | None], None] | None,
    step: Callable[..., Any],
) -> Iterator[Any]:
    """See `perform`; `step` makes its Step. Both clips are looked at before the first frame is
    made, and what of the longer one has no partner is left out.
    """
    pictures = Batches(source, 1, to_rgb, again=True)
    clip = Batches(driving, 1, again=True)
    places, there = places_of(model, pictures, options)
    own = own_motion(model, pictures, places)
    performance = watch(model, clip, options, own[:1])
    poses, found = poses_of(model, own, there, performance, options)
    total = len(poses)
    for done, (picture, frame) in enumerate(zip(pictures, clip, strict=False)):
        part = slice(done, done + 1)
        head = LevelPortrait.at(model, picture, places[done], options.framing, options.published)
        head = replace(head, driving_place=performance.place)
        made = [poses[part]] if bool(found[done]) else [head.portrait.keypoints]
        frames, hidden, field = painted(model, [head], made, options.size)
        if not bool(there[done]) and options.size == "source":
            frames, hidden, field = picture.to(frames.device), 0 * hidden, still(field)
        pose = head.points_over_picture(made[0])
        shown = head.driver(frame)
        yield step(frames, hidden, field, performance.points[part], pose, shown)
        if progress:
            progress(done + 1, total)


def places_of(
    model: MotionModel, pictures: Batches, options: Options
) -> tuple[list[Place], Tensor]:
    """Where the face is in every frame, as it was last where it is not seen, and where
    it is seen.
    """
    if options.face == ALL_FACES:
        raise InputError(
            "All faces of a picture can move together, of a clip one at a time; give its number"
            " from the left, and animate the result again for the next."
        )
    first = next(iter(pictures), None)
    if first is None:
        raise InputError("The source clip has no frames; give at least one.")
    height, width = first.shape[-2:]
    finder = options.finder_for(model)
    face = next(iter(picked(faces_in(finder, first, options.subject), options)), None)
    if face is not None:
        followed = finder.follow(pictures, near=face.points)
        points = followed.points
        seen = followed.found.nonzero()[:, 0].tolist()
        nearest = [min(seen, key=lambda i, t=t: abs(i - t)) for t in range(len(points))]
        places = [source_place(points[i], height, width) for i in nearest]
        return places, followed.found
    if options.subject is None:
        raise InputError(
            "The source clip's first frame shows no face that the finder knows; give a box round"
            " head and"
            " shoulders (subject, --subject L,T,R,B, or a mask), as the model is to see them."
        )
    count = sum(len(batch) for batch in pictures)
    place = Place(square_box(options.subject), height, width)
    return [place] * count, torch.ones(count, dtype=torch.bool)


def own_motion(model: MotionModel, pictures: Batches, places: list[Place]) -> PosedKeypoints:
    """What the source does by itself. T"""
    own = Keypoints.join(
        model.detect(shown_at(picture, place, model.size))
        for picture, place in zip(pictures, places, strict=True)
    )
    assert isinstance(own, PosedKeypoints)  # of every model that is shown a head
    return own


def poses_of(
    model: MotionModel,
    own: PosedKeypoints,
    there: Tensor,
    performance: Performance,
    options: Options,
) -> tuple[PosedKeypoints, Tensor]:
    """The source's pose in every frame, with the driver's change, steadied in time, and whether
    both are seen.
    """
    count = min(len(own), len(performance.points))
    own, points = own[:count], performance.points[:count]
    base = own.neutral() if options.neutral_source else own
    pose = retarget(points, performance.rest, base, options.mode, strength=options.strengths)
    assert isinstance(pose, PosedKeypoints)
    pose = pose.but(scale=own.scale, translation=own.translation)
    pose = steadied(pose, own, options.published)
    pose = model.stitch(own, pose, "published" if options.published else "settled")
    assert isinstance(pose, PosedKeypoints)
    found = performance.found[:count] & there[:count]
    return resting_where(pose, own, found), found


def steadied(pose: PosedKeypoints, own: PosedKeypoints, published: bool) -> PosedKeypoints:
    """Turns and expressions smoothed in time: the whole pose as published, else what was added to
    the source's own, so that nothing added changes nothing.
    """
    turn, face = pose.turn, pose.expression
    if published:
        turn, face = random_walk(turn), random_walk(face)
        return pose.but(rotation=degrees(nearest_rotation(turn)), expression=face)
    ours = matrix(own.rotation)
    added = nearest_rotation(random_walk(turn @ ours.mT))
    return pose.but(
        rotation=degrees(added @ ours),
        expression=own.expression + random_walk(face - own.expression),
    )


def random_walk(
    values: Tensor, process: float = PROCESS, observation: float = OBSERVATION
) -> Tensor:
    """The likeliest course of what walks at random and is seen through noise: a Kalman filter, then
    backwards (Rauch, Tung, Striebel, 1965). T ... -> T ...
    """
    means, variances, variance = [values[0]], [observation], observation
    for value in values[1:]:
        ahead = variance + process
        gain = ahead / (ahead + observation)
        means.append(means[-1] + gain * (value - means[-1]))
        variance = (1 - gain) * ahead
        variances.append(variance)
    smooth = [means[-1]]
    for mean, variance in zip(means[-2::-1], variances[-2::-1], strict=True):
        gain = variance / (variance + process)
        smooth.append(mean + gain * (smooth[-1] - mean))
    return torch.stack(smooth[::-1])


def still(field: MotionField) -> MotionField:
    """No motion, as large as a field."""
    return MotionField.identity(len(field), *field.size, like=field.grid)
