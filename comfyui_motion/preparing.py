"""What is settled before the first frame is made: where the subject is, the source encoded, the
frame that motion is measured from, a look at the whole clip for models that take one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from .cutout import split_alpha
from .doors.words import logger
from .driving import Batches, Frames
from .errors import InputError
from .framing.canvas import in_grid
from .framing.find import Finder, find_subject
from .framing.plan import BEST
from .framing.portrait import FramedPortrait, fitted
from .heads import frame_head
from .keypoints import Keypoints
from .media.overlap import Prefetched
from .media.picture import to_rgb
from .memory import frames_at_once
from .model import MotionModel, Placement
from .options import Options
from .retarget import best_reference


def begin(
    model: MotionModel, source: Tensor, driving: Frames, options: Options
) -> tuple[FramedPortrait, Batches, Tensor | None, Any, Any]:
    """The source's portrait, the clip as the model takes it, its reference frame with the keypoints
    there, where they are known before the first frame comes, and what a look ahead told.
    """
    relative = options.mode == "relative"
    options = with_face(model, source, options)
    at_once = options.batch_size or frames_at_once(model, pixels_made(model, source, options))
    frames = Batches(driving, at_once, again=model.looks_ahead)
    model, script = rehearsal(model, source, frames, options)
    given = options.reference_picture if relative else None
    options = replace(
        options, reference=(options.reference or 0) if relative and given is None else 0
    )
    again = options.reference != 0 and script is None
    frames = Batches(frames.driving, frames.batch_size, again=again, told=frames.told)
    portrait = framed(model, source, options, frames, script)
    clip = Batches(frames.driving, frames.batch_size, portrait.driver, again, frames.told)
    if given is not None:
        still = rest_picture(portrait, given, options)
        return portrait, clip, still, portrait.detect(still, still), script
    if not portrait.reference or script is not None:
        rest_frame = portrait.at_rest if options.mode == "absolute" else None
        return portrait, clip, rest_frame, None, script
    rest_frame = clip.frame(portrait.reference)
    batch, place = clip.batch_with(portrait.reference)  # networks round by the batch
    return portrait, clip, rest_frame, portrait.detect(batch, rest_frame)[place], script


def frame_source(
    model: MotionModel,
    source: Tensor,
    options: Options,
    driving: Batches | None = None,
) -> FramedPortrait:
    """The source encoded, its subject's box and the best reference frame found where that is asked.

    Without a driving clip a finder is asked for the source's subject alone, and BEST stays BEST.
    """
    if model.level:
        straight, alpha = split_alpha(source)
        head = frame_head(model, straight, options, driving)
        return replace(head, alpha=None if alpha is None else alpha[:1])
    return framed(model, source, with_face(model, source, options), driving)


def framed(
    model: MotionModel,
    source: Tensor,
    options: Options,
    driving: Batches | None,
    script: Any = None,
) -> FramedPortrait:
    """The same with the face that is meant already chosen; `script`: what a look ahead told."""
    source, alpha = split_alpha(source)
    alpha = None if alpha is None else alpha[:1]
    framing, reference = options.framing, options.reference or 0
    finder = options.finder_for(model)
    if finder is not None and driving is not None and script is None:
        framing, reference = framing.find(
            finder, source[:1], driving, reference, not model.any_size, max(options.face, 0)
        )
    elif finder is not None and framing.subject is None:
        found = find_subject(finder, source[:1], number=max(options.face, 0))
        framing = framing if found is None else replace(framing, subject=found.box)
    portrait = FramedPortrait.of(model, source, framing)
    if reference == BEST and driving is not None and script is None:
        script = look_ahead(replace(portrait, reference=reference), driving)
        if script is not None:
            reference = script.reference
        else:
            clip = Batches(driving.driving, driving.batch_size, portrait.driver, told=driving.told)
            reference = find_reference(model, clip, portrait) if model.compares else 0
    return replace(portrait, reference=reference, alpha=alpha)


def with_face(model: MotionModel, source: Tensor, options: Options) -> Options:
    """For a model that finds faces itself, which of them is meant, as its box."""
    if options.face > 0 and options.subject is not None:
        logger().warning("Face %d is not looked for: the subject's box was given.", options.face)
    elif options.face > 0 and not model.finds_faces and options.finder_for(model) is None:
        logger().warning(
            "Face %d is not looked for: %s moves the whole picture. Give a box (subject), or what"
            " finds faces (the finder face).",
            options.face,
            model.family,
        )
    if not (model.finds_faces and options.face > 0 and options.subject is None):
        return options
    found = find_subject(cast(Finder, model), source[:1], number=options.face)
    return options if found is None else replace(options, subject=found.box)


def rehearsal(
    model: MotionModel, source: Tensor, driving: Batches, options: Options
) -> tuple[MotionModel, Any]:
    """Who animates, and what a look at the whole clip told; see `MotionModel.rehearse`."""
    if not model.looks_ahead:
        return model, None
    picture = to_rgb(source[:1])
    box = options.framing.subject
    placement = None if box is None else Placement(in_grid(box, *picture.shape[-2:]))
    framing = options.framing
    shown = Batches(
        driving.driving,
        driving.batch_size,
        lambda frames: fitted(model, frames, framing.fit, framing.driving_subject),
        told=driving.told,
    )
    clip = Prefetched(shown)  # what brings frames to their size works beside what looks at them
    first = picture.to(model.device)
    model.expect(first, placement)
    return model.rehearse(first, clip, options.reference, placement)


def look_ahead(portrait: FramedPortrait, driving: Batches) -> Any:
    """What a look at the whole clip tells a model that takes one, its keypoints above all; None for
    other models, and for a clip that does not show what they move.
    """
    model, picture = portrait.model, portrait.picture[:1]
    if not model.looks_ahead:
        return None
    shown = Batches(driving.driving, driving.batch_size, portrait.driver, told=driving.told)
    clip = Prefetched(shown)
    first = picture.to(model.device)
    _, script = model.rehearse(first, clip, portrait.reference, portrait.placement)
    return script


def find_reference(model: MotionModel, clip: Iterable[Tensor], portrait: FramedPortrait) -> int:
    """The number of the driving frame whose keypoints lie most as the source's.

    Reads the whole clip, keeps only positions.
    """
    found: list[Keypoints] = []
    first: Tensor | None = None
    for batch in clip:
        first = batch[:1] if first is None else first
        points = model.detect(batch, reference=first)
        found.append(Keypoints(points.position))
    if not found:
        raise InputError("The driving clip has no frames; give at least one.")
    return best_reference(Keypoints.join(found), portrait.portrait.keypoints)


def rest_picture(portrait: FramedPortrait, picture: Tensor, options: Options) -> Tensor:
    """A picture of the driver at rest, shown as the clip is; where its face was found there, as it
    is found here. 1 3 h w
    """
    model, framing = portrait.model, portrait.framing
    finder = None if model.any_size else options.finder_for(model)
    if finder is not None and options.driving_subject is None:
        alone = Batches(to_rgb(picture), 1)
        square, number = not model.any_size, max(options.face, 0)
        framing, _ = options.framing.find(finder, portrait.picture[:1], alone, 0, square, number)
    return fitted(model, picture, framing.fit, framing.driving_subject).to(model.device)


def pixels_made(model: MotionModel, source: Tensor, options: Options) -> int:
    """Of one frame."""
    full = options.size == "source"
    return source.shape[-2] * source.shape[-1] if full else model.size**2
