"""`perform_heads` where the source is a clip itself: a portrait a frame, each with the driver's
change added to what it does anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .cutout import split_alpha
from .drivers import Performance, faces_in, watch
from .driving import Batches, Frames
from .errors import InputError
from .field import MotionField
from .framing.crop import Place, square_box
from .framing.head import openness, source_place
from .framing.level import LevelPortrait, shown_at
from .geometry.rotation import degrees, matrix, nearest_rotation
from .head_cutouts import Cutout
from .heads import drivers_of, painted
from .keypoints import Keypoints
from .media.picture import to_rgb
from .model import MotionModel
from .options import ALL_FACES, Options
from .posed import PosedKeypoints
from .posing import carried, finished, resting_where
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
    if options.drivers:
        raise InputError(
            "Drivers of their own (drivers, --driver) move the faces of a picture; of a clip one"
            " face moves at a time: animate the result again for the next."
        )
    sources = Batches(source, 1, as_given, again=True)
    pictures = Batches(sources.driving, 1, opaque, again=True, told=sources.told)
    clip = Batches(driving, 1, again=True)
    places, there, mesh = places_of(model, pictures, options)
    own = own_motion(model, pictures, places)
    if mesh is not None:
        own = own.but(openness=openness(mesh).to(own.position))
    performance = watch(model, clip, options, own[:1])
    poses, found = poses_of(model, own, there, performance, options)
    total = len(poses)
    for done, (given, frame) in enumerate(zip(sources, clip, strict=False)):
        part, picture = slice(done, done + 1), opaque(given)
        head = LevelPortrait.at(model, picture, places[done], options.framing, options.published)
        head = replace(head, driving_place=performance.place)
        made = [poses[part]] if bool(found[done]) else [head.portrait.keypoints]
        frames, hidden, field = painted(model, [head], made, options.size)
        if not bool(there[done]) and options.size == "source":
            frames, hidden, field = picture.to(frames.device), 0 * hidden, still(field)
        alpha = split_alpha(given)[1]
        if alpha is not None:
            cutout = Cutout(given, alpha)
            frames, alpha = cutout.finished([head], frames, hidden, field, options.size)
        pose = head.points_over_picture(made[0])
        shown = head.driver(frame)
        yield step(frames, hidden, field, performance.points[part], pose, shown, alpha)
        if progress:
            progress(done + 1, total)


def as_given(picture: Tensor) -> Tensor:
    return picture


def opaque(picture: Tensor) -> Tensor:
    """Its colours, those under alpha as they go on beyond the subject. 1 3 H W"""
    return to_rgb(split_alpha(picture)[0])


def places_of(
    model: MotionModel, pictures: Batches, options: Options
) -> tuple[list[Place], Tensor, Tensor | None]:
    """Where the face is in every frame, as it was last where it is not seen; where
    it is seen; and its surface, T 478 3, where it was found.
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
    faces = faces_in(finder, first, options.subject)
    if faces:
        (number,) = drivers_of(faces, options)
        followed = finder.follow(pictures, near=faces[number - 1].points)
        points = followed.points
        seen = followed.found.nonzero()[:, 0].tolist()
        nearest = [min(seen, key=lambda i, t=t: abs(i - t)) for t in range(len(points))]
        places = [source_place(points[i], height, width) for i in nearest]
        return places, followed.found, points[nearest]
    if options.subject is None:
        raise InputError(
            "No face was found in the source clip's first frame; give a box round"
            " head and shoulders (subject, --subject L,T,R,B, or a mask), as the model is to see"
            " them."
        )
    count = sum(len(batch) for batch in pictures)
    place = Place(square_box(options.subject), height, width)
    return [place] * count, torch.ones(count, dtype=torch.bool), None


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
    count = min(len(own), len(performance))
    own, driver = own[:count], performance.at(slice(0, count))
    base = own.neutral() if options.neutral_source else own
    pose = retarget(driver.points, driver.rest, base, options.mode, strength=carried(options))
    assert isinstance(pose, PosedKeypoints)
    pose = pose.but(scale=own.scale, translation=own.translation)
    pose = steadied(pose, own, options.published)
    pose = finished(model, own, pose, driver.points, options)
    found = driver.found & there[:count]
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
