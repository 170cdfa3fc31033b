"""A checkpoint that is several files in a folder, as one: from the folder, or from any of them.

Files are told apart by content. Those that bear a published name are looked at first, others only
when one is still wanted, and never one larger than such files are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .checkpoint import EXTENSIONS, Checkpoint, read
from .errors import CheckpointError, boundary
from .model import Files
from .unwrapping import unwrapped

LARGEST = 400_000_000  # bytes: a folder may hold whatever else its owner keeps
ROOMS = ("base_models", "retargeting_models")  # folders that the authors keep theirs apart in


@dataclass(eq=False)
class Found:
    """What a folder gave so far."""

    checkpoints: dict[str, Checkpoint] = field(
        default_factory=dict[str, Checkpoint]
    )  # by the name of the member
    complaints: dict[Path, str] = field(default_factory=dict[Path, str])

    def take(self, path: Path, files: Files) -> None:
        try:
            checkpoint = read(path)
        except CheckpointError as error:
            self.complaints[path] = str(error)
            return
        inside = unwrapped(checkpoint.tensors, lambda found: files.which(found) is not None)
        if inside is not None:
            self.checkpoints.setdefault(
                str(files.which(inside.tensors)), replace(checkpoint, tensors=inside.tensors)
            )

    def lacks(self, files: Files) -> list[str]:
        return [name for name in files.names if name not in self.checkpoints]


def gather(path: Path, files: Files) -> Checkpoint | None:
    """All files of the set that `path` is the folder of, or one of, their tensors below the name
    of their file. None where the folder has none of them.

    Raises CheckpointError, which says what is missing, or damaged.
    """
    found = Found()
    for candidate in candidates(path, files):
        found.take(candidate, files)
        if not found.lacks(files):
            break
    damaged = [text for file, text in found.complaints.items() if wanted(file, path, found, files)]
    if damaged:
        raise CheckpointError(damaged[0])
    if not found.checkpoints:
        return None
    lacking = [name for name in found.lacks(files) if name not in files.optional]
    if lacking:
        raise CheckpointError(
            f"{(path if path.is_dir() else path.parent).name} lacks {', '.join(lacking)} of the"
            f" {len(files.names)} files that belong together (.pth or .safetensors); put what is"
            " missing beside the others."
        )
    ordered = {name: found.checkpoints[name] for name in files.names if name in found.checkpoints}
    tensors = {
        f"{name}.{key}": value
        for name, part in ordered.items()
        for key, value in part.tensors.items()
    }
    return Checkpoint(path, tensors, members=tuple(part.path for part in ordered.values()))


def wanted(file: Path, path: Path, found: Found, files: Files) -> bool:
    """Whether a file that cannot be read is one that was named, or bears the name of a missing
    one.
    """
    return file == path or stem(file) in found.lacks(files)


def candidates(path: Path, files: Files) -> Iterator[Path]:
    """The file that was named, then those beside it: by name before others, and of either format
    the one that the named file is of.
    """
    folder = path if path.is_dir() else path.parent
    suffix = ".safetensors" if path.is_dir() else path.suffix
    if path.is_file():
        yield path
    beside = [file for room in rooms(folder) for file in checkpoints_in(room) if file != path]
    beside.sort(key=lambda file: (stem(file) not in files.names, file.suffix != suffix))
    yield from beside


def rooms(folder: Path) -> Iterable[Path]:
    """The folder, and those that belong to it."""
    within = [folder / room for room in ROOMS]
    if folder.name.startswith(ROOMS):
        within += [folder.parent / room for room in ROOMS]
    return [folder, *(room for room in within if room != folder and room.is_dir())]


def checkpoints_in(folder: Path) -> list[Path]:
    with boundary(CheckpointError, f"The folder {folder} cannot be looked into ({{reason}})."):
        return [
            file
            for file in sorted(folder.iterdir())
            if file.name.lower().endswith(EXTENSIONS)
            and file.is_file()
            and file.stat().st_size <= LARGEST
        ]


def listed(names: Iterable[str], files: Files, title: str) -> dict[str, str]:
    """Names of files as a list shows them, and which file is then meant: of a set that is several,
    its folder, once.
    """
    shown: dict[str, str] = {}
    for name in sorted(names, key=lambda n: stem(n) != files.names[1]):
        if stem(name) in files.names:
            folder = Path(name).parent.as_posix()
            name, file = (title if folder == "." else f"{folder} ({title})"), name
            shown.setdefault(name, file)
        else:
            shown[name] = name
    return dict(sorted(shown.items()))


def stem(file: Path | str) -> str:
    """The name of a file without its endings."""
    return Path(file).name.partition(".")[0].lower()
