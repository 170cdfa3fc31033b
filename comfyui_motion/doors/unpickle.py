"""Pickles opened: by torch's weights-only unpickler, on a PyTorch that keeps that promise, and only
after `pickles` has followed them to their end.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from ..errors import CheckpointError, boundary
from .limits import how_to_raise, limits
from .pickles import Survey

# weights_only can be got round before 2.6 (CVE-2025-32434) and 2.10 (CVE-2026-24747)
SAFE = (2, 10)
LEGACY = 5  # pickles in a file of PyTorch before 1.6: its mark, version, machine, content, storages
LONGEST_PICKLE = 64_000_000  # bytes; published files have under 100 000


class StandIn(dict[str, Any]):
    """What an object of a class that is not torch's own becomes: a setting, an array, some
    program's object. Empty; of a PyTorch module, the tensors and the modules in it.
    """

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, Mapping):
            told = cast("Mapping[Any, Any]", state)
            for part in ("_parameters", "_buffers", "_modules"):
                if isinstance(inside := told.get(part), Mapping):
                    self.update(cast("Mapping[str, Any]", inside))


class Table:
    """What stands in for a class that is filled like a dictionary: one that torch fills."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict[Any, Any]()


def _stand_ins(survey: Survey) -> Iterator[tuple[Any, str]]:
    """Classes of ours, by the names that the file has for its own."""
    for name in survey.objects:
        module, _, kind = name.partition(" ")
        yield type(kind, (Table if name in survey.tables else StandIn,), {}), f"{module}.{kind}"


def read_pickle(path: Path, mapped: bool = True) -> Any:
    """What torch.save wrote: tensors in containers, on the processor, if `mapped` still on disk
    where the format allows it. Raises CheckpointError.
    """
    check_torch(path.name)
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    damaged = (
        f"{path.name} looks like a PyTorch file but cannot be read ({{reason}}); it is damaged or"
        " was cut short: download it again."
    )
    with boundary(CheckpointError, damaged):
        survey = Survey(path.name, path.stat().st_size)
        stored = _survey_zip(path, survey) if zipped else _survey_legacy(path, survey)
    misnamed = path.name.endswith(".safetensors")  # torch would go by the name
    with (
        boundary(CheckpointError, damaged),
        torch.serialization.safe_globals(cast("Any", list(_stand_ins(survey)))),
        warnings.catch_warnings(),
        path.open("rb") as file,
    ):
        # torch's remarks on old formats are nothing the user can act on
        warnings.simplefilter("ignore")
        mapped = mapped and stored and not misnamed
        content = path if mapped else file
        return torch.load(content, map_location="cpu", weights_only=True, mmap=mapped)


def check_torch(name: str) -> None:
    """Raises CheckpointError where this PyTorch may run code from a pickle."""
    version = re.match(r"(\d+)\.(\d+)", str(torch.__version__))
    if version is None or tuple(map(int, version.groups())) < SAFE:
        raise CheckpointError(
            f"{name} is a pickle, which PyTorch {torch.__version__} cannot open without the risk of"
            " running code from it (CVE-2025-32434, CVE-2026-24747): update PyTorch to 2.10 or"
            " later, or turn the file to .safetensors with `comfyui-motion convert` on a machine"
            " that has one. Safetensors files open here."
        )


def _survey_zip(path: Path, survey: Survey) -> bool:
    """Whether all of the archive is stored as it is. Raises CheckpointError."""
    size = path.stat().st_size
    most = limits()
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > max(most.unpacked, 4 * size):
            raise CheckpointError(
                f"{path.name} has {size} bytes and unpacks to {unpacked}:"
                f" {how_to_raise('unpacked', unpacked)}."
            )
        pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
        names = {entry.filename for entry in entries}
        if len(pickles) != 1 or len(names) != len(entries):
            raise CheckpointError(
                f"{path.name} has two entries of one name where a checkpoint has one of each; it"
                " is damaged: download it again."
            )
        if pickles[0].file_size > LONGEST_PICKLE:
            raise CheckpointError(
                f"{path.name} describes its tensors in {pickles[0].file_size} bytes, where"
                " published files need some thousands; it is no checkpoint of a motion model."
            )
        with archive.open(pickles[0]) as file:
            survey.size = max(size, unpacked)
            survey.follow(file)
    return all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)


def _survey_legacy(path: Path, survey: Survey) -> bool:
    with path.open("rb") as file:
        for _ in range(LEGACY):
            survey.follow(file)
    return False
