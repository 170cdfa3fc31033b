"""The main job in one node."""

from __future__ import annotations

from torch import Tensor

from ..comfyui_motion import Keypoints, MotionField, Options
from ..comfyui_motion.animate import perform
from ..comfyui_motion.framing.canvas import MODES as FITS
from ..comfyui_motion.memory import frames_at_once
from ..comfyui_motion.retarget import MODES
from . import host, sockets
from .convert import Gathered, evened, to_box, to_images, to_mask, to_pictures
from .host import io

SIZES = ["source", "model"]
SIZE = (
    "source: the picture's own pixels moved, at its own size, the network's only where something"
    " hidden comes to light. model: the network's own pictures."
)
EVEN = (
    "A picture with an odd width or height loses its last column or row, for video can only be"
    " saved in even sizes."
)

SUBJECT = (
    "Where in the {} what moves is: the box round what the mask marks (painted in the Mask Editor,"
    " or from any segmenter). Boxes framed alike, such as both round the head, make a small or"
    " off-centre subject follow. An empty mask means everywhere."
)
FINDER = (
    "A model whose keypoints find the subject in picture and clip, such as puppets, so that eyes"
    " move eyes and the mouth the mouth, and the rest stays. It also finds the best reference"
    " frame. Masks win over it."
)


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
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="relative",
                    tooltip=(
                        "relative: the source moves as the driver has moved since the reference"
                        " frame, its own pose kept. absolute: the source takes the driver's pose,"
                        " for a driver who is the source or stands just like it. avd: a network's"
                        " guess, in checkpoints that have one."
                    ),
                ),
                io.Boolean.Input(
                    "adapt_scale",
                    default=True,
                    tooltip=(
                        "Relative motion grows or shrinks with the size of the subject in the"
                        " source."
                    ),
                ),
                io.Int.Input(
                    "reference_frame",
                    default=0,
                    min=-1,
                    max=1_000_000,
                    tooltip=(
                        "The driving frame that relative motion is measured from: where the driver"
                        " is posed most like the source. -1 finds it."
                    ),
                ),
                io.Combo.Input("size", options=SIZES, default="source", tooltip=SIZE),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    optional=True,
                    tooltip="1 moves as far as the driver does, 0 not at all.",
                ),
                host.advanced(
                    io.Combo.Input(
                        "fit",
                        options=list(FITS),
                        default="stretch",
                        optional=True,
                        tooltip=(
                            "How pictures come to a network's square: stretched, whole with"
                            " repeated edges (letterbox), or its middle (crop)."
                        ),
                    )
                ),
                host.advanced(
                    io.Boolean.Input("even_size", default=True, optional=True, tooltip=EVEN)
                ),
                host.advanced(
                    io.Int.Input(
                        "batch_size",
                        default=0,
                        min=0,
                        max=512,
                        optional=True,
                        tooltip="Frames at a time; 0: by the device. Halved when memory runs out.",
                    )
                ),
                io.Mask.Input("subject", optional=True, tooltip=SUBJECT.format("picture")),
                io.Mask.Input(
                    "driving_subject",
                    optional=True,
                    tooltip=SUBJECT.format("clip, the same place in all its frames"),
                ),
                sockets.Model.Input("finder", optional=True, tooltip=FINDER),
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
            finder and finder.ready(),
        )
        with host.told(cls.hidden.unique_id):
            network = model.ready(options.batch_size or 1)
            steps = perform(network, source, driving, options)
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
