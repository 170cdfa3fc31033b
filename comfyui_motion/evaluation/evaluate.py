"""A model on clips it did not see: a clip out of its own first frame (reconstruction), or one
subject moved as another moves (animation).

Frames come as squares, stretched, as the published evaluations have them; they go straight from the
network to the metrics, never through a film's codec. Reconstruction takes the driver's keypoints as
they are, and its background motion where a family predicts one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import (
    InputError,
    MediaError,
    MotionModel,
    Options,
    perform,
)
from . import metrics
from .judge import (
    Detector,
    Embedder,
    Made,
    Task,
    judge,
    judge_truth,
    squares,
)
from .metrics import Tally
from .report import Moments, Report, Result

MODES = ("reconstruction", "animation")
ANY_SIZE = 256  # at which models of any size are compared
Video = Tensor | Iterable[Tensor]  # N 3 H W in 0..1, or batches of them
Progress = Callable[[int, int | None], None]


class ClipSource(Protocol):
    """Named clips.

    A source may have more: `truth(number)` -> ClipTruth, where it knows it; `groups`, each clip's
    kind; `skipped`, clips it left out -> why.
    """

    @property
    def names(self) -> Sequence[str]: ...

    def video(self, number: int, /) -> Video:
        """Raises MediaError, at once or on the way, for a clip that cannot be read."""
        ...


@torch.no_grad()
def evaluate(
    model: MotionModel,
    clips: ClipSource,
    mode: str = "reconstruction",
    size: int | None = None,
    batch_size: int | None = None,
    detector: Detector | None = None,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
    limit: int | None = None,
    *,
    frames: int | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Report:
    """Score a model. Clips that cannot be read, or have a single frame, are named in the report and
    left out.

    mode        "reconstruction": every clip from its frame 0, against itself. "animation": a source
                moved relatively by another's clip; what
                needs no truth is measured (AED against the source; AKD against the driver, given a
                detector), and pictures are kept
    size        side of the squares that are compared; None: the model's own, 256 for those of any
                size
    detector    finds points, for AKD and MKR; None: in reconstruction the model's own keypoints
                stand in, where it has some
    embedder    tells identities, for AED; None: no AED
    progress    called with (frames done, None)
    limit       clips, or pairs of clips, at most; of each, `frames` at most
    pairs       of names (source, driving), for animation; None: drawn by `seed`, every clip driving
                once
    name        what to call the model in the report

    Raises InputError where there is nothing to evaluate.
    """
    if mode not in MODES:
        raise InputError(f"mode must be {' or '.join(MODES)}, and is {mode!r}.")
    for what, value, least in (
        ("limit", limit, 1),
        ("frames", frames, 2),
        ("size", size, metrics.WINDOW),
    ):
        if value is not None and value < least:
            raise InputError(f"{what} must be {least} or more, and is {value}.")
    if not len(clips.names):
        raise InputError("There is no clip to evaluate on: the data holds none.")
    if model.training:
        raise InputError(
            "A model is evaluated as it is used, and this one is in training mode; call eval()"
            " on it."
        )
    batch_size = batch_size or (model.at_once if model.device.type == "cpu" else 16)
    task = Task(model, mode, size or own_size(model), batch_size, detector, embedder, frames)
    jobs = (
        choose_pairs(clips.names, pairs, seed)
        if mode == "animation"
        else [(i, i) for i in range(len(clips.names))]
    )
    results, skipped, moments, done = [], dict(getattr(clips, "skipped", {})), Moments(), 0
    for source, driving in jobs[:limit]:
        called = (
            clips.names[driving]
            if mode == "reconstruction"
            else f"{clips.names[source]} moved by {clips.names[driving]}"
        )
        try:
            result, seen = _run(task, clips, source, driving, called, progress, done)
        except MediaError as error:
            skipped[called] = str(error)
            continue
        results.append(result)
        moments.add(seen)
        done += result.frames
    if not results:
        first = next(iter(skipped.values()))
        raise InputError(
            first
            if len(skipped) == 1
            else f"None of the {len(skipped)} clips could be used. Of the first: {first}"
        )
    points = "the detector" if detector else "the model's own keypoints"
    return Report.of(name or model.family, mode, task.size, results, skipped, moments, points)


def own_size(*models: MotionModel) -> int:
    """The side at which frames of these models are compared: the largest of those that have a size
    of their own, else 256.
    """
    return max((model.size for model in models if not model.any_size), default=ANY_SIZE)


def choose_pairs(
    names: Sequence[str], pairs: Sequence[tuple[str, str]] | None, seed: int
) -> list[tuple[int, int]]:
    """(source, driving) as indexes: those named, or every clip once as a driver, moving a random
    other. Raises InputError.
    """
    if pairs is None:
        if len(names) < 2:
            raise InputError(
                "Animation takes a source and a driver from different clips, and there is one clip;"
                " give more, or pairs."
            )
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
        return list(zip(order[1:] + order[:1], order, strict=True))
    places = {name: i for i, name in reversed(list(enumerate(names)))}
    places = {
        name.rpartition(".")[0]: i for name, i in places.items() if "." in name
    } | places  # lists often leave the extension out
    missing = [name for pair in pairs for name in pair if name not in places]
    if missing:
        raise InputError(
            f"The pairs name a clip {missing[0]!r} that is not in the data; there are"
            f" {', '.join(names[:3])} ..."
        )
    return [(places[source], places[driving]) for source, driving in pairs]


def batches(video: Video, count: int, frames: int | None = None) -> Iterator[Tensor]:
    """At most `count` frames at a time, `frames` in all. B 3 H W"""
    each = (
        frame
        for batch in ([video] if isinstance(video, Tensor) else video)
        for frame in batch.split(1)
    )
    each = islice(each, frames)
    while batch := list(islice(each, count)):
        yield torch.cat(batch)


def reconstruct(task: Task, video: Video) -> Iterator[Made]:
    """A clip out of its frame 0."""
    model = task.model
    # of frame 0: the portrait, as the model takes it, as it is compared
    rest: tuple[Any, Tensor, Tensor] | None = None
    for batch in batches(video, task.batch_size, task.frames):
        driving, given = (squares(batch, side).to(model.device) for side in (task.size, task.side))
        rest = rest or (model.encode(given[:1]), given[:1], driving[:1])
        points = model.detect(given, reference=rest[1])
        field = model.motion(rest[0], points, frames=given)
        yield Made(
            squares(model.generate(rest[0], field), task.size),
            driving,
            rest[2],
            points,
            field.of_source(),
        )


def animate(task: Task, picture: Tensor, video: Video) -> Iterator[Made]:
    """A picture (1 3 H W) moved as a clip moves since its frame 0."""
    model = task.model
    given = (squares(batch, task.side) for batch in batches(video, task.batch_size, task.frames))
    shown = squares(picture, task.size).to(model.device)
    options = Options(batch_size=task.batch_size)
    for step in perform(model, squares(picture, task.side), given, options):
        frames, driving = (
            squares(pictures.to(model.device), task.size)
            for pictures in (step.frames, step.driving)
        )
        yield Made(frames, driving, shown, step.points, step.field)


def _run(
    task: Task,
    clips: Any,
    source: int,
    driving: int,
    name: str,
    progress: Progress | None,
    before: int,
) -> tuple[Result, Moments]:
    """One clip, and its moments most worth looking at.

    Raises MediaError where it cannot be used.
    """
    compared = task.mode == "reconstruction"
    truth = clips.truth(driving) if compared and hasattr(clips, "truth") else None
    video = clips.video(driving)
    steps = (
        reconstruct(task, video)
        if compared
        else animate(task, next(batches(clips.video(source), 1)), video)
    )
    parts: list[dict[str, Tally]] = []
    moments, done, first = Moments(), 0, None
    for made in steps:
        first = made.driving[:1] if first is None else first
        parts.append(judge(task, made) | (judge_truth(task, made, truth, done) if truth else {}))
        worth = (
            metrics.l1(made.frames, made.driving) if compared else metrics.l1(made.driving, first)
        )
        moments.see(name, done, worth.above, made.source, made.driving, made.frames)
        done += len(made.frames)
        if progress:
            progress(before + done, None)
    if done < 2:
        raise MediaError(
            f"{name} has {done} frame{'s' * (done != 1)}, and 2 at least are needed for something"
            " to move."
        )
    group = clips.groups[driving] if hasattr(clips, "groups") else ""
    return (
        Result(
            name, group, done, {key: Tally.join(part[key] for part in parts) for key in parts[0]}
        ),
        moments,
    )
