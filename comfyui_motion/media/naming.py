"""What names of sequences mean: `frames/%05d.png`, folders, globs; in the order people count."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..doors.words import listed
from ..errors import InputError, MediaError
from .kinds import is_film, not_opened

# %d, %5d, %05d; but "50%done.mp4" is a name
NUMBER = re.compile(r"%0?\d+d|%d(?![A-Za-z])")
WIDEST = 99  # digits of a number
# what is read as a picture in a folder or a pattern; what a picture is written as; films
PICTURES = {
    ".png",
    ".apng",
    ".jpg",
    ".jpeg",
    ".webp",
    ".gif",
    ".avif",
    ".bmp",
    ".tif",
    ".tiff",
    ".tga",
    ".jp2",
    ".ppm",
    ".pgm",
}
WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
FILMS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}


@dataclass(frozen=True)
class Numbered:
    """Names that differ in one number: before, its least width, after."""

    before: str
    width: int
    after: str

    @staticmethod
    def of(name: str) -> Numbered:
        found = next(NUMBER.finditer(name))
        digits = found[0][1:-1] or "1"
        width = int(digits[-9:])
        if len(digits) > 9 or width > WIDEST:
            raise InputError(f"{name} numbers pictures with {digits} digits; at most {WIDEST}.")
        return Numbered(name[: found.start()], width, name[found.end() :])

    def __call__(self, number: int) -> str:
        return f"{self.before}{number:0{self.width}d}{self.after}"

    def names(self, name: str) -> bool:
        """Whether it is one of them."""
        middle = name[len(self.before) : len(name) - len(self.after)]
        return (
            len(name) >= len(self.before) + len(self.after)
            and name.startswith(self.before)
            and name.endswith(self.after)
            and middle.isdecimal()
            and middle.isascii()
            and self(int(middle)) == name
        )

    def meets(self, other: Numbered) -> bool:
        """Whether a name can be of both."""
        return (self.before, self.after) == (other.before, other.after)


def sequence_pattern(path: str | os.PathLike[str], codec: str | None = None) -> Path | None:
    """`folder/%05d.png` for what asks for a sequence of pictures, None for a film."""
    name, path = str(path), Path(path)
    if NUMBER.search(path.name) and not os.path.isfile(path):
        if path.suffix.lower() != ".png":
            raise InputError(f"a sequence is written as PNG: {path.name} should end in .png.")
        return path
    return (
        path / "%05d.png"
        if codec == "png" or os.path.isdir(path) or name.endswith(("/", os.sep))
        else None
    )


def sequence_paths(path: str | os.PathLike[str]) -> list[Path] | None:
    """The pictures that a folder, a numbered pattern or a glob stands for, in order; None if the
    path is one file. Raises MediaError where there are none.
    """
    path = Path(path)
    try:
        paths = _standing_for(path)
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({error.strerror}).") from error
    if paths is None:
        return None
    if not paths:
        raise MediaError(_nothing(path))
    return sorted(paths, key=natural)


def missing_numbers(path: str | os.PathLike[str], paths: list[Path]) -> str | None:
    """What to say of holes in the numbers of a pattern's pictures; None where there are none, or
    they are as regular as every second frame's.
    """
    name = Path(path).name
    if os.path.exists(path) or not NUMBER.search(name):
        return None
    pattern = Numbered.of(name)
    ends = len(pattern.before), len(pattern.after)
    numbers = sorted({int(p.name[ends[0] : len(p.name) - ends[1]]) for p in paths})
    step = min((b - a for a, b in zip(numbers, numbers[1:], strict=False)), default=1)
    count = (numbers[-1] - numbers[0]) // step + 1 - len(numbers)
    if not count:
        return None
    first = next(a for a, b in zip(numbers, numbers[1:], strict=False) if b - a > step)
    return (
        f"{name}: {count} {'number is' if count == 1 else 'numbers are'} missing, the first after"
        f" {pattern(first)}; the pictures on either side follow one another."
    )


def _standing_for(path: Path) -> list[Path] | None:
    if os.path.isdir(path):
        entries = path.iterdir()
        return [e for e in entries if e.suffix.lower() in PICTURES and not e.name.startswith(".")]
    if os.path.exists(path):
        return None
    if number := NUMBER.search(path.name):
        before, after = map(re.escape, (path.name[: number.start()], path.name[number.end() :]))
        named = re.compile(f"{before}[0-9]+{after}")
        return [entry for entry in path.parent.glob("*") if named.fullmatch(entry.name)]
    if re.search(r"[*?\[]", path.name):
        return [entry for entry in path.parent.glob(path.name) if entry.is_file()]
    return None


def _nothing(path: Path) -> str:
    """What to say of a folder or a pattern with no pictures in it."""
    if path.is_dir():
        files = sorted(e.name for e in path.iterdir() if e.is_file() and e.name[0] != ".")
        rooms = sorted(e.name for e in path.iterdir() if e.is_dir() and e.name[0] != ".")
        if not files and rooms:
            return (
                f"{path} holds folders alone ({listed(rooms, 3)}); a folder of frames stands for a"
                " clip: name the one that has them."
            )
        if not files:
            return f"{path} is an empty folder: a clip was expected there, as a folder of frames."
        films = [n for n in files if is_film(path / n) and not not_opened(path / n)]
        if not films and (told := not_opened(path / files[0])):
            return f"{told} It is the first of {len(files)} files in {path}."
        if len(films) == 1:
            return (
                f"{path} is a folder without pictures; a folder of frames stands for a clip. If the"
                f" film in it is meant, name the file itself, {path / films[0]}."
            )
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        return (
            f"{path} is a folder without pictures; a folder of frames stands for a clip, and this"
            f" one holds {(films or files)[0]}{more}: name the clip itself."
        )
    return (
        f"{path} stands for no pictures: a clip was expected there, as a folder of frames or a"
        " sequence."
    )


def natural(path: Path) -> list[tuple[int, str]]:
    """A sorting key: frame2 before frame10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part.lower())
        for part in re.split(r"(\d+)", path.name)
    ]
