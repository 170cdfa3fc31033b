"""Checkpoints as people keep them: a known family's tensors inside other dictionaries, beside
others' (an EMA copy, a perceptual network, counters), in a folder that was unpacked.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .doors.unpickle import read_pickle
from .doors.words import listed
from .errors import CheckpointError, boundary

# what training programs put networks into; no published network has modules of these names
WRAPPERS = frozenset(
    "state_dict model model_state_dict net network networks params weights module".split()
)
DEEPEST = 12  # dictionaries that are looked into
MOST = 256  # of them
COPIES = ("ema", "average", "avg", "swa", "teacher")  # of a network, beside the one that is wanted
# what programs put before and behind a network's name
BEFORE, BEHIND = ("net_", "model_"), ("_state_dict", "_state", "_model", "_net", "_weights")


@dataclass(frozen=True, eq=False)
class Inside:
    """A model found in other dictionaries."""

    tensors: dict[str, Tensor]  # by the names they have there
    place: str  # where: "state_dict.model"
    beside: tuple[str, ...]  # what else is in the file


def unwrapped(
    tensors: Mapping[str, Tensor], known: Callable[[Mapping[str, Tensor]], bool]
) -> Inside | None:
    """Those that are a known model's; None if nothing is.

    Of several copies the one that is no average is taken, of those the first.
    """
    for view in (_as_they_are, _without_wrappers, _with_bare_names, _each_opened):
        found = view(tensors)
        for prefix in _prefixes(found):
            inside = _within(found, prefix)
            if known(inside):
                return Inside(inside, prefix.rstrip("."), _beside(found, prefix))
    return None


def _as_they_are(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(tensors)


def _beside(tensors: Mapping[str, Tensor], prefix: str) -> tuple[str, ...]:
    """The dictionaries that are not in the one of that prefix."""
    others: dict[str, None] = {}
    for name in tensors:
        if not name.startswith(prefix):
            path, place = name.split("."), prefix.split(".")
            shared = next(i for i, part in enumerate(place) if path[i : i + 1] != [part])
            others[".".join(path[: shared + 1])] = None
    return tuple(others)


def groups(names: Iterable[str], networks: Iterable[str]) -> str:
    """What the tensors belong to, in words: the network of each, or what they are in
    one of these.
    """
    known = {name.partition(".")[0] for name in networks}
    return listed(
        dict.fromkeys(n if n.partition(".")[0] in known else n.partition(".")[0] for n in names), 4
    )


def _without_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        *path, leaf = name.split(".")
        found.setdefault(".".join([*(part for part in path if part not in WRAPPERS), leaf]), tensor)
    return found


def _with_bare_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Networks without what programs put before and behind their names: net_generator."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        network, _, rest = name.partition(".")
        found.setdefault(f"{_bare(network)}.{rest}", tensor)
    return found


def _each_opened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every network out of the one dictionary in its own: {"generator": {"g_ema": {...}}}"""
    inner: dict[str, dict[str, None]] = {}
    for name in tensors:
        network, _, rest = name.partition(".")
        inner.setdefault(network, {})[rest.partition(".")[0]] = None
    alone = {network for network, names in inner.items() if len(names) == 1}
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        network, _, rest = name.partition(".")
        if network in alone and "." in rest:
            rest = rest.partition(".")[2]
        found.setdefault(f"{_bare(network)}.{rest}", tensor)
    return found


def _bare(network: str) -> str:
    for before in BEFORE:
        network = network.removeprefix(before)
    for behind in BEHIND:
        network = network.removesuffix(behind)
    return network


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """The dictionaries inside, the outer ones first, copies last."""
    found = dict.fromkeys(
        ".".join(parts[:depth]) + "." if depth else ""
        for depth in range(DEEPEST)
        for parts in (name.split(".") for name in tensors)
        if depth < len(parts)
    )
    return sorted(list(found)[:MOST], key=lambda prefix: any(c in prefix.lower() for c in COPIES))


def _within(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n[len(prefix) :]: value for n, value in tensors.items() if n.startswith(prefix)}


def unpacked_folder(path: Path) -> Path | None:
    """The folder that holds what torch.save had packed into one file, if the path is,
    or has, one, or is the data.pkl in it.
    """
    if path.name == "data.pkl" and os.path.isdir(path.parent / "data"):
        return path.parent
    if not os.path.isdir(path):  # which takes any name
        return None
    return next(
        (
            place.parent
            for place in (path / "data.pkl", *sorted(path.glob("*/data.pkl")))
            if place.is_file()
        ),
        None,
    )


def read_unpacked(folder: Path, name: str) -> Any:
    """What is in such a folder, as if it had not been unpacked. Raises CheckpointError."""
    damaged = f"{name} is a checkpoint that was unpacked, and incomplete ({{reason}})."
    with boundary(CheckpointError, damaged), tempfile.TemporaryDirectory() as place:
        packed = Path(place) / f"{name}.pth"
        with zipfile.ZipFile(packed, "w") as archive:
            for file in members(folder):
                archive.write(file, f"archive/{file.relative_to(folder).as_posix()}")
        return read_pickle(packed, mapped=False)


def members(folder: Path) -> Iterator[Path]:
    """data.pkl, version and the like, and the tensors in data/; not what else lies there."""
    for name in ("data.pkl", "version", "byteorder", ".format_version", ".storage_alignment"):
        if (folder / name).is_file():
            yield folder / name
    yield from sorted(file for file in (folder / "data").glob("*") if file.name.isdecimal())
