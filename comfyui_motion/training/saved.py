"""A run's state in one file: safetensors, which hold nothing that could run, with the rest as JSON
beside the tensors. States of earlier versions, which are pickles, still open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..doors.diagnosis import diagnose, is_safetensors
from ..doors.documents import read_json
from ..doors.unpickle import read_pickle
from ..doors.weights import read_safetensors, write_safetensors
from ..errors import CheckpointError

NAME, FORMER = "state.safetensors", "state.pt"
MODULES, OPTIMISERS = ("model", "average", "discriminator"), ("optimiser", "critic")
APART = "/"  # between the parts of a tensor's name; no module has it in its own


def state_file(folder: Path) -> Path:
    """Where a run's state lies, of this version or an earlier one; it need not be there."""
    former = folder / FORMER
    return former if former.exists() and not (folder / NAME).exists() else folder / NAME


def write_content(content: Mapping[str, Any], folder: Path) -> None:
    """Whole or not at all, in place of what was there. Raises MediaError."""
    tensors: dict[str, Tensor] = {
        f"{part}{APART}{name}": value for part in MODULES for name, value in content[part].items()
    }
    told = {k: v for k, v in content.items() if k not in MODULES + OPTIMISERS}
    for part in OPTIMISERS:
        told[part] = content[part].get("param_groups", [])
        for number, values in content[part].get("state", {}).items():
            tensors |= {f"{part}{APART}{number}{APART}{n}": value for n, value in values.items()}
    words = {"format": content["format"], "state": json.dumps(told)}
    write_safetensors(tensors, folder / NAME, words)
    (folder / FORMER).unlink(missing_ok=True)


def read_content(path: Path) -> Any:
    """What was written, as nested dictionaries; of an earlier version's file what it holds. Raises
    CheckpointError.
    """
    complaint = diagnose(path)
    if complaint:
        raise CheckpointError(complaint)
    if not is_safetensors(path):
        return read_pickle(path, mapped=False)
    tensors, words = read_safetensors(path)
    advice = "it was written by something else"
    told = read_json(words.get("state", ""), CheckpointError, f"What {path.name} tells", advice)
    if not isinstance(told, dict):
        raise CheckpointError(f"{path.name} tells of no run: {advice}.")
    content: dict[str, Any] = {**told, **{part: {} for part in MODULES}}
    for part in OPTIMISERS:
        groups = told.get(part)
        content[part] = {"state": {}, "param_groups": _groups(path, groups)} if groups else {}
    for name, value in tensors.items():
        _put(path, content, name.split(APART), value)
    return content


def _groups(path: Path, groups: Any) -> list[dict[str, Any]]:
    """As an optimiser has them: pairs of numbers are tuples."""
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise CheckpointError(f"{path.name} tells of no optimiser where it should.")
    return [
        {
            name: tuple(value) if isinstance(value, list) and name != "params" else value
            for name, value in group.items()
        }
        for group in groups
    ]


def _put(path: Path, content: dict[str, Any], name: list[str], value: Tensor) -> None:
    part, *rest = name
    if part in MODULES and len(rest) == 1:
        content[part][rest[0]] = value
    elif part in OPTIMISERS and len(rest) == 2 and rest[0].isdecimal() and content[part]:
        content[part]["state"].setdefault(int(rest[0][:9]), {})[rest[1]] = value
    else:
        raise CheckpointError(f"{path.name} holds a tensor that is no run's.")
