"""The moments of an evaluation that are most worth looking at, and a sheet of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 8  # moments on a sheet
NEAR = 8  # neighbouring frames of which one at most is shown
LOUDER = 4  # times that differences are drawn larger than they are
LARGEST = 256  # side of a picture on a sheet
LINE = 20  # pixels of a line of text


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame."""

    clip: str
    frame: int
    worth: float  # L1 to the driving frame; in animation, of the driving frame to its first
    pictures: Tensor  # 3 3 S S, uint8: source, driving, result
    rank: int = 0  # among its clip's, 0 the worst


class Moments:
    """The worst frames of any number of clips, in constant memory: the worst of each clip first,
    then the second worst, and so on.
    """

    def __init__(self) -> None:
        self.kept: list[Moment] = []

    def see(
        self, clip: str, start: int, worth: Tensor, source: Tensor, driving: Tensor, result: Tensor
    ) -> None:
        """The next frames of one clip, from number `start`: worth B, source 1 3 S S, the others B 3
        S S.
        """
        for i, value in enumerate(worth.tolist()):
            value = math.inf if math.isnan(value) else value
            neighbours = [
                moment for moment in self.kept if moment.frame // NEAR == (start + i) // NEAR
            ]
            rivals = neighbours or self.kept[SHOWN - 1 :]
            if all(value > rival.worth for rival in rivals):
                pictures = torch.stack([source[0], driving[i], result[i]]).nan_to_num(0).clamp(0, 1)
                moment = Moment(clip, start + i, value, (pictures * 255).round().byte().cpu())
                others = [other for other in self.kept if other not in neighbours]
                self.kept = sorted([*others, moment], key=lambda moment: -moment.worth)[:SHOWN]

    def add(self, clip: Moments) -> None:
        """Those of one more clip."""
        ranked = [replace(moment, rank=rank) for rank, moment in enumerate(clip.kept)]
        self.kept = sorted([*self.kept, *ranked], key=lambda moment: (moment.rank, -moment.worth))[
            :SHOWN
        ]

    def worst_first(self) -> list[Moment]:
        return sorted(self.kept, key=lambda moment: -moment.worth)


def draw(moments: Sequence[Moment], title: str, compared: bool) -> Image:
    """A line a moment: source, driving frame, result and, where the driving frame is what the
    result should be, the difference.
    """
    from PIL import Image, ImageDraw

    headings = ["source", "driving", "result", *([f"difference x{LOUDER}"] if compared else [])]
    side = min(LARGEST, moments[0].pictures.shape[-1]) if moments else LARGEST
    sheet = Image.new(
        "RGB", (len(headings) * side, 2 * LINE + len(moments) * (side + LINE)), (24, 24, 24)
    )
    pen = ImageDraw.Draw(sheet)
    pen.text((4, 4), title, fill="white")
    for column, heading in enumerate(headings):
        pen.text((column * side + 4, LINE + 4), heading, fill="white")
    for row, moment in enumerate(moments):
        top = 2 * LINE + row * (side + LINE)
        what = f"L1 {moment.worth:.4f}" if compared else f"the driver moved {moment.worth:.4f}"
        pen.text((4, top + 4), f"{moment.clip}, frame {moment.frame}: {what}", fill="white")
        for column, picture in enumerate(_pictures(moment, compared)):
            image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
            sheet.paste(
                image.resize((side, side), Image.Resampling.BILINEAR), (column * side, top + LINE)
            )
    return sheet


def _pictures(moment: Moment, compared: bool) -> list[Tensor]:
    source, driving, result = moment.pictures
    difference = (result.int() - driving.int()).abs().mul(LOUDER).clamp(max=255).byte()
    return [source, driving, result, *([difference] if compared else [])]
