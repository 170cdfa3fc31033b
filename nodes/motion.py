"""A pose to the field that moves the source into it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..comfyui_motion import MotionField
from ..comfyui_motion.framing.portrait import FramedPortrait
from ..comfyui_motion.memory import frames_at_once
from . import host, sockets, widgets
from .checks import belonging, check_driver
from .encode import framed
from .host import io


class EstimateMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_EstimateMotion",
            display_name="Estimate Motion",
            category="motion/field",
            description=(
                "For every pixel of every frame, where in the source it comes from: the motion"
                " field, and what the source does not show."
            ),
            search_aliases=["optical flow", "dense motion", "warp field"],
            inputs=[
                sockets.Model.Input(
                    "model", tooltip="From Load Motion Model; the keypoints must be its own."
                ),
                io.Image.Input("source_image", tooltip="The still picture, of any size."),
                sockets.Keypoints.Input(
                    "driving_keypoints",
                    tooltip=(
                        "The pose for each frame, from Retarget Keypoints; or a driver's own, for"
                        " mode absolute."
                    ),
                ),
                widgets.portrait(),
            ],
            outputs=[
                sockets.Field.Output(
                    display_name="field",
                    tooltip=(
                        "One field per pose, over the whole picture: it moves pictures, masks and"
                        " keypoints of any size, and Generate makes frames of it."
                    ),
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model: host.HostedModel,
        source_image: Tensor,
        driving_keypoints: Any,
        portrait: FramedPortrait | None = None,
    ) -> io.NodeOutput:
        at_once = frames_at_once(model.model)
        network = model.ready(at_once)
        source = framed(network, source_image, portrait)
        check_driver(network, driving_keypoints, source.portrait.keypoints)

        def estimate(part: slice) -> MotionField:
            with belonging(network, "performance"):
                return network.motion(source.portrait, driving_keypoints[part])

        work = host.batches(estimate, len(driving_keypoints), at_once)
        fields = [source.on_wire(field).to(host.result_device()) for field in work]
        return io.NodeOutput(fields[0].join(fields))


NODES = [EstimateMotion]
