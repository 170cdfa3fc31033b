"""The source, encoded once for all nodes that follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from ..comfyui_motion import InputError, Options
from ..comfyui_motion.cutout import split_alpha
from ..comfyui_motion.driving import Batches
from ..comfyui_motion.framing.plan import BEST
from ..comfyui_motion.framing.portrait import FramedPortrait
from ..comfyui_motion.memory import frames_at_once
from ..comfyui_motion.numbering import numbered_faces
from ..comfyui_motion.preparing import frame_source
from . import finding, host, sockets, widgets
from .clips import moving
from .convert import cut_out, to_box, to_pictures
from .host import io


class EncodeSource(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_EncodeSource",
            display_name="Encode Source",
            category="motion",
            description=(
                "What a model makes of the still picture, once for all nodes that follow: connect"
                " it to Extract Keypoints, Estimate Motion and Generate Frames, and they give the"
                " same frames as Animate Picture. Where there are several faces, the node shows"
                " their numbers."
            ),
            search_aliases=["portrait", "source features", "appearance"],
            inputs=[
                sockets.Model.Input("model", tooltip="From Load Motion Model."),
                io.Image.Input(
                    "source_image",
                    tooltip=(
                        "The still picture, of any size. Of a batch the first is used; X2Face takes"
                        " several of one face."
                    ),
                ),
                widgets.subject(),
                finding.finder(),
                host.images_or_video(
                    "driving_images",
                    optional=True,
                    tooltip=(
                        "The driving clip: the face is looked for in it too, and the best reference"
                        " frame. With find_face off and a reference frame of your own, it can be"
                        " left open."
                    ),
                ),
                widgets.subject("driving_subject", "clip (the same place in all its frames)"),
                widgets.reference_frame(optional=True),
                widgets.fit(),
                finding.find_face(),
                finding.face(),
                widgets.source_alpha(),
                widgets.published(),
            ],
            outputs=[
                sockets.Portrait.Output(
                    display_name="portrait", tooltip="The source as the model sees it."
                ),
                sockets.Keypoints.Output(
                    display_name="source_keypoints",
                    tooltip="The source's own points in it, for Retarget Keypoints.",
                ),
                io.Int.Output(
                    display_name="reference_frame",
                    tooltip=(
                        "The driving frame to measure motion from, for Retarget Keypoints: the one"
                        " asked for, or the one that was found for -1."
                    ),
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: host.HostedModel,
        source_image: Tensor,
        subject: Tensor | None = None,
        finder: host.HostedModel | None = None,
        driving_images: Any = None,
        driving_subject: Tensor | None = None,
        reference_frame: int = BEST,
        fit: str = "stretch",
        find_face: str = finding.AUTO,
        face: int = 0,
        source_alpha: Tensor | None = None,
        published: bool = False,
    ) -> io.NodeOutput:
        source = cut_out(to_pictures(source_image, "source_image"), source_alpha)
        driving = (
            None if driving_images is None else moving(driving_images, "driving_images").whole()
        )
        options = Options(
            reference=reference_frame,
            fit=fit,
            subject=to_box(subject, source),
            driving_subject=driving_box(driving_subject, driving),
            finder=finding.chosen(finder, find_face),
            face=face,
            published=published,
        )
        network = model.ready(1 if driving is None else frames_at_once(model.model))
        clip = None
        if driving is not None:
            clip = Batches(host.Watched(driving), frames_at_once(network))
        portrait = frame_source(network, source, options, clip).to(host.result_device())
        faces = numbered_faces(network, source, options)
        shown = None if faces is None else host.still_of(faces)
        return io.NodeOutput(portrait, portrait.portrait.keypoints, portrait.reference, ui=shown)


def driving_box(mask: Tensor | None, driving: Tensor | None):
    """The box that the mask marks in the clip. Raises InputError without a clip to
    measure it in.
    """
    if mask is not None and driving is None:
        raise InputError("driving_subject marks a place in driving_images: connect the clip too.")
    return None if driving is None else to_box(mask, driving)


def framed(
    network: host.MotionModel,
    source_image: Tensor,
    portrait: FramedPortrait | None,
    transparent: Tensor | None = None,
) -> FramedPortrait:
    """The portrait that is connected, on the network's device, or the source's picture, encoded;
    with the alpha that is told here, where the portrait was encoded without.

    Raises InputError for a portrait of another model.
    """
    pictures = cut_out(to_pictures(source_image, "source_image"), transparent)
    if portrait is None:
        return frame_source(network, pictures, Options())
    if portrait.model is not network:
        raise InputError(
            f"The portrait was encoded by another model ({portrait.model.family}) than the one"
            f" connected here ({network.family}); connect the same one to both nodes."
        )
    if portrait.alpha is None:
        portrait = replace(portrait, alpha=split_alpha(pictures[:1])[1])
    return portrait.to(network.device)


NODES = [EncodeSource]
