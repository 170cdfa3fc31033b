"""The hot path: encode the source once, then batches of driving frames in, batches of frames out. A model arrives as an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .field import MotionField
from .fit import Fit
from .keypoints import Keypoints
from .model import MotionModel, Portrait
from .picture import to_rgb
from .retarget import MODES, best_reference, retarget

Progress = Callable[[int, int | None], None]
Frames = Tensor | Iterable[Tensor]
BEST = -1  # the reference frame is to be found


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
    """Yield the source moving as `driving` moves, a batch of frames at a time. B 3 H W in 0..1; see `perform` for the arguments."""
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
) -> Iterator[Step]:
    """`animate`, with field, occlusion and keypoints beside the frames.

    source      1 C H W in 0..1, any size; C 1, 3 or 4 (alpha is composited on white). X2Face takes N of them, others the first
    driving     B C H W, or an iterable of such batches, streamed; to look ahead (a reference other than frame 0) an iterator is kept whole
    mode        "absolute", "relative" or "avd", as `retarget` has them; so are adapt_scale and strength
    size        "model": the network's own pictures. "source": the source's pixels moved at its own size, the network's where they are hidden
    batch_size  frames at a time; None: by the device
    progress    called with (frames done, frames in all or None) after every batch; what it raises ends the run
    reference   the driving frame that relative motion is measured from; -1: the one whose keypoints lie most as the source's
    fit         how pictures come to the model's square: "stretch", "letterbox" or "crop"

    Raises InputError before anything is computed.
    """
    if size not in ("model", "source"):
        raise InputError(f'size must be "model" or "source", and is {size!r}.')
    if mode not in MODES:
        raise InputError(f"mode must be {', '.join(MODES)}, and is {mode!r}.")
    if reference < BEST:
        raise InputError(f"reference must be a frame number, or {BEST} for the best one, and is {reference}.")
    return _perform(model, source, driving, mode, size, batch_size, progress, adapt_scale, strength, reference, fit)


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
    fit: str,
) -> Iterator[Step]:
    stage = Stage.prepare(model, source, size, fit)
    looks_ahead = mode == "relative" and reference != 0
    clip = Batches(driving, batch_size or frames_at_once(model), stage.driver, again=looks_ahead)
    rest_frame = stage.canvas if mode == "absolute" else None  # the subject is the source itself
    rest = None
    if looks_ahead:
        rest_frame = clip.frame(find_reference(model, clip, stage.portrait) if reference == BEST else reference)
        rest = model.detect(rest_frame, reference=rest_frame)
    done = 0
    for batch in clip:
        rest_frame = batch[:1] if rest_frame is None else rest_frame
        points = model.detect(batch, reference=rest_frame)
        rest = points[:1] if rest is None else rest
        pose = retarget(points, rest, stage.portrait.keypoints, mode, adapt_scale, strength, model)
        field = model.motion(stage.portrait, pose)
        frames, occlusion = stage.render(field)
        done += len(batch)
        yield Step(frames, occlusion, stage.over_picture(field), points, stage.points_over_picture(pose), batch)
        if progress:
            progress(done, clip.total)
    if not done:
        raise InputError("The driving clip has no frames; give at least one.")


def find_reference(model: MotionModel, clip: Iterable[Tensor], portrait: Portrait) -> int:
    """The number of the driving frame whose keypoints lie most as the source's. Reads the whole clip, keeps only positions."""
    found = []
    for batch in clip:
        points = model.detect(batch)
        if not isinstance(points, Keypoints):
            raise InputError("The best reference frame is found from keypoints, and this model has none; give a frame number.")
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
    mode: str
    full: bool
    resting: tuple[Tensor, ...]  # what the model calls visible when nothing moves

    @staticmethod
    def prepare(model: MotionModel, source: Tensor, size: str, mode: str) -> Stage:
        picture = to_rgb(source if getattr(model, "many_sources", False) else source[:1])
        height, width = picture.shape[-2:]
        full = size == "source"
        if model.any_size:
            fit = Fit.within(height, width, max(height, width) if full else model.size)
        else:
            fit = Fit.plan(height, width, model.size, mode)
        canvas = fit.to_canvas(picture).to(model.device)
        portrait = model.encode(canvas)
        resting = () if not full or model.any_size else model.motion(portrait, portrait.keypoints).occlusion[-1:]
        return Stage(model, picture, canvas, portrait, fit, mode, full, resting)

    def driver(self, frames: Tensor) -> Tensor:
        """Driving frames as the model takes them."""
        return fitted(self.model, frames, self.mode)

    def render(self, field: MotionField) -> tuple[Tensor, Tensor]:
        """Frames and what in them is made up. B 3 H W, B 1 H W"""
        pictures = self.model.generate(self.portrait, field)
        if not self.full or self.model.any_size:
            return pictures, field.occlusion_mask(*pictures.shape[-2:])
        visible = [_believed(field, self.resting)]
        frames = [self._full_size(pictures[i : i + 1], field[i], *(v[i : i + 1] for v in visible)) for i in range(len(field))]
        return torch.cat([frame for frame, _ in frames]), torch.cat([mask for _, mask in frames])

    def over_picture(self, field: MotionField) -> MotionField:
        """The field over the whole picture, no larger than it was, read corner-aligned: what means the same to whoever gets it."""
        field = field.of_source()
        if self.fit.whole:
            return field.straightened()
        scale = max(field.size) / max(self.fit.height, self.fit.width)
        height, width = max(2, round(self.fit.height * scale)), max(2, round(self.fit.width * scale))
        return Fit.plan(height, width, self.model.size, self.mode).field(field)

    def points_over_picture(self, points: Any) -> Any:
        """Keypoints on the canvas as those of the whole picture; what are no keypoints as they are."""
        if self.fit.whole or not isinstance(points, Keypoints):
            return points
        return self.fit.points(points)

    def _full_size(self, picture: Tensor, field: MotionField, visible: Tensor) -> tuple[Tensor, Tensor]:
        """The source's own pixels where they are visible, the network's where not."""
        whole = self.fit.field(MotionField(field.of_source().grid, (visible,)))
        edge = 1 + 1 / whole.grid.new_tensor([self.fit.width, self.fit.height])  # half a pixel beyond the last centre
        inside = (whole.grid.abs() <= edge).all(-1)[:, None].to(visible.dtype)
        shown = whole.occlusion[-1].clamp(0, 1) * inside
        moved = whole.warp(self.picture[:1].to(whole.grid.device), padding="border")
        return torch.lerp(self.fit.from_canvas(picture), moved, shown), 1 - shown


def fitted(model: MotionModel, frames: Tensor, mode: str = "stretch") -> Tensor:
    """Frames of any size as the model's verbs take them. B C H W, C 1 to 4 -> B 3 h w"""
    frames = to_rgb(frames)
    height, width = frames.shape[-2:]
    plan = Fit.within(height, width, model.size) if model.any_size else Fit.plan(height, width, model.size, mode)
    return plan.to_canvas(frames)


def _believed(field: MotionField, resting: tuple[Tensor, ...]) -> Tensor:
    """Visibility against what the model says of no motion at all, for a network may call a still pixel anything. B 1 h w

    A pixel is hidden as far as its visibility fell while it moved. Without occlusion everything is visible.
    """
    if not field.occlusion or not resting:
        return torch.ones_like(field.grid[..., :1].permute(0, 3, 1, 2))
    now = field.occlusion[-1]
    moved = MotionField(field.grid).warp(resting[0], padding="border")
    fallen = (now / moved.clamp(min=0.05)).clamp(0, 1)
    return ((fallen - 0.2) / 0.7).clamp(0, 1)  # the ends belong wholly to one picture or the other


class Batches:
    """Driving frames in batches of one size, read again as often as needed, brought to the model's size."""

    def __init__(self, driving: Frames, batch_size: int, prepare: Callable[[Tensor], Tensor], again: bool = False) -> None:
        self.driving = list(driving) if again and isinstance(driving, Iterator) else driving
        self.batch_size = batch_size
        self.prepare = prepare
        self.total = len(driving) if isinstance(driving, Tensor) else getattr(driving, "len_hint", None)

    def __iter__(self) -> Iterator[Tensor]:
        held: list[Tensor] = []
        for frame in self._frames():
            held.append(frame)
            if len(held) == self.batch_size:
                yield self.prepare(torch.cat(held))
                held = []
        if held:
            yield self.prepare(torch.cat(held))

    def _frames(self) -> Iterator[Tensor]:
        for batch in [self.driving] if isinstance(self.driving, Tensor) else self.driving:
            yield from batch.split(1) if len(batch) else ()

    def frame(self, number: int) -> Tensor:
        """One frame. Raises InputError beyond the end."""
        found = next(islice(self._frames(), number, None), None)
        if found is None:
            raise InputError(f"The reference frame {number} lies beyond the end of the driving clip; frames count from 0.")
        return self.prepare(found)


def frames_at_once(model: MotionModel) -> int:
    """As many as the device takes comfortably."""
    return 8 if model.device.type == "cpu" else 16
