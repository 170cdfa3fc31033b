"""The models and the clips that a command names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..media.clip import Clip
from ..media.video import prefetch, read_video
from ..model import MotionModel
from ..registry import load


def load_model(options: argparse.Namespace) -> MotionModel:
    """The model the options name, on their device and in their dtype."""
    dtype = getattr(torch, options.dtype) if options.dtype else None
    return load(
        options.model,
        device=options.device,
        dtype=dtype,
        speed="exact" if dtype else options.speed,
        **dict(options.set),
    )


def driving_clip(options: argparse.Namespace) -> Clip:
    """The clip the options name, as much of it and as fast as they say."""
    return read_video(
        options.driving, options.start, options.stop, fps=options.fps, retime=options.retime
    )


@dataclass(frozen=True)
class Ahead:
    """A clip decoded on a thread of its own while the model works, as often as it is read."""

    clip: Clip
    batch: int

    def __iter__(self) -> Iterator[Tensor]:
        return prefetch(self.clip.batches(self.batch))

    @property
    def len_hint(self) -> int | None:
        return self.clip.len_hint
