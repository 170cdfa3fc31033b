"""Cut-outs of which a head moves: alpha goes with it, and what the head does not reach stays as it
was, colours under alpha included, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .cutout import move_alpha
from .field import MotionField
from .framing.level import SHOWN, LevelPortrait, shrunk
from .framing.turned import cut_turned


@dataclass(frozen=True, eq=False)
class Cutout:
    """A picture with straight alpha, as it came."""

    source: Tensor  # 1 2 H W or 1 4 H W
    alpha: Tensor  # 1 1 H W

    def finished(
        self,
        heads: list[LevelPortrait],
        frames: Tensor,
        hidden: Tensor,
        field: MotionField,
        size: str,
    ) -> tuple[Tensor, Tensor]:
        """The frames and their alpha. B 3 h w, B 1 h w; see `LevelPortrait.render`"""
        alpha = moved_alpha(self.alpha, heads, hidden, field, size)
        if size == "model":
            return frames, alpha
        colours = self.source[:, :-1].expand(-1, 3, -1, -1).to(frames)
        return torch.where(reached(heads), frames, colours), alpha


def moved_alpha(
    alpha: Tensor, heads: list[LevelPortrait], hidden: Tensor, field: MotionField, size: str
) -> Tensor:
    """A picture's alpha in the frames of its heads: of the picture's size, or of the model's, where
    frames are one head's square. 1 1 H W, B 1 h w -> B 1 h w
    """
    if size == "model":
        square = shrunk(cut_turned(alpha, heads[0].place, SHOWN), hidden.shape[-1])
        return move_alpha(square, heads[0].canvas_field(field), hidden)
    moved = move_alpha(alpha, field, hidden).to(hidden)
    return torch.where(reached(heads), moved, alpha.to(hidden))


def reached(heads: list[LevelPortrait]) -> Tensor:
    """The pixels that any of them may change. 1 1 H W, bool"""
    return torch.stack([head.reach for head in heads]).any(0)
