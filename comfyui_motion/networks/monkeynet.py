"""Monkey-Net: Animating Arbitrary Objects via Deep Motion Transfer (Siarohin et al., CVPR 2019).

Keypoints with covariances. How they moved, drawn as maps (the movement embedding), goes to a dense
motion network, whose field warps every level of the generator's encoder, and to the generator's
decoder, which so knows the pose it draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..errors import InputError
from ..field import MotionField, identity_grid, sample
from ..geometry.affine import inverse
from ..keypoints import Keypoints
from ..model import (
    Family,
    MotionModel,
    Portrait,
    corrected,
    own,
)
from .layers.blocks import (
    Decoder,
    Encoder,
    Hourglass,
    HourglassShape,
    Res,
    count_blocks,
    hourglass_shape,
    spatial_softmax,
)

INTERPOLATIONS = ("nearest", "bilinear")


@dataclass(frozen=True)
class Embedding:
    """Which maps are drawn for each keypoint, in this order."""

    heat: bool  # its heatmap in the driving frame less the one in the source
    difference: bool  # the vector from driving to source, two maps
    warped: bool  # the source moved by that vector

    def channels(self, picture: int) -> int:
        """Maps per keypoint, for pictures of so many channels."""
        return self.heat + 2 * self.difference + picture * self.warped

    @staticmethod
    def of(channels: int, picture: int) -> Embedding:
        """The one that has so many maps per keypoint, with heat if two have."""
        every = (
            Embedding(heat, difference, warped)
            for heat, difference, warped in product((True, False), repeat=3)
        )
        return next(e for e in every if e.channels(picture) == channels)


@dataclass(frozen=True)
class Parameters:
    """The first block is read from the tensors; the second no tensor tells."""

    channels: int
    keypoints: int
    detector: HourglassShape
    dense: HourglassShape
    dense_embedding: Embedding
    group_blocks: int
    correction: bool
    generator: HourglassShape
    pose_embedding: Embedding
    refinement: int  # residual blocks after the decoder

    norm: float | str  # heatmaps are divided by it, or by their own "sum"
    clip_variance: float  # no covariance is narrower; 0: any may be
    # of the pictures for the detector, dense motion and the pose embedding; one for all
    scale: float | tuple[float, float, float]
    interpolation: str  # how fields come to the sizes of feature maps: "nearest" or "bilinear"
    temperature: float
    align_corners: bool
    size: int

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"interpolation must be {' or '.join(INTERPOLATIONS)}, and is"
                f" {self.interpolation!r}."
            )
        if self.norm != "sum" and not (isinstance(self.norm, float | int) and self.norm > 0):
            raise InputError(f'norm must be "sum" or a positive number, and is {self.norm!r}.')
        if len(self.scales) != 3 or not all(0 < s <= 1 for s in self.scales):
            raise InputError(
                "scale must be one number in 0..1, or three (detector, dense motion, embedding),"
                f" and is {self.scale!r}."
            )

    @property
    def scales(self) -> tuple[float, ...]:
        """Of detector, dense motion and pose embedding."""
        return (self.scale,) * 3 if isinstance(self.scale, float | int) else tuple(self.scale)


PUBLISHED = Parameters(
    channels=3,
    keypoints=10,
    detector=HourglassShape(32, 1024, 5),
    dense=HourglassShape(32, 1024, 5),
    dense_embedding=Embedding(heat=True, difference=False, warped=True),
    group_blocks=2,
    correction=True,
    generator=HourglassShape(32, 1024, 5),
    pose_embedding=Embedding(heat=True, difference=False, warped=False),
    refinement=4,
    norm=100.0,
    clip_variance=0.001,
    scale=1.0,
    interpolation="nearest",
    temperature=0.1,
    align_corners=True,
    size=256,
)


def shrink(picture: Tensor, scale: float) -> Tensor:
    """Every 1/scale-th pixel from the first on. B C H W -> B C int(scale H) int(scale W)"""
    return picture if scale == 1 else F.interpolate(picture, scale_factor=scale, mode="nearest")


def stretch(maps: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """To another size as these networks do it; bilinear is half-pixel.

    B C h w -> B C height width
    """
    if maps.shape[-2:] == (height, width):
        return maps
    if not maps.shape[1]:
        return maps.new_zeros(len(maps), 0, height, width)
    return F.interpolate(
        maps,
        size=(height, width),
        mode=interpolation,
        align_corners=None if interpolation == "nearest" else False,
    )


class HeadedHourglass(Hourglass):
    """An hourglass whose decoder ends in a 3x3 convolution, saved inside it."""

    def __init__(self, into: int, out: int, shape: HourglassShape) -> None:
        super().__init__(into, shape)
        self.decoder.conv = nn.Conv2d(self.out_channels, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder.get_submodule("conv")(super().forward(x))


class Detector(nn.Module):
    """Keypoints and how far each extends, as the mean and covariance of its heatmap."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.scale = spec.scales[0]
        self.temperature, self.clip_variance = spec.temperature, spec.clip_variance
        self.predictor = HeadedHourglass(spec.channels, spec.keypoints, spec.detector)

    def forward(self, frames: Tensor) -> Keypoints:
        heat = (
            spatial_softmax(self.predictor(shrink(frames, self.scale)), self.temperature) + 1e-7
        )  # B K h w
        grid = identity_grid(heat.shape[2], heat.shape[3], heat)
        position = torch.einsum("bkhw,hwc->bkc", heat, grid)
        offset = grid - position[:, :, None, None]  # B K h w 2
        covariance = torch.einsum("bkhw,bkhwi,bkhwj->bkij", heat, offset, offset)
        return Keypoints(
            position,
            covariance=(
                widened(covariance, self.clip_variance) if self.clip_variance else covariance
            ),
        )


def widened(covariance: Tensor, least: float) -> Tensor:
    """Scaled so that the smaller singular value is at least so large. B K 2 2"""
    a, b, d = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    smaller = ((a + d) / 2 - (((a - d) / 2).square() + b.square()).sqrt()).clamp(min=1e-9)
    return covariance * (smaller.clamp(min=least) / smaller)[..., None, None]


def heatmap(keypoints: Keypoints, height: int, width: int, norm: float | str) -> Tensor:
    """exp(-0.5 (z - mean)^T covariance^-1 (z - mean)) / norm. B K H W"""
    assert keypoints.covariance is not None
    offset = (
        identity_grid(height, width, keypoints.position) - keypoints.position[:, :, None, None]
    )  # B K H W 2
    heat = torch.exp(
        -0.5 * torch.einsum("bkhwi,bkij,bkhwj->bkhw", offset, inverse(keypoints.covariance), offset)
    )
    return heat / (heat.sum(dim=(2, 3), keepdim=True) if isinstance(norm, str) else norm)


class Movement(nn.Module):
    """The movement embedding: maps that say how each keypoint moved. It has no tensors."""

    def __init__(self, what: Embedding, scale: float, spec: Parameters, background: bool) -> None:
        super().__init__()
        self.what, self.scale, self.background = what, scale, background
        self.norm, self.align_corners = spec.norm, spec.align_corners

    def prepare(self, picture: Tensor, keypoints: Keypoints) -> tuple[Tensor, Tensor]:
        """What the source alone decides: itself at this scale, and its keypoints' heatmaps there. B
        C h w, B K h w
        """
        small = shrink(picture, self.scale)
        return small, heatmap(keypoints, small.shape[2], small.shape[3], self.norm)

    def forward(
        self, small: Tensor, source_heat: Tensor, difference: Tensor, driving: Keypoints
    ) -> Tensor:
        """`difference` is source - driving, B K 2, the background first where there is one.

        -> B K*c h w
        """
        height, width = small.shape[-2:]
        maps = []
        if self.what.heat:
            heat = heatmap(driving, height, width, self.norm) - source_heat
            maps.append(F.pad(heat, (0, 0, 0, 0, int(self.background), 0))[:, :, None])
        if self.what.difference:
            maps.append(difference[..., None, None].expand(-1, -1, -1, height, width))
        if self.what.warped:
            grid = (
                identity_grid(height, width, difference) + difference[:, :, None, None]
            )  # B K h w 2
            warped = sample(small, rearrange(grid, "b k h w c -> b (k h) w c"), self.align_corners)
            maps.append(rearrange(warped, "b c (k h) w -> b k c h w", h=height))
        if not maps:
            return small.new_zeros(len(difference), 0, height, width)
        return rearrange(
            torch.cat([m.to(small.dtype) for m in maps], dim=2), "b k c h w -> b (k c) h w"
        )


class GroupBlock(nn.Module):
    """Each keypoint's maps mixed among themselves: 1x1 convolution in groups, norm, ReLU."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, groups=groups)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


@dataclass(frozen=True, eq=False)
class MonkeyNetField(MotionField):
    """A field with what the decoder sees of the pose beside it.

    Fields of other origin lack that, and are drawn in the source's pose.
    """

    embedding: Tensor | None = None  # B K*c h w
    interpolation: str = "bilinear"

    def warp(self, picture: Tensor, padding: str = "zeros") -> Tensor:
        if self.align_corners or self.size == tuple(picture.shape[-2:]):
            return super().warp(picture, padding)
        return sample(
            picture,
            self.stretched(*picture.shape[-2:]).to(picture.device),
            self.align_corners,
            padding,
        )

    def stretched(self, height: int, width: int) -> Tensor:
        """The grid as the generator reads it at another size. B height width 2"""
        return stretch(self.grid.permute(0, 3, 1, 2), height, width, self.interpolation).permute(
            0, 2, 3, 1
        )


class DenseMotion(nn.Module):
    """Keypoint differences, mixed by masks, and a correction to that."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.points = spec.keypoints + 1
        self.align_corners, self.interpolation = spec.align_corners, spec.interpolation
        self.movement = Movement(spec.dense_embedding, spec.scales[1], spec, background=True)
        into = self.points * spec.dense_embedding.channels(spec.channels)
        self.group_blocks = nn.Sequential(
            *(GroupBlock(into, self.points) for _ in range(spec.group_blocks))
        )
        self.hourglass = HeadedHourglass(into, self.points + 2 * spec.correction, spec.dense)

    def forward(
        self, small: Tensor, source_heat: Tensor, source: Keypoints, driving: Keypoints
    ) -> MonkeyNetField:
        # B K+1 2, the background is still
        difference = F.pad(source.position - driving.position, (0, 0, 1, 0))
        maps = self.hourglass(
            self.group_blocks(self.movement(small, source_heat, difference, driving))
        ).float()
        mask = maps[:, : self.points].softmax(dim=1)
        motion = torch.einsum("bkhw,bkc->bchw", mask, difference)
        if maps.shape[1] > self.points:
            motion = motion + maps[:, self.points :]
        grid = identity_grid(small.shape[2], small.shape[3], motion) + motion.permute(0, 2, 3, 1)
        return MonkeyNetField(grid, (), mask, self.align_corners, interpolation=self.interpolation)


class Generator(nn.Module):
    """An encoder all of whose maps are warped, and a decoder that also sees the pose.

    The motion network lies inside it, as saved.
    """

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.movement = Movement(spec.pose_embedding, spec.scales[2], spec, background=False)
        self.dense_motion_module = DenseMotion(spec)
        self.appearance_encoder = Encoder(spec.channels, spec.generator)
        self.extra = spec.keypoints * spec.pose_embedding.channels(spec.channels)
        self.video_decoder = Decoder(spec.channels, spec.generator, extra=self.extra)
        width = self.video_decoder.out_channels[-1]
        self.refinement_module = nn.Sequential()
        for i in range(spec.refinement):
            self.refinement_module.add_module(f"r{i}", Res(width))
        self.refinement_module.add_module("conv-last", nn.Conv2d(width, spec.channels, 1))

    def forward(
        self, features: tuple[Tensor, ...], field: MonkeyNetField, align_corners: bool
    ) -> Tensor:
        pose = field.embedding
        if pose is None:
            pose = features[0].new_zeros(len(field), self.extra, 1, 1)
        warped = []
        for level in features:
            height, width = level.shape[-2:]
            moved = sample(level, field.stretched(height, width), align_corners)
            warped.append(
                torch.cat(
                    [moved, stretch(pose, height, width, field.interpolation).to(moved.dtype)],
                    dim=1,
                )
            )
        return torch.sigmoid(self.refinement_module(self.video_decoder(warped)[-1]).float())


@dataclass(frozen=True, eq=False)
class MonkeyNetPortrait(Portrait):
    # the picture and its keypoints' heatmaps at the field's scale: B C h w, B K h w
    dense: tuple[Tensor, Tensor] = field(kw_only=True)
    pose: tuple[Tensor, Tensor] = field(kw_only=True)  # and at the pose embedding's


class MonkeyNet(MotionModel):
    family = "monkeynet"
    finding = ("kp_detector",)
    painting = ("generator.video_decoder", "generator.refinement_module")
    heatmap_head = "kp_detector.predictor.decoder.conv"
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.kp_detector = Detector(spec)
        self.generator = Generator(spec)

    @property
    def multiple(self) -> int:
        spec = self.spec
        steps = (round(1 / scale) for scale in spec.scales)
        depths = (spec.detector.depth, spec.dense.depth, 0)
        return math.lcm(
            2**spec.generator.depth,
            *(step * 2**depth for step, depth in zip(steps, depths, strict=True)),
        )

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"keypoints", "heatmaps", "contributions"})

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        return self.kp_detector(self.accept(frames))

    def encode(self, source: Tensor) -> MonkeyNetPortrait:
        picture = self.accept(source, "source")
        keypoints = self.kp_detector(picture)
        dense = self.generator.dense_motion_module.movement.prepare(picture, keypoints)
        pose = self.generator.movement.prepare(picture, keypoints)
        features = self.kept(self.generator.appearance_encoder(picture))
        return MonkeyNetPortrait(picture, keypoints, features, dense=dense, pose=pose)

    def repose(self, portrait: Portrait, keypoints: Keypoints) -> MonkeyNetPortrait:
        portrait = own(portrait, MonkeyNetPortrait)
        points = corrected(portrait.keypoints, keypoints)

        def again(small: Tensor) -> tuple[Tensor, Tensor]:
            return small, heatmap(points, small.shape[2], small.shape[3], self.spec.norm)

        return replace(
            portrait, keypoints=points, dense=again(portrait.dense[0]), pose=again(portrait.pose[0])
        )

    def motion(
        self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None
    ) -> MonkeyNetField:
        """A pose without covariances (points of another origin) keeps the source's."""
        portrait = own(portrait, MonkeyNetPortrait)
        source, pose = portrait.keypoints, pose.to(self.device)
        if pose.covariance is None:
            pose = Keypoints(
                pose.position, covariance=source.covariance.expand(len(pose), -1, -1, -1)
            )
        field = self.generator.dense_motion_module(*portrait.dense, source, pose)
        embedding = self.generator.movement(*portrait.pose, source.position - pose.position, pose)
        return replace(field, embedding=embedding)

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        if not isinstance(field, MonkeyNetField):
            field = MonkeyNetField(
                field.grid, align_corners=field.align_corners, interpolation=self.spec.interpolation
            )
        return self.generator(portrait.features, field.to(self.device), self.spec.align_corners)


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Saved for clips (B C T H W) with kernels one frame deep: here they are for pictures."""
    return {
        name: tensor.squeeze(2) if tensor.ndim == 5 else tensor for name, tensor in tensors.items()
    }


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    return "generator.appearance_encoder.down_blocks.0.conv.weight" in tensors


def configure(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameters as the shapes tell them, of five dimensions or four."""
    dense = "generator.dense_motion_module."
    channels = tensors["generator.appearance_encoder.down_blocks.0.conv.weight"].shape[1]
    keypoints = tensors["kp_detector.predictor.decoder.conv.weight"].shape[0]
    generator = hourglass_shape(tensors, "generator.", "appearance_encoder", "video_decoder")
    into = tensors[f"{dense}hourglass.encoder.down_blocks.0.conv.weight"].shape[1]
    extra = tensors["generator.video_decoder.up_blocks.0.conv.weight"].shape[
        1
    ] - generator.channels(generator.depth)
    return {
        "channels": channels,
        "keypoints": keypoints,
        "detector": hourglass_shape(tensors, "kp_detector.predictor."),
        "dense": hourglass_shape(tensors, f"{dense}hourglass."),
        "dense_embedding": Embedding.of(into // (keypoints + 1), channels),
        "group_blocks": count_blocks(tensors, f"{dense}group_blocks."),
        "correction": tensors[f"{dense}hourglass.decoder.conv.weight"].shape[0] == keypoints + 3,
        "generator": generator,
        "pose_embedding": Embedding.of(extra // keypoints, channels),
        "refinement": count_blocks(tensors, "generator.refinement_module.r"),
    }


FAMILY = Family(
    name="monkeynet",
    model=MonkeyNet,
    published=PUBLISHED,
    recognise=recognise,
    configure=configure,
    rename=rename,
    assumed=(
        "norm",
        "clip_variance",
        "scale",
        "interpolation",
        "temperature",
        "align_corners",
        "size",
    ),
)
