"""The pose of a head in every frame: the driver's motion on it, eyes and lips, stitching."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from .drivers import Performance
from .errors import InputError
from .model import MotionModel
from .options import Options
from .posed import EYES, LIPS, PosedKeypoints
from .retarget import Strengths, retarget

PARTED = 0.03  # of a mouth's width: lips nearer to one another are closed


def posed(
    model: MotionModel,
    own: PosedKeypoints,
    driver: Performance,
    options: Options,
) -> PosedKeypoints:
    """A head's pose in every frame of its driver; where that one is not seen it rests. B K

    own  the head's points, 1 or B
    """
    base = own.neutral() if options.neutral_source else own
    pose = retarget(driver.points, driver.rest, base, options.mode, strength=carried(options))
    assert isinstance(pose, PosedKeypoints)
    return resting_where(finished(model, own, pose, driver.points, options), own, driver.found)


def finished(
    model: MotionModel,
    own: PosedKeypoints,
    pose: PosedKeypoints,
    driving: PosedKeypoints,
    options: Options,
) -> PosedKeypoints:
    """The pose with what the networks of points say of it."""
    change = opened(model, own, driving, options)
    if change is not None:
        # as published, nothing else of a relative motion is left then
        alone = options.published and options.mode == "relative"
        pose = (own.expanded(len(pose)) if alone else pose).shifted(change)
    stitching = "published" if options.published else "settled"
    pose = cast(PosedKeypoints, model.stitch(own, pose, stitching))
    if options.close_lips and not options.retarget_lips:
        pose = pose.shifted(closing(model, own))
    if options.published and not isinstance(options.strength, Tensor):
        return pose.between(own, torch.full((pose.count,), float(options.strength)))
    return pose


def carried(options: Options) -> float | Tensor | Strengths:
    """How far each part follows the driver's points. Where eyes or lips are retargeted by networks
    they follow the driver's ratios instead. As published, the strength of all comes last.
    """
    eyes, lips = options.retarget_eyes, options.retarget_lips
    if isinstance(options.strength, Tensor) and options.strength.ndim:
        strength = options.strength.clone()
        for points in (EYES,) * eyes + (LIPS,) * lips:
            strength[list(points)] = 0
        return strength
    parts = options.parts
    told = Strengths(
        parts.head, parts.expression, 0.0 if eyes else parts.eyes, 0.0 if lips else parts.mouth
    )
    return told if options.published else told.times(float(options.strength))


def opened(
    model: Any, own: PosedKeypoints, driving: PosedKeypoints, options: Options
) -> Tensor | None:
    """What the retargeting networks add to the points so that eyes and lips are as far open as the
    driver's. B K 3; None where nothing of it is asked for.
    """
    if not (options.retarget_eyes or options.retarget_lips):
        return None
    if driving.openness is None:
        raise InputError(
            "Eyes and lips are retargeted by how far the driver's are open, and no face was found"
            " in the driving clip (in a graph: connect portrait to Extract Keypoints); leave"
            " retarget_eyes and retarget_lips out."
        )
    source, theirs = openness_of(own).expand(len(driving), -1), driving.openness.to(own.position)
    change = own.position.new_zeros(len(driving), own.count, 3)
    if options.retarget_eyes:
        ratios = torch.cat([source[:, :2], theirs[:, :2].mean(1, keepdim=True)], dim=1)
        change += strength_of(options, "eyes", change) * model.eye_change(own, ratios).to(change)
    if options.retarget_lips:
        ratios = torch.cat([source[:, 2:], theirs[:, 2:]], dim=1)
        change += strength_of(options, "mouth", change) * model.lip_change(own, ratios).to(change)
    return change


def strength_of(options: Options, part: str, like: Tensor) -> Tensor:
    """Of a change of a part of the face: one number, or one a point. K 1 or 1 1"""
    if options.published:
        return like.new_ones(1, 1)
    strength = torch.as_tensor(options.strength).to(like)
    return getattr(options, part) * strength.reshape(-1, 1)


def closing(model: Any, own: PosedKeypoints) -> Tensor:
    """What closes the source's lips, added to its points: nothing where they are closed. 1 K 3 or
    B K 3
    """
    ratio = openness_of(own)[:, 2:]
    change = model.lip_change(own, torch.cat([ratio, torch.zeros_like(ratio)], dim=1))
    parted = (ratio >= PARTED).to(change)
    return (change * parted[..., None]).to(own.position.device)


def openness_of(own: PosedKeypoints) -> Tensor:
    """1 3 or B 3. Raises InputError where no face was found."""
    if own.openness is None:
        raise InputError(
            "How far the source's eyes and lips are open is measured on its face, and none was"
            " found in the picture; leave close_lips, retarget_eyes and retarget_lips out."
        )
    return own.openness


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
