"""How passes are asked for, and what is refused before anything is written."""

# pyright: reportUnnecessaryIsInstance=false
# callers without types are told in a sentence what they gave

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

from torch import Tensor

from ..errors import InputError
from ..field import MotionField
from ..media.clip import as_rate
from ..shapes import check_size
from .maps import PASSES, VECTORS, Form

FORMATS = {"exr": 32, "png16": 16, "png8": 8}  # bits


@dataclass(frozen=True)
class Options:
    """How passes become files; `write_passes` tells what each means."""

    passes: Sequence[str] | None = None
    name: str = "motion"
    start: int = 1001
    fps: Fraction | float = 25
    size: tuple[int, int] | None = None
    format: str = "exr"
    one_file_a_pass: bool = False
    form: Form = field(default_factory=Form)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.passes, str) or not isinstance(self.passes, Sequence | None):
            raise InputError(
                f"passes is a list of some of {', '.join(PASSES)}, and is {self.passes!r}."
            )
        unknown = [name for name in self.passes or () if name not in PASSES]
        if unknown:
            raise InputError(f"Passes are {', '.join(PASSES)}; {unknown[0]!r} is none of them.")
        if self.format not in FORMATS:
            raise InputError(f"format must be {', '.join(FORMATS)}, and is {self.format!r}.")
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w-][\w -]*", self.name):
            raise InputError(
                f"name is the start of file names, without folders and dots; it is {self.name!r}."
            )
        if not isinstance(self.start, int) or self.start < 0:
            raise InputError(
                f"start is the first frame's number, 0 or more, and is {self.start!r}."
            )
        if self.size is not None:
            check_size(self.size)
        if self.format != "exr" and self.form.reach is None and self._has_vectors():
            raise InputError(
                "PNG holds no numbers below 0 or above 1: give vectors a reach, the largest"
                " displacement in pixels, or leave forward and backward out."
            )
        as_rate(self.fps)

    def _has_vectors(self) -> bool:
        return bool({*VECTORS} & {*(self.passes or PASSES)})


def check_given(field: Any, frames: Any, plate: Any, mattes: Any) -> None:
    """Refuse what is no field, no pictures and no mattes at all. Raises InputError."""
    if not isinstance(field, MotionField) and (
        isinstance(field, Tensor | str) or not isinstance(field, Iterable)
    ):
        raise InputError(
            "Passes are of a MotionField, or of batches of one; this is a"
            f" {type(field).__name__}: MotionField(grid) makes one of a grid."
        )
    if frames is not None and (isinstance(frames, str) or not isinstance(frames, Iterable)):
        raise InputError(
            f"frames are B C H W in 0..1, or batches of them, and are a {type(frames).__name__};"
            " read_video reads a file's."
        )
    if plate is not None and not isinstance(plate, Tensor):
        raise InputError(
            f"plate is 1 C H W or B C H W in 0..1, and is a {type(plate).__name__}; read_picture"
            " reads a file's."
        )
    if mattes is not None and (
        not isinstance(mattes, Mapping)
        or not all(
            isinstance(matte, Tensor) for matte in cast("Mapping[str, Any]", mattes).values()
        )
    ):
        raise InputError("mattes are tensors 1 h w or B h w in 0..1 by the names of their parts.")
