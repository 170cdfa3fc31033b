"""A face's 478 points, with what else of a driver's face is carried over: the inside of its mouth,
and the light on its skin.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ...dials import Dials
from ...errors import InputError
from ...keypoints import SHAPES, Keypoints
from ...retarget import Strengths

if TYPE_CHECKING:
    from typing_extensions import Self

    from .transfer import Face


@dataclass(frozen=True, eq=False)
class FaceKeypoints(Keypoints):
    """Points of a face mesh (see `topology`) on each of B pictures."""

    shapes: ClassVar[Mapping[str, str]] = {
        **SHAPES,
        "position": "B 478 2",
        "confidence": "B 478",
        "depth": "B 478",
        "size": "B 2",
        "mouth": "B 2 h w",
        "light": "B 1 h w",
        "rest": "B 478 3",
    }

    depth: Tensor = field(kw_only=True)  # B 478: z into the picture, in the units of x
    # B 2: width and height in pixels of the pictures they lie on
    size: Tensor = field(kw_only=True)
    # B 2 h w in 0..1: what is between the lips, from one to the other: light against the skin's
    # (0.5 = as light as skin), and how red
    mouth: Tensor | None = None
    # B 1 h w over the canonical face: log of light against the reference
    light: Tensor | None = None
    # B 478 3: position and depth of the driver at rest in each picture's shot of a clip; None: of
    # pictures that are no clip
    rest: Tensor | None = None

    def space(self) -> Tensor:
        """In pixels, 0 the centre of the first; z likewise. B 478 3"""
        half = (self.size - 1) / 2
        plane = (self.position + 1) * half[:, None]
        return torch.cat([plane, (self.depth * half[:, :1])[..., None]], dim=-1)

    @cached_property
    def face(self) -> Face:
        """Each in its own head's frame."""
        from .transfer import Face

        return Face.of(self.space())

    @staticmethod
    def placed(points: Tensor, size: Tensor, **others: Any) -> FaceKeypoints:
        """From points in pixels (B 478 3) on pictures of that size (1 or B 2: width, height)."""
        size = size.to(points).expand(len(points), -1)
        half = (size - 1).clamp(min=1) / 2
        position = points[..., :2] / half[:, None] - 1
        return FaceKeypoints(position, depth=points[..., 2] / half[:, :1], size=size, **others)

    def moved(self, points: Tensor) -> Self:
        """The same with other points, in pixels. B 478 3"""
        placed = FaceKeypoints.placed(points, self.size)
        return replace(self, position=placed.position, depth=placed.depth)

    def dialled(self, dials: Dials) -> FaceKeypoints:
        """The same faces with the dials added; see `pose`."""
        from .dialled import dialled

        return dialled(self, dials)

    def expanded(self, count: int) -> Self:
        """One picture's as those of `count` pictures."""
        return self if len(self) == count else self.map(lambda v: v.expand(count, *v.shape[1:]))

    def found(self) -> Tensor:
        """In which pictures there is a face. B, bool"""
        return self._sure().amax(1) > 0

    def _sure(self) -> Tensor:
        assert self.confidence is not None  # who sees a face says how surely
        return self.confidence

    def retargeted(
        self, reference: FaceKeypoints | None, source: FaceKeypoints, mode: str, strength: Any
    ) -> FaceKeypoints:
        """See `retarget`."""
        from .transfer import absolute, relative

        told = strength
        if not isinstance(strength, Strengths):
            told = Strengths.all(float(torch.as_tensor(strength).float().mean()))
        driving = self.held()
        if mode == "absolute":
            return absolute(driving, source, told)
        if reference is None:
            raise InputError(
                "Relative motion needs a reference: the driver's keypoints at rest, such as"
                " driving[:1]."
            )
        if not bool(reference.found().all()):
            raise InputError(
                "The reference frame shows no face, so there is nothing to measure motion from;"
                " choose another, or -1 for the most neutral one."
            )
        return relative(driving, driving.measured_from(reference), source, told)

    def measured_from(self, reference: FaceKeypoints) -> FaceKeypoints:
        """What each picture's motion is measured from: the reference (1) in its own shot, in every
        other shot of the same clip the driver at rest there. The reference throughout, if it is of
        another clip, or there is one for each picture.
        """
        if self.rest is None or reference.rest is None or len(reference) > 1:
            return reference
        same = (self.rest == reference.rest).flatten(1).all(1)  # B: of the reference's shot
        if bool(same.all()) or not bool(same.any()):
            return reference
        given = torch.cat([reference.position, reference.depth[..., None]], dim=-1)
        rest = torch.where(same[:, None, None], given, self.rest)
        return replace(self, position=rest[..., :2], depth=rest[..., 2])

    def held(self) -> Self:
        """Frames without a face as the last one with one, or the first that follows.

        Raises InputError where no frame shows a face.
        """
        found = self.found()
        if bool(found.all()):
            return self
        if not bool(found.any()):
            raise InputError(
                "No frame of the driver shows a face; choose the model for any subject (flow), or"
                " give another clip."
            )
        seen = found.nonzero()[:, 0]
        number = (found.long().cumsum(0) - 1).clamp(min=0)
        return self[seen[number]]

    def unlike(self, source: Keypoints) -> Tensor:
        """How far each face is from being at rest, to measure motion from: nothing, where a look
        at the clip has found it to be the rest of its shot. B
        """
        from .watch import unrest

        far = torch.where(self.found(), unrest(self.held()), torch.inf)
        if self.rest is None:
            return far
        at_rest = (self.position == self.rest[..., :2]).flatten(1).all(1)
        return torch.where(at_rest, 0.0, far)

    def to_json(self, decimals: int | None = None) -> str:
        """A versioned document, under 12 kB a frame: numbers packed in base64, for there are many;
        where decimals are asked for, positions as nested lists, to be edited, under 20 kB.
        """
        from .document import written

        return json.dumps(written(self, decimals))

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> FaceKeypoints:
        """What `to_json` wrote. Raises InputError."""
        from .document import read

        return read(document)
