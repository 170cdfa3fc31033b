"""Which files a job reads and which it writes, told apart by what they are, not by how they are
spelt: nothing that is read is written over, and no two targets are one.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..doors.words import shown
from ..errors import InputError, boundary
from .naming import PICTURES, Numbered, sequence_paths, sequence_pattern

Named = Mapping[str, str | os.PathLike[str] | None]  # what it is for the user ("--preview") → where


@dataclass(frozen=True)
class Place:
    """Where a target goes: one file, or all files of a naming in a folder."""

    folder: tuple[int | str, ...]
    names: str | Numbered
    files: frozenset[tuple[int, int]]  # the file that is there now, by number

    @staticmethod
    def of(path: str | os.PathLike[str], codec: str | None = None) -> Place:
        pattern = sequence_pattern(path, codec)
        if pattern:
            return Place(_identity(pattern.parent), Numbered.of(pattern.name), frozenset())
        real = _real(path)
        return Place(_identity(real.parent), _same(real.name), _number(real))

    def meets(self, other: Place) -> bool:
        if self.files & other.files:
            return True
        if self.folder != other.folder:
            return False
        mine, theirs = self.names, other.names
        if isinstance(mine, str):
            return mine == theirs if isinstance(theirs, str) else theirs.names(mine)
        return mine.names(theirs) if isinstance(theirs, str) else mine.meets(theirs)


def check_places(outputs: Named, inputs: Named, codec: str | None = None) -> None:
    """Refuse, before any work, a target that is also what is read, and two targets of one place.

    `outputs` and `inputs` by what the user calls them. Files are the same when they are one file,
    under whatever name: links, spellings, another way round. Raises InputError.
    """
    targets = {name: (path, Place.of(path, codec)) for name, path in outputs.items() if path}
    for name, path in inputs.items():
        for place in _read_from(path) if path else ():
            for target, (written, where) in targets.items():
                if where.meets(place):
                    raise InputError(
                        f"The target {written} ({target}) is also what is to be read ({name}); name"
                        " another target."
                    )
    met: list[tuple[str, Place]] = []
    for target, (written, where) in targets.items():
        for other, place in met:
            if where.meets(place):
                raise InputError(
                    f"{other} and {target} are to be written to the same place, {written}; name"
                    " another target for one of them."
                )
        met.append((target, where))


def check_folder(folder: str | os.PathLike[str], name: str, inputs: Named) -> None:
    """Refuse a folder of files `name`.* where one of them is what is read. Raises InputError."""
    home = _identity(_real(folder))
    for what, path in inputs.items():
        for place in _read_from(path) if path else ():
            if place.folder == home and str(place.names).startswith(_same(f"{name}.")):
                raise InputError(
                    f"{path} ({what}) is to be read, and files of its name are to be written in its"
                    f" folder, {folder}; name another folder, or the files otherwise."
                )


def _read_from(path: str | os.PathLike[str]) -> Iterator[Place]:
    folder = os.path.isdir(path)
    if folder and not any(Path(n).suffix.lower() in PICTURES for n in os.listdir(path)):
        # nothing that is a clip: a model, perhaps, that is several files
        yield from (_file(file) for file in Path(path).iterdir() if file.is_file())
        return
    for file in sequence_paths(path) or ():
        yield _file(file)
    if not folder:
        yield _file(path)


def _real(path: str | os.PathLike[str]) -> Path:
    with boundary(InputError, f"{shown(path, 200)} is no file's name ({{reason}})."):
        return Path(os.path.realpath(path))


def _file(path: str | os.PathLike[str]) -> Place:
    real = _real(path)
    return Place(_identity(real.parent), _same(real.name), _number(real))


def _identity(folder: Path) -> tuple[int | str, ...]:
    """A folder by its number, where it exists."""
    number = _number(folder)
    return next(iter(number)) if number else (_same(os.path.realpath(folder)),)


def _number(path: Path) -> frozenset[tuple[int, int]]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return frozenset()
    return frozenset({(found.st_dev, found.st_ino)})


def _same(name: str) -> str:
    """The spelling that stands for all that the system takes for the same name."""
    name = unicodedata.normalize("NFC", os.path.normcase(name))
    return name.casefold() if sys.platform == "darwin" else name
