"""The main job in one node."""

from __future__ import annotations

from torch import Tensor

from ..comfyui_motion import Keypoints, MotionField, Options
from ..comfyui_motion.animate import perform
from ..comfyui_motion.memory import frames_at_once
from . import finding, host, sockets, widgets
from .convert import Gathered, evened, to_box, to_images, to_mask, to_pictures
from .host import io


class Animate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_Animate",
            display_name="Animate Picture",
            category="motion",
            description=(
                "A still picture moves as a driving clip moves: the whole of motion transfer in one"
                " node."
            ),
            search_aliases=[
                "motion transfer",
                "image animation",
                "reenactment",
                "face animation",
                "puppet",
            ],
            inputs=[
                sockets.Model.Input("model", tooltip="From Load Motion Model."),
                io.Image.Input(
                    "source_image",
                    tooltip=(
                        "The still picture, of any size. Of a batch the first is used; X2Face takes"
                        " several of one face."
                    ),
                ),
                io.Image.Input(
                    "driving_images",
                    tooltip=(
                        "The clip whose motion is carried over: its frames in order, of any size."
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
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: host.HostedModel,
        source_image: Tensor,
        driving_images: Tensor,
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
    ) -> io.NodeOutput:
        source, driving = (
            to_pictures(source_image, "source_image"),
            to_pictures(driving_images, "driving_images"),
        )
        options = Options(
            mode,
            size,
            batch_size or frames_at_once(model.ready()),
            adapt_scale,
            strength,
            reference_frame,
            fit,
            to_box(subject, source),
            to_box(driving_subject, driving),
            finding.chosen(finder, find_face),
            face=face,
        )
        with host.told(cls.hidden.unique_id):
            network = model.ready(options.batch_size or 1)
            steps = perform(network, source, host.Watched(driving), options)
            return io.NodeOutput(*_gathered(steps, len(driving), even_size))


def _gathered(steps, total: int, even: bool) -> tuple[Tensor, Tensor, MotionField, Keypoints]:
    progress, device = host.Progress(total), host.result_device()
    progress(0)
    images, masks, fields, poses = Gathered(total, device), Gathered(total, device), [], []
    for step in steps:
        images.add(to_images(evened(step.frames, even)))
        masks.add(to_mask(evened(step.occlusion, even)))
        fields.append(step.field.to(device))
        poses.append(step.pose.to(device))
        progress(images.done, step.frames[0])
    return images.whole, masks.whole, fields[0].join(fields), poses[0].join(poses)


NODES = [Animate]
