"""Keypoints: found, smoothed, written down."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..comfyui_motion import InputError, Keypoints
from ..comfyui_motion.controlnet import to_openpose
from ..comfyui_motion.drivers import performed
from ..comfyui_motion.driving import Batches
from ..comfyui_motion.framing.level import LevelPortrait
from ..comfyui_motion.framing.portrait import FramedPortrait, fitted
from ..comfyui_motion.memory import frames_at_once
from ..comfyui_motion.preparing import look_ahead
from . import host, sockets
from .clips import moving
from .convert import to_pictures
from .encode import framed
from .host import io

CATEGORY = "motion/keypoints"


def real(keypoints: Any) -> Keypoints:
    """Keypoints, and no other thing that a model is driven by. Raises InputError."""
    if not isinstance(keypoints, Keypoints):
        raise InputError(
            "This model is driven by frames and has no keypoints to draw, smooth or save."
        )
    return keypoints


class ExtractKeypoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_ExtractKeypoints",
            display_name="Extract Keypoints",
            category=CATEGORY,
            description=(
                "What the model says of each picture: its points, and how their surroundings turn"
                " and stretch."
            ),
            search_aliases=["detect", "landmarks", "pose"],
            inputs=[
                sockets.Model.Input(
                    "model",
                    tooltip=(
                        "From Load Motion Model. Keypoints mean something only to the model they"
                        " come from."
                    ),
                ),
                host.images_or_video(
                    "images", tooltip="Pictures of any size: the driving clip, or the still source."
                ),
                io.Image.Input(
                    "reference_image",
                    optional=True,
                    tooltip=(
                        "For the model for any subject: the picture in which its points start."
                        " Left open, the first of the images; connect the source for mode absolute."
                        " Other models do without."
                    ),
                ),
                sockets.Portrait.Input(
                    "portrait",
                    optional=True,
                    tooltip=(
                        "From Encode Source, for the driving clip alone: its frames are looked at"
                        " in"
                        " the box that belongs to the portrait's, and what follows points starts in"
                        " the portrait's reference frame."
                    ),
                ),
            ],
            outputs=[
                sockets.Keypoints.Output(
                    display_name="keypoints", tooltip="One set of points per picture."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model: host.HostedModel,
        images: Any,
        reference_image: Tensor | None = None,
        portrait: FramedPortrait | None = None,
    ) -> io.NodeOutput:
        frames = moving(images, "images").whole()
        at_once = frames_at_once(model.model)
        network = model.ready(at_once)
        given = reference_image
        given = None if given is None else to_pictures(given, "reference_image")[:1]
        if portrait is None:
            source = None
            reference = fitted(network, frames[:1] if given is None else given)
        else:
            source = framed(network, frames.movedim(1, -1), portrait)
            reference = source.reference_of(frames, given)

        script = None
        if isinstance(source, LevelPortrait):
            points = performed(source, Batches(host.Watched(frames), at_once))
            return io.NodeOutput(points.to(host.result_device()))
        if source is not None:
            script = look_ahead(source, Batches(host.Watched(frames), at_once))
        if script is not None:  # as Animate Picture takes them: followed through the clip
            return io.NodeOutput(script.keypoints.to(host.result_device()))

        def detect(part: slice) -> Any:
            if source is None:
                return network.detect(fitted(network, frames[part]), reference=reference)
            return source.detect(source.driver(frames[part]), reference)

        work = host.batches(detect, len(frames), at_once)
        found = [keypoints.to(host.result_device()) for keypoints in work]
        points = found[0].join(found)
        warn_of_missing(points)
        return io.NodeOutput(points)


def warn_of_missing(points: Any) -> None:
    """Of pictures without a face, where the model knows faces."""
    if not hasattr(points, "found"):
        return
    lost = (~points.found()).nonzero()[:, 0].tolist()
    if lost:
        host.log.warning(
            "%d of these %d pictures show no face; the first is number %d, counted from 0.",
            len(lost),
            len(points),
            lost[0],
        )


class SmoothKeypoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_SmoothKeypoints",
            display_name="Smooth Keypoints",
            category=CATEGORY,
            description="Takes the tremble out of a performance: keypoints averaged over time.",
            inputs=[
                sockets.Keypoints.Input("keypoints", tooltip="A whole clip's points, in order."),
                io.Float.Input(
                    "sigma",
                    default=1.0,
                    min=0.0,
                    max=30.0,
                    step=0.1,
                    tooltip="Width of the Gaussian, in frames. 0 changes nothing.",
                ),
            ],
            outputs=[
                sockets.Keypoints.Output(
                    display_name="keypoints", tooltip="As many sets of points, moving more calmly."
                )
            ],
        )

    @classmethod
    def execute(cls, keypoints: Any, sigma: float) -> io.NodeOutput:
        return io.NodeOutput(real(keypoints).smooth(sigma))


JSONS = ["keypoints", "OpenPose"]


class KeypointsToJSON(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_KeypointsToJSON",
            display_name="Keypoints to JSON",
            category=CATEGORY,
            description="Keypoints as text: to keep, to edit, to take elsewhere.",
            inputs=[
                sockets.Keypoints.Input("keypoints", tooltip="Any keypoints."),
                io.Combo.Input(
                    "format",
                    options=JSONS,
                    default=JSONS[0],
                    optional=True,
                    tooltip=(
                        "keypoints: for Keypoints from JSON. OpenPose: of a face mesh, what"
                        " OpenPose"
                        " says of a face and a head, for nodes that draw or edit poses."
                    ),
                ),
                io.Int.Input(
                    "width",
                    default=512,
                    min=1,
                    max=16384,
                    optional=True,
                    tooltip="OpenPose: the width of the picture that its pixels are of.",
                ),
                io.Int.Input(
                    "height",
                    default=512,
                    min=1,
                    max=16384,
                    optional=True,
                    tooltip="OpenPose: the height of that picture.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="json",
                    tooltip=(
                        "A versioned JSON document; positions are (x, y), -1 to 1 from the first"
                        " pixel's centre to the last's."
                    ),
                )
            ],
        )

    @classmethod
    def execute(
        cls, keypoints: Any, format: str = JSONS[0], width: int = 512, height: int = 512
    ) -> io.NodeOutput:
        if format == JSONS[1]:
            return io.NodeOutput(to_openpose(real(keypoints), height, width))
        return io.NodeOutput(as_text(real(keypoints)))


MOST_TEXT = 2_000_000  # characters: what a text box bears
DECIMALS = 5  # of numbers in -1..1: a hundredth of a pixel in a picture of 2000


def as_text(keypoints: Keypoints) -> str:
    """Rounded, for hands. Raises InputError for what no one would edit by hand."""
    numbers = sum(value.numel() for _, value in keypoints.points())
    if numbers * (DECIMALS + 5) > MOST_TEXT:
        raise InputError(
            f"These are {len(keypoints)} x {keypoints.count} points, {numbers} numbers: too many"
            " for a text. Keep them in a file with Save Keypoints, or take fewer frames."
        )
    return keypoints.to_json(DECIMALS)


class KeypointsFromJSON(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="CM_KeypointsFromJSON",
            display_name="Keypoints from JSON",
            category=CATEGORY,
            description="Keypoints out of text that Keypoints to JSON made.",
            inputs=[
                io.String.Input("json", multiline=True, default="", tooltip="The JSON document.")
            ],
            outputs=[
                sockets.Keypoints.Output(
                    display_name="keypoints",
                    tooltip="The keypoints in it, for the model they came from.",
                )
            ],
        )

    @classmethod
    def execute(cls, json: str) -> io.NodeOutput:
        return io.NodeOutput(Keypoints.from_json(json).to(host.result_device()))


NODES = [ExtractKeypoints, SmoothKeypoints, KeypointsToJSON, KeypointsFromJSON]
