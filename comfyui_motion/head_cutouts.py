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
        if size == "model":
            square = shrunk(cut_turned(self.alpha, heads[0].place, SHOWN), frames.shape[-1])
            return frames, move_alpha(square, heads[0].canvas_field(field), hidden)
        reached = torch.stack([head.reach for head in heads]).any(0)
        moved = move_alpha(self.alpha, field, hidden).to(frames)
        colours = self.source[:, :-1].expand(-1, 3, -1, -1).to(frames)
        return torch.where(reached, frames, colours), torch.where(
            reached, moved, self.alpha.to(moved)
        )
