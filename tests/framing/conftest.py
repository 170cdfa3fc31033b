"""The finder of faces that comes with the pack, and the drawn face of samples/ in pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from comfyui_motion import read_picture
from comfyui_motion.networks.face import topology
from comfyui_motion.registry import face_finder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def finder():
    """As every family has it."""
    return face_finder()


@pytest.fixture(scope="session")
def head() -> Tensor:
    """The head alone. 1 3 640 640"""
    picture = read_picture(ROOT / "samples" / "source.png")[:, :3]
    return picture[..., 100:740, 160:800]


@pytest.fixture(scope="session")
def placed() -> Callable[..., Tensor]:
    """placed(head, height, width, left, top, side): the head as a square on grey."""

    def place(head: Tensor, height: int, width: int, left: int, top: int, side: int) -> Tensor:
        ground = torch.full((1, 3, height, width), 0.35)
        small = F.interpolate(head, size=side, mode="area")
        ground[..., top : top + side, left : left + side] = small
        return ground

    return place


@pytest.fixture(scope="session")
def points_at() -> Callable[[float, float, float], Tensor]:
    """points_at(x, y, scale): the canonical face, `scale` pixels a centimetre. 478 3"""

    def points(x: float, y: float, scale: float) -> Tensor:
        surface = topology.canonical() * torch.tensor([1.0, -1.0, -1.0]) * scale
        irises = surface[[33] * 5 + [263] * 5]
        return torch.cat([surface, irises]) + torch.tensor([x, y, 0.0])

    return points
