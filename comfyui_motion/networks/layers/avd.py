"""Animation via disentanglement (MRAA, section 3.3): the source's identity and the driver's pose,
coded apart and decoded together.

MRAA and TPSMM share it; only what a region or keypoint is written as differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blocks import Precise

WIDTHS = (256, 512, 1024)


@dataclass(frozen=True)
class AVDShape:
    """How many numbers each code has; none where there is no such network."""

    identity: int
    pose: int


NO_AVD = AVDShape(0, 0)


def layers(*widths: int) -> nn.Sequential:
    """Linear, norm, ReLU between the widths given, and a bare Linear last."""
    pairs = list(zip(widths, widths[1:], strict=False))
    hidden = [
        module for a, b in pairs[:-1] for module in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())
    ]
    return nn.Sequential(*hidden, nn.Linear(*pairs[-1]))


class AVD(Precise):
    def __init__(self, numbers: int, shape: AVDShape) -> None:
        super().__init__()
        self.id_encoder = layers(numbers, *WIDTHS, shape.identity)
        self.pose_encoder = layers(numbers, *WIDTHS, shape.pose)
        self.decoder = layers(shape.identity + shape.pose, *reversed(WIDTHS), numbers)

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """The source, posed. B N, B N -> B N"""
        return self.decoder(torch.cat([self.pose_encoder(driving), self.id_encoder(source)], dim=1))


def avd_shape(tensors: Mapping[str, Tensor], prefix: str = "avd_network.") -> AVDShape:
    """Of the network whose tensors begin with `prefix`."""
    if f"{prefix}id_encoder.9.weight" not in tensors:
        return NO_AVD
    return AVDShape(
        tensors[f"{prefix}id_encoder.9.weight"].shape[0],
        tensors[f"{prefix}pose_encoder.9.weight"].shape[0],
    )
