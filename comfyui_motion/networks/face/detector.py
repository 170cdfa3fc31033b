"""BlazeFace, short range: where in a square picture there are faces.

Bazarevsky et al., BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs, 2019. Every cell
of two grids guesses boxes round its middle, each with six points and a score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from .blocks import BlazeBlock, SameConv

SIDE = 128
GRIDS = ((16, 2), (8, 6))  # cells a side, boxes a cell
WIDTHS = (24, 24, 28, 32, 36, 42, 48, 56, 64, 72, 80, 88)  # of the blocks up to the finer grid
HALVING = (3, 6)  # which of those halve the picture
COARSE = 96  # width of the blocks of the coarser grid, the first of which halves the picture
POINTS = 6  # right eye, left eye, nose tip, mouth, right ear, left ear: the subject's own sides


@dataclass(frozen=True, eq=False)
class Guesses:
    """What the detector says of each box of each square; 0..1 are the square's outer edges."""

    box: Tensor  # N A 4: left, top, right, bottom
    points: Tensor  # N A 6 2: x, y
    score: Tensor  # N A in 0..1


def rectified(channels: int) -> nn.Module:
    return nn.ReLU()


@lru_cache
def anchors() -> Tensor:
    """The middles of the cells, as often as each guesses. A 2, (x, y) in 0..1"""
    found = []
    for cells, boxes in GRIDS:
        steps = (torch.arange(cells) + 0.5) / cells
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
        found.append(grid.reshape(-1, 1, 2).expand(-1, boxes, 2).reshape(-1, 2))
    return torch.cat(found)


class FaceDetector(nn.Module):
    """N 3 128 128 in 0..1 -> Guesses, 896 for each square."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv(3, WIDTHS[0], 5, stride=2), nn.ReLU())
        pairs = list(zip(WIDTHS, WIDTHS[1:], strict=False))
        self.fine = nn.Sequential(
            *(
                BlazeBlock(inputs, outputs, rectified, stride=2 if i in HALVING else 1)
                for i, (inputs, outputs) in enumerate(pairs, 1)
            )
        )
        self.coarse = nn.Sequential(
            BlazeBlock(WIDTHS[-1], COARSE, rectified, stride=2),
            *(BlazeBlock(COARSE, COARSE, rectified) for _ in range(4)),
        )
        widths = (WIDTHS[-1], COARSE)
        self.scores = nn.ModuleList(
            nn.Conv2d(width, boxes, 1) for width, (_, boxes) in zip(widths, GRIDS, strict=True)
        )
        self.places = nn.ModuleList(
            nn.Conv2d(width, boxes * (4 + 2 * POINTS), 1)
            for width, (_, boxes) in zip(widths, GRIDS, strict=True)
        )

    def raw(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        """N 3 128 128 in -1..1 -> places N 896 16 in pixels from the anchors, scores N 896 1
        before the sigmoid.
        """
        fine = self.fine(self.stem(squares))
        maps = (fine, self.coarse(fine))
        rows = [
            [flat(head(level), size) for head, level in zip(heads, maps, strict=True)]
            for heads, size in ((self.places, 4 + 2 * POINTS), (self.scores, 1))
        ]
        return torch.cat(rows[0], dim=1), torch.cat(rows[1], dim=1)

    def forward(self, squares: Tensor) -> Guesses:
        places, scores = self.raw(squares * 2 - 1)
        places = places / SIDE
        middles = anchors().to(places)
        middle, size = places[..., :2] + middles, places[..., 2:4]
        points = places[..., 4:].unflatten(-1, (POINTS, 2)) + middles[:, None]
        box = torch.cat([middle - size / 2, middle + size / 2], dim=-1)
        return Guesses(box, points, scores[..., 0].clamp(-100, 100).sigmoid())


def flat(maps: Tensor, size: int) -> Tensor:
    """N A*size h w -> N h*w*A size"""
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, size)
