"""Fields in files: safetensors with what the numbers mean beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..doors.diagnosis import is_safetensors
from ..doors.weights import read_safetensors
from ..errors import CheckpointError, InputError, MediaError, MotionError, boundary
from ..field import MotionField, PictureSize, check_field, identity_grid
from ..media.files import cannot_write, existing_file, written_whole

FORMAT, VERSION = "comfyui_motion.field", 1
FIELD = ".safetensors"
MEANING = {
    "grid": "frames x height x width x (x, y): where in the source each pixel reads",
    "coordinates": "-1 is the centre of the source's first pixel, 1 of its last; y down",
    "offset": "grid less the grid of no motion, in the same units",
    "occlusion": "1 is visible in the source, 0 hidden; coarse to fine",
}


def save_field(path: str | os.PathLike[str], field: MotionField, half: bool = False) -> None:
    """Write a field as .safetensors: it comes back to the bit.

    With `half` its motion and occlusion are stored in float16, a third as large or less: right to a
    two-thousandth of each displacement. What a family adds to a field for its own generator is not
    kept. MediaError where it cannot be written; InputError for another extension.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    path = Path(path)
    if path.suffix.lower() != FIELD:
        raise InputError(f"A field is kept as {FIELD}; {path.name} has another extension.")
    field = check_field(field).of_source()
    tensors = _tensors(field, half)
    about = {
        "format": FORMAT,
        "version": str(VERSION),
        "frames": str(len(field)),
        "height": str(field.size[0]),
        "width": str(field.size[1]),
        "align_corners": str(field.align_corners).lower(),
        "picture": "x".join(map(str, field.picture_size[::-1])) if field.picture else "any",
        **MEANING,
    }
    try:
        with written_whole(path) as partial:
            save_file(tensors, partial, about)
    except (OSError, SafetensorError) as error:
        if isinstance(error, MotionError):
            raise
        raise cannot_write(path, error) from error


def _tensors(field: MotionField, half: bool) -> dict[str, Tensor]:
    if half:
        still = identity_grid(*field.size, field.grid)
        named = {"offset": (field.grid - still).half()}
    else:
        named = {"grid": field.grid}
    named |= {f"occlusion.{i}": level for i, level in enumerate(field.occlusion)}
    if field.contributions is not None:
        named["contributions"] = field.contributions
    kept = torch.float16 if half else torch.float32
    return {name: value.to("cpu", kept).contiguous() for name, value in named.items()}


def load_field(path: str | os.PathLike[str]) -> MotionField:
    """What `save_field` wrote, in float32. MediaError for a file that is none, or is damaged."""
    path = existing_file(path, "a field")
    damaged = f"{path} is no whole .safetensors file ({{reason}}); save the field again."
    with boundary(MediaError, damaged):
        if not is_safetensors(path):
            raise ValueError("it begins otherwise")
        try:
            tensors, about = read_safetensors(path)
        except CheckpointError as error:
            raise MediaError(f"{path} is no whole .safetensors file: {error}") from error
    if about.get("format") != FORMAT:
        raise MediaError(
            f"{path} holds no motion field: its format is {about.get('format') or 'not said'},"
            f" where {FORMAT} was expected. Model weights go into Load Motion Model."
        )
    if about.get("version") != str(VERSION):
        raise MediaError(
            f"{path} is of version {about.get('version')}; this library reads version {VERSION}."
        )
    return _field(path, tensors, about)


def _field(path: Path, tensors: dict[str, Tensor], about: dict[str, str]) -> MotionField:
    with boundary(MediaError, f"{path} lacks what makes a field ({{reason}})."):
        values: dict[str, Any] = {name: value.float() for name, value in tensors.items()}
        grid = values.pop("grid", None)
        if grid is None:
            offset = values.pop("offset")
            grid = identity_grid(*offset.shape[1:3]) + offset
        levels = sorted(name for name in values if name.startswith("occlusion."))
        field = MotionField(
            grid,
            tuple(values[name] for name in levels),
            values.get("contributions"),
            about.get("align_corners", "true") == "true",
            picture=_picture(about),
        )
    said = tuple(about.get(name) for name in ("frames", "height", "width"))
    if said != tuple(str(n) for n in field.grid.shape[:3]):
        raise MediaError(
            f"{path} says it holds {' x '.join(map(str, said))}, and its grid is"
            f" {' x '.join(map(str, field.grid.shape[:3]))}: it was changed by something else."
        )
    if any(len(level) != len(field) for level in field.occlusion):
        raise MediaError(f"{path} has other counts of frames in its grid and its occlusion.")
    return field


def _picture(about: dict[str, str]) -> PictureSize | None:
    width, _, height = about.get("picture", "").partition("x")
    known = all(side.isdecimal() and len(side) <= 6 for side in (width, height))
    return PictureSize(int(height), int(width)) if known else None
