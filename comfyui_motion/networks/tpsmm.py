"""TPSMM: Thin-Plate Spline Motion Model for Image Animation (Zhao & Zhang, CVPR 2022).

Keypoints in groups of five, each group's motion a thin-plate spline (eq. 1-2); a network decides
which moves each pixel (eq. 4-6) and, at several sizes, what the source hides; an inpainting network
warps its features at each of these sizes. The background's affine motion is predicted from both
pictures: in training and reconstruction only, as a driver's background is not the source's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..field import (
    MotionField,
    identity_grid,
    resize,
    resize_grid,
    sample,
)
from ..geometry import tps
from ..geometry.affine import homography, homography_motion
from ..keypoints import Keypoints
from ..model import (
    Family,
    MotionModel,
    Portrait,
    corrected,
    own,
)
from .layers.avd import (
    AVD,
    NO_AVD,
    AVDShape,
    avd_shape,
)
from .layers.blocks import (
    Antialias,
    Down,
    Hourglass,
    HourglassShape,
    Precise,
    Res,
    Same,
    Up,
    blur_scale,
    body_shape,
    gaussian_heatmap,
    hourglass_shape,
    size_multiple,
    start_at,
)
from .layers.resnet import ResNet18

GROUP = 5  # control points of each spline
RIDGE = 0.01  # added to the splines' systems
MASKS = 4  # sizes at which multi-resolution occlusion is predicted: 1/8, 1/4, 1/2, 1


@dataclass(frozen=True)
class Parameters:
    """The first block is read from the tensors; the second no tensor tells."""

    channels: int
    splines: int
    multi_mask: bool  # occlusion at every size of the inpainting network, or at the field's alone
    background: bool
    dense: HourglassShape
    dense_scale: float
    inpainting: HourglassShape
    avd: AVDShape

    keypoint_variance: float
    align_corners: bool  # of sampling; fields and masks are always resized corner-aligned
    size: int


PUBLISHED = Parameters(
    channels=3,
    splines=10,
    multi_mask=True,
    background=True,
    dense=HourglassShape(64, 1024, 5),
    dense_scale=0.25,
    inpainting=HourglassShape(64, 512, 3),
    avd=AVDShape(128, 128),
    keypoint_variance=0.01,
    align_corners=True,
    size=256,
)


class Detector(Precise):
    """All control points, group after group, from the whole picture."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.fg_encoder = ResNet18(spec.channels, spec.splines * GROUP * 2)

    def forward(self, frames: Tensor) -> Keypoints:
        return Keypoints((torch.sigmoid(self.fg_encoder(frames)) * 2 - 1).unflatten(1, (-1, 2)))


class BackgroundPredictor(Precise):
    """How the background moved between two pictures: driving to source coordinates. B C H W twice
    -> B 3 3
    """

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.bg_encoder = ResNet18(2 * spec.channels, 6)
        start_at(self.bg_encoder.fc, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0])

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        return homography(self.bg_encoder(torch.cat([source, driving], dim=1)))


class DenseMotion(nn.Module):
    """From K splines to one field (eq. 4-6) and its occlusion, from a quarter-size picture."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.variance = spec.keypoint_variance
        self.align_corners = spec.align_corners
        # training raises it for a while; without effect in eval mode
        self.contribution_dropout = 0.0
        self.down = Antialias(spec.channels, spec.dense_scale)
        into = 1 + GROUP * spec.splines + spec.channels * (1 + spec.splines)
        self.hourglass = Hourglass(into, spec.dense, "instance")
        out = self.hourglass.out_channels
        self.maps = nn.Conv2d(out, spec.splines + 1, 7, padding=3)
        doublings = round(math.log2(1 / spec.dense_scale)) if spec.multi_mask else 0
        self.up = nn.ModuleList(
            Up(out // 2**i, out // 2 ** (i + 1), "instance") for i in range(doublings)
        )
        levels = [spec.dense.channels(spec.dense.depth), *self.hourglass.decoder.out_channels]
        # masks made from the hourglass' own maps
        self.below = MASKS - doublings if spec.multi_mask else 1
        widths = levels[len(levels) - self.below :] + [
            out // 2 ** (i + 1) for i in range(doublings)
        ]
        self.occlusion = nn.ModuleList(nn.Conv2d(width, 1, 7, padding=3) for width in widths)

    def forward(
        self,
        small: Tensor,
        source_heat: Tensor,
        source: Keypoints,
        driving: Keypoints,
        background: Tensor | None,
    ) -> MotionField:
        height, width = small.shape[-2:]
        grid = identity_grid(height, width, driving.position)
        # B 5K h w, squared: for heatmaps and splines alike
        distance = (grid - driving.position[:, :, None, None]).square().sum(-1)
        heat = torch.exp(-0.5 * distance / self.variance) - source_heat
        control, target = (
            k.position.unflatten(1, (-1, GROUP)) for k in (driving, source)
        )  # B K 5 2
        coefficients = tps.fit(control, target.expand_as(control), RIDGE)
        motions = tps.evaluate(
            coefficients, tps.radial(distance).unflatten(1, (-1, GROUP)), grid
        )  # B K h w 2
        behind = (
            grid.expand(len(motions), -1, -1, -1)
            if background is None
            else homography_motion(background, height, width)
        )
        motions = torch.cat([behind[:, None], motions], dim=1)  # B K+1 h w 2
        warped = sample(small, rearrange(motions, "b k h w c -> b (k h) w c"), self.align_corners)
        warped = rearrange(warped, "b c (k h) w -> b (k c) h w", h=height)
        levels = self.hourglass.levels(
            torch.cat([torch.zeros_like(heat[:, :1]), heat, warped], dim=1).to(small.dtype)
        )
        contributions = self.drop(self.maps(levels[-1]).float()).softmax(dim=1)
        field = torch.einsum("bkhw,bkhwc->bhwc", contributions, motions)
        return MotionField(field, self.occlusions(levels), contributions, self.align_corners)

    def occlusions(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        """At every size, coarse to fine. Each B 1 h w"""
        maps, finest = levels[len(levels) - self.below :], levels[-1]
        for block in self.up:
            finest = block(finest)
            maps.append(finest)
        return tuple(
            torch.sigmoid(head(x).float()) for head, x in zip(self.occlusion, maps, strict=True)
        )

    def drop(self, logits: Tensor) -> Tensor:
        """In training, splines left out at random, that each may learn to do without the others
        (eq. 7-8). The background stays. B K+1 h w

        exp(logit) -> exp(logit) b / (1 - P), b = 0 with probability P: in logits, for the softmax
        that follows.
        """
        chance = self.contribution_dropout
        if not self.training or not chance:
            return logits
        dropped = (
            torch.rand(logits.shape[0], logits.shape[1] - 1, 1, 1, device=logits.device) < chance
        )
        splines = (logits[:, 1:] - math.log(1 - chance)).masked_fill(dropped, -math.inf)
        return torch.cat([logits[:, :1], splines], dim=1)


class Inpainting(nn.Module):
    """Encoder features warped and masked at every size, what is hidden made up from
    coarser ones.
    """

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        shape = spec.inpainting
        widths = [shape.channels(i) for i in range(shape.depth + 1)]
        # of each decoder level, the deepest first
        into = [
            widths[-1],
            *(2 * width for width in widths[-2:0:-1]),
        ]
        self.first = Same(spec.channels, shape.width, 7, "instance")
        self.down_blocks = nn.ModuleList(
            Down(a, b, "instance") for a, b in zip(widths, widths[1:], strict=False)
        )
        self.resblock = nn.ModuleList(Res(width, "instance") for width in into for _ in range(2))
        self.up_blocks = nn.ModuleList(
            Up(a, b, "instance") for a, b in zip(into, widths[-2::-1], strict=True)
        )
        self.final = nn.Conv2d(shape.width, spec.channels, 7, padding=3)

    def encode(self, picture: Tensor) -> tuple[Tensor, ...]:
        """The maps after `first` and every down block, fine to coarse."""
        maps = [self.first(picture)]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return tuple(maps)

    def forward(
        self, picture: Tensor, features: tuple[Tensor, ...], field: MotionField, align_corners: bool
    ) -> Tensor:
        occlusion = field.occlusion or (field.grid.new_ones(len(field), 1, 1, 1),)
        shown, moved = [], []  # coarse to fine
        for i, level in enumerate(reversed(features)):
            height, width = level.shape[-2:]
            grid = resize_grid(field.grid, height, width, align_corners=True)
            shown.append(
                resize(occlusion[min(i, len(occlusion) - 1)], height, width, align_corners=True)
            )
            moved.append(sample(level, grid, align_corners) * shown[-1].to(level.dtype))
        x = moved[0]
        for i, block in enumerate(self.up_blocks):
            if i:
                x = torch.cat([x, moved[i]], dim=1)
            x = block(self.resblock[2 * i + 1](self.resblock[2 * i](x)))
        x = x * (1 - shown[-1]).to(x.dtype) + moved[-1]
        return torch.lerp(
            torch.sigmoid(self.final(x).float()), sample(picture, grid, align_corners), shown[-1]
        )


@dataclass(frozen=True, eq=False)
class TPSMMPortrait(Portrait):
    small: Tensor = field(kw_only=True)  # B C h w: the picture at the field's size
    heat: Tensor = field(kw_only=True)  # B 5K h w: the source keypoints' heatmaps there


class TPSMM(MotionModel):
    family = "tpsmm"
    benched = True
    finding = ("kp_detector", "avd_network")
    painting = (
        "inpainting_network.resblock",
        "inpainting_network.up_blocks",
        "inpainting_network.final",
    )
    trained_apart = ("avd_network",)
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.kp_detector = Detector(spec)
        self.dense_motion_network = DenseMotion(spec)
        self.inpainting_network = Inpainting(spec)
        self.bg_predictor = BackgroundPredictor(spec) if spec.background else None
        self.avd_network = None if spec.avd == NO_AVD else AVD(2 * GROUP * spec.splines, spec.avd)

    @property
    def multiple(self) -> int:
        spec = self.spec
        return size_multiple(spec.inpainting.depth, (spec.dense_scale, spec.dense))

    @property
    def offers(self) -> frozenset[str]:
        extra = {
            "background": self.bg_predictor is not None,
            "avd": self.avd_network is not None,
        }
        has = {"keypoints", "contributions", "occlusion", "appearance"}
        return frozenset(has | {name for name, there in extra.items() if there})

    def appearance(self, frames: Tensor) -> tuple[Tensor, ...]:
        return self.inpainting_network.encode(frames)

    def background_motion(self, source: Tensor, driving: Tensor) -> Tensor:
        assert self.bg_predictor is not None
        return self.bg_predictor(source, driving)

    def drop_contributions(self, chance: float) -> None:
        self.dense_motion_network.contribution_dropout = chance

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        return self.kp_detector(self.accept(frames, dtype=torch.float32))

    def encode(self, source: Tensor) -> TPSMMPortrait:
        portrait = self.outline(source)
        return replace(
            portrait,
            features=self.kept(self.inpainting_network.encode(portrait.picture.to(self.dtype))),
        )

    def outline(self, source: Tensor) -> TPSMMPortrait:
        """A portrait for motion alone, without the features to generate from."""
        picture = self.accept(source, "source", torch.float32)  # its own pixels are blended in last
        keypoints, small = (
            self.kp_detector(picture),
            self.dense_motion_network.down(picture.to(self.dtype)),
        )
        heat = gaussian_heatmap(
            keypoints.position, small.shape[2], small.shape[3], self.spec.keypoint_variance
        )
        return TPSMMPortrait(picture, keypoints, small=small, heat=heat)

    def repose(self, portrait: Portrait, keypoints: Keypoints) -> TPSMMPortrait:
        portrait = own(portrait, TPSMMPortrait)
        keypoints = corrected(portrait.keypoints, keypoints)
        heat = gaussian_heatmap(
            keypoints.position,
            portrait.small.shape[2],
            portrait.small.shape[3],
            self.spec.keypoint_variance,
        )
        return replace(portrait, keypoints=keypoints, heat=heat)

    def background(self, portrait: Portrait, frames: Tensor) -> Tensor | None:
        """How the background moved, from the driving frames' coordinates to the source's; None
        without a predictor. B 3 3
        """
        if self.bg_predictor is None:
            return None
        driving = self.accept(frames, dtype=torch.float32)
        return self.bg_predictor(portrait.picture.expand(len(driving), -1, -1, -1), driving)

    def motion(
        self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None
    ) -> MotionField:
        portrait = own(portrait, TPSMMPortrait)
        background = None if frames is None else self.background(portrait, frames)
        return self.dense_motion_network(
            portrait.small, portrait.heat, portrait.keypoints, pose.to(self.device), background
        )

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        return self.inpainting_network(
            portrait.picture, portrait.features, field.to(self.device), self.spec.align_corners
        )

    def segment(self, frames: Tensor) -> Tensor:
        """Splines as parts: which of them would hold each pixel of a picture that does not move."""
        still = self.outline(frames)
        contributions = self.motion(still, still.keypoints).contributions
        assert contributions is not None
        return contributions

    def avd(self, source: Keypoints, driving: Keypoints) -> Keypoints:
        if self.avd_network is None:
            return super().avd(source, driving)
        source, driving = source.to(self.device), driving.to(self.device)
        identity = source.position.expand_as(driving.position)
        return Keypoints(
            self.avd_network(identity.flatten(1), driving.position.flatten(1)).unflatten(1, (-1, 2))
        )


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("inpainting_network.") for name in tensors)


def configure(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameters as the shapes tell them."""
    body = body_shape(tensors, "inpainting_network.")
    return {
        "channels": tensors["inpainting_network.first.conv.weight"].shape[1],
        "splines": tensors["dense_motion_network.maps.weight"].shape[0] - 1,
        "multi_mask": "dense_motion_network.occlusion.1.weight" in tensors,
        "background": "bg_predictor.bg_encoder.fc.weight" in tensors,
        "dense": hourglass_shape(tensors, "dense_motion_network.hourglass."),
        "dense_scale": blur_scale(tensors, "dense_motion_network.down.weight"),
        "inpainting": HourglassShape(body.width, body.limit, body.downs),
        "avd": avd_shape(tensors),
    }


FAMILY = Family(
    name="tpsmm",
    model=TPSMM,
    published=PUBLISHED,
    recognise=recognise,
    configure=configure,
    assumed=("keypoint_variance", "align_corners", "size"),
)
