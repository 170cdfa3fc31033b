"""Mattes of what moves: the source's parts, as passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..animate import Step
from ..cutout import move_alpha
from ..field import resize
from ..framing.portrait import fitted
from ..model import MotionModel
from ..parts import matte_names

HARDLY = 0.1  # of a part: one that shows less nowhere is not there


@dataclass(frozen=True, eq=False)
class Mattes:
    """The source's parts, which move along."""

    parts: Mapping[str, Tensor]  # by name, 1 1 h w each

    @staticmethod
    def found(model: MotionModel, source: Tensor) -> Mattes:
        """Those that the model knows and the source has."""
        if not model.has_parts:
            return Mattes({})
        shown = fitted(model, source[:1].to(model.device))
        found = model.segment(shown)[:1].float().cpu()
        names = matte_names(model, found.shape[1])
        parts = zip(names[1:], found[:, 1:].split(1, dim=1), strict=True)
        return Mattes({name: part for name, part in parts if part.max() > HARDLY})

    def of(self, step: Step) -> dict[str, Tensor]:
        """In the frames of a step: by name, B h w."""
        if not self.parts:
            return {}
        parts = resize(torch.cat(list(self.parts.values()), dim=1), *step.frames.shape[-2:])
        moved = move_alpha(parts, step.field.to("cpu"), step.occlusion.cpu())
        return dict(zip(self.parts, moved.unbind(1), strict=True))
