"""A performance carried over to a source with other proportions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..comfyui_motion import InputError, Keypoints, Options, best_reference, retarget
from ..comfyui_motion.drivers import Performance, rest_at
from ..comfyui_motion.posed import PosedKeypoints, check_posed
from ..comfyui_motion.posing import posed
from ..comfyui_motion.shapes import check_reference
from . import host, sockets, widgets
from .host import io
from .keypoints import CATEGORY


class RetargetKeypoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_RetargetKeypoints",
            display_name="Retarget Keypoints",
            category=CATEGORY,
            description="Carries a performance over to a source with other proportions.",
            inputs=[
                sockets.Keypoints.Input(
                    "driving_keypoints", tooltip="The performance: one set of points per frame."
                ),
                sockets.Keypoints.Input(
                    "source_keypoints", tooltip="The still picture's points, of the same model."
                ),
                widgets.mode(),
                widgets.adapt_scale(),
                widgets.strength(),
                widgets.reference_frame(),
                sockets.Model.Input(
                    "model",
                    optional=True,
                    tooltip=(
                        "Needed for mode avd: a checkpoint with an avd network. LivePortrait"
                        " stitches with it: neck and shoulders meet the picture round them."
                    ),
                ),
                *widgets.strengths(),
                sockets.Keypoints.Input(
                    "reference_keypoints",
                    optional=True,
                    tooltip=(
                        "The driver's points at rest, from Extract Keypoints of a picture of the"
                        " neutral face: motion is measured from them, and reference_frame is not"
                        " used."
                    ),
                ),
                *widgets.of_heads(),
                *widgets.retargeted(),
            ],
            outputs=[
                sockets.Keypoints.Output(
                    display_name="keypoints",
                    tooltip="The source's points, posed, one set per driving frame.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        driving_keypoints: Any,
        source_keypoints: Any,
        mode: str,
        adapt_scale: bool,
        strength: float,
        reference_frame: int,
        model: host.HostedModel | None = None,
        reference_keypoints: Any = None,
        **further: Any,
    ) -> io.NodeOutput:
        options = Options(mode, strength=strength, **further)
        source, rest = source_keypoints[:1], reference_keypoints
        if rest is None:
            rest = resting(driving_keypoints, source, reference_frame)
        driving, rest = driving_keypoints, rest[:1]
        if options.neutral_source and model is None:
            source, options = neutral(source), replace(options, neutral_source=False)
        network = None if model is None else model.ready()
        if network is not None and isinstance(driving, Keypoints):
            driving, rest, source = (p.to(network.device) for p in (driving, rest, source))
        return io.NodeOutput(carried_over(network, driving, rest, source, adapt_scale, options))


def carried_over(
    network: Any, driving: Any, rest: Any, source: Any, adapt_scale: bool, options: Options
) -> Any:
    """By networks of points where there are any. Raises InputError."""
    if network is not None and network.level and isinstance(driving, PosedKeypoints):
        pose = posed(network, check_posed(source), Performance.of(driving, rest), options)
        return pose.to(host.result_device())
    if options.of_heads:
        raise InputError(
            f"{', '.join(options.of_heads)}: of LivePortrait alone. Connect its model and its"
            " keypoints, or turn that off."
        )
    pose = retarget(
        driving, rest, source, options.mode, adapt_scale, options.strengths, model=network
    )
    return pose.to(host.result_device()) if isinstance(pose, Keypoints) else pose


def neutral(source: Any) -> PosedKeypoints:
    """The face without its expression. Raises InputError."""
    if not isinstance(source, PosedKeypoints):
        raise InputError(
            "A face without its expression is known for LivePortrait's keypoints alone; turn"
            " neutral_source off."
        )
    return source.neutral()


def resting(driving: Any, source: Any, frame: int) -> Any:
    """The driver's points at rest; -1 finds the frame. Raises InputError."""
    if frame < 0 and isinstance(driving, Keypoints):
        frame = best_reference(driving, source)
    check_reference(frame, len(driving))
    frame = max(frame, 0)
    return rest_at(driving, frame) if isinstance(driving, PosedKeypoints) else driving[frame]


NODES = [RetargetKeypoints]
