"""A picture moved by frames as they come, one at a time: a camera's, another program's."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .cores import one_core
from .drivers import driver_place
from .driving import Batches
from .errors import InputError, NoSubject
from .framing.canvas import Fit
from .framing.level import LevelPortrait
from .framing.portrait import FramedPortrait
from .heads import frame_head
from .keypoints import Keypoints
from .model import Detect, MotionModel, Portrait
from .options import Options
from .retarget import retarget


def live(model: MotionModel, portrait: FramedPortrait | Portrait | Tensor, **options: Any) -> Live:
    """A session: `session(frame)` is the picture as the frame has it move.

    portrait  a picture (1 C H W in 0..1), or what `model.encode` or `FramedPortrait.of` made of one
    options   of `Options`: mode, strength, head, expression, eyes, mouth, adapt_scale, fit, face,
              subject, driving_subject, finder, and size, "source" unless told otherwise where a
              picture is given

    Raises InputError.
    """
    own = isinstance(portrait, Portrait) and not model.any_size
    told: dict[str, Any] = {"size": "model" if own else "source", **options}
    chosen = Options(**told)
    if isinstance(portrait, Tensor) and model.level:
        portrait = frame_head(model, portrait, chosen)
    elif isinstance(portrait, Tensor):
        portrait = FramedPortrait.of(model, portrait, chosen.framing)
    elif isinstance(portrait, Portrait):
        height, width = portrait.picture.shape[-2:]
        fit = Fit.within(height, width, max(height, width))
        portrait = FramedPortrait(model, portrait.picture, portrait, fit, chosen.framing, None)
    return Live(model, portrait, chosen)


class Live:
    """One picture, one driver, one frame at a time. Nothing is kept but the rest pose, the last
    frame made, and where the subject was last seen.

    Motion is measured from the first frame that shows the subject; `reset` has it measured from the
    next. A frame that does not show it gives the last picture again, and `lost` says so.
    """

    def __init__(self, model: MotionModel, portrait: FramedPortrait, options: Options) -> None:
        self.model, self.portrait, self.options = model, portrait, options
        self._track = model.tracker()
        self.lost = False  # whether the last frame showed no subject
        self.reset()

    def reset(self) -> None:
        """The next frame that shows the subject is the rest pose."""
        self._rest: tuple[Tensor, Any] | None = None
        self._last: Tensor | None = None

    @torch.no_grad()
    def __call__(self, frame: Tensor) -> Tensor:
        """3 H W, or 1 C H W, in 0..1 -> 1 3 H W: of the picture's size, or of the model's."""
        shown = frame if frame.ndim == 4 else frame[None]
        if shown.ndim != 4 or len(shown) != 1:
            raise InputError(
                f"A session takes one frame, 1 C H W, and was given {tuple(frame.shape)}."
            )
        beside = self.model.poses_ahead and self.model.device.type == "cpu"
        with one_core() if beside else nullcontext():  # the others are the source's and the sink's
            return self._next(shown)

    def _next(self, shown: Tensor) -> Tensor:
        try:
            self._look_for_head(shown)
            batch = self.portrait.driver(shown)
            points = self._seen(batch)
        except NoSubject:
            self.lost = True
            return self._last if self._last is not None else self._moved(self._own())
        self.lost = False
        assert self._rest is not None  # from the first frame seen on
        pose = retarget(
            points,
            self._rest[1],
            self._own(),
            self.options.mode,
            self.options.adapt_scale,
            self.options.strengths,
            self.model,
        )
        self._last = self._moved(pose)
        return self._last

    def _look_for_head(self, frame: Tensor) -> None:
        """Where the driver's head is, for a model that is shown it cropped: as in the rest pose.
        Raises NoSubject.
        """
        if self._rest is not None or not isinstance(self.portrait, LevelPortrait):
            return
        finder = self.options.finder_for(self.model)
        try:
            place, _ = driver_place(finder, Batches(frame, 1), self.options.driving_subject)
        except InputError as error:
            raise NoSubject(str(error)) from None
        self.portrait = replace(self.portrait, driving_place=place)

    def _seen(self, batch: Tensor) -> Any:
        """The frame's points; the first one's are the rest pose. Raises NoSubject."""
        if self._rest is None:
            rest = self.portrait.at_rest if self.options.mode == "absolute" else batch
            self._rest = rest, self._points(rest, rest, self.model.detect)
        return self._points(batch, self._rest[0], self._track)

    def _points(self, frame: Tensor, reference: Tensor, by: Detect) -> Any:
        points = self.portrait.detect(frame, reference, by)
        if isinstance(points, Keypoints) and points.seen_nowhere:
            raise NoSubject("The frame does not show the subject.")
        return points

    def _own(self) -> Any:
        return self.portrait.portrait.keypoints

    def _moved(self, pose: Any) -> Tensor:
        field = self.model.moving(self.portrait.portrait, pose)
        return self.portrait.shown(field, self.options.size)
