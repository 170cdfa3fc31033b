"""Co-part segmentation: Motion-supervised Co-Part Segmentation (Siarohin et al., ICPR 2020).

FOMM's points become parts with soft masks: each part moves by its own local affine motion, and the
target's masks say where. So the network shows which parts a subject has, and one picture's parts
can be laid over another's. Some files are aligned by FOMM's own dense motion network instead; then
it makes the field, and the masks serve only to choose what is swapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from ..errors import InputError
from ..field import MotionField, resize, sample
from ..keypoints import SHAPES, Keypoints
from ..model import (
    Family,
    MotionModel,
    Portrait,
    corrected,
    own,
)
from ..shapes import check_shape
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
    local_motions,
)

NO_ALIGNMENT = HourglassShape(0, 0, 0)


@dataclass(frozen=True)
class Parameters:
    """The first block is read from the tensors; the second no tensor tells."""

    channels: int
    parts: int  # besides the background
    affines: int  # maps of local frames: one per part, 1 shared by all, or 0: parts only shift
    segmentation: HourglassShape
    segmentation_scale: float
    body: BodyShape
    # of FOMM's dense motion network in an aligned file; depth 0: there is none
    dense: HourglassShape
    dense_scale: float
    occlusion: bool  # of that network

    # what a part leaves behind is hidden; an aligned file has FOMM's occlusion instead
    visibility: bool
    head_padding: int  # of shift and affine
    temperature: float
    keypoint_variance: float  # of an aligned file's heatmaps
    align_corners: bool
    size: int

    @property
    def aligned(self) -> bool:
        return self.dense.depth > 0


PUBLISHED = Parameters(
    channels=3,
    parts=10,
    affines=10,
    segmentation=HourglassShape(32, 1024, 5),
    segmentation_scale=0.25,
    body=BodyShape(64, 512, 2, 6),
    dense=NO_ALIGNMENT,
    dense_scale=1.0,
    occlusion=False,
    visibility=True,
    head_padding=3,
    temperature=0.1,
    keypoint_variance=0.01,
    align_corners=True,
    size=256,
)


@dataclass(frozen=True, eq=False)
class PartKeypoints(Keypoints):
    """Where each part is and how it lies, as keypoints, with the masks of all parts.

    What edits the points leaves the masks as they are.
    """

    shapes: ClassVar[Mapping[str, str]] = {**SHAPES, "parts": "B parts h w"}

    # B K+1 h w in 0..1, summing to 1, part 0 the background; None: the source's own, moved
    parts: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parts is None:
            return
        check_shape("parts", self.parts, "B K h w")
        if self.parts.shape[:2] != (len(self), self.count + 1):
            raise InputError(
                f"{len(self)} sets of {self.count} points have {self.count + 1} parts each, not"
                f" {tuple(self.parts.shape[:2])}."
            )


class Segmentation(nn.Module):
    """Parts, and the frame of each, from a quarter-size picture."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.temperature = spec.temperature
        self.down = Antialias(spec.channels, spec.segmentation_scale)
        self.predictor = Hourglass(spec.channels, spec.segmentation)
        features = self.predictor.out_channels
        self.segmentation = nn.Conv2d(features, spec.parts + 1, 7, padding=3)
        self.shift = nn.Conv2d(features, spec.parts, 7, padding=spec.head_padding)
        self.affine = frame_head(features, spec.affines, spec.head_padding)

    def forward(self, frames: Tensor) -> PartKeypoints:
        features = self.predictor(self.down(frames))
        heat = spatial_softmax(self.shift(features), self.temperature)  # B K h w
        frame = None if self.affine is None else expected_frames(self.affine(features), heat)
        return PartKeypoints(
            soft_argmax(heat), frame, parts=self.segmentation(features).float().softmax(dim=1)
        )


class Reconstruction(WarpingBody):
    """The body, and in an aligned file FOMM's motion network inside it."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec.channels, spec.body)
        if spec.aligned:
            self.dense_motion_network = DenseMotion(
                spec.channels,
                spec.parts,
                spec.dense,
                spec.dense_scale,
                spec.occlusion,
                spec.keypoint_variance,
                spec.align_corners,
            )


@dataclass(frozen=True, eq=False)
class CoPartPortrait(Portrait):
    """What every file's source gives."""


@dataclass(frozen=True, eq=False)
class AlignedPortrait(CoPartPortrait):
    """And what FOMM's motion network takes of it, where a file has that."""

    small: Tensor = field(kw_only=True)  # B C h w, the picture at the field's size
    heat: Tensor = field(kw_only=True)  # B K h w, the source points' heatmaps there


class CoPart(MotionModel):
    family = "copart"
    finding = ("segmentation_module",)
    painting = (
        "reconstruction_module.bottleneck",
        "reconstruction_module.up_blocks",
        "reconstruction_module.final",
    )
    heatmap_head = "segmentation_module.shift"
    head_gains = {"shift": 0.3, "affine": 0.05}
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.segmentation_module = Segmentation(spec)
        self.reconstruction_module = Reconstruction(spec)

    @property
    def multiple(self) -> int:
        spec = self.spec
        return size_multiple(
            spec.body.downs,
            (spec.segmentation_scale, spec.segmentation),
            (spec.dense_scale, spec.dense),
        )

    @property
    def smallest(self) -> int:
        return smallest_size(self.multiple, self.spec.segmentation_scale, self.spec.head_padding)

    @property
    def offers(self) -> frozenset[str]:
        spec = self.spec
        hides = spec.occlusion if spec.aligned else spec.visibility
        extra = {"frames": bool(spec.affines), "occlusion": hides}
        has = {"keypoints", "heatmaps", "contributions"}
        return frozenset(has | {name for name, there in extra.items() if there})

    def adopted(self, family: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """FOMM's detector becomes what finds parts, its generator what draws them (section 4)."""
        return rename(tensors) if family == "fomm" else tensors

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> PartKeypoints:
        return self.segmentation_module(self.accept(frames))

    def segment(self, frames: Tensor) -> Tensor:
        parts = self.detect(frames).parts
        assert parts is not None
        return parts

    def encode(self, source: Tensor) -> CoPartPortrait:
        picture = self.accept(source, "source")
        keypoints = self.segmentation_module(picture)
        features = self.kept(self.reconstruction_module.encode(picture)[-1:])
        if not self.spec.aligned:
            return CoPartPortrait(picture, keypoints, features)
        small, heat = self.reconstruction_module.dense_motion_network.prepare(picture, keypoints)
        return AlignedPortrait(picture, keypoints, features, small=small, heat=heat)

    def repose(self, portrait: Portrait, keypoints: Keypoints) -> CoPartPortrait:
        """The points alone: the parts' masks stay as they were found."""
        portrait = own(portrait, CoPartPortrait)
        points = corrected(portrait.keypoints, keypoints)
        if not isinstance(portrait, AlignedPortrait):
            return replace(portrait, keypoints=points)
        height, width = portrait.small.shape[-2:]
        heat = gaussian_heatmap(points.position, height, width, self.spec.keypoint_variance)
        return replace(portrait, keypoints=points, heat=heat)

    def motion(
        self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None
    ) -> MotionField:
        """A pose without parts (points from JSON, or another model's) has the source's own, moved
        as the points say.
        """
        portrait = own(portrait, CoPartPortrait)
        pose, source = pose.to(self.device), portrait.keypoints
        if isinstance(portrait, AlignedPortrait):
            return self.reconstruction_module.dense_motion_network(
                portrait.small, portrait.heat, source, pose
            )
        height, width = source.parts.shape[-2:]
        motions = local_motions(source, pose, height, width)
        parts = pose.parts if isinstance(pose, PartKeypoints) else None
        parts = (
            moved_parts(source.parts, motions) if parts is None else resize(parts, height, width)
        )
        grid = torch.einsum("bkhw,bkhwc->bhwc", parts, motions)
        visibility = (visible(source.parts, parts),) if self.spec.visibility else ()
        return MotionField(grid, visibility, parts, self.spec.align_corners)

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        return self.reconstruction_module(
            portrait.features[-1], field.to(self.device), self.spec.align_corners
        )

    def swap(
        self, portrait: Portrait, target: Portrait, field: MotionField, mask: Tensor
    ) -> Tensor:
        source, under = portrait.features[-1], target.features[-1]
        return self.reconstruction_module.swap(
            source, under, field.to(self.device), mask, self.spec.align_corners
        )


def visible(source: Tensor, target: Tensor) -> Tensor:
    """Everywhere but where the source has a part and the target none: what lies behind it, the
    source does not show. B 1 h w
    """
    ours, theirs = (parts[:, 1:].sum(dim=1, keepdim=True) for parts in (source, target))
    return 1 - ours * (1 - theirs)


def moved_parts(parts: Tensor, motions: Tensor) -> Tensor:
    """Each part's mask carried by its own motion, the background being what is left.

    1 K+1 h w or B K+1 h w, B K+1 h w 2 -> B K+1 h w
    """
    batch, _, height, width = motions.shape[:4]
    each = rearrange(parts[:, 1:].expand(batch, -1, -1, -1), "b k h w -> (b k) 1 h w")
    moved = sample(
        each, rearrange(motions[:, 1:], "b k h w c -> (b k) h w c"), align_corners=True
    ).view(batch, -1, height, width)
    moved = moved / moved.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.cat([1 - moved.sum(dim=1, keepdim=True), moved], dim=1)


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released files use FOMM's names; the authors' later code, and ours, its own."""
    heads = {"kp": "shift", "jacobian": "affine", "semantic_seg": "segmentation"}

    def name(key: str) -> str:
        network, _, rest = key.partition(".")
        if network == "kp_detector":
            head, dot, last = rest.partition(".")
            return f"segmentation_module.{heads.get(head, head)}{dot}{last}"
        return f"reconstruction_module.{rest}" if network == "generator" else key

    return {name(key): tensor for key, tensor in tensors.items()}


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    return "kp_detector.semantic_seg.weight" in tensors or any(
        key.startswith("segmentation_module.") for key in tensors
    )


def configure(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameters as the shapes tell them, under either names."""
    tensors = rename(tensors)
    dense = "reconstruction_module.dense_motion_network."
    aligned = f"{dense}mask.weight" in tensors
    affine = tensors.get("segmentation_module.affine.weight")
    return {
        "channels": tensors["reconstruction_module.first.conv.weight"].shape[1],
        "parts": tensors["segmentation_module.segmentation.weight"].shape[0] - 1,
        "affines": 0 if affine is None else affine.shape[0] // 4,
        "segmentation": hourglass_shape(tensors, "segmentation_module.predictor."),
        "segmentation_scale": blur_scale(tensors, "segmentation_module.down.weight"),
        "body": body_shape(tensors, "reconstruction_module."),
        "dense": hourglass_shape(tensors, f"{dense}hourglass.") if aligned else NO_ALIGNMENT,
        "dense_scale": blur_scale(tensors, f"{dense}down.weight") if aligned else 1.0,
        "occlusion": f"{dense}occlusion.weight" in tensors,
    }


FAMILY = Family(
    name="copart",
    model=CoPart,
    published=PUBLISHED,
    recognise=recognise,
    configure=configure,
    rename=rename,
    assumed=(
        "visibility",
        "head_padding",
        "temperature",
        "keypoint_variance",
        "align_corners",
        "size",
    ),
)
