"""The hot path: encode the source once, then batches of driving frames in, batches of frames out.

A model arrives as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from .errors import InputError
from .field import MotionField
from .framing.canvas import Box, Fit, in_grid
from .framing.find import check_finder
from .framing.plan import BEST, WHOLE, Framing
from .keypoints import Keypoints
from .media.picture import to_rgb
from .model import MotionModel, Placement, Portrait
from .retarget import (
    MODES,
    best_reference,
    check_strength,
    retarget,
)

Progress = Callable[[int, int | None], None]
Frames = Tensor | Iterable[Tensor]
T = TypeVar("T")
BYTES_PER_PIXEL = 2500  # of one frame, while the widest family paints it in float32


@dataclass(frozen=True, eq=False)
class Step:
    """One batch of an animation, with everything that led to it."""

    frames: Tensor  # B 3 H W in 0..1, at the size asked for
    occlusion: Tensor  # B 1 H W in 0..1, 1 = made up, for the source does not show it
    field: MotionField  # over the whole source, at the model's size, read corner-aligned
    points: Any  # the driver's keypoints, on the canvas
    pose: Any  # the source's, posed, over the whole source
    driving: Tensor  # B 3 h w: the driving frames as the model was given them


def animate(
    model: MotionModel,
    source: Tensor,
    driving: Frames,
    mode: str = "relative",
    size: str = "model",
    batch_size: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Iterator[Tensor]:
    """Yield the source moving as `driving` moves, a batch of frames at a time.

    B 3 H W in 0..1; see `perform` for the arguments.
    """
    for step in perform(model, source, driving, mode, size, batch_size, progress, **options):
        yield step.frames


def perform(
    model: MotionModel,
    source: Tensor,
    driving: Frames,
    mode: str = "relative",
    size: str = "model",
    batch_size: int | None = None,
    progress: Progress | None = None,
    *,
    adapt_scale: bool = True,
    strength: float | Tensor = 1.0,
    reference: int = 0,
    fit: str = "stretch",
    subject: Box | None = None,
    driving_subject: Box | None = None,
    finder: MotionModel | None = None,
) -> Iterator[Step]:
    """`animate`, with field, occlusion and keypoints beside the frames.

    source      1 C H W in 0..1, any size; C 1, 3 or 4 (alpha is composited on white). X2Face takes
                N of them, others the first
    driving     B C H W, or an iterable of such batches, streamed; to look ahead (a reference other
                than frame 0) an iterator is kept whole
    mode        "absolute", "relative" or "avd", as `retarget` has them; so are adapt_scale and
                strength
    size        "model": the network's own pictures. "source": the source's pixels moved at its own
                size, the network's where they are hidden
    batch_size  frames at a time; None: by the device
    progress    called with (frames done, frames in all or None) after every batch; what it raises
                ends the run
    reference   the driving frame that relative motion is measured from; -1: the one whose keypoints
                lie most as the source's
    fit         how pictures come to the model's square: "stretch", "letterbox" or "crop"
    subject     where in the source what moves is: (left, top, right, bottom) in its pixels; None:
                all of it. Motion fades out beyond
    driving_subject  where the same thing is in the driving frames, likewise
    finder      a model whose keypoints find the boxes that are not given, so that the same points
                meet, and the best reference frame.
                Where it finds no subject all is as without it, and the log tells. See
                `find_subject`

    Raises InputError before anything is computed.
    """
    if size not in ("model", "source"):
        raise InputError(f'size must be "model" or "source", and is {size!r}.')
    if mode not in MODES:
        raise InputError(f"mode must be {', '.join(MODES)}, and is {mode!r}.")
    if reference < BEST:
        raise InputError(
            f"reference must be a frame number, or {BEST} for the best one, and is {reference}."
        )
    check_strength(strength)
    if finder is not None:
        check_finder(finder)
    framing = Framing(fit, subject, driving_subject)
    return _perform(
        model,
        source,
        driving,
        mode,
        size,
        batch_size,
        progress,
        adapt_scale,
        strength,
        reference,
        framing,
        finder,
    )


@torch.no_grad()
def _perform(
    model: MotionModel,
    source: Tensor,
    driving: Frames,
    mode: str,
    size: str,
    batch_size: int | None,
    progress: Progress | None,
    adapt_scale: bool,
    strength: float | Tensor,
    reference: int,
    framing: Framing,
    finder: MotionModel | None,
) -> Iterator[Step]:
    reference = reference if mode == "relative" else 0
    looks_ahead, at_once = reference != 0, batch_size or frames_at_once(model)
    if finder is not None:
        frames = Batches(driving, at_once, again=looks_ahead)
        framing, reference = framing.find(
            finder, source[:1], frames, reference, square=not model.any_size
        )
        driving = frames.driving
    stage = Stage.prepare(model, source, size, framing)
    clip = Batches(driving, at_once, stage.driver, again=looks_ahead)
    rest_frame = stage.subject() if mode == "absolute" else None  # the subject is the source itself
    rest = None
    if looks_ahead:
        rest_frame = clip.frame(
            find_reference(model, clip, stage.portrait) if reference == BEST else reference
        )
        rest = stage.placed(model.detect(rest_frame, reference=rest_frame))

    def step(batch: Tensor) -> Step:
        nonlocal rest, rest_frame
        rest_frame = batch[:1] if rest_frame is None else rest_frame
        points = stage.placed(model.detect(batch, reference=rest_frame))
        rest = points[:1] if rest is None else rest
        pose = retarget(points, rest, stage.portrait.keypoints, mode, adapt_scale, strength, model)
        field = model.motion(stage.portrait, pose)
        frames, occlusion = stage.render(field)
        return Step(
            frames,
            occlusion,
            stage.over_picture(field),
            points,
            stage.points_over_picture(pose),
            batch,
        )

    done = 0
    for batch in clip:
        for made in in_parts(step, batch):
            if len(made.driving) < len(batch):
                clip.batch_size = max(
                    1, min(clip.batch_size, len(made.driving))
                )  # the next ones will not fit either
            done += len(made.driving)
            yield made
            if progress:
                progress(done, clip.total)
    if not done:
        raise InputError("The driving clip has no frames; give at least one.")


def in_parts(work: Callable[[Tensor], T], batch: Tensor) -> Iterator[T]:
    """What `work` makes of a batch, or of its halves, or of theirs, as far as the device's memory
    asks for it.
    """
    made = None
    try:
        made = work(batch)
    except torch.cuda.OutOfMemoryError:
        if len(batch) == 1:
            raise
    if made is not None:
        yield made
        return
    if batch.is_cuda:
        torch.cuda.empty_cache()
    for half in batch.chunk(2):
        yield from in_parts(work, half)


def find_reference(model: MotionModel, clip: Iterable[Tensor], portrait: Portrait) -> int:
    """The number of the driving frame whose keypoints lie most as the source's.

    Reads the whole clip, keeps only positions.
    """
    found, first = [], None
    for batch in clip:
        first = batch[:1] if first is None else first
        points = model.detect(batch, reference=first)
        if not isinstance(points, Keypoints):
            raise InputError(
                "The best reference frame is found from keypoints, and this model has none; give a"
                " frame number."
            )
        found.append(Keypoints(points.position))
    return best_reference(Keypoints.join(found), portrait.keypoints)


@dataclass(frozen=True, eq=False)
class Stage:
    """The source, encoded, and how pictures come to the model's size and back."""

    model: MotionModel
    picture: Tensor  # 1 3 H W: the source at its own size
    canvas: Tensor  # what the model was given of it
    portrait: Portrait
    fit: Fit
    framing: Framing
    full: bool
    placement: Placement | None  # of the subject, for models that are shown whole pictures
    resting: tuple[Tensor, ...]  # what the model calls visible when nothing moves

    @staticmethod
    def prepare(model: MotionModel, source: Tensor, size: str, framing: Framing = WHOLE) -> Stage:
        picture = to_rgb(source if model.many_sources else source[:1])
        height, width = picture.shape[-2:]
        full, placement, resting = size == "source", None, ()
        if model.any_size:
            fit = Fit.within(height, width, max(height, width) if full else model.size)
            canvas = fit.to_canvas(picture).to(model.device)
            placement = (
                Placement(in_grid(framing.subject, height, width)) if framing.subject else None
            )
            portrait = model.encode(canvas, placement=placement)
        else:
            fit = Fit.plan(height, width, model.size, framing.fit, framing.subject)
            canvas = fit.to_canvas(picture).to(model.device)
            portrait = model.encode(canvas)
            resting = model.motion(portrait, portrait.keypoints).occlusion[-1:] if full else ()
        return Stage(model, picture, canvas, portrait, fit, framing, full, placement, resting)

    def driver(self, frames: Tensor) -> Tensor:
        """Driving frames as the model takes them."""
        return fitted(self.model, frames, self.framing.fit, self.framing.driving_subject)

    def subject(self) -> Tensor:
        """The source as a driver would be shown: what absolute motion is measured from."""
        if self.placement is None:
            return self.canvas
        return fitted(self.model, self.picture, subject=self.framing.subject).to(self.model.device)

    def placed(self, points: Any) -> Any:
        """A driver's points where they lie on the source."""
        if self.placement is None:
            return points
        return replace(points, position=self.placement.carry(points.position))

    def render(self, field: MotionField) -> tuple[Tensor, Tensor]:
        """Frames and what in them is made up. B 3 H W, B 1 H W"""
        pictures = self.model.generate(self.portrait, field)
        if not self.full or self.model.any_size:
            return pictures, field.occlusion_mask(*pictures.shape[-2:])
        visible = _believed(field, self.resting)
        height, width = self.picture.shape[-2:]
        frames, hidden = (
            pictures.new_empty(len(field), 3, height, width),
            pictures.new_empty(len(field), 1, height, width),
        )
        for i in range(
            len(field)
        ):  # one at a time: at this size a few maps of one frame fill the memory that many would
            self._full_size(
                pictures[i : i + 1],
                field[i],
                visible[i : i + 1],
                frames[i : i + 1],
                hidden[i : i + 1],
            )
        return frames, hidden

    def over_picture(self, field: MotionField) -> MotionField:
        """The field over the whole picture, no larger than it was, read corner-aligned: what means
        the same to whoever gets it.
        """
        field = field.of_source()
        if self.fit.whole:
            return field.straightened()
        return self.fit.at(max(field.size) / max(self.fit.height, self.fit.width)).field(field)

    def points_over_picture(self, points: Any) -> Any:
        """Keypoints on the canvas as those of the whole picture; what are no keypoints as they are."""
        if self.fit.whole or not isinstance(points, Keypoints):
            return points
        return self.fit.points(points)

    def _full_size(
        self, picture: Tensor, field: MotionField, visible: Tensor, frame: Tensor, hidden: Tensor
    ) -> None:
        """The source's own pixels where they are visible, the network's where not, into `frame`;
        what is hidden into `hidden`.
        """
        whole = self.fit.field(MotionField(field.of_source().grid, (visible,)))
        x, y = (side.abs() for side in whole.grid.unbind(-1))
        inside = (x <= 1 + 1 / self.fit.width) & (
            y <= 1 + 1 / self.fit.height
        )  # half a pixel beyond the last centre
        shown = (whole.occlusion[-1] * inside[:, None]).clamp_(0, 1)
        moved = whole.warp(self.picture[:1].to(whole.grid.device), padding="border")
        painted = self.fit.from_canvas(picture)
        torch.add(moved.sub_(painted).mul_(shown), painted, out=frame)
        torch.sub(1, shown, out=hidden)


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


def _believed(field: MotionField, resting: tuple[Tensor, ...]) -> Tensor:
    """Visibility against what the model says of no motion at all, for a network may call a still
    pixel anything. B 1 h w

    A pixel is hidden as far as its visibility fell while it moved. Without occlusion everything is
    visible.
    """
    if not field.occlusion or not resting:
        return torch.ones_like(field.grid[..., :1].permute(0, 3, 1, 2))
    now = field.occlusion[-1]
    moved = MotionField(field.grid).warp(resting[0], padding="border")
    fallen = (now / moved.clamp(min=0.05)).clamp(0, 1)
    return ((fallen - 0.2) / 0.7).clamp(0, 1)  # the ends belong wholly to one picture or the other


class Batches:
    """Driving frames in batches of one size, read again as often as needed, as `prepare` leaves
    them.
    """

    def __init__(
        self,
        driving: Frames,
        batch_size: int,
        prepare: Callable[[Tensor], Tensor] = to_rgb,
        again: bool = False,
    ) -> None:
        self.driving = list(driving) if again and isinstance(driving, Iterator) else driving
        self.batch_size = batch_size
        self.prepare = prepare
        self.total = (
            len(driving) if isinstance(driving, Tensor) else getattr(driving, "len_hint", None)
        )

    def __iter__(self) -> Iterator[Tensor]:
        held: list[Tensor] = []
        for frame in self._frames():
            held.append(frame)
            if len(held) >= self.batch_size:
                yield self.prepare(torch.cat(held))
                held = []
        if held:
            yield self.prepare(torch.cat(held))

    def _frames(self) -> Iterator[Tensor]:
        for batch in [self.driving] if isinstance(self.driving, Tensor) else self.driving:
            yield from batch.split(1) if len(batch) else ()

    def frame(self, number: int) -> Tensor:
        """One frame. Of an iterator only the first, which is then still to come.

        Raises InputError beyond the end.
        """
        frames = self._frames()
        found = next(islice(frames, number, None), None)
        if found is None and not number:
            raise InputError("The driving clip has no frames; give at least one.")
        if found is None:
            raise InputError(
                f"The reference frame {number} lies beyond the end of the driving clip; frames"
                " count from 0."
            )
        if isinstance(self.driving, Iterator):
            self.driving = chain([found], frames)
        return self.prepare(found)


def frames_at_once(model: MotionModel) -> int:
    """As many as the device runs fastest with: on a CPU what its family says, on a GPU as many as
    its free memory holds, up to 32.
    """
    if model.device.type != "cuda":
        return model.at_once
    free, _ = torch.cuda.mem_get_info(model.device)
    return max(1, min(32, int(free * 0.5 / (model.size**2 * BYTES_PER_PIXEL))))
