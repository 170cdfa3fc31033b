"""M, the motion: what a face does, as a few numbers. ConvNeXt V2 (Woo et al., CVPR 2023) with seven
heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...posed import PosedKeypoints
from ..layers.blocks import Precise
from .parameters import Parameters

EPSILON = 1e-6


class ChannelNorm(nn.Module):
    """Layer norm over the channels of a map. B C H W"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, EPSILON)
        return x.permute(0, 3, 1, 2)


class ResponseNorm(nn.Module):
    """Global response normalisation (ConvNeXt V2, eq. 1-3). B H W C"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)  # B 1 1 C
        share = norm / (norm.mean(dim=-1, keepdim=True) + EPSILON)
        return torch.addcmul(self.beta, x, self.gamma * share + 1)


class Block(nn.Module):
    """x + project(response norm(gelu(expand(norm(depthwise x)))))"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = ResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))  # B H W C
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """B C H W -> what each head says, by name"""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        widths = spec.widths
        self.downsample_layers = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(spec.channels, widths[0], 4, stride=4), ChannelNorm(widths[0])
                )
            ]
        )
        for a, b in zip(widths, widths[1:], strict=False):
            self.downsample_layers.append(
                nn.Sequential(ChannelNorm(a), nn.Conv2d(a, b, 2, stride=2))
            )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(count)))
            for width, count in zip(widths, spec.stages, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=EPSILON)
        self.fc_kp, self.fc_exp = (nn.Linear(widths[-1], 3 * spec.keypoints) for _ in range(2))
        self.fc_scale, self.fc_t = nn.Linear(widths[-1], 1), nn.Linear(widths[-1], 3)
        self.fc_pitch, self.fc_yaw, self.fc_roll = (
            nn.Linear(widths[-1], spec.bins) for _ in range(3)
        )

    def forward(self, frames: Tensor) -> PosedKeypoints:
        x = frames
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        x = self.norm(x.mean(dim=(2, 3)))
        return PosedKeypoints.placed(
            canonical=self.fc_kp(x).unflatten(1, (-1, 3)),
            expression=self.fc_exp(x).unflatten(1, (-1, 3)),
            rotation=torch.stack(
                [angle(head(x)) for head in (self.fc_pitch, self.fc_yaw, self.fc_roll)], dim=1
            ),
            scale=self.fc_scale(x)[:, 0],
            translation=self.fc_t(x),
        )


def angle(bins: Tensor) -> Tensor:
    """The expected angle in degrees, bins three degrees apart. B N -> B"""
    numbers = torch.arange(bins.shape[1], dtype=bins.dtype, device=bins.device)
    return 3 * (bins.softmax(dim=1) * numbers).sum(dim=1) - 97.5


class Motion(Precise):
    """As it is saved: the network below `detector`."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        self.detector = ConvNeXt(spec)

    def forward(self, frames: Tensor) -> PosedKeypoints:
        return self.detector(frames)
