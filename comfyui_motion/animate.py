"""The main job: encode the source once, then batches of driving frames in, batches of frames out.

A model arrives as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from itertools import chain, islice
from typing import Any, cast

import torch
from torch import Tensor

from .cores import one_core
from .cutout import move_alpha, split_alpha
from .driving import Batches, Frames, Held
from .errors import InputError
from .framing.portrait import FramedPortrait
from .heads import perform_heads
from .media.overlap import prefetch
from .memory import in_parts, is_out_of_memory, no_room
from .model import MotionModel
from .moving_heads import perform_moving_heads
from .options import ALL_FACES, Options
from .preparing import begin
from .shapes import are_numbers
from .steps import Posed, Step

Progress = Callable[[int, int | None], None]


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
    """The source moving as `driving` moves, a batch of frames at a time. Each B 3 H W in 0..1

    `options` are those of `Options`; the rest is as in `perform`.
    """
    shown = {"driver_shown": False, "occlusion_shown": False}  # for the frames alone are given
    told: dict[str, Any] = {**shown, **options}
    chosen = Options(mode=mode, size=size, batch_size=batch_size, **told)
    return (step.frames for step in perform(model, source, driving, chosen, progress))


def perform(
    model: MotionModel,
    source: Frames,
    driving: Frames,
    options: Options | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> Iterator[Step]:
    """`animate`, with field, occlusion and keypoints beside the frames.

    source      1 C H W in 0..1, any size; C 1, 3 or 4: alpha moves along, as the steps' own, and
                under it colours are those of the subject (see `cutout`). Several, or
                an iterable of such batches: the frames of a clip, each moved as the driver differs
                from its reference in the same frame, to the end of the shorter; where the subject
                is, its first frame tells. X2Face takes several as one subject
    driving     B C H W, or an iterable of such batches, streamed; to look ahead (a reference other
                than frame 0) an iterator is kept whole
    options     how; None: as they are. `changes` are options by name, in place of theirs
    progress    called with (frames done, frames in all or None) after every batch; what it raises
                ends the run

    Raises InputError before anything is computed.
    """
    options = replace(options or Options(), **changes)
    plain = model.level or not isinstance(source, Tensor)  # heads look after alpha themselves
    colours, alpha = (source, None) if plain else split_alpha(cast(Tensor, source))
    if alpha is not None:  # which moves by what is hidden
        options = replace(options, occlusion_shown=True)
    steps = checked(_steps(model, colours, driving, options, progress), model, colours)
    if alpha is None:
        return steps
    return _with_alpha(steps, alpha[:1] if model.many_sources else alpha)


def _with_alpha(steps: Iterator[Step], alpha: Tensor) -> Iterator[Step]:
    """The steps of a cut-out: of one picture, or of the frames of a clip."""
    done = 0
    for step in steps:
        part = alpha if len(alpha) == 1 else alpha[done : done + len(step.frames)]
        done += len(step.frames)
        moved = move_alpha(part, step.field, step.occlusion)
        step = replace(step, alpha=moved.to(step.frames.device))
        del moved
        yield step
        del step


def checked(steps: Iterator[Step], model: MotionModel, source: Any = None) -> Iterator[Step]:
    """The same, if its pictures are numbers, and fit. Raises InputError, which names the first that
    is not, and what would fit where not even one frame does.
    """
    done = 0
    try:
        for step in steps:
            _check_made(step.frames, done, model)
            done += len(step.frames)
            yield step
            del step  # large frames are not kept beside the next ones
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(no_room(model, source)) from None


def _check_made(frames: Tensor, done: int, model: MotionModel) -> None:
    finite = are_numbers(frames)
    if not finite.all():
        number = done + int(finite.logical_not().nonzero()[0])
        narrow = model.dtype == torch.float16
        cure = "try float32 or bfloat16." if narrow else "ask for less strength."
        raise InputError(
            f"Frame {number} came out as no numbers (NaN or infinite): the {model.family} network"
            f" in {str(model.dtype).removeprefix('torch.')} ran out of range; {cure}"
        )


def _steps(
    model: MotionModel,
    source: Any,
    driving: Frames,
    options: Options,
    progress: Progress | None,
) -> Iterator[Step]:
    alone = isinstance(source, Tensor) and (len(source) == 1 or model.many_sources)
    if options.only is not None and (model.level or not alone):
        raise InputError(
            "Only some frames of a clip (only, --workers) can be made of a single picture, and not"
            f" by {model.family if model.level else 'a source that is a clip'}; leave it out."
        )
    if model.level:
        alone = isinstance(source, Tensor) and len(source) == 1
        work = perform_heads if alone else perform_moving_heads
        return work(model, source, driving, options, progress, Step)
    if options.of_heads:
        raise InputError(
            f"{', '.join(options.of_heads)}: of LivePortrait alone, and the model is"
            f" {model.family}; leave that out."
        )
    if options.face == ALL_FACES:
        raise InputError(
            f"All faces of a picture move together with LivePortrait, not with {model.family}; give"
            " the number of one, from the left, or 0 for the largest."
        )
    if isinstance(source, Tensor) and (len(source) == 1 or model.many_sources):
        return _perform(model, source, driving, options, progress)
    if model.many_sources:
        source = torch.cat(list(source))
        return _perform(model, source, driving, options, progress)
    return _perform_on_clip(model, source, driving, options, progress)


@torch.no_grad()
def _perform(
    model: MotionModel,
    source: Tensor,
    driving: Frames,
    options: Options,
    progress: Progress | None,
) -> Iterator[Step]:
    portrait, clip, rest_frame, rest, script = begin(model, source, driving, options)
    seen = 0

    def measured(held: Held) -> tuple[Any, Any]:
        """The driver's keypoints, and those at rest."""
        nonlocal rest, rest_frame
        batch = held.frames
        if script is not None:
            points, still = script.of(seen + held.places)
            return points, still if rest is None else rest
        rest_frame = batch[:1] if rest_frame is None else rest_frame
        points = portrait.detect(batch, rest_frame)
        rest = points[:1] if rest is None else rest
        return points, rest

    @torch.no_grad()
    def posed(held: Held) -> tuple[Held, tuple[int, ...], Posed | None]:
        """What was looked at, and what of it is to be painted, and shown how often."""
        nonlocal seen
        points, at_rest = measured(held)
        start, stop = options.only or (0, seen + held.total)
        part, times = held.between(start - seen, stop - seen)
        made = None
        if times:
            still = at_rest if len(at_rest) == 1 else at_rest[part]
            with cores():
                made = Posed.of(portrait, points[part], still, held.frames[part], options)
        seen += held.total
        return held, times, made

    def all_posed() -> Generator[tuple[Held, tuple[int, ...], Posed | None]]:
        for held in looked_through(clip, script, options):
            if options.only is not None and seen >= options.only[1]:
                return
            for looked, times, made in in_parts(posed, held, device):
                fits(len(looked), len(held))
                yield looked, times, made

    def painted(made: Posed) -> Step:
        with cores():
            return made.painted()

    def fits(count: int, of: int) -> None:
        if count < of:  # the next ones will not fit either
            clip.batch_size = max(1, min(clip.batch_size, count))

    done, device = 0, portrait.model.device
    beside = portrait.model.poses_ahead and device.type == "cpu"
    cores = one_core if beside else nullcontext
    with closing(prefetch(all_posed(), 1) if beside else all_posed()) as batches:
        for looked, times, made in batches:
            shown, count = iter(times), 0 if made is None else len(made)
            for step in () if made is None else in_parts(painted, made, device):
                fits(len(step.frames), count)
                yield from step.again(tuple(islice(shown, len(step.frames))), clip.batch_size)
                del step  # as in `checked`
            done += looked.total
            if progress:
                progress(done, clip.total)
    if not done:
        raise InputError("The driving clip has no frames; give at least one.")


def looked_through(clip: Batches, script: Any, options: Options) -> Iterator[Held]:
    """The clip's frames; of one that was looked at already, their number alone where nobody asks
    for more.
    """
    if script is None or options.driver_shown:
        return clip.held()
    return unseen(clip, script.times)


def unseen(clip: Batches, times: tuple[int, ...]) -> Iterator[Held]:
    """Frames that nobody reads, each shown so often, in batches of the clip's size."""
    done = 0
    while done < len(times):
        some = times[done : done + clip.batch_size]
        yield Held(torch.empty(len(some), 3, 0, 0), some)
        done += len(some)


@torch.no_grad()
def _perform_on_clip(
    model: MotionModel,
    source: Frames,
    driving: Frames,
    options: Options,
    progress: Progress | None,
) -> Iterator[Step]:
    """A source that moves itself: every frame has a portrait of its own."""
    pictures = (
        picture
        for batch in ([source] if isinstance(source, Tensor) else source)
        for picture in torch.split(batch, 1)
    )
    first = next(pictures, None)
    if first is None:
        raise InputError("The source clip has no frames; give at least one.")
    shared, clip, rest_frame, rest, script = begin(model, first, driving, options)
    model = shared.model
    clip.batch_size = 1
    totals = [clip.total, len(source) if isinstance(source, Tensor) else None]
    total = min((total for total in totals if total is not None), default=None)
    for done, (picture, frame) in enumerate(zip(chain([first], pictures), clip, strict=False), 1):
        portrait = shared if done == 1 else FramedPortrait.of(model, picture, shared.framing)
        rest_frame = frame if rest_frame is None else rest_frame
        if script is not None:
            points, still = script.of(slice(done - 1, done))
            rest = still if options.reference_picture is None else rest
        else:
            points = portrait.detect(
                frame, portrait.at_rest if options.mode == "absolute" else rest_frame
            )
            rest = points if rest is None else rest
        yield Posed.of(portrait, points, rest, frame, options).painted()
        if progress:
            progress(done, total)
