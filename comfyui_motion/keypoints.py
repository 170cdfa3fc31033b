"""Keypoints: what every motion model says about a face, a body, a horse.

Coordinates are (x, y): -1 is the centre of the first pixel, +1 of the last. So a keypoint does not
depend on the picture's size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from math import isqrt
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from .doors.documents import is_list, is_table, read_json
from .doors.words import shown
from .errors import InputError, boundary
from .shapes import as_lists, check_shape

if TYPE_CHECKING:
    from typing_extensions import Self

FORMAT = "comfyui_motion.keypoints"
JSON_VERSION = 1  # of points; keypoints placed from parts are of version 2 (posed)
FARTHEST = 1e6  # half pictures: of what a document may say
# points along a side from which many are a lattice, and how many lines are drawn of it
LATTICE = 20
WIDEST = 1000  # frames, of smoothing
SHAPES = {"position": "B K 2", "jacobian": "B K 2 2", "covariance": "B K 2 2", "confidence": "B K"}


@dataclass(frozen=True, eq=False)
class Keypoints:
    """K points on each of B pictures, each with what its model knows of its surroundings.

    Always float32.
    """

    shapes: ClassVar[Mapping[str, str]] = SHAPES  # of all that this kind may hold

    position: Tensor  # B K 2, (x, y) in -1..1
    # B K 2 2: how the surroundings turn and stretch (FOMM, eq. 5; MRAA's region axes)
    jacobian: Tensor | None = None
    # B K 2 2: how far the region extends (MRAA, eq. 4; Monkey-Net, eq. 3)
    covariance: Tensor | None = None
    # B K in 0..1: how far the point can be believed, where a model can tell
    confidence: Tensor | None = None

    def __post_init__(self) -> None:
        for name, value in self.points():
            check_shape(name, value, SHAPES[name])
            if value.shape[:2] != self.position.shape[:2]:
                raise InputError(
                    f"{name} is for {tuple(value.shape[:2])} pictures and points, position for"
                    f" {tuple(self.position.shape[:2])}."
                )
            if value.dtype != torch.float32:
                object.__setattr__(self, name, value.float())

    def present(self) -> list[tuple[str, Tensor]]:
        """The names and tensors of what is there, a family's own additions included."""
        return [
            (f.name, getattr(self, f.name))
            for f in fields(self)
            if getattr(self, f.name) is not None
        ]

    def points(self) -> list[tuple[str, Tensor]]:
        """Of those, what each point says of itself: what is checked, smoothed and written down."""
        return [(name, value) for name, value in self.present() if name in SHAPES]

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same keypoints with `function` applied to every tensor present."""
        return replace(self, **{name: function(value) for name, value in self.present()})

    def __len__(self) -> int:
        return self.position.shape[0]

    def __getitem__(self, frames: int | slice | Tensor) -> Self:
        """Some of the pictures: an integer keeps the batch dimension."""
        if isinstance(frames, int):
            frames = slice(frames, frames + 1 or None)
        return self.map(lambda value: value[frames])

    @property
    def count(self) -> int:
        """K: how many points each picture has."""
        return self.position.shape[1]

    @property
    def seen_nowhere(self) -> bool:
        """Whether no picture shows any of them."""
        return self.confidence is not None and not bool((self.confidence > 0).any())

    def to(self, device: torch.device | str) -> Self:
        return self.map(lambda value: value.to(device))

    @staticmethod
    def join(parts: Iterable[Keypoints]) -> Keypoints:
        """One after another in time.

        All must carry the same tensors. Raises InputError otherwise.
        """
        parts = list(parts)
        names = [[name for name, _ in part.present()] for part in parts]
        if not parts or any(n != names[0] for n in names):
            raise InputError(
                "Keypoints can be joined when all of them carry the same tensors, and there is at"
                " least one."
            )
        return replace(
            parts[0],
            **{name: torch.cat([getattr(part, name) for part in parts]) for name in names[0]},
        )

    def smooth(self, sigma: float) -> Self:
        """Averaged over time with a Gaussian of `sigma` frames, the ends repeated; 0 changes
        nothing. Needs the whole clip in order. Raises InputError for a sigma that is no number, or
        above 1000.
        """
        if not sigma <= WIDEST:
            raise InputError(f"sigma is a number of frames up to {WIDEST}, and is {sigma}.")
        return (
            self
            if sigma <= 0
            else replace(
                self, **{name: gaussian_in_time(value, sigma) for name, value in self.points()}
            )
        )

    def fainter(self, strength: float | Tensor) -> Self:
        """As a performance of that strength: what a family's keypoints carry besides their points
        is for the family to scale.
        """
        return self

    def lines(self) -> list[Tensor]:
        """What to join when the points are drawn: runs of their numbers. Dots where there is none.

        Many points, as many as a square has, are a lattice: every few of its rows and columns.
        """
        side = isqrt(self.count)
        if side < LATTICE or side * side != self.count:
            return []
        numbers = torch.arange(self.count).view(side, side)
        chosen = torch.linspace(0, side - 1, LATTICE).round().long()
        return [*numbers[chosen], *numbers.T[chosen]]

    def to_json(self, decimals: int | None = None) -> str:
        """A versioned document with all that the points say, as nested lists, their numbers rounded
        where so many decimals are asked for.
        """
        return json.dumps(
            {
                "format": FORMAT,
                "version": JSON_VERSION,
                **{n: _numbers(v, decimals) for n, v in self.points()},
            }
        )

    @staticmethod
    def from_json(text: str) -> Keypoints:
        """What `to_json` wrote. Raises InputError for anything else."""
        document = read_json(text, InputError, "This text", "paste what Keypoints.to_json wrote")
        if not is_table(document) or document.get("format") != FORMAT:
            raise InputError(
                'This JSON holds no keypoints: it must be an object whose "format" is'
                ' "comfyui_motion.keypoints".'
            )
        if document.get("version") not in (JSON_VERSION, 2, 3):
            raise InputError(
                f"These keypoints are of version {shown(document.get('version'))}; this library"
                f" reads versions {JSON_VERSION} to 3."
            )
        if document["version"] == 2:
            from .posed import PosedKeypoints

            return PosedKeypoints.from_parts(document)
        if document["version"] == 3:
            from .networks.face.keypoints import FaceKeypoints

            return FaceKeypoints.from_document(document)
        if document.get("position") is None:
            raise InputError(
                "This JSON holds keypoints without a position: add one list a picture, of one list"
                " a point."
            )
        return Keypoints(
            **{n: numbers_of(n, document[n]) for n in SHAPES if document.get(n) is not None}
        )


def is_keypoints(found: object) -> bool:
    """Whether what a model detects is points; a family that is driven by frames has others."""
    return isinstance(found, Keypoints)


def numbers_of(name: str, lists: Any) -> Tensor:
    """Nested lists out of a document, as a tensor. Raises InputError."""
    shape = f", shaped {SHAPES[name]}" if name in SHAPES else ""
    uneven = f"The {name} in this JSON is not even lists of numbers{shape} ({{reason}})."
    with boundary(InputError, uneven):
        if not isinstance(lists, list) or not lists:
            raise ValueError("an empty list, or none")
        numbers = torch.tensor(lists, dtype=torch.float32)
    if not (numbers.abs() <= FARTHEST).all():  # not a number is not below anything either
        raise InputError(
            f"The {name} in this JSON holds numbers that are not finite, or larger than"
            f" {FARTHEST:g}, where 1 is the picture's edge; correct them."
        )
    return numbers


def _numbers(values: Tensor, decimals: int | None) -> Any:
    return as_lists(values) if decimals is None else rounded(as_lists(values), decimals)


def gaussian_in_time(values: Tensor, sigma: float) -> Tensor:
    """Gaussian average along the first dimension, ends repeated. T ... -> T ..."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=values.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()
    index = (torch.arange(len(values), device=values.device)[:, None] + offsets).clamp(
        0, len(values) - 1
    )  # T window
    return torch.einsum("tw...,w->t...", values[index], weights)


def rounded(values: Any, decimals: int) -> Any:
    """Nested lists of numbers with so many decimals, for documents that are to stay small."""
    if is_list(values):
        return [rounded(value, decimals) for value in values]
    return round(values, decimals)
