"""MRAA: Motion Representations for Articulated Animation (Siarohin et al., CVPR 2021).

Regions instead of points: where each is and along which axes it extends, measured on its heatmap
(eq. 3-5). What carries a driving region onto the source's is affine (eq. 6); a network decides
which region moves each pixel and what the source hides. The background has a motion of its own,
predicted from both pictures: in training and reconstruction only, as a driver's background is not
the source's.

Regions travel as Keypoints: position is the shift, jacobian the affine frame, covariance the
heatmap's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..errors import InputError
from ..field import (
    MotionField,
    identity_grid,
    resize,
    resize_grid,
    sample,
)
from ..geometry.affine import (
    affine_motion,
    between,
    half_turn,
    homography,
    homography_motion,
    inverse,
    moments,
    principal_frame,
    region_heatmap,
)
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
    Body,
    BodyShape,
    Encoder,
    Hourglass,
    HourglassShape,
    Precise,
    blur_scale,
    body_shape,
    encoder_shape,
    gaussian_heatmap,
    hourglass_shape,
    interleave,
    size_multiple,
    smallest_size,
    spatial_softmax,
    start_at,
    together,
)


@dataclass(frozen=True)
class Parameters:
    """The first block is read from the tensors; the second no tensor tells."""

    channels: int
    regions: int
    # maps of frames: 0 where frames are the heatmaps' principal axes, else 1 shared by all or one
    # per region
    jacobians: int
    occlusion: bool
    # the flow predictor sees the source carried by each region, besides the heatmaps
    warped_source: bool
    background: int  # numbers of its motion: 0 none, 2 a shift, 6 affine, 8 perspective
    detector: HourglassShape
    detector_scale: float
    flow: HourglassShape
    flow_scale: float
    background_encoder: HourglassShape  # all 0 where there is none
    body: BodyShape
    avd: AVDShape

    head_padding: int
    temperature: float
    keypoint_variance: float  # of heatmaps that are not the regions' own
    # the flow predictor sees each region as wide as it is, not as wide as all others
    covariance_heatmaps: bool
    revert_axis_swap: bool
    skips: bool
    align_corners: bool
    size: int


PUBLISHED = Parameters(
    channels=3,
    regions=10,
    jacobians=0,
    occlusion=True,
    warped_source=True,
    background=6,
    detector=HourglassShape(32, 1024, 5),
    detector_scale=0.25,
    flow=HourglassShape(64, 1024, 5),
    flow_scale=0.25,
    background_encoder=HourglassShape(32, 1024, 5),
    body=BodyShape(64, 512, 2, 6),
    avd=AVDShape(64, 64),
    head_padding=0,
    temperature=0.1,
    keypoint_variance=0.01,
    covariance_heatmaps=True,
    revert_axis_swap=True,
    skips=True,
    align_corners=False,
    size=256,
)


class RegionPredictor(Precise):
    """Regions from a quarter-size picture."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.temperature = spec.temperature
        self.down = Antialias(spec.channels, spec.detector_scale)
        self.predictor = Hourglass(spec.channels, spec.detector)
        self.regions = nn.Conv2d(
            self.predictor.out_channels, spec.regions, 7, padding=spec.head_padding
        )
        self.jacobian = None
        if spec.jacobians:
            self.jacobian = nn.Conv2d(
                self.predictor.out_channels, 4 * spec.jacobians, 7, padding=spec.head_padding
            )
            start_at(self.jacobian, [1.0, 0.0, 0.0, 1.0] * spec.jacobians)

    def heatmaps(self, frames: Tensor) -> Tensor:
        """Where each region is, each map summing to 1. B K h w"""
        return spatial_softmax(self.regions(self.predictor(self.down(frames))), self.temperature)

    def forward(self, frames: Tensor) -> Keypoints:
        features = self.predictor(self.down(frames))
        heat = spatial_softmax(self.regions(features), self.temperature)  # B K h w
        shift, covariance = moments(heat)
        if self.jacobian is None:
            return Keypoints(shift, principal_frame(covariance), covariance)
        maps = rearrange(self.jacobian(features).float(), "b (k c) h w -> b k c h w", c=4)
        frame = torch.einsum(
            "bkhw,bkchw->bkc", heat, maps.expand(-1, heat.shape[1], -1, -1, -1)
        ).unflatten(2, (2, 2))
        return Keypoints(shift, frame, frame @ frame.mT)


class BackgroundPredictor(Precise):
    """How the background moved between two pictures: driving to source coordinates. B C H W twice
    -> B 3 3
    """

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.encoder = Encoder(2 * spec.channels, spec.background_encoder)
        self.fc = nn.Linear(
            spec.background_encoder.channels(spec.background_encoder.depth), spec.background
        )
        start_at(
            self.fc,
            (
                [0.0, 0.0]
                if spec.background == 2
                else [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0][: spec.background]
            ),
        )

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        features = self.encoder(torch.cat([source, driving], dim=1))[-1]
        return homography(self.fc(features.mean((2, 3))))


def scenery(background: Tensor | None, height: int, width: int, like: Tensor) -> Tensor:
    """Where the background's pixels come from: where they are, unless it moves. B 3 3 -> B H W 2,
    or H W 2
    """
    return (
        identity_grid(height, width, like)
        if background is None
        else homography_motion(background, height, width)
    )


class FlowPredictor(nn.Module):
    """From K region motions to one field and its occlusion, at a quarter of the picture's size
    (eq. 7-8).
    """

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.spec = spec
        self.down = Antialias(spec.channels, spec.flow_scale)
        self.hourglass = Hourglass(
            (spec.regions + 1) * (1 + spec.channels * spec.warped_source), spec.flow
        )
        self.mask = nn.Conv2d(self.hourglass.out_channels, spec.regions + 1, 7, padding=3)
        self.occlusion = (
            nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3) if spec.occlusion else None
        )

    def heatmaps(self, regions: Keypoints, height: int, width: int) -> Tensor:
        """Each region as the network sees it. B K h w"""
        if self.spec.covariance_heatmaps:
            assert regions.covariance is not None
            return region_heatmap(regions.position, regions.covariance, height, width)
        return gaussian_heatmap(regions.position, height, width, self.spec.keypoint_variance)

    def forward(
        self,
        small: Tensor,
        source_heat: Tensor,
        source: Keypoints,
        driving: Keypoints,
        background: Tensor | None,
    ) -> MotionField:
        assert source.jacobian is not None and driving.jacobian is not None
        height, width = small.shape[-2:]
        heat = self.heatmaps(driving, height, width) - source_heat
        # B K+1 h w, the background first
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], dim=1).to(small.dtype)
        carried = between(source.jacobian, driving.jacobian, self.spec.revert_axis_swap)
        motions = affine_motion(
            carried, source.position, driving.position, height, width
        )  # B K h w 2
        behind = scenery(background, height, width, motions).expand(len(motions), -1, -1, -1)
        motions = torch.cat([behind[:, None], motions], dim=1)  # B K+1 h w 2
        if self.spec.warped_source:
            warped = sample(
                small, rearrange(motions, "b k h w c -> b (k h) w c"), self.spec.align_corners
            )
            heat = interleave(heat, rearrange(warped, "b c (k h) w -> b k c h w", h=height))
        features = self.hourglass(heat)
        logits, *hidden = together(features, self.mask, self.occlusion)
        mask = logits.float().softmax(dim=1)
        grid = torch.einsum("bkhw,bkhwc->bhwc", mask, motions)
        occlusion = tuple(torch.sigmoid(level.float()) for level in hidden)
        return MotionField(grid, occlusion, mask, self.spec.align_corners)


class Generator(Body):
    """A body that warps its features: at every level with skips, else the coarsest. Its flow
    predictor lies inside it, as saved.
    """

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec.channels, spec.body)
        self.pixelwise_flow_predictor = FlowPredictor(spec)
        self.skips = spec.skips

    def encode(self, picture: Tensor) -> tuple[Tensor, ...]:
        maps = super().encode(picture)
        return maps if self.skips else maps[-1:]

    def forward(
        self,
        picture: Tensor,
        features: tuple[Tensor, ...],
        field: MotionField,
        align_corners: bool,
    ) -> Tensor:
        """What the source shows is warped, at every level; the rest is made up from coarser ones.
        Where nothing is hidden, all is shown.

        """
        grids = [resize_grid(field.grid, level.shape[2], level.shape[3]) for level in features]
        moved = [
            sample(level, grid, align_corners) for level, grid in zip(features, grids, strict=True)
        ]
        shown = [
            resize(occlusion, level.shape[2], level.shape[3])
            for occlusion in field.occlusion[-1:]
            for level in features
        ]
        x = moved[-1] * shown[-1].to(moved[-1].dtype) if shown else moved[-1]
        if not self.skips:
            return self.decode(x)
        if not shown:  # then every blend below is all warped source
            return sample(picture, grids[0], align_corners)
        x = self.bottleneck(x)
        for i, block in enumerate(self.up_blocks, start=1):
            x = block(torch.lerp(x, moved[-i], shown[-i].to(x.dtype)))
        x = torch.lerp(x, moved[0], shown[0].to(x.dtype))
        made = torch.sigmoid(self.final(x).float())
        return torch.lerp(made, sample(picture, grids[0], align_corners), shown[0])


@dataclass(frozen=True, eq=False)
class MRAAPortrait(Portrait):
    small: Tensor = field(kw_only=True)  # B C h w: the picture at the hourglass's size
    heat: Tensor = field(kw_only=True)  # B K h w: the source regions' heatmaps there


class MRAA(MotionModel):
    family = "mraa"
    benched = True
    finding = ("region_predictor", "avd_network")
    painting = ("generator.bottleneck", "generator.up_blocks", "generator.final")
    heatmap_head = "region_predictor.regions"
    trained_apart = ("avd_network",)
    head_gains = {"regions": 0.3, "jacobian": 0.05}
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.region_predictor = RegionPredictor(spec)
        self.generator = Generator(spec)
        self.bg_predictor = BackgroundPredictor(spec) if spec.background else None
        self.avd_network = None if spec.avd == NO_AVD else AVD(6 * spec.regions, spec.avd)

    @property
    def multiple(self) -> int:
        spec = self.spec
        seen = [(spec.detector_scale, spec.detector), (spec.flow_scale, spec.flow)]
        return size_multiple(spec.body.downs, *seen)

    @property
    def smallest(self) -> int:
        return smallest_size(self.multiple, self.spec.detector_scale, self.spec.head_padding)

    @property
    def offers(self) -> frozenset[str]:
        extra = {
            "background": self.bg_predictor is not None,
            "avd": self.avd_network is not None,
        }
        has = {"keypoints", "frames", "heatmaps", "contributions", "occlusion"}
        return frozenset(has | {name for name, there in extra.items() if there})

    @property
    def half_turns(self) -> bool:
        return self.spec.revert_axis_swap

    def background_motion(self, source: Tensor, driving: Tensor) -> Tensor:
        assert self.bg_predictor is not None
        return self.bg_predictor(source, driving)

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        return self.region_predictor(self.accept(frames, dtype=torch.float32))

    def encode(self, source: Tensor) -> MRAAPortrait:
        picture = self.accept(source, "source", torch.float32)  # its own pixels are blended in last
        flow = self.generator.pixelwise_flow_predictor
        regions, small = self.region_predictor(picture), flow.down(picture.to(self.dtype))
        heat = flow.heatmaps(regions, *small.shape[-2:])
        features = self.kept(self.generator.encode(picture.to(self.dtype)))
        return MRAAPortrait(picture, regions, features, small=small, heat=heat)

    def repose(self, portrait: Portrait, keypoints: Keypoints) -> MRAAPortrait:
        """Regions given without a covariance extend as their frames say."""
        portrait = own(portrait, MRAAPortrait)
        given = keypoints if keypoints.jacobian is None else regions_of(keypoints)
        regions = corrected(portrait.keypoints, given)
        flow = self.generator.pixelwise_flow_predictor
        heat = flow.heatmaps(regions, *portrait.small.shape[-2:])
        return replace(portrait, keypoints=regions, heat=heat)

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
        portrait = own(portrait, MRAAPortrait)
        background = None if frames is None else self.background(portrait, frames)
        driving = regions_of(pose.to(self.device))
        return self.generator.pixelwise_flow_predictor(
            portrait.small, portrait.heat, portrait.keypoints, driving, background
        )

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        portrait = own(portrait, MRAAPortrait)
        return self.generator(
            portrait.picture,
            portrait.features,
            field.to(self.device),
            self.spec.align_corners,
        )

    def segment(self, frames: Tensor) -> Tensor:
        """Regions as parts: each heatmap over its own peak, shared out where they overlap; the
        background is what they leave.
        """
        frames = self.accept(frames, dtype=torch.float32)
        heat = self.region_predictor.heatmaps(frames)
        size = [round(side * self.spec.detector_scale) for side in frames.shape[-2:]]
        # the grid of heatmaps spans -1..1
        heat = resize(heat / heat.amax((2, 3), keepdim=True), size[0], size[1], align_corners=True)
        total = heat.sum(1, keepdim=True)
        return torch.cat([1 - total.clamp(max=1), heat / total.clamp(min=1)], dim=1)

    def avd(self, source: Keypoints, driving: Keypoints) -> Keypoints:
        if self.avd_network is None:
            return super().avd(source, driving)
        source, driving = regions_of(source.to(self.device)), regions_of(driving.to(self.device))
        assert source.jacobian is not None and driving.jacobian is not None
        frame = source.jacobian.expand_as(driving.jacobian)
        if self.spec.revert_axis_swap:
            frame = frame * half_turn(frame @ inverse(driving.jacobian))
        identity, pose = (
            numbers(source.position.expand_as(driving.position), frame),
            numbers(driving.position, driving.jacobian),
        )
        shift, affine = self.avd_network(identity, pose).unflatten(1, (-1, 6)).split([2, 4], dim=2)
        affine = affine.unflatten(2, (2, 2))
        return Keypoints(shift, affine, affine @ affine.mT)


def numbers(shift: Tensor, affine: Tensor) -> Tensor:
    """A region as six numbers, region after region. B K 2, B K 2 2 -> B 6K"""
    return torch.cat([shift, affine.flatten(2)], dim=2).flatten(1)


def regions_of(pose: Keypoints) -> Keypoints:
    """The pose with all that a region has: its covariance is A A^T where none is given. Raises
    InputError.
    """
    if pose.jacobian is None:
        raise InputError(
            "MRAA moves regions, and these keypoints have positions alone; take them from an MRAA"
            " model's detect()."
        )
    return (
        pose
        if pose.covariance is not None
        else replace(pose, covariance=pose.jacobian @ pose.jacobian.mT)
    )


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    return "region_predictor.regions.weight" in tensors and "generator.first.conv.weight" in tensors


def configure(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameters as the shapes tell them."""
    flow = "generator.pixelwise_flow_predictor."
    jacobian, background = (
        tensors.get("region_predictor.jacobian.weight"),
        tensors.get("bg_predictor.fc.weight"),
    )
    regions = tensors["region_predictor.regions.weight"].shape[0]
    return {
        "channels": tensors["generator.first.conv.weight"].shape[1],
        "regions": regions,
        "jacobians": 0 if jacobian is None else jacobian.shape[0] // 4,
        "occlusion": f"{flow}occlusion.weight" in tensors,
        "warped_source": (
            tensors[f"{flow}hourglass.encoder.down_blocks.0.conv.weight"].shape[1] != regions + 1
        ),
        "background": 0 if background is None else background.shape[0],
        "detector": hourglass_shape(tensors, "region_predictor.predictor."),
        "detector_scale": blur_scale(tensors, "region_predictor.down.weight"),
        "flow": hourglass_shape(tensors, f"{flow}hourglass."),
        "flow_scale": blur_scale(tensors, f"{flow}down.weight"),
        "background_encoder": encoder_shape(tensors, "bg_predictor.encoder."),
        "body": body_shape(tensors, "generator."),
        "avd": avd_shape(tensors),
    }


# of the puppets model, which earlier versions brought along, and how every other file has them
RETIRED = {
    **dict.fromkeys(("crowding", "finer", "finer_depth", "figure", "figure_depth"), 0),
    "shrink": 1,
    "corner_grids": False,
}
FAMILY = Family(
    name="mraa",
    model=MRAA,
    published=PUBLISHED,
    recognise=recognise,
    configure=configure,
    retired=RETIRED,
    assumed=(
        "head_padding",
        "temperature",
        "keypoint_variance",
        "covariance_heatmaps",
        "revert_axis_swap",
        "skips",
        "align_corners",
        "size",
    ),
)
