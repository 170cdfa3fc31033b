"""Flow: motion transfer that needs no weights. Dense optical flow of the driving clip, carried on a control lattice.

The flow is DIS (Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016), from the reference straight to each frame and
back, so that no call depends on another and nothing drifts. Its keypoints are the points of a square lattice laid over the reference,
row after row, the corners on the picture's corners: they can be smoothed, edited, saved and retargeted like any other model's.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..field import MotionField, identity_grid, resize_grid
from ..keypoints import Keypoints
from ..model import Family, MotionModel, Portrait


@dataclass(frozen=True)
class Parameters:
    """Lengths in pixels are of the pictures flow is computed on, whose longer side is `size`."""

    size: int = 512
    channels: int = 3
    lattice: int = 64  # points along each side
    detail: int = 4  # cells of the motion field in a cell of the lattice
    intensity: float = 10.0  # variational refinement: weight of brightness constancy
    smoothness: float = 10.0  # variational refinement: weight of smoothness
    disagreement: float = 1.5  # pixels between going there and back again at which a point is half believed
    texture: float = 2.0  # contrast, in grey levels of 255, at which a point is half believed
    rest: float = 0.02  # how strongly what nothing is known of stays where it is, against one believed point
    stretch: float = 3.0  # how many times its area a spot may grow before what it shows counts as hidden in the source
    margin: float = 0.15  # of the reference's side: how far beyond it motion fades out, where it does not cover the source
    fill_size: int = 512  # longer side of the picture that hidden parts are filled at


@dataclass(frozen=True)
class Placement:
    """Where the reference's subject sits in the source: two boxes of the same thing, (left, top, right, bottom) in -1..1 of each picture."""

    source: tuple[float, float, float, float]
    reference: tuple[float, float, float, float] = (-1.0, -1.0, 1.0, 1.0)

    def carry(self, position: Tensor) -> Tensor:
        """Points of the reference to points of the source. ... 2 -> ... 2"""
        (source, reference) = (position.new_tensor(box).view(2, 2) for box in (self.source, self.reference))
        return (position - reference[0]) / (reference[1] - reference[0]) * (source[1] - source[0]) + source[0]


class Flow(MotionModel):
    family = "flow"
    any_size = True
    anchor: Tensor
    spec: Parameters

    def __init__(self, spec: Parameters) -> None:
        super().__init__(spec)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)  # follows .to(device); the model has nothing else to move

    @property
    def device(self) -> torch.device:
        return self.anchor.device

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def lattice(self) -> Tensor:
        """The points at rest. K 2"""
        return identity_grid(self.spec.lattice, self.spec.lattice, self.anchor).reshape(-1, 2)

    @torch.inference_mode()
    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        """The lattice's points followed from the reference (1 C h w; the first of these frames if None) into each frame. B C H W -> B K"""
        frames = self.accept(frames)
        reference = frames[:1] if reference is None else self.accept(reference, "reference")
        size = working_size(frames.shape[-2:], self.spec.size)
        first = gray(reference[0], size)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            tracks = list(pool.map(lambda frame: track(first, gray(frame, size), self.spec), frames))
        moved, weight = (torch.from_numpy(np.stack(part)).to(self.device) for part in zip(*tracks, strict=True))
        moved = settle(moved, weight, self.spec.rest)  # B 2 n n
        jacobian = slopes(moved) + torch.eye(2, device=self.device)
        position = self.lattice() + moved.flatten(2).transpose(1, 2)
        return Keypoints(position, jacobian.flatten(1, 2), confidence=weight.flatten(1))

    @torch.inference_mode()
    def encode(self, source: Tensor, placement: Placement | None = None) -> Portrait:
        """The picture, and the lattice where the reference lies on it: all over it unless a placement says otherwise. 1 C H W"""
        picture = self.accept(source, "source")
        rest = self.lattice().expand(len(picture), -1, -1)
        position = rest if placement is None else placement.carry(rest)
        scale = (position[:, -1] - position[:, 0]) / 2  # B 2
        jacobian = torch.diag_embed(scale)[:, None].expand(-1, rest.shape[1], -1, -1)
        return Portrait(picture, Keypoints(position, jacobian, confidence=torch.ones_like(position[..., 0])))

    @torch.inference_mode()
    def motion(self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None) -> MotionField:
        """The inverse of what moves the portrait's lattice to the pose. The field has `detail` cells to one of the lattice."""
        rest, pose = portrait.keypoints, pose.to(self.device)
        count = self.spec.lattice**2
        if pose.count != count or rest.count != count:
            raise InputError(f"This flow model has a lattice of {count} points, and the pose has {pose.count}; detect it with the same model.")
        height, width = working_size(portrait.picture.shape[-2:], self.spec.lattice * self.spec.detail)
        moved = (pose.position - rest.position).unflatten(1, (self.spec.lattice, -1)).permute(0, 3, 1, 2)  # B 2 n n
        forward = self.spread(moved, rest.position, height, width)
        grid, residual = invert(forward)
        return MotionField(grid, (visibility(grid, residual, self.spec.stretch),))

    def spread(self, moved: Tensor, rest: Tensor, height: int, width: int) -> Tensor:
        """Displacements of the lattice to those of the source's pixels: cubic between points, fading to none beyond. B 2 n n -> B 2 H W"""
        low, high = rest[:, None, None, 0], rest[:, None, None, -1]  # B 1 1 2
        place = (identity_grid(height, width, rest) - low) / (high - low) * 2 - 1  # B H W 2: the source's pixels on the lattice
        beyond = (place.abs() - 1 - 1e-4).clamp(min=0).amax(-1)[:, None] / self.spec.margin
        fade = (1 - beyond).clamp(min=0)
        place = place.expand(len(moved), -1, -1, -1)
        return F.grid_sample(moved, place, "bicubic", "border", align_corners=True) * fade * fade * (3 - 2 * fade)

    @torch.inference_mode()
    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        """The source's own pixels, moved; what it hides is inpainted. B C H W float32 in 0..1"""
        picture, field = portrait.picture, field.to(self.device)
        height, width = picture.shape[-2:]
        frames = [resample(picture[i % len(picture)], field[i].grid) for i in range(len(field))]
        frames = torch.stack(frames).clamp(0, 1)
        return frames


def working_size(size: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Height and width with the longer side brought to `longest`, at least 16 each."""
    scale = longest / max(size)
    return max(16, round(size[0] * scale)), max(16, round(size[1] * scale))


def gray(picture: Tensor, size: tuple[int, int]) -> Any:
    """A picture as flow wants it. C H W in 0..1 -> h w uint8 array"""
    import cv2

    luma = (picture.cpu() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).clamp(0, 1).numpy() * 255
    smaller = luma.shape[0] > size[0]
    luma = cv2.resize(luma, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.clip(np.rint(luma), 0, 255).astype(np.uint8)


def track(reference: Any, frame: Any, spec: Parameters) -> tuple[Any, Any]:
    """How far each lattice point went, in -1..1 units, and how far that can be believed. h w uint8 twice -> 2 n n and n n float32"""
    import cv2

    search = dense_search(spec)
    there = search.calc(reference, frame, None)
    back = search.calc(frame, reference, None)
    height, width = reference.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    returned = cv2.remap(back, x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    astray = np.linalg.norm(there + returned, axis=-1)
    slope = cv2.magnitude(cv2.Sobel(reference, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(reference, cv2.CV_32F, 0, 1, scale=1 / 8))
    believed = 1 / (1 + (astray / spec.disagreement) ** 2) * slope**2 / (slope**2 + spec.texture**2)
    moved, weight = gather(there, believed, spec.lattice)
    return moved.transpose(2, 0, 1) * (2 / np.array([width - 1, height - 1], np.float32))[:, None, None], weight


def dense_search(spec: Parameters) -> Any:
    import cv2

    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(1)
    search.setVariationalRefinementAlpha(spec.smoothness)
    search.setVariationalRefinementDelta(spec.intensity)
    return search


def gather(flow: Any, believed: Any, count: int) -> tuple[Any, Any]:
    """The flow at the lattice's points, weighted by belief. h w 2, h w -> n n 2, n n"""
    import cv2

    height, width = believed.shape
    x, y = (np.linspace(0, n - 1, count, dtype=np.float32) for n in (width, height))
    x, y = np.meshgrid(x, y)
    sigma = (0.4 * (width - 1) / (count - 1), 0.4 * (height - 1) / (count - 1))
    weight = believed + 1e-3
    near = cv2.GaussianBlur(np.dstack([flow * weight[..., None], weight]), (0, 0), sigma[0], sigmaY=sigma[1])
    near = cv2.remap(near, x, y, cv2.INTER_LINEAR)
    return near[..., :2] / near[..., 2:], np.clip(near[..., 2] - 1e-3, 0, 1)


def settle(moved: Tensor, weight: Tensor, rest: float) -> Tensor:
    """Where little is known points follow their neighbours, and far from any known they rest. B 2 n n, B n n -> B 2 n n

    Pull and push over a pyramid: each level is what the points know, or else what the level below says.
    """
    known = weight[:, None]
    if min(moved.shape[-2:]) <= 2:
        return moved * known / (known + rest)
    pooled = F.avg_pool2d(known, 2, ceil_mode=True)
    below = settle(F.avg_pool2d(moved * known, 2, ceil_mode=True) / (pooled + 1e-6), pooled[:, 0], rest)
    below = F.interpolate(below, size=moved.shape[-2:], mode="bilinear")
    return (moved * known + below * rest) / (known + rest)


def slopes(maps: Tensor) -> Tensor:
    """Derivatives of a map over the lattice, both in -1..1 units. B 2 h w -> B h w 2 2, [..., i, j] = d i / d j"""
    rows, columns = torch.gradient(maps, dim=(2, 3))
    across, down = columns * (maps.shape[3] - 1) / 2, rows * (maps.shape[2] - 1) / 2
    return torch.stack([across, down], dim=-1).permute(0, 2, 3, 1, 4)


def invert(forward: Tensor, rounds: int = 12) -> tuple[Tensor, Tensor]:
    """The grid that undoes a forward displacement. B 2 H W -> B H W 2, and how far it fails to. B H W

    Newton's method on g + u(g) = z, its steps shortened where the motion folds.
    """
    target = identity_grid(*forward.shape[-2:], like=forward).expand(len(forward), -1, -1, -1)
    maps = torch.cat([forward, slopes(forward).permute(0, 3, 4, 1, 2).flatten(1, 2)], dim=1)  # B 6 H W
    grid = target - forward.permute(0, 2, 3, 1)
    best, residual = grid, torch.full_like(grid[..., 0], torch.inf)
    for _ in range(rounds):
        here = F.grid_sample(maps, grid, "bilinear", "border", align_corners=True).permute(0, 2, 3, 1)
        error = target - grid - here[..., :2]
        far = error.norm(dim=-1)
        better = far < residual
        best, residual = torch.where(better[..., None], grid, best), torch.where(better, far, residual)
        a, b, c, d = (here[..., 2:] + here.new_tensor([1.0, 0.0, 0.0, 1.0])).unbind(-1)
        area = (a * d - b * c).clamp(min=0.25)
        step = torch.stack([d * error[..., 0] - b * error[..., 1], a * error[..., 1] - c * error[..., 0]], dim=-1) / area[..., None]
        grid = grid + step
    return best, residual


def visibility(grid: Tensor, residual: Tensor, stretch: float) -> Tensor:
    """1 where the source shows what a pixel needs: not beyond its edge, nor in a spot drawn out or folded, nor never reached. B 1 H W"""
    height, width = grid.shape[1:3]
    cell = 2 / (max(height, width) - 1)
    beyond = (grid.abs() - 1).amax(-1) / cell
    area = torch.linalg.det(slopes(grid.permute(0, 3, 1, 2)))
    seen = ramp(2 - beyond) * ramp(area * stretch * 2 - 1) * ramp(2 - residual / cell)
    return seen[:, None]


def ramp(value: Tensor) -> Tensor:
    return value.clamp(0, 1)


def resample(picture: Tensor, grid: Tensor) -> Tensor:
    """The picture read where the grid says, bicubically; pixels that stay are copied. C H W, 1 h w 2 -> C H W"""
    height, width = picture.shape[-2:]
    offset = resize_grid(grid - identity_grid(*grid.shape[1:3], like=grid), height, width, align_corners=True)
    target = identity_grid(height, width, like=grid) + offset
    moved = F.grid_sample(picture[None], target, "bicubic", "border", align_corners=True)[0]
    still = (offset[0].abs() < 2e-3 / max(height, width)).all(-1)
    return torch.where(still, picture, moved)


FAMILY = Family(name="flow", model=Flow, published=Parameters(), recognise=lambda tensors: False, configure=lambda tensors: {})
