"""Driver and source framed so that the same points of their subjects meet: the boxes that `animate`
takes as driving_subject and subject.

What carries the driver's points onto the source's is a scale and a shift for each axis: a box to a
box, as `Placement` and `Fit` have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry.vectors import length
from .canvas import Box
from .find import Subject
from .landmarks import core, size

MARGIN = 0.25  # of the head's longer side, all round: room for it to move in
ASPECT = 4 / 3  # a face may be so much wider or narrower than the driver's
ROUNDS = 10
OUTLYING = 0.15  # of the subject's size: points that end so far off count half
TOWARDS_ROUND = 4.0  # weight of one scale for both axes against a scale each


@dataclass(frozen=True)
class Alignment:
    """x -> scale x + shift, each axis its own: pixels of the driver to pixels of the source."""

    scale: tuple[float, float]
    shift: tuple[float, float]

    def box(self, box: Box) -> Box:
        left, top, right, bottom = box
        (a, b), (c, d) = self.scale, self.shift
        return a * left + c, b * top + d, a * right + c, b * bottom + d

    @property
    def inverse(self) -> Alignment:
        (a, b), (c, d) = self.scale, self.shift
        return Alignment((1 / a, 1 / b), (-c / a, -d / b))


def align(source: Subject, driving: Subject, even: bool = False) -> Alignment:
    """What lays the driver's points on the source's, by least squares with less weight for points
    that stay off, and hardly stretched.

    `even`: one scale for both axes.
    """
    theirs, ours = (core(subject.points[None])[0] for subject in (driving, source))  # C 2
    large = size(source.points[None])
    weight = torch.ones(len(ours))
    scale, shift = torch.ones(2), torch.zeros(2)
    for _ in range(ROUNDS):
        scale, shift = _fitted(ours, theirs, weight, 1.0 if even else ASPECT)
        off = length(theirs * scale + shift - ours) / (OUTLYING * large)
        weight = 1 / (1 + off.square())
    return Alignment((float(scale[0]), float(scale[1])), (float(shift[0]), float(shift[1])))


def _fitted(ours: Tensor, theirs: Tensor, weight: Tensor, aspect: float) -> tuple[Tensor, Tensor]:
    """Weighted least squares of scale theirs + shift = ours, the scales at most `aspect` apart.

    C 2, C 2, C -> 2, 2
    """
    weight = (weight / weight.sum())[:, None]
    middle, centre = (weight * ours).sum(0), (weight * theirs).sum(0)
    product = (weight * (ours - middle) * (theirs - centre)).sum(0)  # 2
    square = (weight * (theirs - centre).square()).sum(0).clamp(min=1e-9)  # 2
    one = (product.sum() / square.sum()).clamp(min=1e-3)
    pull = TOWARDS_ROUND * square.mean()
    scale = ((product + pull * one) / (square + pull)).clamp(min=1e-3)
    wide = float(scale[0] / scale[1])
    if not 1 / aspect <= wide <= aspect:
        # the scales, but for a factor
        along = torch.tensor([max(min(wide, aspect), 1 / aspect), 1.0])
        scale = along * ((product * along).sum() / (square * along.square()).sum()).clamp(min=1e-3)
    return scale, middle - scale * centre


def aligned_boxes(
    source: Subject, driving: Subject, margin: float = MARGIN, square: bool = False
) -> tuple[Box, Box]:
    """The boxes round both subjects in which the same points lie at the same places: (subject,
    driving_subject), in pixels, within the pictures.

    margin  of the driver's box's longer side, all round, as far as both pictures reach
    square  both boxes are squares, for networks that work on squares
    """
    laid = align(source, driving, even=square)
    wanted = grown(union(driving.box, laid.inverse.box(source.box)), margin)
    shown = intersection(wanted, laid.inverse.box((0, 0, source.width, source.height)))
    shown = intersection(shown, (0, 0, driving.width, driving.height))
    if square:
        shown = largest_square(shown, driving.box)
    return laid.box(shown), shown


def framed_as(
    source: Subject,
    driving: Subject,
    subject: Box | None,
    driving_subject: Box | None,
    square: bool = False,
) -> tuple[Box, Box]:
    """`aligned_boxes`, but for what is given: the other box then shows the same, as far as its
    picture reaches.
    """
    if subject is not None and driving_subject is not None:
        return subject, driving_subject
    if subject is None and driving_subject is None:
        return aligned_boxes(source, driving, square=square)
    laid = align(source, driving, even=square)
    shown = driving_subject or laid.inverse.box(subject or (0, 0, 0, 0))
    shown = intersection(shown, laid.inverse.box((0, 0, source.width, source.height)))
    shown = intersection(shown, (0, 0, driving.width, driving.height))
    return laid.box(shown), shown


def grown(box: Box, margin: float) -> Box:
    left, top, right, bottom = box
    more = margin * max(right - left, bottom - top)
    return left - more, top - more, right + more, bottom + more


def union(one: Box, other: Box) -> Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def intersection(one: Box, other: Box) -> Box:
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )


def largest_square(within: Box, wanted: Box) -> Box:
    """The largest square in a box, as near the middle of what is wanted as it goes."""
    left, top, right, bottom = within
    side = min(right - left, bottom - top)
    x, y = (wanted[0] + wanted[2] - side) / 2, (wanted[1] + wanted[3] - side) / 2
    x, y = min(max(x, left), right - side), min(max(y, top), bottom - side)
    return x, y, x + side, y + side
