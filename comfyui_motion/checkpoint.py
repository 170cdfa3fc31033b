"""Reads a checkpoint file, safetensors or pickle, into its tensors by flattened name, without those
that only training needs.

Nothing in a file is ever run (see `unpickle`), and what it costs to open is known before it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from .doors.diagnosis import EXTENSIONS, diagnose, is_safetensors
from .doors.limits import limits
from .doors.unpickle import StandIn, read_pickle
from .doors.weights import read_safetensors, too_many
from .doors.words import listed
from .errors import CheckpointError
from .unwrapping import members, read_unpacked, unpacked_folder

__all__ = ["EXTENSIONS", "Checkpoint", "clean", "diagnose", "read", "read_tensors", "sha256"]

TRAINING = ("optim", "discriminator", "scheduler", "epoch", "iteration", "lr_", "losses")
DEEPEST = 16  # dictionaries in dictionaries: published files have 3


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The tensors of a file by flattened name ("generator.first.conv.weight"), still on disk where
    the format allows it.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict[str, str])  # of a safetensors file
    dropped: tuple[str, ...] = ()  # top-level names that only training needs
    place: str = ""  # of the model, where it was inside other dictionaries
    beside: tuple[str, ...] = ()  # what else they hold
    members: tuple[Path, ...] = ()  # of a checkpoint that is several files: all of them

    @property
    def files(self) -> tuple[Path, ...]:
        return self.members or (self.path,)


def read(path: str | Path) -> Checkpoint:
    """Open a checkpoint of any format.

    Raises CheckpointError, whose sentence says what the file is and what to do.
    """
    path = Path(path)
    folder = unpacked_folder(path)
    if folder is not None:
        whole = clean(read_unpacked(folder, path.name), path)
        return replace(whole, members=tuple(members(folder)))
    complaint = diagnose(path)
    if complaint:
        raise CheckpointError(complaint)
    if is_safetensors(path):
        return _read_safetensors(path)
    return clean(read_pickle(path), path)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of any network's file, by flattened name, read as safely.

    Raises CheckpointError.
    """
    return read(path).tensors


def clean(content: Any, path: Path) -> Checkpoint:
    """Nested dictionaries of tensors, as authors save them, to a Checkpoint."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path.name} holds a {type(content).__name__}, not a dictionary of tensors, as"
            " checkpoints are; where it was made, save the networks' state_dict() by name."
        )
    content = cast("Mapping[Any, Any]", content)
    dropped = tuple(str(key) for key in content if str(key).lower().startswith(TRAINING))
    kept = {key: value for key, value in content.items() if str(key) not in dropped}
    tensors = flattened(kept, path.name)
    if {"state", "param_groups"} <= content.keys():
        tensors, dropped = {}, ("the state of an optimizer",)
    if not tensors:
        raise CheckpointError(
            f"{path.name} holds {_what_else(kept, dropped)}, no network; use the file that its"
            " authors publish for testing, or save the networks' state_dict() where it was made."
        )
    return Checkpoint(path, tensors, dropped=dropped)


def _what_else(kept: Mapping[Any, Any], dropped: tuple[str, ...]) -> str:
    """What is in a file without tensors."""
    inner = [v for value in kept.values() for v in (*_values(value), value)]
    kinds = {type(value).__name__ for value in inner if isinstance(value, StandIn)}
    if "_reconstruct" in kinds:
        return "arrays of NumPy's and no tensors of PyTorch's"
    if kinds:
        return f"objects of a program that is not here ({listed(sorted(kinds))}) and no tensors"
    return f"only what training needs ({listed(dropped)})" if dropped else "no tensors"


def _values(value: Any) -> Iterator[Any]:
    if _is_table(value):
        yield from value.values()


def flattened(content: Mapping[Any, Any], name: str) -> dict[str, Tensor]:
    """Tensors in dictionaries in dictionaries, by flattened name. Raises CheckpointError."""
    most = int(limits().tensors)
    found: dict[str, Tensor] = {}
    waiting: list[tuple[str, Mapping[Any, Any], int]] = [("", content, 1)]
    looked_into = 0
    while waiting:
        prefix, inner, depth = waiting.pop()
        looked_into += 1
        found.update(_tensors_of(inner, prefix))
        deeper = [(f"{prefix}{k}.", v, depth + 1) for k, v in inner.items() if _is_table(v)]
        if deeper and depth == DEEPEST or looked_into + len(waiting) + len(deeper) > most:
            raise CheckpointError(
                f"{name} holds dictionaries in dictionaries without end, or too many of them; it is"
                " no checkpoint of a motion model."
            )
        waiting += reversed(deeper)
    if len(found) > most:
        raise too_many(name, len(found))
    return found


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _tensors_of(content: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            name = [
                part for part in f"{prefix}{key}".split(".") if part != "module"
            ]  # the mark that DataParallel leaves
            yield ".".join(name).removeprefix("state_dict."), value


def sha256(path: Path) -> str:
    """Of the whole file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> Checkpoint:
    tensors, metadata = read_safetensors(path)
    dropped = tuple(
        sorted({name.split(".")[0] for name in tensors if name.lower().startswith(TRAINING)})
    )
    kept = {n: value for n, value in tensors.items() if not n.lower().startswith(TRAINING)}
    return Checkpoint(path, flattened(kept, path.name), metadata, dropped)
