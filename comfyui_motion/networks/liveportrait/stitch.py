"""S, stitching and retargeting: small networks of points alone."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..layers.blocks import Precise
from .parameters import Parameters


class MLP(nn.Module):
    def __init__(self, into: int, hidden: tuple[int, ...], out: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise((into, *hidden, out)):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, *values: Tensor) -> Tensor:
        return self.mlp(torch.cat([value.flatten(1) for value in values], dim=1))


class Stitching(Precise):
    """The three, as far as the files have them; named as they are saved."""

    def __init__(self, spec: Parameters) -> None:
        super().__init__()
        numbers = 3 * spec.keypoints
        self.retarget_shoulder = mlp(2 * numbers, spec.stitching, numbers + 2)
        self.retarget_mouth = mlp(numbers + 2, spec.lips, numbers)
        self.retarget_eye = mlp(numbers + 3, spec.eyes, numbers)

    def shift(self, source: Tensor, driving: Tensor) -> Tensor:
        """What makes shoulders and border meet the picture round them. B K 3, B K 3 -> B K 3"""
        assert self.retarget_shoulder is not None
        told = self.retarget_shoulder(source.expand_as(driving), driving)
        shift = told[:, :-2].unflatten(1, (-1, 3))
        return torch.cat([shift[..., :2] + told[:, None, -2:], shift[..., 2:]], dim=-1)


def mlp(into: int, hidden: tuple[int, ...], out: int) -> MLP | None:
    return MLP(into, hidden, out) if hidden else None
