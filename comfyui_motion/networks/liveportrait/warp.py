"""W, the warp: which of the points moves each voxel of the volume, what of it is seen, and the
volume so moved as the features to paint from (face-vid2vid, Wang et al., CVPR 2021, section 3).

Grids are built with -1 and +1 at the centres of the first and last voxel, and read as if these were
the volume's outer faces: so the published networks were trained.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .blocks import Hourglass3
from .parameters import Parameters

VARIANCE = 0.01  # of the points' heat


def identity_volume(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """Every voxel's own place, (x, y, z). D H W 3"""
    z, y, x = (
        torch.linspace(-1, 1, n, device=like.device) if n > 1 else like.new_zeros(1)
        for n in (depth, height, width)
    )
    return torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1)


def read(volume: Tensor, grid: Tensor) -> Tensor:
    """The volume where the grid says, trilinear, zeros outside. B C D H W, B D H W 3 ->
    B C D H W
    """
    volume = volume.expand(len(grid), -1, -1, -1, -1)
    return F.grid_sample(volume.float(), grid, align_corners=False).to(volume.dtype)


class DenseMotion(nn.Module):
    """The compressed volume and both sets of points, B K 3 -> the deformation, B D H W 3; what of
    it is seen, B 1 H W or None; how much each point has to say, B K+1 D H W
    """

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        grids = spec.keypoints + 1
        self.compress = nn.Conv3d(spec.volume, spec.compressed, 1)
        self.norm = nn.BatchNorm3d(spec.compressed)
        self.hourglass = Hourglass3(grids * (1 + spec.compressed), spec.encoder, spec.decoder)
        out = self.hourglass.out_channels
        self.mask = nn.Conv3d(out, grids, 7, padding=3)
        self.occlusion = nn.Conv2d(out * spec.depth, 1, 7, padding=3) if spec.occlusion else None

    def compressed(self, volume: Tensor) -> Tensor:
        """What of the volume the motion is judged by; the source alone decides it. B c D H W"""
        return F.relu(self.norm(self.compress(volume)))

    def forward(
        self, compressed: Tensor, driving: Tensor, source: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        identity = identity_volume(*compressed.shape[2:], like=driving)
        points = driving[:, :, None, None, None]  # B K 1 1 1 3
        source = source[:, :, None, None, None]
        moved = identity - points + source  # B K D H W 3
        grids = torch.cat([identity.expand(len(moved), 1, -1, -1, -1, -1), moved], dim=1)
        warped = torch.stack(
            [read(compressed, grid) for grid in grids.unbind(1)], dim=1
        )  # B K+1 c D H W
        heat = warmth(identity, points) - warmth(identity, source)  # B K D H W
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))[:, :, None].to(warped.dtype)
        features = self.hourglass(
            rearrange(torch.cat([heat, warped], 2), "b k c ... -> b (k c) ...")
        )
        share = self.mask(features).float().softmax(dim=1)
        deformation = torch.einsum("bkdhw,bkdhwc->bdhwc", share, grids)
        if self.occlusion is None:
            return deformation, None, share
        seen = self.occlusion(rearrange(features, "b c d h w -> b (c d) h w"))
        return deformation, torch.sigmoid(seen.float()), share


def warmth(identity: Tensor, points: Tensor) -> Tensor:
    """A Gaussian in three dimensions round each point. B K 1 1 1 3 -> B K D H W, float32"""
    return torch.exp(-0.5 * (identity - points).square().sum(-1) / VARIANCE)


class Flat(nn.Module):
    """Convolution, norm, leaky ReLU."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.01)


class Warp(nn.Module):
    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion(spec)
        self.third = Flat(spec.volume * spec.depth, spec.warped)
        self.fourth = nn.Conv2d(spec.warped, spec.warped, 1)
        self.shape = spec.volume, spec.depth
        self.loudness: Tensor | None = None  # volume depth

    def settle(self) -> None:
        """How much the next layer makes of each plane, while its weights are as published."""
        weight = self.third.conv.weight.detach().float()
        self.loudness = weight.square().sum(dim=(0, 2, 3)).sqrt().view(self.shape)

    def heard(self, moved: Tensor) -> Tensor:
        """Which depth is seen at every pixel: how much of it the next layer hears. B C D H W ->
        B D H W, summing to 1
        """
        if self.loudness is None:
            self.settle()
        assert self.loudness is not None
        heard = torch.einsum("bcdhw,cd->bdhw", moved.float().abs(), self.loudness.to(moved.device))
        return (heard + 1e-12) / (heard + 1e-12).sum(dim=1, keepdim=True)

    def forward(self, volume: Tensor, deformation: Tensor, occlusion: Tensor | None) -> Tensor:
        """What is painted from. B C D H W, B D H W 3, B 1 H W -> B warped H W"""
        moved = rearrange(read(volume, deformation), "b c d h w -> b (c d) h w")
        features = self.fourth(self.third(moved))
        return features if occlusion is None else features * occlusion.to(features.dtype)
