"""A performance onto other proportions.

absolute    the driving frame's keypoints as they are (reconstruction; a driver who is the source)
relative    the source's keypoints, moved as the driver moved since the reference frame (FOMM,
            section 3.3 and eq. 12)
avd         a network's guess at the driver's pose in the source's shape (MRAA, section 3.3)
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from .errors import InputError
from .keypoints import Keypoints, is_keypoints
from .shapes import check_numbers

MODES = ("absolute", "relative", "avd")
MOST = 100  # times what the driver does: beyond is a slip of the hand
STITCHING = ("settled", "published", "none")


@dataclass(frozen=True)
class Strengths:
    """How far each part of a face's performance goes: 0 not at all, 1 as far as the driver."""

    head: float = 1.0  # its turn and place
    expression: float = 1.0  # of all but eyes and mouth
    eyes: float = 1.0
    mouth: float = 1.0

    @staticmethod
    def all(strength: float) -> Strengths:
        return Strengths(strength, strength, strength, strength)

    def times(self, strength: float) -> Strengths:
        """All of them, so much further."""
        return Strengths(*(strength * part for part in dataclasses.astuple(self)))

    @property
    def least(self) -> float:
        """Of what moves only where everything does."""
        return min(self.head, self.expression, self.eyes, self.mouth)


def retarget(
    driving: Keypoints,
    reference: Keypoints | None,
    source: Keypoints,
    mode: str = "relative",
    adapt_scale: bool = True,
    strength: float | Tensor | Strengths = 1.0,
    model: Any = None,
    stitching: str = "settled",
) -> Keypoints:
    """The pose the source takes for each driving frame.

    driving      one set of points per frame, B
    reference    the driver at rest, 1: relative motion is measured from it; other modes need none
    source       the still picture's, 1 or B
    adapt_scale  relative motion grows by sqrt(hull(source) / hull(reference)), hull being the area
                 of the points' convex hull
    strength     1 moves as far as the driver does, 0 not at all; one number, or K of them, one per
                 point; for keypoints that know a face's parts also Strengths
    model        what mode "avd" asks, and what stitches a pose to the picture round it where it can
    stitching    "settled": so that the source at rest stays as it is; "published": as the network
                 says, which moves the source a little at rest too; "none"

    Keypoints that know how a face is made (`retargeted`) are asked themselves: they need no
    adapt_scale. Values that are no Keypoints (a family driven by frames) come back as they are.
    Raises InputError.
    """
    if mode not in MODES:
        raise InputError(f"mode must be {', '.join(MODES)}, and is {mode!r}.")
    check_strength(strength)
    if stitching not in STITCHING:
        raise InputError(f"stitching must be {', '.join(STITCHING)}, and is {stitching!r}.")
    check_alike(driving, source, "source")
    if reference is not None:
        check_alike(driving, reference, "reference")
    if not is_keypoints(driving):
        return driving
    for name, points in (("driver's", driving), ("reference's", reference), ("source's", source)):
        if points is not None:
            check_numbers(points.position, f"The {name} keypoints")
    if isinstance(driving, Retargeting) and mode != "avd":
        pose = driving.retargeted(reference, source, mode, strength)
        return pose if model is None else model.stitch(source, pose, stitching)
    if isinstance(strength, Strengths):
        strength = _of_all(strength)
    if mode == "avd":
        if model is None:
            raise InputError("Mode avd is a network's: connect the model that has one.")
        driving, reference, adapt_scale = model.avd(source, driving), source, False
    elif mode == "absolute":
        reference, adapt_scale = source, False
    if reference is None:
        raise InputError(
            "Relative motion needs a reference: the driver's keypoints at rest, such as"
            " driving[:1]."
        )
    if mode != "relative" and not isinstance(strength, Tensor) and strength == 1:
        return driving
    return _relative(
        driving, reference, source, hull_scale(source, reference) if adapt_scale else 1.0, strength
    )


@runtime_checkable
class Retargeting(Protocol):
    """Keypoints that carry a performance over themselves."""

    def retargeted(
        self,
        reference: Keypoints | None,
        source: Keypoints,
        mode: str,
        strength: float | Tensor | Strengths,
    ) -> Keypoints:
        """See `retarget`; mode is "absolute" or "relative"."""
        ...


@runtime_checkable
class Comparing(Protocol):
    """Keypoints that know which pose to measure motion from."""

    def unlike(self, source: Keypoints) -> Tensor:
        """How far each picture is from a good rest for that source. B"""
        ...


def check_alike(driving: Keypoints, other: Keypoints, whose: str) -> None:
    """Refuse what another model found in the `whose` picture than in the driver. Raises
    InputError.
    """
    if is_keypoints(driving) != is_keypoints(other):
        raise InputError(
            f"One of driver and {whose} comes from a model that knows keypoints, the other from one"
            " that is driven by frames; both must come from the same model."
        )
    if not is_keypoints(driving):
        return
    if driving.count != other.count:
        raise InputError(
            f"The driver has {driving.count} points and the {whose} {other.count}; both must come"
            " from the same model."
        )
    if isinstance(driving, (Retargeting, Comparing)) and not isinstance(other, type(driving)):
        raise InputError(
            f"The driver's points say how a face is made, and the {whose}'s are plain positions;"
            " both must come from the same model."
        )


def _of_all(strength: Strengths) -> float:
    """Of points that do not say which part of a face they are. Raises InputError."""
    told = set(dataclasses.astuple(strength))
    if len(told) > 1:
        raise InputError(
            "These keypoints do not say what is head, eyes or mouth, so that each cannot have a"
            " strength of its own; give one strength for all."
        )
    return told.pop()


def check_strength(strength: float | Tensor | Strengths) -> None:
    """Raises InputError unless it is a number, or numbers."""
    if isinstance(strength, Strengths):
        for name, part in dataclasses.asdict(strength).items():
            if not abs(part) <= MOST:
                raise InputError(
                    f"{name} must be a number from -{MOST} to {MOST}, such as 1 for all of it, not"
                    f" {part}."
                )
        return
    if not bool((torch.as_tensor(strength).abs() <= MOST).all()):
        raise InputError(
            f"strength must be a number from -{MOST} to {MOST}, such as 1 for as far as the driver"
            f" moves, and is {strength}."
        )


def _relative(
    driving: Keypoints,
    reference: Keypoints,
    source: Keypoints,
    scale: float | Tensor,
    strength: float | Tensor,
) -> Keypoints:
    """p = source + s (driving - reference), J = J_driving J_reference^-1 J_source (FOMM, eq. 12).
    Covariance stays the driver's.
    """
    per_point = (
        strength[:, None].to(source.position)
        if isinstance(strength, Tensor) and strength.ndim
        else strength
    )
    position = source.position + per_point * scale * (driving.position - reference.position)
    jacobian = driving.jacobian
    if (
        driving.jacobian is not None
        and reference.jacobian is not None
        and source.jacobian is not None
    ):
        turn: Tensor = driving.jacobian @ cast("Any", torch.linalg).inv_ex(reference.jacobian)[0]
        if isinstance(strength, Tensor) or strength != 1:
            still = torch.eye(2, device=turn.device)
            turn = still + (
                per_point[..., None]
                if isinstance(per_point, Tensor) and per_point.ndim
                else per_point
            ) * (turn - still)
        jacobian = turn @ source.jacobian
    return dataclasses.replace(driving.fainter(strength), position=position, jacobian=jacobian)


def hull_area(points: Tensor) -> float:
    """Of the convex hull of K points (K 2), in the square of their units; 0 for fewer than three,
    or collinear ones.
    """
    import cv2

    flat = points.detach().float().cpu().contiguous().numpy()
    return float(cv2.contourArea(cv2.convexHull(flat))) if len(flat) > 2 else 0.0


def hull_scale(source: Keypoints, reference: Keypoints) -> float:
    """sqrt(hull(source) / hull(reference)): how much larger the source's subject is drawn. 1 where
    either has no hull.
    """
    ours, theirs = hull_area(source.position[0]), hull_area(reference.position[0])
    return (ours / theirs) ** 0.5 if min(ours, theirs) > 1e-8 else 1.0


def normalised(points: Keypoints) -> Tensor:
    """Positions with their place and size taken out: centred, and at distance 1 from the centre in
    the root mean square. B K 2
    """
    centred = points.position - points.position.mean(dim=1, keepdim=True)
    return centred / centred.square().sum(-1).mean(dim=1).sqrt().clamp(min=1e-6)[:, None, None]


def best_reference(driving: Keypoints, source: Keypoints) -> int:
    """The driving frame whose keypoints lie most as the source's do, place and size aside: the rest
    to measure relative motion from. Raises InputError where they are not one model's.
    """
    check_alike(driving, source, "source")
    if isinstance(driving, Comparing):
        return int(driving.unlike(source).argmin())
    distance = (normalised(driving) - normalised(source)).square().sum(-1).mean(-1)
    return int(distance.argmin())
