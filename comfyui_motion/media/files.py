"""Files as this library treats them: there and readable before the work, whole or absent after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import MediaError


def existing_file(path: str | os.PathLike, wanted: str) -> Path:
    """The path, once it is known to be a file with something in it; `wanted` names what should be
    there: "a picture".
    """
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder, and {wanted} was expected.")
    if not path.exists():
        raise MediaError(f"{path} does not exist: {wanted} was expected there.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes), and {wanted} was expected.")
    return path


def partial_path(path: Path) -> Path:
    """`out.mp4` → `.out.partial.mp4` beside it: the extension stays, since encoders choose by it."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def check_target(path: Path) -> None:
    """Refuse a target that could not be written, before any work is spent on it."""
    if path.is_dir():
        raise MediaError(f"{path} is a folder: name a file to write.")
    check_parent(path)


def check_parent(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise MediaError(
            f"{path} cannot be written: the folder {path.absolute().parent} does not exist."
        )


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`: renamed to it when the block ends well, deleted when it
    does not, Ctrl-C included.
    """
    path = Path(path)
    check_target(path)
    partial = partial_path(path)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
