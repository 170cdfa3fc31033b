"""A head in a picture, shown to a model level and cropped, and its motion brought back to the
picture's own pixels.

What the model paints is coarse beside a good photograph. So what it leaves out of the source at
rest, the detail, is kept: moved by the field, added where the source is seen, and faded where the
network makes up what the source hides. At rest the picture is as it was.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..field import MotionField, PictureSize, identity_grid, remapped
from ..keypoints import Keypoints
from ..media.picture import to_rgb
from ..model import MotionModel
from .canvas import Fit
from .crop import Place
from .plan import Framing
from .portrait import FramedPortrait, believed, within
from .turned import cut_turned, inside, middle, share, spread, turning, window

SHOWN = 512  # side that pictures are cropped to before they are brought to the network's


@dataclass(frozen=True)
class LevelCanvas:
    """A square of a picture, and how motion over it is motion over the picture."""

    place: Place

    def shift(self, field: MotionField, at: Tensor, size: int) -> Tensor:
        """How far each pixel of a part of the picture is read from its own place, in pixels.

        B 2 h w

        at  where in the square these pixels lie, h w 2
        """
        # the networks read -1 and 1 as outer edges, so that half a number is a part of the side
        moved = (field.grid - identity_grid(*field.size, field.grid)) / 2
        shift = spread(moved.permute(0, 3, 1, 2), at, size).permute(0, 2, 3, 1)
        side = middle(self.place)[2]
        return (shift @ turning(self.place.angle, shift) * side).permute(0, 3, 1, 2)

    def field(self, field: MotionField) -> MotionField:
        """Over the whole picture, in the square as fine as it was. B h w 2"""
        side = middle(self.place)[2]
        scale = min(1.0, max(field.size) / side)
        height = max(2, round(self.place.height * scale))
        width = max(2, round(self.place.width * scale))
        small = replace(self.place, box=self.place.on(height, width), height=height, width=width)
        left, top, right, bottom = small.box
        half = max(right - left, bottom - top) / 2  # rounded sides may have made it oblong
        x, y = (left + right) / 2, (top + bottom) / 2
        small = replace(small, box=(x - half, y - half, x + half, y + half))
        at = inside(small, (0, 0, width, height), field.grid)
        part = share(at)
        shift = LevelCanvas(small).shift(field, at, max(field.size)) * part
        spans = shift.new_tensor([max(width - 1, 1), max(height - 1, 1)]) / 2
        grid = identity_grid(height, width, shift) + shift.permute(0, 2, 3, 1) / spans
        occlusion = tuple(1 - (1 - spread(level, at)) * part for level in field.occlusion[-1:])
        return MotionField(grid, occlusion)


@dataclass(frozen=True, eq=False)
class LevelPortrait(FramedPortrait):
    """A head, encoded, where it lies in the picture, and where the driver's lies in its clip."""

    _: KW_ONLY
    place: Place
    driving_place: Place | None = None  # None: driving frames are shown whole, their middle square
    published: bool = False  # paint as the published code does, without the source's detail

    @staticmethod
    def at(
        model: MotionModel, picture: Tensor, place: Place, framing: Framing, published: bool = False
    ) -> LevelPortrait:
        """1 3 H W in 0..1"""
        crop = shrunk(cut_turned(picture, place, SHOWN), model.size)
        portrait = model.encode(crop.clamp(0, 1).to(model.device))
        height, width = picture.shape[-2:]
        fit = Fit.plan(height, width, model.size)
        return LevelPortrait(
            model, picture, portrait, fit, framing, None, place=place, published=published
        )

    def opened(self, openness: Tensor) -> LevelPortrait:
        """The same, told how far eyes and lips of the source are open. 1 3"""
        points = self.portrait.keypoints
        points = points.but(openness=openness.to(points.position))
        return replace(self, portrait=replace(self.portrait, keypoints=points))

    @property
    def canvas(self) -> LevelCanvas:
        return LevelCanvas(self.place)

    @property
    def at_rest(self) -> Tensor:
        return self.portrait.picture

    def no_larger(self, side: int) -> LevelPortrait:
        picture = within(self.picture, side)
        if picture is self.picture:
            return self
        size = picture.shape[-2:]
        place = replace(self.place, box=self.place.on(*size), height=size[0], width=size[1])
        small = LevelPortrait.at(self.model, picture, place, self.framing, self.published)
        openness = self.portrait.keypoints.openness
        return small if openness is None else small.opened(openness)

    def driver(self, frames: Tensor) -> Tensor:
        return shown_at(frames, self.driving_place, self.model.size)

    @cached_property
    def painted_at_rest(self) -> Tensor:
        """The network's picture of the source in its own pose. 1 3 h w"""
        still = self.model.motion(self.portrait, self.portrait.keypoints)
        return self.model.generate(self.portrait, still)

    @cached_property
    def part(self) -> tuple[tuple[int, int, int, int], Tensor, Tensor, Tensor] | None:
        """The pixels of the picture that the square touches: their box, where in the square they
        lie, how far they belong to it, and the detail that the network leaves out of them. None
        where the square lies outside the picture.
        """
        box = window(self.place, *self.picture.shape[-2:])
        if box is None:
            return None
        left, top, right, bottom = box
        here = self.picture[..., top:bottom, left:right].to(self.model.device)
        at = inside(self.place, box, here)
        detail = torch.zeros_like(here)
        if not self.published:
            detail = here - spread(self.painted_at_rest, at)
        return box, at, share(at), detail

    @property
    def reach(self) -> Tensor:
        """The pixels of the picture that may change. 1 1 H W, bool"""
        reached = self.picture.new_zeros(1, 1, *self.picture.shape[-2:], dtype=torch.bool)
        if self.part is not None:
            (left, top, right, bottom), _, inner, _ = self.part
            reached[..., top:bottom, left:right] = inner.to(reached.device) > 0
        return reached.to(self.model.device)

    def render(
        self, field: MotionField, size: str, onto: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`onto` are pictures, 1 or B 3 H W, to paint into in place of the source's."""
        pictures = self.model.generate(self.portrait, field)
        if size == "model":
            return pictures, field.occlusion_mask(*pictures.shape[-2:])
        whole = self.picture.to(pictures.device) if onto is None else onto
        frames = whole.expand(len(field), -1, -1, -1).clone()
        hidden = frames.new_zeros(len(field), 1, *frames.shape[-2:])
        visible = believed(field, self.resting)
        if self.part is not None:
            for i in range(len(field)):
                one = slice(i, i + 1)
                self._paint(pictures[one], field[i], visible[one], frames[one], hidden[one])
        return frames, hidden

    def _paint(
        self, picture: Tensor, field: MotionField, visible: Tensor, frame: Tensor, hidden: Tensor
    ) -> None:
        """One picture of the network's into the frame, with the source's detail where
        it is seen.
        """
        assert self.part is not None
        (left, top, right, bottom), at, inner, detail = self.part
        made = spread(picture, at)
        seen = spread(visible, at).clamp(0, 1)
        if not self.published:
            moved, there = self._moved(detail, field, at, picture.shape[-1])
            made = made + moved * (seen * there)
        here = frame[..., top:bottom, left:right]
        here += (made - here) * inner
        here.clamp_(0, 1)
        hidden[..., top:bottom, left:right] = (1 - seen) * inner

    def _moved(
        self, detail: Tensor, field: MotionField, at: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """The detail where the field carries it, and how far that lies in the square. 1 3 h w,
        1 1 h w: 1 for what does not move, falling for what comes from beyond the edges.
        """
        shift = self.canvas.shift(field.of_canvas(), at, size)
        height, width = detail.shape[-2:]
        spans = shift.new_tensor([max(width - 1, 1), max(height - 1, 1)]) / 2
        grid = identity_grid(height, width, shift) + shift.permute(0, 2, 3, 1) / spans
        moved = remapped(detail, grid, True, "border")
        side = middle(self.place)[2]
        back = shift.permute(0, 2, 3, 1) @ turning(-self.place.angle, shift) / side + at
        return moved, (share(back[0]) / share(at).clamp(min=1e-6)).clamp(max=1)

    def on_wire(self, field: MotionField) -> MotionField:
        size = PictureSize(*self.picture.shape[-2:])
        return replace(field, covers=self.canvas, picture=size)

    def from_wire(self, field: MotionField) -> MotionField:
        if field.covers is not None:
            return replace(field, covers=None)
        return self.canvas_field(field)

    def canvas_field(self, field: MotionField) -> MotionField:
        """Motion over the whole picture as the square sees it. B H W 2 -> B h w 2"""
        whole = field.of_source()
        cells = self.portrait.features[-1].shape[-1]
        steps = (torch.arange(cells, device=whole.grid.device) + 0.5) / cells - 0.5
        square = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
        x, y, side = middle(self.place)
        at = side * square @ turning(self.place.angle, square) + square.new_tensor([x, y])
        size = at.new_tensor([self.place.width, self.place.height])
        places = (2 * (at - 0.5) / (size - 1).clamp(min=1) - 1).expand(len(whole), -1, -1, -1)
        shift = whole.grid - identity_grid(*whole.size, whole.grid)
        maps = shift.permute(0, 3, 1, 2)
        if whole.occlusion and whole.occlusion[-1].shape[-2:] == whole.size:
            maps = torch.cat([maps, whole.occlusion[-1]], dim=1)
        read = remapped(maps, places, True, "border")
        pixels = read[:, :2].permute(0, 2, 3, 1) * (size - 1) / 2
        moved = 2 * pixels @ turning(-self.place.angle, pixels) / side
        occlusion = (read[:, 2:],) if read.shape[1] > 2 else ()
        return MotionField(identity_grid(cells, cells, moved) + moved, occlusion)

    def points_over_picture(self, points: Any) -> Any:
        """The points where they lie in the picture; the parts that place them stay."""
        if not isinstance(points, Keypoints):
            return points
        cells = self.portrait.features[-1].shape[-1]
        square = ((points.position + 1) / 2 * (cells - 1) + 0.5) / cells - 0.5
        x, y, side = middle(self.place)
        at = side * square @ turning(self.place.angle, square) + square.new_tensor([x, y])
        size = at.new_tensor([self.place.width, self.place.height])
        return replace(points, position=2 * (at - 0.5) / (size - 1).clamp(min=1) - 1)


def shown_at(frames: Tensor, place: Place | None, size: int) -> Tensor:
    """Driving frames as the model takes them: a square of them, or where there is none their
    middle. B C H W -> B 3 size size
    """
    frames = to_rgb(frames)
    height, width = frames.shape[-2:]
    if place is None:
        side = min(height, width)
        x, y = width / 2, height / 2
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        place = Place(box, height, width)
    return shrunk(cut_turned(frames, place, SHOWN), size).clamp(0, 1)


def shrunk(pictures: Tensor, size: int) -> Tensor:
    """By area average. B C h w -> B C size size"""
    return F.interpolate(pictures, size=(size, size), mode="area")
