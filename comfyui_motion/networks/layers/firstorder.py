"""First-order motion: what FOMM and co-part segmentation share (Siarohin et al., NeurIPS 2019 and
ICPR 2020).

Points or parts with local affine frames, the local motions they make (FOMM, eq. 4), the dense
network that mixes those into one field, and the generator that warps its own features by it, or
lays them over another picture's.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from ...field import (
    MotionField,
    identity_grid,
    resize,
    resize_grid,
    sample,
)
from ...geometry.affine import inverse
from ...keypoints import Keypoints
from .blocks import (
    Antialias,
    Body,
    Hourglass,
    HourglassShape,
    gaussian_heatmap,
    interleave,
    start_at,
    together,
)


def frame_head(features: int, maps: int, padding: int) -> nn.Conv2d | None:
    """The head that says how each point's surroundings lie: none without maps. Before training
    every frame is the identity.
    """
    if not maps:
        return None
    head = nn.Conv2d(features, 4 * maps, 7, padding=padding)
    start_at(head, [1.0, 0.0, 0.0, 1.0] * maps)
    return head


def expected_frames(maps: Tensor, heat: Tensor) -> Tensor:
    """Each point's frame, averaged over where it is thought to be.

    B 4 h w for all or B 4K h w, B K h w -> B K 2 2
    """
    maps = rearrange(maps.float(), "b (k c) h w -> b k c h w", c=4)
    return torch.einsum(
        "bkhw,bkchw->bkc", heat, maps.expand(-1, heat.shape[1], -1, -1, -1)
    ).unflatten(2, (2, 2))


def local_motions(source: Keypoints, driving: Keypoints, height: int, width: int) -> Tensor:
    """How each point alone would carry driving pixels to source pixels, the still background first
    (FOMM, eq. 4). B K+1 H W 2

    z -> source + J_source J_driving^-1 (z - driving)
    """
    grid = identity_grid(height, width, driving.position)
    offset = grid - driving.position[:, :, None, None]  # B K H W 2
    if driving.jacobian is not None and source.jacobian is not None:
        frame = source.jacobian @ inverse(driving.jacobian)
        offset = torch.einsum("bkij,bkhwj->bkhwi", frame, offset)
    motions = source.position[:, :, None, None] + offset
    return torch.cat([grid.expand(len(motions), 1, -1, -1, -1), motions], dim=1)


class DenseMotion(nn.Module):
    """From K local motions to one field (FOMM, eq. 6) and its occlusion (eq. 7), at a fraction
    of the picture's size.
    """

    def __init__(
        self,
        channels: int,
        points: int,
        shape: HourglassShape,
        scale: float,
        occlusion: bool,
        variance: float,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.variance = variance
        self.align_corners = align_corners
        self.down = Antialias(channels, scale)
        self.hourglass = Hourglass((points + 1) * (channels + 1), shape)
        self.mask = nn.Conv2d(self.hourglass.out_channels, points + 1, 7, padding=3)
        self.occlusion = (
            nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3) if occlusion else None
        )

    def prepare(self, picture: Tensor, keypoints: Keypoints) -> tuple[Tensor, Tensor]:
        """What the source alone decides: itself at the field's size, and its keypoints' heatmaps
        there. B C h w, B K h w
        """
        small = self.down(picture)
        return small, gaussian_heatmap(
            keypoints.position, small.shape[2], small.shape[3], self.variance
        )

    def forward(
        self, small: Tensor, source_heat: Tensor, source: Keypoints, driving: Keypoints
    ) -> MotionField:
        height, width = small.shape[-2:]
        heat = gaussian_heatmap(driving.position, height, width, self.variance) - source_heat
        # B K+1 h w, the background first
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], dim=1)
        motions = local_motions(source, driving, height, width)
        warped = sample(small, rearrange(motions, "b k h w c -> b (k h) w c"), self.align_corners)
        warped = rearrange(warped, "b c (k h) w -> b k c h w", h=height)
        features = self.hourglass(interleave(heat.to(warped.dtype), warped))
        logits, *hidden = together(features, self.mask, self.occlusion)
        mask = logits.float().softmax(dim=1)
        grid = torch.einsum("bkhw,bkhwc->bhwc", mask, motions)
        occlusion = tuple(torch.sigmoid(level.float()) for level in hidden)
        return MotionField(grid, occlusion, mask, self.align_corners)


class WarpingBody(Body):
    """A body that warps its coarsest features.

    A motion network may lie inside it, as files aligned that way are saved.
    """

    dense_motion_network: DenseMotion

    def forward(self, features: Tensor, field: MotionField, align_corners: bool) -> Tensor:
        return self.decode(carry(features, field, align_corners))

    def swap(
        self,
        features: Tensor,
        target: Tensor,
        field: MotionField,
        mask: Tensor,
        align_corners: bool,
    ) -> Tensor:
        """The source's features laid over the target's where the mask says.

        Mask B 1 h w in 0..1, of any size
        """
        mask = resize(mask, *target.shape[-2:]).to(target.dtype)
        return self.decode(target * (1 - mask) + carry(features, field, align_corners) * mask)


def carry(features: Tensor, field: MotionField, align_corners: bool) -> Tensor:
    """Features moved by the field, faded where the source does not show them. B C h w or 1 C h w"""
    height, width = features.shape[-2:]
    moved = sample(features, resize_grid(field.grid, height, width), align_corners)
    for level in field.occlusion[-1:]:
        moved = moved * resize(level, height, width).to(moved.dtype)
    return moved
