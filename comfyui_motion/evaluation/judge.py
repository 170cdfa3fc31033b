"""What is measured of a batch that a model made: by its pictures, and by the truth where a renderer
tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor

from .. import (
    InputError,
    Keypoints,
    MotionField,
    MotionModel,
)
from ..geometry.pixels import to_pixels
from . import metrics
from .metrics import Tally

# N 3 H W in 0..1 -> N K 2 in pixels, NaN where a point was not found
Detector = Callable[[Tensor], Tensor]
Embedder = Callable[[Tensor], Tensor]  # N 3 H W in 0..1 -> N D


class ClipTruth(Protocol):
    """What a renderer knows of a clip's N frames, all against frame 0. A `PuppetClip` is one."""

    @property
    def joints(self) -> Keypoints: ...  # N K
    @property
    def known(self) -> Tensor: ...  # N K bool
    @property
    def grids(self) -> Tensor: ...  # N H W 2: where in frame 0 each pixel is, corner-aligned
    @property
    def visible(self) -> Tensor: ...  # N 1 H W: 1 where frame 0 shows it


@dataclass(frozen=True, eq=False)
class Made:
    """A batch of what a model made, at the size of comparison."""

    frames: Tensor  # B 3 S S
    driving: Tensor  # B 3 S S
    source: Tensor  # 1 3 S S
    points: Any  # the driver's keypoints, as the model finds them
    field: MotionField


@dataclass(frozen=True, eq=False)
class Task:
    """What is the same for every clip."""

    model: MotionModel
    mode: str
    size: int
    batch_size: int
    detector: Detector | None
    embedder: Embedder | None
    frames: int | None

    @property
    def side(self) -> int:
        """Of the squares that the model takes."""
        return self.size if self.model.any_size else self.model.size


def squares(frames: Tensor, size: int) -> Tensor:
    """Stretched to a square, antialiased; as they are where they fit. B 3 H W -> B 3 size size"""
    if frames.shape[-2:] == (size, size):
        return frames.float()
    return F.interpolate(frames.float(), size=(size, size), mode="bilinear", antialias=True).clamp(
        0, 1
    )


def judge(task: Task, made: Made) -> dict[str, Tally]:
    """What pictures tell."""
    found: dict[str, Tally] = {}
    if task.mode == "reconstruction":
        found["l1"] = metrics.l1(made.frames, made.driving)
        found["copying"] = metrics.l1(made.source, made.driving)
        found["squared"] = metrics.squared(made.frames, made.driving)
        found["ssim"] = metrics.ssim(made.frames, made.driving)
    if task.detector:
        ours, theirs = (
            _checked(task.detector(pictures), pictures, "detector", 3)
            for pictures in (made.frames, made.driving)
        )
        found["akd"], found["mkr"] = metrics.akd(ours, theirs), metrics.mkr(ours, theirs)
    elif task.mode == "reconstruction" and isinstance(made.points, Keypoints):
        found["akd"] = metrics.akd(
            own_points(task, made), to_pixels(made.points.position, task.size, task.size)
        )
    if task.embedder:
        target = made.driving if task.mode == "reconstruction" else made.source
        found["aed"] = metrics.aed(
            *(
                _checked(task.embedder(pictures), pictures, "embedder", 2)
                for pictures in (made.frames, target)
            )
        )
    return found


def judge_truth(task: Task, made: Made, truth: ClipTruth, start: int) -> dict[str, Tally]:
    """What only a renderer can tell, of frames `start` on."""
    part, device, size = slice(start, start + len(made.frames)), made.frames.device, task.size
    grids = F.interpolate(
        truth.grids[part].to(device).permute(0, 3, 1, 2),
        size=(size, size),
        mode="bilinear",
        align_corners=True,
    )
    visible = F.interpolate(
        truth.visible[part].to(device).float(), size=(size, size), mode="bilinear"
    )
    there = to_pixels(grids.permute(0, 2, 3, 1), size, size)
    at_rest = to_pixels(MotionField.identity(1, size, size, like=grids).grid, size, size)
    found = {
        "flow": metrics.flow_error(made.field.to_pixels(size, size), there, visible),
        "moved": metrics.flow_error(at_rest, there, visible),
    }
    if made.field.occlusion:
        found["occlusion_iou"] = metrics.occlusion_iou(
            made.field.occlusion_mask(size, size), 1 - visible
        )
    if isinstance(made.points, Keypoints) and made.points.count == truth.joints.count:
        position, known = truth.joints.position[part].to(device), truth.known[part].to(device)
        found["joints"] = metrics.joint_error(made.points.position, position, known)
    return found


def own_points(task: Task, made: Made) -> Tensor:
    """The model's own keypoints on what it made. B K 2 in pixels"""
    points = task.model.detect(
        squares(made.frames, task.side), reference=squares(made.source, task.side)
    )
    return to_pixels(points.position, task.size, task.size)


def _checked(values: Any, pictures: Tensor, what: str, dimensions: int) -> Tensor:
    """What a user's callable returned.

    Raises InputError unless it is a tensor of that many dimensions, a row for each picture.
    """
    shape = "N K 2" if dimensions == 3 else "N D"
    good = (
        isinstance(values, Tensor)
        and values.ndim == dimensions
        and len(values) == len(pictures)
        and (dimensions < 3 or values.shape[-1] == 2)
    )
    if not good:
        found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise InputError(
            f"The {what} must return a tensor {shape}, with N = {len(pictures)} for these frames,"
            f" and it returned {found}."
        )
    return values.to(pictures.device)
