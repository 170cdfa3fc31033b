"""Keypoints in files: safetensors, every tensor by its name, exactly, with the kind of points in
the metadata. For what is too much for JSON, or must come back to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from .doors.diagnosis import diagnose
from .doors.weights import check_numbers, read_safetensors, write_safetensors
from .doors.words import shown
from .errors import CheckpointError, InputError
from .keypoints import FORMAT, Keypoints
from .registry import FAMILIES, family
from .shapes import check_shapes

VERSION = "1"
ENDING = ".safetensors"


def save_keypoints(keypoints: Keypoints, path: str | os.PathLike[str]) -> Path:
    """Write them whole or not at all. Raises InputError for another ending than .safetensors."""
    target = Path(path)
    if target.suffix != ENDING:
        raise InputError(f"Keypoints are kept as safetensors: let {target.name} end in {ENDING}.")
    words = {"format": FORMAT, "version": VERSION, "kind": type(keypoints).__name__}
    write_safetensors(dict(keypoints.present()), target, words)
    return target


def load_keypoints(path: str | os.PathLike[str]) -> Keypoints:
    """What `save_keypoints` wrote. Raises CheckpointError for anything else."""
    path = Path(path)
    complaint = diagnose(path)
    if complaint:
        raise CheckpointError(complaint)
    tensors, words = read_safetensors(path)
    check_numbers(tensors, path.name)
    kind = {known.__name__: known for known in kinds()}.get(words.get("kind", ""))
    if words.get("format") != FORMAT or words.get("version") != VERSION or kind is None:
        raise CheckpointError(
            f"{path.name} holds no keypoints that this version reads: it calls itself"
            f" {shown(words.get('format'))} {shown(words.get('version'))} of the kind"
            f" {shown(words.get('kind'))}; choose what Save Keypoints wrote."
        )
    names = {field.name for field in fields(kind)}
    if "position" not in tensors or not tensors.keys() <= names:
        raise CheckpointError(
            f"{path.name} holds {shown(', '.join(sorted(tensors)))}, where keypoints of its kind"
            f" have {', '.join(sorted(names))}; save them again."
        )
    try:
        check_shapes(tensors, kind.shapes)
        return kind(**tensors)
    except InputError as error:
        raise CheckpointError(f"{path.name} holds no such keypoints: {error}") from error


def kinds() -> Iterator[type[Keypoints]]:
    """Keypoints, and every family's own kind of them."""
    for name in FAMILIES:
        family(name)  # imported, where it was not yet
    waiting: list[type[Keypoints]] = [Keypoints]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()
