"""The main job in one node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from ..comfyui_motion import InputError, Keypoints, MotionField, Options, Step
from ..comfyui_motion.animate import perform
from ..comfyui_motion.media.picture import to_rgb
from ..comfyui_motion.media.video import VideoWriter
from ..comfyui_motion.numbering import numbered_faces
from . import finding, host, sockets, widgets
from .clips import Moving, Range, fps_of, moving, range_inputs
from .convert import Gathered, cut_out, evened, one_picture, to_box, to_images, to_mask
from .film import Film
from .host import io

GIVES = ["video and images", "video only"]
KEPT_AS_VIDEO = (
    "Animate Picture gives only its video: its setting *outputs* says video only. Set it to video"
    " and images."
)


class Animate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_Animate",
            is_output_node=True,
            display_name="Animate Picture (Motion Transfer)",
            category="motion",
            description=(
                "A still picture moves as a clip moves: talking portraits, face animation,"
                " expressions and gestures, puppets. The whole of motion transfer in one node."
            ),
            search_aliases=[
                "motion transfer",
                "image animation",
                "reenactment",
                "face animation",
                "puppet",
                "talking head",
                "talking face",
                "liveportrait",
                "expression transfer",
                "video to face",
            ],
            inputs=[
                sockets.Model.Input("model", tooltip="From Load Motion Model."),
                host.images_or_video(
                    "source_image",
                    tooltip=(
                        "What is to move: a still picture of any size. Or a clip, as a video or a"
                        " batch of images: each of its frames moves by what the driving clip adds,"
                        " to the end of the shorter. X2Face takes several pictures as one face."
                    ),
                ),
                host.images_or_video(
                    "driving_images",
                    tooltip=(
                        "The clip whose motion is taken over: a video, or images in order; of any"
                        " size."
                    ),
                ),
                widgets.mode(),
                widgets.adapt_scale(),
                widgets.reference_frame(),
                widgets.size(),
                widgets.strength(optional=True),
                widgets.fit(),
                widgets.even_size(),
                widgets.batch_size(),
                widgets.subject(),
                widgets.subject("driving_subject", "clip (the same place in all its frames)"),
                finding.finder(),
                finding.find_face(),
                finding.face(),
                *widgets.strengths(),
                *range_inputs(),
                host.advanced(
                    io.Float.Input(
                        "frame_rate",
                        default=0.0,
                        min=0.0,
                        max=240.0,
                        step=0.001,
                        optional=True,
                        tooltip=(
                            "Of the video that comes out, in frames a second. 0: the driving"
                            " clip's own, or 25 where it is images."
                        ),
                    )
                ),
                host.advanced(
                    io.Combo.Input(
                        "outputs",
                        options=GIVES,
                        default=GIVES[0],
                        optional=True,
                        tooltip=(
                            "video only: frames go into the video as they are made, so that a long"
                            " clip takes no more memory than a short one. The other sockets then"
                            " give nothing."
                        ),
                    )
                ),
                *widgets.of_heads(),
                widgets.source_alpha(),
                widgets.reference_image(),
                *widgets.retargeted(),
                *widgets.further_clips(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    tooltip="The source in motion, one picture per driving frame.",
                ),
                io.Mask.Output(
                    display_name="occlusion",
                    tooltip=(
                        "What the source does not show and had to be made up, 1 = made up: to"
                        " inpaint."
                    ),
                ),
                sockets.Field.Output(
                    display_name="field",
                    tooltip="Where every pixel of every frame comes from in the source.",
                ),
                sockets.Keypoints.Output(
                    display_name="keypoints",
                    tooltip="The source's points, posed, one set per frame.",
                ),
                io.Video.Output(
                    display_name="video",
                    tooltip="The same as a video, with the driving clip's sound and frame rate.",
                ),
                widgets.alpha(),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: host.HostedModel,
        source_image: Any,
        driving_images: Any,
        mode: str,
        adapt_scale: bool,
        reference_frame: int,
        size: str,
        strength: float = 1.0,
        fit: str = "stretch",
        even_size: bool = True,
        batch_size: int = 0,
        subject: Tensor | None = None,
        driving_subject: Tensor | None = None,
        finder: host.HostedModel | None = None,
        find_face: str = finding.AUTO,
        face: int = 0,
        head: float = 1.0,
        expression: float = 1.0,
        eyes: float = 1.0,
        mouth: float = 1.0,
        start_frame: int = 0,
        frame_count: int = 0,
        every_nth: int = 1,
        frame_rate: float = 0.0,
        outputs: str = GIVES[0],
        neutral_source: bool = False,
        published: bool = False,
        source_alpha: Tensor | None = None,
        reference_image: Tensor | None = None,
        close_lips: bool = False,
        retarget_eyes: bool = False,
        retarget_lips: bool = False,
        **further: Any,
    ) -> io.NodeOutput:
        source = moving(source_image, "source_image")
        part = Range(start_frame, frame_count, every_nth)
        driving = moving(driving_images, "driving_images", part)
        picture = first_of(source, "source_image")
        options = Options(
            mode,
            size,
            batch_size or model.at_once(picture),
            adapt_scale,
            strength,
            reference_frame,
            fit,
            to_box(subject, picture),
            box_in(driving_subject, driving, "driving_images"),
            finding.chosen(finder, find_face),
            head=head,
            expression=expression,
            eyes=eyes,
            mouth=mouth,
            face=face,
            neutral_source=neutral_source,
            published=published,
            reference_picture=one_picture(reference_image, "reference_image"),
            drivers=drivers_of(further, part),
            close_lips=close_lips,
            retarget_eyes=retarget_eyes,
            retarget_lips=retarget_lips,
        )
        rate = Fraction(frame_rate).limit_denominator(100_000) if frame_rate else fps_of(driving)
        keep = outputs == GIVES[0]
        network = model.ready(options.batch_size or 1)
        pictures = source.whole() if source.total == 1 else source.frames
        if source_alpha is not None:
            pictures = cut_out(source.whole(), source_alpha)
        watched = host.Watched(driving.frames, driving.total)
        steps = perform(network, pictures, watched, options)
        shown = numbered_faces(network, picture, options) if source.total == 1 else None
        shown = to_rgb(picture) if shown is None else shown
        work = _Work(source, driving, shown, rate, even_size)
        made = work.gathered(steps) if keep else work.streamed(steps)
        return io.NodeOutput(*made, ui=work.film.shown(work.words))


def drivers_of(further: dict[str, Any], part: Range) -> dict[int, Any]:
    """The clips of faces that have a driver of their own, by the face's number."""
    named = {number: widgets.further_name(number) for number in widgets.FURTHER}
    given = {number: name for number, name in named.items() if further.get(name) is not None}
    clips = {number: moving(further[name], name, part) for number, name in given.items()}
    return {number: host.Watched(clip.frames, clip.total) for number, clip in clips.items()}


def box_in(mask: Tensor | None, clip: Moving, name: str) -> Any:
    """Where the mask marks the clip, in pixels; None without one. Raises InputError."""
    return None if mask is None else to_box(mask, first_of(clip, name))


def first_of(clip: Moving, name: str) -> Tensor:
    """1 C H W. Raises InputError."""
    first = next(iter(clip), None)
    if first is None:
        raise InputError(f"{name} has no frames; give at least one.")
    return first[:1]


class _Work:
    """One run: its frames on their way to the sockets, the film on the node, the progress bar."""

    def __init__(
        self,
        source: Moving,
        driving: Moving,
        picture: Tensor,
        rate: Fraction,
        even: bool,
    ) -> None:
        self.driving, self.rate, self.even = driving, rate, even
        self.words: list[str] = []  # what the sizes ask to be said
        self.film = Film(rate, ("driver", "before", "after"))
        totals = [clip.total for clip in (source, driving) if clip.total is not None]
        self.total = min(totals) if source.total != 1 and totals else driving.total
        self.progress = host.Progress(self.total or 1)
        self.done = 0
        still = source.total == 1
        self.sources = repeat(picture) if still else _singly(source)
        height, width = picture.shape[-2:]
        if even and (height % 2 or width % 2):
            small = f"{width - width % 2}x{height - height % 2}"
            self.words.append(
                f"The picture is {width}x{height}, the frames {small}: video needs even sizes."
            )
        self.progress(0)

    def frames(self, steps: Iterable[Step]) -> Iterable[tuple[Step, Tensor]]:
        """Each step with its frames as they leave, B 3 H W."""
        for step in steps:
            frames = evened(step.frames, self.even)
            before = evened(next(self.sources), self.even)
            self.film.add(step.driving.cpu(), before, frames.cpu())
            yield step, frames
            self.done += len(frames)
            self.progress(min(self.done, self.progress.total), step.frames[0])
        if self.done < self.progress.total:
            self.progress(self.progress.total)

    def gathered(self, steps: Iterable[Step]) -> tuple[Any, ...]:
        device = host.result_device()
        images, masks = Gathered(self.total, device), Gathered(self.total, device)
        clear = Gathered(self.total, device)
        fields: list[MotionField] = []
        poses: list[Keypoints] = []
        for step, frames in self.frames(steps):
            images.add(to_images(frames))
            masks.add(to_mask(evened(step.occlusion, self.even)))
            alpha = torch.ones_like(step.occlusion) if step.alpha is None else step.alpha
            clear.add(to_mask(evened(1 - alpha, self.even)))
            fields.append(step.field.to(device))
            poses.append(step.pose.to(device))
        video = host.film_from(images.whole, self.rate, self.driving.audio())
        field, pose = fields[0].join(fields), poses[0].join(poses)
        return images.whole, masks.whole, field, pose, video, clear.whole

    def streamed(self, steps: Iterable[Step]) -> tuple[Any, ...]:
        path, _ = host.temporary("video.mp4")
        with VideoWriter(path, self.rate, audio_from=self.driving.file) as writer:
            for _, frames in self.frames(steps):
                writer.write(frames)
        blocked = host.blocked(KEPT_AS_VIDEO)
        return *[blocked] * 4, host.film_of(path), blocked


def _singly(clip: Moving) -> Iterator[Tensor]:
    return (to_rgb(picture) for batch in clip for picture in batch.split(1))


NODES = [Animate]
