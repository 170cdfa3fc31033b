"""Files as this library treats them: there and readable before the work, whole or absent after it.

A target is written under a name of its own beside its place, flushed to the disk, then renamed:
whoever kills the program finds the old file or the new one. Of two writers of one target the last
to finish wins, whole.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import MediaError, MotionError

REASONS = {
    errno.ENOSPC: "the disk is full: make room, or name a target on another disk",
    errno.EDQUOT: "your share of the disk is used up: make room, or name a target elsewhere",
    errno.EACCES: "there is no permission to write there: name a target elsewhere",
    errno.EPERM: "there is no permission to write there: name a target elsewhere",
    errno.EROFS: "that file system can only be read: name a target elsewhere",
    errno.ENAMETOOLONG: "its name is longer than the file system allows: choose a shorter one",
    errno.EFBIG: "it grows larger than the file system allows: name a target on another disk",
}

_unfinished: set[Path] = set()  # temporary files and folders of this process


def existing_file(path: str | os.PathLike[str], wanted: str) -> Path:
    """The path, once it is known to be a file with something in it; `wanted` names what should be
    there: "a picture".
    """
    given = str(path)
    address = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", given)
    path = Path(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        if address:
            raise MediaError(
                f"{given} is an address, and {wanted} on this machine was expected: nothing is"
                " downloaded here, so save it and name the file."
            ) from None
        raise MediaError(f"{path} does not exist: {wanted} was expected there.") from None
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
    if path.is_dir():
        raise MediaError(f"{path} is a folder, and {wanted} was expected.")
    if not path.is_file():
        raise MediaError(f"{path} is a pipe or a device, and {wanted} was expected: save it first.")
    if found.st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes), and {wanted} was expected.")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path} cannot be read: there is no permission to.")
    return path


def cannot_read(path: str | os.PathLike[str], error: BaseException) -> MediaError:
    reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
    return MediaError(f"{path} cannot be read ({reason}).")


def cannot_write(path: str | os.PathLike[str], error: BaseException) -> MediaError:
    """What the system or an encoder says of writing this target, in one sentence."""
    number = getattr(error, "errno", None)
    told = str(error).lower()  # of encoders that know the system's words, but no numbers
    number = number or next((n for n in REASONS if os.strerror(n).lower() in told), None)
    reason = REASONS.get(number) if isinstance(number, int) else None
    said = (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
    return MediaError(f"{path} cannot be written: {reason or said}.")


@contextmanager
def writing(path: str | os.PathLike[str]) -> Generator[None]:
    """Whatever the system says in the block, of writing this target, is one MediaError."""
    try:
        yield
    except MotionError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def real_target(path: str | os.PathLike[str]) -> Path:
    """Where writing there really goes: behind a link, the file that the link stands for."""
    with writing(path):
        return Path(os.path.realpath(path))


def partial_path(path: Path) -> Path:
    """A name of this writer's own beside the target, short enough for any file system; the
    extension stays, since encoders choose by it.
    """
    return path.with_name(f".{secrets.token_hex(6)}.partial{path.suffix[:16]}")


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a target that could not be written, before any work is spent on it."""
    target = real_target(path)
    if os.path.isdir(target):
        raise MediaError(f"{path} is a folder: name a file to write.")
    if os.path.exists(target) and not os.path.isfile(target):
        raise MediaError(f"{path} is a pipe or a device: name a file to write.")
    check_parent(target)


def check_parent(path: Path) -> None:
    """Refuse what lies in a folder that is not there, or in which nothing can be made, by making a
    file and taking it away again.
    """
    folder = path.absolute().parent
    if not os.path.isdir(folder):
        there = os.path.exists(folder)
        why = f"{folder} is a file" if there else f"the folder {folder} does not exist"
        raise MediaError(f"{path} cannot be written: {why}.")
    with writing(path):
        if len(os.fsencode(path.name)) > _longest_name(folder):
            raise OSError(errno.ENAMETOOLONG, "")
        trial = partial_path(path)
        trial.open("xb").close()
        trial.unlink()


def made_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made with those above it where they are missing. Raises MediaError."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise MediaError(f"{path} is a file, and a folder to write into was expected.") from error
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from error
    return path


def _longest_name(folder: Path) -> int:
    with suppress(AttributeError, OSError, ValueError):
        return os.pathconf(folder, "PC_NAME_MAX")
    return 255


@contextmanager
def temporary(partial: Path) -> Generator[Path]:
    """Take away, at the end of the block and whatever ends it, what is still under that name."""
    _unfinished.add(partial)
    try:
        yield partial
    finally:
        _discard(partial)


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Generator[Path]:
    """Give a temporary path beside `path`: renamed to it when the block ends well, deleted when it
    does not, Ctrl-C included. Raises MediaError for what the system says of the target.
    """
    check_target(path)
    target = real_target(path)
    with temporary(partial_path(target)) as partial:
        with writing(path):
            partial.open("xb").close()
        yield partial
        with writing(path):
            settle(partial, target)


def write_whole(path: str | os.PathLike[str], write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file that becomes `path`. Raises MediaError where it cannot."""
    with written_whole(path) as partial, writing(path):
        write(partial)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """UTF-8, whole or not at all. Raises MediaError."""
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def settle(partial: Path, target: Path) -> None:
    """To the disk, then to its place."""
    flushed(partial)
    os.replace(partial, target)
    flushed(target.parent)


def flushed(path: Path) -> None:
    """Everything of a file, or the names in a folder, on the disk itself; where the system can."""
    if os.name == "nt":
        return  # folders cannot be opened there, and files only for writing
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that knows no flushing
            raise
    finally:
        os.close(handle)


def kept_unfinished(partial: Path, path: str | os.PathLike[str]) -> Path:
    """What a run that had to stop has finished, moved beside its target: out.unfinished.mp4"""
    target = real_target(path)
    free = (
        target.with_name(f"{stem}.unfinished{count}{target.suffix}")
        for stem in (target.stem, secrets.token_hex(6))  # a long name leaves no room for more
        for count in ("", "-2", "-3", "-4", "-5", "-6", "-7", "-8", "-9")
    )
    for place in free:
        with suppress(OSError):
            if not os.path.lexists(place):
                settle(partial, place)
                return place
    raise MediaError(f"nothing of {path} could be kept.")


def discard_unfinished() -> None:
    """Take away every temporary file of this process: the last thing before it ends in a hurry."""
    for partial in list(_unfinished):
        _discard(partial)


def _discard(partial: Path) -> None:
    with suppress(OSError):
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
    _unfinished.discard(partial)
