"""The five networks as one model.

The source is a volume that is moved in space: its field holds the deformation of the volume, for
the network to paint from, and its projection, for everything else.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...doors.words import logger
from ...errors import InputError
from ...field import MotionField, resize
from ...keypoints import Keypoints
from ...model import MotionModel, Portrait
from ...posed import PosedKeypoints
from .appearance import Appearance
from .motion import Motion
from .paint import Paint
from .parameters import Parameters
from .stitch import Stitching
from .warp import Warp, identity_volume, read


@dataclass(frozen=True, eq=False)
class VolumePortrait(Portrait):
    compressed: Tensor | None = None  # B c D h w: what of the volume its motion is judged by


@dataclass(frozen=True, eq=False)
class VolumeField(MotionField):
    """A motion of the source's volume, and what it does to the picture: its `grid`."""

    volume: Tensor | None = None  # B D h w 3, (x, y, z): where in the volume each voxel is read

    def of_canvas(self) -> MotionField:
        return MotionField(self.grid, self.occlusion, self.contributions, covers=self.covers)


class LivePortrait(MotionModel):
    """Guo et al., "LivePortrait: Efficient Portrait Animation with Stitching and Retargeting
    Control", arXiv 2407.03168, 2024.
    """

    family = "liveportrait"
    at_once = 1
    level = True
    finding = ("motion_extractor", "stitching_retargeting_module")
    painting = ("spade_generator",)
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.appearance_feature_extractor = Appearance(spec)
        self.motion_extractor = Motion(spec)
        self.warping_module = Warp(spec)
        self.spade_generator = Paint(spec)
        self.stitching_retargeting_module = Stitching(spec)

    @property
    def multiple(self) -> int:
        return 4 * 2 ** len(self.spec.encoder)

    @property
    def smallest(self) -> int:
        """What is left of a smaller picture is nothing for the motion network to look at."""
        return max(self.multiple, 4 * 2 ** (len(self.spec.stages) - 1))

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> PosedKeypoints:
        return self.motion_extractor(self.accept(frames, dtype=torch.float32))

    def encode(self, source: Tensor) -> VolumePortrait:
        keypoints = self.motion_extractor(self.accept(source, "source", torch.float32))
        picture = self.accept(source, "source")
        volume = self.appearance_feature_extractor(picture)
        compressed = self.warping_module.dense_motion_network.compressed(volume)
        return VolumePortrait(picture, keypoints, self.kept([volume]), compressed)

    def stitch(self, source: Keypoints, pose: Keypoints, stitching: str = "settled") -> Keypoints:
        """LivePortrait, section 3.3. At rest the published network moves the points a little; what
        it says there is taken off, unless `stitching` is "published".
        """
        if stitching == "none" or not self.stitches:
            return pose
        if stitching == "settled":
            return self.restitch(source, source, pose)
        source, pose = self.in_space(source), self.in_space(pose)
        at, x = source.to(self.device).x, pose.to(self.device).x
        shift = self.stitching_retargeting_module.shift(at, x)
        return pose.shifted(shift.to(pose.position.device))

    @property
    def stitches(self) -> bool:
        """Whether it has that network, which knows people alone."""
        known = self.stitching_retargeting_module.retarget_shoulder is not None
        return known and not self.spec.animals

    def restitch(self, source: Keypoints, before: Keypoints, after: Keypoints) -> Keypoints:
        if not self.stitches:
            return after
        source, before, after = map(self.in_space, (source, before, after))
        at, was, now = (points.to(self.device).x for points in (source, before, after))
        network = self.stitching_retargeting_module
        shift = network.shift(at, now) - network.shift(at, was)
        return after.shifted(shift.to(after.position.device))

    def eye_change(self, source: Keypoints, ratios: Tensor) -> Tensor:
        """What opens the source's eyes so far: added to its points. -> B K 3

        ratios  B 3: the left and right eye of the source, and what both are to have, each the
                distance between the lids over that between the corners

        Raises InputError where the files lack that network.
        """
        return self._change("retarget_eye", source, ratios)

    def lip_change(self, source: Keypoints, ratios: Tensor) -> Tensor:
        """The same of its lips. B 2: the distance between the lips over that between the corners,
        of the source and as it is to be.
        """
        return self._change("retarget_mouth", source, ratios)

    def _change(self, name: str, source: Keypoints, ratios: Tensor) -> Tensor:
        network = getattr(self.stitching_retargeting_module, name)
        if self.spec.animals:
            raise InputError(
                "Eyes and lips are retargeted on people's faces, and this model is of animals;"
                " leave retarget_eyes, retarget_lips and close_lips out."
            )
        if network is None:
            raise InputError(
                "Eyes and lips are retargeted by stitching_retargeting_module, and this model was"
                " loaded without it; put that file beside the others."
            )
        at = self.in_space(source).to(self.device).x
        ratios = ratios.to(at)
        return network(at.expand(len(ratios), -1, -1), ratios).unflatten(1, (-1, 3))

    def repose(self, portrait: Portrait, keypoints: Keypoints) -> Portrait:
        if not isinstance(keypoints, PosedKeypoints) or keypoints.count != self.spec.keypoints:
            raise InputError(
                f"A {self.family} portrait takes {self.spec.keypoints} keypoints with canonical,"
                " expression, rotation, scale and translation, such as detect gives, and these"
                f" are {keypoints.count} {type(keypoints).__name__}."
            )
        return replace(portrait, keypoints=keypoints.to(self.device))

    def in_space(self, points: Keypoints) -> PosedKeypoints:
        """The same. Raises InputError for points that have no parts."""
        if not isinstance(points, PosedKeypoints):
            raise InputError(
                f"A {self.family} model is posed by points in space, such as its detect and"
                f" retarget give, and these are plain {type(points).__name__}."
            )
        return points

    def motion(
        self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None
    ) -> VolumeField:
        assert isinstance(portrait, VolumePortrait) and portrait.compressed is not None
        source, driving = portrait.keypoints.x, self.in_space(pose).to(self.device).x
        warp = self.warping_module
        deformation, occlusion, share = finite(
            warp.dense_motion_network, portrait.compressed, driving, source
        )
        weight = warp.heard(read(portrait.features[-1], deformation))[:, None]  # B 1 D h w
        return VolumeField(
            grid=(deformation[..., :2] * weight[:, 0, ..., None]).sum(1),
            occlusion=() if occlusion is None else (occlusion,),
            contributions=(share * weight).sum(2),
            volume=deformation,
        )

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        """The source moved by the field. One that moves pictures alone, made or changed by hand,
        moves every depth alike.
        """
        field, volume = field.to(self.device), portrait.features[-1]
        moved = field.volume if isinstance(field, VolumeField) else None
        if moved is None:
            moved = lifted(field.of_canvas().resize(*volume.shape[-2:]).grid, volume.shape[2])
        occlusion = None
        if field.occlusion:
            occlusion = resize(field.occlusion[-1], *volume.shape[-2:])
        features = finite(self.warping_module, volume, moved, occlusion)
        return finite(self.spade_generator, features)

    def settle(self) -> None:
        self.warping_module.settle()


def lifted(grid: Tensor, depth: int) -> Tensor:
    """The motion of a picture as that of a volume. B h w 2 -> B depth h w 3"""
    batch, height, width = grid.shape[:3]
    still = identity_volume(depth, height, width, like=grid)[..., 2:].expand(batch, -1, -1, -1, -1)
    return torch.cat([grid[:, None].expand(-1, depth, -1, -1, -1), still], dim=-1)


def finite(network: nn.Module, *inputs: Tensor | None) -> Any:
    """What the network makes of its inputs; in float32 where float16 gives no numbers. A GPU is
    waited for in float16 alone: bfloat16 reaches as far as float32.
    """
    made = network(*inputs)
    if all(p.dtype != torch.float16 for p in network.parameters()) or is_finite(made):
        return made
    logger().warning(
        "Half precision did not hold the numbers of a frame: it was computed again in float32."
    )
    wide = copy.deepcopy(network).float()
    return wide(*(None if value is None else value.float() for value in inputs))


def is_finite(made: Any) -> bool:
    tensors = [made] if isinstance(made, Tensor) else [t for t in made if t is not None]
    return all(bool(tensor.isfinite().all()) for tensor in tensors)
