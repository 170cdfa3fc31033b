"""How a model's keypoints lie on their subject: which of them say where it is, how large it is, and
what it may look like.

Of most models nothing is known but that its points lie on the subject. Models trained on puppets
(`training.puppets`) have twenty points with names, and these lie as on a face. Points here are in
pixels, N K 2; what is learned from them is in the same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..keypoints import Keypoints
from ..retarget import normalised
from .canvas import Box

TURN = math.radians(50)  # heads are not tilted further


@dataclass(frozen=True)
class Layout:
    """`rest` gives the points' usual places, centred on the core, which lies at distance 1 from its
    centre in the root mean square.
    """

    # points that are seen whenever the subject is, and so give its place and size; empty: all of
    # them
    core: tuple[int, ...]
    body: tuple[int, ...]  # points on the subject, which the box is drawn round; empty: all of them
    rest: tuple[tuple[float, float], ...]  # empty: not known
    mirror: tuple[int, ...]  # which point each becomes in a mirror; empty: not known
    # of the square that frames the subject as the model saw it most in training, in distances of
    # the core
    side: float
    above: float  # how far that square's centre lies over the core's, likewise
    unlike: float  # distance from `rest` at which a layout is half believed, likewise
    # points as numbers that tell how the subject is posed, whoever it is; 1 is a clear difference.
    # N K 2 -> N P
    pose: Callable[[Tensor], Tensor]

    def choose(self, points: Tensor) -> Tensor:
        """The core. N K 2 -> N C 2"""
        return points[:, list(self.core)] if self.core else points

    def measure(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and size of the core. N K 2 -> N 1 2, N 1 1"""
        core = self.choose(points)
        centre = core.mean(dim=1, keepdim=True)
        return (
            centre,
            (core - centre).square().sum(-1).mean(1).sqrt().clamp(min=1e-3)[:, None, None],
        )

    def square(self, points: Tensor) -> Tensor:
        """The square that frames the points. N K 2 -> N 3: (x, y, side)"""
        centre, size = (value[:, 0] for value in self.measure(points))
        return torch.cat(
            [centre[:, :1], centre[:, 1:] - self.above * size, self.side * size], dim=1
        )

    def apart(self, points: Tensor, others: Tensor) -> Tensor:
        """How far two findings of one subject lie apart, in its size. N K 2 twice -> N"""
        _, size = self.measure(points)
        return (self.choose(points - others).square().sum(-1).mean(1).sqrt()) / size[:, 0, 0]

    def unlikeness(self, points: Tensor) -> Tensor:
        """How far the core lies from where it usually does, place, size and a tilt aside; 0 where
        nothing is known. N K 2 -> N
        """
        if not self.rest:
            return points.new_zeros(len(points))
        centre, size = self.measure(points)
        x, y = ((self.choose(points) - centre) / size).unbind(-1)  # N C
        u, v = self.choose(points.new_tensor(self.rest)[None]).unbind(-1)  # 1 C
        along, across = (u * x + v * y).mean(1), (u * y - v * x).mean(1)
        angle = torch.atan2(across, along).clamp(-TURN, TURN)[:, None]
        scale = (along[:, None] * angle.cos() + across[:, None] * angle.sin()).clamp(min=0) / (
            u.square() + v.square()
        ).mean()
        du = x - scale * (angle.cos() * u - angle.sin() * v)
        dv = y - scale * (angle.sin() * u + angle.cos() * v)
        # 0, but for points that all lie on one spot
        collapsed = 1 - (x.square() + y.square()).mean(1)
        return ((du.square() + dv.square()).mean(1) + collapsed).clamp(min=0).sqrt()

    def likeness(self, points: Tensor) -> Tensor:
        """How far the points can be believed for lying as they do. N K 2 -> N in 0..1"""
        return 1 / (1 + (self.unlikeness(points) / self.unlike).square())

    def box(self, points: Tensor) -> Box:
        """Round the body in all the pictures together. N K 2"""
        body = points[:, list(self.body)] if self.body else points
        (left, top), (right, bottom) = body.amin((0, 1)).tolist(), body.amax((0, 1)).tolist()
        return left, top, right, bottom


def any_pose(points: Tensor) -> Tensor:
    """Where the points lie, place and size aside. N K 2 -> N 2K"""
    return normalised(Keypoints(points)).flatten(1)


def face_pose(points: Tensor) -> Tensor:
    """Turn, nod and tilt of the head; how far mouth and eyes are open, how the mouth is drawn. In
    the face's own measure, so that proportions tell little. N 20 2 -> N 8
    """
    eyes = (points[:, 2:4] + points[:, 4:6]) / 2  # N 2 2, left and right
    across = eyes[:, 1] - eyes[:, 0]
    wide = across.norm(dim=-1).clamp(min=1e-3)
    x = across / wide[:, None]
    y = torch.stack([-x[:, 1], x[:, 0]], dim=-1)
    seen = points - eyes.mean(1, keepdim=True)
    # N 20, in distances of the eyes
    u, v = (
        (seen * x[:, None]).sum(-1) / wide[:, None],
        (seen * y[:, None]).sum(-1) / wide[:, None],
    )
    mouth = v[:, 8:12].mean(1).clamp(min=0.2)
    told = [
        (u[:, 13], 0.12),  # the nose goes ahead when the head turns
        (v[:, 13] / mouth, 0.2),  # and down when it nods
        (torch.atan2(across[:, 1], across[:, 0]), 0.15),
        ((v[:, 11] - v[:, 10]) / mouth, 0.2),
        ((v[:, 4] - v[:, 2]) / mouth, 0.1),
        ((v[:, 5] - v[:, 3]) / mouth, 0.1),
        ((v[:, 8:10].mean(1) - v[:, 10:12].mean(1)) / mouth, 0.2),  # corners up: a smile
        (u[:, 9] - u[:, 8], 0.35),
    ]
    return torch.stack([value / clear for value, clear in told], dim=1)


FACE = Layout(
    # brows, lids, nose bridge, mouth, chin, nose tip
    core=(0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13),
    # those, forehead, ears, crown; neck and shoulders are left out
    body=(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    rest=(
        (-0.68, -0.97), (0.68, -0.97), (-0.69, -0.69), (0.69, -0.69), (-0.69, -0.54),
        (0.69, -0.54), (0.0, -1.57), (0.0, -0.6),
        (-0.4, 0.75), (0.4, 0.75), (0.0, 0.71), (0.0, 0.92), (0.0, 1.67), (0.0, 0.24),
        (-1.73, -0.3), (1.73, -0.3), (0.0, -2.85),
        (0.0, 1.06), (-2.3, 2.61), (2.3, 2.61),
    ),
    mirror=(1, 0, 3, 2, 5, 4, 6, 7, 9, 8, 10, 11, 12, 13, 15, 14, 16, 17, 19, 18),
    side=6.2,
    above=0.2,
    unlike=0.4,
    pose=face_pose,
)  # fmt: skip
ANY = Layout(core=(), body=(), rest=(), mirror=(), side=5.0, above=0.0, unlike=1.0, pose=any_pose)


def layout_of(points: Tensor) -> Layout:
    """By how many points there are: twenty are a puppet's. ... K 2"""
    return FACE if points.shape[-2] == len(FACE.rest) else ANY
