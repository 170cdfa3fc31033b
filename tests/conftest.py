"""What the tests share: recorded cases of the published networks, and the tensor tables of the
published checkpoints.
"""

from __future__ import annotations

import colorsys
import io
import json
import lzma
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from comfyui_motion import Keypoints, MotionModel
from comfyui_motion.checkpoint import clean
from comfyui_motion.field import identity_grid
from comfyui_motion.framing.landmarks import FACE

HERE = Path(__file__).parent / "golden"


def golden_folders() -> list[Path]:
    """The cases of this clone, then those of a fuller set elsewhere, if $COMFYUI_MOTION_GOLDENS
    names one.
    """
    elsewhere = os.environ.get("COMFYUI_MOTION_GOLDENS")
    return [HERE, *([Path(elsewhere)] if elsewhere else [])]


@dataclass(frozen=True)
class Golden:
    """One recorded case. `tensors` by flattened name, `io` by recorded name, `meta` the authors'
    configuration, `file` as published.
    """

    tensors: dict[str, Tensor]
    io: dict[str, Tensor]
    meta: dict[str, Any]
    file: bytes


def read_golden(folder: Path, checkpoint: str = "checkpoint") -> Golden:
    file = lzma.decompress((folder / f"{checkpoint}.pth.tar.xz").read_bytes())
    content = torch.load(io.BytesIO(file), weights_only=True)
    tensors = clean(content, folder).tensors
    return Golden(
        tensors,
        load_file(folder / "io.safetensors"),
        json.loads((folder / "meta.json").read_text()),
        file,
    )


@pytest.fixture(scope="session")
def golden() -> Callable[..., Golden]:
    """golden(case, checkpoint="checkpoint"): a recorded case, or skip where neither
    folder has it.
    """

    def find(case: str, checkpoint: str = "checkpoint") -> Golden:
        for folder in golden_folders():
            if (folder / case / f"{checkpoint}.pth.tar.xz").exists():
                return read_golden(folder / case, checkpoint)
        pytest.skip(
            f"the golden {case} is not in tests/golden; set COMFYUI_MOTION_GOLDENS to a folder that"
            " has it"
        )

    return find


@dataclass(frozen=True)
class GoldenSet:
    """A recorded case of a checkpoint that is several files: their folder, and what is recorded."""

    folder: Path
    io: dict[str, Tensor]


@pytest.fixture(scope="session")
def golden_sets(tmp_path_factory) -> list[GoldenSet]:
    """The recorded cases of LivePortrait: this clone's, and those of a fuller set elsewhere."""
    found = []
    for source in [f for root in golden_folders() for f in sorted(root.glob("liveportrait*"))]:
        folder = tmp_path_factory.mktemp(source.name)
        for packed in source.glob("*.pth.xz"):
            (folder / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
        found.append(GoldenSet(folder, load_file(source / "io.safetensors")))
    return found


@dataclass(frozen=True)
class Layout:
    """A published checkpoint without its weights."""

    name: str
    family: str
    parameters: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    def tensors(self) -> dict[str, Tensor]:
        """Tensors of those shapes and no storage, by flattened name."""
        return {name: torch.empty(shape, device="meta") for name, shape in self.shapes.items()}


def read_layout(path: Path) -> Layout:
    content = json.loads(path.read_text())
    # of a checkpoint that is several files, in place of one's networks
    several = content.get("files")
    networks = {
        key: value
        for key, value in (several or content["tensors"]).items()
        if not key.startswith(("optimizer", "discriminator", "epoch"))
    }
    shapes = {
        f"{network}.{name}": tuple(shape)
        for network, tensors in networks.items()
        for name, shape in tensors.items()
    }
    return Layout(path.stem, content["family"], content["parameters"], shapes)


@pytest.fixture(scope="session")
def layouts() -> list[Layout]:
    """The tensor tables of published checkpoints that this clone holds, or the fuller set's."""
    found = {
        path.stem: read_layout(path)
        for folder in golden_folders()
        for path in sorted((folder / "layouts").glob("*.json"))
    }
    if not found:
        pytest.skip("no layouts in tests/golden")
    return list(found.values())


class DotFinder(MotionModel):
    """Stands in for a learned detector: keypoint k is the middle of all that has hue k / K. Hues it
    does not see it puts where they usually lie.

    So its points stay on a subject drawn with `Dots`, and go along with the picture on anything
    else, as a network's do.
    """

    family = "dots"

    def __init__(self, rest: Tensor, size: int) -> None:
        super().__init__(SimpleNamespace(channels=3, size=size))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.rest = rest
        self.colours = hues(len(rest))
        self.seen = 0  # pictures

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        frames = self.accept(frames)
        self.seen += len(frames)
        strength = frames.norm(dim=1, keepdim=True)
        alike = torch.einsum(
            "bchw,kc->bkhw",
            frames / strength.clamp(min=1e-3),
            self.colours / self.colours.norm(dim=1, keepdim=True),
        )
        weight = (strength - 0.45).clamp(min=0) * torch.exp((alike - 1) / 0.002)  # B K H W
        total = weight.sum((2, 3))[..., None]
        found = torch.einsum(
            "bkhw,hwc->bkc", weight, identity_grid(*frames.shape[-2:], like=frames)
        )
        position = (found + 0.005 * self.rest / 4) / (total + 0.005)
        if len(self.rest) != len(FACE.mirror):
            return Keypoints(position)
        mirrored = position[:, 14, 0] > position[:, 15, 0]  # a face has its left ear on the left
        return Keypoints(
            torch.where(mirrored[:, None, None], position[:, list(FACE.mirror)], position)
        )


def hues(count: int) -> Tensor:
    """Saturated colours, one a keypoint. K 3"""
    return torch.tensor([colorsys.hsv_to_rgb(i / count, 1.0, 1.0) for i in range(count)])


@dataclass(frozen=True)
class Dots:
    """A subject made of dots, as a face's twenty points lie or as `rest` says."""

    rest: Tensor  # K 2

    def finder(self, size: int = 80) -> DotFinder:
        return DotFinder(self.rest, size).eval()

    def points(self, x: float, y: float, scale: float) -> Tensor:
        """Where they are in pixels, the picture's outer edge 0. K 2"""
        return self.rest * scale + torch.tensor([x, y])

    def draw(self, height: int, width: int, points: Tensor, ground: Tensor | None = None) -> Tensor:
        """A picture of them. 1 3 height width"""
        picture = torch.zeros(3, height, width) if ground is None else ground[0].clone()
        centres = torch.stack(
            torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy"),
            dim=-1,
        )
        size = float((points[:8] - points[:8].mean(0)).norm(dim=1).mean())
        for point, colour in zip(points, hues(len(points)), strict=True):
            cover = (0.13 * size + 0.5 - (centres - point).norm(dim=-1)).clamp(0, 1)
            picture = torch.lerp(picture, colour[:, None, None].expand_as(picture), cover)
        return picture[None]


@pytest.fixture(scope="session")
def face() -> Dots:
    """A face's twenty points, those that lie close a little further apart than faces have them, so
    that dots do not touch.
    """
    rest = torch.tensor(FACE.rest)
    rest[:6, 1] = torch.tensor([-1.12, -1.12, -0.8, -0.8, -0.48, -0.48])
    rest[10:12, 1], rest[17, 1] = torch.tensor([0.6, 0.95]), 2.3
    return Dots(rest)


@pytest.fixture(scope="session")
def dots() -> type[Dots]:
    """dots(rest): a subject of other points."""
    return Dots
