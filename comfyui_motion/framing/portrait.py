"""A source framed for a model: encoded as the model takes it, its motion brought back to the
picture's own pixels.

A model of one size works on its square canvas, where the subject's box or the whole picture was
brought (see `canvas`). A model of any size is shown the whole picture, and told by a Placement
where in it the driver's subject sits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..cutout import split_alpha
from ..driving import no_such_frame
from ..field import MotionField, PictureSize
from ..keypoints import Keypoints
from ..media.picture import to_rgb
from ..model import Detect, MotionModel, Placement, Portrait
from .canvas import Box, Fit, in_grid
from .crop import Place
from .plan import WHOLE, Framing


@dataclass(frozen=True, eq=False)
class FramedPortrait:
    """The source, encoded once, and how pictures come to the model's size and back."""

    model: MotionModel
    picture: Tensor  # N 3 H W: the source at its own size
    portrait: Portrait  # what the model made of it
    fit: Fit
    framing: Framing
    placement: Placement | None  # of the subject, for models that are shown whole pictures
    reference: int = 0  # the driving frame that motion is to be measured from; BEST: not yet known
    alpha: Tensor | None = None  # 1 1 H W: of a cut-out

    @staticmethod
    def of(model: MotionModel, source: Tensor, framing: Framing = WHOLE) -> FramedPortrait:
        """1 C H W in 0..1, C 1 to 4; N of them for models that make one portrait of several."""
        picture = to_rgb(split_alpha(source if model.many_sources else source[:1])[0])
        height, width = picture.shape[-2:]
        if not model.any_size:
            fit = Fit.plan(height, width, model.size, framing.fit, framing.subject)
            portrait = model.encode(fit.to_canvas(picture).to(model.device))
            return FramedPortrait(model, picture, portrait, fit, framing, None)
        fit = Fit.within(height, width, max(height, width))
        box = framing.subject
        placement = None if box is None else Placement(in_grid(box, height, width))
        portrait = model.encode(picture.to(model.device), placement=placement)
        return FramedPortrait(model, picture, portrait, fit, framing, placement)

    @cached_property
    def small(self) -> Portrait:
        """The portrait that paints pictures of the model's own size."""
        if not self.model.any_size:
            return self.portrait
        canvas = fitted(self.model, self.picture).to(self.model.device)
        return self.model.encode(canvas, placement=self.placement)

    @cached_property
    def resting(self) -> tuple[Tensor, ...]:
        """What the model calls visible when nothing moves."""
        return self.model.motion(self.portrait, self.portrait.keypoints).occlusion[-1:]

    @property
    def at_rest(self) -> Tensor:
        """The source as a driver is shown: what absolute motion is measured from. 1 3 h w"""
        shown = fitted(self.model, self.picture, self.framing.fit, self.framing.subject)
        return shown.to(self.model.device)

    def no_larger(self, side: int) -> FramedPortrait:
        """The same subject in a picture whose longer side has at most so many pixels, encoded: for
        looking at while one works. Itself where it is no larger.
        """
        picture = within(self.picture, side)
        if picture is self.picture:
            return self
        framing, size = self.framing, picture.shape[-2:]
        if framing.subject is not None:
            box = Place(framing.subject, *self.picture.shape[-2:]).on(*size)
            framing = replace(framing, subject=box)
        return FramedPortrait.of(self.model, picture, framing)

    def to(self, device: torch.device | str) -> FramedPortrait:
        """What the model made of the source on another device; the picture stays where it is."""
        return replace(self, portrait=self.portrait.to(device))

    def driver(self, frames: Tensor) -> Tensor:
        """Driving frames as the model takes them. B C H W -> B 3 h w"""
        return fitted(self.model, frames, self.framing.fit, self.framing.driving_subject)

    def reference_of(self, frames: Tensor, given: Tensor | None = None) -> Tensor:
        """What points are followed from: a picture that is given, the source itself (for absolute
        motion) or a driver's, or else the clip's reference frame. Raises InputError beyond its end.
        """
        if given is not None and torch.equal(to_rgb(given), self.picture[:1].to(given.device)):
            return self.at_rest
        if given is None and self.reference >= len(frames):
            raise no_such_frame(self.reference)
        first = max(self.reference, 0)
        return self.driver(frames[first : first + 1] if given is None else given)

    def detect(self, frames: Tensor, reference: Tensor, by: Detect | None = None) -> Any:
        """Keypoints of frames that `driver` gave, where they lie on the source; by the model's own
        `detect`, or by what its `tracker` gave.
        """
        points = (by or self.model.detect)(frames, reference)
        if self.placement is None or self.model.looks_ahead:
            return points
        return replace(points, position=self.placement.carry(points.position))

    def render(self, field: MotionField, size: str) -> tuple[Tensor, Tensor]:
        """Frames at the "source"'s own size or the "model"'s, and what in them is made up. B 3 H W,
        B 1 H W
        """
        full = size == "source"
        pictures = self.generated(field, size)
        if not full or self.model.any_size:
            return pictures, field.occlusion_mask(*pictures.shape[-2:])
        visible = believed(field, self.resting)
        height, width = self.picture.shape[-2:]
        frames = pictures.new_empty(len(field), 3, height, width)
        hidden = pictures.new_empty(len(field), 1, height, width)
        # one at a time: at this size a few maps of one frame fill the memory that many would
        for i in range(len(field)):
            one = slice(i, i + 1)
            self._full_size(pictures[one], field[i], visible[one], frames[one], hidden[one])
        return frames, hidden

    def shown(self, field: MotionField, size: str) -> Tensor:
        """The frames that `render` gives, alone."""
        if self.model.any_size:
            return self.generated(field, size)
        return self.render(field, size)[0]

    def generated(self, field: MotionField, size: str) -> Tensor:
        """The model's own pictures. B 3 H W, or B 3 h w"""
        return self.model.generate(self.portrait if size == "source" else self.small, field)

    def over_picture(self, field: MotionField) -> MotionField:
        """The field over the whole picture, no larger than it was, read corner-aligned: what means
        the same to whoever gets it.
        """
        return self.on_wire(field.of_canvas()).of_source()

    def on_wire(self, field: MotionField) -> MotionField:
        """The model's own field, with what brings it over the whole picture: `from_wire` has it
        back as it was, everyone else asks for its `of_source`.
        """
        field = replace(field, picture=PictureSize(*self.picture.shape[-2:]))
        if self.fit.whole:
            return field.straightened()
        scale = max(field.size) / max(self.fit.height, self.fit.width)
        return replace(field, covers=self.fit.at(scale))

    def from_wire(self, field: MotionField) -> MotionField:
        """What `on_wire` gave, or any field over the whole picture, as `render` takes it."""
        if field.covers is not None:
            return replace(field, covers=None)
        return field if self.fit.whole else self.fit.canvas_field(field)

    def points_over_picture(self, points: Any) -> Any:
        """Keypoints on the canvas as those of the whole picture; what are no keypoints
        as they are.
        """
        if self.fit.whole or not isinstance(points, Keypoints):
            return points
        return self.fit.points(points)

    def _full_size(
        self, picture: Tensor, field: MotionField, visible: Tensor, frame: Tensor, hidden: Tensor
    ) -> None:
        """The source's own pixels where they are visible, the network's where not, into `frame`;
        what is hidden into `hidden`.
        """
        whole = self.fit.field(MotionField(field.of_canvas().grid, (visible,)))
        x, y = (side.abs() for side in whole.grid.unbind(-1))
        # half a pixel beyond the last centre
        inside = (x <= 1 + 1 / self.fit.width) & (y <= 1 + 1 / self.fit.height)
        shown = (whole.occlusion[-1] * inside[:, None]).clamp_(0, 1)
        moved = whole.warp(self.picture[:1].to(whole.grid.device), padding="border")
        painted = self.fit.from_canvas(picture)
        torch.add(moved.sub_(painted).mul_(shown), painted, out=frame)
        torch.sub(1, shown, out=hidden)


def within(picture: Tensor, side: int) -> Tensor:
    """The picture with a longer side of at most so many pixels. N C H W -> N C h w"""
    height, width = picture.shape[-2:]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = max(8, round(height * scale)), max(8, round(width * scale))
    small = F.interpolate(picture.float(), size=size, mode="bilinear", antialias=True)
    return small.clamp(0, 1)


def fitted(
    model: MotionModel, frames: Tensor, fit: str = "stretch", subject: Box | None = None
) -> Tensor:
    """Frames of any size, or a box of them, as the model's verbs take them.

    B C H W, C 1 to 4 -> B 3 h w
    """
    frames = to_rgb(frames)
    height, width = frames.shape[-2:]
    plan = (
        Fit.within(height, width, model.size, subject)
        if model.any_size
        else Fit.plan(height, width, model.size, fit, subject)
    )
    return plan.to_canvas(frames)


def believed(field: MotionField, resting: tuple[Tensor, ...]) -> Tensor:
    """Visibility against what the model says of no motion at all, for a network may call a still
    pixel anything. B 1 h w

    A pixel is hidden as far as its visibility fell while it moved. Without occlusion everything is
    visible.
    """
    if not field.occlusion or not resting:
        return torch.ones_like(field.grid[..., :1].permute(0, 3, 1, 2))
    now = field.occlusion[-1]
    moved = MotionField(field.grid).warp(resting[0], padding="border")
    fallen = (now.clamp(min=0.05) / moved.clamp(min=0.05)).clamp(0, 1)
    return ((fallen - 0.2) / 0.7).clamp(0, 1)  # the ends belong wholly to one picture or the other
