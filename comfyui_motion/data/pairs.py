"""What training eats: two frames of one subject and, where a renderer drew them, what only it
knows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

from torch import Tensor

from .. import Keypoints


@dataclass(frozen=True, eq=False)
class Truth:
    """Of a pair that was drawn: where everything went."""

    # B H W 2: where each driving pixel is in the source, (x, y) in -1..1, corner-aligned
    grid: Tensor
    visible: Tensor  # B 1 H W: 1 where the source shows what is there, 0 where it hides it
    source: Keypoints  # the true joints: position B K 2, jacobian B K 2 2
    driving: Keypoints
    known: Tensor  # B K bool: the joints this subject has, in view in both frames
    # B 2 H W: 1 where the source shows the subject, and where it shows what is in front of the
    # subject's trunk
    figure: Tensor
    subject: Tensor  # B 1 H W: 1 where the driving frame shows the subject, 0 where its background

    def __getitem__(self, part: slice) -> Truth:
        return Truth(*(getattr(self, field.name)[part] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Pairs:
    """B times two frames of one subject."""

    source: Tensor  # B C H W in 0..1
    driving: Tensor  # B C H W in 0..1
    truth: Truth | None = None

    def __getitem__(self, part: slice) -> Pairs:
        truth = None if self.truth is None else self.truth[part]
        return Pairs(self.source[part], self.driving[part], truth)


class PairSource(Protocol):
    """Endless pairs. A batch depends on the seed and the step alone, not on what was asked before:
    so a resumed run sees what it would have seen.
    """

    def batch(self, step: int, count: int) -> Pairs: ...
