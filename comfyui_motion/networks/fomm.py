"""FOMM: First Order Motion Model for Image Animation (Siarohin et al., NeurIPS 2019).

Keypoints with local affine frames; the motion near each is its first-order Taylor expansion
(eq. 4), a dense network decides which keypoint moves each pixel (eq. 6) and what the source hides
(eq. 7), a generator warps its own features by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from ..field import MotionField
from ..keypoints import Keypoints
from ..model import (
    Family,
    MotionModel,
    Portrait,
    corrected,
    own,
)
from .layers.blocks import (
    Antialias,
    BodyShape,
    Hourglass,
    HourglassShape,
    blur_scale,
    body_shape,
    gaussian_heatmap,
    hourglass_shape,
    size_multiple,
    smallest_size,
    soft_argmax,
    spatial_softmax,
)
from .layers.firstorder import (
    DenseMotion,
    WarpingBody,
    expected_frames,
    frame_head,
)


@dataclass(frozen=True)
class Parameters:
    """The first block is read from the tensors; the second no tensor tells."""

    channels: int
    keypoints: int
    jacobians: int  # maps of local frames: one per keypoint, 1 shared by all, or 0: none
    occlusion: bool
    detector: HourglassShape
    detector_scale: float
    dense: HourglassShape
    dense_scale: float
    body: BodyShape

    head_padding: int
    temperature: float
    keypoint_variance: float
    align_corners: bool
    size: int


PUBLISHED = Parameters(
    channels=3,
    keypoints=10,
    jacobians=10,
    occlusion=True,
    detector=HourglassShape(32, 1024, 5),
    detector_scale=0.25,
    dense=HourglassShape(64, 1024, 5),
    dense_scale=0.25,
    body=BodyShape(64, 512, 2, 6),
    head_padding=0,
    temperature=0.1,
    keypoint_variance=0.01,
    align_corners=True,
    size=256,
)


class Detector(nn.Module):
    """Keypoints and their frames from a quarter-size picture."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.temperature = spec.temperature
        self.down = Antialias(spec.channels, spec.detector_scale)
        self.predictor = Hourglass(spec.channels, spec.detector)
        self.kp = nn.Conv2d(
            self.predictor.out_channels, spec.keypoints, 7, padding=spec.head_padding
        )
        self.jacobian = frame_head(self.predictor.out_channels, spec.jacobians, spec.head_padding)

    def forward(self, frames: Tensor) -> Keypoints:
        features = self.predictor(self.down(frames))
        heat = spatial_softmax(self.kp(features), self.temperature)  # B K h w
        jacobian = None if self.jacobian is None else expected_frames(self.jacobian(features), heat)
        return Keypoints(soft_argmax(heat), jacobian)


class Generator(WarpingBody):
    """The body, and the motion network that is saved inside it."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec.channels, spec.body)
        self.dense_motion_network = DenseMotion(
            spec.channels,
            spec.keypoints,
            spec.dense,
            spec.dense_scale,
            spec.occlusion,
            spec.keypoint_variance,
            spec.align_corners,
        )


@dataclass(frozen=True, eq=False)
class FOMMPortrait(Portrait):
    small: Tensor = field(kw_only=True)  # B C h w: the picture at the field's size
    heat: Tensor = field(kw_only=True)  # B K h w: the source keypoints' heatmaps there


class FOMM(MotionModel):
    family = "fomm"
    benched = True
    finding = ("kp_detector",)
    painting = ("generator.bottleneck", "generator.up_blocks", "generator.final")
    heatmap_head = "kp_detector.kp"
    head_gains = {"kp": 0.3, "jacobian": 0.05}
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.kp_detector = Detector(spec)
        self.generator = Generator(spec)

    @property
    def multiple(self) -> int:
        spec = self.spec
        return size_multiple(
            spec.body.downs, (spec.detector_scale, spec.detector), (spec.dense_scale, spec.dense)
        )

    @property
    def smallest(self) -> int:
        return smallest_size(self.multiple, self.spec.detector_scale, self.spec.head_padding)

    @property
    def offers(self) -> frozenset[str]:
        spec = self.spec
        extra = {"frames": bool(spec.jacobians), "occlusion": spec.occlusion}
        has = {"keypoints", "heatmaps", "contributions"}
        return frozenset(has | {name for name, there in extra.items() if there})

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        return self.kp_detector(self.accept(frames))

    def encode(self, source: Tensor) -> FOMMPortrait:
        picture = self.accept(source, "source")
        keypoints = self.kp_detector(picture)
        small, heat = self.generator.dense_motion_network.prepare(picture, keypoints)
        features = self.kept(self.generator.encode(picture)[-1:])
        return FOMMPortrait(picture, keypoints, features, small=small, heat=heat)

    def repose(self, portrait: Portrait, keypoints: Keypoints) -> FOMMPortrait:
        portrait = own(portrait, FOMMPortrait)
        keypoints = corrected(portrait.keypoints, keypoints)
        heat = gaussian_heatmap(
            keypoints.position,
            portrait.small.shape[2],
            portrait.small.shape[3],
            self.spec.keypoint_variance,
        )
        return replace(portrait, keypoints=keypoints, heat=heat)

    def motion(
        self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None
    ) -> MotionField:
        portrait = own(portrait, FOMMPortrait)
        return self.generator.dense_motion_network(
            portrait.small, portrait.heat, portrait.keypoints, pose.to(self.device)
        )

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        return self.generator(portrait.features[-1], field.to(self.device), self.spec.align_corners)

    def swap(
        self, portrait: Portrait, target: Portrait, field: MotionField, mask: Tensor
    ) -> Tensor:
        return self.generator.swap(
            portrait.features[-1],
            target.features[-1],
            field.to(self.device),
            mask,
            self.spec.align_corners,
        )


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    return "kp_detector.kp.weight" in tensors and "generator.first.conv.weight" in tensors


def configure(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameters as the shapes tell them."""
    dense = "generator.dense_motion_network."
    jacobian = tensors.get("kp_detector.jacobian.weight")
    return {
        "channels": tensors["generator.first.conv.weight"].shape[1],
        "keypoints": tensors["kp_detector.kp.weight"].shape[0],
        "jacobians": 0 if jacobian is None else jacobian.shape[0] // 4,
        "occlusion": f"{dense}occlusion.weight" in tensors,
        "detector": hourglass_shape(tensors, "kp_detector.predictor."),
        "detector_scale": blur_scale(tensors, "kp_detector.down.weight"),
        "dense": hourglass_shape(tensors, f"{dense}hourglass."),
        "dense_scale": blur_scale(tensors, f"{dense}down.weight"),
        "body": body_shape(tensors, "generator."),
    }


FAMILY = Family(
    name="fomm",
    model=FOMM,
    published=PUBLISHED,
    recognise=recognise,
    configure=configure,
    assumed=("head_padding", "temperature", "keypoint_variance", "align_corners", "size"),
)
