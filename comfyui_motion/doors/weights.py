"""Safetensors in and out: the format that holds tensors and words alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import CheckpointError, boundary
from ..media.files import written_whole
from .diagnosis import header_length
from .limits import how_to_raise, limits
from .words import shown

HEADER_OF_A_TENSOR = 500  # bytes: published files have under 150


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata as they are in the file. Raises CheckpointError."""
    from safetensors import safe_open

    most = limits().tensors
    if header_length(path) > HEADER_OF_A_TENSOR * most:
        raise too_many(path.name, header_length(path) / HEADER_OF_A_TENSOR)
    with (
        boundary(
            CheckpointError,
            f"{path.name} is a safetensors file that is damaged or was cut short ({{reason}});"
            " download it again.",
        ),
        cast("Any", safe_open(path, framework="pt")) as file,
    ):
        names = list(file.keys())  # file is no mapping
        if len(names) > most:
            raise too_many(path.name, len(names))
        return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})


def too_many(name: str, tensors: float) -> CheckpointError:
    return CheckpointError(
        f"{name} holds {int(tensors)} tensors, more than any motion model;"
        f" {how_to_raise('tensors', tensors)}."
    )


def write_safetensors(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str]
) -> None:
    """Whole or not at all; the same tensors and words give the same bytes. Raises MediaError."""
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with (
        written_whole(path) as partial,
        boundary(CheckpointError, f"{path} cannot be written ({{reason}})."),
    ):
        save_file(whole, partial, metadata=dict(metadata))
        _sort_header(partial)


def _sort_header(path: Path) -> None:
    """The header's entries in the order of their names: the library writes words in any order."""
    with path.open("r+b") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        words = header.pop("__metadata__", {})
        ordered = {"__metadata__": dict(sorted(words.items())), **header}
        text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise ValueError(f"the header grew from {length} to {len(text)} bytes")
        file.seek(8)
        file.write(text.ljust(length))


def check_numbers(tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuse what no network's weights are: numbers that are not finite in float32, truth values,
    complex or packed numbers. Raises CheckpointError.
    """
    for key, tensor in tensors.items():
        kind = _kind_of(tensor)
        if kind and not (kind == "whole numbers" and key.endswith("num_batches_tracked")):
            raise CheckpointError(
                f"{name} holds {kind} in {shown(key)}, where a network has real numbers; convert"
                " it where it was made."
            )
    spoilt = list(_not_finite(tensors))
    if spoilt:
        raise CheckpointError(
            f"{name} holds numbers that are not finite in {len(spoilt)} tensors, the first"
            f" {shown(spoilt[0])}: a training that went astray, or a damaged file; use another."
        )


def _kind_of(tensor: Tensor) -> str | None:
    """What the tensor holds, where that is no real numbers."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return "sparse, quantised or no numbers"
    if tensor.is_complex():
        return "complex numbers"
    if tensor.dtype == torch.bool:
        return "truth values"
    return None if tensor.is_floating_point() else "whole numbers"


def _not_finite(tensors: Mapping[str, Tensor]) -> Iterable[str]:
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            yield key
