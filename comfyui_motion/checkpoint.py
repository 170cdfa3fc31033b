"""A file to clean tensors: safetensors or a safe pickle, flattened, what only training needs
removed by name.

Nothing in a file is ever run: pickles are read by torch's weights-only unpickler, which knows
tensors and containers and no code.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError, UnsafeCheckpoint

TRAINING = ("optimizer", "discriminator", "scheduler", "epoch", "iteration", "lr_", "losses")
EXTENSIONS = (".safetensors", ".pth", ".pt", ".ckpt", ".tar")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The tensors of a file by flattened name ("generator.first.conv.weight"), still on disk where
    the format allows it.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)  # of a safetensors file
    dropped: tuple[str, ...] = ()  # top-level names that only training needs


def read(path: str | Path) -> Checkpoint:
    """Open a checkpoint of any format.

    Raises CheckpointError, whose sentence says what the file is and what to do.
    """
    path = Path(path)
    complaint = diagnose(path)
    if complaint:
        raise CheckpointError(complaint)
    if is_safetensors(path):
        return _read_safetensors(path)
    return clean(_read_pickle(path), path)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of any network's file, by flattened name, read as safely.

    Raises CheckpointError.
    """
    return read(path).tensors


def clean(content: Any, path: Path) -> Checkpoint:
    """Nested dictionaries of tensors, as authors save them, to a Checkpoint."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path.name} holds a {type(content).__name__}, not a dictionary of tensors; it is no"
            " checkpoint of a motion model."
        )
    dropped = tuple(str(key) for key in content if str(key).lower().startswith(TRAINING))
    tensors = dict(
        _flatten({key: value for key, value in content.items() if str(key) not in dropped})
    )
    if not tensors:
        found = f"only what training needs ({', '.join(dropped)})" if dropped else "no tensors"
        raise CheckpointError(
            f"{path.name} holds {found}, no network; use the file that its authors publish for"
            " testing."
        )
    return Checkpoint(path, tensors, dropped=dropped)


def _flatten(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            name = [
                part for part in f"{prefix}{key}".split(".") if part != "module"
            ]  # the mark that DataParallel leaves
            yield ".".join(name).removeprefix("state_dict."), value
        elif isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")


def sha256(path: Path) -> str:
    """Of the whole file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_safetensors(path: Path) -> bool:
    """By content: eight bytes of length, then JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < 100_000_000


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())  # file is no mapping
            tensors = {name: file.get_tensor(name) for name in names}
            metadata = dict(file.metadata() or {})
    except (SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path.name} is a safetensors file that is damaged or was cut short ({error});"
            " download it again."
        ) from error
    dropped = tuple(
        sorted({name.split(".")[0] for name in tensors if name.lower().startswith(TRAINING)})
    )
    kept = dict(
        _flatten(
            {
                name: value
                for name, value in tensors.items()
                if not name.lower().startswith(TRAINING)
            }
        )
    )
    return Checkpoint(path, kept, metadata, dropped)


def _harmless_globals() -> list[Any]:
    """What published files hold besides tensors: NumPy numbers in their training state."""
    import _codecs

    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in ("f8", "f4", "i8", "i4", "?")}
    return [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *kinds,
        _codecs.encode,
    ]


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    try:
        with torch.serialization.safe_globals(_harmless_globals()), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch's remarks on old formats are nothing the user can act on
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise _refusal(path, str(error)) from error
    except Exception as error:  # what a damaged file makes the unpickler raise cannot be foreseen
        reason = str(error).split("\n")[0][:200]
        raise CheckpointError(
            f"{path.name} looks like a PyTorch file but cannot be read ({reason}); it is damaged or"
            " was cut short: download it again."
        ) from error


def _refusal(path: Path, reason: str) -> CheckpointError:
    named = (
        reason.partition("GLOBAL ")[2].split(" ")[0]
        or reason.partition("Unsupported class ")[2].split(" ")[0]
    )
    if not named:
        return CheckpointError(
            f"{path.name} is not a checkpoint that PyTorch wrote, or it is damaged; download it"
            " again."
        )
    return UnsafeCheckpoint(
        f"{path.name} names code to run when opened ({named}), so it was not opened; get it from"
        " its authors, or ask whoever made it for a safetensors file, which holds tensors alone."
    )


def diagnose(path: Path) -> str | None:
    """One sentence on what a file is when it plainly is no checkpoint, or None."""
    if not path.exists():
        return (
            f"There is no file {path}; check the name, or run `comfyui-motion models` to see what"
            " is installed."
        )
    if path.is_dir():
        return _diagnose_folder(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not size:
        return f"{path.name} is empty: the download never began; download it again."
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return (
            f"{path.name} is a web page, not weights (a download limit or a login page was saved in"
            " its place); download it again in a browser."
        )
    if head.startswith(b"version https://git-lfs"):
        return (
            f"{path.name} is a Git LFS pointer of {size} bytes, not the weights; run `git lfs"
            " pull`, or download the file itself."
        )
    packed = next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)
    if packed:
        return f"{path.name} is a {packed} archive; unpack it once and use the checkpoint inside."
    if head.startswith(b"PK"):
        return _diagnose_zip(path)
    if is_safetensors(path):
        return None
    if head[257:262] == b"ustar":
        return (
            f"{path.name} is a tar archive; unpack it and use the checkpoint inside (a real"
            " .pth.tar is not an archive)."
        )
    if _is_text(head):
        return f"{path.name} is a text file, not weights; download the checkpoint itself."
    return None


_ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "RAR",
    b"BZh": "bzip2",
}


def _is_text(head: bytes) -> bool:
    try:
        return all(c.isprintable() or c.isspace() for c in head[:200].decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _diagnose_folder(path: Path) -> str:
    if any(path.glob("data.pkl")) or any(path.glob("*/data.pkl")):
        return (
            f"{path.name} is a checkpoint that was unpacked into a folder; a .pth.tar is one file,"
            " not an archive to untar: use the file as it was downloaded."
        )
    return f"{path.name} is a folder; name the checkpoint file inside it."


def _diagnose_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return (
            f"{path.name} was cut short ({path.stat().st_size} bytes arrived, its end is missing);"
            " download it again."
        )
    if any(name.endswith("data.pkl") for name in names):
        return (
            f"{path.name} is a TorchScript program, not a checkpoint; get the weights themselves."
            if _scripted(names)
            else None
        )
    inside = next((name for name in names if name.lower().endswith(EXTENSIONS)), None)
    return (
        f"{path.name} is a zip archive; unpack it and use"
        f" {inside or 'the checkpoint it came with'}."
    )


def _scripted(names: list[str]) -> bool:
    return any(name.endswith("constants.pkl") for name in names)
