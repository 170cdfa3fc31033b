"""FOMM: First Order Motion Model for Image Animation (Siarohin et al., NeurIPS 2019).

Keypoints with local affine frames; the motion near each is its first-order Taylor expansion (eq. 4), a dense network decides which
keypoint moves each pixel (eq. 6) and what the source hides (eq. 7), a generator warps its own features by that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..field import MotionField, identity_grid, resize, resize_grid, sample
from ..keypoints import Keypoints
from ..model import Family, MotionModel, Portrait
from .blocks import (
    Antialias,
    Body,
    BodyShape,
    Hourglass,
    HourglassShape,
    blur_scale,
    body_shape,
    gaussian_heatmap,
    hourglass_shape,
    interleave,
    inverse,
    soft_argmax,
    spatial_softmax,
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
        self.kp = nn.Conv2d(self.predictor.out_channels, spec.keypoints, 7, padding=spec.head_padding)
        self.jacobian = None
        if spec.jacobians:
            self.jacobian = nn.Conv2d(self.predictor.out_channels, 4 * spec.jacobians, 7, padding=spec.head_padding)
            start_at_identity(self.jacobian)

    def forward(self, frames: Tensor) -> Keypoints:
        features = self.predictor(self.down(frames))
        heat = spatial_softmax(self.kp(features), self.temperature)  # B K h w
        jacobian = None
        if self.jacobian is not None:
            maps = rearrange(self.jacobian(features).float(), "b (k c) h w -> b k c h w", c=4)
            jacobian = torch.einsum("bkhw,bkchw->bkc", heat, maps.expand(-1, heat.shape[1], -1, -1, -1)).unflatten(2, (2, 2))
        return Keypoints(soft_argmax(heat), jacobian)


def start_at_identity(head: nn.Conv2d) -> None:
    """Before training every frame is the identity."""
    assert head.bias is not None
    nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(head.out_channels // 4))


def local_motions(source: Keypoints, driving: Keypoints, height: int, width: int) -> Tensor:
    """How each keypoint alone would carry driving pixels to source pixels (FOMM, eq. 4). B K H W 2

    z -> source + J_source J_driving^-1 (z - driving)
    """
    offset = identity_grid(height, width, driving.position) - driving.position[:, :, None, None]  # B K H W 2
    if driving.jacobian is not None and source.jacobian is not None:
        frame = source.jacobian @ inverse(driving.jacobian)
        offset = torch.einsum("bkij,bkhwj->bkhwi", frame, offset)
    return source.position[:, :, None, None] + offset


class DenseMotion(nn.Module):
    """From K local motions to one field (eq. 6) and its occlusion (eq. 7), at a quarter of the picture's size."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.variance = spec.keypoint_variance
        self.align_corners = spec.align_corners
        self.down = Antialias(spec.channels, spec.dense_scale)
        self.hourglass = Hourglass((spec.keypoints + 1) * (spec.channels + 1), spec.dense)
        self.mask = nn.Conv2d(self.hourglass.out_channels, spec.keypoints + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3) if spec.occlusion else None

    def forward(self, small: Tensor, source_heat: Tensor, source: Keypoints, driving: Keypoints) -> MotionField:
        height, width = small.shape[-2:]
        heat = gaussian_heatmap(driving.position, height, width, self.variance) - source_heat
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], dim=1)  # B K+1 h w, the background first
        motions = local_motions(source, driving, height, width)
        still = identity_grid(height, width, motions).expand(len(motions), 1, -1, -1, -1)
        motions = torch.cat([still, motions], dim=1)  # B K+1 h w 2
        warped = sample(small, rearrange(motions, "b k h w c -> b (k h) w c"), self.align_corners)
        warped = rearrange(warped, "b c (k h) w -> b k c h w", h=height)
        features = self.hourglass(interleave(heat.to(warped.dtype), warped))
        mask = self.mask(features).float().softmax(dim=1)
        grid = torch.einsum("bkhw,bkhwc->bhwc", mask, motions)
        occlusion = () if self.occlusion is None else (torch.sigmoid(self.occlusion(features).float()),)
        return MotionField(grid, occlusion, mask, self.align_corners)


class Generator(Body):
    """A body that warps its coarsest features; its motion network lies inside it, as saved."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec.channels, spec.body)
        self.dense_motion_network = DenseMotion(spec)

    def forward(self, features: Tensor, field: MotionField, align_corners: bool) -> Tensor:
        height, width = features.shape[-2:]
        moved = sample(features, resize_grid(field.grid, height, width), align_corners)
        for level in field.occlusion[-1:]:
            moved = moved * resize(level, height, width).to(moved.dtype)
        return self.decode(moved)


@dataclass(frozen=True, eq=False)
class FOMMPortrait(Portrait):
    small: Tensor | None = None  # B C h w: the picture at the field's size
    heat: Tensor | None = None  # B K h w: the source keypoints' heatmaps there


class FOMM(MotionModel):
    family = "fomm"
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.kp_detector = Detector(spec)
        self.generator = Generator(spec)

    @property
    def multiple(self) -> int:
        spec = self.spec
        hourglasses = (spec.detector_scale, spec.detector), (spec.dense_scale, spec.dense)
        return math.lcm(2**spec.body.downs, *(round(1 / scale) * 2**shape.depth for scale, shape in hourglasses))

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        return self.kp_detector(self.accept(frames))

    def encode(self, source: Tensor) -> FOMMPortrait:
        picture = self.accept(source, "source")
        keypoints = self.kp_detector(picture)
        small = self.generator.dense_motion_network.down(picture)
        heat = gaussian_heatmap(keypoints.position, small.shape[2], small.shape[3], self.spec.keypoint_variance)
        return FOMMPortrait(picture, keypoints, self.generator.encode(picture)[-1:], small, heat)

    def motion(self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None) -> MotionField:
        assert isinstance(portrait, FOMMPortrait) and portrait.small is not None and portrait.heat is not None
        return self.generator.dense_motion_network(portrait.small, portrait.heat, portrait.keypoints, pose.to(self.device))

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        return self.generator(portrait.features[0], field.to(self.device), self.spec.align_corners)


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
