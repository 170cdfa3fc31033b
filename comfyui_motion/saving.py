"""Models and checkpoints written as safetensors, with their family and configuration, whole or not
at all.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from .configuring import FORMAT
from .doors.weights import check_numbers, write_safetensors
from .doors.words import shown
from .errors import InputError
from .media.files import check_target
from .model import Family, MotionModel
from .registry import (
    Inspection,
    belonging,
    family,
    fill,
    inspect,
    inspected,
    open_checkpoint,
    renamed,
    resolve,
    without_storage,
)


def save(model: MotionModel, path: str | Path) -> Path:
    """Write a model as safetensors that `load` takes, in the dtypes it has, with its family and
    configuration. Whole or not at all.

    Raises InputError: for another ending, and for a model that `optimise` rearranged.
    """
    target = Path(path)
    if target.suffix != ".safetensors":
        raise InputError(
            f"save writes safetensors, and {target.name} does not end in .safetensors; name the"
            " target so."
        )
    kind = family(model.family)
    with torch.device("meta"):
        wanted = kind.model(model.spec).state_dict()
    tensors = model.state_dict()
    if tensors.keys() != wanted.keys():
        raise InputError(
            "save writes models as they were built or loaded, and this one was optimised for speed;"
            " save the one it was made from."
        )
    write_safetensors(tensors, target, metadata(kind.name, model.spec))
    return target


def convert(
    source: str | Path, target: str | Path, dtype: torch.dtype | None = None, **overrides: Any
) -> Inspection:
    """Write a checkpoint as safetensors with its family and configuration in the metadata: smaller,
    safe, opened by memory map.

    Whole or not at all. Raises CheckpointError, InputError.
    """
    target = Path(target)
    if target.suffix != ".safetensors":
        raise InputError(
            f"convert writes safetensors, and {target.name} does not end in .safetensors; name the"
            " target so."
        )
    origin = resolve(source)
    if target.exists() and origin.exists() and target.samefile(origin):
        raise InputError(
            f"{target} is the file to be converted; name another target, so that it is kept."
        )
    check_target(target)
    checkpoint = open_checkpoint(origin)
    if target.exists() and any(target.samefile(file) for file in checkpoint.members):
        raise InputError(
            f"{target} is one of the files to be converted; name another target, so that it is"
            " kept."
        )
    found = inspected(checkpoint, overrides)
    tensors = renamed(checkpoint, family(found.family))
    empty = without_storage(found, origin.name)
    tensors = belonging(empty, tensors, checkpoint)
    check_numbers(tensors, origin.name)
    fill(empty, tensors, origin.name)
    kept = _dtypes(family(found.family), found.parameters, dtype) if dtype else {}
    tensors = {name: tensor.to(kept.get(name, tensor.dtype)) for name, tensor in tensors.items()}
    check_numbers(tensors, f"{origin.name} in {shown(dtype)}")
    write_safetensors(tensors, target, metadata(found.family, found.parameters))
    return inspect(target)


def _dtypes(kind: Family, spec: Any, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """What each tensor becomes in a model cast to `dtype`: what finds keypoints stays float32."""
    with torch.device("meta"):
        model = kind.model(spec).to(dtype)
    return {name: tensor.dtype for name, tensor in model.state_dict().items()}


def metadata(name: str, spec: Any) -> dict[str, str]:
    """What makes a safetensors file one of ours."""
    return {"format": FORMAT, "family": name, "parameters": json.dumps(dataclasses.asdict(spec))}
