"""A face's 478 points, with what else of a driver's face is carried over: the inside of its mouth,
and the light on its skin.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ...dials import Dials
from ...doors.limits import how_to_raise, limits
from ...errors import InputError, boundary
from ...keypoints import FARTHEST, FORMAT, SHAPES, Keypoints
from ...retarget import Strengths
from ...shapes import check_shapes

if TYPE_CHECKING:
    from typing_extensions import Self

    from .transfer import Face


VERSION = 3  # of the documents that hold a face mesh
STEPS = {"mouth": 127.0, "light": 100.0}  # of which one is 1: what is seen is kept no finer


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
    }

    depth: Tensor = field(kw_only=True)  # B 478: z into the picture, in the units of x
    # B 2: width and height in pixels of the pictures they lie on
    size: Tensor = field(kw_only=True)
    # B 2 h w in 0..1: what is between the lips, from one to the other: light against the skin's
    # (0.5 = as light as skin), and how red
    mouth: Tensor | None = None
    light: Tensor | None = (
        None  # B 1 h w over the canonical face: log of light against the reference
    )

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
        return relative(driving, reference, source, told)

    def held(self) -> Self:
        """Frames without a face as the last one with one, or the first that follows.

        Raises InputError where no frame shows a face.
        """
        found = self.found()
        if bool(found.all()):
            return self
        if not bool(found.any()):
            raise InputError(
                "No frame of the driver shows a face; choose flow, which moves anything, or give"
                " another clip."
            )
        seen = found.nonzero()[:, 0]
        number = (found.long().cumsum(0) - 1).clamp(min=0)
        return self[seen[number]]

    def unlike(self, source: Keypoints) -> Tensor:
        """How far each face is from being at rest, to measure motion from. B"""
        from .watch import unrest

        return torch.where(self.found(), unrest(self.held()), torch.inf)

    def to_json(self, decimals: int | None = None) -> str:
        """A versioned document, under 12 kB a frame: numbers packed in base64, for
        there are many.
        """
        packed = {
            "position": _packed(self.position, torch.float32),
            "depth": _packed(self.depth, torch.float32),
            "confidence": [round(float(c), 4) for c in self._sure().amax(1)],
            "size": self.size.tolist(),
        }
        for name, steps in STEPS.items():
            value = getattr(self, name)
            if value is not None:
                shape = list(value.shape[1:])
                packed[name] = {"shape": shape, "bytes": _packed(value * steps, torch.int8)}
        return json.dumps({"format": FORMAT, "version": VERSION, "frames": len(self), **packed})

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> FaceKeypoints:
        """What `to_json` wrote. Raises InputError."""
        damaged = "These keypoints of a face are damaged ({reason}): paste what was written, whole."
        with boundary(InputError, damaged):
            frames = int(document["frames"])
            sure = torch.tensor(document["confidence"], dtype=torch.float32)
            size = torch.tensor(document["size"], dtype=torch.float32)
            if size.shape != (frames, 2) or sure.shape != (frames,) or not (size > 0).all():
                raise ValueError("sizes or confidences are not one a frame")
            if frames > limits().frames:
                raise ValueError(f"{frames} frames: {how_to_raise('frames', frames)}")
            position, depth = (
                _unpacked(document[name], torch.float32, (frames, 478, axes))
                for name, axes in (("position", 2), ("depth", 1))
            )
            looks = {
                name: _unpacked(
                    part["bytes"], torch.int8, (frames, *map(int, part["shape"]))
                ).float()
                / STEPS[name]
                for name, part in document.items()
                if name in STEPS
            }
        if not all(bool((n.abs() <= FARTHEST).all()) for n in (position, depth, sure, size)):
            raise InputError("These keypoints of a face hold numbers that are not finite.")
        told = {"position": position, "depth": depth[..., 0], "size": size, **looks}
        told["confidence"] = sure[:, None].expand(-1, 478)
        check_shapes(told, FaceKeypoints.shapes)
        return FaceKeypoints(**told)


def _packed(values: Tensor, kind: torch.dtype) -> str:
    if not kind.is_floating_point:
        values = values.round().clamp(-128, 127)
    plain = values.detach().cpu().to(kind).contiguous().numpy().tobytes()
    return base64.b64encode(zlib.compress(plain, 9)).decode()


def _unpacked(text: str, kind: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Raises ValueError where it is not as long as that."""
    count = math.prod(shape) * kind.itemsize
    opened = zlib.decompressobj()
    if not 0 <= count <= max(limits().unpacked, 4 * len(text)):
        raise ValueError(f"numbers of {count} bytes: {how_to_raise('unpacked', count)}")
    plain = opened.decompress(base64.b64decode(text, validate=True), count + 1)
    if len(plain) != count:
        raise ValueError("a list of numbers is too short or too long")
    return torch.frombuffer(bytearray(plain), dtype=kind).reshape(shape)
