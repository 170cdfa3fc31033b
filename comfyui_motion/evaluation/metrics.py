"""How near a result comes to the truth: the field's metrics, as its published numbers were
computed, and those that only drawn clips allow.

Frames are N 3 H W in 0..1. Each metric gives a Tally: of every frame, what was summed and over how
much. So a clip's value, and that of many clips, is the sum of the one over the sum of the other,
and a frame of which a metric can say nothing (0 over 0) weighs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import InputError

WINDOW = 11  # SSIM: pixels of the Gaussian window, whose sigma is 1.5
NOTHING = 1e-10  # mean squared error that counts as none: 100 dB


@dataclass(frozen=True, eq=False)
class Tally:
    """A metric, frame by frame."""

    above: Tensor  # N
    below: Tensor  # N

    @property
    def value(self) -> float | None:
        """Over all frames. None where there was nothing to measure."""
        below = float(self.below.double().sum())
        return float(self.above.double().sum()) / below if below else None

    @staticmethod
    def mean(values: Tensor) -> Tally:
        """A tally whose value is the mean over frames; NaN is a frame without one. N"""
        there = ~values.isnan()
        return Tally(values.where(there, 0), there.to(values.dtype))

    @staticmethod
    def join(parts: Iterable[Tally]) -> Tally:
        """One after another in time."""
        parts = list(parts)
        return Tally(
            torch.cat([part.above.cpu() for part in parts]),
            torch.cat([part.below.cpu() for part in parts]),
        )


def l1(result: Tensor, truth: Tensor) -> Tally:
    """Mean absolute difference, mean |result - truth| over pixels and channels, then over frames
    (FOMM, section 4.1).
    """
    return _measured((result.float() - truth.float()).abs().mean((1, 2, 3)))


def squared(result: Tensor, truth: Tensor) -> Tally:
    """Mean squared difference, of which `decibels` makes the peak signal-to-noise ratio."""
    return _measured((result.float() - truth.float()).square().mean((1, 2, 3)))


def decibels(error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared difference, -10 log10(error), at most 100.

    Taken of the mean over all frames, as `kornia.metrics.psnr` does for a batch, not averaged over
    frames: one perfect frame would make that infinite.
    """
    return float(-10 * torch.log10(torch.tensor(error, dtype=torch.float64).clamp(min=NOTHING)))


def ssim(result: Tensor, truth: Tensor) -> Tally:
    """Structural similarity (Wang and others, 2004), mean over channels and the pixels whose whole
    window lies in the picture.

    Gaussian window of 11 pixels, sigma 1.5, k1 0.01, k2 0.03. Raises InputError for pictures
    smaller than the window.
    """
    from kornia.metrics import ssim as similarity

    if min(result.shape[-2:]) < WINDOW:
        raise InputError(
            f"SSIM looks through a window of {WINDOW} pixels, and the frames are"
            f" {result.shape[-1]}x{result.shape[-2]}; compare at a larger size."
        )
    return _measured(
        similarity(result.float(), truth.float(), WINDOW, padding="valid", eps=0.0).mean((1, 2, 3))
    )


def akd(found: Tensor, truth: Tensor) -> Tally:
    """Average keypoint distance: mean |found - truth| over both coordinates of the points found in
    both, then over frames. Pixels

    Points are N K 2 in pixels, NaN where a detector found none. The papers call it Euclidean; the
    published numbers are per coordinate.
    """
    return Tally.mean((found - truth).abs().flatten(1).nanmean(1))


def mkr(found: Tensor, truth: Tensor) -> Tally:
    """Missing keypoint rate: of the points found in the truth, the share not found in the result,
    then the mean over frames. Points as in `akd`
    """
    there, missing = ~truth.isnan().any(-1), found.isnan().any(-1)
    return Tally.mean((there & missing).sum(1) / there.sum(1))


def aed(result: Tensor, truth: Tensor) -> Tally:
    """Average distance of embeddings: sum (result - truth)^2 over the embedding, then the mean over
    frames. N D, or one truth for all
    """
    return _measured((result.float() - truth.float()).square().flatten(1).sum(1))


def flow_error(pixels: Tensor, truth: Tensor, visible: Tensor) -> Tally:
    """End-point error: mean |pixels - truth|, Euclidean, over the pixels that the source shows.
    Pixels

    Both say where in the source each pixel is read, N H W 2 in pixels; visible is N 1 H W, 1 where
    the source shows what is there.
    """
    seen = visible[:, 0] > 0.5
    error = (pixels - truth).norm(dim=-1).where(seen, 0)
    return Tally(error.sum((1, 2)), seen.sum((1, 2)).to(error.dtype))


def occlusion_iou(hidden: Tensor, truth: Tensor) -> Tally:
    """Intersection over union of what is said to be hidden and what is, both N 1 H W, hidden where
    above 0.5.

    Intersections and unions are summed over frames before they are divided: a frame that hides
    little weighs little, one that hides nothing only what is wrongly called hidden there. Where
    nothing is hidden and nothing is called so, there is no value.
    """
    ours, theirs = hidden > 0.5, truth > 0.5
    return Tally(
        (ours & theirs).flatten(1).sum(1).float(), (ours | theirs).flatten(1).sum(1).float()
    )


def joint_error(position: Tensor, truth: Tensor, known: Tensor) -> Tally:
    """Mean distance, Euclidean, of the joints that are known, as a share of the picture's side:
    |position - truth| / 2.

    Both N K 2 in -1..1, known N K bool.
    """
    distance = ((position - truth).norm(dim=-1) / 2).where(known, 0)
    return Tally(distance.sum(1), known.sum(1).to(distance.dtype))


def _measured(values: Tensor) -> Tally:
    """The mean over frames, all of which have a value: what is no number stays in sight."""
    return Tally(values, torch.ones_like(values))
