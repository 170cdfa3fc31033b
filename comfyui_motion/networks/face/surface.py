"""The surface of a face's mesh: what lies beside what, and what spreads over it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from .topology import SURFACE, TRIANGLES


@lru_cache
def neighbours() -> Tensor:
    """Each point's mean of those it shares an edge with. 468 468"""
    matrix = torch.zeros(SURFACE, SURFACE)
    for a, b, c in TRIANGLES:
        for i, j in ((a, b), (b, c), (c, a)):
            matrix[i, j] = matrix[j, i] = 1
    return matrix / matrix.sum(1, keepdim=True)


@lru_cache
def beside(device: torch.device) -> tuple[Tensor, Tensor]:
    """Those points, as many for each as the most has, and how much each weighs. 468 N, 468 N 1"""
    matrix = neighbours()
    most = int((matrix > 0).sum(1).max())
    with torch.inference_mode(False):  # what is kept outlives the mode it was asked for in
        weight, index = matrix.topk(most, dim=1)
        return index.to(device), weight[..., None].to(device)


def mean_beside(surface: Tensor) -> Tensor:
    """Each point's mean of those it shares an edge with. B 468 C"""
    index, weight = beside(surface.device)
    return (surface[:, index] * weight).sum(2)


def spread(moved: Tensor, held: tuple[int, ...], rounds: int) -> Tensor:
    """What some points do, over those around them, less and less with each edge. B 468 C"""
    free = torch.ones(SURFACE, 1, device=moved.device)
    free[list(held)] = 0
    for _ in range(rounds):
        moved = moved + free * (mean_beside(moved) - moved)
    return moved
