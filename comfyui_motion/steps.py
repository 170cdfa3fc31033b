"""A batch of an animation on its way: posed, then painted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .driving import in_order
from .field import MotionField
from .framing.portrait import FramedPortrait
from .options import Options
from .retarget import retarget


@dataclass(frozen=True, eq=False)
class Step:
    """One batch of an animation, with everything that led to it."""

    frames: Tensor  # B 3 H W in 0..1, at the size asked for
    # B 1 H W in 0..1, 1 = made up, for the source does not show it (see `occlusion_shown`)
    occlusion: Tensor
    field: MotionField  # over the whole source, at the model's size, read corner-aligned
    points: Any  # the driver's keypoints, on the canvas
    pose: Any  # the source's, posed, over the whole source
    driving: Tensor  # B 3 h w: the driving frames as the model was given them (see `driver_shown`)
    # B 1 H W in 0..1, 1 = opaque, of frames whose colours are straight; None: the source has none
    alpha: Tensor | None = None

    def again(self, times: tuple[int, ...], count: int) -> Iterator[Step]:
        """Each frame as often as it is to be shown, at most `count` together."""
        if all(time == 1 for time in times):
            yield self
            return
        named = {part.name: getattr(self, part.name) for part in fields(self)}
        named = {name: part for name, part in named.items() if part is not None}
        for frames in torch.split(in_order(times), count):
            yield replace(self, **{name: part[frames] for name, part in named.items()})


@dataclass(frozen=True, eq=False)
class Posed:
    """One batch before it is painted."""

    portrait: FramedPortrait
    points: Any  # the driver's keypoints, B
    pose: Any  # the source's, posed, on the canvas, B
    field: MotionField  # B
    driving: Tensor  # B 3 h w
    size: str  # of the frames: "source" or "model"
    hides: bool = True  # whether what is hidden is asked for

    @staticmethod
    def of(
        portrait: FramedPortrait, points: Any, rest: Any, driving: Tensor, options: Options
    ) -> Posed:
        """By the driver's keypoints, and those at rest."""
        model = portrait.model
        pose = retarget(
            points,
            rest,
            portrait.portrait.keypoints,
            options.mode,
            options.adapt_scale,
            options.strengths,
            model,
        )
        hides = options.occlusion_shown
        field = (model.motion if hides else model.moving)(portrait.portrait, pose)
        return Posed(portrait, points, pose, field, driving, options.size, hides)

    def __len__(self) -> int:
        return len(self.field)

    def __getitem__(self, part: slice) -> Posed:
        named = ("points", "pose", "field", "driving")
        return replace(self, **{name: getattr(self, name)[part] for name in named})

    def painted(self) -> Step:
        if self.hides:
            frames, occlusion = self.portrait.render(self.field, self.size)
        else:
            frames = self.portrait.shown(self.field, self.size)
            occlusion = frames.new_empty(len(frames), 1, 0, 0)
        over = self.portrait.over_picture(self.field)
        pose = self.portrait.points_over_picture(self.pose)
        return Step(frames, occlusion, over, self.points, pose, self.driving)
